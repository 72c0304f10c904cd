//! What can be typed: the global flags and the list of commands. Each command's own flags live with the command.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};

use run_rules::versions;

use crate::commands::{
    build, cache, clean, completions, doctor, exec, graph, help, info, init, schema, test, toolchain, why,
};

/// A build engine for WebAssembly components.
#[derive(Debug, Parser)]
#[command(name = "run", version, long_version = VERSION.as_str(), disable_help_subcommand = true)]
#[command(subcommand_value_name = "ERA", subcommand_help_heading = "Eras")]
pub(crate) struct Root {
    #[command(subcommand)]
    pub(crate) era: Era,
}

/// Commands stand behind the version of the project format that they understand.
#[derive(Debug, Subcommand)]
pub(crate) enum Era {
    V2(Box<V2>),
}

/// Builds, runs and tests WebAssembly components.
///
/// A project is a directory with a `run.toml`. `run v2 init NAME` makes one.
#[derive(Debug, clap::Args)]
#[command(display_name = "run", version, long_version = VERSION.as_str(), disable_help_subcommand = true)]
pub(crate) struct V2 {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command understands.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Work on the project in DIR
    ///
    /// By default it is the nearest directory, from the current one upwards, that holds a `run.toml`.
    #[arg(short = 'C', long, value_name = "DIR", global = true)]
    pub(crate) project: Option<PathBuf>,
    /// Write JSON to standard output, and nothing else
    ///
    /// One document, or one event a line where a command reports as it goes.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say more: why each action ran, and what its tool wrote
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// When to use colour; it never carries meaning
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true)]
    pub(crate) color: Color,
    /// Don't use the network
    #[arg(long, global = true)]
    pub(crate) offline: bool,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands of this version.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::Args),
    Build(build::Args),
    Exec(exec::Args),
    Test(test::Args),
    Info(info::Args),
    Why(why::Args),
    Graph(graph::Args),
    Clean(clean::Args),
    Cache(cache::Args),
    Toolchain(toolchain::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
    Schema(schema::Args),
    Help(help::Args),
}

/// What `--version` says: this program, then the runtime and the interfaces that components meet in it.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    format!("{}\nwasmtime {}\nWASI {}", env!("CARGO_PKG_VERSION"), versions::WASMTIME, versions::WASI)
});

/// The whole command line as clap knows it.
pub(crate) fn command() -> clap::Command {
    Root::command()
}

/// The words of a command line that lacks `v2` and would be understood with it: `run build`.
pub(crate) fn forgotten_era(args: &[std::ffi::OsString]) -> Option<String> {
    let first = args.get(1)?.to_str()?;
    let root = command();
    let era = root.find_subcommand("v2").expect("the era that this program is");
    era.find_subcommand(first).map(|command| command.get_name().to_owned())
}

/// How many actions may run at once, at most: each has a thread, and a machine has only so many.
const JOBS_MAX: u32 = 512;

/// Reads `--jobs`.
pub(crate) fn jobs(text: &str) -> Result<NonZeroU32, String> {
    let jobs = text.parse().ok().filter(|jobs: &NonZeroU32| jobs.get() <= JOBS_MAX);
    jobs.ok_or_else(|| format!("write a whole number from 1 to {JOBS_MAX}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_holds_together() {
        command().debug_assert();
    }

    #[test]
    fn the_era_is_missed_only_where_it_would_help() {
        let of = |line: &str| forgotten_era(&line.split(' ').map(Into::into).collect::<Vec<_>>());
        assert_eq!(of("run build --release").as_deref(), Some("build"));
        assert_eq!(of("run v2 build"), None);
        assert_eq!(of("run --version"), None);
        assert_eq!(of("run"), None);
    }
}
