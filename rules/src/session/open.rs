//! [`Session::open`]: walks the line from `run.toml` to a graph.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use run_engine::files::stamp::Stamp;
use run_engine::path::RelPath;
use run_engine::store::StoreError;
use run_engine::store::disk::DiskStore;

use super::bindings::Bindings;
use super::selection::names_and_filters;
use super::state::State;
use super::{Options, Session};
use crate::builtin::{Table, native};
use crate::diagnostic::Diagnostic;
use crate::facts::files::ProjectFiles;
use crate::facts::{Surroundings, gather, gatherer};
use crate::lower::{Settings, lower};
use crate::manifest::{self, Manifest, Profile};
use crate::plan::plan;
use crate::toolchain::provision::Notice;

/// The name of the manifest.
pub const MANIFEST: &str = "run.toml";

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

impl OpenError {
    /// The project's files can't be listed.
    pub(super) fn unlisted(root: &Path, e: &io::Error) -> Self {
        Self::Machine {
            what: format!("the project in `{}` can't be listed: {e}", root.display()),
            helps: vec!["make sure that its directories can be read".to_owned()],
        }
    }
}

impl Session {
    /// Reads the manifest and everything the asked-for targets depend on, and lowers them. Toolchains that are not here
    /// are fetched; `tell` is told so.
    ///
    /// # Errors
    /// [`OpenError`]: everything that is wrong, or what this machine can't do.
    pub fn open(options: Options, tell: &dyn Fn(&Notice)) -> Result<Self, OpenError> {
        // Stamps are from before what they stand for is read, so a change in between is seen the next time.
        let manifest_stamp = Stamp::of(&options.root.join(MANIFEST));
        let (manifest, mut warnings) = read_manifest(&options.root)?;
        let profile = options.profile.unwrap_or(manifest.build.profile);
        let reproducible = options.reproducible || manifest.build.reproducible;
        let store_dir = store_dir(&options, &manifest);
        let store = DiskStore::open(&store_dir, manifest.digest_function())?;
        let files = ProjectFiles::walk(&options.root, &manifest.build.output_dir)
            .map_err(|e| OpenError::unlisted(&options.root, &e))?;
        let manifest_path = RelPath::new(MANIFEST).expect("a plain name");
        if let Ok(stamp) = manifest_stamp {
            files.note(manifest_path, stamp);
        }
        let (names, filters) = names_and_filters(&options.ask, &manifest);
        let mut scripts = |target: &str| gatherer::script_targets(&manifest, &files, target);
        let planned = plan(&manifest, &names, &mut scripts)?;
        let state = State::of(&options.root);
        let mut stats = state.stats(manifest.digest_function(), options.looked);
        let surroundings = Surroundings {
            environment: &options.environment,
            store: &store_dir,
            looked: options.looked,
            profile,
            reproducible,
            offline: options.offline,
            tell,
        };
        let gathered = gather(&manifest, &planned, &files, &mut stats, &surroundings)?;
        let table = Table::new();
        let native_platform = native_platform(&table, profile)?;
        let settings = Settings {
            profile,
            reproducible,
            function: manifest.digest_function(),
            platform: options.environment.platform.clone(),
            native_platform,
        };
        let mut facts = gathered.facts;
        let bindings = Bindings::of(&mut facts);
        let mut lowered = lower(&manifest, &planned, facts, &settings)?;
        warnings.extend(gathered.warnings);
        warnings.append(&mut lowered.warnings);
        let history = state.history();
        let (looked, directories) = (files.looked(), files.directories().to_vec());
        let watched = gathered.watched;
        Ok(Self {
            filters,
            options,
            manifest,
            profile,
            store,
            lowered,
            bindings,
            stats,
            history,
            looked,
            directories,
            watched,
            warnings,
            table,
        })
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

fn native_platform(table: &Table, profile: Profile) -> Result<String, OpenError> {
    let runtime = table.runtimes().get(native::level(profile));
    runtime
        .map(crate::host::Runtime::compatibility_hash)
        .map_err(|e| OpenError::Machine { what: format!("this machine can't run WebAssembly: {e}"), helps: vec![] })
}
