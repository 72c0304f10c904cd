//! What enforces hermeticity while an action runs: the contract of [`Sandbox`].
//!
//! Every implementation promises:
//!
//! - The process starts in a private directory that holds the input root and nothing else of the user's, with exactly
//!   the given environment, no standard input, and its own process group.
//! - When `run` returns, no process it started is left, whether it succeeded, failed, timed out or was cancelled.
//! - Only declared outputs are kept. Everything else is gone when `run` returns.
//! - What the process writes to its inputs does not reach the store or the workspace.
//!
//! How much more it hides is its [`Strength`], which is recorded with every result.

pub mod bare;
pub mod builtin;
pub mod ladder;
#[cfg(target_os = "linux")]
pub mod linux;
mod place;
#[cfg(target_os = "linux")]
mod refusal;
mod running;
mod scratch;
pub mod seatbelt;
pub mod system;
mod world;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::action::{MountedTree, Network, Word};
use crate::cancel::Cancel;
use crate::event::Status;
use crate::files::capture::{CaptureError, CaptureProblem, capture};
use crate::path::RelPath;
use crate::store::{Blobs, Output, StoreError, Strength};
use crate::tree::Tree;

pub use world::World;

/// Runs processes so that they see their inputs and as little else as possible.
pub trait Sandbox: Send + Sync {
    /// How much it hides.
    fn strength(&self) -> Strength;

    /// Runs one process and collects what it leaves.
    ///
    /// # Errors
    /// [`SandboxError`] when the process could not be run at all; that it failed is not an error.
    fn run(&self, job: &Job<'_>, cancel: &Cancel) -> Result<Execution, SandboxError>;

    /// Runs a process that failed once more, only to see what it looks for in vain: absolute paths as it sees them, in
    /// order, each once. None where this sandbox can't see that.
    ///
    /// # Errors
    /// [`SandboxError`] when the process could not be run at all.
    fn lookups(&self, job: &Job<'_>, cancel: &Cancel) -> Result<Vec<String>, SandboxError> {
        let _ = (job, cancel);
        Ok(Vec::new())
    }
}

/// One process to run.
pub struct Job<'a> {
    /// The program and its arguments.
    pub argv: &'a [Word],
    /// Its whole environment.
    pub env: &'a BTreeMap<String, Word>,
    /// Where it starts, inside the input root.
    pub directory: Option<&'a RelPath>,
    /// The part of the input root that is staged; every blob of it is in `blobs`.
    pub staged: &'a Tree,
    /// The part that is used in place.
    pub mounts: &'a [(RelPath, Arc<MountedTree>)],
    /// What it declares to leave, relative to `directory`.
    pub outputs: &'a [RelPath],
    /// Whether it may use the network.
    pub network: Network,
    /// The longest it may run.
    pub timeout: Option<Duration>,
    /// Where inputs come from and outputs go to.
    pub blobs: &'a dyn Blobs,
}

/// How a process ended and what it left.
#[derive(Debug)]
pub struct Execution {
    /// How it ended.
    pub status: Status,
    /// What it wrote to standard output, up to [`STREAM_BYTES_MAX`].
    pub stdout: Vec<u8>,
    /// What it wrote to standard error, up to [`STREAM_BYTES_MAX`].
    pub stderr: Vec<u8>,
    /// What it left of what it declares, when it succeeded.
    pub outputs: Result<Vec<Output>, OutputError>,
}

/// Where the input root stands for a process in a sandbox that has a root of its own. One that has not puts it anywhere.
pub const INPUT_ROOT: &str = "/build";

/// How much of a stream is kept: its beginning. A process that writes more goes on; the rest is counted and dropped.
pub const STREAM_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A declared output is not there, or is something that can't be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputError {
    /// It is not there.
    Missing(RelPath),
    /// It left what it should, and changed this input, which another action would have found as it was.
    ChangedInput(RelPath),
    /// It can't be kept.
    Unfit {
        /// Where.
        path: String,
        /// Why not.
        why: String,
    },
}

/// Takes what a process left in `start` into the store. What it should have left and did not is its failure, not ours.
fn collect(job: &Job<'_>, start: &Path) -> Result<Result<Vec<Output>, OutputError>, SandboxError> {
    match capture(start, job.outputs, job.blobs) {
        Ok(outputs) => Ok(Ok(outputs)),
        Err(CaptureError { problem: CaptureProblem::Store(e), .. }) => Err(e.into()),
        Err(CaptureError { path, problem: CaptureProblem::Missing }) => Ok(Err(OutputError::Missing(path))),
        Err(e) => Ok(Err(OutputError::Unfit { path: e.path.to_string(), why: e.to_string() })),
    }
}

/// The process could not be run.
#[derive(Debug)]
pub enum SandboxError {
    /// The store failed while inputs were staged or outputs collected.
    Store(StoreError),
    /// A blob of the input root was there when the action was prepared and is gone.
    Lost(crate::digest::BlobDigest),
    /// The sandbox itself can't be set up, or the program can't be started.
    Setup {
        /// What was being done, as a fragment that fits after "failed to".
        what: String,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        cause: std::io::Error,
    },
}

impl SandboxError {
    fn setup(what: &str, path: &Path, cause: std::io::Error) -> Self {
        Self::Setup { what: what.to_owned(), path: path.to_owned(), cause }
    }
}

/// What the clients of package registries need of the machine besides its network: given to actions that may use that,
/// to no other, and never keyed, because what such an action leaves is checked against digests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clients {
    /// The variables by which they find their configuration, mirrors and credentials.
    pub env: BTreeMap<String, String>,
    /// Directories in which they expect to write, and which are empty at first and gone afterwards.
    pub private: Vec<PathBuf>,
    /// Configuration, credentials, certificates, name resolution: shown read-only, where they are there.
    pub readable: Vec<PathBuf>,
    /// Downloads that they keep and check themselves: shown as they are, where they are there.
    pub writable: Vec<PathBuf>,
}

impl From<StoreError> for SandboxError {
    fn from(e: StoreError) -> Self {
        Self::Store(e)
    }
}

impl fmt::Display for SandboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(e) => e.fmt(f),
            Self::Lost(digest) => write!(f, "{digest} is gone from the store"),
            Self::Setup { what, path, cause } => write!(f, "failed to {what} `{}`: {cause}", path.display()),
        }
    }
}

impl std::error::Error for SandboxError {}
