//! Every bench: one binary, linked once. `cargo bench` runs them all, `cargo bench -- NAME` one of them.
//!
//! A bench measures figures against budgets, prints one table, and fails the run when a figure is judged and more than
//! [`harness::MARGIN`] times its budget. Judged are processor time, memory, and ratios of two things measured in turn;
//! time on the wall is shown and never judged, because it says more about the machine's other work than about ours.
//!
//! `--quick` takes a tenth of the actions and a third of the rounds: enough to see that nothing is out of hand.
//! How to profile what a bench shows is in `engine/docs/benches.md`.

mod exec;
mod harness;
mod key;
mod materialize;
mod noop;
mod scan;
mod schedule;
mod workspace;

use std::process::ExitCode;

use harness::{Bench, Plan};

const BENCHES: &[(&str, fn(&Plan, &mut Bench))] = &[
    ("key", key::bench),
    ("schedule", schedule::bench),
    ("scan", scan::bench),
    ("materialize", materialize::bench),
    ("exec", exec::bench),
    ("noop", noop::bench),
];

fn main() -> ExitCode {
    let (flags, names): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|arg| arg.starts_with("--"));
    let plan = Plan { is_quick: flags.iter().any(|flag| flag == "--quick") };
    let chosen = BENCHES.iter().filter(|(name, _)| names.is_empty() || names.iter().any(|asked| asked == name));
    let mut is_within = true;
    for (name, run) in chosen {
        let mut bench = Bench::new(name);
        run(&plan, &mut bench);
        is_within &= bench.finish();
    }
    if is_within { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
