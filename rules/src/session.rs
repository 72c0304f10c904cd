//! [`Session`]: one project, opened for work. Walks the line from `run.toml` to a graph, and keeps what a build teaches.
//!
//! State lies in `.run/state/` and may be deleted at any time: `stamps` (what files hold), `history` (last key records,
//! durations) and one `witness-…` for each kind of request, which lets the next one of its kind answer "nothing to do"
//! without reading `run.toml`.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use run_engine::action::ActionId;
use run_engine::build::{Outcome, Request, Services, build};
use run_engine::cancel::Cancel;
use run_engine::clock::MonotonicClock;
use run_engine::digest::{Blob, BlobDigest, Digest, DigestFunction};
use run_engine::event::{Event, EventSink};
use run_engine::files::materialize::MaterializeError;
use run_engine::files::stamp::Stamp;
use run_engine::files::stat_cache::StatCache;
use run_engine::graph::{ActionGraph, Export};
use run_engine::history::History;
use run_engine::path::RelPath;
use run_engine::sandbox::bare::Bare;
use run_engine::sandbox::{Clients, Sandbox};
use run_engine::schedule::Limits;
use run_engine::store::disk::DiskStore;
use run_engine::store::{Blobs, StoreError};
use run_engine::tree::Node;
use run_engine::witness::{At, Verdict, Witness};

use crate::builtin::{Table, native};
use crate::diagnostic::{Diagnostic, suggest};
use crate::facts::files::{Looked, ProjectFiles};
use crate::facts::tools::Watched;
use crate::facts::{Surroundings, gather, gatherer};
use crate::host::OptLevel;
use crate::lower::{Lowered, Settings, lower};
use crate::manifest::{self, Manifest, Profile};
use crate::plan::plan;
use crate::target::{Target, TestTarget};

/// The name of the manifest.
pub const MANIFEST: &str = "run.toml";

/// The directory, in the project, of everything that is only `run`'s business.
pub const PRIVATE: &str = ".run";

/// What rules may know of the process's environment. The command line reads it; nobody else does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// Where executables are looked for.
    pub path: Vec<PathBuf>,
    /// The variables that tools are asked about themselves with, such as `RUSTUP_HOME`.
    pub tools: BTreeMap<String, String>,
    /// What network clients find their configuration and credentials by. Never keyed.
    pub clients: Clients,
    /// Where actions run: not below the user's home, where programs look for the user's configuration in every directory
    /// above the one they run in.
    pub scratch: PathBuf,
    /// Files that decide which tools are found, such as rustup's settings.
    pub watched: Vec<PathBuf>,
    /// `SOURCE_DATE_EPOCH`.
    pub source_date_epoch: Option<u64>,
    /// Facts about this machine that a process can see: `OSFamily`, `ISA`, `libc`.
    pub platform: BTreeMap<String, String>,
}

/// How a project is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory of `run.toml`.
    pub root: PathBuf,
    /// The store, where flags or the environment name one; they beat `run.toml`.
    pub store: Option<PathBuf>,
    /// The store where nobody names one.
    pub default_store: PathBuf,
    /// How to optimise, where flags say so.
    pub profile: Option<Profile>,
    /// Identifies this program: its version and its file.
    pub revision: String,
    /// A moment before anything is looked at.
    pub looked: SystemTime,
    /// The time of day, for the stamps of what a build has just written.
    pub clock: TimeOfDay,
    /// The environment.
    pub environment: Environment,
    /// What is asked for.
    pub ask: Ask,
}

/// Tells the time of day: a value, so that only the command line asks the machine.
#[derive(Debug, Clone, Copy)]
pub struct TimeOfDay(pub fn() -> SystemTime);

impl TimeOfDay {
    fn now(self) -> SystemTime {
        (self.0)()
    }
}

/// What is asked of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The targets, each `NAME` or `NAME:PART`; none means all.
    pub targets: Vec<String>,
    /// Which part of them.
    pub goal: Goal,
}

/// Which part of its targets a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Their outputs, written into the project.
    Outputs,
    /// Their outputs and native code, to be run.
    Native,
    /// Their tests.
    Tests,
}

