//! The bad day, simulated: random graphs, edits, losses, rot, faults and kills, each from a seed.
//!
//! One property carries the project: an incremental build equals a clean one. After every build the bytes that were
//! asked for are compared with [`Model::made`], a few lines that know no keys, stores or caches; the build after that
//! must run nothing; and every action that ran must have given the reason that the model expects of it.
//!
//! Here the store is in memory, and faults are those of its contract. `simulate/disk.rs` does the same to the store on
//! disk, by faults of the file system below it, with several processes at once, and `simulate/project.rs` to the project:
//! the look at its sources, its outputs, and the witness by which the next request takes the short way.
//!
//! `RUN_SEEDS=100000 cargo test -p run-cli --test suite simulate` runs more seeds than the suite does, `RUN_SEED=17` runs
//! one. Where seeds are not enough, `tests/kills.rs` kills real processes: `RUN_KILLS=500` does it more often.

mod disk;
mod hands;
mod model;
mod project;
mod unbacked;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::{FUNCTION, Model, SOURCE, id, label, path};
use run_engine::action::{ActionId, Source};
use run_engine::build::{self, Outcome, Request, Services};
use run_engine::cancel::Cancel;
use run_engine::digest::{ActionKey, BlobDigest};
use run_engine::event::{Event, Failure, Ran, Status, Summary};
use run_engine::explain::{Changed, Reason};
use run_engine::files::scan::Sources;
use run_engine::graph::ActionGraph;
use run_engine::history::History;
use run_engine::sandbox::{Execution, Job, Sandbox, SandboxError};
use run_engine::schedule::Limits;
use run_engine::store::memory::MemoryStore;
use run_engine::store::{Blobs, Output, OutputNode, Results, Strength};
use run_engine::testing::faults::{FaultyStore, FaultyTools, Lie, Plan, Rng};
use run_engine::testing::tool::Toys;
use run_engine::tree::{Node, Tree};

const SEEDS: u64 = 2_000;
const ROUNDS: usize = 3;
/// Worlds share nothing, so a few at a time go faster wherever there is more than one core.
const THREADS: usize = 4;

#[test]
fn an_incremental_build_equals_a_clean_one() {
    if let Some(seed) = number("RUN_SEED") {
        simulate(seed, None).unwrap_or_else(|e| panic!("{e}"));
        return;
    }
    let seeds = number("RUN_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= seeds {
                        return;
                    }
                    let result = catch_unwind(AssertUnwindSafe(|| simulate(seed, None)));
                    let result = result.unwrap_or_else(|_| Err(format!("seed {seed}: the engine panicked")));
                    result.unwrap_or_else(|e| {
                        panic!(
                            "{e}\nrun it again with RUN_SEED={seed} cargo test -p run-cli --test suite simulate::an_"
                        )
                    });
                }
            });
        }
    });
}

/// The seeds of one part of a test, of `of` parts: `each` of them, its share of as many as `RUN_SEEDS` says, or the one
/// that `RUN_SEED` says.
fn seeds(part: u64, of: u64, each: u64) -> Box<dyn Iterator<Item = u64>> {
    match (number("RUN_SEED"), number("RUN_SEEDS")) {
        (Some(seed), _) if seed % of == part => Box::new(std::iter::once(seed)),
        (Some(_), _) => Box::new(std::iter::empty()),
        (None, seeds) => {
            Box::new((part..seeds.unwrap_or(of * each)).step_by(usize::try_from(of).expect("a few parts")))
        }
    }
}

fn number(name: &str) -> Option<u64> {
    super::support::given(name).map(|text| text.parse().expect("a number of seeds"))
}

/// A bug planted in or around the engine, which the harness has to notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    /// A store breaks its promise.
    Store(Lie),
    /// A source file is read and not declared, so that the key does not cover it.
    UndeclaredSource,
    /// Consumers are keyed on what their producers left the time before.
    StaleProducer,
    /// What earlier builds taught is not kept, so that reasons are guesses.
    NoHistory,
}

