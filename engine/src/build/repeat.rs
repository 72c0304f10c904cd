//! [`repeat`]: runs every action of a finished build once more, in another world, and compares what it leaves.
//!
//! Each is given exactly what it was given before, put together from the results that the build ended with; so they do
//! not wait for each other, and one that varies does not make those that read it look as if they did. Nothing is
//! recorded: what the second run leaves goes to the store only so that it can be looked into, and nobody refers to it.
//!
//! One that differs is run again in the usual world, and then in worlds that are unusual in one thing only: so its user is
//! told what it depends on, not only that it does.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::execute::{Executed, Trouble, execute_healing};
use super::known::{Known, TreeCache};
use super::worker::{Common, message_of};
use super::{Services, count};
use crate::action::{ActionId, Network};
use crate::event::{Event, EventSink, Failure, Status};
use crate::graph::ActionGraph;
use crate::history::History;
use crate::key::InputRoot;
use crate::path::RelPath;
use crate::sandbox::Sandbox;
use crate::store::{ActionResult, Blobs, Output, Strength};
use crate::tree::Tree;
use crate::verdict::{Aspect, Cause, Compared, Differences, Verdict};

/// Says where outputs differ. The caller's, because it takes knowledge of what the bytes mean.
pub trait Compare: Sync {
    /// Where two sets of outputs differ, which they do.
    fn compare(&self, usual: &Tree, other: &Tree, blobs: &dyn Blobs) -> Differences;
}

/// What is to be run once more, and where.
pub struct Repetition<'a> {
    /// What had been asked for.
    pub wanted: &'a [ActionId],
    /// What the build ended with, by action.
    pub known: &'a [Option<Arc<Known>>],
    /// How many may run at once.
    pub jobs: usize,
    /// The world that is unusual in everything.
    pub elsewhere: &'a dyn Sandbox,
    /// Worlds that are unusual in one thing.
    pub one_by_one: &'a [(Aspect, &'a dyn Sandbox)],
    /// Says where outputs differ.
    pub compare: &'a dyn Compare,
}

