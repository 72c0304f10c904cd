//! One action, looked up or run: what a worker does with a task.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::execute::{Executed, Trouble, execute_healing};
use super::known::{Known, files_of};
use super::lookups;
use super::worker::{Answer, Built, Common, Prepared, machine};
use crate::action::{Action, ActionId, Source, Work};
use crate::digest::{ActionKey, BlobDigest};
use crate::event::{Failure, Status};
use crate::explain::{self, Reason};
use crate::history::Remembered;
use crate::key::{self, InputRoot};
use crate::path::RelPath;
use crate::store::{ActionResult, Claim, StoreError, Strength};
use crate::tree::Node;

/// Computes an action's key and looks it up.
pub(super) fn ask(
    common: &Common<'_>,
    id: ActionId,
    lookup: bool,
    rewound: bool,
    remembered: Option<&Remembered>,
    producers: BTreeMap<ActionId, Arc<Known>>,
) -> Answer {
    let action = common.graph.action(id);
    let blobs = common.services.blobs;
    let function = blobs.function();
    let assembled = InputRoot::assemble(action, function, &mut |producer, path| {
        Some((producers[&producer].node(path)?, common.graph.action(producer).label.clone()))
    });
    let root = match assembled {
        Ok(root) => root,
        Err(e) => return failed(id, Failure::BadInput { why: e.to_string() }),
    };
    let key = key::encode(action, &root.whole.digest(function), common.salt, function).key;
    let record = root.record(action, common.salt, function, &key);
    let mut weaker = false;
    if lookup {
        match find(common, action, &key) {
            Found::Usable(known) => return Answer::Hit { id, known, record },
            Found::TooWeak => weaker = true,
            Found::Nothing => {}
        }
    }
    let reason = match remembered {
        _ if rewound => Reason::Rewound,
        _ if !lookup => Reason::Forced,
        _ if weaker => Reason::WeakerSandbox,
        Some(r) if r.failed && r.record.key == record.key => Reason::FailedBefore,
        remembered => explain::reason(remembered.map(|r| &r.record), &record),
    };
    Answer::Miss { id, prepared: Box::new(Prepared { root, key, record, reason, producers }) }
}

enum Found {
    Usable(Arc<Known>),
    TooWeak,
    Nothing,
}

/// Looks a key up. A store that can't be read has nothing: that costs time, and whether the action can run is then seen
/// by running it.
fn find(common: &Common<'_>, action: &Action, key: &ActionKey) -> Found {
    try_find(common, action, key).unwrap_or(Found::Nothing)
}

/// Looks a key up. A result that can't be backed is forgotten, so that the next process does not stumble over it too.
fn try_find(common: &Common<'_>, action: &Action, key: &ActionKey) -> Result<Found, StoreError> {
    let services = common.services;
    let Some(result) = services.results.get(key)? else { return Ok(Found::Nothing) };
    let is_process = matches!(action.work, Work::Process { .. });
    // What this machine allows is found out by trying, which a build that runs nothing should not pay for.
    if result.strength < Strength::Full && (!is_process || result.strength < services.sandbox.strength()) {
        return Ok(Found::TooWeak);
    }
    match Known::load(result, services.blobs, &common.trees)? {
        Some(known) => Ok(Found::Usable(Arc::new(known))),
        None => {
            services.results.forget(key)?;
            Ok(Found::Nothing)
        }
    }
}

