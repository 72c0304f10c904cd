//! Where bytes and results live: the contracts of [`Blobs`] and [`Results`].
//!
//! Both are synchronous and batched where a remote implementation would want it. What every implementation promises:
//!
//! - Bytes that come out are the bytes whose digest was asked for; anything else is reported as missing.
//! - A result that comes out is one that went in under that key; whether its blobs are still there is asked
//!   separately ([`Blobs::find_missing`]), because only the caller knows when that matters.
//! - Any call may come from any thread, and any number of processes may share one store.

pub mod disk;
pub mod gc;
pub mod lease;
pub mod memory;
pub mod verify;

mod atomic;
mod claims;
mod copy;
mod layout;
mod results;
mod survey;
pub(crate) mod volume;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::digest::{ActionKey, BlobDigest, DigestFunction};
use crate::path::RelPath;

pub use crate::action::Strength;
pub use copy::fixed_mtime;

/// Content-addressed bytes.
pub trait Blobs: Send + Sync {
    /// The function that names the bytes.
    fn function(&self) -> DigestFunction;

    /// Those of `wanted` that are not here. An empty answer means that each can be read now.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be asked.
    fn find_missing(&self, wanted: &[BlobDigest]) -> Result<Vec<BlobDigest>, StoreError>;

    /// The bytes, verified; `None` when they are not here or no longer have their digest.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    fn get(&self, digest: BlobDigest) -> Result<Option<Vec<u8>>, StoreError>;

    /// Writes the bytes to a new file at `to`, by the cheapest way that leaves the two independent (a reflink or a
    /// copy). Returns false, and leaves no file, when they are not here or no longer have their digest.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read or `to` can't be written.
    fn copy_to(&self, digest: BlobDigest, executable: bool, to: &Path) -> Result<bool, StoreError>;

    /// A read-only file that holds the bytes, verified, with the time of all that is made from a tree; it must not be
    /// changed. `None` when they are not here, or not kept as files.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    fn file(&self, digest: BlobDigest) -> Result<Option<PathBuf>, StoreError>;

    /// Keeps bytes. Keeping them again costs little and changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when they can't be written; nothing half-written is left behind under a digest.
    fn put(&self, bytes: &[u8]) -> Result<BlobDigest, StoreError>;

    /// Keeps the content of a file, streamed, and returns the digest of what was kept.
    ///
    /// # Errors
    /// [`StoreError`] as for [`Blobs::put`], and when the file can't be read.
    fn put_file(&self, path: &Path) -> Result<BlobDigest, StoreError>;
}

/// Results by action key.
pub trait Results: Send + Sync {
    /// What is recorded under `key`.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be asked. A record that can't be understood is not an error: it is absent.
    fn get(&self, key: &ActionKey) -> Result<Option<ActionResult>, StoreError>;

    /// Records a result. The first one recorded wins, unless the new one comes from a stronger sandbox: the result that
    /// stands afterwards is returned.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be written.
    fn put(&self, key: &ActionKey, result: &ActionResult) -> Result<ActionResult, StoreError>;

    /// Forgets a result whose blobs turned out to be lost.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be removed.
    fn forget(&self, key: &ActionKey) -> Result<(), StoreError>;

    /// Takes the exclusive right to run the action behind `key`, among all processes that share this store, or returns
    /// `None` at once when someone else has it. Released on drop, and when the process dies however it dies.
    ///
    /// # Errors
    /// [`StoreError`] when claims can't be kept here.
    fn try_claim(&self, key: &ActionKey) -> Result<Option<Box<dyn Claim>>, StoreError>;
}

/// The right to run one action, until dropped.
pub trait Claim: Send {}

/// What an action left behind when it succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionResult {
    /// The declared outputs, in order of path.
    pub outputs: Vec<Output>,
    /// What it wrote to standard output.
    pub stdout: BlobDigest,
    /// What it wrote to standard error.
    pub stderr: BlobDigest,
    /// How long it took when it was run.
    pub took: Duration,
    /// How strong the sandbox was that it ran in.
    pub strength: Strength,
}

/// One declared output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its path, relative to the action's working directory.
    pub path: RelPath,
    /// What it is.
    pub node: OutputNode,
}

/// What a declared output turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputNode {
    /// A file.
    File {
        /// Its content.
        digest: BlobDigest,
        /// Whether it may be executed.
        executable: bool,
    },
    /// A directory.
    Directory {
        /// The digest of its [`crate::tree::Tree::encode_whole`] bytes, which are in the store.
        tree: BlobDigest,
    },
}

/// Which of two results for one key is kept: the first, unless the second comes from a stronger sandbox.
fn standing<'a>(first: Option<&'a ActionResult>, second: &'a ActionResult) -> &'a ActionResult {
    first.filter(|first| first.strength >= second.strength).unwrap_or(second)
}

/// Says what failed and where, once it is known why.
pub(crate) fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |cause| StoreError { what, path: path.to_owned(), cause }
}

/// The store can't do what it was asked: this machine's move, not the user's.
#[derive(Debug)]
pub struct StoreError {
    /// What was being done, as a fragment that fits after "failed to".
    pub what: &'static str,
    /// To which file or directory.
    pub path: PathBuf,
    /// Why not.
    pub cause: io::Error,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to {} `{}`: {}", self.what, self.path.display(), self.cause)
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}