#[test]
fn the_harness_notices_a_planted_bug() {
    let flaws = [
        Flaw::Store(Lie::UnverifiedReads),
        Flaw::Store(Lie::NothingMissing),
        Flaw::Store(Lie::ResultsDropped),
        Flaw::Store(Lie::WeakKeys),
        Flaw::UndeclaredSource,
        Flaw::StaleProducer,
        Flaw::NoHistory,
    ];
    for flaw in flaws {
        let caught = (0..50).find_map(|seed| {
            catch_unwind(AssertUnwindSafe(|| simulate(seed, Some(flaw)))).unwrap_or(Err("a panic".into())).err()
        });
        assert!(caught.is_some(), "{flaw:?} goes unnoticed");
    }
}

#[test]
fn processes_that_share_a_store_share_the_work() {
    for seed in 0..30 {
        share(seed, None).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    }
    for lie in [Lie::ClaimsForAll, Lie::LastResultWins] {
        let caught = (0..30).find_map(|seed| share(seed, Some(lie)).err());
        assert!(caught.is_some(), "{lie:?} goes unnoticed");
    }
}

/// What the model knows that the engine remembers of an action.
#[derive(Debug, Clone)]
struct Seen {
    reads: BTreeMap<(String, String), String>,
    failed: bool,
    /// How much had been harmed by then.
    harms: u64,
}

/// One user's workspace, and a store.
struct World {
    model: Model,
    store: MemoryStore,
    toys: Toys,
    history: History,
    seen: Vec<Option<Seen>>,
    /// How much has been lost, spoiled or refused so far: with nothing of the kind, no reason may speak of it.
    harms: u64,
    /// Whether bits flip in this world, and whether one may have.
    rots: bool,
    has_rotted: bool,
    /// What each action had left after the build before, for the flaw that uses it.
    before: Vec<Option<Vec<u8>>>,
    flaw: Option<Flaw>,
}

/// How one build is asked for.
#[derive(Clone)]
struct Asked {
    wanted: Vec<usize>,
    forced: HashSet<ActionId>,
    limits: Limits,
    plan: Plan,
    cancel_after: Option<usize>,
}

/// How an action ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Good,
    Failed,
    Cancelled,
}

/// What one build said and did.
#[derive(Default)]
struct Told {
    /// Those that ended, in order.
    ended: Vec<(usize, End)>,
    started: Vec<(usize, Reason)>,
    skipped: Vec<usize>,
    summary: Summary,
    finished: bool,
}

fn simulate(seed: u64, flaw: Option<Flaw>) -> Result<(), String> {
    let mut rng = Rng::new(seed);
    let mut world = World::random(&mut rng, flaw);
    for round in 0..ROUNDS {
        let at = |e: String| format!("seed {seed}, round {round}: {e}");
        if rng.chance(700) {
            world.model.edit(&mut rng);
        }
        if rng.chance(300) {
            world.harm(&mut rng);
        }
        let mut asked = world.ask(&mut rng);
        if rng.chance(600) {
            world.bad_build(&asked, &mut rng).map_err(|e| at(format!("bad build: {e}")))?;
        }
        if rng.chance(200) {
            world.model.edit(&mut rng);
        }
        asked.forced = (0..world.model.steps.len()).filter(|_| rng.chance(50)).map(id).collect();
        world.good_build(&asked, rng.next()).map_err(at)?;
        asked.forced.clear();
        world.idle_build(&asked, rng.next()).map_err(|e| at(format!("second build: {e}")))?;
    }
    Ok(())
}

impl World {
    fn random(rng: &mut Rng, flaw: Option<Flaw>) -> Self {
        let mut model = Model::random(rng);
        if flaw == Some(Flaw::UndeclaredSource) {
            model.steps.iter_mut().for_each(|step| (step.is_builtin, step.accelerator) = (false, None));
        }
        let n_steps = model.steps.len();
        Self {
            model,
            store: MemoryStore::new(FUNCTION),
            toys: Toys::default(),
            history: History::default(),
            seen: vec![None; n_steps],
            harms: 0,
            rots: rng.chance(500),
            has_rotted: false,
            before: vec![None; n_steps],
            flaw,
        }
    }

