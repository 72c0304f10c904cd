//! Go: its library, then what a module depends on, then the module, each compiled once. See [`crate::go::steps`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use run_engine::action::{MountedTree, Part, Word};
use run_engine::path::{RelPath, under};

use super::{Asked, Recipe, Row, Step, StepWork, Yields};
use crate::cargo::Content;
use crate::diagnostic::Diagnostic;
use crate::facts::Gatherer;
use crate::facts::tools::Tools;
use crate::go::steps::{self, CACHE, COMPILE, ENVIRONMENT, FETCH, MODULE, OFFLINE, OUT, RUNTIME_PACKAGES, STD, TINYGO};
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
    let mut toolchains = BTreeMap::from([
        ("go", gatherer.tools.fetched("go", span)?),
        ("go-runtime", gatherer.tools.fetched("go-runtime", span)?),
        ("base", gatherer.tools.base()?),
    ]);
    let mut job =
        Job { asked, module: &module, generated, toolchains: toolchains.clone(), steps: Vec::new(), uses: Vec::new() };
    if module.needs == Needs::Fetched {
        job.fetch(gatherer)?;
    }
    if is_tiny {
        toolchains.insert("tinygo", gatherer.tools.tinygo(&asked.source.go_compiler.span)?);
        job.toolchains = toolchains;
    } else {
        job.std(gatherer)?;
        job.deps(gatherer)?;
    }
    job.compile(gatherer, shape, is_tiny)?;
    let shown = gatherer.go_shown(asked, &module, &job.generated, &job.toolchains["go-runtime"])?;
    Ok(Recipe { steps: job.steps, raw: path(MODULE), yields: Yields::CoreModule, shown })
}

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
        let mut packages: BTreeSet<&str> = self.module.foreign().filter(|package| !STD.contains(package)).collect();
        packages.extend(self.module.bindings());
        if !self.generated.is_empty() {
            packages.extend(RUNTIME_PACKAGES);
        }
        if packages.is_empty() {
            return Ok(());
        }
        let imports = under(self.module.dir.as_ref(), &path(bindings::IMPORTS));
        let mut content = self.manifests();
        content.extend(self.generated.iter().filter(|(file, _)| file.starts_with(&imports)).map(pair));
        let words = std::iter::once(self.directory()).chain(packages.into_iter().map(str::to_owned)).collect();
        self.step(gatherer, "deps", &content, CACHE, words, OUT)?;
        self.leaves(".run/deps");
        Ok(())
    }

    fn compile(&mut self, gatherer: &mut Gatherer<'_>, shape: Shape, is_tiny: bool) -> Made {
        let mut content = self.manifests();
        content.extend(self.sources().map(|file| (file.clone(), Content::Project)));
        content.extend(self.generated.iter().map(pair));
        let (package, mode) = match shape {
            Shape::Command if self.generated.is_empty() => (".".to_owned(), "exe"),
            Shape::Command => (".".to_owned(), "c-shared"),
            Shape::Http | Shape::Library => (format!("./{}", bindings::MAIN), "c-shared"),
        };
        let last = match (is_tiny, self.asked.profile) {
            (false, Profile::Release) => "-s -w -buildid= -checklinkname=0",
            (false, Profile::Debug) => "-buildid= -checklinkname=0",
            (true, Profile::Release) => "z",
            (true, Profile::Debug) => "0",
        };
        let words = vec![self.directory(), package, mode.to_owned(), last.to_owned()];
        self.step(gatherer, "compile", &content, if is_tiny { TINYGO } else { COMPILE }, words, MODULE)
    }

    /// What says which modules there are, and those that are in the project for it.
    fn manifests(&self) -> BTreeMap<RelPath, Content> {
        let vendor = self.module.vendor.iter().map(|file| (file.clone(), Content::Project));
        self.module.manifests.iter().map(pair).chain(vendor).collect()
    }

    /// The user's sources, without copies of what is generated.
    fn sources(&self) -> impl Iterator<Item = &RelPath> {
        let below = |file: &RelPath| match &self.module.dir {
            Some(dir) => file.strip_prefix(dir).map(|file| file.to_string()),
            None => Some(file.to_string()),
        };
        let is_bound = !self.generated.is_empty();
        let is_copy = move |file: &RelPath| is_bound && below(file).is_some_and(|file| bindings::is_generated(&file));
        self.module.sources.iter().filter(move |file| !is_copy(file))
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
        name: &'static str,
        content: &BTreeMap<RelPath, Content>,
        script: &str,
        words: Vec<String>,
        output: &str,
    ) -> Made {
        let network = name == "fetch";
        let tree = gatherer.mixed_tree(content, self.asked)?;
        let is_last = name == "compile";
        let is_here = |file: &&RelPath| self.module.dir.as_ref().is_none_or(|dir| file.starts_with(dir));
        let produced = self.asked.produced.iter().filter(is_here).filter(|_| is_last).cloned().collect();
        let args = ["-c", script, name].map(str::to_owned).into_iter().chain(words).map(Word::from).collect();
        let work =
            StepWork::Process { program: ("base", Tools::program("sh")?), args, env: environment(network, name) };
        let (uses, toolchains) = (self.uses.clone(), self.toolchains.clone());
        let step = Step::new(name, work, vec![path(output)]);
        self.steps.push(Step { tree, produced, uses, toolchains, network, ..step });
        Ok(())
    }
}

/// What go is told by its environment.
fn environment(network: bool, name: &str) -> BTreeMap<String, Word> {
    let offline = OFFLINE.iter().filter(|_| !network);
    let plain = ENVIRONMENT.iter().chain(offline).map(|(name, value)| ((*name).to_owned(), Word::from(*value)));
    let tree = |at: &str| Word::path(path(at));
    let mut env: BTreeMap<String, Word> = plain.collect();
    env.insert("GOROOT".to_owned(), tree(&format!("{TOOLCHAIN}/go")));
    env.insert("GOPATH".to_owned(), tree(&format!("{WORK}/.run/go")));
    env.insert("GOMODCACHE".to_owned(), tree(&format!("{WORK}/.run/fetch")));
    if name != "std" {
        env.insert("RUN_PKG".to_owned(), Word::new(vec![Part::Path(path(&format!("{TOOLCHAIN}/go-runtime/src/pkg")))]));
    }
    env
}

fn pair((file, content): (&RelPath, &Content)) -> (RelPath, Content) {
    (file.clone(), content.clone())
}

fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("a constant that is a path")
}