/// Runs every known action behind what was asked for once more, and remembers which vary. `services` are those of the
/// build. Ends early when the build is cancelled.
pub fn repeat(
    graph: &ActionGraph,
    repetition: &Repetition<'_>,
    services: &Services<'_>,
    history: &mut History,
    sink: &mut dyn EventSink,
) -> Compared {
    let mut actions = graph.closure(repetition.wanted);
    actions.retain(|id| repetition.known[id.index()].is_some());
    // They do not wait for each other, so the longest go first.
    actions.sort_by_key(|id| Reverse(repetition.known[id.index()].as_ref().map(|known| known.result.took)));
    sink.event(Event::Comparing { actions: count(actions.len()) });
    let again = Again { graph, repetition, services };
    let (next, mut compared) = (AtomicUsize::new(0), Compared::default());
    let (answer, answers) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..repetition.jobs.min(actions.len()) {
            let (again, actions, next, answer) = (&again, &actions, &next, answer.clone());
            scope.spawn(move || {
                while let Some(id) = actions.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let started = services.clock.now();
                    let judged = catch_unwind(AssertUnwindSafe(|| again.judge(*id)));
                    let verdict = match judged {
                        Ok(Some(verdict)) => verdict,
                        // Cancelled.
                        Ok(None) => return,
                        Err(panic) => Verdict::Unable { why: message_of(&*panic) },
                    };
                    let took = services.clock.now().saturating_sub(started);
                    if answer.send((*id, took, verdict)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(answer);
        for (action, took, verdict) in answers {
            compared.count(&verdict);
            history.mark(&graph.action(action).label, &verdict);
            sink.event(Event::Compared { action, took, verdict: &verdict });
        }
    });
    compared
}

struct Again<'a> {
    graph: &'a ActionGraph,
    repetition: &'a Repetition<'a>,
    services: &'a Services<'a>,
}

/// How a run elsewhere ended.
enum Ended {
    Left(Executed),
    Failed(Failure),
}

impl Again<'_> {
    /// `None` when the build is cancelled.
    fn judge(&self, id: ActionId) -> Option<Verdict> {
        let action = self.graph.action(id);
        if self.services.cancel.is_cancelled() {
            return None;
        }
        if action.network == Network::Allowed {
            return Some(Verdict::Fetches);
        }
        if action.varying {
            return Some(Verdict::Known);
        }
        let usual = self.known(id);
        let ended = match self.run(id, self.repetition.elsewhere) {
            Ok(ended) => ended,
            Err(why) => return self.unless_cancelled(Verdict::Unable { why }),
        };
        if is_same(&ended, usual) {
            return Some(Verdict::Same);
        }
        self.unless_cancelled(())?;
        let cause = self.cause(id);
        self.unless_cancelled(match ended {
            Ended::Failed(failure) => Verdict::Fails { failure, cause },
            Ended::Left(executed) => match self.tree(executed, usual) {
                Ok(other) => {
                    let blobs = self.services.blobs;
                    Verdict::Differs {
                        differences: self.repetition.compare.compare(&usual.tree(), &other, blobs),
                        cause,
                    }
                }
                Err(why) => Verdict::Unable { why },
            },
        })
    }

    fn unless_cancelled<T>(&self, value: T) -> Option<T> {
        (!self.services.cancel.is_cancelled()).then_some(value)
    }

    fn known(&self, id: ActionId) -> &Arc<Known> {
        self.repetition.known[id.index()].as_ref().expect("only known actions are repeated, and they read known ones")
    }

    /// What makes the action differ, found out by trying one thing after the other.
    fn cause(&self, id: ActionId) -> Cause {
        let differs = |sandbox| self.run(id, sandbox).is_ok_and(|ended| !is_same(&ended, self.known(id)));
        if differs(self.services.sandbox) {
            return Cause::EachTime;
        }
        let tried = self.repetition.one_by_one.iter().filter(|(_, sandbox)| differs(*sandbox));
        match tried.map(|(aspect, _)| *aspect).collect::<Vec<_>>() {
            aspects if aspects.is_empty() => Cause::Unknown,
            aspects => Cause::Surroundings(aspects),
        }
    }

    /// Runs an action on what it was given in the build. What is nobody's fault but the machine's is an error.
    fn run(&self, id: ActionId, sandbox: &dyn Sandbox) -> Result<Ended, String> {
        let action = self.graph.action(id);
        let services = Services { sandbox, ..*self.services };
        let function = services.blobs.function();
        let root = InputRoot::assemble(action, function, &mut |producer, path| {
            Some((self.known(producer).node(path)?, self.graph.action(producer).label.clone()))
        });
        let root = root.map_err(|conflict| conflict.to_string())?;
        let common = Common { graph: self.graph, services: &services, salt: "", trees: TreeCache::default() };
        let known = |maker: ActionId| self.repetition.known[maker.index()].clone();
        let accelerators: Vec<(String, Arc<Known>, RelPath)> = action
            .accelerators
            .iter()
            .filter_map(|(name, maker, path)| Some((name.clone(), known(*maker)?, path.clone())))
            .collect();
        match execute_healing(&common, action, &root, &accelerators) {
            Ok(executed) => Ok(Ended::Left(executed)),
            Err(Trouble::Lost(digest)) => Err(format!("{digest} is gone from the store")),
            Err(Trouble::Failure(failure)) => match failure {
                Failure::Machine { why } | Failure::SourceChanged { why, .. } | Failure::BadInput { why } => Err(why),
                Failure::Ended { status: Status::Cancelled, .. } => Err("the build was cancelled".to_owned()),
                failure => Ok(Ended::Failed(failure)),
            },
        }
    }

    /// The outputs of a second run as a tree.
    fn tree(&self, executed: Executed, usual: &Known) -> Result<Tree, String> {
        let Executed { outputs, .. } = executed;
        let (stdout, stderr) = (usual.result.stdout, usual.result.stderr);
        let result = ActionResult { outputs, stdout, stderr, took: Duration::ZERO, strength: Strength::Bare };
        match Known::load(result, self.services.blobs, &TreeCache::default()) {
            Ok(Some(known)) => Ok(known.tree()),
            Ok(None) => Err("the store loses what was just written to it".to_owned()),
            Err(e) => Err(e.to_string()),
        }
    }
}

