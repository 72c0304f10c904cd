//! Every bench: one binary, linked once. `cargo bench` runs them all, `cargo bench -- NAME` one of them.
//!
//! A bench measures figures against budgets, prints one table, and fails the run when a figure is judged and more than
//! [`harness::MARGIN`] times its budget. Judged are processor time, memory, and ratios of two things measured in turn;
//! time on the wall is shown and never judged, because it says more about the machine's other work than about ours.
//!
//! `--quick` takes a tenth of the actions and a third of the rounds: enough to see that nothing is out of hand.
//! How to profile what a bench shows is in `engine/docs/benches.md`.

mod exec;
mod go;
mod harness;
mod key;
mod materialize;
mod noop;
mod polyglot;
#[cfg(target_os = "linux")]
mod sandbox;
mod scan;
mod schedule;
mod workspace;

use std::process::{Command, ExitCode};

use harness::{Bench, Plan};

type Run = fn(&Plan, &mut Bench);

const BENCHES: &[(&str, Run)] = &[
    ("key", key::bench),
    ("schedule", schedule::bench),
    ("scan", scan::bench),
    ("materialize", materialize::bench),
    #[cfg(target_os = "linux")]
    ("sandbox", sandbox::bench),
    ("exec", exec::bench),
    ("noop", noop::bench),
    ("go", go::bench),
    ("polyglot", polyglot::bench),
];

#[expect(clippy::disallowed_methods, reason = "benches have a door of their own")]
fn main() -> ExitCode {
    let (flags, names): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|arg| arg.starts_with("--"));
    let plan = Plan { is_quick: flags.iter().any(|flag| flag == "--quick") };
    let chosen: Vec<_> =
        BENCHES.iter().filter(|(name, _)| names.is_empty() || names.iter().any(|asked| asked == name)).collect();
    let is_within = match chosen[..] {
        [(name, run)] => {
            let mut bench = Bench::new(name);
            run(&plan, &mut bench);
            bench.finish()
        }
        // Each in a process of its own: what a child is said to have used at its peak begins with what its parent did.
        _ => chosen.iter().map(|(name, _)| alone(name, &flags)).fold(true, |all, one| all & one),
    };
    if is_within { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn alone(name: &str, flags: &[String]) -> bool {
    let program = std::env::current_exe().expect("we were started from a file");
    Command::new(program).args(flags).arg(name).status().expect("what was started once can be again").success()
}
