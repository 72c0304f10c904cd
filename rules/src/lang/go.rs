//! Go: its library, then what a module depends on, then the module, each compiled once. See [`crate::go::steps`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use run_engine::action::{MountedTree, Word};
use run_engine::path::{RelPath, under};

use super::{Asked, Recipe, Row, Step, StepWork, Yields};
use crate::builtin;
use crate::cargo::Content;
use crate::diagnostic::Diagnostic;
use crate::facts::Gatherer;
use crate::facts::tools::Tools;
use crate::go::manifest::RUNTIME;
use crate::go::packages::{self, Package};
use crate::go::steps::{
    self, ARCHIVES, ASK, CACHE, COMPILE, ENVIRONMENT, FETCH, LINK, LIST, MODULE, OFFLINE, OUT, OWN, PACKAGE, PACKAGES,
    PLAN, RUNTIME_PACKAGES, STD, TINYGO,
};
use crate::go::{GoModule, Needs, bindings};
use crate::manifest::{GoCompiler, Language, Profile};
use crate::rule::{TOOLCHAIN, WORK};
use crate::step::interface::{Interface, Shape};

pub(super) const ROW: Row = Row { language: Language::Go, recipe };

fn recipe(asked: &Asked<'_>, gatherer: &mut Gatherer<'_>) -> Result<Recipe, Vec<Diagnostic>> {
    let module = gatherer.go_module(asked)?;
    let shape = match asked.world {
        Some(world) => Interface::of_world(world).map_err(|e| e.diagnostics)?.shape,
        None => Shape::Command,
    };
    // A program that imports nothing by WIT is connected to its world by Go's own library.
    let is_bound = shape != Shape::Command || module.bindings().next().is_some();
    let generated = if is_bound { gatherer.go_bindings(asked, &module)? } else { BTreeMap::new() };
    let is_tiny = asked.source.go_compiler.value == GoCompiler::TinyGo;
    let span = &asked.source.path.span;
    let runtime = gatherer.tools.fetched("go-runtime", span)?;
    let toolchains = BTreeMap::from([
        ("go", gatherer.tools.fetched("go", span)?),
        ("go-runtime", Arc::clone(&runtime)),
        ("base", gatherer.tools.base()?),
    ]);
    let mut job = Job { asked, module: &module, generated, toolchains, steps: Vec::new(), uses: Vec::new() };
    if module.needs == Needs::Fetched {
        job.fetch(gatherer)?;
    }
    if is_tiny {
        job.toolchains.insert("tinygo", gatherer.tools.tinygo(&asked.source.go_compiler.span)?);
    } else {
        job.std(gatherer)?;
        job.deps(gatherer)?;
    }
    let program = Program::of(&module, shape, job.generated.is_empty(), is_tiny, asked.profile);
    match job.groups(&program).filter(|_| !is_tiny) {
        Some(groups) => job.packages(gatherer, &program, groups)?,
        None => job.compile(gatherer, &program, is_tiny)?,
    }
    let shown = gatherer.go_shown(asked, &module, &job.generated, &runtime)?;
    Ok(Recipe { steps: job.steps, raw: path(MODULE), yields: Yields::CoreModule, shown })
}

/// What is linked, and how go is told so.
struct Program {
    /// The package, as go is asked for it.
    package: String,
    /// The path by which it would be imported.
    main: String,
    mode: &'static str,
    /// What the linker is told or, with TinyGo, how to optimise.
    last: &'static str,
}

impl Program {
    fn of(module: &GoModule, shape: Shape, is_unbound: bool, is_tiny: bool, profile: Profile) -> Self {
        let is_whole = matches!(shape, Shape::Http | Shape::Library);
        let (package, main) = match is_whole {
            true => (format!("./{}", bindings::MAIN), format!("{}/{}", module.path, bindings::MAIN)),
            false => (".".to_owned(), module.path.clone()),
        };
        let last = match (is_tiny, profile) {
            (false, Profile::Release) => "-s -w -buildid= -checklinkname=0",
            (false, Profile::Debug) => "-buildid= -checklinkname=0",
            (true, Profile::Release) => "z",
            (true, Profile::Debug) => "0",
        };
        let mode = if is_unbound && !is_whole { "exe" } else { "c-shared" };
        Self { package, main, mode, last }
    }
}

/// The compiler and the linker, as a toolchain of their own.
const TOOLS: &str = "go-tool";

/// A recipe that is being made.
struct Job<'a> {
    asked: &'a Asked<'a>,
    module: &'a GoModule,
    /// The generated packages.
    generated: BTreeMap<RelPath, Content>,
    toolchains: BTreeMap<&'static str, Arc<MountedTree>>,
    steps: Vec<Step>,
    /// What later steps use of those so far.
    uses: Vec<(usize, RelPath, RelPath)>,
}