/// The parts of a target that can be asked for by `NAME:PART`.
pub const PARTS: &[&str] = &["native", "package", "wit"];

/// A project could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// Something in it is wrong: the user's move.
    Wrong(Vec<Diagnostic>),
    /// This machine can't do it.
    Machine {
        /// What failed, as a sentence.
        what: String,
        /// Ways out.
        helps: Vec<String>,
    },
}

impl From<Vec<Diagnostic>> for OpenError {
    fn from(problems: Vec<Diagnostic>) -> Self {
        Self::Wrong(problems)
    }
}

impl From<StoreError> for OpenError {
    fn from(e: StoreError) -> Self {
        let help = "make sure that the directory can be written and has room, or move it with RUN_CACHE_DIR";
        Self::Machine { what: e.to_string(), helps: vec![help.to_owned()] }
    }
}

/// The answer when nothing that a finished request looked at has moved since.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpToDate {
    /// How many targets the request covers.
    pub n_targets: u32,
    /// Its tests, all of which had passed.
    pub tests: Vec<String>,
    /// For [`Goal::Native`]: the component.
    pub runnable: Option<Runnable>,
}

/// A built component as it is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runnable {
    /// The digest of its native code.
    pub native: BlobDigest,
    /// How the native code was optimised.
    pub level: OptLevel,
    /// Where the store is that has it.
    pub store: PathBuf,
    /// The digest function of that workspace.
    pub function: DigestFunction,
    /// Seconds since 1970 at which virtual time starts.
    pub epoch_seconds: u64,
    /// The most it may be granted, as in the manifest.
    pub capabilities: Vec<String>,
    /// The guest's variables.
    pub env: Vec<(String, String)>,
}

/// A project, opened.
pub struct Session {
    options: Options,
    manifest: Manifest,
    profile: Profile,
    store: DiskStore,
    lowered: Lowered,
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
}

/// The actions behind a request.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// What must be up to date.
    pub wanted: Vec<ActionId>,
    /// What is written into the project.
    pub exports: Vec<Export>,
    /// The tests among them.
    pub tests: Vec<TestTarget>,
    /// The targets that were asked for, as indices of [`Session::targets`].
    pub targets: Vec<usize>,
}

/// Whether nothing at all has to be done. Reads one file and looks at what it names: no manifest, no WebAssembly.
#[must_use]
pub fn up_to_date(options: &Options) -> Option<UpToDate> {
    let witness = Witness::load(&witness_file(options))?;
    if *witness.identity() != identity(options) {
        return None;
    }
    match witness.check(&options.root) {
        Verdict::Same => UpToDate::decode(witness.payload()),
        Verdict::Moved { .. } => None,
    }
}

fn state_dir(root: &Path) -> PathBuf {
    root.join(PRIVATE).join("state")
}

/// One file for each kind of request.
fn witness_file(options: &Options) -> PathBuf {
    let kind: Digest<Blob> =
        DigestFunction::Blake3.digest(format!("{:?} {:?}", options.ask, options.profile).as_bytes());
    state_dir(&options.root).join(format!("witness-{}", kind.short()))
}

/// Everything an answer depends on that is not a file.
fn identity(options: &Options) -> [u8; 32] {
    let Options { root: _, store, default_store, profile, revision, looked: _, clock: _, environment, ask } = options;
    let text = format!("{store:?} {default_store:?} {profile:?} {revision} {environment:?} {ask:?}");
    *DigestFunction::Blake3.digest::<Blob>(text.as_bytes()).hash()
}

