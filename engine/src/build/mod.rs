//! The driver: the one loop that joins schedule, store, sandbox and events.
//!
//! The loop itself runs on the caller's thread and is the only place that talks to the schedule and to the sink, so
//! events are one stream in one order. Workers look keys up and run actions; they are told what they need to know and
//! answer once. A worker is in `worker.rs`; what it does with one action, in `attempt.rs` and `execute.rs`.

mod attempt;
mod execute;
mod export;
mod known;
mod lookups;
mod remember;
mod repeat;
mod worker;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::action::{ActionId, Work};
use crate::cancel::Cancel;
use crate::clock::Clock;
use crate::event::{Event, EventSink, Failure, Layer, Ran, Status, Streams, Summary};
use crate::explain::Reason;
use crate::files::materialize::MaterializeError;
use crate::files::scan::Sources;
use crate::graph::{ActionGraph, Export};
use crate::history::{History, digest_of_outputs};
use crate::key::KeyRecord;
use crate::sandbox::Sandbox;
use crate::sandbox::builtin::Builtins;
use crate::schedule::{Limits, Order, Report, Schedule, critical_path};
use crate::store::{ActionResult, Blobs, Results};

pub use known::Known;
use remember::Settled;
pub use repeat::{Compare, Repetition, repeat};
use worker::{Answer, Built, Prepared, Task};

/// What a build is asked for.
pub struct Request<'a> {
    /// The actions that must be up to date afterwards.
    pub wanted: &'a [ActionId],
    /// The outputs to write into the workspace afterwards; each action must be wanted, or needed by one that is.
    pub exports: &'a [Export],
    /// The workspace's root, which exports are relative to.
    pub workspace: &'a std::path::Path,
    /// Actions whose results are not looked up.
    pub forced: &'a HashSet<ActionId>,
    /// A namespace of results within the key version; empty for the usual one.
    pub salt: &'a str,
    /// How many actions may run at once, and whether to go on after a failure.
    pub limits: Limits,
    /// When set, nothing is run: [`Event::Started`] tells what would be, and why, and nothing tells how it ended. Actions
    /// behind these may or may not run, depending on what these leave.
    pub dry_run: bool,
}

/// What a build works with.
#[derive(Clone, Copy)]
pub struct Services<'a> {
    /// Content.
    pub blobs: &'a dyn Blobs,
    /// Results.
    pub results: &'a dyn Results,
    /// The files of the workspace, for content that is not in the store yet.
    pub sources: &'a Sources,
    /// Runs processes.
    pub sandbox: &'a dyn Sandbox,
    /// Runs functions.
    pub builtins: &'a dyn Builtins,
    /// Measures durations.
    pub clock: &'a dyn Clock,
    /// Asks for an early end.
    pub cancel: &'a Cancel,
    /// Whether what a process wrote before it failed, to standard output and to standard error, explains that. Where it
    /// does not, and is short, the process is run once more to see what it looks for in vain.
    pub is_explained: &'a (dyn Fn(ActionId, [&[u8]; 2]) -> bool + Sync),
}

/// What a build came to. A compiler that exits 1 is a result of the build, not an error of the engine.
#[derive(Debug)]
pub struct Outcome {
    /// The counts.
    pub summary: Summary,
    /// What is known of each action that settled well.
    pub known: Vec<Option<Arc<Known>>>,
    /// Why actions failed.
    pub failures: BTreeMap<ActionId, Failure>,
    /// Where nothing was run: what the keys are made of of what would be.
    pub pending: BTreeMap<ActionId, KeyRecord>,
    /// Set when an output could not be written into the workspace.
    pub export_error: Option<MaterializeError>,
}

impl Outcome {
    /// The result of an action that settled well.
    #[must_use]
    pub fn result(&self, id: ActionId) -> Option<&ActionResult> {
        self.known[id.index()].as_ref().map(|known| &known.result)
    }
}

