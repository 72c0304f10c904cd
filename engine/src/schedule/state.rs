//! `Schedule`: the states of every action in a build, and the only place they change.
//!
//! The diagram, with a reason for every edge, is in `engine/docs/states.md`; the edges there and the calls of `shift`
//! here are the same.

use std::collections::BinaryHeap;
use std::time::Duration;

use crate::action::{ActionId, Slot};
use crate::graph::ActionGraph;

/// Where an action stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody asked for it.
    Idle,
    /// Something it needs has not settled.
    Waiting,
    /// Its key can be computed; the driver was told to look it up.
    Asking,
    /// It must run, and accelerators it can use are being brought up to date first.
    Boosting,
    /// It must run and waits for a slot.
    Queued,
    /// The driver was told to run it.
    Running,
    /// It settled well.
    Done,
    /// It was run and failed.
    Failed,
    /// It can't be tried, because something it needs failed.
    Skipped,
}

/// What happened, told to [`Schedule::step`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// Its result was in a store.
    Hit(ActionId),
    /// It was in none.
    Miss(ActionId),
    /// It ran and succeeded.
    Succeeded(ActionId),
    /// It ran, or could not be run, and failed.
    Failed(ActionId),
    /// It could not run, because something `producer` had made is lost. The producer runs again, and nobody asks a
    /// store about it this time.
    Lost {
        /// Who needed it.
        consumer: ActionId,
        /// Whose output it was.
        producer: ActionId,
    },
    /// It could not run, because something it reads was made again after its key had been computed.
    Outdated(ActionId),
    /// What it left is lost, and the one who wants it is no action. It runs again as for [`Report::Lost`]; when the build
    /// is stopping, or it is on its way already, nothing happens.
    Unreadable(ActionId),
    /// Somebody asked for an end: nothing new starts.
    Cancelled,
}

/// What to do, told by [`Schedule::step`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Compute the key and look it up; report [`Report::Hit`], [`Report::Miss`] or [`Report::Failed`].
    Ask(ActionId),
    /// Run it; report [`Report::Succeeded`], [`Report::Failed`], [`Report::Lost`] or [`Report::Outdated`].
    Run(ActionId),
    /// Tell whoever listens that it will not be tried.
    Skip {
        /// What is skipped.
        action: ActionId,
        /// The failed action it needs; `None` after a cancellation.
        because_of: Option<ActionId>,
    },
}

/// What the schedule may do.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many actions may run at once.
    pub cpu: usize,
    /// How many network actions may run at once.
    pub network: usize,
    /// Whether to go on with what does not depend on a failed action.
    pub keep_going: bool,
}

/// The states of one build.
#[derive(Debug)]
pub struct Schedule<'a> {
    graph: &'a ActionGraph,
    limits: Limits,
    rank: Vec<Duration>,
    states: Vec<State>,
    /// For each action, how many of the things it waits for have not settled well.
    unsettled: Vec<u32>,
    /// For each action, those waiting for it as an accelerator.
    boosted: Vec<Vec<ActionId>>,
    /// For each skipped action, the failed one it is skipped for.
    culprits: Vec<Option<ActionId>>,
    /// Those that must not be looked up, because a store gave a result it could not back.
    rewound: Vec<bool>,
    ready_cpu: BinaryHeap<(Duration, std::cmp::Reverse<ActionId>)>,
    ready_network: BinaryHeap<(Duration, std::cmp::Reverse<ActionId>)>,
    running_cpu: usize,
    running_network: usize,
    /// Actions that were ordered and have not been reported on.
    in_flight: usize,
    stopping: bool,
}

