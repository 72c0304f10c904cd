//! What languages with an interpreter have in common: an engine for each world, code of this machine for it, and a program
//! that is loaded into it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use run_engine::action::{MountedTree, Word};
use run_engine::path::RelPath;
use run_engine::tree::Tree;
use wit_parser::WorldItem;

use super::{Asked, Given, Shown, Step, StepWork};
use crate::builtin::{self, Builtin, native, snapshot};
use crate::cargo::Content;
use crate::diagnostic::Diagnostic;
use crate::facts::{Gatherer, shown};
use crate::rule::TOOLCHAIN;
use crate::snapshot::starlingmonkey::Handler;
use crate::step::bindings::typescript::{self, Engine as Values};

/// An interpreter that is linked of libraries, as our own functions see it.
pub(super) struct Interpreter {
    /// Libraries → what of them is in every engine.
    pub settle: &'static Builtin,
    /// World and libraries → engine.
    pub link: &'static Builtin,
    /// Engine and program → component.
    pub load: &'static Builtin,
}

/// An engine for a world: the steps that make it, and how a program is loaded into it.
pub(super) struct Engine {
    /// The steps so far; those of the program are to follow.
    pub steps: Vec<Step>,
    /// Which of them leaves the engine.
    made: usize,
    /// Which of them compiles it to code of this machine.
    compiled: usize,
    /// What the engine's step leaves beside it for the program's.
    beside: Vec<RelPath>,
    /// The world that it was made for.
    world: Tree,
    load: &'static Builtin,
    /// What the program's step is told of the engine's.
    pub args: Vec<String>,
    /// How values look in it to a program of JavaScript.
    pub values: Values,
}

impl Engine {
    /// An engine that is linked of libraries.
    ///
    /// # Errors
    /// The world has no binary form.
    pub(super) fn linked(
        asked: &Asked<'_>,
        gatherer: &mut Gatherer<'_>,
        of: &Interpreter,
        libraries: &Tree,
    ) -> Result<Self, Vec<Diagnostic>> {
        let world = world(asked, gatherer)?;
        let call = |builtin| StepWork::Builtin { builtin, args: vec![], native: None };
        let runtime = || (Some(path(snapshot::RUNTIME)), Given::Tree(libraries.clone()));
        let interpreter =
            Step { given: vec![runtime()], ..Step::new("interpreter", call(of.settle), vec![builtin::component()]) };
        let engine = Step {
            given: vec![(None, Given::Tree(world.clone())), runtime()],
            ..Step::new("engine", call(of.link), vec![snapshot::engine_file(), builtin::component()])
        };
        let steps = vec![
            interpreter,
            native("interpreter-native", 0, StepWork::Native { other: None, is_shared: true }),
            engine,
            native("engine-native", 2, StepWork::Native { other: Some(1), is_shared: false }),
        ];
        let (load, values) = (of.load, Values::QuickJs);
        Ok(Self { steps, made: 2, compiled: 3, beside: vec![], world, load, args: vec![], values })
    }

    /// StarlingMonkey, whose splicer is run first: it knows no world, so it is compiled once for all.
    ///
    /// # Errors
    /// The toolchain can't be had, or the world has no binary form.
    pub(super) fn starlingmonkey(
        asked: &Asked<'_>,
        gatherer: &mut Gatherer<'_>,
        handler: Handler,
    ) -> Result<Self, Vec<Diagnostic>> {
        let span = &asked.source.path.span;
        let mut file = |name: &str| {
            let wanted = path(name);
            gatherer.toolchain_files(STARLINGMONKEY, &|file| *file == wanted, span)
        };
        let splicer = file("lib/spidermonkey-embedding-splicer.core.wasm")?;
        let module = file("lib/starlingmonkey_embedding.wasm")?;
        let world = world(asked, gatherer)?;
        let componentize = StepWork::Builtin { builtin: &builtin::STARLINGMONKEY_SPLICER, args: vec![], native: None };
        let splicer = Step {
            given: vec![(Some(path(snapshot::RUNTIME)), Given::Tree(splicer))],
            ..Step::new("splicer", componentize, vec![builtin::component()])
        };
        let text = format!("handler={}", snapshot::handler_name(handler));
        let args = vec![text.clone(), level(asked)];
        let splice = StepWork::Builtin { builtin: &builtin::STARLINGMONKEY_ENGINE, args, native: Some(1) };
        let outputs = vec![snapshot::engine_file(), builtin::component(), snapshot::bindings_file()];
        let engine = Step {
            given: vec![
                (None, Given::Tree(world.clone())),
                (Some(path(snapshot::RUNTIME)), Given::Tree(module)),
                (Some(snapshot::splicer_file()), Given::Step(0, builtin::component())),
            ],
            ..Step::new("engine", splice, outputs)
        };
        Ok(Self {
            steps: vec![
                splicer,
                native("splicer-native", 0, StepWork::Native { other: None, is_shared: false }),
                engine,
                native("engine-native", 2, StepWork::Native { other: None, is_shared: false }),
            ],
            made: 2,
            compiled: 3,
            beside: vec![snapshot::bindings_file()],
            world,
            load: &builtin::STARLINGMONKEY_SNAPSHOT,
            args: vec![text],
            values: Values::StarlingMonkey { listens: handler == Handler::Events },
        })
    }