fn is_same(ended: &Ended, usual: &Known) -> bool {
    let sorted = |outputs: &[Output]| -> BTreeMap<RelPath, _> {
        outputs.iter().map(|output| (output.path.clone(), output.node.clone())).collect()
    };
    match ended {
        Ended::Failed(_) => false,
        Ended::Left(executed) => sorted(&executed.outputs) == sorted(&usual.result.outputs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::{Request, build};
    use crate::cancel::Cancel;
    use crate::digest::DigestFunction;
    use crate::files::scan::Sources;
    use crate::schedule::Limits;
    use crate::store::memory::MemoryStore;
    use crate::testing::action::process;
    use crate::testing::tool::{Toys, VirtualClock};

    struct Nothing;

    impl Compare for Nothing {
        fn compare(&self, usual: &Tree, other: &Tree, _: &dyn Blobs) -> Differences {
            assert_ne!(usual, other);
            Differences::default()
        }
    }

    #[test]
    fn what_varies_is_told_and_remembered_and_what_reads_it_is_not_blamed() {
        let path = |text: &str| RelPath::new(text).unwrap();
        let mut made = process("made", &["varying"]);
        made.outputs = vec![path("out")];
        let mut reads = process("reads", &["upper"]);
        reads.outputs = vec![path("out")];
        reads.inputs = vec![crate::action::Input {
            at: Some(path("in")),
            source: crate::action::Source::Output { action: ActionId(0), path: path("out") },
        }];
        let mut fetches = process("fetches", &["varying"]);
        fetches.outputs = vec![path("out")];
        fetches.network = Network::Allowed;
        let mut known = process("known", &["varying"]);
        known.outputs = vec![path("out")];
        known.varying = true;
        let graph = ActionGraph::new(vec![made, reads, fetches, known], vec![]).unwrap();
        let blobs = MemoryStore::new(DigestFunction::Blake3);
        let (toys, clock, cancel) = (Toys::default(), VirtualClock::default(), Cancel::new());
        let services = Services {
            blobs: &blobs,
            results: &blobs,
            sources: &Sources::default(),
            sandbox: &toys,
            builtins: &toys,
            clock: &clock,
            cancel: &cancel,
            is_explained: &|_, _| true,
        };
        let wanted = [ActionId(1), ActionId(2), ActionId(3)];
        let request = Request {
            wanted: &wanted,
            exports: &[],
            workspace: std::path::Path::new("."),
            forced: &std::collections::HashSet::new(),
            salt: "",
            limits: Limits { cpu: 2, network: 1, keep_going: false },
            dry_run: false,
        };
        let mut history = History::default();
        let outcome = build(&graph, &request, &services, &mut history, &mut |_: Event<'_>| {});
        assert!(outcome.summary.is_success());
        let repetition = Repetition {
            wanted: &wanted,
            known: &outcome.known,
            jobs: 2,
            elsewhere: &toys,
            one_by_one: &[],
            compare: &Nothing,
        };
        let mut told = BTreeMap::new();
        let compared = repeat(&graph, &repetition, &services, &mut history, &mut |event: Event<'_>| {
            if let Event::Compared { action, verdict, .. } = event {
                told.insert(graph.action(action).label.clone(), verdict.clone());
            }
        });
        assert_eq!(compared, Compared { same: 1, varying: 1, fetches: 1, known: 1, unable: 0 });
        assert!(matches!(&told["made"], Verdict::Differs { cause: Cause::EachTime, .. }), "{told:?}");
        assert_eq!((&told["reads"], &told["fetches"]), (&Verdict::Same, &Verdict::Fetches));
        assert_eq!(&told["known"], &Verdict::Known);
        assert!(history.find("made").unwrap().varies && !history.find("reads").unwrap().varies);
        cancel.cancel();
        let compared = repeat(&graph, &repetition, &services, &mut history, &mut |_: Event<'_>| {});
        assert_eq!(compared, Compared::default(), "a cancelled build is not repeated");
    }
}
