//! The bad day on a disk: two to eight processes build one project on one store, collect it and verify it, while the
//! disk fails, fills up, forgets and flips bits, processes are killed, the power is cut and the clock is set back.
//!
//! The processes run the engine and [`DiskStore`] on a [`Machine`], which lets one go on at a time, so a seed is one
//! history and happens again the same way. Whatever happens: what a build says that it has made is right; once the
//! weather is good, one more build is complete and equal to a clean one; what the store holds after that is what its
//! names say. Where nothing bad happened, every build succeeds and nothing is run twice.

use std::collections::{BTreeSet, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use run_engine::action::ActionId;
use run_engine::build::{self, Outcome, Request, Services};
use run_engine::cancel::Cancel;
use run_engine::digest::{Blob, BlobDigest, DigestFunction};
use run_engine::event::{Event, Failure};
use run_engine::files::scan::Sources;
use run_engine::graph::{ActionGraph, Export};
use run_engine::history::History;
use run_engine::schedule::Limits;
use run_engine::store::disk::DiskStore;
use run_engine::store::{Blobs as _, Output, OutputNode, StoreError};
use run_engine::testing::faults::Rng;
use run_engine::testing::machine::{Defect, Machine, Process, STORE};
use run_engine::testing::tool::Toys;
use run_engine::testing::turns::Stage;
use run_engine::testing::weather::{Tally, Weather};

use super::hands::{Hands, Lie};
use super::model::{FUNCTION, Model, id, label, path};
use super::seeds;

/// How many seeds each part of the suite runs.
const SEEDS: u64 = 400;
const ROUNDS: usize = 2;
const PROCESSES_MAX: usize = 8;
/// Within how many seeds a planted bug has to be found.
const SEEDS_TO_FIND: u64 = 200;

fn run_part(part: u64, of: u64) {
    let stage = Stage::new(PROCESSES_MAX);
    for seed in seeds(part, of, SEEDS) {
        simulate(&stage, seed, None).unwrap_or_else(|e| {
            panic!("{e}\nrun it again with RUN_SEED={seed} cargo test -p run-cli --test suite simulate::disk")
        });
    }
}

#[test]
fn whatever_happens_to_the_disk_builds_are_right_1() {
    run_part(0, 4);
}

#[test]
fn whatever_happens_to_the_disk_builds_are_right_2() {
    run_part(1, 4);
}

#[test]
fn whatever_happens_to_the_disk_builds_are_right_3() {
    run_part(2, 4);
}

#[test]
fn whatever_happens_to_the_disk_builds_are_right_4() {
    run_part(3, 4);
}

#[test]
fn a_seed_is_one_history() {
    let stage = Stage::new(PROCESSES_MAX);
    for seed in 0..20 {
        let [one, other] = [(), ()].map(|()| simulate(&stage, seed, None).expect("a good seed"));
        assert_eq!(one, other, "seed {seed}");
    }
}

/// What the weather is there for happens in the seeds of the suite.
#[test]
fn all_kinds_of_bad_days_are_simulated() {
    let stage = Stage::new(PROCESSES_MAX);
    let seen: Vec<Tally> = (0..100).map(|seed| simulate(&stage, seed, None).expect("a good seed").tally).collect();
    let counts: [fn(&Tally) -> u64; 6] =
        [|t| t.errors, |t| t.losses, |t| t.flips, |t| t.kills, |t| t.power_cuts, |t| t.setbacks];
    for count in counts {
        assert!(seen.iter().filter(|tally| count(tally) > 0).count() > 5, "{seen:?}");
    }
}

/// A bug planted below the store, around it, or in the harness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// The disk does what a bug in the store's use of it would come to.
    Below(Defect),
    /// The store breaks its promise.
    Around(Lie),
    /// The verifier is not asked.
    Unasked,
}

#[test]
fn a_bug_in_the_use_of_the_disk_is_found() {
    let flaws = [
        Flaw::Below(Defect::ClaimsForAll),
        Flaw::Below(Defect::LeasesUnseen),
        Flaw::Below(Defect::UseUnmarked),
        Flaw::Below(Defect::WrittenInPlace),
        Flaw::Below(Defect::NothingForgotten),
        Flaw::Below(Defect::DamageKept),
        Flaw::Around(Lie::UnverifiedReads),
        Flaw::Around(Lie::NothingMissing),
        Flaw::Around(Lie::ResultsFirst),
        Flaw::Unasked,
    ];
    let stage = Stage::new(PROCESSES_MAX);
    for flaw in flaws {
        let caught = (0..SEEDS_TO_FIND).find(|seed| simulate(&stage, *seed, Some(flaw)).is_err());
        assert!(caught.is_some(), "{flaw:?} goes unnoticed");
    }
}