/// Runs an action that was looked up in vain.
pub(super) fn run(
    common: &Common<'_>,
    id: ActionId,
    prepared: Box<Prepared>,
    accelerators: &[(String, Arc<Known>, RelPath)],
    forced: bool,
) -> Answer {
    let services = common.services;
    let started = services.clock.now();
    let done = |took: Duration, failure| Answer::Failed {
        id,
        record: Some(prepared.record.clone()),
        reason: Some(prepared.reason.clone()),
        failure,
        took,
    };
    let took = || services.clock.now().saturating_sub(started);
    let _claim = match claim(common, &prepared.key) {
        Ok(Some(claim)) => claim,
        Ok(None) => {
            let cancelled =
                Failure::Ended { status: Status::Cancelled, stdout: vec![], stderr: vec![], lookups: vec![] };
            return done(took(), cancelled);
        }
        Err(e) => return done(took(), machine(&e)),
    };
    let action = common.graph.action(id);
    if forced || prepared.reason == Reason::Rewound {
        if let Err(e) = services.results.forget(&prepared.key) {
            return done(took(), machine(&e));
        }
    } else if let Found::Usable(known) = find(common, action, &prepared.key) {
        // Another process finished it between the lookup and the claim.
        return built(id, *prepared, known, took(), Executed::default(), true);
    }
    let executed = match execute_healing(common, action, &prepared.root, accelerators) {
        Ok(executed) => executed,
        Err(Trouble::Failure(failure)) => {
            let took = took();
            return done(took, lookups::look(common, id, &prepared.root, failure));
        }
        Err(Trouble::Lost(digest)) => {
            return match maker_of(action, digest, &prepared.producers) {
                Some(producer) => Answer::Lost { consumer: id, producer, prepared },
                None => done(took(), Failure::Machine { why: format!("{digest} is gone from the store") }),
            };
        }
    };
    match record(common, action, &prepared.key, &executed, took()) {
        Ok(known) => built(id, *prepared, known, took(), executed, false),
        Err(failure) => done(took(), failure),
    }
}

fn built(
    id: ActionId,
    prepared: Prepared,
    known: Arc<Known>,
    took: Duration,
    executed: Executed,
    by_other: bool,
) -> Answer {
    let Prepared { record, reason, .. } = prepared;
    // What it costs to run is what it cost the other one; here it was only waited for.
    let took = if by_other { known.result.took } else { took };
    let Executed { stdout, stderr, .. } = executed;
    Answer::Built(Box::new(Built { id, known, record, reason, took, stdout, stderr, by_other }))
}

/// It failed before anything could be learned about it.
pub(super) fn failed(id: ActionId, failure: Failure) -> Answer {
    Answer::Failed { id, record: None, reason: None, failure, took: Duration::ZERO }
}

/// Waits for the right to run what is behind a key. `None` when the build was cancelled first.
fn claim(common: &Common<'_>, key: &ActionKey) -> Result<Option<Box<dyn Claim>>, StoreError> {
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(claim) = common.services.results.try_claim(key)? {
            return Ok(Some(claim));
        }
        if common.services.cancel.is_cancelled() {
            return Ok(None);
        }
        common.services.clock.sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Keeps a result. Where another one stands under the key already, that one is used from here on, so that everything
/// downstream sees what other processes see.
fn record(
    common: &Common<'_>,
    action: &Action,
    key: &ActionKey,
    executed: &Executed,
    took: Duration,
) -> Result<Arc<Known>, Failure> {
    let services = common.services;
    let keep = || -> Result<Option<Known>, StoreError> {
        let result = ActionResult {
            outputs: executed.outputs.clone(),
            stdout: services.blobs.put(&executed.stdout)?,
            stderr: services.blobs.put(&executed.stderr)?,
            took,
            strength: match action.work {
                Work::Process { .. } => services.sandbox.strength(),
                Work::Builtin { .. } => Strength::Full,
            },
        };
        let stands = services.results.put(key, &result)?;
        match Known::load(stands, services.blobs, &common.trees)? {
            Some(known) => Ok(Some(known)),
            // The one that stood there can't be backed: ours replaces it.
            None => {
                services.results.forget(key)?;
                services.results.put(key, &result)?;
                Known::load(result, services.blobs, &common.trees)
            }
        }
    };
    match keep() {
        Ok(Some(known)) => Ok(Arc::new(known)),
        Ok(None) => Err(Failure::Machine { why: "the store loses what was just written to it".into() }),
        Err(e) => Err(machine(&e)),
    }
}

/// The producer whose output holds a blob.
fn maker_of(action: &Action, digest: BlobDigest, producers: &BTreeMap<ActionId, Arc<Known>>) -> Option<ActionId> {
    action.inputs.iter().find_map(|input| match &input.source {
        Source::Output { action: producer, path } => match producers[producer].node(path)? {
            Node::File { digest: d, .. } => (d == digest).then_some(*producer),
            Node::Directory(tree) => files_of(&tree).contains(&digest).then_some(*producer),
            Node::Symlink { .. } => None,
        },
        _ => None,
    })
}
