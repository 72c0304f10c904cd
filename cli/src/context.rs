//! `Context`: what commands need, resolved once and never passed below this crate.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use run_engine::cancel::Cancel;
use run_rules::session::{OpenError, Options, Profile, Session};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::args::{Command, Global};
use crate::commands;
use crate::env::Env;
use crate::exit::Exit;
use crate::fail::{Failure, Kind, render_all};
use crate::report::console::Console;

/// The manifest's name, by which a project is known.
const MANIFEST: &str = "run.toml";

/// What a command works with.
pub(crate) struct Context {
    /// What the process was given.
    pub(crate) env: Env,
    /// The flags that every command understands.
    pub(crate) global: Global,
    /// Its streams.
    pub(crate) console: Console,
    /// Set by Ctrl-C.
    pub(crate) cancel: Cancel,
}

/// Runs a command, and tells how it ended.
pub(crate) fn run(env: Env, global: Global, command: Command) -> ExitCode {
    let console = Console::new(&env, &global);
    let mut context = Context { env, global, console, cancel: Cancel::new() };
    match listen(&context.cancel).and_then(|()| commands::run(command, &mut context)) {
        Ok(()) => ExitCode::from(Exit::Done.code()),
        Err(failure) => {
            failure.tell(&mut context.console);
            ExitCode::from(failure.status())
        }
    }
}

/// The first Ctrl-C (or SIGTERM) asks the build to stop; the second does not ask.
fn listen(cancel: &Cancel) -> Result<(), Failure> {
    for signal in [SIGINT, SIGTERM] {
        let status = i32::from(Exit::Interrupted.code());
        // In this order: a shutdown happens when the flag is set already.
        signal_hook::flag::register_conditional_shutdown(signal, status, cancel.flag())
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&cancel.flag())))
            .map_err(|error| Failure::machine("can't listen for Ctrl-C", error))?;
    }
    Ok(())
}

impl Context {
    /// The project's directory.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn project(&self) -> Result<PathBuf, Failure> {
        match &self.global.project {
            Some(named) => {
                let root = self.env.directory.join(named);
                if root.join(MANIFEST).is_file() {
                    return Ok(root);
                }
                let failure = Failure::yours(format!("`{}` holds no `{MANIFEST}`", named.display()));
                Err(failure.help("`-C` names the project's own directory"))
            }
            None => find_project(&self.env.directory).ok_or_else(|| {
                Failure::yours(format!("no `{MANIFEST}` in this directory or above it"))
                    .help("`run v2 init NAME` makes a project")
            }),
        }
    }

    /// The directory of the local store.
    ///
    /// # Errors
    /// When nobody says where it could be.
    pub(crate) fn store(&self) -> Result<PathBuf, Failure> {
        self.env.find_store().ok_or_else(|| {
            Failure::new(Kind::Machine, "there is no home directory to keep the store in")
                .help("set `RUN_CACHE_DIR` to a directory of yours")
        })
    }

    /// What a session is opened with.
    ///
    /// # Errors
    /// When there is no project, or no place for the store.
    pub(crate) fn options(&self, profile: Profile, reproducible: bool) -> Result<Options, Failure> {
        Ok(Options {
            root: self.project()?,
            store: self.store()?,
            profile,
            reproducible,
            offline: self.global.offline,
            environment: run_rules::session::Environment::new(self.env.for_rules()),
        })
    }

    /// Opens a session, and says what it warns about.
    ///
    /// # Errors
    /// When the manifest has errors, or this machine can't.
    pub(crate) fn open(&mut self, options: Options) -> Result<Session, Failure> {
        let root = options.root.clone();
        let session = Session::open(options).map_err(|error| match error {
            OpenError::Manifest(diagnostics) => Failure::diagnostics(diagnostics, root.clone()),
            OpenError::Machine { what, cause, helps } => {
                helps.into_iter().fold(Failure::machine(what, cause), Failure::help)
            }
        })?;
        if !session.warnings().is_empty() {
            let text = render_all(session.warnings(), &root, self.console.has_colour());
            self.console.say(&text);
        }
        Ok(session)
    }
}

fn find_project(from: &Path) -> Option<PathBuf> {
    from.ancestors().find(|directory| directory.join(MANIFEST).is_file()).map(Path::to_owned)
}