/// What a process is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Builder,
    Collector,
    Verifier,
}

/// What one round is like.
struct Day {
    weather: Weather,
    roles: Vec<Role>,
    /// Whether somebody edits meanwhile.
    edits: bool,
}

impl Day {
    fn random(rng: &mut Rng) -> Self {
        let n = if rng.chance(200) { 2 + rng.below(PROCESSES_MAX - 1) } else { 2 + rng.below(2) };
        let is_tended = rng.chance(600);
        let role = |at: usize, rng: &mut Rng| match rng.below(4) {
            0 if at > 0 && is_tended => Role::Collector,
            1 if at > 0 && is_tended => Role::Verifier,
            _ => Role::Builder,
        };
        let roles = (0..n).map(|at| role(at, rng)).collect();
        let mut some = |chance, often: usize| if rng.chance(chance) { 1 + rng.below(often) } else { 0 };
        let weather = match some(700, 1) {
            0 => Weather::default(),
            _ => Weather {
                errors: some(300, 1000),
                losses: some(200, 2000),
                flips: some(300, 2000),
                kills: some(400, 800),
                power_cuts: some(150, 200),
                setbacks: some(200, 300),
            },
        };
        Self { weather, roles, edits: rng.chance(300) }
    }

    fn is_calm(&self) -> bool {
        let Weather { errors, losses, flips, kills, power_cuts, setbacks } = self.weather;
        [errors, losses, flips, kills, power_cuts, setbacks].iter().all(|chance| *chance == 0)
    }
}

/// One project, one store, and those who work on them.
struct World<'a> {
    stage: &'a Stage,
    machine: Arc<Machine>,
    toys: Toys,
    workspace: tempfile::TempDir,
    project: Mutex<Project>,
    flaw: Option<Flaw>,
    /// What is told of the first thing that went wrong.
    wrong: Mutex<Option<String>>,
    n_scratch: AtomicU64,
}

/// What is on the user's side of the disk.
struct Project {
    model: Model,
    history: Vec<u8>,
    /// Everything that may have been written to a place in the workspace by now.
    valid: BTreeSet<(usize, Vec<u8>)>,
}

/// What came of a seed.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    fingerprint: u64,
    runs: u64,
    tally: Tally,
}

/// One seed, from an empty disk. A panic of the engine is a failure like any other.
fn simulate(stage: &Stage, seed: u64, flaw: Option<Flaw>) -> Result<Told, String> {
    catch_unwind(AssertUnwindSafe(|| live_through(stage, seed, flaw)))
        .unwrap_or_else(|_| Err(format!("seed {seed}: the engine panicked")))
}

fn live_through(stage: &Stage, seed: u64, flaw: Option<Flaw>) -> Result<Told, String> {
    let mut rng = Rng::new(seed ^ 0x0D15_C0DE);
    let defect = match flaw {
        Some(Flaw::Below(defect)) => Some(defect),
        _ => None,
    };
    let model = Model::random(&mut rng);
    let world = World {
        stage,
        machine: Machine::new(seed, defect),
        toys: Toys::default(),
        workspace: tempfile::tempdir().map_err(|e| e.to_string())?,
        project: Mutex::new(Project { model, history: Vec::new(), valid: BTreeSet::new() }),
        flaw,
        wrong: Mutex::new(None),
        n_scratch: AtomicU64::new(0),
    };
    for round in 0..ROUNDS {
        let at = |e: String| format!("seed {seed}, round {round}: {e}");
        world.bad_day(&Day::random(&mut rng)).map_err(|e| at(format!("bad day: {e}")))?;
        world.harm(&mut rng);
        world.good_day().map_err(|e| at(format!("good day: {e}")))?;
    }
    Ok(Told { fingerprint: world.machine.fingerprint(), runs: world.toys.runs(), tally: world.machine.tally() })
}

