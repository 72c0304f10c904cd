//! `run v2 build`: brings targets up to date.

use std::num::NonZeroU32;
use std::path::PathBuf;

use run_rules::manifest::Profile;
use run_rules::session::{Ask, BuildOptions, Goal, Options, up_to_date};

use crate::context::{Context, select, verdict};
use crate::fail::Failure;
use crate::report::{Cast, Wishes, json, summary};

/// Bring targets up to date
///
/// Builds the named targets and what they need, or every target of the project. What was built before, here or by
/// anybody who shares the store, is reused; only what changed is run, in a sandbox that shows it nothing but its
/// declared inputs. Outputs are in `target/wasm/`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The targets to build; all of them by default. `NAME:wit`, `NAME:native` and `NAME:package` are parts of NAME
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
    /// Have tools leave out when and where they run, so that outputs are the same everywhere
    ///
    /// `SOURCE_DATE_EPOCH` is set for every tool (to 0 where you have not set it), and Rust's panic messages and debug
    /// information name files from the project's directory on. The same as `reproducible = true` in `[build]`.
    #[arg(long)]
    reproducible: bool,
    /// Run every action once more elsewhere, and fail if one leaves something else
    ///
    /// At another path, as another user, on a machine of another name with one processor, in another locale, with other
    /// file times and directories listed the other way round. What differs is located and explained.
    #[arg(long, conflicts_with = "dry_run")]
    verify_reproducible: bool,
    /// Run at most N actions at once; the number of cores by default
    #[arg(short, long, value_name = "N", value_parser = crate::args::jobs)]
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
    let profile = match (args.debug, args.release) {
        (true, _) => Some(Profile::Debug),
        (false, true) => Some(Profile::Release),
        (false, false) => None,
    };
    let ask = Ask { targets: asked(&args.targets), goal: Goal::Outputs };
    let options = Options { reproducible: args.reproducible, ..context.options(ask, profile)? };
    let looks_only = !args.force && !args.dry_run && !args.verify_reproducible && args.profile.is_none();
    if looks_only && let Some(done) = up_to_date(&options) {
        return say_up_to_date(done.n_targets, context);
    }
    let mut session = context.open(options)?;
    let selection = select(&session)?;
    let wishes = Wishes {
        why: args.why,
        dry_run: args.dry_run,
        profile: args.profile.map(|file| context.env.directory.join(file)),
        ..Wishes::default()
    };
    let options = BuildOptions {
        jobs: usize::try_from(args.jobs.unwrap_or(context.env.cores).get()).unwrap_or(1),
        keep_going: args.keep_going,
        force: args.force,
        dry_run: args.dry_run,
        verify: args.verify_reproducible,
    };
    verdict(&context.build(&mut session, &selection, options, wishes, &mut |_| false)?)
}

/// The targets, each once, in an order that does not depend on how they were typed.
fn asked(targets: &[String]) -> Vec<String> {
    let mut targets = targets.to_vec();
    targets.sort_unstable();
    targets.dedup();
    targets
}

fn say_up_to_date(targets: u32, context: &mut Context) -> Result<(), Failure> {
    let took = context.env.started.elapsed();
    if context.console.is_json() {
        return context.console.data(&json::up_to_date(targets, took, &Cast::default()));
    }
    context.console.say(&summary::nothing_to_do(targets, took));
    Ok(())
}
