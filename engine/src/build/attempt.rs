//! One action, looked up or run: what a worker does with a task.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::lookups;
use super::worker::{Answer, Built, Common, Prepared, message_of};
use crate::action::{Action, ActionId, Beside, MountedTree, Source, Word, Work};
use crate::digest::{ActionKey, BlobDigest};
use crate::event::{Failure, Status};
use crate::explain::{self, Reason};
use crate::files::scan::IngestError;
use crate::files::stamp::Stamp;
use crate::history::Remembered;
use crate::key::{self, InputRoot};
use crate::path::RelPath;
use crate::sandbox::builtin::{Call, CallError, Returned};
use crate::sandbox::{Job, OutputError, SandboxError};
use crate::store::{ActionResult, Blobs, Claim, Output, OutputNode, StoreError, Strength};
use crate::tree::{Node, Tree};

/// A result with everything needed to use it as an input.
#[derive(Debug)]
pub struct Known {
    /// What the action left.
    pub result: ActionResult,
    /// The declared outputs as parts of a tree.
    nodes: Vec<(RelPath, Node)>,
}

impl Known {
    /// What stands at `path` of the output tree: a declared output, or something inside a declared directory.
    #[must_use]
    pub fn node(&self, path: &RelPath) -> Option<Node> {
        self.nodes.iter().find_map(|(declared, node)| match path.strip_prefix(declared) {
            None => (path == declared).then(|| node.clone()),
            Some(rest) => match node {
                Node::Directory(tree) => tree.find(&rest).cloned(),
                _ => None,
            },
        })
    }

    /// All outputs, at their paths.
    pub(super) fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        for (path, node) in &self.nodes {
            // The outputs of an action do not stand in each other's way: they were files of one directory.
            let _ = tree.insert(path, node.clone());
        }
        tree
    }

    /// A result as it is usable: every blob of it is in the store. `None` when one is not.
    pub(super) fn load(result: ActionResult, blobs: &dyn Blobs, trees: &TreeCache) -> Result<Option<Self>, StoreError> {
        let mut nodes = Vec::with_capacity(result.outputs.len());
        let mut needed = vec![result.stdout, result.stderr];
        for output in &result.outputs {
            let node = match &output.node {
                OutputNode::File { digest, executable } => {
                    needed.push(*digest);
                    Node::File { digest: *digest, executable: *executable }
                }
                OutputNode::Directory { tree } => {
                    let Some(tree) = trees.get(*tree, blobs)? else { return Ok(None) };
                    needed.extend(files_of(&tree));
                    Node::Directory(tree)
                }
            };
            nodes.push((output.path.clone(), node));
        }
        needed.retain(|digest| digest.size_bytes() > 0);
        Ok(blobs.find_missing(&needed)?.is_empty().then_some(Self { result, nodes }))
    }
}

fn files_of(tree: &Tree) -> Vec<BlobDigest> {
    let mut files = Vec::new();
    tree.walk(&mut |_, node| {
        if let Node::File { digest, .. } = node {
            files.push(*digest);
        }
    });
    files
}

/// Trees read from the store, each decoded once a build.
#[derive(Debug, Default)]
pub(super) struct TreeCache(Mutex<HashMap<BlobDigest, Tree>>);

impl TreeCache {
    fn get(&self, digest: BlobDigest, blobs: &dyn Blobs) -> Result<Option<Tree>, StoreError> {
        let lock = || self.0.lock().expect("nothing panics while it is held");
        if let Some(tree) = lock().get(&digest) {
            return Ok(Some(tree.clone()));
        }
        let Some(bytes) = blobs.get(digest)? else { return Ok(None) };
        // Bytes with the right digest that are no tree were written by something else: not usable, so not there.
        let Ok(tree) = Tree::decode_whole(&bytes, blobs.function()) else { return Ok(None) };
        lock().insert(digest, tree.clone());
        Ok(Some(tree))
    }
}

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