/// Brings the wanted actions up to date.
pub fn build(
    graph: &ActionGraph,
    request: &Request<'_>,
    services: &Services<'_>,
    history: &mut History,
    sink: &mut dyn EventSink,
) -> Outcome {
    build_by(graph, request, services, history, sink, &mut Driver::run)
}

/// The same on the caller's thread alone, one task after the other: of `n` that are open, `choose(n)` says which is
/// next. For simulations, which have to happen twice in the same order.
#[cfg(any(test, feature = "testing"))]
pub fn build_in_turn(
    graph: &ActionGraph,
    request: &Request<'_>,
    services: &Services<'_>,
    history: &mut History,
    sink: &mut dyn EventSink,
    choose: &mut dyn FnMut(usize) -> usize,
) -> Outcome {
    build_by(graph, request, services, history, sink, &mut |driver, orders| driver.run_in_turn(orders, choose))
}

fn build_by<'a, 'b>(
    graph: &'a ActionGraph,
    request: &'a Request<'a>,
    services: &'a Services<'a>,
    history: &'b mut History,
    sink: &'b mut dyn EventSink,
    run: &mut dyn FnMut(&mut Driver<'a, 'b>, Vec<Order>),
) -> Outcome {
    let started = services.clock.now();
    history.begin();
    let expected = |id: ActionId| expected_duration(graph, history, id);
    let rank = critical_path(graph, expected);
    // A dry run tells the schedule that everything fails, and wants to hear of all of it.
    let limits = Limits { keep_going: request.limits.keep_going || request.dry_run, ..request.limits };
    let (schedule, orders) = Schedule::new(graph, request.wanted, rank, limits);
    let needed = graph.closure(request.wanted).len();
    sink.event(Event::Planned { actions: count(needed), wanted: count(request.wanted.len()) });
    let mut driver = Driver {
        graph,
        request,
        services,
        history,
        sink,
        schedule,
        prepared: (0..graph.len()).map(|_| None).collect(),
        fates: vec![None; graph.len()],
        rewinds: vec![0; graph.len()],
        outcome: Outcome {
            summary: Summary::default(),
            known: vec![None; graph.len()],
            failures: BTreeMap::new(),
            pending: BTreeMap::new(),
            export_error: None,
        },
        cancel_told: false,
    };
    let mut orders = orders;
    loop {
        run(&mut driver, orders);
        orders = driver.export();
        if orders.is_empty() {
            break;
        }
    }
    let Driver { mut outcome, sink, fates, .. } = driver;
    outcome.summary = summarize(&fates);
    outcome.summary.cancelled = services.cancel.is_cancelled();
    outcome.summary.took = services.clock.now().saturating_sub(started);
    sink.event(Event::Finished { summary: outcome.summary });
    outcome
}

/// How often one action may run again because what it made is lost. A store that loses it every time is broken, and the
/// build must end.
const REWINDS_MAX: u32 = 8;

/// What became of an action. The last word counts: one that is run again ends once.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Built,
    Reused,
    Failed,
    Skipped,
}

fn summarize(fates: &[Option<Fate>]) -> Summary {
    let mut summary = Summary::default();
    for fate in fates.iter().flatten() {
        *match fate {
            Fate::Built => &mut summary.built,
            Fate::Reused => &mut summary.reused_local,
            Fate::Failed => &mut summary.failed,
            Fate::Skipped => &mut summary.skipped,
        } += 1;
    }
    summary
}

fn count(n: usize) -> u32 {
    u32::try_from(n).expect("ids are 32 bits wide")
}

/// What is known of an action's duration, or a guess: a process costs more than a function.
fn expected_duration(graph: &ActionGraph, history: &History, id: ActionId) -> Duration {
    let action = graph.action(id);
    match history.find(&action.label).map(|r| r.took) {
        Some(took) if !took.is_zero() => took,
        _ => match action.work {
            Work::Process { .. } => Duration::from_secs(1),
            Work::Builtin { .. } => Duration::from_millis(20),
        },
    }
}

