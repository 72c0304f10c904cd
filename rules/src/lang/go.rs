//! Go: its library, then what a module depends on, then the module, each compiled once. See [`crate::go::steps`].

mod packages;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use run_engine::action::{MountedTree, Word};
use run_engine::path::{RelPath, under};

use super::{Asked, Recipe, Row, Step, StepWork, Yields};
use crate::cargo::Content;
use crate::diagnostic::Diagnostic;
use crate::facts::Gatherer;
use crate::facts::tools::Tools;
use crate::go::manifest::RUNTIME;
use crate::go::steps::{self, CACHE, COMPILE, ENVIRONMENT, FETCH, MODULE, OFFLINE, OUT, RUNTIME_PACKAGES, STD, TINYGO};
use crate::go::{GoModule, Needs, bindings};
use crate::manifest::{GoCompiler, Language, Profile};
use crate::rule::{TOOLCHAIN, WORK};
use crate::step::interface::{Interface, Shape};

pub(super) const ROW: Row = Row { language: Language::Go, recipe };

fn recipe(asked: &Asked<'_>, gatherer: &mut Gatherer<'_>) -> Result<Recipe, Vec<Diagnostic>> {
    let module = gatherer.go_module(asked)?;
    let world = asked.world.expect("only a text form comes without a world");
    let shape = Interface::of_world(world).map_err(|e| e.diagnostics)?.shape;
    let is_tiny = asked.source.go_compiler.value == GoCompiler::TinyGo;
    // TinyGo's own library connects a program to its world, unless that imports something else.
    let is_bound = !is_tiny || shape != Shape::Command || module.bindings().next().is_some();
    let generated = if is_bound { gatherer.go_bindings(asked, world, shape, &module)? } else { BTreeMap::new() };
    if shape == Shape::Command && is_bound {
        gatherer.check_go_program(asked, &module)?;
    }
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
    let program = Program::of(&module, &job.generated, is_tiny, asked.profile);
    let packages = if is_tiny { None } else { job.packages(&program) };
    match packages {
        Some(packages) => job.compile_each(gatherer, &program, packages)?,
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
    /// What the linker is told or, with TinyGo, how to optimise.
    last: &'static str,
}

impl Program {
    fn of(module: &GoModule, generated: &BTreeMap<RelPath, Content>, is_tiny: bool, profile: Profile) -> Self {
        let main = under(module.dir.as_ref(), &path(bindings::MAIN));
        let (package, main) = match generated.keys().any(|file| file.starts_with(&main)) {
            true => (format!("./{}", bindings::MAIN), format!("{}/{}", module.path, bindings::MAIN)),
            // The user's own `main` is what is run.
            false => (".".to_owned(), module.path.clone()),
        };
        let last = match (is_tiny, profile) {
            (false, Profile::Release) => "-s -w -buildid= -checklinkname=0",
            (false, Profile::Debug) => "-buildid= -checklinkname=0",
            (true, Profile::Release) => "z",
            (true, Profile::Debug) => "0",
        };
        Self { package, main, last }
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
        if !self.has_own_runtime() {
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

    /// All of it by go, at once.
    fn compile(&mut self, gatherer: &mut Gatherer<'_>, program: &Program, is_tiny: bool) -> Made {
        let mut content = self.manifests();
        content.extend(self.sources());
        content.extend(self.generated.iter().map(pair));
        let (script, mut words) = (if is_tiny { TINYGO } else { COMPILE }, self.words(program));
        if is_tiny {
            words.push(if self.generated.is_empty() { "default" } else { "c-shared" }.to_owned());
        }
        self.step(gatherer, "compile", &content, script, words, MODULE)?;
        self.last().produced = self.produced(|_| true);
        Ok(())
    }

    /// What go is asked for, as the scripts take it.
    fn words(&self, program: &Program) -> Vec<String> {
        [self.directory(), program.package.clone(), program.last.to_owned()].into()
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
        let own = self.module.sources.iter().filter(|file| !self.generated.contains_key(*file));
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

fn is_below(file: &RelPath, dir: Option<&RelPath>) -> bool {
    dir.is_none_or(|dir| file.starts_with(dir))
}

fn pair((file, content): (&RelPath, &Content)) -> (RelPath, Content) {
    (file.clone(), content.clone())
}

fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("a constant that is a path")
}
