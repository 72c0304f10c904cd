//! A worker: takes tasks, answers each once.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use super::attempt;
use super::known::{Known, TreeCache};
use crate::action::ActionId;
use crate::event::Failure;
use crate::explain::Reason;
use crate::graph::ActionGraph;
use crate::history::Remembered;
use crate::key::{InputRoot, KeyRecord};
use crate::path::RelPath;

/// What every worker may use.
pub(super) struct Common<'a> {
    pub(super) graph: &'a ActionGraph,
    pub(super) services: &'a super::Services<'a>,
    pub(super) salt: &'a str,
    pub(super) trees: TreeCache,
}

/// What the driver asks of a worker.
pub(super) enum Task {
    Ask {
        id: ActionId,
        /// Whether stores may be asked at all.
        lookup: bool,
        /// Whether it runs again because its output was lost.
        rewound: bool,
        remembered: Option<Box<Remembered>>,
        producers: BTreeMap<ActionId, Arc<Known>>,
    },
    Run {
        id: ActionId,
        prepared: Box<Prepared>,
        accelerators: Vec<(String, Arc<Known>, RelPath)>,
        /// Whether the user asked for it to be run whatever a store says.
        forced: bool,
    },
}

/// What looking an action up has found out.
pub(super) struct Prepared {
    pub(super) root: InputRoot,
    pub(super) key: crate::digest::ActionKey,
    pub(super) record: KeyRecord,
    pub(super) reason: Reason,
    /// What the input root was put together from.
    pub(super) producers: BTreeMap<ActionId, Arc<Known>>,
}

/// What a worker answers.
pub(super) enum Answer {
    Hit { id: ActionId, known: Arc<Known>, record: KeyRecord },
    Miss { id: ActionId, prepared: Box<Prepared> },
    Built(Box<Built>),
    Failed { id: ActionId, record: Option<KeyRecord>, reason: Option<Reason>, failure: Failure, took: Duration },
    Lost { consumer: ActionId, producer: ActionId, prepared: Box<Prepared> },
}

/// An action that was run and succeeded.
pub(super) struct Built {
    pub(super) id: ActionId,
    pub(super) known: Arc<Known>,
    pub(super) record: KeyRecord,
    pub(super) reason: Reason,
    pub(super) took: Duration,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    /// Whether another process made the result while this one waited for its claim.
    pub(super) by_other: bool,
}

/// Serves until the driver stops sending.
pub(super) fn serve(common: &Common<'_>, tasks: &Mutex<mpsc::Receiver<Task>>, answers: &mpsc::Sender<Answer>) {
    loop {
        // The lock is held while waiting: one worker waits for a task, the others for the lock.
        let task = tasks.lock().expect("a worker that panics takes the build with it").recv();
        let Ok(task) = task else { return };
        if answers.send(answer(common, task)).is_err() {
            return;
        }
    }
}

/// Does what a task says, once.
pub(super) fn answer(common: &Common<'_>, task: Task) -> Answer {
    let id = task.id();
    // The driver counts on an answer: a panic must not be the last that is heard of an action. What is shared with
    // other tasks is whole between any two statements.
    catch_unwind(AssertUnwindSafe(|| perform(common, task)))
        .unwrap_or_else(|panic| attempt::failed(id, Failure::Bug { why: message_of(&*panic) }))
}

fn perform(common: &Common<'_>, task: Task) -> Answer {
    match task {
        Task::Ask { id, lookup, rewound, remembered, producers } => {
            attempt::ask(common, id, lookup, rewound, remembered.as_deref(), producers)
        }
        Task::Run { id, prepared, accelerators, forced } => attempt::run(common, id, prepared, &accelerators, forced),
    }
}

impl Task {
    const fn id(&self) -> ActionId {
        match self {
            Self::Ask { id, .. } | Self::Run { id, .. } => *id,
        }
    }
}

/// What a panic said, as far as it can be known.
pub(super) fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}

/// A failure of this machine's.
pub(super) fn machine(e: &dyn std::error::Error) -> Failure {
    Failure::Machine { why: e.to_string() }
}