fn machine(e: &dyn std::error::Error) -> Failure {
    Failure::Machine { why: e.to_string() }
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

/// What an action left when it succeeded.
#[derive(Default)]
pub(super) struct Executed {
    pub(super) outputs: Vec<Output>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// Why it left nothing.
pub(super) enum Trouble {
    Failure(Failure),
    /// One of its inputs is gone.
    Lost(BlobDigest),
}

impl From<StoreError> for Trouble {
    fn from(e: StoreError) -> Self {
        Self::Failure(machine(&e))
    }
}

/// Executes, and again for each source file whose bytes turned out to be rotten in the store: the workspace has them.
pub(super) fn execute_healing(
    common: &Common<'_>,
    action: &Action,
    root: &InputRoot,
    accelerators: &[(String, Arc<Known>, RelPath)],
) -> Result<Executed, Trouble> {
    let mut healed = HashSet::new();
    loop {
        match execute(common, action, root, accelerators) {
            // The store dropped the rotten bytes when it saw them, so the next attempt takes them in again.
            Err(Trouble::Lost(digest)) if common.services.sources.has(digest) && healed.insert(digest) => {}
            ended => return ended,
        }
    }
}

fn execute(
    common: &Common<'_>,
    action: &Action,
    root: &InputRoot,
    accelerators: &[(String, Arc<Known>, RelPath)],
) -> Result<Executed, Trouble> {
    bring_in(common, &root.staged)?;
    match &action.work {
        Work::Process { argv } => run_process(common, &job(common, action, argv, root)),
        Work::Builtin { name, args, .. } => {
            let accelerators = accelerator_files(common, accelerators);
            let call = Call {
                name,
                args,
                inputs: &root.staged,
                accelerators: &accelerators,
                blobs: common.services.blobs,
                cancel: common.services.cancel,
            };
            run_builtin(common, action, &call)
        }
    }
}

/// An action as its sandbox wants it.
pub(super) fn job<'a>(common: &Common<'a>, action: &'a Action, argv: &'a [Word], root: &'a InputRoot) -> Job<'a> {
    Job {
        argv,
        env: &action.env,
        directory: action.directory.as_ref(),
        staged: &root.staged,
        mounts: &root.mounts,
        outputs: &action.outputs,
        network: action.network,
        timeout: action.timeout,
        blobs: common.services.blobs,
    }
}

/// Makes sure that the store has every byte of a tree, taking source files in where it lacks them. Their content is
/// checked against the digest in the key, so an edit made during the build can't be cached under the old key.
fn bring_in(common: &Common<'_>, tree: &Tree) -> Result<(), Trouble> {
    let services = common.services;
    for digest in services.blobs.find_missing(&files_of(tree))? {
        match services.sources.ingest(digest, services.blobs) {
            Ok(true) => {}
            Ok(false) => return Err(Trouble::Lost(digest)),
            Err(IngestError::File(e)) => {
                return Err(Trouble::Failure(Failure::SourceChanged { path: e.path.to_string(), why: e.to_string() }));
            }
            Err(IngestError::Store(e)) => return Err(e.into()),
        }
    }
    Ok(())
}

fn run_process(common: &Common<'_>, job: &Job<'_>) -> Result<Executed, Trouble> {
    let execution = match common.services.sandbox.run(job, common.services.cancel) {
        Ok(execution) => execution,
        Err(SandboxError::Lost(digest)) => return Err(Trouble::Lost(digest)),
        Err(e) => return Err(Trouble::Failure(machine(&e))),
    };
    let (status, stdout, stderr) = (execution.status, execution.stdout, execution.stderr);
    if (!status.is_success() || execution.outputs.is_err())
        && let Some(gone) = find_gone(job)
    {
        // Whatever it says of that: it was given a tool, and did not have it.
        let why = format!("`{}` was in use and is gone", gone.display());
        return Err(Trouble::Failure(Failure::Machine { why }));
    }
    if !status.is_success() {
        return Err(Trouble::Failure(Failure::Ended { status, stdout, stderr, lookups: vec![] }));
    }
    match execution.outputs {
        Ok(outputs) => Ok(Executed { outputs, stdout, stderr }),
        Err(OutputError::Missing(path)) => Err(Trouble::Failure(Failure::MissingOutput { path, stderr })),
        Err(OutputError::ChangedInput(path)) => Err(Trouble::Failure(Failure::ChangedInput { path })),
        Err(OutputError::Unfit { path, why }) => Err(Trouble::Failure(Failure::BadOutput { path, why })),
    }
}

/// What an action was to use in place and is no longer there: somebody has deleted the store meanwhile, or a toolchain. A
/// look at what stands at the top, and at what is shown elsewhere, is enough to see that.
fn find_gone(job: &Job<'_>) -> Option<PathBuf> {
    let is_gone = |path: &PathBuf| Stamp::of(path).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound);
    job.mounts.iter().find_map(|(_, mounted)| {
        let MountedTree { tree, directory, beside, .. } = &**mounted;
        let mut shown = beside.iter().map(|beside| beside.from.clone());
        // A tree also lists, by their content, files that are only shown elsewhere; their directories need not be there.
        let is_elsewhere = |node: &Node| match node {
            Node::Directory(below) => below.entries().all(|(name, _)| is_beside(beside, name)),
            _ => false,
        };
        let own = tree.entries().filter(|(name, node)| !is_beside(beside, name) && !is_elsewhere(node));
        let mut own = own.map(|(name, _)| directory.join(name));
        let whole = Some(directory.clone()).filter(is_gone);
        whole.or_else(|| own.find(is_gone)).or_else(|| shown.find(is_gone))
    })
}

fn is_beside(beside: &[Beside], name: &str) -> bool {
    beside.iter().any(|beside| beside.at.file_name().is_some_and(|other| other == name))
}

fn run_builtin(common: &Common<'_>, action: &Action, call: &Call<'_>) -> Result<Executed, Trouble> {
    // A panic of the caller's function is that action's failure. What the function shares with others is its own affair.
    let returned = catch_unwind(AssertUnwindSafe(|| common.services.builtins.call(call)))
        .unwrap_or_else(|panic| Err(CallError::Bug(message_of(&*panic))));
    let Returned { status, stdout, stderr, outputs } = match returned {
        Ok(returned) => returned,
        Err(CallError::Lost(digest)) => return Err(Trouble::Lost(digest)),
        Err(CallError::Store(e)) => return Err(e.into()),
        Err(CallError::Machine(why)) => return Err(Trouble::Failure(Failure::Machine { why })),
        Err(CallError::Bug(why)) => return Err(bug(why)),
    };
    if common.services.cancel.is_cancelled() && status != 0 {
        return Err(Trouble::Failure(Failure::Ended { status: Status::Cancelled, stdout, stderr, lookups: vec![] }));
    }
    if status != 0 {
        return Err(Trouble::Failure(Failure::Ended {
            status: Status::Exited(status),
            stdout,
            stderr,
            lookups: vec![],
        }));
    }
    let mut returned: BTreeMap<RelPath, Vec<u8>> = outputs.into_iter().collect();
    let mut outputs = Vec::new();
    let mut declared = action.outputs.clone();
    declared.sort_unstable();
    for path in declared {
        let Some(bytes) = returned.remove(&path) else {
            return Err(bug(format!("`{}` did not return `{path}`", call.name)));
        };
        let digest = call.blobs.put(&bytes)?;
        outputs.push(Output { path, node: OutputNode::File { digest, executable: false } });
    }
    if let Some(path) = returned.keys().next() {
        return Err(bug(format!("`{}` returned `{path}`, which it does not declare", call.name)));
    }
    Ok(Executed { outputs, stdout, stderr })
}

const fn bug(why: String) -> Trouble {
    Trouble::Failure(Failure::Bug { why })
}

/// The files behind accelerators. One that the store can't show as a file is left out: it is only a help.
fn accelerator_files(common: &Common<'_>, accelerators: &[(String, Arc<Known>, RelPath)]) -> BTreeMap<String, PathBuf> {
    accelerators
        .iter()
        .filter_map(|(name, known, path)| match known.node(path)? {
            Node::File { digest, .. } => Some((name.clone(), common.services.blobs.file(digest).ok()??)),
            _ => None,
        })
        .collect()
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
