//! JavaScript, by QuickJS: the engine with the world's bindings in it, once for each world, and the program's state in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use run_engine::action::{MountedTree, Word};
use run_engine::path::RelPath;
use run_engine::tree::Tree;
use wit_parser::WorldItem;

use super::{Asked, Given, Recipe, Row, Step, StepWork, Yields};
use crate::builtin::{self, native, snapshot};
use crate::cargo::Content;
use crate::diagnostic::Diagnostic;
use crate::facts::Gatherer;
use crate::manifest::Language;
use crate::rule::TOOLCHAIN;

pub(super) const ROW: Row = Row { language: Language::JavaScript, recipe };

/// The toolchain that QuickJS is a file of.
const QUICKJS: &str = "quickjs";

/// QuickJS as a dynamic library, for worlds without asynchronous functions; the smaller of two.
const LIBRARY: &str = "prebuilt/runtime-opt-size-sync.wasm";

/// Where a program is as one file.
pub(super) const BUNDLE: &str = ".run/bundle/index.js";

/// The packages that a lockfile names, among the toolchains of a step.
pub(super) const MODULES: &str = "node_modules";

fn recipe(asked: &Asked<'_>, gatherer: &mut Gatherer<'_>) -> Result<Recipe, Vec<Diagnostic>> {
    let files = gatherer.source_files(asked, &["js", "mjs", "json"])?;
    let entry = gatherer.root_file(asked, &files, "index.js")?;
    let content = files.into_iter().map(|file| (file, Content::Project)).collect();
    let modules = gatherer.node_modules(asked)?;
    let (mut steps, world) = engine(asked, gatherer)?;
    let program = load(asked, world, &entry);
    match modules {
        // The engine finds the files of a project by itself, and tells errors by their places there.
        None => {
            let tree = gatherer.mixed_tree(&content, asked)?;
            steps.push(Step { tree, produced: asked.produced.to_vec(), ..program });
        }
        Some(modules) => {
            let at = RelPath::new(BUNDLE).expect("a constant that is a path");
            let bundled = (steps.len(), at, entry.clone());
            steps.push(bundle(asked, gatherer, &content, &entry, Some(&modules))?);
            steps.push(Step { uses: vec![bundled], ..program });
        }
    }
    Ok(Recipe { steps, raw: builtin::component(), yields: Yields::Component, varying: false })
}

/// The step that makes one file of JavaScript of a program, without types. What the world imports is left for the engine to
/// find.
pub(super) fn bundle(
    asked: &Asked<'_>,
    gatherer: &mut Gatherer<'_>,
    content: &BTreeMap<RelPath, Content>,
    entry: &RelPath,
    modules: Option<&Arc<MountedTree>>,
) -> Result<Step, Vec<Diagnostic>> {
    let at = |constant: &str| RelPath::new(constant).expect("a constant that is a path");
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
        env.insert("NODE_PATH".to_owned(), Word::path(at(&format!("{TOOLCHAIN}/{MODULES}"))));
    }
    let run = StepWork::Process { program: ("esbuild", at("bin/esbuild")), args, env };
    Ok(Step {
        tree: gatherer.mixed_tree(content, asked)?,
        produced: asked.produced.to_vec(),
        toolchains,
        ..Step::new("bundle", run, vec![at(BUNDLE)])
    })
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

/// The first two steps, the engine and code of this machine for it; and the world that it was made for.
pub(super) fn engine(asked: &Asked<'_>, gatherer: &mut Gatherer<'_>) -> Result<(Vec<Step>, Tree), Vec<Diagnostic>> {
    let at = |constant: &str| RelPath::new(constant).expect("a constant that is a path");
    if let Some(other) = asked.source.engine.as_ref().filter(|engine| engine.value != QUICKJS) {
        let message = format!("this version does not build with `{}`", other.value);
        let problem = Diagnostic::error("unsupported-engine", message);
        return Err(vec![
            gatherer.placed(problem, &other.span).help("leave `engine` out: QuickJS serves `wasi:http` too"),
        ]);
    }
    let world = gatherer.world_tree(asked.world.expect("only a text form comes without a world"))?;
    let library = gatherer.toolchain_file(QUICKJS, &at(LIBRARY), &asked.source.path.span)?;
    let link = StepWork::Builtin { builtin: &builtin::QUICKJS_ENGINE, args: vec![], native: None };
    let engine = Step {
        given: vec![(None, Given::Tree(world.clone())), (Some(at(snapshot::RUNTIME)), Given::Tree(library))],
        ..Step::new("engine", link, vec![snapshot::engine_file(), builtin::component()])
    };
    let compiled = Step {
        given: vec![(Some(builtin::component()), Given::Step(0, builtin::component()))],
        ..Step::new("engine-native", StepWork::Native, vec![builtin::native_code()])
    };
    Ok((vec![engine, compiled], world))
}

/// The step that loads a program into the engine of the first two steps. The program itself is still to be given.
pub(super) fn load(asked: &Asked<'_>, world: Tree, entry: &RelPath) -> Step {
    let level = native::level_name(native::level(asked.profile));
    let args = vec![format!("level={level}"), format!("entry={entry}")];
    let load = StepWork::Builtin { builtin: &builtin::QUICKJS_SNAPSHOT, args, native: Some(1) };
    Step {
        given: vec![
            (None, Given::Tree(world)),
            (Some(snapshot::engine_file()), Given::Step(0, snapshot::engine_file())),
        ],
        ..Step::new("compile", load, vec![builtin::component()])
    }
}