    fn ask(&self, rng: &mut Rng) -> Asked {
        let n_steps = self.model.steps.len();
        let mut wanted: Vec<usize> = (0..n_steps).filter(|_| rng.chance(300)).collect();
        wanted.push(n_steps - 1);
        let limits = Limits { cpu: 1 + rng.below(8), network: 1, keep_going: rng.chance(700) };
        Asked { wanted, forced: HashSet::new(), limits, plan: Plan::default(), cancel_after: None }
    }

    /// What happens to a store between two builds.
    fn harm(&mut self, rng: &mut Rng) {
        self.harms += 1;
        // Half of all seeds see no rot, so that what they say of lost results can be checked more closely.
        self.has_rotted |= self.rots;
        for digest in self.store.blob_digests() {
            match rng.below(10) {
                0 | 1 => drop(self.store.remove_blob(digest)),
                2 if self.rots => drop(self.store.flip_bit(digest, rng.below(64))),
                _ => {}
            }
        }
        for at in 0..self.model.steps.len() {
            let key = self.history.find(&label(at)).map(|r| r.record.key.parse::<ActionKey>().expect("a key"));
            if let Some(key) = key.filter(|_| rng.chance(150)) {
                self.store.forget(&key).expect("memory does not fail");
            }
        }
    }

    fn faulty(&self, plan: Plan, seed: u64) -> FaultyStore<'_> {
        let lie = match self.flaw {
            Some(Flaw::Store(lie)) => Some(lie),
            _ => None,
        };
        FaultyStore::new(&self.store, plan, lie, seed)
    }

    /// A build on a bad day may fail. What it says that it has made must be right all the same.
    fn bad_build(&mut self, asked: &Asked, rng: &mut Rng) -> Result<(), String> {
        let mut asked = asked.clone();
        let mut some = |chance, n| if rng.chance(chance) { 1 + rng.below(n) } else { 0 };
        asked.plan = Plan {
            errors: some(400, 60),
            losses: some(400, 60),
            rot: if self.rots { some(400, 60) } else { 0 },
            busy: some(300, 200),
            dies_at: match some(300, 60) {
                0 => None,
                at => Some(at as u64),
            },
        };
        self.has_rotted |= asked.plan.rot > 0;
        asked.cancel_after = Some(some(200, 12)).filter(|at| *at > 0);
        self.build(&asked, rng.next()).map(drop)
    }

    /// A build on a good day brings everything up to date that can be, whatever happened before.
    fn good_build(&mut self, asked: &Asked, seed: u64) -> Result<(), String> {
        for _ in 0..3 {
            let (told, outcome) = self.build(asked, seed)?;
            self.check_complete(asked, &told, &outcome)?;
            let unread =
                (0..self.model.steps.len()).any(|at| outcome.known[at].is_some() && self.read(&outcome, at).is_none());
            self.before = (0..self.model.steps.len()).map(|at| self.model.made(at)).collect();
            // No action had read it, so nobody had noticed that it is rotten. Now the store has.
            if !unread {
                return Ok(());
            }
        }
        Err("what was made can't be read, however often it is built".into())
    }

    /// With nothing changed, nothing runs but what failed.
    fn idle_build(&mut self, asked: &Asked, seed: u64) -> Result<(), String> {
        let (told, outcome) = self.build(asked, seed)?;
        self.check_complete(asked, &told, &outcome)?;
        // After a failure that stopped the build there may be something left to try.
        let is_done = asked.limits.keep_going || told.summary.failed == 0;
        match told.started.iter().find(|(_, reason)| is_done && *reason != Reason::FailedBefore) {
            Some((at, reason)) => Err(format!("{} ran again: {reason:?}", label(*at))),
            None => Ok(()),
        }
    }

    fn build(&mut self, asked: &Asked, seed: u64) -> Result<(Told, Outcome), String> {
        let store = self.faulty(asked.plan, seed);
        let mut history = match self.flaw {
            Some(Flaw::NoHistory) => History::default(),
            _ => self.history.clone(),
        };
        let mut sources = Sources::default();
        let (graph, sandbox) = self.lower(&mut sources, &store);
        let tools = FaultyTools::new(&self.toys, &store);
        let cancel = Cancel::new();
        let mut told = Told::default();
        let mut n_events = 0;
        let mut sink = |event: Event<'_>| {
            n_events += 1;
            if asked.cancel_after == Some(n_events) {
                cancel.cancel();
            }
            told.hear(&event);
        };
        let outcome = build::build(
            &graph,
            &Request {
                wanted: &asked.wanted.iter().map(|at| id(*at)).collect::<Vec<_>>(),
                exports: &[],
                workspace: std::path::Path::new("/nowhere"),
                forced: &asked.forced,
                salt: "",
                limits: asked.limits,
                dry_run: false,
            },
            &Services {
                blobs: &store,
                results: &store,
                sources: &sources,
                sandbox: &*sandbox,
                builtins: &tools,
                clock: self.toys.clock(),
                cancel: &cancel,
                is_explained: &|_, _| true,
            },
            &mut history,
            &mut sink,
        );
        let (is_dead, harms) = (store.is_dead(), store.harms());
        drop((sandbox, tools));
        self.check_right(asked, &told, &outcome)?;
        // Within one build, what is harmed may be noticed at once.
        let harms_before = self.harms;
        // Who dies between forgetting a result and recording another leaves none.
        self.harms += harms + u64::from(is_dead);
        let seen = self.check_reasons(asked, &told, harms_before)?;
        if !is_dead {
            (self.history, self.seen) = (history, seen);
        }
        Ok((told, outcome))
    }

    /// The graph and the sandbox, with the flaw that is planted there.
    fn lower<'a>(&'a self, sources: &mut Sources, store: &'a FaultyStore<'a>) -> (ActionGraph, Box<dyn Sandbox + 'a>) {
        let mut actions = self.model.lower(sources, "sum");
        let honest = FaultyTools::new(&self.toys, store);
        let mut sandbox: Box<dyn Sandbox + 'a> = Box::new(honest);
        match self.flaw {
            Some(Flaw::UndeclaredSource) => {
                actions.iter_mut().for_each(|action| drop(action.inputs.remove(0)));
                sandbox = Box::new(Peeking { inner: FaultyTools::new(&self.toys, store), model: &self.model });
            }
            Some(Flaw::StaleProducer) => {
                for input in actions.iter_mut().flat_map(|action| &mut action.inputs) {
                    let Source::Output { action, .. } = input.source else { continue };
                    let (Some(at), Some(bytes)) = (input.at.take(), &self.before[action.index()]) else { continue };
                    let mut tree = Tree::new();
                    let digest = sources.made(bytes, FUNCTION);
                    tree.insert(&at, Node::File { digest, executable: false }).expect("the tree is empty");
                    input.source = Source::Tree(tree);
                }
            }
            _ => {}
        }
        (ActionGraph::new(actions, vec![]).expect("a model has no cycles"), sandbox)
    }

    fn read(&self, outcome: &Outcome, at: usize) -> Option<Vec<u8>> {
        let Some(OutputNode::File { digest, .. }) = outcome.result(id(at)).map(|r| r.outputs[0].node.clone()) else {
            return None;
        };
        let store = self.faulty(Plan::default(), 0);
        Blobs::get(&store, digest).expect("nothing fails on a good day")
    }

    /// Holds of every build, however bad its day: what is there is right, and the counts add up.
    fn check_right(&self, asked: &Asked, told: &Told, outcome: &Outcome) -> Result<(), String> {
        for at in 0..self.model.steps.len() {
            if let Some(made) = self.read(outcome, at)
                && Some(&made) != self.model.made(at).as_ref()
            {
                return Err(format!("{} is {made:?} and should be {:?}", label(at), self.model.made(at)));
            }
        }
        if !told.finished {
            return Err("the last event is missing".into());
        }
        let Summary { built, reused_local, reused_remote, failed, skipped, .. } = told.summary;
        let counted = (built + reused_local + reused_remote + failed + skipped) as usize;
        let spoken_of: BTreeSet<usize> =
            told.ended.iter().map(|(at, ..)| *at).chain(told.skipped.iter().copied()).collect();
        if counted != spoken_of.len() {
            return Err(format!("{counted} actions are counted, and {} were spoken of", spoken_of.len()));
        }
        match self.model.needed(&asked.wanted).difference(&spoken_of).next() {
            Some(at) => Err(format!("nobody said what became of {}", label(*at))),
            None => Ok(()),
        }
    }

    /// Holds of a build on a good day: what can be made is there, and what can't has failed or waits for what has.
    fn check_complete(&self, asked: &Asked, told: &Told, outcome: &Outcome) -> Result<(), String> {
        let needed = self.model.needed(&asked.wanted);
        let all_good = needed.iter().all(|at| self.model.made(*at).is_some());
        // Accelerators may fail too, and then stop a build that is not to keep going.
        let goes_on = asked.limits.keep_going || (all_good && told.summary.failed == 0);
        for at in needed {
            let (is_there, can_be) = (outcome.known[at].is_some(), self.model.made(at).is_some());
            if is_there && !can_be || !is_there && can_be && goes_on {
                let failure = outcome.failures.get(&id(at));
                return Err(format!("{}: made {is_there}, should be {can_be}; {failure:?}", label(at)));
            }
        }
        Ok(())
    }

    /// Every reason given is true. Returns what is remembered from here on.
    fn check_reasons(&self, asked: &Asked, told: &Told, harms: u64) -> Result<Vec<Option<Seen>>, String> {
        for (at, reason) in &told.started {
            self.check_reason(asked, *at, reason).map_err(|e| format!("{} ran because {reason:?}: {e}", label(*at)))?;
        }
        let mut seen = self.seen.clone();
        for (at, end) in &told.ended {
            if let Some(reads) = self.model.reads(*at).filter(|_| *end != End::Cancelled) {
                seen[*at] = Some(Seen { reads, failed: *end == End::Failed, harms });
            }
        }
        Ok(seen)
    }

    fn check_reason(&self, asked: &Asked, at: usize, reason: &Reason) -> Result<(), String> {
        let now = self.model.reads(at).ok_or("what it needs can't be made")?;
        let seen = self.seen[at].as_ref();
        let forced = asked.forced.contains(&id(at));
        let ok = match (reason, seen) {
            (Reason::Rewound, _) => self.harms > 0,
            (Reason::Forced, _) => forced,
            (_, _) if forced => false,
            (Reason::New, seen) => seen.is_none(),
            (_, None) => false,
            (Reason::FailedBefore, Some(seen)) => seen.failed && seen.reads == now,
            // Rot may have lain there unnoticed for long; anything else must have happened since.
            (Reason::ResultLost, Some(seen)) => {
                !seen.failed && seen.reads == now && (self.has_rotted || self.harms > seen.harms)
            }
            (Reason::Changed(changes), Some(seen)) => {
                let told: Vec<_> = changes
                    .iter()
                    .map(|change| match &change.what {
                        Changed::Source { path } => ((path.clone(), String::new()), &change.old, &change.new),
                        Changed::Made { path, by } => ((path.clone(), by.clone()), &change.old, &change.new),
                        Changed::Mounted { .. } | Changed::Field { .. } => {
                            ((String::new(), String::new()), &change.old, &change.new)
                        }
                    })
                    .map(|(what, old, new)| (what, old.clone(), new.clone()))
                    .collect();
                let differs = |(what, new): (&(String, String), &String)| {
                    let old = seen.reads.get(what).cloned();
                    (old.as_ref() != Some(new)).then(|| (what.clone(), old, Some(new.clone())))
                };
                let true_ones: Vec<_> = now.iter().filter_map(differs).collect();
                told == true_ones
            }
            (Reason::WeakerSandbox | Reason::Unexplained, Some(_)) => false,
        };
        if ok { Ok(()) } else { Err(format!("the model says {seen:?}, harms {} and reads {now:?}", self.harms)) }
    }
}

