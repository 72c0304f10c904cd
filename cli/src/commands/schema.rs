//! `run v2 schema`: the JSON schema of `run.toml`.

use crate::context::Context;
use crate::fail::Failure;

/// Write the JSON schema of run.toml, for editors
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Writes it.
pub(crate) fn run(_args: &Args, context: &mut Context) -> Result<(), Failure> {
    context.console.document(&run_rules::manifest::json_schema())
}
