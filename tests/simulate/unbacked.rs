//! Results that stand for blobs which are gone: forgotten where they are looked up, and replaced where one stands in the
//! way of a good one. Each of the two heals what the other would leave, so the simulations notice only the loss of both.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use run_engine::action::ActionId;
use run_engine::build::{self, Outcome, Request, Services};
use run_engine::cancel::Cancel;
use run_engine::digest::{ActionKey, BlobDigest};
use run_engine::event::Event;
use run_engine::files::scan::Sources;
use run_engine::graph::ActionGraph;
use run_engine::history::History;
use run_engine::schedule::Limits;
use run_engine::store::memory::MemoryStore;
use run_engine::store::{ActionResult, Blobs, Claim, Output, OutputNode, Results, StoreError, Strength};
use run_engine::testing::action::process;
use run_engine::testing::tool::Toys;

use super::model::{FUNCTION, path};

/// Results of which somebody else records an unbacked one just before ours.
struct Overtaken<'a> {
    inner: &'a MemoryStore,
    /// What is recorded first, once.
    first: Mutex<Option<ActionResult>>,
    keys: Mutex<Vec<ActionKey>>,
}

impl Results for Overtaken<'_> {
    fn get(&self, key: &ActionKey) -> Result<Option<ActionResult>, StoreError> {
        Results::get(self.inner, key)
    }

    fn put(&self, key: &ActionKey, result: &ActionResult) -> Result<ActionResult, StoreError> {
        self.keys.lock().expect("nothing panics while it is held").push(*key);
        if let Some(first) = self.first.lock().expect("nothing panics while it is held").take() {
            Results::put(self.inner, key, &first)?;
        }
        Results::put(self.inner, key, result)
    }

    fn forget(&self, key: &ActionKey) -> Result<(), StoreError> {
        self.inner.forget(key)
    }

    fn try_claim(&self, key: &ActionKey) -> Result<Option<Box<dyn Claim>>, StoreError> {
        self.inner.try_claim(key)
    }
}

fn build(blobs: &MemoryStore, results: &dyn Results, dry_run: bool) -> Outcome {
    let toys = Toys::default();
    let mut made = process("made", &["varying"]);
    made.outputs = vec![path("out")];
    let graph = ActionGraph::new(vec![made], vec![]).expect("one action is a graph");
    let request = Request {
        wanted: &[ActionId(0)],
        exports: &[],
        workspace: Path::new("/nowhere"),
        forced: &HashSet::new(),
        salt: "",
        limits: Limits { cpu: 1, network: 1, keep_going: true },
        dry_run,
    };
    let services = Services {
        blobs,
        results,
        sources: &Sources::default(),
        sandbox: &toys,
        builtins: &toys,
        clock: toys.clock(),
        cancel: &Cancel::new(),
        is_explained: &|_, _| true,
    };
    build::build(&graph, &request, &services, &mut History::default(), &mut |_: Event<'_>| {})
}

fn output(result: &ActionResult) -> BlobDigest {
    match &result.outputs[0].node {
        OutputNode::File { digest, .. } => *digest,
        OutputNode::Directory { .. } => panic!("a toy leaves a file"),
    }
}

#[test]
fn an_unbacked_result_is_forgotten_by_whoever_looks_it_up() {
    let store = MemoryStore::new(FUNCTION);
    let results = Overtaken { inner: &store, first: Mutex::default(), keys: Mutex::default() };
    let built = build(&store, &results, false);
    let made = built.result(ActionId(0)).expect("it was built");
    let key = results.keys.lock().expect("nobody holds it")[0];
    assert_eq!(Results::get(&store, &key).expect("memory does not fail").as_ref(), Some(made));
    assert!(store.remove_blob(output(made)));
    // Nothing is run, so nothing but the lookup can have forgotten it.
    assert!(build(&store, &results, true).known[0].is_none());
    assert_eq!(Results::get(&store, &key).expect("memory does not fail"), None);
}

#[test]
fn an_unbacked_result_that_was_recorded_first_is_replaced() {
    let store = MemoryStore::new(FUNCTION);
    let blob = Blobs::put(&store, b"").expect("memory does not fail");
    let gone: BlobDigest = FUNCTION.digest(b"gone");
    let node = OutputNode::File { digest: gone, executable: false };
    let outputs = vec![Output { path: path("out"), node }];
    let first =
        ActionResult { outputs, stdout: blob, stderr: blob, took: Duration::from_millis(1), strength: Strength::Full };
    let results = Overtaken { inner: &store, first: Mutex::new(Some(first)), keys: Mutex::default() };
    let outcome = build(&store, &results, false);
    let made = outcome.result(ActionId(0)).unwrap_or_else(|| panic!("{:?}", outcome.failures));
    assert_ne!(output(made), gone);
    let key = results.keys.lock().expect("nobody holds it")[0];
    assert_eq!(Results::get(&store, &key).expect("memory does not fail").as_ref(), Some(made));
}
