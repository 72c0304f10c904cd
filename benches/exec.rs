//! `run v2 exec` of a built component over the bare start of the process, which is `run --version`; and the build of
//! the same project, `fixtures/calculator`, when there is nothing to do.
//!
//! Budgets, processor time: 15 ms over the bare start, and 50 ms for the build. The sketch: an up-to-date check of
//! a few hundred files 1 ms; the native code is read once to be verified (100 KB to 3 MB at 2.9 GB/s: 1 ms) and mapped;
//! an engine 1 ms; linking WASI 2 ms; instance, call and answer 1 ms.

use crate::harness::{Amount, Bench, Plan, Usage, median, run};
use crate::workspace::Workspace;

/// A component in text form, and one in Rust.
const CALLS: &[(&str, &str, &str)] = &[("WAT", "hello", "greet(42)"), ("Rust", "calc", "add(2, 3)")];

pub(crate) fn bench(plan: &Plan, bench: &mut Bench) {
    let workspace = Workspace::of("fixtures/calculator");
    let calls = if plan.is_quick { &CALLS[..1] } else { CALLS };
    let exec = |what: &str, call: &str| run(&mut workspace.run(&["v2", "exec", what, "--invoke", call]));
    for (language, what, call) in calls {
        // The first one builds, the second one looks again at what the first one wrote.
        exec(what, call);
        exec(what, call);
        let (mut starts, mut calls) = (Vec::new(), Vec::new());
        for _ in 0..plan.rounds() {
            starts.push(run(&mut workspace.run(&["--version"])));
            calls.push(exec(what, call));
        }
        let (start, called) = (median(starts), median(calls));
        let over = |of: fn(Usage) -> std::time::Duration| Amount::Time(of(called).saturating_sub(of(start)));
        let name = format!("exec of a {language} component over the start");
        bench.judge(&format!("{name}, cpu"), over(|u| u.cpu), Amount::millis(15), Some(Amount::Time(start.cpu)));
        bench.show(&format!("{name}, wall"), over(|u| u.wall), Some(Amount::Time(start.wall)));
    }
    if plan.is_quick {
        return;
    }
    let build = || run(&mut workspace.run(&["v2", "build"]));
    build();
    build();
    let usage = median((0..plan.rounds()).map(|_| build()).collect());
    bench.judge("nothing to do in fixtures/calculator, cpu", Amount::Time(usage.cpu), Amount::millis(50), None);
    bench.show("nothing to do in fixtures/calculator, wall", Amount::Time(usage.wall), None);
}
