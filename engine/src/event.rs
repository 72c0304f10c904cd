//! `Event`: the closed list of everything a build can report, in the order it happened.

use std::time::Duration;

use crate::action::{ActionId, Strength};
use crate::explain::Reason;
use crate::path::RelPath;
use crate::verdict::{Compared, Verdict};

/// Everything a build reports. Added to, never reused. The first is always `Planned`, the last `Finished`.
#[derive(Debug)]
pub enum Event<'a> {
    /// The graph is known.
    Planned {
        /// How many actions this request may need.
        actions: u32,
        /// How many were asked for by name.
        wanted: u32,
    },
    /// An action's result was in a store.
    Hit {
        /// Which.
        action: ActionId,
        /// Which store.
        from: Layer,
    },
    /// An action is run, or would be where nothing is run. The reason is not optional: an engine that can't say why it runs something does not compile.
    /// It is told again for an action that has to wait once more, because an input of it was lost from the store.
    Started {
        /// Which.
        action: ActionId,
        /// Why.
        because: &'a Reason,
    },
    /// An action that was run came to an end. One whose inputs can't be put together comes to it without having started.
    Ran {
        /// Which.
        action: ActionId,
        /// How long it took.
        took: Duration,
        /// What it left, or why it failed.
        how: Ran<'a>,
    },
    /// A failed action had looked for something outside of its inputs, as far as can be told. Follows its [`Event::Ran`].
    Undeclared {
        /// Which.
        action: ActionId,
        /// What it looked for, as a fragment that fits after "it looked for".
        what: &'a str,
        /// How it is declared, as a sentence without its end.
        help: &'a str,
    },
    /// An action was not tried, because something it needs failed or the build was cancelled.
    Skipped {
        /// Which.
        action: ActionId,
        /// The failed action it needs; `None` when the build was cancelled.
        because_of: Option<ActionId>,
    },
    /// An output was written into the workspace.
    Exported {
        /// Whose.
        action: ActionId,
        /// Where.
        path: &'a RelPath,
    },
    /// Every action of a build is run once more elsewhere, to see whether it leaves the same.
    Comparing {
        /// How many.
        actions: u32,
    },
    /// An action was run once more elsewhere.
    Compared {
        /// Which.
        action: ActionId,
        /// How long that took.
        took: Duration,
        /// What came of it.
        verdict: &'a Verdict,
    },
    /// Processes were run, in a sandbox of this strength. Told once, towards the end.
    Sandboxed {
        /// How strong.
        strength: Strength,
    },
    /// Something optional is not to be had; the build goes on without it.
    Degraded {
        /// What.
        what: &'static str,
        /// Why, and what is done instead.
        instead: &'a str,
    },
    /// The build is over.
    Finished {
        /// The counts.
        summary: Summary,
    },
}

/// How an action that was run ended.
#[derive(Debug)]
pub enum Ran<'a> {
    /// It succeeded.
    Built {
        /// Whether it left exactly what it had left the last time, so that nothing downstream has to run.
        unchanged: bool,
        /// What it wrote to its streams, captured.
        streams: Streams<'a>,
    },
    /// It did not.
    Failed {
        /// Why.
        failure: &'a Failure,
    },
}

/// What an action wrote.
#[derive(Debug, Clone, Copy, Default)]
pub struct Streams<'a> {
    /// To standard output.
    pub stdout: &'a [u8],
    /// To standard error.
    pub stderr: &'a [u8],
}

/// Why an action failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It ended, and not with success.
    Ended {
        /// How.
        status: Status,
        /// What it wrote to standard output.
        stdout: Vec<u8>,
        /// What it wrote to standard error.
        stderr: Vec<u8>,
        /// The paths that it looked for in vain, as it saw them, where it said too little and they could be found out.
        lookups: Vec<String>,
    },
    /// It ended well and did not leave what it declares.
    MissingOutput {
        /// What it did not leave.
        path: RelPath,
        /// What it wrote to standard error, which may say why.
        stderr: Vec<u8>,
    },
    /// It ended well and changed one of its inputs, which it may only read.
    ChangedInput {
        /// Which, in the input root.
        path: RelPath,
    },
    /// It left something that may not be an output.
    BadOutput {
        /// Where.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// One of its source files is no longer what it was when the build began: changed, gone, or unreadable.
    SourceChanged {
        /// Which.
        path: String,
        /// What became of it, as a sentence.
        why: String,
    },
    /// Two of its inputs put different things at one path, or one can't be part of a tree.
    BadInput {
        /// What is wrong.
        why: String,
    },
    /// This machine could not do what was needed: disk, permissions, a missing sandbox feature.
    Machine {
        /// What.
        why: String,
    },
    /// A builtin, or the engine itself, has a bug.
    Bug {
        /// What it said.
        why: String,
    },
}

/// How a process, or a builtin, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// By itself, with this status.
    Exited(i32),
    /// By a signal.
    Signalled(i32),
    /// It was ended after its timeout.
    TimedOut,
    /// It was ended because the build was cancelled.
    Cancelled,
}

impl Status {
    /// Whether it succeeded.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Exited(0))
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "exit status {status}"),
            Self::Signalled(signal) => write!(f, "killed by signal {signal}"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
}

/// Where a result came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layer {
    /// The store of this machine.
    Local,
    /// A cache shared with other machines.
    Remote,
}

/// The counts of a finished build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Actions that were run and succeeded.
    pub built: u32,
    /// Actions whose result was in the local store.
    pub reused_local: u32,
    /// Actions whose result was in a remote cache.
    pub reused_remote: u32,
    /// Actions that were run and failed.
    pub failed: u32,
    /// Actions that were not tried.
    pub skipped: u32,
    /// Whether somebody asked for an end.
    pub cancelled: bool,
    /// What came of running everything once more elsewhere, where that was asked for.
    pub compared: Option<Compared>,
    /// How long all of it took.
    pub took: Duration,
}

impl Summary {
    /// Whether everything that was asked for is there, and as it should be.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        let is_reproducible = match self.compared {
            Some(compared) => compared.is_success(),
            None => true,
        };
        self.failed == 0 && self.skipped == 0 && !self.cancelled && is_reproducible
    }
}

/// Takes events, one at a time, from one thread.
pub trait EventSink {
    /// The next event.
    fn event(&mut self, event: Event<'_>);
}

impl<F: FnMut(Event<'_>)> EventSink for F {
    fn event(&mut self, event: Event<'_>) {
        self(event);
    }
}