impl Told {
    fn hear(&mut self, event: &Event<'_>) {
        match event {
            Event::Hit { action, .. } => self.ended.push((action.index(), End::Good)),
            Event::Started { action, because } => self.started.push((action.index(), (*because).clone())),
            Event::Ran { action, how, .. } => {
                let end = match how {
                    Ran::Built { .. } => End::Good,
                    Ran::Failed { failure: Failure::Ended { status: Status::Cancelled, .. } } => End::Cancelled,
                    Ran::Failed { .. } => End::Failed,
                };
                self.ended.push((action.index(), end));
            }
            Event::Skipped { action, .. } => self.skipped.push(action.index()),
            Event::Finished { summary } => (self.summary, self.finished) = (*summary, true),
            Event::Planned { .. }
            | Event::Exported { .. }
            | Event::Undeclared { .. }
            | Event::Sandboxed { .. }
            | Event::Comparing { .. }
            | Event::Compared { .. }
            | Event::Degraded { .. } => {}
        }
    }
}

/// A sandbox that shows actions a file they did not declare.
struct Peeking<'a> {
    inner: FaultyTools<'a, Toys>,
    model: &'a Model,
}

impl Sandbox for Peeking<'_> {
    fn strength(&self) -> Strength {
        self.inner.strength()
    }

    fn run(&self, job: &Job<'_>, cancel: &Cancel) -> Result<Execution, SandboxError> {
        let at: usize = job.argv[2].symbolic().parse().expect("the number of the step");
        let mut staged = job.staged.clone();
        let digest: BlobDigest = job.blobs.put(&self.model.sources[at])?;
        staged.insert(&path(SOURCE), Node::File { digest, executable: false }).expect("it was not declared");
        self.inner.run(&Job { staged: &staged, ..*job }, cancel)
    }
}

