//! A schedule of 10 000 actions in five layers, all of which turn out to be known already.
//!
//! Budgets, processor time. The graph: labels, reads and edges into maps, and a topological order, 3 us an action.
//! The ranks and the schedule: a step is a few array accesses and one short vector, 1 us an action.

use std::collections::VecDeque;
use std::time::Duration;

use run_engine::action::{Action, ActionId, Input, Source};
use run_engine::graph::ActionGraph;
use run_engine::path::RelPath;
use run_engine::schedule::{Limits, Order, Report, Schedule, critical_path};
use run_engine::testing::action::process;

use crate::harness::{Amount, Bench, Plan, measure};
use crate::workspace;

pub(crate) fn bench(plan: &Plan, bench: &mut Bench) {
    let n = plan.size(10_000);
    let actions: Vec<Action> = workspace::graph(n).iter().enumerate().map(|(i, needs)| action(i, needs)).collect();
    let made = measure(plan, || actions.clone(), |actions| ActionGraph::new(actions, vec![]).expect("a graph"));
    let budget = |micros: u64| Amount::micros(micros * n as u64);
    bench.judge(&format!("a graph of {n}, cpu"), Amount::Time(made.cpu), budget(3), None);

    let graph = ActionGraph::new(actions, vec![]).expect("a graph");
    let all: Vec<ActionId> = graph.ids().collect();
    let limits = Limits { cpu: 2, network: 2, keep_going: false };
    let scheduled = measure(
        plan,
        || (),
        |()| {
            let rank = critical_path(&graph, |_| Duration::from_secs(1));
            let (mut schedule, orders) = Schedule::new(&graph, &all, rank, limits);
            let mut orders = VecDeque::from(orders);
            let mut n_asked = 0;
            while let Some(order) = orders.pop_front() {
                let Order::Ask(id) = order else { unreachable!("what is known is neither run nor skipped") };
                n_asked += 1;
                orders.extend(schedule.step(Report::Hit(id)));
            }
            assert_eq!(n_asked, n, "every action settles");
        },
    );
    bench.judge(&format!("a schedule of {n}, cpu"), Amount::Time(scheduled.cpu), budget(1), None);
}

fn action(i: usize, needs: &[usize]) -> Action {
    let path = |text: &str| RelPath::new(text).expect("a plain path");
    let output = |i: usize| path(&format!("out/{i}.txt"));
    let id = |i: usize| ActionId(u32::try_from(i).expect("ids are 32 bits wide"));
    let mut action = process(&format!("c{i} run"), &["tool"]);
    let read = |need: &usize| Input {
        at: Some(path("work").join(&output(*need))),
        source: Source::Output { action: id(*need), path: output(*need) },
    };
    action.inputs = needs.iter().map(read).collect();
    action.outputs = vec![output(i)];
    action
}
