//! `Context`: what commands need, resolved once and never passed below this crate.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use run_engine::build::Outcome;
use run_engine::cancel::Cancel;
use run_engine::event::{Event, EventSink as _, Failure as ActionFailure};
use run_rules::manifest::Profile;
use run_rules::session::{Ask, BuildOptions, OpenError, Options, Selection, Session, TimeOfDay, read_manifest};
use run_rules::toolchain::provision::Notice;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::args::{Command, Global};
use crate::commands;
use crate::env::Env;
use crate::exit::Exit;
use crate::fail::{Failure, Kind, render_all};
use crate::report::console::Console;
use crate::report::{Cast, Reporter, Wishes};

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
                // As it really is: paths that tools tell are compared with it.
                let root = self.env.directory.join(named).canonicalize();
                if let Ok(root) = root
                    && root.join(MANIFEST).is_file()
                {
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

    /// The directory of the store that builds here use: flags and environment beat `run.toml`, which beats the default.
    ///
    /// # Errors
    /// When nobody says where it could be.
    pub(crate) fn store_in_use(&self) -> Result<PathBuf, Failure> {
        let named = || {
            let root = self.project().ok()?;
            let (manifest, _) = read_manifest(&root).ok()?;
            Some(root.join(manifest.cache.dir?.value))
        };
        match self.env.named_store().or_else(named) {
            Some(store) => Ok(store),
            None => self.store(),
        }
    }

    /// How a build goes about it when nothing else was asked for.
    pub(crate) fn build_options(&self) -> BuildOptions {
        let jobs = usize::try_from(self.env.cores.get()).unwrap_or(1);
        BuildOptions { jobs, keep_going: false, force: false, dry_run: false, verify: false }
    }

    /// What a session is opened with.
    ///
    /// # Errors
    /// When there is no project, or no place for the store.
    pub(crate) fn options(&self, ask: Ask, profile: Option<Profile>) -> Result<Options, Failure> {
        self.options_in(self.project()?, ask, profile)
    }

    /// The same, for this directory.
    ///
    /// # Errors
    /// When there is no place for the store.
    pub(crate) fn options_in(&self, root: PathBuf, ask: Ask, profile: Option<Profile>) -> Result<Options, Failure> {
        Ok(Options {
            root,
            store: self.env.named_store(),
            default_store: self.store()?,
            profile,
            reproducible: false,
            offline: self.global.offline,
            revision: self.env.revision.clone(),
            looked: self.env.looked,
            clock: TimeOfDay(crate::env::time_of_day),
            environment: self.env.for_rules()?,
            ask,
        })
    }

    /// Opens a session, and says what it warns about.
    ///
    /// # Errors
    /// When the project has errors, or this machine can't.
    pub(crate) fn open(&mut self, options: Options) -> Result<Session, Failure> {
        let root = options.root.clone();
        let console = RefCell::new(&mut self.console);
        let tell = |notice: &Notice| console.borrow_mut().say(&installing(notice));
        let session = Session::open(options, &tell).map_err(|error| open_failed(error, &root))?;
        if !session.warnings().is_empty() {
            let text = render_all(session.warnings(), &root, self.console.has_colour());
            self.console.say(&text);
        }
        Ok(session)
    }

    /// Brings a selection up to date and reports it. `tap` sees every event first, and returns true for one that
    /// nobody else has to tell of.
    ///
    /// # Errors
    /// When the machine can't, or what was to be written for the user can't be. That an action failed is no error.
    pub(crate) fn build(
        &mut self,
        session: &mut Session,
        selection: &Selection,
        options: BuildOptions,
        wishes: Wishes,
        tap: &mut dyn FnMut(&Event<'_>) -> bool,
    ) -> Result<Outcome, Failure> {
        let targets = u32::try_from(selection.targets.len()).unwrap_or(u32::MAX);
        let cast = Cast::new(session.graph(), session.history(), targets);
        let root = session.root().to_owned();
        let mut reporter = Reporter::new(&mut self.console, cast, wishes, self.env.started, &self.cancel);
        let outcome = session.build(selection, options, &self.cancel, &mut |event: Event<'_>| match tap(&event) {
            true => reporter.pass(&event),
            false => reporter.event(event),
        });
        reporter.finish()?;
        let outcome = outcome.map_err(|error| open_failed(error, &root))?;
        match &outcome.export_error {
            Some(error) => Err(Failure::machine("can't write an output into the project", error)
                .help("remove what stands in its way, or choose another `output_dir` in `[build]` of run.toml")),
            None => Ok(outcome),
        }
    }
}

/// The actions behind what a session was opened for.
///
/// # Errors
/// When it was opened for a part that no target has.
pub(crate) fn select(session: &Session) -> Result<Selection, Failure> {
    session.select().map_err(|problem| Failure::diagnostics(vec![problem], session.root().to_owned()))
}

/// Says that something is fetched, which takes a while.
pub(crate) fn installing(Notice { name, version, from }: &Notice) -> String {
    format!("installing {name} {version} from {from}\n")
}

/// Tells why a project can't be opened.
pub(crate) fn open_failed(error: OpenError, root: &Path) -> Failure {
    match error {
        OpenError::Wrong(diagnostics) => Failure::diagnostics(diagnostics, root.to_owned()),
        OpenError::Machine { what, helps } => helps.into_iter().fold(Failure::new(Kind::Machine, what), Failure::help),
    }
}

/// How a build that was not all good ends the command.
///
/// # Errors
/// It was interrupted, or something failed, for this machine's reasons or for its own.
pub(crate) fn verdict(outcome: &Outcome) -> Result<(), Failure> {
    if outcome.summary.is_success() {
        return Ok(());
    }
    if outcome.summary.cancelled {
        return Err(Failure::told(Kind::Interrupted));
    }
    if let Some(ActionFailure::Bug { why }) = outcome.failures.values().find(|f| matches!(f, ActionFailure::Bug { .. }))
    {
        return Err(Failure::new(Kind::Bug, why));
    }
    let is_machine = |failure: &ActionFailure| matches!(failure, ActionFailure::Machine { .. });
    if !outcome.failures.is_empty() && outcome.failures.values().all(is_machine) {
        return Err(Failure::told(Kind::Machine));
    }
    Err(Failure::told(Kind::Build))
}

fn find_project(from: &Path) -> Option<PathBuf> {
    from.ancestors().find(|directory| directory.join(MANIFEST).is_file()).map(Path::to_owned)
}
