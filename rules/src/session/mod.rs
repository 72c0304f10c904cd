//! [`Session`]: one project, opened for work. Brings what was asked for up to date, and keeps what a build teaches.
//!
//! In the order in which a request meets them: [`Options`] say what is asked, [`up_to_date`] may know the answer already,
//! [`Session::open`] walks the line from `run.toml` to a graph, [`Selection`] is the part of it that is wanted.

mod again;
mod answer;
mod bindings;
mod open;
mod options;
mod provisions;
mod rustup;
mod selection;
mod state;
mod witness;

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use run_engine::action::{Action, ActionId, Source, Work};
use run_engine::build::{Outcome, Request, Services, build};
use run_engine::cancel::Cancel;
use run_engine::clock::MonotonicClock;
use run_engine::event::{Event, EventSink, Failure, Ran};
use run_engine::files::materialize::MaterializeError;
use run_engine::files::stamp::Stamp;
use run_engine::files::stat_cache::StatCache;
use run_engine::graph::ActionGraph;
use run_engine::history::History;
use run_engine::path::RelPath;
use run_engine::sandbox::World;
use run_engine::sandbox::ladder::{self, Refusal, Strongest};
use run_engine::sandbox::{INPUT_ROOT, Sandbox as _};
use run_engine::schedule::Limits;
use run_engine::store::disk::DiskStore;
use run_engine::store::{StoreError, Strength};

use crate::builtin::{Table, native};
use crate::diagnostic::Diagnostic;
use crate::facts::files::Looked;
use crate::facts::tools::Watched;
use crate::host::OptLevel;
use crate::lower::Lowered;
use crate::manifest::{Manifest, Profile};
use crate::rule::WORK;
use crate::target::Target;
use crate::undeclared::{self, Asker, Undeclared};

use bindings::Bindings;
use state::State;

pub use answer::{Runnable, UpToDate};
pub use bindings::remove_bindings;
pub use open::{MANIFEST, OpenError, read_manifest, store_dir};
pub use options::{Ask, Environment, Goal, Options, TimeOfDay};
pub use provisions::{Provision, Provisions};
pub use selection::{PARTS, Selection};
pub use state::PRIVATE;
pub use witness::up_to_date;

/// A project, opened.
pub struct Session {
    options: Options,
    manifest: Manifest,
    profile: Profile,
    store: DiskStore,
    lowered: Lowered,
    bindings: Bindings,
    stats: StatCache,
    history: History,
    looked: Looked,
    directories: Vec<(Option<RelPath>, Stamp)>,
    watched: Vec<Watched>,
    warnings: Vec<Diagnostic>,
    table: Table,
    /// Parts of tests' names; a test is chosen that holds one, or whose target is named.
    filters: Vec<String>,
}

/// How a build goes about it.
#[derive(Debug, Clone, Copy)]
pub struct BuildOptions {
    /// How many actions may run at once.
    pub jobs: usize,
    /// Whether to go on with what does not depend on a failed action.
    pub keep_going: bool,
    /// Whether to run what was asked for even if its result is known.
    pub force: bool,
    /// Whether only to say what would run.
    pub dry_run: bool,
    /// Whether to run everything once more elsewhere, and to compare.
    pub verify: bool,
}

