//! The commands: one file each, which holds its flags and its function. No command uses another.

pub(crate) mod build;
pub(crate) mod cache;
pub(crate) mod clean;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod exec;
pub(crate) mod graph;
pub(crate) mod help;
pub(crate) mod info;
pub(crate) mod init;
pub(crate) mod schema;
pub(crate) mod test;
pub(crate) mod toolchain;
pub(crate) mod why;

use crate::args::Command;
use crate::context::Context;
use crate::fail::Failure;

/// Runs the command that was typed.
pub(crate) fn run(command: Command, context: &mut Context) -> Result<(), Failure> {
    match command {
        Command::Init(args) => init::run(&args, context),
        Command::Build(args) => build::run(args, context),
        Command::Exec(args) => exec::run(&args, context),
        Command::Test(args) => test::run(args, context),
        Command::Info(args) => info::run(&args, context),
        Command::Why(args) => why::run(&args, context),
        Command::Graph(args) => graph::run(&args, context),
        Command::Clean(args) => clean::run(&args, context),
        Command::Cache(args) => cache::run(&args, context),
        Command::Toolchain(args) => toolchain::run(&args, context),
        Command::Doctor(args) => doctor::run(&args, context),
        Command::Completions(args) => completions::run(&args, context),
        Command::Schema(args) => schema::run(&args, context),
        Command::Help(args) => help::run(&args, context),
    }
}
