//! JavaScript, by QuickJS: the engine with the world's bindings in it, once for each world, and the program's state in it.

use run_engine::path::RelPath;
use run_engine::tree::Tree;

use super::{Asked, Given, Recipe, Row, Step, StepWork, Yields};
use crate::builtin::{self, native, snapshot};
use crate::cargo::Content;
use crate::diagnostic::Diagnostic;
use crate::facts::Gatherer;
use crate::manifest::Language;

pub(super) const ROW: Row = Row { language: Language::JavaScript, recipe };

/// The toolchain that QuickJS is a file of.
const QUICKJS: &str = "quickjs";

/// QuickJS as a dynamic library, for worlds without asynchronous functions; the smaller of two.
const LIBRARY: &str = "prebuilt/runtime-opt-size-sync.wasm";

fn recipe(asked: &Asked<'_>, gatherer: &mut Gatherer<'_>) -> Result<Recipe, Vec<Diagnostic>> {
    let files = gatherer.source_files(asked, &["js", "mjs", "json"])?;
    let entry = gatherer.root_file(asked, &files, "index.js")?;
    let tree = gatherer.mixed_tree(&files.into_iter().map(|file| (file, Content::Project)).collect(), asked)?;
    let (mut steps, world) = engine(asked, gatherer)?;
    steps.push(Step { tree, produced: asked.produced.to_vec(), ..load(asked, world, &entry) });
    Ok(Recipe { steps, raw: builtin::component(), yields: Yields::Component, varying: false })
}

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
