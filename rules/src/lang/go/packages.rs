//! Package by package: go is asked what it would do, and then every package is an action, and so is the link.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use run_engine::path::RelPath;

use super::{Job, Made, Program, TOOLS, pair, path};
use crate::builtin;
use crate::cargo::Content;
use crate::facts::Gatherer;
use crate::go::module;
use crate::go::packages::{self, Package};
use crate::go::steps::{self, ARCHIVES, ASK, LINK, LIST, MODULE, OWN, PACKAGE, PACKAGES, PLAN};
use crate::lang::{Step, StepWork};

impl Job<'_> {
    /// The packages, to be compiled one by one; nothing where go has to do it, because it does not only compile, or because of what
    /// nobody knows before it has.
    pub(super) fn packages(&self, program: &Program) -> Option<Vec<Package>> {
        let is_compiled = |file: &RelPath| module::is_compiled(file);
        if self.module.has_objects
            || self.module.is_imported_back
            || self.module.is_ambiguous
            || !self.produced(is_compiled).is_empty()
        {
            return None;
        }
        let sources: BTreeMap<RelPath, Content> = self.sources().chain(self.generated.clone()).collect();
        let imports = self.generated.keys().filter(|file| !self.has_own_runtime() && self.is_import(file));
        let deps: BTreeSet<RelPath> = imports.filter_map(RelPath::parent).collect();
        let packages = packages::all(self.module, &sources, &self.manifests(), |dir| deps.contains(dir));
        // Of a module that is called by no name, or has no such package, go says so.
        let has_main = packages.iter().any(|package| package.path == program.main);
        (has_main && packages.iter().all(is_plain)).then_some(packages)
    }

    /// Package by package, by go's plan.
    pub(super) fn compile_each(
        &mut self,
        gatherer: &mut Gatherer<'_>,
        program: &Program,
        packages: Vec<Package>,
    ) -> Made {
        self.list(gatherer, program, &packages)?;
        let groups = packages::groups(packages, &program.main);
        let plan = self.plan(&groups);
        // From here on, the compiler and the linker are all that is needed.
        let tools = gatherer.tools.fetched_part(TOOLS, "go", &path(steps::TOOLS), &self.asked.source.path.span)?;
        let base = Arc::clone(&self.toolchains["base"]);
        self.toolchains = BTreeMap::from([("base", base), (TOOLS, tools)]);
        let given = |step: usize, at: RelPath| (step, at.clone(), at);
        // Where each package is compiled.
        let mut steps: BTreeMap<String, usize> = BTreeMap::new();
        for group in groups {
            let paths: Vec<String> = group.iter().map(|package| package.path.clone()).collect();
            let content = group.iter().flat_map(|package| package.files.iter().map(pair)).collect();
            self.uses = vec![given(plan, packages::place(PLAN, &paths[0]).join(&path("=")))];
            let imports: BTreeSet<&String> = group.iter().flat_map(|package| &package.imports).collect();
            for import in imports.into_iter().filter(|import| !paths.contains(import) && is_compiled(import)) {
                self.uses.push(match steps.get(import) {
                    Some(step) => given(*step, part(import, "export")),
                    None => given(plan, packages::place(ARCHIVES, import).join(&path("="))),
                });
            }
            let name =
                format!("compile {}", group.iter().map(|package| self.shown(package)).collect::<Vec<_>>().join(" "));
            let produced = self.produced(|file| group.iter().any(|package| package.may_embed(file)));
            self.step(gatherer, &name, &content, PACKAGE, paths.clone(), PACKAGES)?;
            let step = self.last();
            step.produced = produced;
            step.outputs = paths.iter().flat_map(|path| [part(path, "export"), part(path, "object")]).collect();
            let done = self.steps.len() - 1;
            steps.extend(paths.into_iter().map(|path| (path, done)));
        }
        self.uses = vec![given(plan, path(PLAN).join(&path("="))), given(plan, path(ARCHIVES))];
        self.uses.extend(steps.iter().map(|(path, step)| given(*step, part(path, "object"))));
        self.step(gatherer, "link", &BTreeMap::new(), LINK, vec![program.main.clone()], MODULE)
    }

    /// Asks go what it would do.
    fn list(&mut self, gatherer: &mut Gatherer<'_>, program: &Program, packages: &[Package]) -> Made {
        let mut content = self.manifests();
        let sources = packages::outline(self.module, &self.sources().collect());
        content.extend(sources);
        content.extend(self.generated.iter().map(pair));
        // What other targets make is only embedded: that it will be there is enough.
        content.extend(self.produced(|_| true).into_iter().map(|file| (file, Content::Text(String::new()))));
        let own: String = packages.iter().map(|package| format!("{}\n", package.path)).collect();
        content.insert(path(OWN), Content::Text(own));
        self.step(gatherer, "list", &content, ASK, self.words(program), LIST)?;
        self.uses.push((self.steps.len() - 1, path(LIST), path(LIST)));
        Ok(())
    }

    /// Takes what go would do apart; returns which step that is.
    fn plan(&mut self, groups: &[Vec<Package>]) -> usize {
        let own: BTreeSet<&str> = groups.iter().flatten().map(|package| package.path.as_str()).collect();
        let imports = groups.iter().flatten().flat_map(|package| &package.imports).map(String::as_str);
        let archives: BTreeSet<&str> = imports.filter(|import| !own.contains(import) && is_compiled(import)).collect();
        let together = |group: &Vec<Package>| {
            let paths: Vec<&str> = group.iter().map(|package| package.path.as_str()).collect();
            format!("package={}", paths.join(" "))
        };
        let args = groups.iter().map(together).chain(archives.into_iter().map(|import| format!("archive={import}")));
        let work = StepWork::Builtin { builtin: &builtin::GO_PLAN, args: args.collect(), native: None };
        let outputs = vec![path(PLAN), path(ARCHIVES)];
        self.steps.push(Step { uses: self.uses.clone(), ..Step::new("plan", work, outputs) });
        self.steps.len() - 1
    }

    /// A package as people name it: by its directory, from the module's on.
    fn shown(&self, package: &Package) -> String {
        if package.dir == self.module.dir {
            return ".".to_owned();
        }
        let below = match (&self.module.dir, &package.dir) {
            (None, Some(dir)) => Some(dir.clone()),
            (Some(module), Some(dir)) => dir.strip_prefix(module),
            (_, None) => None,
        };
        below.map_or_else(|| package.path.clone(), |below| format!("./{below}"))
    }
}

/// Whether a package has anything that was compiled. One that could not be called so go refuses.
fn is_compiled(import: &str) -> bool {
    import != "unsafe" && import != "C" && !import.contains('=') && RelPath::new(import).is_ok()
}

/// Whether go writes everything of a package into its plan as it is, and imports mean what they say.
fn is_plain(package: &Package) -> bool {
    let is_plain = |text: &str| text.chars().all(|c| c.is_alphanumeric() || " -_./+~@,()".contains(c));
    RelPath::new(&package.path).is_ok()
        && !package.path.contains(' ')
        && package.files.keys().all(|file| is_plain(file.as_str()))
        && package.imports.iter().all(|import| !import.contains('\\'))
}

/// A part of what is left of a package.
fn part(package: &str, name: &str) -> RelPath {
    packages::place(PACKAGES, package).join(&path("=")).join(&path(name))
}