struct Driver<'a, 'b> {
    graph: &'a ActionGraph,
    request: &'a Request<'a>,
    services: &'a Services<'a>,
    history: &'b mut History,
    sink: &'b mut dyn EventSink,
    schedule: Schedule<'a>,
    /// What looking an action up has taught us that running it needs.
    prepared: Vec<Option<Box<Prepared>>>,
    fates: Vec<Option<Fate>>,
    /// How often each action was run again because what it made is lost.
    rewinds: Vec<u32>,
    outcome: Outcome,
    cancel_told: bool,
}

impl<'a> Driver<'a, '_> {
    /// Obeys the schedule until it is over.
    fn run(&mut self, orders: Vec<Order>) {
        let limits = self.request.limits;
        // Lookups must not wait for a slot, so there are workers beyond those that can be running actions.
        let n_workers = (limits.cpu + limits.network + 2).min(orders.len().max(2) + limits.cpu + limits.network);
        let (to_workers, tasks) = mpsc::channel::<Task>();
        let (answer, answers) = mpsc::channel::<Answer>();
        let tasks = std::sync::Mutex::new(tasks);
        let common = self.common();
        let send = move |task| to_workers.send(task).expect("workers outlive the loop");
        std::thread::scope(|scope| {
            for _ in 0..n_workers {
                let (tasks, answer, common) = (&tasks, answer.clone(), &common);
                scope.spawn(move || worker::serve(common, tasks, &answer));
            }
            self.obey(orders, &mut |task| send(task));
            while !self.schedule.is_over() {
                let orders = match answers.recv_timeout(Duration::from_millis(50)) {
                    Ok(answer) => self.take(answer),
                    Err(mpsc::RecvTimeoutError::Timeout) => Vec::new(),
                    Err(mpsc::RecvTimeoutError::Disconnected) => {
                        panic!("BUG: workers are gone while these are open: {:?}", self.schedule.stuck())
                    }
                };
                self.obey(orders, &mut |task| send(task));
                let orders = self.hear_cancel();
                self.obey(orders, &mut |task| send(task));
            }
            // Workers end when there is nobody left to send them work.
            drop(send);
        });
        assert!(self.schedule.stuck().is_empty(), "BUG: these did not settle: {:?}", self.schedule.stuck());
    }

    /// Obeys the schedule until it is over, without any thread but this one.
    #[cfg(any(test, feature = "testing"))]
    fn run_in_turn(&mut self, orders: Vec<Order>, choose: &mut dyn FnMut(usize) -> usize) {
        let common = self.common();
        let mut tasks = Vec::new();
        self.obey(orders, &mut |task| tasks.push(task));
        while !self.schedule.is_over() {
            assert!(!tasks.is_empty(), "BUG: nothing is left to do while these are open: {:?}", self.schedule.stuck());
            let task = tasks.remove(choose(tasks.len()));
            let orders = self.take(worker::answer(&common, task));
            self.obey(orders, &mut |task| tasks.push(task));
            let orders = self.hear_cancel();
            self.obey(orders, &mut |task| tasks.push(task));
        }
        assert!(self.schedule.stuck().is_empty(), "BUG: these did not settle: {:?}", self.schedule.stuck());
    }

    fn common(&self) -> worker::Common<'a> {
        worker::Common {
            graph: self.graph,
            services: self.services,
            salt: self.request.salt,
            trees: known::TreeCache::default(),
        }
    }

    /// Tells the schedule, once, that nothing more is wanted.
    fn hear_cancel(&mut self) -> Vec<Order> {
        let is_news = self.services.cancel.is_cancelled() && !self.cancel_told;
        self.cancel_told |= is_news;
        if is_news { self.schedule.step(Report::Cancelled) } else { Vec::new() }
    }

    fn obey(&mut self, orders: Vec<Order>, send: &mut dyn FnMut(Task)) {
        let mut orders = std::collections::VecDeque::from(orders);
        while let Some(order) = orders.pop_front() {
            match order {
                Order::Ask(id) => {
                    let lookup = !self.request.forced.contains(&id) && !self.schedule.must_run(id);
                    let remembered = self.history.find(&self.graph.action(id).label).cloned();
                    let rewound = self.schedule.must_run(id);
                    let producers = self.producers_of(id);
                    let task = Task::Ask { id, lookup, rewound, remembered: remembered.map(Box::new), producers };
                    send(task);
                }
                Order::Run(id) => {
                    let prepared = self.prepared[id.index()].take().expect("a miss left what running needs");
                    if self.request.dry_run {
                        self.sink.event(Event::Started { action: id, because: &prepared.reason });
                        self.outcome.pending.insert(id, prepared.record);
                        orders.extend(self.schedule.step(Report::Failed(id)));
                        continue;
                    }
                    if prepared.producers.iter().any(|(producer, used)| self.was_made_again(*producer, used)) {
                        orders.extend(self.schedule.step(Report::Outdated(id)));
                        continue;
                    }
                    self.sink.event(Event::Started { action: id, because: &prepared.reason });
                    let accelerators = self.accelerators_of(id);
                    let forced = self.request.forced.contains(&id);
                    let task = Task::Run { id, prepared, accelerators, forced };
                    send(task);
                }
                Order::Skip { action, because_of } => {
                    if !self.request.dry_run {
                        self.fates[action.index()] = Some(Fate::Skipped);
                        self.outcome.known[action.index()] = None;
                        self.sink.event(Event::Skipped { action, because_of });
                    }
                }
            }
        }
    }

    fn producers_of(&self, id: ActionId) -> BTreeMap<ActionId, Arc<Known>> {
        let known = |p: &ActionId| self.outcome.known[p.index()].clone().expect("producers settle first");
        self.graph.producers(id).iter().map(|p| (*p, known(p))).collect()
    }

    /// Whether a producer has settled anew since a key was computed from what it had left.
    fn was_made_again(&self, producer: ActionId, used: &Arc<Known>) -> bool {
        self.outcome.known[producer.index()].as_ref().is_some_and(|now| !Arc::ptr_eq(now, used))
    }

    /// The accelerators that could be made; one that failed is simply not there.
    fn accelerators_of(&self, id: ActionId) -> Vec<(String, Arc<Known>, crate::path::RelPath)> {
        let action = self.graph.action(id);
        let known = |maker: ActionId| self.outcome.known[maker.index()].clone();
        action
            .accelerators
            .iter()
            .filter_map(|(name, maker, path)| Some((name.clone(), known(*maker)?, path.clone())))
            .collect()
    }

    /// Takes one answer of a worker: tells the sink, remembers, and asks the schedule what is next.
    fn take(&mut self, answer: Answer) -> Vec<Order> {
        let report = match answer {
            Answer::Hit { id, known, record } => {
                self.fates[id.index()] = Some(Fate::Reused);
                self.sink.event(Event::Hit { action: id, from: Layer::Local });
                let moved = self.why_looked_up(id, &record);
                let settled = moved.as_ref().map(|because| Settled { because, took: None, reused: true });
                self.remember(id, record, settled, Some(&known.result));
                self.outcome.known[id.index()] = Some(known);
                Report::Hit(id)
            }
            Answer::Miss { id, mut prepared } => {
                self.lead_back(id, &mut prepared.reason);
                self.prepared[id.index()] = Some(prepared);
                Report::Miss(id)
            }
            Answer::Built(built) => {
                let id = built.id;
                self.built(*built);
                Report::Succeeded(id)
            }
            Answer::Failed { id, record, failure, took, reason } => {
                self.failed(id, record.zip(reason), failure, took);
                Report::Failed(id)
            }
            Answer::Lost { consumer, producer, prepared } => self.lost(consumer, producer, *prepared),
        };
        self.schedule.step(report)
    }

    fn failed(&mut self, id: ActionId, explained: Option<(KeyRecord, Reason)>, failure: Failure, took: Duration) {
        self.fates[id.index()] = Some(Fate::Failed);
        self.outcome.known[id.index()] = None;
        let was_cancelled = matches!(failure, Failure::Ended { status: Status::Cancelled, .. });
        if let Some((record, reason)) = explained
            && !was_cancelled
        {
            let settled = Settled { because: &reason, took: Some(took), reused: false };
            self.remember(id, record, Some(settled), None);
        }
        self.sink.event(Event::Ran { action: id, took, how: Ran::Failed { failure: &failure } });
        self.outcome.failures.insert(id, failure);
    }

    /// An input of `consumer` is gone. Who made it makes it again, unless that has happened already since the consumer
    /// was looked up, or happens all the time.
    fn lost(&mut self, consumer: ActionId, producer: ActionId, prepared: Prepared) -> Report {
        if self.was_made_again(producer, &prepared.producers[&producer]) {
            return Report::Outdated(consumer);
        }
        if self.may_rewind(producer) {
            return Report::Lost { consumer, producer };
        }
        let why = format!("the store keeps losing what `{}` makes", self.graph.action(producer).label);
        let explained = Some((prepared.record, prepared.reason));
        self.failed(consumer, explained, Failure::Machine { why }, Duration::ZERO);
        Report::Failed(consumer)
    }

    fn may_rewind(&mut self, id: ActionId) -> bool {
        self.rewinds[id.index()] += 1;
        self.rewinds[id.index()] <= REWINDS_MAX
    }

    fn built(&mut self, built: Built) {
        let Built { id, known, record, reason, took, stdout, stderr, by_other } = built;
        self.fates[id.index()] = Some(if by_other { Fate::Reused } else { Fate::Built });
        let left = digest_of_outputs(&known.result);
        let unchanged = self.history.find(&self.graph.action(id).label).is_some_and(|r| r.left == left);
        let settled = Settled { because: &reason, took: Some(took), reused: by_other };
        self.remember(id, record, Some(settled), Some(&known.result));
        let streams = Streams { stdout: &stdout, stderr: &stderr };
        self.sink.event(match by_other {
            true => Event::Hit { action: id, from: Layer::Local },
            false => Event::Ran { action: id, took, how: Ran::Built { unchanged, streams } },
        });
        self.outcome.known[id.index()] = Some(known);
    }

    /// Writes what was asked for into the workspace, also after a failure: what did succeed is there to be used. Returns
    /// the orders to begin with when some of it has been lost from the store and is made again.
    fn export(&mut self) -> Vec<Order> {
        let mut lost = BTreeMap::new();
        let exports = if self.request.dry_run { &[] } else { self.request.exports };
        let mut checked = HashSet::new();
        for wanted in exports {
            let Some(known) = self.outcome.known[wanted.action.index()].clone() else { continue };
            match export::export(&known, wanted, self.request.workspace, self.services.blobs, &mut checked) {
                Ok(false) => {}
                Ok(true) => self.sink.event(Event::Exported { action: wanted.action, path: &wanted.to }),
                Err(e @ MaterializeError::Lost { .. }) => drop(lost.entry(wanted.action).or_insert(e)),
                Err(e) => drop(self.outcome.export_error.get_or_insert(e)),
            }
        }
        let mut orders = Vec::new();
        for (id, error) in lost {
            let again = if self.may_rewind(id) { self.schedule.step(Report::Unreadable(id)) } else { Vec::new() };
            if again.is_empty() {
                self.outcome.export_error.get_or_insert(error);
            }
            orders.extend(again);
        }
        orders
    }
}