impl<'a> Schedule<'a> {
    /// A schedule for `wanted` and what they need, with the orders to begin with. `rank` is the priority of each
    /// action, larger first.
    #[must_use]
    pub fn new(graph: &'a ActionGraph, wanted: &[ActionId], rank: Vec<Duration>, limits: Limits) -> (Self, Vec<Order>) {
        assert_eq!(rank.len(), graph.len(), "every action has a rank");
        assert!(limits.cpu > 0 && limits.network > 0, "without slots nothing can run");
        let mut schedule = Self {
            graph,
            limits,
            rank,
            states: vec![State::Idle; graph.len()],
            unsettled: vec![0; graph.len()],
            boosted: vec![Vec::new(); graph.len()],
            culprits: vec![None; graph.len()],
            rewound: vec![false; graph.len()],
            ready_cpu: BinaryHeap::new(),
            ready_network: BinaryHeap::new(),
            running_cpu: 0,
            running_network: 0,
            in_flight: 0,
            stopping: false,
        };
        let mut orders = Vec::new();
        for id in graph.closure(wanted) {
            schedule.demand(id, &mut orders);
        }
        (schedule, orders)
    }

    /// Takes a report and says what to do now.
    ///
    /// # Panics
    /// When the report does not fit the state of the action it speaks of: that is a bug in the driver, and going on
    /// would corrupt the counts.
    pub fn step(&mut self, report: Report) -> Vec<Order> {
        use State::{Asking, Done, Failed, Queued, Running};
        let mut orders = Vec::new();
        match report {
            Report::Hit(id) => {
                self.in_flight -= 1;
                self.shift(id, Asking, Done);
                self.settled(id, &mut orders);
            }
            Report::Miss(id) => {
                self.in_flight -= 1;
                if !self.boost(id, &mut orders) {
                    self.shift(id, Asking, Queued);
                    self.enqueue(id);
                }
            }
            Report::Succeeded(id) => {
                self.release(id);
                self.shift(id, Running, Done);
                self.settled(id, &mut orders);
            }
            Report::Failed(id) => {
                // A key that can't be computed fails without having run.
                if self.states[id.index()] == Asking {
                    self.in_flight -= 1;
                    self.shift(id, Asking, Failed);
                } else {
                    self.release(id);
                    self.shift(id, Running, Failed);
                }
                self.failed(id, &mut orders);
            }
            Report::Lost { consumer, producer } => {
                assert!(self.graph.producers(consumer).contains(&producer), "BUG: {producer:?} feeds not {consumer:?}");
                self.rewind(producer, &mut orders);
                self.put_back(consumer, &mut orders);
            }
            Report::Outdated(id) => self.put_back(id, &mut orders),
            Report::Unreadable(id) => self.rewind(id, &mut orders),
            Report::Cancelled => self.stopping = true,
        }
        self.fill(&mut orders);
        if self.stopping && self.in_flight == 0 {
            self.skip_rest(&mut orders);
        }
        orders
    }

