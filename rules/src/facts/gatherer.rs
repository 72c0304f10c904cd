//! [`gather`]: looks at everything the planned targets depend on, once.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use run_engine::action::MountedTree;
use run_engine::digest::DigestFunction;
use run_engine::files::scan::{Sources, scan};
use run_engine::files::stamp::Stamp;
use run_engine::files::stat_cache::StatCache;
use run_engine::path::RelPath;
use run_engine::tree::{Node, Tree};
use wit_parser::WorldItem;

use super::files::{ProjectFiles, Standing};
use super::{CommandFacts, ComponentFacts, Facts, ScriptFacts};
use crate::builtin;
use crate::cargo::{self, CargoPackage, Content, RustToolchain, WasmTarget};
use crate::diagnostic::Diagnostic;
use crate::lang::{self, Asked, Recipe, Step, StepWork, Yields};
use crate::manifest::{
    self, Command, Component, Detection, Interface, Language, LanguageChoice, Manifest, Origin, Profile, Source,
    Spanned, TargetKind,
};
use crate::plan::Plan;
use crate::session::Environment;
use crate::step::interface::{Interface as Shown, Shape};
use crate::step::kind::Kind;
use crate::step::wit::{self, World};
use crate::step::{StepError, script, stand_in, validate};
use crate::toolchain::{HostFile, ToolchainError, Toolchains, answers, base, cc, find_in, links_on};

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
}

/// A path of the machine and its stamp; `None` where nothing was.
pub type Watched = (PathBuf, Option<Stamp>);

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
    let function = manifest.digest_function();
    let mut gatherer = Gatherer {
        manifest,
        files,
        stats,
        surroundings,
        function,
        toolchains: Toolchains::open(surroundings.store, function, surroundings.looked),
        sources: Sources::default(),
        base: BTreeMap::new(),
        rust: BTreeMap::new(),
        cc: None,
        watched: Vec::new(),
        warnings: Vec::new(),
        makers: Makers::of(manifest),
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
    gatherer.toolchains.save();
    if !problems.is_empty() {
        return Err(problems);
    }
    facts.sources = gatherer.sources;
    let mut watched = gatherer.watched;
    watched.extend(gatherer.toolchains.into_watched().into_iter().map(|(path, stamp)| (path, Some(stamp))));
    Ok(Gathered { facts, watched, warnings: gatherer.warnings })
}

/// Who writes which file of the project.
struct Makers(BTreeMap<RelPath, String>);

impl Makers {
    /// Every output of every command, and the file of every component.
    fn of(manifest: &Manifest) -> Self {
        let outputs = |command: &Command| -> Vec<_> {
            command.outputs.iter().map(|output| (output.value.clone(), command.name.as_str().to_owned())).collect()
        };
        let mut makers: BTreeMap<RelPath, String> = manifest.commands.iter().flat_map(outputs).collect();
        for (_, name) in manifest.targets().filter(|(kind, _)| *kind != TargetKind::Command) {
            for file in [format!("{}.wasm", name.as_str()), format!("debug/{}.wasm", name.as_str())] {
                makers.extend(manifest.build.output_dir.push(&file).ok().map(|file| (file, name.as_str().to_owned())));
            }
        }
        Self(makers)
    }

    /// The command that writes a file, or a directory above it. There is at most one: the manifest was checked to have
    /// no output inside another.
    fn find(&self, file: &RelPath) -> Option<&str> {
        let above = std::iter::successors(file.parent(), RelPath::parent);
        self.0.get(file).or_else(|| above.into_iter().find_map(|dir| self.0.get(&dir))).map(String::as_str)
    }
}

/// The targets that a composition's script names, without any complaint: those come when facts are gathered.
#[must_use]
pub fn script_targets(manifest: &Manifest, files: &ProjectFiles, target: &str) -> Vec<String> {
    let Some(manifest::Recipe::Script(path)) = manifest.find_compose(target).map(|compose| &compose.recipe) else {
        return vec![];
    };
    let text = files.bytes(&path.value).ok().flatten().and_then(|bytes| String::from_utf8(bytes).ok());
    let packages = text.and_then(|text| script::script_packages(path.value.as_str(), &text).ok()).unwrap_or_default();
    let project = manifest.project.name.as_str();
    let named = packages.iter().filter_map(|package| package.target(project));
    named.filter(|target| manifest.find_kind(target).is_some()).map(str::to_owned).collect()
}

