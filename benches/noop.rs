//! Nothing to do: `run v2 build` of a synthetic project that is up to date, beside `ninja` with the same graph.
//!
//! Budget, 10 000 actions: 60 ms of processor time, 60 MiB. The sketch: starting the process 3 ms; one state file of
//! 1.2 MB read and checked 1 ms; 20 000 `statx` (a source and an output of each action) at 1.8 us are 36 ms, on all
//! cores. `run.toml` is not read. A tenth of the actions, a fifth of the budget: the start does not shrink.
//!
//! Also, judged by ratio to ninja where that is installed (Debian: `ninja-build`) and otherwise skipped: the first
//! build, which runs every command in a sandbox, may take 2 times ninja's processor time (5 directories, 2 copies,
//! 2 hashes and a record are about 1 ms on top of 3 ms for `sh`); and without a peer, since ninja would build
//! a cone again: the long way after the time of one file has changed, which reads `run.toml`, computes every key and
//! looks every result up, 120 us an action.

use std::fs::File;
use std::time::{Duration, SystemTime};

use crate::harness::{Amount, Bench, Plan, Usage, median, run};
use crate::workspace::Workspace;

pub(crate) fn bench(plan: &Plan, bench: &mut Bench) {
    let sizes = if plan.is_quick { &[1_000][..] } else { &[1_000, 10_000] };
    let has_ninja = std::process::Command::new("ninja").arg("--version").output().is_ok();
    if !has_ninja {
        bench.note("ninja is not installed: no ratios (Debian: apt-get install ninja-build)");
    }
    for n in sizes {
        of_size(*n, has_ninja, plan, bench);
    }
}

fn of_size(n: usize, has_ninja: bool, plan: &Plan, bench: &mut Bench) {
    let (ours, theirs) = (Workspace::synthetic(n), has_ninja.then(|| Workspace::synthetic(n)));
    let build = || run(&mut ours.run(&["v2", "build"]));
    let ninja = || theirs.as_ref().map(|theirs| run(&mut theirs.other("ninja", &["-j2"])));
    let (first, first_of_ninja) = (build(), ninja());
    if let Some(peer) = first_of_ninja {
        bench.judge_ratio(&format!("first build of {n}, cpu"), cpu(first), cpu(peer), 2.0);
        bench.show(&format!("first build of {n}, wall"), wall(first), Some(wall(peer)));
    }
    // The first build made files in directories that had been looked at, so the second one looks again.
    build();
    let (mut all, mut all_of_ninja) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds() {
        all.push(build());
        all_of_ninja.extend(ninja());
    }
    let usage = median(all);
    let peer = (!all_of_ninja.is_empty()).then(|| median(all_of_ninja));
    let (time, memory) = if n < 10_000 { (12, 30) } else { (60, 60) };
    bench.judge(&format!("nothing to do, {n}, cpu"), cpu(usage), Amount::millis(time), peer.map(cpu));
    bench.show(&format!("nothing to do, {n}, wall"), wall(usage), peer.map(wall));
    let peak = |usage: Usage| Amount::Memory(usage.peak_bytes);
    bench.judge(&format!("nothing to do, {n}, memory"), peak(usage), Amount::mebibytes(memory), peer.map(peak));
    if let Some(peer) = peer {
        bench.judge_ratio(&format!("nothing to do, {n}, cpu to ninja's"), cpu(usage), cpu(peer), 1.0);
    }

    let touched = ours.directory().join("src/0/0.txt");
    let long_way = |round: u64| {
        let file = File::options().write(true).open(&touched).expect("a source");
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1 + round)).expect("a time");
        build()
    };
    let usage = median((0..3).map(long_way).collect());
    let budget = Amount::micros(120 * n as u64);
    bench.judge(&format!("the time of one file changed, {n}, cpu"), cpu(usage), budget, None);
    bench.show(&format!("the time of one file changed, {n}, wall"), wall(usage), None);
    bench.show(&format!("the time of one file changed, {n}, memory"), peak(usage), None);
}

const fn cpu(usage: Usage) -> Amount {
    Amount::Time(usage.cpu)
}

const fn wall(usage: Usage) -> Amount {
    Amount::Time(usage.wall)
}
