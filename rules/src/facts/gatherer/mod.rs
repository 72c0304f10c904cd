//! [`gather`]: looks at everything the planned targets depend on, once.
//!
//! [`Gatherer`] goes from target to target; what it finds out of each kind has a file of its own here.

mod command;
mod component;
mod go;
mod listed;
mod packages;
mod script;
pub mod shown;
mod sources;

use std::ops::Range;
use std::path::Path;
use std::time::SystemTime;

use run_engine::digest::DigestFunction;
use run_engine::files::scan::Sources;
use run_engine::files::stat_cache::StatCache;
use run_engine::path::RelPath;
use run_engine::tree::{Node, Tree};

use super::Facts;
use super::files::ProjectFiles;
use super::makers::Makers;
use super::tools::{Tools, Watched};
use crate::diagnostic::Diagnostic;
use crate::manifest::{self, Manifest, Profile, Spanned, TargetKind};
use crate::plan::Plan;
use crate::session::Environment;
use crate::toolchain::provision::{LOCKFILE, Lock, Notice};

pub use component::{engines, languages, rust_targets};
pub use script::script_targets;

/// What gathering works with.
pub struct Surroundings<'a> {
    /// The environment, as far as rules may know it.
    pub environment: &'a Environment,
    /// The store, which remembers toolchains.
    pub store: &'a Path,
    /// A moment before anything was looked at.
    pub looked: SystemTime,
    /// How to optimise.
    pub profile: Profile,
    /// Whether what is made is not to tell where.
    pub reproducible: bool,
    /// Whether the network is not to be used, not even for toolchains.
    pub offline: bool,
    /// Told of what takes a while.
    pub tell: &'a dyn Fn(&Notice),
}

/// What was gathered, and everything that was looked at outside the project.
#[derive(Debug)]
pub struct Gathered {
    /// The facts.
    pub facts: Facts,
    /// Files and directories of the machine whose stamps were relied on.
    pub watched: Vec<Watched>,
    /// What is odd and stops nothing.
    pub warnings: Vec<Diagnostic>,
}

/// Looks at everything that the planned targets depend on.
///
/// # Errors
/// Everything that is missing or does not fit, for every target.
pub fn gather(
    manifest: &Manifest,
    plan: &Plan,
    files: &ProjectFiles,
    stats: &mut StatCache,
    surroundings: &Surroundings<'_>,
) -> Result<Gathered, Vec<Diagnostic>> {
    let lock = lock(files)?;
    let mut gatherer = Gatherer {
        manifest,
        files,
        stats,
        function: manifest.digest_function(),
        profile: surroundings.profile,
        reproducible: surroundings.reproducible,
        tools: Tools::open(manifest, files.root(), surroundings, &lock),
        sources: Sources::default(),
        makers: Makers::of(manifest),
        warnings: Vec::new(),
    };
    let mut facts =
        Facts { epoch_seconds: surroundings.environment.source_date_epoch.unwrap_or(0), ..Facts::default() };
    let mut problems = Vec::new();
    for name in &plan.targets {
        if let Err(found) = gatherer.target(name, &mut facts) {
            // Targets that share a file share what is wrong with it.
            problems.extend(found.into_iter().filter(|problem| !problems.contains(problem)).collect::<Vec<_>>());
        }
    }
    let watched = gatherer.tools.finish();
    if !problems.is_empty() {
        return Err(problems);
    }
    facts.sources = gatherer.sources;
    Ok(Gathered { facts, watched, warnings: gatherer.warnings })
}

/// What the project has locked: nothing where there is no lockfile.
///
/// # Errors
/// It can't be read, or is none.
pub fn lock(files: &ProjectFiles) -> Result<Lock, Vec<Diagnostic>> {
    let file = RelPath::new(LOCKFILE).expect("a plain name");
    let bytes = files.bytes(&file).map_err(|e| {
        let problem = Diagnostic::error("bad-lockfile", format!("{LOCKFILE} can't be read: {e}"));
        vec![problem.help("make it a file that can be read")]
    })?;
    let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    text.map_or_else(|| Ok(Lock::default()), |text| Lock::parse(&text)).map_err(|problem| vec![problem])
}

/// Gathers facts; language rows ask it for what they need to know.
pub struct Gatherer<'a> {
    manifest: &'a Manifest,
    files: &'a ProjectFiles,
    stats: &'a mut StatCache,
    function: DigestFunction,
    profile: Profile,
    reproducible: bool,
    /// The toolchains of this machine.
    pub tools: Tools<'a>,
    /// Where the bytes of what was read are.
    sources: Sources,
    makers: Makers,
    warnings: Vec<Diagnostic>,
}

/// What a look finds, or everything that is wrong there.
pub type Gathers<T> = Result<T, Vec<Diagnostic>>;

impl Gatherer<'_> {
    fn target(&mut self, name: &str, facts: &mut Facts) -> Gathers<()> {
        let manifest = self.manifest;
        match manifest.find_kind(name).expect("a plan names targets") {
            TargetKind::Component => {
                let component = manifest.find_component(name).expect("its kind says so");
                facts.components.insert(name.to_owned(), self.component(component)?);
            }
            TargetKind::Compose => {
                let compose = manifest.find_compose(name).expect("its kind says so");
                if let manifest::Recipe::Script(path) = &compose.recipe {
                    let (script, text) = self.script(path)?;
                    script::check_script(path.value.as_str(), &text, &script, facts)
                        .map_err(|e| self.at(e.diagnostics, &path.span))?;
                    facts.scripts.insert(name.to_owned(), script);
                }
            }
            TargetKind::Command => {
                let command = manifest.find_command(name).expect("its kind says so");
                facts.commands.insert(name.to_owned(), self.command(command)?);
            }
        }
        for test in manifest.tests_of(name) {
            for dir in &test.dirs {
                let tree = self.test_dir(dir)?;
                facts.test_dirs.insert(crate::rule::test::directory_name(&dir.value), tree);
            }
        }
        Ok(())
    }

    /// A directory that tests see.
    fn test_dir(&mut self, dir: &Spanned<crate::capability::DirGrant>) -> Gathers<Tree> {
        let at = dir.value.host.as_ref();
        self.must_exist(at, &dir.span)?;
        let files: Vec<RelPath> = self.files.below(at).cloned().collect();
        let whole = self.tree(&files, &dir.span)?;
        match at.map(|at| whole.find(at)) {
            None => Ok(whole),
            Some(Some(Node::Directory(tree))) => Ok(tree.clone()),
            Some(_) => Ok(Tree::new()),
        }
    }

    /// A problem with something in the manifest.
    #[must_use]
    pub fn placed(&self, problem: Diagnostic, span: &Range<usize>) -> Diagnostic {
        problem.at(&self.manifest.file, span.clone(), "")
    }

    /// Gives problems without a place the one in the manifest that they are about.
    fn at(&self, problems: Vec<Diagnostic>, span: &Range<usize>) -> Vec<Diagnostic> {
        let place = |problem: Diagnostic| match problem.labels.is_empty() {
            true => problem.at(&self.manifest.file, span.clone(), ""),
            false => problem,
        };
        problems.into_iter().map(place).collect()
    }
}
