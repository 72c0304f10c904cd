//! The messages of the Remote Execution API v2 that give trees and actions their canonical bytes.
//!
//! Field numbers are those of `build/bazel/remote/execution/v2/remote_execution.proto`; fields we never set are left
//! out, which in protocol buffers is the same as leaving them at their default. Encoding is canonical because the
//! messages are flat, fields are written in order of number, and every list is sorted before it gets here.

use crate::digest::Digest;

/// `Digest`: lower-case hexadecimal hash and size.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DigestMessage {
    /// The hash.
    #[prost(string, tag = "1")]
    pub hash: String,
    /// The number of bytes hashed.
    #[prost(int64, tag = "2")]
    pub size_bytes: i64,
}

impl<K> From<Digest<K>> for DigestMessage {
    fn from(digest: Digest<K>) -> Self {
        Self { hash: digest.hex(), size_bytes: i64::try_from(digest.size_bytes()).unwrap_or(i64::MAX) }
    }
}

impl DigestMessage {
    /// The typed digest; `None` when the hash is not 64 hexadecimal digits or the size is negative.
    #[must_use]
    pub fn parse<K>(&self) -> Option<Digest<K>> {
        let hash = crate::digest::parse_hex(&self.hash)?;
        Some(Digest::from_parts(hash, u64::try_from(self.size_bytes).ok()?))
    }
}

/// `FileNode`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FileNode {
    /// The name within its directory.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The content.
    #[prost(message, optional, tag = "2")]
    pub digest: Option<DigestMessage>,
    /// Whether it may be executed.
    #[prost(bool, tag = "4")]
    pub is_executable: bool,
}

/// `DirectoryNode`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DirectoryNode {
    /// The name within its directory.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The digest of the encoded [`DirectoryMessage`].
    #[prost(message, optional, tag = "2")]
    pub digest: Option<DigestMessage>,
}

/// `SymlinkNode`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SymlinkNode {
    /// The name within its directory.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Where it points, relative to its own directory.
    #[prost(string, tag = "2")]
    pub target: String,
}

/// `Directory`: each list sorted by name.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DirectoryMessage {
    /// The files.
    #[prost(message, repeated, tag = "1")]
    pub files: Vec<FileNode>,
    /// The directories.
    #[prost(message, repeated, tag = "2")]
    pub directories: Vec<DirectoryNode>,
    /// The symbolic links.
    #[prost(message, repeated, tag = "3")]
    pub symlinks: Vec<SymlinkNode>,
}

/// `Tree`: a directory with everything below it, in one message.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TreeMessage {
    /// The root.
    #[prost(message, optional, tag = "1")]
    pub root: Option<DirectoryMessage>,
    /// Every directory below the root, each once, in the order a depth-first walk meets them.
    #[prost(message, repeated, tag = "2")]
    pub children: Vec<DirectoryMessage>,
}

/// `Command.EnvironmentVariable` and `Platform.Property`: a name and a value.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Pair {
    /// The name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// `Platform`: properties sorted by name, then value.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PlatformMessage {
    /// The properties.
    #[prost(message, repeated, tag = "1")]
    pub properties: Vec<Pair>,
}

/// `Command`: argv, environment sorted by name, sorted output paths, working directory.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CommandMessage {
    /// The program and its arguments.
    #[prost(string, repeated, tag = "1")]
    pub arguments: Vec<String>,
    /// The environment, sorted by name.
    #[prost(message, repeated, tag = "2")]
    pub environment_variables: Vec<Pair>,
    /// The directory, inside the input root, the command starts in; empty for the root.
    #[prost(string, tag = "6")]
    pub working_directory: String,
    /// What the command leaves behind, relative to the working directory, sorted.
    #[prost(string, repeated, tag = "7")]
    pub output_paths: Vec<String>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct DurationMessage {
    /// Whole seconds.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// The rest, in nanoseconds.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// `Action`: the message whose digest is the action key.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ActionMessage {
    /// The digest of the encoded [`CommandMessage`].
    #[prost(message, optional, tag = "1")]
    pub command_digest: Option<DigestMessage>,
    /// The digest of the input root's [`DirectoryMessage`].
    #[prost(message, optional, tag = "2")]
    pub input_root_digest: Option<DigestMessage>,
    /// The longest it may run.
    #[prost(message, optional, tag = "6")]
    pub timeout: Option<DurationMessage>,
    /// Retires a namespace of results.
    #[prost(bytes = "vec", tag = "9")]
    pub salt: Vec<u8>,
    /// Where it may run.
    #[prost(message, optional, tag = "10")]
    pub platform: Option<PlatformMessage>,
}
