//! `Builtins`: actions that are functions of the caller instead of processes.
//!
//! A builtin is pure: declared inputs in, declared outputs out. It sees its input tree and the store, and nothing
//! else, so its results are of full strength wherever it runs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::cancel::Cancel;
use crate::digest::BlobDigest;
use crate::path::RelPath;
use crate::store::{Blobs, StoreError};
use crate::tree::{Node, Tree};

/// The caller's table of functions.
pub trait Builtins: Send + Sync {
    /// Runs one.
    ///
    /// # Errors
    /// [`CallError`] when it could not do its job; that the job's answer is "no" is a [`Returned`] with a status.
    fn call(&self, call: &Call<'_>) -> Result<Returned, CallError>;
}

/// A table with nothing in it.
#[derive(Debug)]
pub struct NoBuiltins;

impl Builtins for NoBuiltins {
    fn call(&self, call: &Call<'_>) -> Result<Returned, CallError> {
        Err(CallError::Bug(format!("there is no builtin called `{}`", call.name)))
    }
}

/// One call of a builtin.
pub struct Call<'a> {
    /// Which.
    pub name: &'a str,
    /// Its arguments.
    pub args: &'a [String],
    /// Its input tree; every blob of it is in the store.
    pub inputs: &'a Tree,
    /// Files that make it faster and can't change what it returns, by the name it gave them, those of a directory as
    /// `name/path`; those that could not be made are missing.
    pub accelerators: &'a BTreeMap<String, PathBuf>,
    /// Where its inputs' bytes are.
    pub blobs: &'a dyn Blobs,
    /// Set when the build is to stop.
    pub cancel: &'a Cancel,
}

/// What a builtin gave back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Returned {
    /// 0 for success, as for a process.
    pub status: i32,
    /// What it says to people or programs.
    pub stdout: Vec<u8>,
    /// What it says when something is wrong.
    pub stderr: Vec<u8>,
    /// Its outputs; they must be what the action declares, or files in a directory that it declares.
    pub outputs: Vec<(RelPath, Vec<u8>)>,
}

/// A builtin could not do its job.
#[derive(Debug)]
pub enum CallError {
    /// An input's bytes are gone from the store.
    Lost(BlobDigest),
    /// The store failed.
    Store(StoreError),
    /// Whoever made the action made a mistake.
    Bug(String),
    /// This machine can't do it.
    Machine(String),
}

impl From<StoreError> for CallError {
    fn from(e: StoreError) -> Self {
        Self::Store(e)
    }
}

impl Returned {
    /// Success with these outputs.
    #[must_use]
    pub fn files(outputs: Vec<(RelPath, Vec<u8>)>) -> Self {
        Self { outputs, ..Self::default() }
    }

    /// Failure with a message for people.
    #[must_use]
    pub fn failure(message: impl Into<String>) -> Self {
        Self { status: 1, stderr: message.into().into_bytes(), ..Self::default() }
    }
}

impl Call<'_> {
    /// The bytes of an input file.
    ///
    /// # Errors
    /// [`CallError::Bug`] when there is no such file in the input tree, [`CallError::Lost`] when its bytes are gone.
    pub fn read(&self, path: &RelPath) -> Result<Vec<u8>, CallError> {
        match self.inputs.find(path) {
            Some(Node::File { digest, .. }) => self.bytes(*digest),
            _ => Err(CallError::Bug(format!("builtin `{}` has no input file `{path}`", self.name))),
        }
    }

    /// Every input file below `path`, by its path from there.
    ///
    /// # Errors
    /// As for [`Call::read`].
    pub fn read_all(&self, path: &RelPath) -> Result<BTreeMap<RelPath, Vec<u8>>, CallError> {
        let Some(Node::Directory(tree)) = self.inputs.find(path) else {
            return Err(CallError::Bug(format!("builtin `{}` has no input directory `{path}`", self.name)));
        };
        let mut files = BTreeMap::new();
        for (path, node) in tree.flatten() {
            if let Node::File { digest, .. } = node {
                files.insert(path, self.bytes(digest)?);
            }
        }
        Ok(files)
    }

    fn bytes(&self, digest: BlobDigest) -> Result<Vec<u8>, CallError> {
        self.blobs.get(digest)?.ok_or(CallError::Lost(digest))
    }
}