impl Session {
    /// What is odd and stops nothing.
    #[must_use]
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// The project's directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.options.root
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The targets that were asked for and those they need, dependencies first.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        &self.lowered.targets
    }

    /// The target of this name.
    #[must_use]
    pub fn find_target(&self, name: &str) -> Option<&Target> {
        self.lowered.targets.iter().find(|target| target.name == name)
    }

    /// The actions.
    #[must_use]
    pub fn graph(&self) -> &ActionGraph {
        &self.lowered.graph
    }

    /// What earlier builds taught.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Whether an action is known to leave other bytes at other times or places: because its tool does, or because it was
    /// seen to.
    #[must_use]
    pub fn varies(&self, id: ActionId) -> bool {
        let action = self.graph().action(id);
        action.varying || self.history.varies(&action.label)
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &DiskStore {
        &self.store
    }

    /// The engines that run components.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// How native code is optimised.
    #[must_use]
    pub fn level(&self) -> OptLevel {
        native::level(self.profile)
    }

    /// Seconds since 1970 at which virtual time starts.
    #[must_use]
    pub fn epoch_seconds(&self) -> u64 {
        self.options.environment.source_date_epoch.unwrap_or(0)
    }

    /// Brings a selection up to date and remembers what was learnt.
    ///
    /// # Errors
    /// [`OpenError::Machine`] when the store or the sandbox can't be used at all.
    pub fn build(
        &mut self,
        selection: &Selection,
        options: BuildOptions,
        cancel: &Cancel,
        sink: &mut dyn EventSink,
    ) -> Result<Outcome, OpenError> {
        let _lease = self.store.lease()?;
        let now = self.options.clock.now().duration_since(SystemTime::UNIX_EPOCH);
        self.history.set_time(now.map_or(0, |since| since.as_secs()));
        let unwritten = if options.dry_run { None } else { self.write_bindings().err() };
        let sandbox = self.sandbox(options.jobs, World::USUAL);
        let forced = if options.force { self.forced(selection) } else { HashSet::new() };
        let request = Request {
            wanted: &selection.wanted,
            exports: &selection.exports,
            workspace: &self.options.root,
            forced: &forced,
            salt: "",
            limits: Limits { cpu: options.jobs, network: 4, keep_going: options.keep_going },
            dry_run: options.dry_run,
        };
        let services = Services {
            blobs: &self.store,
            results: &self.store,
            sources: &self.lowered.sources,
            sandbox: &sandbox,
            builtins: &self.table,
            clock: &MonotonicClock::start(),
            cancel,
            is_explained: &|action, said| {
                !undeclared(&self.lowered, &self.options, action, said, &[], &sandbox).is_empty()
            },
        };
        let mut ended = None;
        let mut all_but_end = |event: Event<'_>| match event {
            Event::Finished { summary } => ended = Some(summary),
            Event::Ran { action, how: Ran::Failed { failure }, .. } => {
                sink.event(event);
                let Failure::Ended { stdout, stderr, lookups, .. } = failure else { return };
                let said = [stdout.as_slice(), stderr];
                for Undeclared { what, help } in
                    undeclared(&self.lowered, &self.options, action, said, lookups, &sandbox)
                {
                    sink.event(Event::Undeclared { action, what: &what, help: &help });
                }
            }
            event => sink.event(event),
        };
        let mut outcome = build(&self.lowered.graph, &request, &services, &mut self.history, &mut all_but_end);
        if let Some(MaterializeError::Lost { .. }) = outcome.export_error {
            // The store noticed only when it gave the output away that it is damaged. By now it is gone, and is made anew.
            let mut all_but_plan = |event: Event<'_>| match event {
                Event::Planned { .. } => {}
                event => sink.event(event),
            };
            outcome = build(&self.lowered.graph, &request, &services, &mut self.history, &mut all_but_plan);
        } else if let Some(mut summary) = ended {
            if options.verify && summary.is_success() && outcome.export_error.is_none() && !options.dry_run {
                let mut history = std::mem::take(&mut self.history);
                summary.compared = Some(self.repeat(selection, &outcome, &services, &mut history, options.jobs, sink));
                self.history = history;
                summary.cancelled = cancel.is_cancelled();
                summary.took = services.clock.now();
                outcome.summary = summary;
            }
            if let Some((strength, refusals)) = sandbox.if_needed() {
                sink.event(Event::Sandboxed { strength });
                for refusal in refusals {
                    sink.event(Event::Degraded { what: "the sandbox", instead: &weaker_instead(strength, refusal) });
                }
            }
            if let Some(error) = &unwritten {
                let instead = format!("{error}; components are built all the same");
                sink.event(Event::Degraded { what: "bindings for editors", instead: &instead });
            }
            sink.event(Event::Finished { summary });
        }
        if !options.dry_run {
            self.remember(selection, &outcome, unwritten.is_none());
        }
        Ok(outcome)
    }

    /// Writes what editors want to find.
    fn write_bindings(&self) -> Result<(), StoreError> {
        self.bindings.write(&self.options.root, &self.manifest)
    }

    fn sandbox(&self, n_cores: usize, world: World) -> Strongest {
        let Environment { program, scratch, clients, .. } = &self.options.environment;
        Strongest::new(ladder::Options {
            program: program.clone(),
            scratch: scratch.clone(),
            clients: clients.clone(),
            n_cores,
            world,
            offline: self.options.offline,
        })
    }

    /// The actions that were made for the targets that were asked for: what `--force` runs again.
    fn forced(&self, selection: &Selection) -> HashSet<ActionId> {
        let needed: HashSet<ActionId> = self.graph().closure(&selection.wanted).into_iter().collect();
        let chosen = selection.targets.iter().map(|index| &self.lowered.targets[*index]);
        match self.options.ask.goal {
            Goal::Tests => selection.tests.iter().map(|test| test.action).collect(),
            _ => chosen.flat_map(|t| &t.actions).copied().filter(|id| needed.contains(id)).collect(),
        }
    }

    /// Writes what the next build wants to know. None of it is needed, so what can't be written is left out.
    fn remember(&mut self, selection: &Selection, outcome: &Outcome, is_all_written: bool) {
        let state = State::of(&self.options.root);
        if state.prepare().is_err() {
            return;
        }
        state.save(&self.history, &self.stats);
        let file = state.witness_file(&self.options);
        if outcome.summary.is_success() && outcome.export_error.is_none() && is_all_written {
            if let Some(witness) = self.witness(selection, outcome) {
                let _ = witness.save(&file);
            }
        } else {
            let _ = fs::remove_file(&file);
        }
        self.collect_sometimes(outcome);
    }

    /// Keeps the store under its size, once a day, after a build that added to it.
    fn collect_sometimes(&self, outcome: &Outcome) {
        const EVERY: Duration = Duration::from_secs(24 * 60 * 60);
        let mark = self.store.root().join("collected");
        let is_due = match fs::metadata(&mark).and_then(|meta| meta.modified()) {
            Ok(last) => last.elapsed().is_ok_and(|age| age > EVERY),
            Err(_) => true,
        };
        if outcome.summary.built > 0 && is_due {
            let _ = fs::write(&mark, b"");
            let _ = self.store.collect(self.manifest.cache.max_size.bytes);
        }
    }
}

