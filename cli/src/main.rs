//! `run`: parse, dispatch, exit.

mod args;
mod commands;
mod context;
mod env;
mod exit;
mod fail;
mod keys;
mod put;
mod render;
mod report;
mod sandbox;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    fail::guard(|| {
        let env = env::Env::of_this_process();
        if let Some(ended) = sandbox::serve_if_wanted(&env) {
            return ended;
        }
        if let Some(words) = args::forgotten_era(&env.args) {
            return fail::usage(&env, &words);
        }
        match args::Root::try_parse_from(&env.args) {
            Ok(args::Root { era: args::Era::V2(args) }) => context::run(env, args.global, args.command),
            Err(error) => fail::unparsed(&env, &error),
        }
    })
}