    /// Adds a file that the engine's step leaves for the program's.
    pub(super) fn leaves(&mut self, file: RelPath) {
        self.steps[self.made].outputs.push(file.clone());
        self.beside.push(file);
    }

    /// The step that loads a program into the engine. The program itself is still to be given.
    pub(super) fn load(&self, asked: &Asked<'_>, args: Vec<String>) -> Step {
        let args = args.into_iter().chain(self.args.clone()).chain([level(asked)]).collect();
        let load = StepWork::Builtin { builtin: self.load, args, native: Some(self.compiled) };
        let left = [snapshot::engine_file()].into_iter().chain(self.beside.clone());
        let left = left.map(|file| (Some(file.clone()), Given::Step(self.made, file)));
        Step {
            given: [(None, Given::Tree(self.world.clone()))].into_iter().chain(left).collect(),
            ..Step::new("compile", load, vec![builtin::component()])
        }
    }
}

/// What a component calls StarlingMonkey, and the toolchain whose files it is.
pub(super) const STARLINGMONKEY: &str = "starlingmonkey";

fn world(asked: &Asked<'_>, gatherer: &mut Gatherer<'_>) -> Result<Tree, Vec<Diagnostic>> {
    gatherer.world_tree(asked.world.expect("only a text form comes without a world"))
}

/// Code of this machine for the component that a step leaves.
fn native(name: &'static str, step: usize, work: StepWork) -> Step {
    Step {
        given: vec![(Some(builtin::component()), Given::Step(step, builtin::component()))],
        ..Step::new(name, work, vec![builtin::native_code()])
    }
}

fn level(asked: &Asked<'_>) -> String {
    format!("level={}", native::level_name(native::level(asked.profile)))
}

/// Where a program is as one file.
pub(super) const BUNDLE: &str = ".run/bundle/index.js";

/// The packages that a lockfile names, among the toolchains of a step.
pub(super) const MODULES: &str = "node_modules";

/// The step that makes one file of JavaScript of a program, without types. What the world imports is left for the engine to
/// find.
pub(super) fn bundle(
    asked: &Asked<'_>,
    gatherer: &mut Gatherer<'_>,
    content: &BTreeMap<RelPath, Content>,
    entry: &RelPath,
    modules: Option<&Arc<MountedTree>>,
) -> Result<Step, Vec<Diagnostic>> {
    let world = asked.world.expect("only a text form comes without a world");
    let mut namespaces = BTreeSet::new();
    for (key, item) in &world.resolve.worlds[world.id].imports {
        let name = world.resolve.name_world_key(key);
        if let (WorldItem::Interface { .. }, Some((namespace, _))) = (item, name.split_once(':')) {
            namespaces.insert(namespace.to_owned());
        }
    }
    let mut args = vec![Word::from(entry.as_str()), Word::from(format!("--outfile={BUNDLE}"))];
    args.extend(namespaces.iter().map(|namespace| Word::from(format!("--external:{namespace}:*"))));
    args.extend(HOW.iter().copied().map(Word::from));
    let mut toolchains = BTreeMap::from([("esbuild", gatherer.tools.fetched("esbuild", &asked.source.path.span)?)]);
    let mut env = BTreeMap::new();
    if let Some(modules) = modules {
        toolchains.insert(MODULES, Arc::clone(modules));
        env.insert("NODE_PATH".to_owned(), Word::path(path(&format!("{TOOLCHAIN}/{MODULES}"))));
    }
    let run = StepWork::Process { program: ("esbuild", path("bin/esbuild")), args, env };
    Ok(Step {
        tree: gatherer.mixed_tree(content, asked)?,
        produced: asked.produced.to_vec(),
        toolchains,
        ..Step::new("bundle", run, vec![path(BUNDLE)])
    })
}

/// What the world is for JavaScript, and what holds the program of `entry` to it.
pub(super) fn declarations(asked: &Asked<'_>, gatherer: &Gatherer<'_>, entry: &RelPath, values: Values) -> Shown {
    let world = asked.world.expect("only a text form comes without a world");
    let up = "../".repeat(shown::directory(asked).parts().count());
    gatherer.shown(asked, typescript::generate(world, world.short_name(), &format!("{up}{entry}"), values))
}

/// How esbuild bundles: for an engine that is neither a browser nor Node.js, and so that comments change nothing.
const HOW: &[&str] = &[
    "--external:$root",
    "--bundle",
    "--format=esm",
    "--platform=neutral",
    "--main-fields=module,main",
    "--target=es2022",
    "--charset=utf8",
    "--legal-comments=none",
    "--log-level=warning",
    "--color=false",
];

fn path(constant: &str) -> RelPath {
    RelPath::new(constant).expect("a constant that is a path")
}
