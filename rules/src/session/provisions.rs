//! [`Provisions`]: the toolchains that can be fetched, for whoever looks after them rather than builds with them: what is
//! here, what a project needs and has locked, and how that is brought up to date.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;

use run_engine::digest::DigestFunction;

use super::options::Options;
use super::{OpenError, read_manifest, store_dir};
use crate::cargo::WasmTarget;
use crate::diagnostic::Diagnostic;
use crate::facts::files::ProjectFiles;
use crate::facts::{engines, languages, lock, rust_targets, tools};
use crate::manifest::{Language, Manifest};
use crate::toolchain::Toolchains;
use crate::toolchain::provision::{Choice, LOCKFILE, Lock, Locked, Notice, PINS, Pin, Soundness, choose, find_pin};

/// The toolchains of a machine, and of a project where there is one.
#[derive(Debug)]
pub struct Provisions {
    pub(super) options: Options,
    pub(super) toolchains: Toolchains,
    project: Option<Project>,
    pub(super) lock: Lock,
}

#[derive(Debug)]
struct Project {
    manifest: Manifest,
    languages: BTreeSet<Language>,
    /// The engines that its components name.
    engines: BTreeSet<String>,
    /// What its Rust is compiled to.
    rust: Vec<WasmTarget>,
}

/// One toolchain, as it stands.
#[derive(Debug)]
pub struct Provision {
    /// Which.
    pub pin: &'static Pin,
    /// What is used of it, or why that can't be said.
    pub choice: Result<Choice, Diagnostic>,
    /// Whether the project needs it.
    pub needed: bool,
    /// Whether the project's lockfile names it.
    pub locked: bool,
    /// Whether it is here.
    pub installed: bool,
}

impl Provisions {
    /// Those of the project that `options` name, or of none: then nothing is locked, and nothing needed.
    ///
    /// # Errors
    /// [`OpenError`] for a project that can't be read.
    pub fn open(options: Options, in_project: bool) -> Result<Self, OpenError> {
        let mut opened = (None, Lock::default());
        let mut store = options.store.clone().unwrap_or_else(|| options.default_store.clone());
        if in_project {
            let (manifest, _) = read_manifest(&options.root)?;
            let files = ProjectFiles::walk(&options.root, &manifest.build.output_dir)
                .map_err(|e| OpenError::unlisted(&options.root, &e))?;
            let languages = languages(&manifest, &files);
            store = store_dir(&options, &manifest);
            let rust = rust_targets(&manifest, &files);
            let engines = engines(&manifest);
            opened = (Some(Project { manifest, languages, engines, rust }), lock(&files)?);
        }
        let (project, lock) = opened;
        let function = project.as_ref().map_or(DigestFunction::Blake3, |project| project.manifest.digest_function());
        let toolchains = Toolchains::open(&store, function, options.looked);
        Ok(Self { options, toolchains, project, lock })
    }

    /// Every toolchain, by name.
    pub fn all(&mut self) -> Vec<Provision> {
        PINS.iter().map(|pin| self.provision(pin)).collect()
    }

