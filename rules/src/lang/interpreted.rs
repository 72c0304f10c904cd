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
use crate::step::bindings::typescript;

/// The first two steps, the engine and code of this machine for it; and the world that it was made for.
///
/// # Errors
/// The interpreter can't be had.
pub(super) fn engine(
    asked: &Asked<'_>,
    gatherer: &mut Gatherer<'_>,
    link: &'static Builtin,
    libraries: Tree,
) -> Result<(Vec<Step>, Tree), Vec<Diagnostic>> {
    let world = gatherer.world_tree(asked.world.expect("only a text form comes without a world"))?;
    let link = StepWork::Builtin { builtin: link, args: vec![], native: None };
    let engine = Step {
        given: vec![(None, Given::Tree(world.clone())), (Some(path(snapshot::RUNTIME)), Given::Tree(libraries))],
        ..Step::new("engine", link, vec![snapshot::engine_file(), builtin::component()])
    };
    let compiled = Step {
        given: vec![(Some(builtin::component()), Given::Step(0, builtin::component()))],
        // The compiler asks for one function by several digests; the code itself is always the same.
        varying: true,
        ..Step::new("engine-native", StepWork::Native, vec![builtin::native_code(), builtin::functions()])
    };
    Ok((vec![engine, compiled], world))
}

/// The step that loads a program into the engine of the first two steps. The program itself is still to be given.
pub(super) fn load(asked: &Asked<'_>, world: Tree, load: &'static Builtin, mut args: Vec<String>) -> Step {
    args.push(format!("level={}", native::level_name(native::level(asked.profile))));
    let load = StepWork::Builtin { builtin: load, args, native: Some(1) };
    Step {
        given: vec![
            (None, Given::Tree(world)),
            (Some(snapshot::engine_file()), Given::Step(0, snapshot::engine_file())),
        ],
        ..Step::new("compile", load, vec![builtin::component()])
    }
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
pub(super) fn declarations(asked: &Asked<'_>, gatherer: &Gatherer<'_>, entry: &RelPath) -> Shown {
    let world = asked.world.expect("only a text form comes without a world");
    let up = "../".repeat(shown::directory(asked).parts().count());
    gatherer.shown(asked, typescript::generate(world, world.short_name(), &format!("{up}{entry}")))
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
