//! One action, executed: a process in its sandbox, or a builtin in this process. What it left, or why it left nothing.

use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use super::known::{Known, files_of};
use super::worker::{Common, machine, message_of};
use crate::action::{Action, Beside, MountedTree, Word, Work};
use crate::digest::BlobDigest;
use crate::event::{Failure, Status};
use crate::files::scan::IngestError;
use crate::files::stamp::Stamp;
use crate::key::InputRoot;
use crate::path::RelPath;
use crate::sandbox::builtin::{Call, CallError, Returned};
use crate::sandbox::{Job, OutputError, SandboxError};
use crate::store::{Blobs, Output, OutputNode, StoreError};
use crate::tree::{Node, Tree};

/// What an action left when it succeeded.
#[derive(Default)]
pub(super) struct Executed {
    pub(super) outputs: Vec<Output>,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
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
            let accelerators = accelerator_files(common.services.blobs, accelerators);
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
        let Some(node) = take_returned(&mut returned, &path, call.blobs)? else {
            return Err(bug(format!("`{}` did not return `{path}`", call.name)));
        };
        outputs.push(Output { path, node });
    }
    if let Some(path) = returned.keys().next() {
        return Err(bug(format!("`{}` returned `{path}`, which it does not declare", call.name)));
    }
    Ok(Executed { outputs, stdout, stderr })
}

/// What was returned at a declared path: a file, or the files of a directory.
fn take_returned(
    returned: &mut BTreeMap<RelPath, Vec<u8>>,
    path: &RelPath,
    blobs: &dyn Blobs,
) -> Result<Option<OutputNode>, StoreError> {
    if let Some(bytes) = returned.remove(path) {
        return Ok(Some(OutputNode::File { digest: blobs.put(&bytes)?, executable: false }));
    }
    let mut tree = Tree::new();
    let inside: Vec<_> = returned.keys().filter_map(|file| Some((file.clone(), file.strip_prefix(path)?))).collect();
    for (file, rest) in inside {
        let digest = blobs.put(&returned.remove(&file).expect("it was there a line ago"))?;
        // A file in another's way is left over, and told.
        if tree.insert(&rest, Node::File { digest, executable: false }).is_err() {
            returned.insert(file, vec![]);
        }
    }
    match tree.is_empty() {
        true => Ok(None),
        false => Ok(Some(OutputNode::Directory { tree: blobs.put(&tree.encode_whole(blobs.function()))? })),
    }
}

const fn bug(why: String) -> Trouble {
    Trouble::Failure(Failure::Bug { why })
}

/// The files behind accelerators; those of a directory by its name and their path in it. One that the store can't show as a
/// file is left out: it is only a help.
fn accelerator_files(blobs: &dyn Blobs, accelerators: &[(String, Arc<Known>, RelPath)]) -> BTreeMap<String, PathBuf> {
    let mut files = BTreeMap::new();
    let mut add = |name: String, node: &Node| {
        if let Node::File { digest, .. } = node
            && let Ok(Some(file)) = blobs.file(*digest)
        {
            files.insert(name, file);
        }
    };
    for (name, known, path) in accelerators {
        match known.node(path) {
            Some(Node::Directory(tree)) => tree.walk(&mut |path, node| add(format!("{name}/{path}"), node)),
            Some(node) => add(name.clone(), &node),
            None => {}
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::build::known::TreeCache;
    use crate::digest::DigestFunction;
    use crate::store::disk::DiskStore;
    use crate::store::{ActionResult, Strength};

    fn path(text: &str) -> RelPath {
        RelPath::new(text).unwrap()
    }

    #[test]
    fn an_accelerator_is_a_file_or_the_files_of_a_directory() {
        let directory = tempfile::tempdir().unwrap();
        let store = DiskStore::open(directory.path(), DigestFunction::Blake3).unwrap();
        let put = |text: &str| store.put(text.as_bytes()).unwrap();
        let mut tree = Tree::new();
        for file in ["one", "two/three"] {
            tree.insert(&path(file), Node::File { digest: put(file), executable: false }).unwrap();
        }
        let tree = store.put(&tree.encode_whole(store.function())).unwrap();
        let file = OutputNode::File { digest: put("file"), executable: false };
        let output = |name: &str, node| Output { path: path(name), node };
        let outputs = vec![output("dir", OutputNode::Directory { tree }), output("file", file)];
        let nothing = put("");
        let (took, strength) = (Duration::ZERO, Strength::Full);
        let result = ActionResult { outputs, stdout: nothing, stderr: nothing, took, strength };
        let known = Arc::new(Known::load(result, &store, &TreeCache::default()).unwrap().unwrap());
        let given = |name: &str, at: &str| (name.to_owned(), Arc::clone(&known), path(at));
        let asked = [given("a", "dir"), given("b", "file"), given("c", "dir/two"), given("d", "nowhere")];
        let files = accelerator_files(&store, &asked);
        let texts = files.iter().map(|(name, file)| format!("{name}: {}", fs::read_to_string(file).unwrap()));
        assert_eq!(
            texts.collect::<Vec<_>>(),
            ["a/one: one", "a/two/three: two/three", "b: file", "c/three: two/three"]
        );
    }
}
