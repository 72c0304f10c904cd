//! `run v2 build`: brings targets up to date.

use std::num::NonZeroU32;
use std::path::PathBuf;

use run_rules::session::{BuildOptions, Goal, Profile, Session};

use crate::context::Context;
use crate::fail::{Failure, Kind};
use crate::report::{Cast, Reporter, Wishes, json, summary};

/// Bring targets up to date
///
/// Builds the named targets and what they need, or every target of the project. What was built before, here or by
/// anybody who shares the store, is reused; only what changed is run, in a sandbox that shows it nothing but its
/// declared inputs. Outputs are in `target/wasm/`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The targets to build; all of them by default
    targets: Vec<String>,
    /// A target to build; the same as naming it
    #[arg(long, value_name = "NAME")]
    component: Vec<String>,
    /// Optimise (the default)
    #[arg(long, conflicts_with = "debug")]
    release: bool,
    /// Compile for debugging; outputs are in `target/wasm/debug/`
    #[arg(long)]
    debug: bool,
    /// Leave out of the outputs whatever would differ from machine to machine
    #[arg(long)]
    reproducible: bool,
    /// Run at most N actions at once; the number of cores by default
    #[arg(short, long, value_name = "N")]
    jobs: Option<NonZeroU32>,
    /// After a failure, go on with what does not need the failed action
    #[arg(long)]
    keep_going: bool,
    /// Say what would be run, and why; run nothing
    #[arg(long)]
    dry_run: bool,
    /// Say of each action why it is run
    #[arg(long)]
    why: bool,
    /// Run every action, whatever the store has
    #[arg(long)]
    force: bool,
    /// Write a Chrome trace of the build to FILE
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
}

/// Builds.
pub(crate) fn run(mut args: Args, context: &mut Context) -> Result<(), Failure> {
    args.targets.append(&mut args.component);
    let profile = if args.debug { Profile::Debug } else { Profile::Release };
    let options = context.options(profile, args.reproducible)?;
    let looks_only = !args.force && !args.dry_run && args.profile.is_none();
    if looks_only && let Some(done) = Session::up_to_date(&options, &identity(&args)) {
        return say_up_to_date(done.targets, context);
    }
    let root = options.root.clone();
    let mut session = context.open(options)?;
    let selection = session
        .select(&args.targets, Goal::Outputs)
        .map_err(|diagnostic| Failure::diagnostics(vec![diagnostic], root))?;
    let cast = Cast::new(session.graph(), session.history(), selection.targets);
    let wishes = Wishes {
        why: args.why,
        dry_run: args.dry_run,
        profile: args.profile.map(|file| context.env.directory.join(file)),
        keeps_stdout: false,
    };
    let options = BuildOptions {
        jobs: args.jobs.unwrap_or(context.env.cores),
        keep_going: args.keep_going,
        force: args.force,
        dry_run: args.dry_run,
    };
    let mut reporter = Reporter::new(&mut context.console, cast, wishes, context.env.started, &context.cancel);
    let summary = session.build(&selection, options, &context.cancel, &mut reporter);
    reporter.finish()?;
    match summary {
        summary if summary.is_success() => Ok(()),
        summary if summary.cancelled => Err(Failure::told(Kind::Interrupted)),
        _ => Err(Failure::told(Kind::Build)),
    }
}

/// What was asked for, as far as it decides whether there is anything to do.
fn identity(args: &Args) -> String {
    let mut targets = args.targets.clone();
    targets.sort_unstable();
    targets.dedup();
    format!("build {} debug={} reproducible={}", targets.join(","), args.debug, args.reproducible)
}

fn say_up_to_date(targets: u32, context: &mut Context) -> Result<(), Failure> {
    let took = context.env.started.elapsed();
    if context.console.is_json() {
        return context.console.data(&json::up_to_date(targets, took, &Cast::default()));
    }
    context.console.say(&summary::nothing_to_do(targets, took));
    Ok(())
}