impl World<'_> {
    /// Everybody at once.
    fn bad_day(&self, day: &Day) -> Result<(), String> {
        let runs_before = self.toys.runs();
        self.machine.run(self.stage, day.roles.len(), day.weather, &|process| {
            let done = match day.roles[process.number()] {
                Role::Builder => self.builder(process, day),
                Role::Collector => self.collector(process, day),
                Role::Verifier => self.verifier(process, day),
            };
            if let Err(e) = done {
                self.went_wrong(format!("process {}: {e}", process.number()));
            }
        });
        self.check_promises()?;
        let model = &self.lock().model;
        let runs = self.toys.runs() - runs_before;
        let is_alone = day.roles.iter().all(|role| *role == Role::Builder) && !day.edits && day.is_calm();
        let all_good = (0..model.steps.len()).all(|at| model.made(at).is_some());
        match is_alone && all_good && runs > model.steps.len() as u64 {
            true => Err(format!("{} actions were run {runs} times", model.steps.len())),
            false => Ok(()),
        }
    }

    /// Holds always.
    fn check_promises(&self) -> Result<(), String> {
        if let Some(wrong) = self.wrong.lock().expect("nothing panics while it is held").take() {
            return Err(wrong);
        }
        if let Some(broken) = self.machine.broken() {
            return Err(broken);
        }
        let Tally { kills, power_cuts, .. } = self.machine.tally();
        // Who was killed is still on its way out of its tool when the next one starts it.
        if kills + power_cuts == 0 && self.toys.has_overlapped() {
            return Err("an action ran twice at once".into());
        }
        Ok(())
    }

    fn builder(&self, process: &Process, day: &Day) -> Result<(), String> {
        for _ in 0..1 + process.choose(2) {
            if day.edits && process.choose(2) == 0 {
                self.lock().model.edit(&mut Rng::new(process.choose(1 << 30) as u64));
            }
            let model = self.lock().model.clone();
            let wanted: Vec<usize> =
                (0..model.steps.len()).filter(|at| at + 1 == model.steps.len() || process.choose(2) == 0).collect();
            match self.build(process, &model, &wanted) {
                Ok(built) => {
                    self.check_right(&model, &built)?;
                    if day.is_calm() {
                        check_complete(&model, &wanted, &built)?;
                    }
                }
                Err(e) if day.is_calm() => return Err(e),
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn collector(&self, process: &Process, day: &Day) -> Result<(), String> {
        for _ in 0..1 + process.choose(4) {
            let collected = process.open_store(FUNCTION).and_then(|store| store.collect(some_size(process, &store)?));
            match collected {
                Err(e) if day.is_calm() => return Err(format!("can't collect: {e}")),
                _ => {}
            }
        }
        Ok(())
    }

    fn verifier(&self, process: &Process, day: &Day) -> Result<(), String> {
        for _ in 0..1 + process.choose(2) {
            match process.open_store(FUNCTION).and_then(|store| store.verify_all()) {
                Ok(Some(found)) if self.is_unharmed() && found.n_corrupt + found.n_dangling > 0 => {
                    return Err(format!("nobody harmed the store, and it is damaged: {found:?}"));
                }
                Err(e) if day.is_calm() => return Err(format!("can't verify: {e}")),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether nothing has happened to files but what processes do to them, killed ones included.
    fn is_unharmed(&self) -> bool {
        let Tally { losses, flips, power_cuts, .. } = self.machine.tally();
        losses + flips + power_cuts == 0
    }

    /// What happens to a machine that is off.
    fn harm(&self, rng: &mut Rng) {
        if rng.chance(300) {
            self.machine.rot();
        }
        if rng.chance(200) {
            self.machine.lose();
        }
        let mut project = self.lock();
        if rng.chance(100) && !project.history.is_empty() {
            let at = rng.below(project.history.len());
            project.history[at] ^= 1;
        }
        if rng.chance(100) {
            let at = rng.below(project.model.steps.len());
            // Torn, edited or never written: it is there again after the next build.
            std::fs::write(self.workspace.path().join(exported(at)), "torn").expect("a file can be written");
        }
        if rng.chance(500) {
            project.model.edit(rng);
        }
    }

    /// One process, and nothing goes wrong any more.
    fn good_day(&self) -> Result<(), String> {
        let model = self.lock().model.clone();
        let all: Vec<usize> = (0..model.steps.len()).collect();
        let done = Mutex::new(Ok(()));
        self.machine.run(self.stage, 1, Weather::default(), &|process| {
            *done.lock().expect("one thread") = self.good_hours(process, &model, &all);
        });
        done.into_inner().expect("one thread")?;
        self.check_promises()
    }

    fn good_hours(&self, process: &Process, model: &Model, all: &[usize]) -> Result<(), String> {
        let store = process.open_store(FUNCTION).map_err(|e| e.to_string())?;
        let first = self.build(process, model, all)?;
        self.check_clean(model, all, &first)?;
        self.check_kept(&store, &first)?;
        if self.flaw != Some(Flaw::Unasked) {
            verify(&store)?;
        }
        self.check_store()?;
        let second = self.build(process, model, all).map_err(|e| format!("after verifying: {e}"))?;
        self.check_clean(model, all, &second)?;
        self.check_kept(&store, &second)?;
        let idle = self.build(process, model, all)?;
        self.check_clean(model, all, &idle)?;
        if let Some(at) = idle.started.iter().find(|at| model.made(**at).is_some()) {
            return Err(format!("{} ran again", label(*at)));
        }
        let found = verify(&store)?;
        if found.n_corrupt + found.n_dangling > 0 {
            return Err(format!("the verifier has left something: {found:?}"));
        }
        self.machine.wait(Duration::from_secs(20 * 24 * 60 * 60));
        let cap_bytes = some_size(process, &store).map_err(|e| e.to_string())?;
        let collected = store.collect(cap_bytes).map_err(|e| e.to_string())?.ok_or("somebody else collects")?;
        self.check_collected(collected.kept_bytes, cap_bytes)
    }

    /// Everything that a build knows of is in the store. What rots keeps its size: only whoever reads it finds out, and
    /// the build need not have.
    fn check_kept(&self, store: &DiskStore, built: &Built) -> Result<(), String> {
        let Tally { flips, power_cuts, .. } = self.machine.tally();
        let known = built.outcome.known.iter().flatten().flat_map(|known| &known.result.outputs);
        let digests: Vec<BlobDigest> = known.filter_map(digest_of).collect();
        match store.find_missing(&digests).map_err(|e| e.to_string())?.first() {
            Some(missing) if flips + power_cuts == 0 => Err(format!("{missing} is known, and not in the store")),
            _ => Ok(()),
        }
    }

    /// Every file is what its name says.
    fn check_store(&self) -> Result<(), String> {
        for (path, bytes) in self.machine.files_below(&Path::new(STORE).join("cas")) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let digest = DigestFunction::Blake3.digest::<Blob>(&bytes).hex();
            if name.trim_end_matches(".x") != digest {
                return Err(format!("{} is damaged, and verified", path.display()));
            }
        }
        Ok(())
    }

    /// The collector kept to the size, and swept up after those who died.
    fn check_collected(&self, kept_bytes: u64, cap_bytes: u64) -> Result<(), String> {
        let below = |name| self.machine.files_below(&Path::new(STORE).join(name));
        let bytes: u64 = ["cas", "ac"].into_iter().flat_map(below).map(|(_, bytes)| bytes.len() as u64).sum();
        if bytes > cap_bytes || bytes != kept_bytes {
            return Err(format!("{bytes} bytes are left of {cap_bytes}, and {kept_bytes} are told of"));
        }
        match ["tmp", "leases"].into_iter().flat_map(below).next() {
            Some((path, _)) => Err(format!("{} was left behind", path.display())),
            None => Ok(()),
        }
    }

    /// A build, from opening the store to saving what was learned. An error says why there was none.
    fn build(&self, process: &Process, model: &Model, wanted: &[usize]) -> Result<Built, String> {
        let store = process.open_store(FUNCTION).map_err(|e| format!("no store: {e}"))?;
        let lease = store.lease().map_err(|e| format!("no lease: {e}"))?;
        let hands = Hands::new(process, &store, &self.toys, &self.n_scratch, self.lie());
        let mut sources = Sources::default();
        let graph = ActionGraph::new(model.lower(&mut sources, "sum"), vec![]).expect("a model has no cycles");
        let mut history = History::decode(&self.lock().history);
        self.expect(model);
        let exports: Vec<Export> = wanted.iter().rev().take(2).map(|at| export(*at)).collect();
        let mut started = Vec::new();
        let outcome = build::build_in_turn(
            &graph,
            &Request {
                wanted: &wanted.iter().map(|at| id(*at)).collect::<Vec<ActionId>>(),
                exports: &exports,
                workspace: self.workspace.path(),
                forced: &HashSet::new(),
                salt: "",
                limits: Limits { cpu: 1 + process.choose(4), network: 1, keep_going: true },
                dry_run: false,
            },
            &Services {
                blobs: &hands,
                results: &hands,
                sources: &sources,
                sandbox: &hands,
                builtins: &hands,
                clock: process,
                cancel: &Cancel::new(),
                is_explained: &|_, _| true,
            },
            &mut history,
            &mut |event: Event<'_>| {
                if let Event::Started { action, .. } = event {
                    started.push(action.index());
                }
            },
            &mut |n| process.choose(n),
        );
        process.lets_go();
        drop(lease);
        if !process.is_dead() {
            self.lock().history = history.encode();
        }
        Ok(Built { outcome, started })
    }

    /// Whatever the day was like.
    fn check_right(&self, model: &Model, built: &Built) -> Result<(), String> {
        if let Some((id, failure)) = built.outcome.failures.iter().find(|(_, f)| matches!(f, Failure::Bug { .. })) {
            return Err(format!("{}: {failure:?}", label(id.index())));
        }
        for at in 0..model.steps.len() {
            let made = model.made(at).map(|bytes| FUNCTION.digest(&bytes));
            match built.outcome.result(id(at)).map(|result| &result.outputs[0].node) {
                Some(OutputNode::File { digest, .. }) if Some(*digest) != made => {
                    return Err(format!("{} is {digest} and should be {made:?}", label(at)));
                }
                _ => {}
            }
        }
        let project = self.lock();
        for at in 0..model.steps.len() {
            if let Ok(bytes) = std::fs::read(self.workspace.path().join(exported(at)))
                && bytes != b"torn"
                && !project.valid.contains(&(at, bytes.clone()))
            {
                return Err(format!("nobody has ever made this of {}: {bytes:?}", label(at)));
            }
        }
        Ok(())
    }

    /// On a good day.
    fn check_clean(&self, model: &Model, wanted: &[usize], built: &Built) -> Result<(), String> {
        self.check_right(model, built)?;
        check_complete(model, wanted, built)?;
        for at in wanted.iter().rev().take(2) {
            let there = std::fs::read(self.workspace.path().join(exported(*at))).ok();
            if model.made(*at).is_some() && there != model.made(*at) {
                return Err(format!("{} is not what was exported: {there:?}", label(*at)));
            }
        }
        Ok(())
    }

    /// From now on the workspace may hold what this model makes.
    fn expect(&self, model: &Model) {
        let made = (0..model.steps.len()).filter_map(|at| Some((at, model.made(at)?)));
        self.lock().valid.extend(made);
    }

    fn lie(&self) -> Option<Lie> {
        match self.flaw {
            Some(Flaw::Around(lie)) => Some(lie),
            _ => None,
        }
    }

    fn went_wrong(&self, what: String) {
        self.wrong.lock().expect("nothing panics while it is held").get_or_insert(what);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Project> {
        self.project.lock().expect("nothing panics while it is held")
    }
}

/// A build that has ended.
struct Built {
    outcome: Outcome,
    started: Vec<usize>,
}

/// What can be made is there, and what can't is not.
fn check_complete(model: &Model, wanted: &[usize], built: &Built) -> Result<(), String> {
    for at in model.needed(wanted) {
        let (is_there, can_be) = (built.outcome.known[at].is_some(), model.made(at).is_some());
        if is_there != can_be {
            let failure = built.outcome.failures.get(&id(at));
            return Err(format!("{}: made {is_there}, should be {can_be}; {failure:?}", label(at)));
        }
    }
    match &built.outcome.export_error {
        Some(e) => Err(format!("can't export: {e}")),
        None => Ok(()),
    }
}

const fn digest_of(output: &Output) -> Option<BlobDigest> {
    match output.node {
        OutputNode::File { digest, .. } => Some(digest),
        OutputNode::Directory { .. } => None,
    }
}

/// A size that some of the store's blobs have to go for, and now and then all.
fn some_size(process: &Process, store: &DiskStore) -> Result<u64, StoreError> {
    let stats = store.stats()?;
    let usage = stats.per_function.get(&FUNCTION).copied().unwrap_or_default();
    let blob_bytes = usize::try_from(usage.blob_bytes).expect("a small store");
    Ok(if process.choose(5) == 0 { 0 } else { usage.result_bytes + process.choose(blob_bytes + 1) as u64 })
}

fn verify(store: &DiskStore) -> Result<run_engine::store::verify::Verified, String> {
    store.verify_all().map_err(|e| e.to_string())?.ok_or_else(|| "somebody else verifies".to_owned())
}

fn exported(at: usize) -> String {
    format!("out-{at}")
}

fn export(at: usize) -> Export {
    Export { action: id(at), output: path("out"), to: path(&exported(at)) }
}