    /// The toolchains that these names mean: of toolchains or of languages. Without names, those that the project needs.
    ///
    /// # Errors
    /// `unknown-toolchain`, with what was probably meant.
    pub fn named(&self, names: &[String]) -> Result<Vec<&'static Pin>, Diagnostic> {
        if names.is_empty() {
            let needed = |project: &Project| tools::needed(&project.languages, &project.engines);
            return Ok(self.project.as_ref().map(needed).unwrap_or_default());
        }
        let mut pins: Vec<&'static Pin> = Vec::new();
        for name in names {
            // A language means all that it needs, its compiler of the same name included, here or anywhere.
            let engines = self.project.as_ref().map(|project| project.engines.clone()).unwrap_or_default();
            let found = match name.parse::<Language>() {
                Ok(language) => tools::needed(&[language].into(), &engines),
                Err(_) => find_pin(name).into_iter().collect(),
            };
            if found.is_empty() {
                return Err(unknown(name));
            }
            pins.extend(found);
        }
        pins.sort_by_key(|pin| pin.name);
        pins.dedup();
        Ok(pins)
    }

    /// One toolchain, as it stands.
    pub fn provision(&mut self, pin: &'static Pin) -> Provision {
        let choice = choose(pin, self.project.as_ref().map(|project| &project.manifest), &self.lock);
        let installed = match &choice {
            Ok(Choice::Fetched { version, digest }) => self.toolchains.installed(pin.name, version, digest).is_some(),
            Ok(Choice::Installed(path)) => self.options.root.join(path).join(pin.proof).is_file(),
            Ok(Choice::Rustup) => self.rust_targets().into_iter().all(|target| self.rust(target).is_ok()),
            Err(_) => false,
        };
        let needed = self.project.as_ref().is_some_and(|project| pin.is_needed(&project.languages, &project.engines));
        let locked = self.lock.find(pin.name, &pin.platform()).is_some();
        Provision { pin, choice, needed, locked, installed }
    }

    /// Fetches what is chosen of a toolchain, unless it is here or the user's own.
    ///
    /// # Errors
    /// It can't be said what is chosen, or that can't be had.
    pub fn install(&mut self, pin: &'static Pin, tell: &dyn Fn(&Notice)) -> Result<(), Diagnostic> {
        let provision = self.provision(pin);
        match provision.choice? {
            Choice::Installed(_) => Ok(()),
            Choice::Rustup => self.add_rust_targets(tell),
            Choice::Fetched { .. } if provision.installed => Ok(()),
            Choice::Fetched { version, digest } => self.fetch(pin, &version, Some(&digest), tell).map(drop),
        }
    }

    /// Locks toolchains in the version that `run.toml` asks for, or that this program was tried with, fetching those whose
    /// digest nobody knows yet. Returns whether the lockfile changed.
    ///
    /// # Errors
    /// One can't be had, or the file can't be written.
    pub fn sync(&mut self, pins: &[&'static Pin], tell: &dyn Fn(&Notice)) -> Result<bool, OpenError> {
        let before = self.lock.text();
        for pin in pins {
            // What is written is not asked, so that it is written anew.
            let choice = choose(pin, self.project.as_ref().map(|project| &project.manifest), &Lock::default());
            let (version, digest) = match choice {
                Ok(Choice::Installed(_)) => continue,
                Ok(Choice::Rustup) => {
                    self.lock_rust()?;
                    continue;
                }
                Ok(Choice::Fetched { version, digest }) => (version, Some(digest)),
                Err(problem) if problem.code != "unlocked-toolchain" => return Err(problem.into()),
                Err(_) => (self.version_wanted(pin), None),
            };
            let digest = match digest {
                Some(digest) => digest,
                None => self.fetch(pin, &version, None, tell)?,
            };
            let (name, platform, source) = (pin.name.to_owned(), pin.platform(), pin.source.name());
            self.lock.put(Locked { name, platform, version, source, digest });
        }
        let text = self.lock.text();
        let file = self.options.root.join(LOCKFILE);
        if text == before && file.is_file() {
            return Ok(false);
        }
        write_whole(&file, &text).map_err(|e| OpenError::Machine {
            what: format!("`{}` can't be written: {e}", file.display()),
            helps: vec!["make the project's directory writable".to_owned()],
        })?;
        Ok(true)
    }

    /// Reads every byte of what is chosen of a toolchain. What is damaged is removed, to be fetched again.
    ///
    /// # Errors
    /// It can't be said what is chosen.
    pub fn verify(&mut self, pin: &'static Pin) -> Result<Soundness, Diagnostic> {
        match self.provision(pin).choice? {
            // It is the user's, and known by its content whenever it is used.
            Choice::Installed(_) => Ok(Soundness::Sound),
            Choice::Rustup => self.verify_rust(),
            Choice::Fetched { version, digest } => {
                let soundness = self.toolchains.verify(pin.name, &version, &digest);
                if matches!(soundness, Soundness::Damaged(_)) {
                    self.toolchains.discard(pin.name, &version, &digest);
                }
                Ok(soundness)
            }
        }
    }

    /// The project's manifest.
    pub(super) fn manifest(&self) -> Option<&Manifest> {
        self.project.as_ref().map(|project| &project.manifest)
    }

    /// What Rust is to compile for; without a project, components.
    pub(super) fn rust_targets(&self) -> Vec<WasmTarget> {
        let known = self.project.as_ref().map(|project| project.rust.clone()).filter(|targets| !targets.is_empty());
        known.unwrap_or_else(|| vec![WasmTarget::Wasip2])
    }

    fn version_wanted(&self, pin: &Pin) -> String {
        let tables = self.project.as_ref().map(|project| &project.manifest.toolchains);
        let asked = pin.chosen_by.iter().find_map(|table| tables?.get(table));
        asked.map_or(pin.version, |toolchain| toolchain.said().value.as_str()).to_owned()
    }

    fn fetch(
        &self,
        pin: &'static Pin,
        version: &str,
        digest: Option<&str>,
        tell: &dyn Fn(&Notice),
    ) -> Result<String, Diagnostic> {
        if self.options.offline {
            let message = format!("{} {version} is not here, and the network is not to be used", pin.name);
            return Err(Diagnostic::error("missing-toolchain", message).help("leave out `--offline`"));
        }
        tell(&Notice { name: pin.name.to_owned(), version: version.to_owned(), from: pin.source.name() });
        let installed = self.toolchains.install(pin, version, digest, &self.options.environment);
        installed.map_err(|e| e.diagnostic())
    }
}

impl From<Diagnostic> for OpenError {
    fn from(problem: Diagnostic) -> Self {
        Self::Wrong(vec![problem])
    }
}

fn unknown(name: &str) -> Diagnostic {
    let problem = Diagnostic::error("unknown-toolchain", format!("no toolchain is called `{}`", name.escape_debug()));
    let languages = PINS.iter().flat_map(|pin| pin.needed_for).map(|language| language.name());
    let names: BTreeSet<&str> = PINS.iter().map(|pin| pin.name).chain(languages).collect();
    match crate::diagnostic::suggest(name, names.iter().copied()) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None => problem.note(format!("there are `{}`", names.into_iter().collect::<Vec<_>>().join("`, `"))),
    }
}

/// Writes a file so that nobody ever sees half of it.
fn write_whole(file: &PathBuf, text: &str) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    let directory = file.parent().unwrap_or(file);
    let mut temporary =
        tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o644)).tempfile_in(directory)?;
    temporary.write_all(text.as_bytes())?;
    temporary.persist(file)?;
    Ok(())
}