/// Gathers facts; language rows ask it for what they need to know.
pub struct Gatherer<'a> {
    manifest: &'a Manifest,
    files: &'a ProjectFiles,
    stats: &'a mut StatCache,
    surroundings: &'a Surroundings<'a>,
    function: DigestFunction,
    toolchains: Toolchains,
    sources: Sources,
    base: BTreeMap<Vec<String>, Arc<MountedTree>>,
    rust: BTreeMap<&'static str, Arc<MountedTree>>,
    cc: Option<Arc<MountedTree>>,
    watched: Vec<Watched>,
    warnings: Vec<Diagnostic>,
    makers: Makers,
}

type Gathers<T> = Result<T, Vec<Diagnostic>>;

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
                    check_script(path.value.as_str(), &text, &script, facts)
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

    fn component(&mut self, component: &Component) -> Gathers<ComponentFacts> {
        match &component.origin {
            Origin::Prebuilt(path) => self.prebuilt(path),
            Origin::Source(source) => self.built(component, source),
        }
    }

    /// A component whose bytes are a file of the project: they say themselves what they are.
    fn prebuilt(&mut self, path: &Spanned<RelPath>) -> Gathers<ComponentFacts> {
        self.without_made(vec![path.value.clone()], &BTreeSet::new(), "this component", &path.span)?;
        let bytes = self.read(&path.value, &path.span)?;
        let bytes = match path.value.as_str().ends_with(".wat") {
            true => crate::step::kind::text(path.value.as_str(), &bytes).map_err(|e| e.diagnostics)?,
            false => bytes,
        };
        let unfit = |problem: Diagnostic| {
            match problem.code {
            "not-a-component" => problem.help(
                "make it one with `wasm-tools component new`; or give its text form as `source`, with the `wit` it implements",
            ),
            "not-wasm" => problem.help("fetch or build the file again"),
            _ => problem,
        }
        };
        let unfit = |e: StepError| self.at(e.diagnostics.into_iter().map(unfit).collect(), &path.span);
        validate::validate(&bytes, None).map_err(unfit)?;
        let world = wit::of_component(&bytes).map_err(unfit)?;
        let digest = self.sources.made(&bytes, self.function);
        let mut tree = Tree::new();
        let raw = builtin::raw();
        tree.insert(&raw, Node::File { digest, executable: false }).expect("a tree with one file");
        let step = Step {
            name: "read",
            tree,
            produced: vec![],
            uses: vec![],
            work: StepWork::Builtin { builtin: &builtin::READ, args: vec![] },
            outputs: vec![raw.clone()],
            toolchains: BTreeMap::new(),
            network: false,
        };
        let recipe = Recipe { steps: vec![step], raw, yields: Yields::Component, varying: false };
        self.component_facts(recipe, world, false)
    }

    fn built(&mut self, component: &Component, source: &Source) -> Gathers<ComponentFacts> {
        let language = self.language(component, source)?;
        let problems = source.problems_in(language, &self.manifest.file);
        if !problems.is_empty() {
            return Err(problems);
        }
        let declared = self.declared_world(source, language)?;
        let produced = self.produced_for(component);
        let row = lang::find(language).expect("the manifest lets only languages pass that are built in");
        let profile = self.surroundings.profile;
        let asked = Asked { component, source, world: declared.as_ref(), produced: &produced, profile };
        let recipe = (row.recipe)(&asked, self)?;
        let facts = match declared {
            Some(world) => {
                self.warn_ungranted(component, source, &world);
                self.component_facts(recipe, world, true)?
            }
            None => {
                let world = self.own_world(source, &recipe)?;
                self.component_facts(recipe, world, false)?
            }
        };
        Ok(ComponentFacts { language: Some(language), ..facts })
    }

    fn component_facts(&self, recipe: Recipe, world: World, is_promised: bool) -> Gathers<ComponentFacts> {
        let interface = Shown::of_world(&world).map_err(|e| e.diagnostics)?;
        let promise = if is_promised { world.encoded().map_err(|e| e.diagnostics)? } else { vec![] };
        let found_tests = if interface.shape == Shape::Library { tests_in(&world) } else { vec![] };
        Ok(ComponentFacts { language: None, recipe, interface, promise, found_tests, world })
    }

    /// The language, given or found; found from the names in the directory when nothing else says it.
    fn language(&self, component: &Component, source: &Source) -> Gathers<Language> {
        let found = match &source.language {
            LanguageChoice::Given(language) => return Ok(language.value),
            LanguageChoice::Named(language) => return Ok(*language),
            LanguageChoice::Detect => {
                self.must_exist(source.path.value.as_ref(), &source.path.span)?;
                let names: Vec<&str> = self.files.names_in(source.path.value.as_ref()).collect();
                manifest::detect(source.path.value.as_ref(), &names)
            }
        };
        let name = component.name.as_str();
        let unsure = |message: String| Diagnostic::error("unknown-language", message);
        let problem = match found {
            Detection::Found(language) if language.is_built_in() => return Ok(language),
            Detection::Found(language) => {
                Diagnostic::error("unsupported-language", format!("this version does not build {language}"))
                    .note(format!("`{name}` looks like {language}"))
            }
            Detection::Ambiguous(languages) => {
                let names: Vec<&str> = languages.iter().map(|language| language.name()).collect();
                unsure(format!("`{name}` could be any of `{}`", names.join("`, `")))
                    .help(format!("say which: `language = \"{}\"`", names[0]))
            }
            Detection::Nothing => unsure(format!("nothing tells what `{name}` is written in"))
                .help("add `language = \"…\"`, or point `source` to the source file"),
        };
        Err(vec![problem.at(&self.manifest.file, source.path.span.clone(), "")])
    }

    /// The world that a source promises to implement; `None` where its bytes will be the only promise.
    fn declared_world(&mut self, source: &Source, language: Language) -> Gathers<Option<World>> {
        match &source.interface {
            Interface::Wit { path, world } => {
                let sources = self.wit_sources(path)?;
                let name = world.as_ref().map(|world| world.value.as_str());
                wit::world(&sources, name).map(Some).map_err(|e| {
                    let span = world.as_ref().map_or(&path.span, |world| &world.span);
                    self.at(e.diagnostics, span)
                })
            }
            Interface::Standard(world) => standard(world.value.name()).map(Some).map_err(|e| self.at(e, &world.span)),
            Interface::Unsaid if language == Language::Wat => Ok(None),
            Interface::Unsaid => standard("wasi:cli/command").map(Some),
        }
    }

    /// The WIT files of a source's package and of the packages beside it.
    fn wit_sources(&self, path: &Spanned<RelPath>) -> Gathers<BTreeMap<String, Vec<u8>>> {
        /// Everything that can hold a WIT package.
        const FORMS: &[&str] = &["wit", "wasm", "wat"];
        self.must_exist(Some(&path.value), &path.span)?;
        let failed = |e: std::io::Error| vec![self.unreadable(&path.value, &path.span, &e)];
        let mut sources = BTreeMap::new();
        let mut take = |found: BTreeMap<RelPath, Vec<u8>>| {
            sources.extend(found.into_iter().map(|(path, bytes)| (path.to_string(), bytes)));
        };
        if self.files.kind(&path.value) == Standing::Directory {
            take(self.files.read_below(&path.value, FORMS).map_err(failed)?);
        } else {
            take([(path.value.clone(), self.read(&path.value, &path.span)?)].into());
            let deps =
                run_engine::path::under(path.value.parent().as_ref(), &RelPath::new("deps").expect("a plain name"));
            take(self.files.read_below(&deps, FORMS).map_err(failed)?);
        }
        Ok(sources)
    }

    /// The files that macros may read while a component is compiled.
    #[must_use]
    pub fn wit_files(&self, source: &Source) -> Vec<RelPath> {
        let Interface::Wit { path, .. } = &source.interface else { return vec![] };
        let root = match self.files.kind(&path.value) {
            Standing::Directory => Some(path.value.clone()),
            _ => path.value.parent(),
        };
        self.files.below(root.as_ref()).filter(|file| file.as_str().ends_with(".wit")).cloned().collect()
    }

    /// The world in the bytes that a recipe makes without compiling: those of a text form.
    fn own_world(&self, source: &Source, recipe: &Recipe) -> Gathers<World> {
        let bytes = source.path.value.as_ref().map_or_else(|| Ok(vec![]), |file| self.read(file, &source.path.span))?;
        let file = source.path.value.as_ref().map_or("", RelPath::as_str);
        let binary = crate::step::kind::text(file, &bytes).map_err(|e| e.diagnostics)?;
        if recipe.yields == Yields::CoreModule {
            let kind = Kind::of(&binary).describe();
            return Err(vec![
                Diagnostic::error(
                    "missing-world",
                    format!("`{file}` holds {kind}, which does not say what it implements"),
                )
                .at(&self.manifest.file, source.path.span.clone(), "")
                .help("add `wit = \"…\"`, and `world = \"…\"` where the package has several"),
            ]);
        }
        validate::validate(&binary, None).map_err(|e| self.at(e.diagnostics, &source.path.span))?;
        wit::of_component(&binary).map_err(|e| self.at(e.diagnostics, &source.path.span))
    }

    /// Warns about what a component's world asks of the host beyond what it may ever be granted.
    fn warn_ungranted(&mut self, component: &Component, source: &Source, world: &World) {
        // A standard world asks for more than most programs use; only what the user wrote says what is meant.
        let Interface::Wit { world: name, path } = &source.interface else { return };
        let Ok(shown) = Shown::of_world(world) else { return };
        if shown.shape != Shape::Library {
            return;
        }
        for (import, capability) in GRANTED_BY {
            let asks = shown.imports.iter().any(|i| i.base() == *import);
            let may = component.capabilities.iter().any(|c| c.value.name() == *capability);
            if asks && !may {
                let span = name.as_ref().map_or(&path.span, |name| &name.span).clone();
                let warning = Diagnostic::warning(
                    "ungranted-import",
                    format!("`{}` imports `{import}` and will never be granted it", component.name.as_str()),
                );
                self.warnings.push(
                    warning
                        .at(&self.manifest.file, span, "")
                        .help(format!("add `capabilities = [\"{capability}\"]`, or remove the import from its world")),
                );
            }
        }
    }

    /// The paths that the commands a component depends on write.
    fn produced_for(&self, component: &Component) -> Vec<RelPath> {
        let named = component.depends.iter().filter_map(|name| self.manifest.find_command(name.as_str()));
        let mut commands: Vec<&Command> = named.collect();
        // In the order of the file, whatever the order of their names here.
        commands.sort_by_key(|command| command.name.span.start);
        commands.into_iter().flat_map(|command| &command.outputs).map(|output| output.value.clone()).collect()
    }

    fn script(&mut self, path: &Spanned<RelPath>) -> Gathers<(ScriptFacts, String)> {
        let bytes = self.read(&path.value, &path.span)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let packages = script::script_packages(path.value.as_str(), &text).map_err(|e| e.diagnostics)?;
        let project = self.manifest.project.name.as_str();
        let mut named = Vec::new();
        for package in packages {
            let target = package.target(project).filter(|target| self.manifest.find_kind(target).is_some());
            let Some(target) = target.map(str::to_owned) else {
                let names: Vec<&str> = self.manifest.components.iter().map(|c| c.name.as_str()).collect();
                return Err(vec![
                    Diagnostic::error("bad-wac", format!("`{}` is no target of this project", package.name))
                        .at(path.value.as_str(), package.span, "")
                        .note(format!("a target is named `{project}:TARGET`; there are `{}`", names.join("`, `"))),
                ]);
            };
            named.push((package, target));
        }
        let tree = self.tree(std::slice::from_ref(&path.value), &path.span)?;
        Ok((ScriptFacts { tree, packages: named }, text))
    }

    fn command(&mut self, command: &Command) -> Gathers<CommandFacts> {
        let depends: BTreeSet<&str> = command.depends.iter().map(|name| name.as_str()).collect();
        let mut files = self.files.matching(command.inputs.iter().map(|pattern| &pattern.value));
        for pattern in &command.inputs {
            let Ok(file) = RelPath::new(pattern.value.as_str()) else { continue };
            if pattern.value.is_literal() {
                files.extend(self.named_input(command, &file, &depends, &pattern.span)?);
            }
        }
        files.sort_unstable();
        files.dedup();
        let files = self.without_made(files, &depends, command.name.as_str(), &command.name.span)?;
        let inputs = self.tree(&files, &command.name.span)?;
        let extra: Vec<String> = command.tools.iter().map(|tool| tool.value.as_str().to_owned()).collect();
        let tools = self.tools(&extra).map_err(|e| self.toolchain_problem(&e, Some(&command.name.span)))?;
        let word = &command.run[0];
        let program = if word.value.contains('/') {
            None
        } else {
            let program = RelPath::new(&format!("{}/{}", base::BIN, word.value)).ok();
            let Some(program) = program.filter(|program| tools.tree.find(program).is_some()) else {
                return Err(vec![
                    Diagnostic::error(
                        "unknown-tool",
                        format!("`{}` is not among the tools of this command", word.value),
                    )
                    .at(&self.manifest.file, word.span.clone(), "")
                    .help(format!("add `tools = [\"{}\"]` to take it from this machine", word.value)),
                ]);
            };
            Some(program)
        };
        Ok(CommandFacts { inputs, tools, program })
    }

    /// The files behind an input that is named, not matched: git may ignore it, and it must be there, unless a target
    /// that the command depends on makes it.
    fn named_input(
        &self,
        command: &Command,
        file: &RelPath,
        depends: &BTreeSet<&str>,
        span: &Range<usize>,
    ) -> Gathers<Vec<RelPath>> {
        match self.makers.find(file) {
            Some(maker) if maker == command.name.as_str() => Err(vec![
                Diagnostic::error("undeclared-producer", format!("`{file}` is both read and written by `{maker}`"))
                    .at(&self.manifest.file, span.clone(), "")
                    .help("write to another file: what a command reads must be there before it runs"),
            ]),
            Some(maker) if depends.contains(maker) => Ok(vec![]),
            Some(_) => self.without_made(vec![file.clone()], depends, command.name.as_str(), span),
            None => {
                self.must_exist(Some(file), span)?;
                Ok(match self.files.kind(file) {
                    Standing::Directory => self.files.below(Some(file)).cloned().collect(),
                    _ => vec![file.clone()],
                })
            }
        }
    }

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

    /// The one source file of a component: `source` itself, or the only file with `extension` in the directory.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn source_file(&self, asked: &Asked<'_>, extension: &str) -> Gathers<RelPath> {
        let path = &asked.source.path;
        self.must_exist(path.value.as_ref(), &path.span)?;
        if let Some(file) = &path.value
            && self.files.kind(file) == Standing::File
        {
            return Ok(file.clone());
        }
        let dir = path.value.as_ref();
        let ending = format!(".{extension}");
        let mut found = self.files.below(dir).filter(|f| f.parent().as_ref() == dir && f.as_str().ends_with(&ending));
        match (found.next(), found.next()) {
            (Some(file), None) => Ok(file.clone()),
            (None, _) => Err(vec![
                Diagnostic::error("missing-file", format!("there is no `{ending}` file in the source directory"))
                    .at(&self.manifest.file, path.span.clone(), "")
                    .help("point `source` to the file"),
            ]),
            (Some(_), Some(_)) => Err(vec![
                Diagnostic::error(
                    "missing-file",
                    format!("there are several `{ending}` files in the source directory"),
                )
                .at(&self.manifest.file, path.span.clone(), "")
                .help("point `source` to the one that is meant"),
            ]),
        }
    }

    /// The bytes of a file that must be there.
    ///
    /// # Errors
    /// It is not, or can't be read.
    pub fn read(&self, file: &RelPath, span: &Range<usize>) -> Gathers<Vec<u8>> {
        match self.files.bytes(file) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(vec![self.missing(file, span)]),
            Err(e) => Err(vec![self.unreadable(file, span, &e)]),
        }
    }

    /// A file of the project as a tree, with bytes that were read already: where the file is a link, what it leads to.
    ///
    /// # Panics
    /// Never: one file conflicts with nothing.
    pub fn file_as_read(&mut self, file: &RelPath, bytes: &[u8]) -> Tree {
        let digest = self.sources.made(bytes, self.function);
        let mut tree = Tree::new();
        tree.insert(file, Node::File { digest, executable: false }).expect("a tree with one file");
        tree
    }

    /// Files of the project as a tree, by their paths in the project.
    ///
    /// # Errors
    /// One of them is missing, is not a file, or is a link that leaves the project.
    pub fn tree(&mut self, files: &[RelPath], span: &Range<usize>) -> Gathers<Tree> {
        let scanned = scan(self.files.root(), files, self.stats).map_err(|errors| {
            let told = |e: &run_engine::files::stat_cache::FileError| {
                Diagnostic::error("bad-source-file", e.to_string())
                    .at(&self.manifest.file, span.clone(), "read by this target")
                    .help("put the file itself there, or leave it out of what this target reads")
            };
            errors.iter().map(told).collect::<Vec<_>>()
        })?;
        for (file, stamp) in files.iter().zip(&scanned.stamps) {
            self.files.note(file.clone(), *stamp);
        }
        self.sources.merge(scanned.sources);
        Ok(scanned.tree)
    }

    /// Files of the project, and texts in the place of others, as a tree. What a target makes is left out: it comes
    /// from the target.
    ///
    /// # Errors
    /// As for [`Gatherer::tree`]; and a file that a target makes which it does not depend on.
    pub fn mixed_tree(&mut self, content: &BTreeMap<RelPath, Content>, asked: &Asked<'_>) -> Gathers<Tree> {
        let (produced, span) = (asked.produced, &asked.source.path.span);
        let own = |(path, content): (&RelPath, &Content)| (*content == Content::Project).then(|| path.clone());
        let files: Vec<RelPath> = content.iter().filter_map(own).collect();
        let depends: BTreeSet<&str> = produced.iter().filter_map(|path| self.makers.find(path)).collect();
        let files = self.without_made(files, &depends, asked.component.name.as_str(), span)?;
        let mut tree = self.tree(&files, span)?;
        for (path, content) in content {
            if let Content::Text(text) = content {
                let digest = self.sources.made(text.as_bytes(), self.function);
                let put = tree.insert(path, Node::File { digest, executable: false });
                put.map_err(|e| {
                    vec![Diagnostic::error("bad-source-file", e.to_string()).at(&self.manifest.file, span.clone(), "")]
                })?;
            }
        }
        Ok(tree)
    }

    /// Leaves out files that targets make, which must be among those depended on.
    fn without_made(
        &self,
        files: Vec<RelPath>,
        depends: &BTreeSet<&str>,
        who: &str,
        span: &Range<usize>,
    ) -> Gathers<Vec<RelPath>> {
        let mut kept = Vec::new();
        let mut problems = Vec::new();
        for file in files {
            match self.makers.find(&file) {
                None => kept.push(file),
                Some(maker) if depends.contains(maker) || maker == who => {}
                Some(maker) => problems.push(
                    Diagnostic::error(
                        "undeclared-producer",
                        format!("`{file}` is made by `{maker}` and read by `{who}`"),
                    )
                    .at(&self.manifest.file, span.clone(), "")
                    .help(format!("add `depends = [\"{maker}\"]`, or leave the file out of what is read")),
                ),
            }
        }
        if problems.is_empty() { Ok(kept) } else { Err(problems) }
    }

    /// The cargo package of a component, with nothing in it that another target makes.
    ///
    /// # Errors
    /// What is wrong with its manifests.
    pub fn cargo_package(&mut self, asked: &Asked<'_>) -> Gathers<CargoPackage> {
        let path = &asked.source.path;
        self.must_exist(path.value.as_ref(), &path.span)?;
        let unfit: Vec<Diagnostic> = self
            .files
            .unfit_below(path.value.as_ref())
            .map(|name| {
                Diagnostic::error(
                    "bad-file-name",
                    format!("`{}` has a name that can't be part of a path", name.escape_debug()),
                )
                .at(&self.manifest.file, path.span.clone(), "in this directory")
                .help("rename it: names are UTF-8, without `\\`")
            })
            .collect();
        if !unfit.is_empty() {
            return Err(unfit);
        }
        cargo::find(self.files, path.value.as_ref()).map_err(|problems| self.at(problems, &path.span))
    }

    /// The tools that every command finds.
    ///
    /// # Errors
    /// This machine lacks one.
    pub fn base_tools(&mut self) -> Gathers<Arc<MountedTree>> {
        self.tools(&[]).map_err(|e| self.toolchain_problem(&e, None))
    }

    /// The path of one of those tools in their tree.
    ///
    /// # Errors
    /// It is not one of them.
    pub fn base_program(&mut self, name: &str) -> Gathers<RelPath> {
        let program = RelPath::new(&format!("{}/{name}", base::BIN));
        program.map_err(|e| vec![Diagnostic::error("unknown-tool", e.to_string())])
    }

    fn tools(&mut self, extra: &[String]) -> Result<Arc<MountedTree>, ToolchainError> {
        if let Some(tools) = self.base.get(extra) {
            return Ok(Arc::clone(tools));
        }
        let path = &self.surroundings.environment.path;
        let names: Vec<&str> = extra.iter().map(String::as_str).collect();
        let found = base::find(path, &names)?;
        // A tool may be reached by a chain of links, any of which may be turned to another one.
        let mut depends: Vec<PathBuf> = path.iter().flat_map(|dir| links_on(dir)).collect();
        depends.extend(found.values().flat_map(|file| links_on(file)));
        depends.sort_unstable();
        depends.dedup();
        self.watch(&depends);
        let answer = self.toolchains.answers().get(&format!("libraries of {found:?}"), &depends, || {
            let files = base::files(&found)?;
            Ok(answers::encode(files.iter().map(|f| (f.at.to_string(), f.from.display().to_string()))))
        })?;
        let files: Vec<HostFile> = answers::decode(&answer).filter_map(host_file).collect();
        let tools = self.toolchains.copied("base", &files)?;
        self.base.insert(extra.to_vec(), Arc::clone(&tools));
        Ok(tools)
    }

    /// The Rust that this project is compiled with.
    ///
    /// # Errors
    /// There is none, or it can't compile for `target`.
    pub fn rust(&mut self, target: WasmTarget, span: &Range<usize>) -> Gathers<Arc<MountedTree>> {
        if let Some(tree) = self.rust.get(target.triple()) {
            return Ok(Arc::clone(tree));
        }
        let told = |d: Diagnostic| vec![d.at(&self.manifest.file, span.clone(), "")];
        let found = self.locate_rust(target).map_err(told)?;
        let unreadable = |e: std::io::Error| {
            let message = format!("the toolchain in `{}` can't be read: {e}", found.sysroot.display());
            vec![Diagnostic::error("missing-toolchain", message).at(&self.manifest.file, span.clone(), "")]
        };
        let mut files = Vec::new();
        for file in found.files().map_err(unreadable)? {
            let text = file.to_str().ok_or_else(|| unreadable(std::io::Error::other("a name in it is not UTF-8")))?;
            files.push(RelPath::new(text).map_err(|e| unreadable(std::io::Error::other(e.to_string())))?);
        }
        let tree = self
            .toolchains
            .in_place("rust", &found.sysroot, &files)
            .map_err(|e| self.toolchain_problem(&e, Some(span)))?;
        self.rust.insert(target.triple(), Arc::clone(&tree));
        Ok(tree)
    }

    /// Asks rustc where it is, unless it has been asked and nothing that decides the answer has moved.
    fn locate_rust(&mut self, target: WasmTarget) -> Result<RustToolchain, Diagnostic> {
        let (root, environment) = (self.files.root(), self.surroundings.environment);
        let tools = self.rust_environment();
        let mut depends: Vec<PathBuf> = root
            .ancestors()
            .flat_map(|dir| ["rust-toolchain.toml", "rust-toolchain"].map(|name| dir.join(name)))
            .chain(environment.watched.iter().cloned())
            .chain(find_in(&environment.path, "rustc"))
            .collect();
        depends.extend(environment.path.iter().cloned());
        if let Some(manifest::Toolchain::Path(path)) = &self.manifest.rust_toolchain {
            depends.push(root.join(&path.value).join("bin/rustc"));
        }
        depends = depends.iter().flat_map(|path| links_on(path)).collect();
        depends.sort_unstable();
        depends.dedup();
        self.watch(&depends);
        let question = format!("rust {} {root:?} {tools:?}", target.triple());
        let answer = self.toolchains.answers().get(&question, &depends, || {
            let found = RustToolchain::locate(root, &tools, target)?;
            Ok(answers::encode([
                ("sysroot".to_owned(), found.sysroot.display().to_string()),
                ("version".to_owned(), found.version),
                ("host".to_owned(), found.host),
            ]))
        })?;
        let said = |wanted: &str| {
            let found = answers::decode(&answer).find(|(name, _)| *name == wanted);
            found.map(|(_, value)| value.to_owned()).unwrap_or_default()
        };
        let found =
            RustToolchain { sysroot: said("sysroot").into(), version: said("version"), host: said("host"), target };
        self.is_rust_wanted(&found)?;
        Ok(found)
    }

    /// What rustc is asked in: `[toolchain.rust]` beats what the machine would choose.
    fn rust_environment(&self) -> BTreeMap<String, String> {
        let mut tools = self.surroundings.environment.tools.clone();
        match &self.manifest.rust_toolchain {
            Some(manifest::Toolchain::Version(version)) => {
                tools.insert("RUSTUP_TOOLCHAIN".to_owned(), version.value.clone());
            }
            Some(manifest::Toolchain::Path(path)) => {
                let bin = self.files.root().join(&path.value).join("bin");
                tools.insert("PATH".to_owned(), bin.display().to_string());
            }
            None => {}
        }
        tools
    }

    /// A Rust that rustup has no hand in is the one that is there, whatever was asked for.
    fn is_rust_wanted(&self, found: &RustToolchain) -> Result<(), Diagnostic> {
        let Some(manifest::Toolchain::Version(wanted)) = &self.manifest.rust_toolchain else { return Ok(()) };
        let wanted = wanted.value.as_str();
        let is_number = wanted.starts_with(|c: char| c.is_ascii_digit());
        let is_it = found.version.split(' ').nth(1).is_some_and(|version| {
            version.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']))
        });
        if is_it || !is_number {
            return Ok(());
        }
        let message = format!("run.toml asks for Rust {wanted}, and this machine's is another");
        Err(Diagnostic::error("missing-toolchain", message)
            .note(format!("`rustc` is `{}`, in `{}`", found.version, found.sysroot.display()))
            .help(format!("install it with rustup: `rustup toolchain install {wanted}`"))
            .help("or change `version` in `[toolchain.rust]`"))
    }

    /// Notes paths of the machine that an answer depends on, those where nothing is included.
    fn watch(&mut self, paths: &[PathBuf]) {
        self.watched.extend(paths.iter().map(|path| (path.clone(), Stamp::of(path).ok())));
    }

    /// The C compiler that Rust links programs for this machine with.
    ///
    /// # Errors
    /// There is none.
    pub fn cc(&mut self) -> Gathers<Arc<MountedTree>> {
        if let Some(tree) = &self.cc {
            return Ok(Arc::clone(tree));
        }
        let environment = self.surroundings.environment;
        let (path, tools) = (&environment.path, &environment.tools);
        let mut depends: Vec<PathBuf> = path.iter().flat_map(|dir| links_on(dir)).collect();
        depends.extend(find_in(path, "cc").iter().flat_map(|cc| links_on(cc)));
        self.watched.extend(depends.iter().map(|path| (path.clone(), Stamp::of(path).ok())));
        let answer = self.toolchains.answers().get(&format!("cc in {path:?} {tools:?}"), &depends, || {
            let found = cc::find(path, tools)?;
            let pair =
                |kind: &'static str| move |f: &HostFile| (format!("{kind} {}", f.at), f.from.display().to_string());
            Ok(answers::encode(found.files.iter().map(pair("file")).chain(found.links.iter().map(pair("link")))))
        });
        let found = answer
            .and_then(|answer| {
                let of = |kind: &'static str| {
                    let named = answers::decode(&answer)
                        .filter_map(move |(n, v)| Some((n.strip_prefix(kind)?.trim_start(), v)));
                    named.filter_map(host_file).collect::<Vec<_>>()
                };
                self.toolchains.linked("cc", &of("file"), &of("link"))
            })
            .map_err(|e| self.toolchain_problem(&e, None))?;
        self.cc = Some(Arc::clone(&found));
        Ok(found)
    }

    fn toolchain_problem(&self, e: &ToolchainError, span: Option<&Range<usize>>) -> Vec<Diagnostic> {
        let mut diagnostic = Diagnostic::error("missing-toolchain", &e.what);
        diagnostic.helps.clone_from(&e.helps);
        match span {
            Some(span) => vec![diagnostic.at(&self.manifest.file, span.clone(), "")],
            None => vec![diagnostic],
        }
    }

    fn must_exist(&self, path: Option<&RelPath>, span: &Range<usize>) -> Gathers<()> {
        match path {
            Some(path) if self.files.kind(path) == Standing::Nothing => Err(vec![self.missing(path, span)]),
            _ => Ok(()),
        }
    }

    fn missing(&self, path: &RelPath, span: &Range<usize>) -> Diagnostic {
        let diagnostic = Diagnostic::error("missing-file", format!("`{path}` does not exist")).at(
            &self.manifest.file,
            span.clone(),
            "",
        );
        let parent = path.parent();
        let near = self.files.below(parent.as_ref()).filter(|file| file.parent() == parent);
        match crate::diagnostic::suggest(path.as_str(), near.map(RelPath::as_str)) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic.help("paths are relative to the directory of run.toml"),
        }
    }

    fn unreadable(&self, path: &RelPath, span: &Range<usize>, e: &std::io::Error) -> Diagnostic {
        Diagnostic::error("bad-source-file", format!("`{path}` can't be read: {e}")).at(
            &self.manifest.file,
            span.clone(),
            "",
        )
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

/// Runs a script on stand-ins for its components, so that what does not fit is told before anything is compiled. Where a
/// part is itself a composition, what it exports is known only once it is built, and the script is checked then.
fn check_script(file: &str, text: &str, script: &ScriptFacts, facts: &Facts) -> Result<(), StepError> {
    let mut stand_ins = BTreeMap::new();
    for (package, target) in &script.packages {
        let Some(component) = facts.components.get(target) else { return Ok(()) };
        stand_ins.insert(package.name.clone(), stand_in::component(&component.world)?);
    }
    script::compose_script(file, text, &stand_ins).map(drop)
}

/// The interfaces that need a capability, with its name.
const GRANTED_BY: &[(&str, &str)] = &[
    ("wasi:clocks/wall-clock", "clock"),
    ("wasi:clocks/monotonic-clock", "clock"),
    ("wasi:random/random", "random"),
    ("wasi:http/outgoing-handler", "http-client"),
    ("wasi:sockets/tcp-create-socket", "net-connect"),
];

/// A file of a toolchain, as an answer has it.
fn host_file((at, from): (&str, &str)) -> Option<HostFile> {
    Some(HostFile { at: RelPath::new(at).ok()?, from: from.into() })
}

/// A world that comes with this program.
fn standard(name: &str) -> Gathers<World> {
    wit::world(&BTreeMap::new(), Some(name)).map_err(|e| e.diagnostics)
}

/// The exported functions that are tests by their names: world-level ones by name, others as `INTERFACE#NAME`.
fn tests_in(world: &World) -> Vec<String> {
    let is_test = |name: &str, params: usize| (name.starts_with("test-") || name.starts_with("test_")) && params == 0;
    let mut found = Vec::new();
    for (key, item) in &world.resolve.worlds[world.id].exports {
        let key = world.resolve.name_world_key(key);
        match item {
            WorldItem::Function(function) if is_test(&function.name, function.params.len()) => found.push(key),
            WorldItem::Interface { id, .. } => {
                for function in world.resolve.interfaces[*id].functions.values() {
                    if is_test(&function.name, function.params.len()) {
                        found.push(format!("{key}#{}", function.name));
                    }
                }
            }
            _ => {}
        }
    }
    found.sort();
    found
}