    /// Whether nothing is under way and nothing is left to order.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.in_flight == 0
    }

    /// Whether an action's key must not be looked up, because a store gave a result it could not back.
    #[must_use]
    pub fn must_run(&self, id: ActionId) -> bool {
        self.rewound[id.index()]
    }

    /// Actions that were asked for and have not settled, for the message when progress is impossible.
    #[must_use]
    pub fn stuck(&self) -> Vec<ActionId> {
        let open =
            |s: State| matches!(s, State::Waiting | State::Asking | State::Boosting | State::Queued | State::Running);
        self.graph.ids().filter(|id| open(self.states[id.index()])).collect()
    }

    /// The only place a state changes. The caller names the edge it takes, so a late or repeated report stops here.
    fn shift(&mut self, id: ActionId, from: State, to: State) {
        let state = &mut self.states[id.index()];
        assert_eq!(*state, from, "BUG: {id:?} cannot become {to:?}");
        *state = to;
    }

    /// Brings an idle action into the build. Its producers must have been demanded before.
    fn demand(&mut self, id: ActionId, orders: &mut Vec<Order>) {
        self.shift(id, State::Idle, State::Waiting);
        self.wait(id, orders);
    }

    /// Counts what a waiting action waits for, and moves it on when that is nothing, or can never come.
    fn wait(&mut self, id: ActionId, orders: &mut Vec<Order>) {
        let producers = self.graph.producers(id);
        if let Some(dead) = producers.iter().copied().find(|p| self.is_dead(*p)) {
            self.skip(id, self.culprits[dead.index()].unwrap_or(dead), orders);
            return;
        }
        let open = producers.iter().filter(|p| self.states[p.index()] != State::Done).count();
        self.unsettled[id.index()] = u32::try_from(open).expect("fewer producers than ids");
        if open == 0 {
            self.ask(id, orders);
        }
    }

    /// Brings an action into the build unless it is part of it, after everything it needs. Looks at nothing else: this
    /// happens for every action that misses.
    fn demand_with_producers(&mut self, id: ActionId, orders: &mut Vec<Order>) {
        let graph = self.graph;
        let mut stack = vec![id];
        while let Some(&top) = stack.last() {
            let n_before = stack.len();
            stack.extend(graph.producers(top).iter().filter(|p| self.states[p.index()] == State::Idle));
            if stack.len() == n_before {
                stack.pop();
                // An action that several others need is on the stack more than once.
                if self.states[top.index()] == State::Idle {
                    self.demand(top, orders);
                }
            }
        }
    }

    fn is_dead(&self, id: ActionId) -> bool {
        matches!(self.states[id.index()], State::Failed | State::Skipped)
    }

    fn is_settled(&self, id: ActionId) -> bool {
        self.states[id.index()] == State::Done || self.is_dead(id)
    }

    fn ask(&mut self, id: ActionId, orders: &mut Vec<Order>) {
        if self.stopping {
            return;
        }
        self.shift(id, State::Waiting, State::Asking);
        self.in_flight += 1;
        orders.push(Order::Ask(id));
    }

    /// Demands the accelerators of an action that must run. Returns whether it has to wait for any of them.
    fn boost(&mut self, id: ActionId, orders: &mut Vec<Order>) -> bool {
        let graph = self.graph;
        let mut boosters: Vec<ActionId> =
            graph.action(id).accelerators.iter().map(|(_, booster, _)| *booster).collect();
        boosters.sort_unstable();
        boosters.dedup();
        for booster in &boosters {
            self.demand_with_producers(*booster, orders);
        }
        let open: Vec<ActionId> = boosters.into_iter().filter(|b| !self.is_settled(*b)).collect();
        if open.is_empty() {
            return false;
        }
        self.shift(id, State::Asking, State::Boosting);
        self.unsettled[id.index()] = u32::try_from(open.len()).expect("fewer accelerators than ids");
        for booster in open {
            self.boosted[booster.index()].push(id);
        }
        true
    }

    /// An accelerator settled, well or not: an action runs without one too, only slower.
    fn unboost(&mut self, booster: ActionId) {
        for id in std::mem::take(&mut self.boosted[booster.index()]) {
            self.unsettled[id.index()] -= 1;
            if self.unsettled[id.index()] == 0 {
                self.shift(id, State::Boosting, State::Queued);
                self.enqueue(id);
            }
        }
    }

    fn settled(&mut self, id: ActionId, orders: &mut Vec<Order>) {
        self.rewound[id.index()] = false;
        let graph = self.graph;
        for consumer in graph.consumers(id) {
            if self.states[consumer.index()] == State::Waiting {
                self.unsettled[consumer.index()] -= 1;
                if self.unsettled[consumer.index()] == 0 {
                    self.ask(*consumer, orders);
                }
            }
        }
        self.unboost(id);
    }

    fn failed(&mut self, id: ActionId, orders: &mut Vec<Order>) {
        if !self.limits.keep_going {
            self.stopping = true;
        }
        self.skip_behind(id, id, orders);
    }

    fn skip(&mut self, id: ActionId, culprit: ActionId, orders: &mut Vec<Order>) {
        self.shift(id, State::Waiting, State::Skipped);
        self.culprits[id.index()] = Some(culprit);
        orders.push(Order::Skip { action: id, because_of: Some(culprit) });
        self.skip_behind(id, culprit, orders);
    }

    /// Skips whatever waits for a dead action, at any distance.
    fn skip_behind(&mut self, dead: ActionId, culprit: ActionId, orders: &mut Vec<Order>) {
        self.unboost(dead);
        let graph = self.graph;
        for consumer in graph.consumers(dead) {
            if self.states[consumer.index()] == State::Waiting {
                self.skip(*consumer, culprit, orders);
            }
        }
    }

    /// An action's output is lost: unless somebody noticed first, it runs again. Consumers that have settled are not
    /// touched; one that waits for other things waits for this one too. A build that is stopping starts nothing, so
    /// there it stays as it is.
    fn rewind(&mut self, id: ActionId, orders: &mut Vec<Order>) {
        if self.stopping || self.states[id.index()] != State::Done {
            return;
        }
        self.shift(id, State::Done, State::Waiting);
        self.rewound[id.index()] = true;
        let graph = self.graph;
        for consumer in graph.consumers(id) {
            if self.states[consumer.index()] == State::Waiting {
                self.unsettled[consumer.index()] += 1;
            }
        }
        self.wait(id, orders);
    }

    /// An action that was to run can't: it waits for whatever has been rewound, then it is asked about anew.
    fn put_back(&mut self, id: ActionId, orders: &mut Vec<Order>) {
        self.release(id);
        self.shift(id, State::Running, State::Waiting);
        self.wait(id, orders);
    }

    fn enqueue(&mut self, id: ActionId) {
        let entry = (self.rank[id.index()], std::cmp::Reverse(id));
        match self.graph.action(id).slot {
            Slot::Cpu => self.ready_cpu.push(entry),
            Slot::Network => self.ready_network.push(entry),
        }
    }

    /// Gives free slots to the actions with the longest way to go.
    fn fill(&mut self, orders: &mut Vec<Order>) {
        while !self.stopping && self.running_cpu < self.limits.cpu {
            let Some((_, std::cmp::Reverse(id))) = self.ready_cpu.pop() else { break };
            self.running_cpu += 1;
            self.run(id, orders);
        }
        while !self.stopping && self.running_network < self.limits.network {
            let Some((_, std::cmp::Reverse(id))) = self.ready_network.pop() else { break };
            self.running_network += 1;
            self.run(id, orders);
        }
    }

    fn run(&mut self, id: ActionId, orders: &mut Vec<Order>) {
        self.shift(id, State::Queued, State::Running);
        self.in_flight += 1;
        orders.push(Order::Run(id));
    }

    fn release(&mut self, id: ActionId) {
        assert_eq!(self.states[id.index()], State::Running, "BUG: {id:?} holds no slot");
        self.in_flight -= 1;
        match self.graph.action(id).slot {
            Slot::Cpu => self.running_cpu -= 1,
            Slot::Network => self.running_network -= 1,
        }
    }

    /// Nothing is under way and nothing may start: whatever is open will not be tried.
    fn skip_rest(&mut self, orders: &mut Vec<Order>) {
        for id in self.graph.order() {
            let state = self.states[id.index()];
            if matches!(state, State::Waiting | State::Boosting | State::Queued) {
                self.shift(*id, state, State::Skipped);
                orders.push(Order::Skip { action: *id, because_of: None });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::action::parse_graph;

    /// Runs a schedule by a script: what each action reports when it is run (`hit`, `ok`, `fail`), everything else is
    /// a miss that succeeds. Returns the orders, a line a step.
    fn play(graph: &str, wanted: &str, cpu: usize, keep_going: bool, script: &[(&str, &str)]) -> String {
        let (actions, exports) = parse_graph(graph);
        let graph = ActionGraph::new(actions, exports).unwrap();
        let wanted: Vec<ActionId> = wanted.split(' ').map(|w| graph.find(w).unwrap()).collect();
        let rank = super::super::critical_path(&graph, |_| Duration::from_secs(1));
        let limits = Limits { cpu, network: 1, keep_going };
        let (mut schedule, orders) = Schedule::new(&graph, &wanted, rank, limits);
        let mut queue = std::collections::VecDeque::from(orders);
        let mut log = Vec::new();
        let mut lost: Vec<(String, String)> = Vec::new();
        for (who, what) in script {
            if let Some(producer) = what.strip_prefix("lost ") {
                lost.push(((*who).to_owned(), producer.to_owned()));
            }
        }
        while let Some(order) = queue.pop_front() {
            let name = |id: ActionId| graph.action(id).label.clone();
            let says = |id: ActionId| script.iter().find(|(who, _)| *who == name(id)).map_or("", |(_, what)| what);
            let report = match order {
                Order::Ask(id) if says(id) == "hit" && !schedule.must_run(id) => Report::Hit(id),
                Order::Ask(id) => Report::Miss(id),
                Order::Run(id) if says(id) == "fail" => Report::Failed(id),
                Order::Run(id) if says(id) == "lost, then fail" && schedule.must_run(id) => Report::Failed(id),
                Order::Run(id) if lost.iter().any(|(who, _)| *who == name(id)) => {
                    let at = lost.iter().position(|(who, _)| *who == name(id)).unwrap();
                    let (_, producer) = lost.remove(at);
                    log.push(format!("{} lost {producer}", name(id)));
                    Report::Lost { consumer: id, producer: graph.find(&producer).unwrap() }
                }
                Order::Run(id) => Report::Succeeded(id),
                Order::Skip { action, because_of } => {
                    log.push(format!("skip {} for {}", name(action), because_of.map_or("-".into(), name)));
                    continue;
                }
            };
            log.push(match report {
                Report::Hit(id) => format!("hit {}", name(id)),
                Report::Succeeded(id) => format!("ran {}", name(id)),
                Report::Failed(id) => format!("failed {}", name(id)),
                _ => String::new(),
            });
            queue.extend(schedule.step(report));
        }
        assert!(schedule.is_over(), "stuck: {:?}", schedule.stuck());
        log.retain(|line| !line.is_empty());
        log.join(", ")
    }

    #[test]
    fn producers_settle_before_consumers_and_unneeded_actions_are_left_alone() {
        assert_eq!(play("a\nb <- a\nother", "b", 4, true, &[]), "ran a, ran b");
        assert_eq!(play("a\nb <- a", "b", 4, true, &[("a", "hit")]), "hit a, ran b");
    }

    #[test]
    fn the_longest_chain_goes_first_when_slots_are_few() {
        let (actions, exports) = parse_graph("first\nshort\na\nb <- a");
        let graph = ActionGraph::new(actions, exports).unwrap();
        let [first, short, a, b] = [0, 1, 2, 3].map(ActionId);
        let rank = super::super::critical_path(&graph, |_| Duration::from_secs(1));
        let limits = Limits { cpu: 1, network: 1, keep_going: true };
        let (mut schedule, _) = Schedule::new(&graph, &[first, short, b], rank, limits);
        assert_eq!(schedule.step(Report::Miss(first)), [Order::Run(first)]);
        assert_eq!(schedule.step(Report::Miss(short)), []);
        assert_eq!(schedule.step(Report::Miss(a)), []);
        assert_eq!(schedule.step(Report::Succeeded(first)), [Order::Run(a)]);
    }

    #[test]
    fn a_failure_skips_what_needs_it_and_keep_going_finishes_the_rest() {
        let graph = "a\nb <- a\nc <- b\nlone\nlater <- lone";
        let fails = &[("a", "fail")];
        assert_eq!(play(graph, "c later", 1, true, fails), "ran lone, failed a, skip b for a, skip c for a, ran later");
        assert_eq!(
            play(graph, "c later", 1, false, fails),
            "ran lone, failed a, skip b for a, skip c for a, skip later for -"
        );
    }

    #[test]
    fn accelerators_are_asked_for_only_on_a_miss_and_may_fail() {
        let graph = "wasm\nnative <- wasm\ntest <- wasm ~ native";
        assert_eq!(play(graph, "test", 1, true, &[("test", "hit")]), "ran wasm, hit test");
        assert_eq!(play(graph, "test", 1, true, &[]), "ran wasm, ran native, ran test");
        assert_eq!(play(graph, "test", 1, true, &[("native", "fail")]), "ran wasm, failed native, ran test");
    }

    #[test]
    fn a_lost_output_runs_its_producer_again_even_if_a_store_claims_to_have_it() {
        let script = &[("a", "hit"), ("b", "lost a")];
        assert_eq!(play("a\nb <- a", "b", 1, true, script), "hit a, b lost a, ran a, ran b");
    }

    #[test]
    fn two_consumers_that_miss_one_output_run_its_producer_once() {
        let script = &[("b", "lost a"), ("c", "lost a")];
        let told = play("a\nb <- a\nc <- a\nd <- b c", "d", 2, true, script);
        assert_eq!(told.matches("ran a").count(), 2, "{told}");
        assert!(told.ends_with("ran b, ran c, ran d") || told.ends_with("ran c, ran b, ran d"), "{told}");
    }

    #[test]
    fn a_producer_that_fails_the_second_time_takes_its_consumers_with_it() {
        let script = &[("a", "lost, then fail"), ("b", "lost a")];
        let told = play("a\nb <- a\nc <- b", "c", 1, true, script);
        assert_eq!(told, "ran a, b lost a, failed a, skip b for a, skip c for a");
    }

    /// A schedule with one slot of each kind, brought to where `a`, `b` and `c` of a chain are done.
    fn chain(keep_going: bool, test: impl FnOnce(&mut Schedule<'_>, [ActionId; 3])) {
        let (actions, exports) = parse_graph("a\nb <- a\nc <- b\nlone");
        let graph = ActionGraph::new(actions, exports).unwrap();
        let ids = [0, 1, 2].map(ActionId);
        let limits = Limits { cpu: 1, network: 1, keep_going };
        let (mut schedule, _) = Schedule::new(&graph, &ids, vec![Duration::ZERO; 4], limits);
        for id in ids {
            schedule.step(Report::Miss(id));
            schedule.step(Report::Succeeded(id));
        }
        test(&mut schedule, ids);
    }

    #[test]
    fn what_nobody_can_read_is_made_again_and_its_consumers_stay() {
        chain(true, |schedule, [a, b, _]| {
            assert!(schedule.is_over());
            assert_eq!(schedule.step(Report::Unreadable(b)), [Order::Ask(b)]);
            assert!(schedule.must_run(b));
            assert_eq!(schedule.step(Report::Unreadable(b)), [], "it is on its way");
            assert_eq!(schedule.step(Report::Miss(b)), [Order::Run(b)]);
            // What it reads is gone too: that is made first.
            assert_eq!(schedule.step(Report::Lost { consumer: b, producer: a }), [Order::Ask(a)]);
            assert_eq!(schedule.step(Report::Miss(a)), [Order::Run(a)]);
            assert_eq!(schedule.step(Report::Succeeded(a)), [Order::Ask(b)]);
            assert!(schedule.must_run(b));
            schedule.step(Report::Miss(b));
            assert_eq!(schedule.step(Report::Succeeded(b)), []);
            assert!(schedule.is_over() && schedule.stuck().is_empty());
        });
    }

    #[test]
    fn a_producer_whose_own_producer_is_being_made_again_waits_for_it() {
        chain(true, |schedule, [a, b, _]| {
            assert_eq!(schedule.step(Report::Unreadable(a)), [Order::Ask(a)]);
            assert_eq!(schedule.step(Report::Unreadable(b)), []);
            schedule.step(Report::Miss(a));
            assert_eq!(schedule.step(Report::Failed(a)), [Order::Skip { action: b, because_of: Some(a) }]);
            assert!(schedule.is_over() && schedule.stuck().is_empty());
        });
    }

    #[test]
    fn a_build_that_is_stopping_makes_nothing_again() {
        chain(true, |schedule, [_, b, _]| {
            schedule.step(Report::Cancelled);
            assert_eq!(schedule.step(Report::Unreadable(b)), []);
            assert!(schedule.is_over() && schedule.stuck().is_empty());
        });
        let (actions, exports) = parse_graph("a\nb <- a");
        let graph = ActionGraph::new(actions, exports).unwrap();
        let (a, b) = (ActionId(0), ActionId(1));
        let limits = Limits { cpu: 1, network: 1, keep_going: true };
        let (mut schedule, _) = Schedule::new(&graph, &[b], vec![Duration::ZERO; 2], limits);
        schedule.step(Report::Hit(a));
        schedule.step(Report::Miss(b));
        schedule.step(Report::Cancelled);
        let skip = Order::Skip { action: b, because_of: None };
        assert_eq!(schedule.step(Report::Lost { consumer: b, producer: a }), [skip]);
        assert!(schedule.is_over() && schedule.stuck().is_empty());
    }

    #[test]
    fn an_action_whose_key_is_out_of_date_is_asked_about_anew() {
        let (actions, exports) = parse_graph("a\nb <- a");
        let graph = ActionGraph::new(actions, exports).unwrap();
        let (a, b) = (ActionId(0), ActionId(1));
        let limits = Limits { cpu: 1, network: 1, keep_going: true };
        let (mut schedule, _) = Schedule::new(&graph, &[b], vec![Duration::ZERO; 2], limits);
        schedule.step(Report::Hit(a));
        assert_eq!(schedule.step(Report::Miss(b)), [Order::Run(b)]);
        assert_eq!(schedule.step(Report::Outdated(b)), [Order::Ask(b)]);
        assert_eq!(schedule.step(Report::Failed(b)), [], "a key that can't be computed fails without having run");
        assert!(schedule.is_over());
    }

    #[test]
    fn cancelling_starts_nothing_more() {
        let (actions, exports) = parse_graph("a\nb <- a");
        let graph = ActionGraph::new(actions, exports).unwrap();
        let (a, b) = (ActionId(0), ActionId(1));
        let rank = vec![Duration::ZERO; 2];
        let (mut schedule, orders) = Schedule::new(&graph, &[b], rank, Limits { cpu: 1, network: 1, keep_going: true });
        assert_eq!(orders, [Order::Ask(a)]);
        assert_eq!(schedule.step(Report::Miss(a)), [Order::Run(a)]);
        assert_eq!(schedule.step(Report::Cancelled), []);
        assert_eq!(schedule.step(Report::Failed(a)), [Order::Skip { action: b, because_of: Some(a) }]);
        assert!(schedule.is_over());
    }

    #[test]
    #[expect(clippy::should_panic_without_expect, reason = "the message holds an id; the edge is what matters")]
    #[should_panic]
    fn a_report_that_fits_no_state_is_refused() {
        let (actions, exports) = parse_graph("a");
        let graph = ActionGraph::new(actions, exports).unwrap();
        let limits = Limits { cpu: 1, network: 1, keep_going: true };
        let (mut schedule, _) = Schedule::new(&graph, &[ActionId(0)], vec![Duration::ZERO], limits);
        let _ = schedule.step(Report::Succeeded(ActionId(0)));
    }
}