/// Several processes build one graph on one store, at once, with tools that never leave the same bytes twice.
fn share(seed: u64, lie: Option<Lie>) -> Result<(), String> {
    let mut rng = Rng::new(seed);
    let model = Model::random(&mut rng);
    let memory = MemoryStore::new(FUNCTION);
    let plan = Plan { busy: rng.below(300), ..Plan::default() };
    let store = FaultyStore::new(&memory, plan, lie, seed);
    let mut toys = Toys::default();
    toys.pace = Duration::from_micros(200);
    let processes: Vec<Vec<Vec<Output>>> = std::thread::scope(|scope| {
        let build = || build_all(&model, &store, &toys);
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(build)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a build does not panic")).collect()
    });
    if let Some(other) = processes.iter().find(|left| **left != processes[0]) {
        return Err(format!("one process left {:?} and another {other:?}", processes[0]));
    }
    if lie != Some(Lie::LastResultWins) && toys.has_overlapped() {
        return Err("an action ran twice at once".into());
    }
    let needed = processes[0].iter().filter(|outputs| !outputs.is_empty()).count() as u64;
    if lie.is_none() && toys.runs() != needed {
        return Err(format!("{needed} actions were run {} times", toys.runs()));
    }
    Ok(())
}

fn build_all(model: &Model, store: &FaultyStore<'_>, toys: &Toys) -> Vec<Vec<Output>> {
    let mut sources = Sources::default();
    let graph = ActionGraph::new(model.lower(&mut sources, "varying"), vec![]).expect("a model has no cycles");
    let wanted: Vec<ActionId> = graph.ids().collect();
    let outcome = build::build(
        &graph,
        &Request {
            wanted: &wanted,
            exports: &[],
            workspace: std::path::Path::new("/nowhere"),
            forced: &HashSet::new(),
            salt: "",
            limits: Limits { cpu: 4, network: 1, keep_going: true },
            dry_run: false,
        },
        &Services {
            blobs: store,
            results: store,
            sources: &sources,
            sandbox: toys,
            builtins: toys,
            clock: toys.clock(),
            cancel: &Cancel::new(),
            is_explained: &|_, _| true,
        },
        &mut History::default(),
        &mut |_: Event<'_>| {},
    );
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    wanted.iter().map(|id| outcome.result(*id).map(|r| r.outputs.clone()).unwrap_or_default()).collect()
}
