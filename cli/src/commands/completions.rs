//! `run v2 completions`: what a shell has to know to complete command lines.

use clap_complete::Shell;

use crate::args;
use crate::context::Context;
use crate::fail::Failure;

/// Write shell completions
///
/// For example: `run v2 completions bash > ~/.local/share/bash-completion/completions/run`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell to write them for
    shell: Shell,
}

/// Writes them.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::command(), "run", &mut script);
    context.console.bytes(&script)
}