impl Session {
    /// Reads the manifest and everything the asked-for targets depend on, and lowers them.
    ///
    /// # Errors
    /// [`OpenError`]: everything that is wrong, or what this machine can't do.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        // Stamps are from before what they stand for is read, so a change in between is seen the next time.
        let manifest_stamp = Stamp::of(&options.root.join(MANIFEST));
        let (manifest, mut warnings) = read_manifest(&options.root)?;
        let profile = options.profile.unwrap_or(manifest.build.profile);
        let store_dir = store_dir(&options, &manifest);
        let store = DiskStore::open(&store_dir, manifest.digest_function())?;
        let walk_failed = |e: io::Error| OpenError::Machine {
            what: format!("the project in `{}` can't be listed: {e}", options.root.display()),
            helps: vec!["make sure that its directories can be read".to_owned()],
        };
        let files = ProjectFiles::walk(&options.root, &manifest.build.output_dir).map_err(walk_failed)?;
        let manifest_path = RelPath::new(MANIFEST).expect("a plain name");
        if let Ok(stamp) = manifest_stamp {
            files.note(manifest_path, stamp);
        }
        let (names, filters) = names_and_filters(&options.ask, &manifest);
        let mut scripts = |target: &str| gatherer::script_targets(&manifest, &files, target);
        let planned = plan(&manifest, &names, &mut scripts)?;
        let mut stats = read_stats(&options, &manifest);
        let surroundings =
            Surroundings { environment: &options.environment, store: &store_dir, looked: options.looked, profile };
        let gathered = gather(&manifest, &planned, &files, &mut stats, &surroundings)?;
        let table = Table::new();
        let native_platform = native_platform(&table, profile)?;
        let settings = Settings {
            profile,
            function: manifest.digest_function(),
            platform: options.environment.platform.clone(),
            native_platform,
        };
        let mut lowered = lower(&manifest, &planned, gathered.facts, &settings)?;
        warnings.extend(gathered.warnings);
        warnings.append(&mut lowered.warnings);
        let history =
            fs::read(state_dir(&options.root).join("history")).map(|b| History::decode(&b)).unwrap_or_default();
        let (looked, directories) = (files.looked(), files.directories().to_vec());
        let watched = gathered.watched;
        Ok(Self {
            filters,
            options,
            manifest,
            profile,
            store,
            lowered,
            stats,
            history,
            looked,
            directories,
            watched,
            warnings,
            table,
        })
    }

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
        level(self.profile)
    }

    /// Seconds since 1970 at which virtual time starts.
    #[must_use]
    pub fn epoch_seconds(&self) -> u64 {
        self.options.environment.source_date_epoch.unwrap_or(0)
    }

    /// The actions behind what was asked for.
    ///
    /// # Errors
    /// A part that no target has.
    pub fn select(&self) -> Result<Selection, Diagnostic> {
        let mut selection = Selection::default();
        if self.options.ask.targets.is_empty() || !self.filters.is_empty() {
            for index in 0..self.lowered.targets.len() {
                self.choose(index, "", &mut selection)?;
            }
        } else {
            for asked in &self.options.ask.targets {
                let (name, part) = split(asked);
                let is_it = |target: &Target| target.name == name;
                let index = self.lowered.targets.iter().position(is_it).expect("what was asked for was planned");
                self.choose(index, part, &mut selection)?;
            }
        }
        selection.wanted.sort_unstable();
        selection.wanted.dedup();
        // What a command writes is part of the project: it is written whenever the command is part of the build.
        let needed: HashSet<ActionId> = self.graph().closure(&selection.wanted).into_iter().collect();
        for target in self.lowered.targets.iter().filter(|t| t.kind == manifest::TargetKind::Command) {
            let written = target.exports.iter().filter(|export| needed.contains(&export.action));
            selection.exports.extend(written.cloned());
        }
        selection.exports.sort_by(|a, b| a.to.cmp(&b.to));
        selection.exports.dedup();
        Ok(selection)
    }

    fn choose(&self, index: usize, part: &str, selection: &mut Selection) -> Result<(), Diagnostic> {
        let target = &self.lowered.targets[index];
        selection.targets.push(index);
        let mut export = |action: ActionId, output: &RelPath, ending: &str| {
            let to = self.manifest.build.output_dir.push(&format!("{}{ending}", target.name)).expect("a plain name");
            selection.wanted.push(action);
            selection.exports.push(Export { action, output: output.clone(), to });
        };
        match (part, self.options.ask.goal) {
            ("", Goal::Outputs) => {
                selection.wanted.extend(&target.outputs);
                selection.exports.extend(target.exports.clone());
            }
            ("", Goal::Native) => {
                selection.wanted.extend(&target.outputs);
                selection.wanted.extend(target.native.iter().map(|(id, _)| *id));
                selection.exports.extend(target.exports.clone());
            }
            ("", Goal::Tests) => {
                let is_named = self.filters.is_empty() || self.options.ask.targets.contains(&target.name);
                let fits = |test: &&TestTarget| is_named || self.filters.iter().any(|part| test.name.contains(part));
                let tests: Vec<TestTarget> = target.tests.iter().filter(fits).cloned().collect();
                selection.wanted.extend(tests.iter().map(|test| test.action));
                selection.tests.extend(tests);
            }
            ("native", _) if let Some((id, output)) = &target.native => export(*id, output, ".cwasm"),
            ("wit", _) if let Some((id, output)) = &target.interface => export(*id, output, ".wit"),
            ("package", _) if let Some(id) = target.package => {
                let ending = format!("-{}.tar.zst", self.manifest.project.version);
                export(id, &crate::builtin::archive_file(), &ending);
            }
            (part, _) => return Err(no_such_part(target, part)),
        }
        Ok(())
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
        let sandbox = self.sandbox();
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
        };
        let mut ended = None;
        let mut all_but_end = |event: Event<'_>| match event {
            Event::Finished { summary } => ended = Some(summary),
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
        } else if let Some(summary) = ended {
            sink.event(Event::Finished { summary });
        }
        if !options.dry_run {
            self.remember(selection, &outcome);
        }
        Ok(outcome)
    }

    fn sandbox(&self) -> impl Sandbox + use<> {
        let environment = &self.options.environment;
        Bare::new(&environment.scratch, environment.clients.clone())
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
    fn remember(&mut self, selection: &Selection, outcome: &Outcome) {
        let state = state_dir(&self.options.root);
        if fs::create_dir_all(&state).is_err() {
            return;
        }
        let _ = write_if_changed(&self.options.root.join(PRIVATE).join(".gitignore"), b"*\n");
        let _ = replace(&state.join("history"), &self.history.encode());
        let _ = replace(&state.join("stamps"), &self.stats.to_bytes());
        let file = witness_file(&self.options);
        if outcome.summary.is_success() && outcome.export_error.is_none() {
            if let Some(witness) = self.witness(selection, outcome) {
                let _ = witness.save(&file);
            }
        } else {
            let _ = fs::remove_file(&file);
        }
        self.collect_sometimes(outcome);
    }

    /// What this request looked at and left behind; `None` when that can't be written down.
    fn witness(&self, selection: &Selection, outcome: &Outcome) -> Option<Witness> {
        let looked = self.options.looked;
        let payload = self.answer(selection, outcome).encode();
        let mut witness = Witness::new(identity(&self.options), payload);
        for (directory, stamp) in &self.directories {
            witness.saw(directory.as_ref().map_or(At::Root, At::Inside), *stamp, looked).ok()?;
        }
        for (file, stamp) in &self.looked.files {
            witness.saw(At::Inside(file), *stamp, looked).ok()?;
        }
        for absent in &self.looked.absent {
            witness.saw_nothing(At::Inside(absent)).ok()?;
        }
        for (path, stamp) in &self.watched {
            match stamp {
                Some(stamp) => witness.saw(At::Absolute(path), *stamp, looked).ok()?,
                None => witness.saw_nothing(At::Absolute(path)).ok()?,
            }
        }
        let exported = exported_files(selection, outcome);
        let stamps = || exported.iter().map(|file| Stamp::of(&self.options.root.join(file)).ok()).collect();
        let mut left: Vec<Option<Stamp>> = stamps();
        if left.iter().flatten().any(|stamp| stamp.is_racy(self.options.clock.now())) {
            // One tick here saves the next command the whole of the long way.
            std::thread::sleep(Stamp::TICK);
            left = stamps();
        }
        for (file, stamp) in exported.iter().zip(left) {
            witness.saw(At::Inside(file), stamp?, self.options.clock.now()).ok()?;
        }
        Some(witness)
    }

    fn answer(&self, selection: &Selection, outcome: &Outcome) -> UpToDate {
        UpToDate {
            n_targets: u32::try_from(selection.targets.len()).unwrap_or(u32::MAX),
            tests: selection.tests.iter().map(|test| test.name.clone()).collect(),
            runnable: match self.options.ask.goal {
                Goal::Native => self.runnable(selection, outcome),
                _ => None,
            },
        }
    }

    /// The one component of a selection for [`Goal::Native`], as it is run; `None` where it is none, or was not built.
    #[must_use]
    pub fn runnable(&self, selection: &Selection, outcome: &Outcome) -> Option<Runnable> {
        let target = &self.lowered.targets[*selection.targets.first()?];
        let (action, path) = target.native.as_ref()?;
        let Node::File { digest: native, .. } = outcome.known[action.index()].as_ref()?.node(path)? else {
            return None;
        };
        let component = self.component_behind(&target.name);
        Some(Runnable {
            native,
            level: self.level(),
            store: self.store.root().to_owned(),
            function: self.store.function(),
            epoch_seconds: self.epoch_seconds(),
            capabilities: component
                .map(|c| c.capabilities.iter().map(|c| c.value.to_string()).collect())
                .unwrap_or_default(),
            env: component
                .map(|c| c.env.iter().map(|(name, value)| (name.to_string(), value.clone())).collect())
                .unwrap_or_default(),
        })
    }

    /// The component whose grants a target has: itself, or a composition's root.
    fn component_behind(&self, name: &str) -> Option<&manifest::Component> {
        if let Some(component) = self.manifest.find_component(name) {
            return Some(component);
        }
        match &self.manifest.find_compose(name)?.recipe {
            manifest::Recipe::Root(root) => self.component_behind(root.as_str()),
            manifest::Recipe::Script(_) => None,
        }
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

/// How native code is optimised in a profile.
const fn level(profile: Profile) -> OptLevel {
    match profile {
        Profile::Release => OptLevel::Speed,
        Profile::Debug => OptLevel::None,
    }
}

fn native_platform(table: &Table, profile: Profile) -> Result<String, OpenError> {
    let runtime = table.runtimes().get(level(profile));
    runtime
        .map(crate::host::Runtime::compatibility_hash)
        .map_err(|e| OpenError::Machine { what: format!("this machine can't run WebAssembly: {e}"), helps: vec![] })
}

/// Every file that exports put into the project.
fn exported_files(selection: &Selection, outcome: &Outcome) -> Vec<RelPath> {
    let mut files = Vec::new();
    for export in &selection.exports {
        let Some(known) = &outcome.known[export.action.index()] else { continue };
        match known.node(&export.output) {
            Some(Node::Directory(tree)) => {
                tree.walk(&mut |path, _| files.push(export.to.join(path)));
            }
            Some(_) => files.push(export.to.clone()),
            None => {}
        }
    }
    files
}

/// The targets that are named. Where tests are asked for, a name that is no target's is a part of a test's name, and
/// then every target's tests are looked through.
fn names_and_filters(ask: &Ask, manifest: &Manifest) -> (Vec<String>, Vec<String>) {
    let mut names: Vec<String> = ask.targets.iter().map(|t| split(t).0.to_owned()).collect();
    if ask.goal != Goal::Tests {
        return (names, vec![]);
    }
    let mut filters = ask.targets.clone();
    filters.retain(|name| manifest.find_kind(name).is_none());
    if !filters.is_empty() {
        names.clear();
    }
    (names, filters)
}

/// Splits `NAME:PART`.
fn split(asked: &str) -> (&str, &str) {
    asked.split_once(':').unwrap_or((asked, ""))
}

fn no_such_part(target: &Target, part: &str) -> Diagnostic {
    let name = &target.name;
    let diagnostic = Diagnostic::error("unknown-target", format!("`{name}` has no part `{}`", part.escape_debug()));
    match suggest(part, PARTS.iter().copied()) {
        Some(near) if target.component.is_some() => diagnostic.help(format!("did you mean `{name}:{near}`?")),
        _ if target.component.is_some() => diagnostic.note(format!("its parts are `{}`", PARTS.join("`, `"))),
        _ => diagnostic.note("only components have parts"),
    }
}

/// Reads and checks the manifest of a project.
///
/// # Errors
/// [`OpenError`]: everything that is wrong with it, or that it can't be read.
pub fn read_manifest(root: &Path) -> Result<(Manifest, Vec<Diagnostic>), OpenError> {
    let file = root.join(MANIFEST);
    let bytes = fs::read(&file).map_err(|e| OpenError::Machine {
        what: format!("`{}` can't be read: {e}", file.display()),
        helps: vec!["make a project with `run v2 init NAME`, or name its directory with `--project`".to_owned()],
    })?;
    let text = String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        vec![
            Diagnostic::error("malformed", format!("{MANIFEST} is not UTF-8 text"))
                .note(format!("the first byte that does not fit is byte {at}"))
                .help("save it as UTF-8"),
        ]
    })?;
    match manifest::check(&text, MANIFEST) {
        (Some(manifest), warnings) => Ok((manifest, warnings)),
        (None, problems) => Err(problems.into()),
    }
}

