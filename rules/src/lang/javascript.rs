//! JavaScript, by QuickJS or by StarlingMonkey: the engine with the world's bindings in it, and the program's state in that.

use run_engine::path::RelPath;

use super::interpreted::{self, BUNDLE, Engine, Interpreter, STARLINGMONKEY};
use super::{Asked, Recipe, Row, Step, Yields};
use crate::builtin;
use crate::cargo::Content;
use crate::diagnostic::Diagnostic;
use crate::facts::Gatherer;
use crate::manifest::Language;
use crate::snapshot::starlingmonkey::{self, Handler};

pub(super) const ROW: Row = Row { language: Language::JavaScript, recipe };

const QUICKJS: Interpreter =
    Interpreter { settle: &builtin::QUICKJS, link: &builtin::QUICKJS_ENGINE, load: &builtin::QUICKJS_SNAPSHOT };

fn recipe(asked: &Asked<'_>, gatherer: &mut Gatherer<'_>) -> Result<Recipe, Vec<Diagnostic>> {
    let files = gatherer.source_files(asked, &["js", "mjs", "json"])?;
    let entry = gatherer.root_file(asked, &files, "index.js")?;
    let modules = gatherer.node_modules(asked)?;
    let engine = engine(asked, gatherer, &files)?;
    let content = files.into_iter().map(|file| (file, Content::Project)).collect();
    let program = engine.load(asked, vec![format!("entry={entry}")]);
    let mut steps = engine.steps;
    match modules {
        // The engine finds the files of a project by itself, and tells errors by their places there.
        None => {
            let tree = gatherer.mixed_tree(&content, asked)?;
            steps.push(Step { tree, produced: asked.produced.to_vec(), ..program });
        }
        Some(modules) => {
            let bundle = RelPath::new(BUNDLE).expect("a constant that is a path");
            let bundled = (steps.len(), bundle, entry.clone());
            steps.push(interpreted::bundle(asked, gatherer, &content, &entry, Some(&modules))?);
            steps.push(Step { uses: vec![bundled], ..program });
        }
    }
    let shown = interpreted::declarations(asked, gatherer, &entry, engine.values);
    Ok(Recipe { steps, raw: builtin::component(), yields: Yields::Program, shown })
}

/// The engine that a component asks for, or QuickJS. `files` are the program's.
///
/// # Errors
/// It can't be had.
pub(super) fn engine(
    asked: &Asked<'_>,
    gatherer: &mut Gatherer<'_>,
    files: &[RelPath],
) -> Result<Engine, Vec<Diagnostic>> {
    let span = &asked.source.path.span;
    if is_starlingmonkey(asked) {
        let handler = handler(asked, gatherer, files)?;
        return Engine::starlingmonkey(asked, gatherer, handler);
    }
    // For worlds without asynchronous functions; the smaller of two.
    let library = RelPath::new("prebuilt/runtime-opt-size-sync.wasm").expect("a constant that is a path");
    let library = gatherer.toolchain_files("quickjs", &|file| *file == library, span)?;
    Engine::linked(asked, gatherer, &QUICKJS, &library)
}

/// Whether a component asks for StarlingMonkey.
pub(super) fn is_starlingmonkey(asked: &Asked<'_>) -> bool {
    asked.source.engine.as_ref().is_some_and(|engine| engine.value == STARLINGMONKEY)
}

/// How a program handles requests, which decides what its engine exports. A program that does it by a function has the name of
/// that somewhere in its files.
fn handler(asked: &Asked<'_>, gatherer: &Gatherer<'_>, files: &[RelPath]) -> Result<Handler, Vec<Diagnostic>> {
    const NAME: &[u8] = b"incomingHandler";
    if !asked.world.is_some_and(starlingmonkey::handles_requests) {
        return Ok(Handler::Exported);
    }
    for file in files {
        let bytes = gatherer.read(file, &asked.source.path.span)?;
        if bytes.windows(NAME.len()).any(|window| window == NAME) {
            return Ok(Handler::Exported);
        }
    }
    Ok(Handler::Events)
}
