//! The bad day of a project: what a request does beside building. It asks the witness of the last one, looks at the
//! sources by what the stat cache knows, writes outputs into the project, and then what it learned.
//!
//! All of it is on the simulated disk: by a clock that is set back, beside other requests for the same project and people
//! who edit it, with processes killed between the outputs and the witness, and with state that is torn, full of zeros, or
//! older than it should be. Sources have one size, so only their times tell that they were edited, and these are set back
//! at will. Whatever happens: once nobody else is at work, each request, by the short way or the long one, leaves what a
//! clean build would; and when all is quiet, the short way is taken.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use run_engine::action::{Action, ActionId};
use run_engine::build::{self, Outcome, Request, Services};
use run_engine::cancel::Cancel;
use run_engine::digest::{Blob, BlobDigest};
use run_engine::event::Event;
use run_engine::files::scan::{Scanned, Sources};
use run_engine::files::stat_cache::StatCache;
use run_engine::graph::ActionGraph;
use run_engine::history::History;
use run_engine::path::RelPath;
use run_engine::schedule::Limits;
use run_engine::store::Blobs as _;
use run_engine::store::disk::DiskStore;
use run_engine::testing::faults::Rng;
use run_engine::testing::machine::{Defect, Machine, Process};
use run_engine::testing::tool::Toys;
use run_engine::testing::turns::Stage;
use run_engine::testing::weather::{Tally, Weather};
use run_engine::testing::workspace::{Manner, WORK};
use run_engine::tree::Node;
use run_engine::witness::{At, Verdict, Witness};

use super::hands::Hands;
use super::model::{FUNCTION, Model, path};
use super::seeds;

/// How many seeds each part of the suite runs.
const SEEDS: u64 = 300;
const PARTS: u64 = 2;
const ROUNDS: usize = 3;
const PROCESSES_MAX: usize = 4;
/// Within how many seeds a planted bug has to be found.
const SEEDS_TO_FIND: u64 = 300;

/// What a request remembers, in the project's directory.
const STATE: [&str; 3] = ["witness", "stamps", "history"];

fn run_part(part: u64) {
    let stage = Stage::new(PROCESSES_MAX);
    for seed in seeds(part, PARTS, SEEDS) {
        simulate(&stage, seed, None).unwrap_or_else(|e| {
            panic!("{e}\nrun it again with RUN_SEED={seed} cargo test -p run-cli --test suite simulate::project")
        });
    }
}

#[test]
fn whatever_happens_to_a_project_it_is_as_a_clean_build_leaves_it_1() {
    run_part(0);
}

#[test]
fn whatever_happens_to_a_project_it_is_as_a_clean_build_leaves_it_2() {
    run_part(1);
}

/// What the simulation is there for happens in the seeds of the suite.
#[test]
fn both_ways_are_taken_on_good_days_and_on_bad_ones() {
    let stage = Stage::new(PROCESSES_MAX);
    let told: Vec<Told> = (0..100).map(|seed| simulate(&stage, seed, None).expect("a good seed")).collect();
    let counts: [fn(&Told) -> u64; 6] = [
        |t| t.n_short,
        |t| t.n_long,
        |t| t.n_short_beside_others,
        |t| t.n_refused,
        |t| t.tally.kills,
        |t| t.tally.power_cuts + t.tally.setbacks,
    ];
    for count in counts {
        assert!(told.iter().any(|told| count(told) > 0), "{told:?}");
    }
}

/// A bug planted in what a request does, or below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    /// The disk does what a bug in the engine's use of it would come to.
    Below(Defect),
    /// The witness does not cover the outputs.
    OutputsUnseen,
    /// It has the stamps that sources had after the build.
    StampsLate,
}

#[test]
fn a_bug_in_how_a_project_is_looked_at_is_found() {
    let flaws = [Flaw::Below(Defect::ChangesUntold), Flaw::OutputsUnseen, Flaw::StampsLate];
    let stage = Stage::new(PROCESSES_MAX);
    let is_unnoticed = |flaw: &Flaw| (0..SEEDS_TO_FIND).all(|seed| simulate(&stage, seed, Some(*flaw)).is_ok());
    let unnoticed: Vec<Flaw> = flaws.into_iter().filter(is_unnoticed).collect();
    assert_eq!(unnoticed, [], "these go unnoticed");
}

