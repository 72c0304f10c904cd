//! What is known of a component: its language, the world it promises, the recipe for its bytes.

use std::collections::{BTreeMap, BTreeSet};

use run_engine::path::RelPath;
use run_engine::tree::{Node, Tree};
use wit_parser::WorldItem;

use super::{Gatherer, Gathers};
use crate::builtin;
use crate::cargo::WasmTarget;
use crate::diagnostic::Diagnostic;
use crate::facts::ComponentFacts;
use crate::facts::files::{ProjectFiles, Standing};
use crate::lang::{self, Asked, Recipe, Shown, Step, StepWork, Yields};
use crate::manifest::{
    self, Command, Component, Detection, Interface, Language, LanguageChoice, Manifest, Origin, Source, Spanned,
};
use crate::step::StepError;
use crate::step::interface::{self, Shape};
use crate::step::kind::Kind;
use crate::step::validate::{self, Bodies};
use crate::step::wit::{self, World};

/// The interfaces that need a capability, with its name.
const GRANTED_BY: &[(&str, &str)] = &[
    ("wasi:clocks/wall-clock", "clock"),
    ("wasi:clocks/monotonic-clock", "clock"),
    ("wasi:random/random", "random"),
    ("wasi:http/outgoing-handler", "http-client"),
    ("wasi:sockets/tcp-create-socket", "net-connect"),
];

impl Gatherer<'_> {
    pub(super) fn component(&mut self, component: &Component) -> Gathers<ComponentFacts> {
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
        let helped = |problem: Diagnostic| match problem.code {
            "not-a-component" => problem.help(
                "make it one with `wasm-tools component new`; \
                 or give its text form as `source`, with the `wit` it implements",
            ),
            "not-wasm" => problem.help("fetch or build the file again"),
            _ => problem,
        };
        let unfit = |e: StepError| self.at(e.diagnostics.into_iter().map(helped).collect(), &path.span);
        validate::validate(&bytes, None, Bodies::Unchecked).map_err(unfit)?;
        let world = wit::of_component(&bytes).map_err(unfit)?;
        let digest = self.sources.made(&bytes, self.function);
        let mut tree = Tree::new();
        let raw = builtin::raw();
        tree.insert(&raw, Node::File { digest, executable: false }).expect("a tree with one file");
        let read = StepWork::Builtin { builtin: &builtin::READ, args: vec![], native: None };
        let step = Step { tree, ..Step::new("read", read, vec![raw.clone()]) };
        let recipe = Recipe { steps: vec![step], raw, yields: Yields::Component, shown: Shown::new() };
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
        let row = lang::find(language).expect("every language has a row");
        let (profile, reproducible) = (self.profile, self.reproducible);
        let asked = Asked { component, source, world: declared.as_ref(), produced: &produced, profile, reproducible };
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
        let interface = interface::Interface::of_world(&world).map_err(|e| e.diagnostics)?;
        let promise = if is_promised { world.encoded().map_err(|e| e.diagnostics)? } else { vec![] };
        let found_tests = if interface.shape == Shape::Library { tests_in(&world) } else { vec![] };
        Ok(ComponentFacts { language: None, recipe, interface, promise, found_tests, world })
    }

    /// The language, given or found; found from the names in the directory when nothing else says it.
    fn language(&self, component: &Component, source: &Source) -> Gathers<Language> {
        if source.language == LanguageChoice::Detect {
            self.must_exist(source.path.value.as_ref(), &source.path.span)?;
        }
        let found = detected(source, self.files);
        let name = component.name.as_str();
        let unsure = |message: String| Diagnostic::error("unknown-language", message);
        let problem = match found {
            Detection::Found(language) => return Ok(language),
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
        validate::validate(&binary, None, Bodies::Unchecked).map_err(|e| self.at(e.diagnostics, &source.path.span))?;
        wit::of_component(&binary).map_err(|e| self.at(e.diagnostics, &source.path.span))
    }

    /// Warns about what a component's world asks of the host beyond what it may ever be granted.
    fn warn_ungranted(&mut self, component: &Component, source: &Source, world: &World) {
        // A standard world asks for more than most programs use; only what the user wrote says what is meant.
        let Interface::Wit { world: name, path } = &source.interface else { return };
        let Ok(shown) = interface::Interface::of_world(world) else { return };
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
}

/// The languages that a project's enabled components are written in, as far as that can be told.
#[must_use]
pub fn languages(manifest: &Manifest, files: &ProjectFiles) -> BTreeSet<Language> {
    let of = |component: &Component| match &component.origin {
        Origin::Source(source) => match detected(source, files) {
            Detection::Found(language) => Some(language),
            Detection::Ambiguous(_) | Detection::Nothing => None,
        },
        Origin::Prebuilt(_) => None,
    };
    manifest.components.iter().filter(|component| component.enabled).filter_map(of).collect()
}

/// The engines for JavaScript that a project's enabled components name.
#[must_use]
pub fn engines(manifest: &Manifest) -> BTreeSet<String> {
    let named = |component: &Component| match &component.origin {
        Origin::Source(source) => source.engine.as_ref().map(|engine| engine.value.clone()),
        Origin::Prebuilt(_) => None,
    };
    manifest.components.iter().filter(|component| component.enabled).filter_map(named).collect()
}

/// What a project's enabled components in Rust are compiled to.
#[must_use]
pub fn rust_targets(manifest: &Manifest, files: &ProjectFiles) -> Vec<WasmTarget> {
    let mut targets = Vec::new();
    for component in manifest.components.iter().filter(|component| component.enabled) {
        let Origin::Source(source) = &component.origin else { continue };
        if matches!(detected(source, files), Detection::Found(Language::Rust)) {
            let target = WasmTarget::from(source.rust_target);
            targets.extend((!targets.contains(&target)).then_some(target));
        }
    }
    targets
}

/// What a source is written in: as said, as its name says, or as the names in its directory do.
fn detected(source: &Source, files: &ProjectFiles) -> Detection {
    match &source.language {
        LanguageChoice::Given(language) => Detection::Found(language.value),
        LanguageChoice::Named(language) => Detection::Found(*language),
        LanguageChoice::Detect => {
            let directory = source.path.value.as_ref();
            manifest::detect(directory, &files.names_in(directory).collect::<Vec<_>>())
        }
    }
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