/// Where the store is: flags and environment beat `run.toml`, which beats the default.
#[must_use]
pub fn store_dir(options: &Options, manifest: &Manifest) -> PathBuf {
    match (&options.store, &manifest.cache.dir) {
        (Some(dir), _) => dir.clone(),
        (None, Some(dir)) => options.root.join(&dir.value),
        (None, None) => options.default_store.clone(),
    }
}

fn read_stats(options: &Options, manifest: &Manifest) -> StatCache {
    let function = manifest.digest_function();
    match fs::read(state_dir(&options.root).join("stamps")) {
        Ok(bytes) => StatCache::from_bytes(&bytes, function, options.looked),
        Err(_) => StatCache::new(function, options.looked),
    }
}

/// Writes a file so that nobody sees half of it.
fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = file.parent().unwrap_or(Path::new("."));
    let mut temporary = tempfile::NamedTempFile::new_in(dir)?;
    temporary.write_all(bytes)?;
    temporary.persist(file)?;
    Ok(())
}

fn write_if_changed(file: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::read(file).is_ok_and(|there| there == bytes) { Ok(()) } else { replace(file, bytes) }
}

/// Lines of `name=value`; anything that does not fit is no answer.
impl UpToDate {
    fn encode(&self) -> Vec<u8> {
        let mut lines = vec![format!("targets={}", self.n_targets)];
        lines.extend(self.tests.iter().map(|name| format!("test={name}")));
        if let Some(Runnable { native, level, store, function, epoch_seconds, capabilities, env }) = &self.runnable {
            lines.push(format!("native={native}"));
            lines.push(format!("level={}", native::level_name(*level)));
            lines.push(format!("store={}", store.display()));
            lines.push(format!("function={function}"));
            lines.push(format!("epoch={epoch_seconds}"));
            lines.extend(capabilities.iter().map(|capability| format!("capability={capability}")));
            lines.extend(env.iter().map(|(name, value)| format!("env={name}={}", value.escape_default())));
        }
        lines.join("\n").into_bytes()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let lines: Vec<(&str, &str)> =
            std::str::from_utf8(bytes).ok()?.lines().map(|line| line.split_once('=')).collect::<Option<_>>()?;
        let all = |name: &'static str| lines.iter().filter(move |(n, _)| *n == name).map(|(_, value)| *value);
        let one = |name| all(name).next();
        let runnable = match one("native") {
            None => None,
            Some(native) => Some(Runnable {
                native: native.parse().ok()?,
                level: [OptLevel::Speed, OptLevel::None]
                    .into_iter()
                    .find(|l| Some(native::level_name(*l)) == one("level"))?,
                store: one("store")?.into(),
                function: [DigestFunction::Blake3, DigestFunction::Sha256]
                    .into_iter()
                    .find(|f| Some(f.name()) == one("function"))?,
                epoch_seconds: one("epoch")?.parse().ok()?,
                capabilities: all("capability").map(str::to_owned).collect(),
                // A value that had to be escaped is read from the manifest, the slow way.
                env: all("env")
                    .map(|pair| pair.split_once('=').filter(|(_, value)| !value.contains('\\')))
                    .map(|pair| pair.map(|(name, value)| (name.to_owned(), value.to_owned())))
                    .collect::<Option<_>>()?,
            }),
        };
        Some(Self {
            n_targets: one("targets")?.parse().ok()?,
            tests: all("test").map(str::to_owned).collect(),
            runnable,
        })
    }
}