/// What came of a seed.
#[derive(Debug)]
struct Told {
    tally: Tally,
    n_short: u64,
    n_short_beside_others: u64,
    n_long: u64,
    /// Witnesses that were not written because outputs were no longer what had been left.
    n_refused: u64,
}

/// One project and those who work on it.
struct World<'a> {
    stage: &'a Stage,
    machine: Arc<Machine>,
    toys: Toys,
    /// The graph. What its sources hold is on the disk.
    shape: Model,
    files: Vec<RelPath>,
    /// What sources may hold, by digest.
    contents: HashMap<BlobDigest, Vec<u8>>,
    flaw: Option<Flaw>,
    wrong: Mutex<Option<String>>,
    older: Mutex<Vec<(PathBuf, Vec<u8>)>>,
    n_scratch: AtomicU64,
    n_short: AtomicU64,
    n_short_beside_others: AtomicU64,
    n_long: AtomicU64,
    n_refused: AtomicU64,
}

/// How a request was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Nothing has moved.
    Short,
    /// By a build, of which all went well or not.
    Long { is_whole: bool },
}

fn simulate(stage: &Stage, seed: u64, flaw: Option<Flaw>) -> Result<Told, String> {
    catch_unwind(AssertUnwindSafe(|| live_through(stage, seed, flaw)))
        .unwrap_or_else(|_| Err(format!("seed {seed}: the engine panicked")))
}

fn live_through(stage: &Stage, seed: u64, flaw: Option<Flaw>) -> Result<Told, String> {
    let mut rng = Rng::new(seed ^ 0x0050_201E_C700);
    let defect = match flaw {
        Some(Flaw::Below(defect)) => Some(defect),
        _ => None,
    };
    let shape = Model::random(&mut rng);
    let n_steps = shape.steps.len();
    let world = World {
        stage,
        machine: Machine::new(seed, defect),
        toys: Toys::default(),
        files: (0..n_steps).map(|at| path(&source(at))).collect(),
        contents: (0..=u8::MAX).map(|byte| (FUNCTION.digest(&[byte]), vec![byte])).collect(),
        shape,
        flaw,
        wrong: Mutex::new(None),
        older: Mutex::default(),
        n_scratch: AtomicU64::new(0),
        n_short: AtomicU64::new(0),
        n_short_beside_others: AtomicU64::new(0),
        n_long: AtomicU64::new(0),
        n_refused: AtomicU64::new(0),
    };
    for at in 0..n_steps {
        world.machine.edit(&place(&source(at)), &world.shape.sources[at], Manner::InPlace);
    }
    for round in 0..ROUNDS {
        let at = |e: String| format!("seed {seed}, round {round}: {e}");
        world.bad_day(&mut rng).map_err(|e| at(format!("bad day: {e}")))?;
        world.good_day(&mut rng).map_err(|e| at(format!("good day: {e}")))?;
    }
    let count = |n: &AtomicU64| n.load(Ordering::SeqCst);
    Ok(Told {
        tally: world.machine.tally(),
        n_short: count(&world.n_short),
        n_short_beside_others: count(&world.n_short_beside_others),
        n_long: count(&world.n_long),
        n_refused: count(&world.n_refused),
    })
}