/// What a failed process looked for in vain: what it said of that, or else what was seen of it. Where the sandbox hides nothing, that it did not find something is no news.
fn undeclared(
    lowered: &Lowered,
    options: &Options,
    action: ActionId,
    [stdout, stderr]: [&[u8]; 2],
    lookups: &[String],
    sandbox: &Strongest,
) -> Vec<Undeclared> {
    let is_process = matches!(lowered.graph.action(action).work, Work::Process { .. });
    let target = lowered.targets.iter().find(|target| target.actions.contains(&action));
    let Some(target) = target.filter(|_| is_process && sandbox.strength() > Strength::Bare) else {
        return Vec::new();
    };
    let asker = Asker {
        name: &target.name,
        kind: target.kind,
        project: &options.root,
        inside: &format!("{INPUT_ROOT}/{WORK}"),
        path: &options.environment.path,
        has: &|path| has(lowered.graph.action(action), path),
        leaves: &|path| leaves(lowered.graph.action(action), path),
    };
    let told = undeclared::look(&[stderr, stdout].map(|said| String::from_utf8_lossy(said)).join("\n"), &asker);
    if told.is_empty() { undeclared::of_lookups(lookups, &asker) } else { told }
}

/// Whether a path of the project is what an action leaves, or above or below that.
fn leaves(action: &Action, path: &RelPath) -> bool {
    action.outputs.iter().any(|output| output.starts_with(path) || path.starts_with(output))
}

/// Whether a path of the project is part of an action's input root, as far as that was known before the build.
fn has(action: &Action, path: &RelPath) -> bool {
    let inside = RelPath::new(WORK).expect("a plain name").join(path);
    action.inputs.iter().any(|input| {
        let below = match &input.at {
            None => Some(inside.clone()),
            Some(at) if *at == inside => return true,
            Some(at) => inside.strip_prefix(at),
        };
        match (&input.source, below) {
            (Source::Tree(tree), Some(below)) => tree.find(&below).is_some(),
            _ => false,
        }
    })
}

/// What is told of a sandbox that this machine refuses.
fn weaker_instead(strength: Strength, refusal: &Refusal) -> String {
    let mut text = format!("{}; {}, and its results stay on this machine", refusal.why, ladder::sees(strength));
    for help in &refusal.helps {
        text.push_str("\nhelp: ");
        text.push_str(help);
    }
    text
}