type Made = Result<(), Vec<Diagnostic>>;

impl Job<'_> {
    fn fetch(&mut self, gatherer: &mut Gatherer<'_>) -> Made {
        let content = self.module.manifests.clone();
        self.step(gatherer, "fetch", &content, FETCH, vec![self.directory()], OUT)?;
        self.leaves(".run/fetch");
        Ok(())
    }

    /// The same action for every module of every project.
    fn std(&mut self, gatherer: &mut Gatherer<'_>) -> Made {
        let content = BTreeMap::from([(path("go.mod"), Content::Text(steps::STD_MODULE.to_owned()))]);
        let words = std::iter::once(String::new()).chain(STD.iter().map(|name| (*name).to_owned()));
        let before = std::mem::take(&mut self.uses);
        self.step(gatherer, "std", &content, CACHE, words.collect(), OUT)?;
        self.uses = before;
        self.leaves(".run/std");
        Ok(())
    }

    fn deps(&mut self, gatherer: &mut Gatherer<'_>) -> Made {
        let foreign = self.module.foreign().filter(|package| !STD.contains(package)).map(str::to_owned);
        let mut packages: BTreeSet<String> = foreign.collect();
        let mut content = self.manifests();
        if !self.generated.is_empty() && !self.has_own_runtime() {
            packages.extend(RUNTIME_PACKAGES.map(str::to_owned));
            let imports = self.generated.iter().filter(|(file, _)| self.is_import(file));
            content.extend(imports.clone().map(pair));
            packages.extend(imports.filter_map(|(file, _)| self.module.package(file.parent().as_ref())));
        }
        if packages.is_empty() {
            return Ok(());
        }
        let words = std::iter::once(self.directory()).chain(packages).collect();
        self.step(gatherer, "deps", &content, CACHE, words, OUT)?;
        self.leaves(".run/deps");
        Ok(())
    }

    /// Whether what bindings import is in the project.
    fn has_own_runtime(&self) -> bool {
        self.module.own.iter().any(|(_, path)| path == RUNTIME)
    }

    /// Whether a generated file is of a package that is imported from the world.
    fn is_import(&self, file: &RelPath) -> bool {
        is_below(file, Some(&under(self.module.dir.as_ref(), &path(bindings::IMPORTS))))
    }

    /// The packages that are compiled one by one; nothing where go has to do it.
    fn groups(&self, program: &Program) -> Option<Vec<Vec<Package>>> {
        let is_go = |file: &RelPath| file.as_str().ends_with(".go");
        if self.module.has_objects || !self.produced(is_go).is_empty() {
            return None;
        }
        let is_dep = |dir: &RelPath| !self.has_own_runtime() && self.is_import(&dir.join(&path("any")));
        let packages = packages::all(self.module, &self.sources().collect(), &self.generated, is_dep);
        let groups = packages::groups(packages, &program.main);
        // Of a module that is called by no name, or has no such package, go says so.
        let is_plain = |package: &Package| RelPath::new(&package.path).is_ok() && !package.path.contains(' ');
        let has_main = groups.iter().flatten().any(|package| package.path == program.main);
        (has_main && groups.iter().flatten().all(is_plain)).then_some(groups)
    }

    /// All of it by go, at once.
    fn compile(&mut self, gatherer: &mut Gatherer<'_>, program: &Program, is_tiny: bool) -> Made {
        let mut content = self.manifests();
        content.extend(self.sources());
        content.extend(self.generated.iter().map(pair));
        let script = if is_tiny { TINYGO } else { COMPILE };
        self.step(gatherer, "compile", &content, script, self.words(program), MODULE)?;
        self.last().produced = self.produced(|_| true);
        Ok(())
    }

    /// Package by package, by go's plan.
    fn packages(&mut self, gatherer: &mut Gatherer<'_>, program: &Program, groups: Vec<Vec<Package>>) -> Made {
        self.list(gatherer, program, &groups)?;
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
            let produced = self.produced(|file| {
                let embeds = |package: &Package| package.embeds && is_below(file, package.dir.as_ref());
                group.iter().any(embeds)
            });
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
    fn list(&mut self, gatherer: &mut Gatherer<'_>, program: &Program, groups: &[Vec<Package>]) -> Made {
        let mut content = self.manifests();
        let sources = packages::outline(self.module, &self.sources().collect());
        // What others make is not here yet; its place is taken by what they made.
        content.extend(sources.into_iter().filter(|(file, _)| !self.asked.produced.contains(file)));
        content.extend(self.generated.iter().map(pair));
        let own: String = groups.iter().flatten().map(|package| format!("{}\n", package.path)).collect();
        content.insert(path(OWN), Content::Text(own));
        self.step(gatherer, "list", &content, ASK, self.words(program), LIST)?;
        self.last().produced = self.produced(|_| true);
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

    /// What go is asked for, as the scripts take it.
    fn words(&self, program: &Program) -> Vec<String> {
        [self.directory(), program.package.clone(), program.mode.to_owned(), program.last.to_owned()].into()
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

    /// Files of the module, chosen by `is_read`, that other targets make.
    fn produced(&self, is_read: impl Fn(&RelPath) -> bool) -> Vec<RelPath> {
        let is_here = |file: &&RelPath| is_below(file, self.module.dir.as_ref()) && is_read(file);
        self.asked.produced.iter().filter(is_here).cloned().collect()
    }

    fn last(&mut self) -> &mut Step {
        self.steps.last_mut().expect("a step was made")
    }

    /// What says which modules there are, and those that are in the project for it.
    fn manifests(&self) -> BTreeMap<RelPath, Content> {
        let vendor = self.module.vendor.iter().map(|file| (file.clone(), Content::Project));
        self.module.manifests.iter().map(pair).chain(vendor).collect()
    }

    /// The user's sources, without copies of what is generated.
    fn sources(&self) -> impl Iterator<Item = (RelPath, Content)> {
        let below = |file: &RelPath| match &self.module.dir {
            Some(dir) => file.strip_prefix(dir).map(|file| file.to_string()),
            None => Some(file.to_string()),
        };
        let is_bound = !self.generated.is_empty();
        let is_copy = move |file: &RelPath| is_bound && below(file).is_some_and(|file| bindings::is_generated(&file));
        let own = self.module.sources.iter().filter(move |file| !is_copy(file));
        own.map(|file| (file.clone(), Content::Project))
    }

    /// The module's directory as the scripts want it: what comes after the root.
    fn directory(&self) -> String {
        self.module.dir.as_ref().map_or_else(String::new, |dir| format!("/{dir}"))
    }

    /// What the last step leaves behind is put there for those after it.
    fn leaves(&mut self, at: &str) {
        self.uses.push((self.steps.len() - 1, path(OUT), path(at)));
    }

    fn step(
        &mut self,
        gatherer: &mut Gatherer<'_>,
        name: &str,
        content: &BTreeMap<RelPath, Content>,
        script: &str,
        words: Vec<String>,
        output: &str,
    ) -> Made {
        let network = name == "fetch";
        let tree = gatherer.mixed_tree(content, self.asked)?;
        // A script is told what it is called by people.
        let called = name.split(' ').next().unwrap_or(name);
        let args = ["-c", script, called].map(str::to_owned).into_iter().chain(words).map(Word::from).collect();
        let (uses, toolchains) = (self.uses.clone(), self.toolchains.clone());
        let env = environment(network, name, &toolchains);
        let work = StepWork::Process { program: ("base", Tools::program("sh")?), args, env };
        let step = Step::new(name, work, vec![path(output)]);
        self.steps.push(Step { tree, uses, toolchains, network, ..step });
        Ok(())
    }
}

/// What go, or its compiler, is told by its environment.
fn environment(network: bool, name: &str, toolchains: &BTreeMap<&str, Arc<MountedTree>>) -> BTreeMap<String, Word> {
    let offline = OFFLINE.iter().filter(|_| !network);
    let plain = ENVIRONMENT.iter().chain(offline).map(|(name, value)| ((*name).to_owned(), Word::from(*value)));
    let mut env: BTreeMap<String, Word> = plain.collect();
    let mut insert = |name: &str, at: String| env.insert(name.to_owned(), Word::path(path(&at)));
    if toolchains.contains_key(TOOLS) {
        insert("GOTOOLDIR", format!("{TOOLCHAIN}/{TOOLS}"));
        return env;
    }
    insert("GOROOT", format!("{TOOLCHAIN}/go"));
    insert("GOPATH", format!("{WORK}/.run/go"));
    insert("GOMODCACHE", format!("{WORK}/.run/fetch"));
    if name != "std" {
        insert("RUN_PKG", format!("{TOOLCHAIN}/go-runtime/src/pkg"));
    }
    env
}

/// Whether a package has anything that was compiled.
fn is_compiled(import: &str) -> bool {
    import != "unsafe" && import != "C" && RelPath::new(import).is_ok()
}

/// A part of what is left of a package.
fn part(package: &str, name: &str) -> RelPath {
    packages::place(PACKAGES, package).join(&path("=")).join(&path(name))
}

fn is_below(file: &RelPath, dir: Option<&RelPath>) -> bool {
    dir.is_none_or(|dir| file.starts_with(dir))
}

fn pair((file, content): (&RelPath, &Content)) -> (RelPath, Content) {
    (file.clone(), content.clone())
}

fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("a constant that is a path")
}