impl World<'_> {
    /// Several requests at once, and perhaps somebody who edits meanwhile.
    fn bad_day(&self, rng: &mut Rng) -> Result<(), String> {
        let mut some = |chance, often: usize| if rng.chance(chance) { 1 + rng.below(often) } else { 0 };
        let weather = Weather {
            errors: some(300, 600),
            kills: some(500, 800),
            power_cuts: some(250, 300),
            setbacks: some(250, 400),
            ..Weather::default()
        };
        let n = 1 + rng.below(PROCESSES_MAX - 1);
        let is_edited = rng.chance(600);
        self.machine.run(self.stage, n + usize::from(is_edited), weather, &|process| {
            if process.number() == n {
                self.meddle(process);
                return;
            }
            for _ in 0..1 + process.choose(3) {
                // On a bad day a request may fail, and what it leaves may be overtaken by edits.
                if self.request(process) == Ok(Answer::Short) && !is_edited {
                    self.n_short_beside_others.fetch_add(1, Ordering::SeqCst);
                    if let Err(e) = self.check_clean(process) {
                        self.wrong.lock().expect("nothing panics while it is held").get_or_insert(e);
                    }
                }
            }
        });
        let wrong = self.wrong.lock().expect("nothing panics while it is held").take();
        wrong.or_else(|| self.machine.broken()).map_or(Ok(()), Err)
    }

    /// Somebody works on the project while it is built.
    fn meddle(&self, process: &Process) {
        for _ in 0..1 + process.choose(6) {
            for _ in 0..process.choose(120) {
                if process.step().is_err() && process.is_dead() {
                    return;
                }
            }
            self.harm(&mut Rng::new(process.choose(1 << 30) as u64));
        }
    }

    /// One process at a time, edits and accidents between its requests, and each request leaves what it should.
    fn good_day(&self, rng: &mut Rng) -> Result<(), String> {
        self.bring_back(rng);
        let done = Mutex::new(Ok(()));
        let seed = rng.next();
        self.machine.run(self.stage, 1, Weather::default(), &|process| {
            *done.lock().expect("one thread") = self.good_hours(process, &mut Rng::new(seed));
        });
        done.into_inner().expect("one thread")
    }

    fn good_hours(&self, process: &Process, rng: &mut Rng) -> Result<(), String> {
        for hour in 0..5 {
            self.request(process)?;
            self.check_clean(process).map_err(|e| format!("request {hour}: {e}"))?;
            self.machine.wait(Duration::from_micros([0, 900, 9_000, 90_000][rng.below(4)]));
            self.harm(rng);
            if rng.chance(300) {
                self.harm(rng);
            }
            if let Some(at) = self.find_gone() {
                if let Ok(answer) = self.request(process) {
                    return Err(format!("{} is gone, and the answer is {answer:?}", source(at)));
                }
                self.bring_back(rng);
            }
        }
        self.request(process)?;
        self.check_clean(process)?;
        self.machine.wait(Duration::from_secs(3));
        let is_whole = self.request(process)? != Answer::Long { is_whole: false };
        self.check_clean(process)?;
        self.machine.wait(Duration::from_secs(3));
        let last = self.request(process)?;
        // What is stamped with a time to come is never believed.
        let may_be_stamped_later = self.machine.tally().setbacks > 0;
        match last {
            Answer::Long { .. } if is_whole && !may_be_stamped_later => {
                Err("nothing has moved, and the long way was taken".to_owned())
            }
            _ => self.check_clean(process),
        }
    }

    /// A source that is not there.
    fn find_gone(&self) -> Option<usize> {
        (0..self.files.len()).find(|at| self.machine.read(&place(&source(*at))).is_none())
    }

    /// Writes the sources again that are not there.
    fn bring_back(&self, rng: &mut Rng) {
        while let Some(at) = self.find_gone() {
            self.machine.edit(&place(&source(at)), &some_source(rng), Manner::random(rng));
        }
    }

    /// What people and accidents do to a project. No two lie a step apart.
    fn harm(&self, rng: &mut Rng) {
        let at = rng.below(self.files.len());
        let (source, output) = (place(&source(at)), place(&output(at)));
        let state = place(STATE[rng.below(STATE.len())]);
        let manner = Manner::random(rng);
        match rng.below(12) {
            0..=3 => self.machine.edit(&source, &some_source(rng), manner),
            4 => self.machine.delete(&source),
            5 => self.machine.delete(&output),
            6 | 7 => {
                let mut bytes = self.machine.read(&output).unwrap_or_else(|| b"mine".to_vec());
                if let Some(first) = bytes.first_mut() {
                    *first ^= 1;
                }
                self.machine.edit(&output, &bytes, manner);
            }
            8 => self.machine.spoil(&state),
            9 => self.older.lock().expect("one at a time").extend(self.machine.read(&state).map(|old| (state, old))),
            10 => {
                // From a backup, perhaps.
                let older = self.older.lock().expect("one at a time");
                if !older.is_empty() {
                    let (file, bytes) = &older[rng.below(older.len())];
                    self.machine.edit(file, bytes, Manner::Replacing);
                }
            }
            _ => {}
        }
    }

    /// What a command does when it is asked to bring the project up to date. An error says why it could not.
    fn request(&self, process: &Process) -> Result<Answer, String> {
        let looked = process.time_of_day();
        let identity = self.identity();
        let told = process.read_file(&place("witness")).ok().and_then(|bytes| Witness::from_bytes(&bytes));
        if let Some(witness) = told
            && *witness.identity() == identity
            && process.check(&witness) == Verdict::Same
        {
            self.n_short.fetch_add(1, Ordering::SeqCst);
            return Ok(Answer::Short);
        }
        self.n_long.fetch_add(1, Ordering::SeqCst);
        let store = process.open_store(FUNCTION).map_err(|e| format!("no store: {e}"))?;
        let state = |name| process.read_file(&place(name)).unwrap_or_default();
        let mut stats = StatCache::from_bytes(&state("stamps"), FUNCTION, looked);
        let mut history = History::decode(&state("history"));
        let scanned = process.scan(&self.files, &mut stats).map_err(|e| format!("can't look: {}", e[0]))?;
        let model = self.model_of(&scanned)?;
        let graph = ActionGraph::new(lower(&model), vec![]).expect("a model has no cycles");
        let left = self.bring_up_to_date(process, &store, &graph, &scanned.sources, &mut history)?;
        let failed = |e: std::io::Error| format!("can't write what was learned: {e}");
        let Some(left) = left else {
            process.remove_file(&place("witness")).map_err(failed)?;
            return Ok(Answer::Long { is_whole: false });
        };
        let witness = self.witness(process, identity, looked, &scanned, &left, &mut stats);
        process.replace_file(&place("history"), &history.encode()).map_err(failed)?;
        process.replace_file(&place("stamps"), &stats.to_bytes()).map_err(failed)?;
        match witness {
            Some(witness) => process.replace_file(&place("witness"), &witness.to_bytes()).map_err(failed)?,
            None => drop(self.n_refused.fetch_add(1, Ordering::SeqCst)),
        }
        Ok(Answer::Long { is_whole: true })
    }

    /// Whatever the outcome depends on that is not a file.
    fn identity(&self) -> [u8; 32] {
        let boot = self.machine.tally().power_cuts;
        *FUNCTION.digest::<Blob>(&boot.to_le_bytes()).hash()
    }

    /// What a look has found, as a model.
    fn model_of(&self, scanned: &Scanned) -> Result<Model, String> {
        let mut model = self.shape.clone();
        for (at, file) in self.files.iter().enumerate() {
            let Some(Node::File { digest, .. }) = scanned.tree.find(file) else { return Err(format!("no {file}")) };
            model.sources[at] = self.contents.get(digest).ok_or(format!("{file} has never held {digest}"))?.clone();
        }
        Ok(model)
    }

    /// Builds, and writes what was made into the project. What was left there; `None` if some of it could not be made.
    fn bring_up_to_date(
        &self,
        process: &Process,
        store: &DiskStore,
        graph: &ActionGraph,
        sources: &Sources,
        history: &mut History,
    ) -> Result<Option<Vec<(RelPath, Node)>>, String> {
        let lease = store.lease().map_err(|e| format!("no lease: {e}"))?;
        let mut left = None;
        // A store may notice only when it gives an output away that it is damaged: then it is made anew.
        for _ in 0..3 {
            let outcome = self.build(process, store, graph, sources, history);
            match self.export(process, store, &outcome)? {
                Exported::Lost => {}
                Exported::Some => break,
                Exported::All(files) => {
                    left = Some(files);
                    break;
                }
            }
        }
        process.lets_go();
        drop(lease);
        Ok(left)
    }

    fn build(
        &self,
        process: &Process,
        store: &DiskStore,
        graph: &ActionGraph,
        sources: &Sources,
        history: &mut History,
    ) -> Outcome {
        let hands = Hands::new(process, store, &self.toys, &self.n_scratch, None);
        build::build_in_turn(
            graph,
            &Request {
                wanted: &graph.ids().collect::<Vec<ActionId>>(),
                exports: &[],
                workspace: Path::new(WORK),
                forced: &HashSet::new(),
                salt: "",
                limits: Limits { cpu: 2, network: 1, keep_going: true },
                dry_run: false,
            },
            &Services {
                blobs: &hands,
                results: &hands,
                sources,
                sandbox: &hands,
                builtins: &hands,
                clock: process,
                cancel: &Cancel::new(),
                is_explained: &|_, _| true,
            },
            history,
            &mut |_: Event<'_>| {},
            &mut |n| process.choose(n),
        )
    }

    /// The engine's own export writes to the real disk, so here its few steps are taken on the simulated one.
    fn export(&self, process: &Process, store: &DiskStore, outcome: &Outcome) -> Result<Exported, String> {
        let mut files = Vec::new();
        let mut is_whole = true;
        for at in 0..self.files.len() {
            let Some(node) = outcome.known[at].as_ref().and_then(|known| known.node(&path("out"))) else {
                is_whole = false;
                continue;
            };
            let Node::File { digest, executable } = node else { return Err("a tool left a directory".to_owned()) };
            let to = place(&output(at));
            if !process.read_file(&to).is_ok_and(|there| FUNCTION.digest::<Blob>(&there) == digest) {
                let number = self.n_scratch.fetch_add(1, Ordering::SeqCst);
                let temporary = place(&format!(".run-out-{number}"));
                match store.copy_to(digest, executable, &temporary).map_err(|e| format!("can't export: {e}"))? {
                    true => process.put_in_place(&temporary, &to).map_err(|e| format!("can't export: {e}"))?,
                    false => return Ok(Exported::Lost),
                }
            }
            files.push((path(&output(at)), Node::File { digest, executable }));
        }
        Ok(if is_whole { Exported::All(files) } else { Exported::Some })
    }

    /// What the next request will be asked to look at.
    fn witness(
        &self,
        process: &Process,
        identity: [u8; 32],
        looked: SystemTime,
        scanned: &Scanned,
        left: &[(RelPath, Node)],
        stats: &mut StatCache,
    ) -> Option<Witness> {
        let mut witness = Witness::new(identity, Vec::new());
        for (file, stamp) in self.files.iter().zip(&scanned.stamps) {
            let late = (self.flaw == Some(Flaw::StampsLate)).then(|| process.stamp_of(file).ok()).flatten();
            let looked = if late.is_some() { process.time_of_day() } else { looked };
            witness.saw(At::Inside(file), late.unwrap_or(*stamp), looked).ok()?;
        }
        if self.flaw != Some(Flaw::OutputsUnseen) && !process.left(&mut witness, left, stats) {
            return None;
        }
        Some(witness)
    }

    /// The project holds what a clean build of its sources would leave.
    fn check_clean(&self, process: &Process) -> Result<(), String> {
        let mut model = self.shape.clone();
        for at in 0..self.files.len() {
            model.sources[at] = self.machine.read(&place(&source(at))).ok_or(format!("{} is gone", source(at)))?;
        }
        for at in 0..self.files.len() {
            let there = self.machine.read(&place(&output(at)));
            if let Some(made) = model.made(at)
                && there.as_ref() != Some(&made)
            {
                let now = process.time_of_day();
                return Err(format!("{} is {there:?} and should be {made:?} at {now:?}", output(at)));
            }
        }
        Ok(())
    }
}

/// What became of outputs.
enum Exported {
    /// All are where they belong.
    All(Vec<(RelPath, Node)>),
    /// Some could not be made.
    Some,
    /// The store has lost one.
    Lost,
}

/// The graph of a model whose sources are files of the project.
fn lower(model: &Model) -> Vec<Action> {
    // Where their bytes are is left out: the look at the project knows.
    model.lower(&mut Sources::default(), "sum")
}

fn place(name: &str) -> PathBuf {
    Path::new(WORK).join(name)
}

fn source(at: usize) -> String {
    format!("source-{at}")
}

fn output(at: usize) -> String {
    format!("output-{at}")
}

/// Sources are a letter each: of one size, whatever they say.
fn some_source(rng: &mut Rng) -> Vec<u8> {
    if rng.chance(60) { b"!".to_vec() } else { vec![b'a' + rng.below(6) as u8] }
}
