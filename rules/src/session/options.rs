//! [`Options`]: how a project is opened, and what is asked of it. Plain values; whoever reads flags and the environment
//! fills them in.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use run_engine::sandbox::Clients;

use crate::manifest::Profile;

/// What rules may know of the process's environment. The command line reads it; nobody else does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// Where executables are looked for.
    pub path: Vec<PathBuf>,
    /// The variables that tools are asked about themselves with, such as `RUSTUP_HOME`.
    pub tools: BTreeMap<String, String>,
    /// What network clients find their configuration and credentials by. Never keyed.
    pub clients: Clients,
    /// This very program, to be started once more as the process that forks sandboxes; `None` where it does not know how.
    pub program: Option<PathBuf>,
    /// Where actions run: not below the user's home, where programs look for the user's configuration in every directory
    /// above the one they run in.
    pub scratch: PathBuf,
    /// Files that decide which tools are found, such as rustup's settings.
    pub watched: Vec<PathBuf>,
    /// `SOURCE_DATE_EPOCH`.
    pub source_date_epoch: Option<u64>,
    /// Which start of this machine it is, where it tells: what was written shortly before another one may be torn.
    pub boot: Option<String>,
    /// Facts about this machine that a process can see: `OSFamily`, `ISA`, `libc`.
    pub platform: BTreeMap<String, String>,
}

/// How a project is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory of `run.toml`.
    pub root: PathBuf,
    /// The store, where flags or the environment name one; they beat `run.toml`.
    pub store: Option<PathBuf>,
    /// The store where nobody names one.
    pub default_store: PathBuf,
    /// How to optimise, where flags say so.
    pub profile: Option<Profile>,
    /// Whether a flag says that outputs are not to depend on when and where they are made. `run.toml` may say so too.
    pub reproducible: bool,
    /// Whether a flag says that the network is not to be used.
    pub offline: bool,
    /// Identifies this program: its version and its file.
    pub revision: String,
    /// A moment before anything is looked at.
    pub looked: SystemTime,
    /// The time of day, for the stamps of what a build has just written.
    pub clock: TimeOfDay,
    /// The environment.
    pub environment: Environment,
    /// What is asked for.
    pub ask: Ask,
}

/// Tells the time of day: a value, so that only the command line asks the machine.
#[derive(Debug, Clone, Copy)]
pub struct TimeOfDay(pub fn() -> SystemTime);

impl TimeOfDay {
    pub(super) fn now(self) -> SystemTime {
        (self.0)()
    }
}

/// What is asked of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The targets, each `NAME` or `NAME:PART`; none means all.
    pub targets: Vec<String>,
    /// Which part of them.
    pub goal: Goal,
}

/// Which part of its targets a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Their outputs, written into the project.
    Outputs,
    /// Their outputs and native code, to be run.
    Native,
    /// Their tests.
    Tests,
}
