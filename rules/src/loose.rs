//! A component that is a file and belongs to no project: its native code, made once for each machine and kept in the
//! store like anything else.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use run_engine::action::{Action, ActionId, Input, Network, Slot, Source, Work};
use run_engine::build::{Request, Services, build};
use run_engine::cancel::Cancel;
use run_engine::clock::MonotonicClock;
use run_engine::digest::DigestFunction;
use run_engine::event::{Event, Failure};
use run_engine::files::scan::Sources;
use run_engine::graph::ActionGraph;
use run_engine::history::History;
use run_engine::sandbox::Clients;
use run_engine::sandbox::bare::Bare;
use run_engine::schedule::Limits;
use run_engine::store::disk::DiskStore;
use run_engine::tree::{Node, Tree};

use crate::builtin::{self, NATIVE, Table, native};
use crate::host::OptLevel;

/// The digest function of what belongs to no workspace.
const FUNCTION: DigestFunction = DigestFunction::Blake3;

/// Why there is no native code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NativeError {
    /// The component can't be compiled.
    Refused(String),
    /// This machine can't compile, or can't keep what it compiled.
    Machine(String),
    /// Somebody asked for an end.
    Interrupted,
}

fn machine(error: impl std::fmt::Display) -> NativeError {
    NativeError::Machine(error.to_string())
}

/// The files of a component's native code, made if the store in `store` does not have them.
///
/// # Errors
/// [`NativeError`].
pub fn native_code(
    table: &Table,
    store: &Path,
    component: &[u8],
    cancel: &Cancel,
) -> Result<native::Files, NativeError> {
    let store = DiskStore::open(store, FUNCTION).map_err(machine)?;
    let _lease = store.lease().map_err(machine)?;
    let platform = table.runtimes().get(OptLevel::Speed).map_err(machine)?.compatibility_hash();
    let mut sources = Sources::default();
    let digest = sources.made(component, FUNCTION);
    let mut tree = Tree::new();
    tree.insert(&builtin::component(), Node::File { digest, executable: false }).expect("a tree with one file");
    let graph = ActionGraph::new(vec![action(tree, platform)], vec![]).expect("one action needs nothing");
    let wanted = [ActionId(0)];
    let request = Request {
        wanted: &wanted,
        exports: &[],
        workspace: store.root(),
        forced: &HashSet::new(),
        salt: "",
        limits: Limits { cpu: 1, network: 1, keep_going: false },
        dry_run: false,
    };
    let sandbox = Bare::new(store.root(), Clients::default());
    let services = Services {
        blobs: &store,
        results: &store,
        sources: &sources,
        sandbox: &sandbox,
        builtins: table,
        clock: &MonotonicClock::start(),
        cancel,
        is_explained: &|_, _| true,
    };
    let outcome = build(&graph, &request, &services, &mut History::default(), &mut |_: Event<'_>| {});
    if let Some(failure) = outcome.failures.into_values().next() {
        return Err(told(failure));
    }
    let known = outcome.known[0].as_ref().ok_or(NativeError::Interrupted)?;
    let digests = native::digests(known).ok_or_else(|| machine("the store holds something else than native code"))?;
    let files = native::files(&store, &digests).map_err(machine)?;
    files.ok_or_else(|| machine("the store lost what it was just given; run it again"))
}

fn action(tree: Tree, platform: String) -> Action {
    Action {
        label: "native".to_owned(),
        place: None,
        work: Work::Builtin {
            name: NATIVE.name,
            revision: NATIVE.revision,
            args: vec![format!("level={}", native::level_name(OptLevel::Speed))],
        },
        env: BTreeMap::new(),
        directory: None,
        inputs: vec![Input { at: None, source: Source::Tree(tree) }],
        outputs: vec![builtin::native_code()],
        platform: BTreeMap::from([("crates".to_owned(), NATIVE.versions()), ("native".to_owned(), platform)]),
        timeout: None,
        network: Network::Denied,
        slot: Slot::Cpu,
        accelerators: vec![],
        varying: false,
    }
}

fn told(failure: Failure) -> NativeError {
    NativeError::Refused(match failure {
        Failure::Ended { stderr, .. } => String::from_utf8_lossy(&stderr).trim_end().to_owned(),
        Failure::Machine { why } | Failure::Bug { why } => return NativeError::Machine(why),
        Failure::BadInput { why } | Failure::BadOutput { why, .. } | Failure::SourceChanged { why, .. } => why,
        Failure::MissingOutput { path, .. } => format!("`{path}` was not made"),
        Failure::ChangedInput { path } => format!("`{path}`, an input, was changed"),
    })
}
