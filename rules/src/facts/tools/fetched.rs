//! Toolchains that are fetched from registries, for whoever needs one: chosen, found in the store, or brought there.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use run_engine::action::MountedTree;
use run_engine::path::RelPath;
use run_engine::tree::Node;

use super::super::gatherer::Gathers;
use super::Tools;
use crate::diagnostic::Diagnostic;
use crate::manifest::Language;
use crate::toolchain::ToolchainError;
use crate::toolchain::provision::{Choice, Notice, PINS, Packages, Pin, choose, find_pin};

impl Tools<'_> {
    /// The toolchain of this name, fetched if it is not here yet.
    ///
    /// # Errors
    /// The project's lockfile does not agree, or it can't be had.
    ///
    /// # Panics
    /// There is no pin of this name.
    pub fn fetched(&mut self, name: &str, span: &Range<usize>) -> Gathers<Arc<MountedTree>> {
        if let Some(tree) = self.fetched.get(name) {
            return Ok(Arc::clone(tree));
        }
        let pin = find_pin(name).expect("rules name pins that there are");
        let tree = match choose(pin, Some(self.manifest), self.lock).map_err(|e| vec![self.placed(e, span)])? {
            Choice::Installed(path) => {
                let directory = self.root.join(path);
                let found = is_at(pin, &directory).and_then(|()| self.toolchains.at(pin.name, &directory));
                found.map_err(|e| self.problem(&e, self.chosen_at(pin).as_ref().or(Some(span))))?
            }
            Choice::Rustup => unreachable!("rules ask for Rust by itself"),
            Choice::Fetched { version, digest } => self.in_store(pin, &version, &digest, span)?,
        };
        self.fetched.insert(pin.name, Arc::clone(&tree));
        Ok(tree)
    }

    /// The directory `at` of the toolchain `of`, as a toolchain called `name`: what needs no more of it does not depend on more.
    ///
    /// # Errors
    /// As for [`Tools::fetched`]; it has no such directory.
    pub fn fetched_part(
        &mut self,
        name: &'static str,
        of: &str,
        at: &RelPath,
        span: &Range<usize>,
    ) -> Gathers<Arc<MountedTree>> {
        if let Some(tree) = self.fetched.get(name) {
            return Ok(Arc::clone(tree));
        }
        let whole = self.fetched(of, span)?;
        let Some(Node::Directory(tree)) = whole.tree.find(at) else {
            let what = format!("`{}`, where {of} is to be, has no `{at}`", whole.directory.display());
            let problem = ToolchainError::new(what, format!("install {of} again, or let it be fetched"));
            return Err(self.problem(&problem, Some(span)));
        };
        let (tree, directory) = (tree.clone(), whole.directory.join(at));
        let part = Arc::new(MountedTree { name: whole.name.clone(), tree, directory, beside: Vec::new() });
        self.fetched.insert(name, Arc::clone(&part));
        Ok(part)
    }

    /// What a lockfile of the project names, fetched if it is not here yet.
    ///
    /// # Errors
    /// It can't be had, or nobody could check it.
    pub fn packages(&mut self, packages: &Packages, span: &Range<usize>) -> Gathers<Arc<MountedTree>> {
        let notice =
            Notice { name: packages.name().to_owned(), version: packages.id(), from: packages.registry().to_owned() };
        let (environment, offline, tell) = (self.environment, self.offline, self.tell);
        let found = self.toolchains.packages(packages, environment, offline, &|| tell(&notice));
        found.map_err(|e| self.problem(&e, Some(span)))
    }

    fn in_store(&mut self, pin: &Pin, version: &str, digest: &str, span: &Range<usize>) -> Gathers<Arc<MountedTree>> {
        if let Some(tree) = self.toolchains.installed(pin.name, version, digest) {
            return Ok(tree);
        }
        let missing = |message: String| Diagnostic::error("missing-toolchain", message);
        if self.offline {
            let problem = missing(format!("{} {version} is not here, and the network is not to be used", pin.name));
            let help = format!("run `run v2 toolchain install {}` once, or build without `--offline`", pin.name);
            return Err(vec![self.placed(problem.help(help), span)]);
        }
        (self.tell)(&Notice { name: pin.name.to_owned(), version: version.to_owned(), from: pin.source.name() });
        let installed = self.toolchains.install(pin, version, Some(digest), self.environment);
        installed.map_err(|e| self.problem(&e, Some(span)))?;
        self.toolchains.installed(pin.name, version, digest).ok_or_else(|| {
            let problem = missing(format!("{} {version} was fetched and is gone", pin.name));
            vec![self.placed(problem.help("see what else cleans the cache directory, and build again"), span)]
        })
    }

    /// Where run.toml says which of a toolchain is to be used.
    fn chosen_at(&self, pin: &Pin) -> Option<Range<usize>> {
        pin.chosen_by.iter().find_map(|table| Some(self.manifest.toolchains.get(table)?.said().span.clone()))
    }

    /// A problem that has a place of its own keeps it.
    pub(super) fn placed(&self, problem: Diagnostic, span: &Range<usize>) -> Diagnostic {
        match problem.labels.is_empty() {
            true => problem.at(&self.manifest.file, span.clone(), ""),
            false => problem,
        }
    }
}

/// Whether a directory is where a toolchain is installed. What it is not would be read from end to end.
fn is_at(pin: &Pin, directory: &Path) -> Result<(), ToolchainError> {
    if directory.join(pin.proof).is_file() {
        return Ok(());
    }
    let what = format!("`{}` holds no {}: there is no `{}` in it", directory.display(), pin.name, pin.proof);
    let help = format!("point `path` to the directory that has it, or leave it out: {} is fetched then", pin.name);
    Err(ToolchainError::new(what, help))
}

/// The toolchains that components in these languages may need, where some of them name these engines.
#[must_use]
pub fn needed(languages: &BTreeSet<Language>, engines: &BTreeSet<String>) -> Vec<&'static Pin> {
    PINS.iter().filter(|pin| pin.is_needed(languages, engines)).collect()
}
