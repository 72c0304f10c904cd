//! JavaScript, by QuickJS: the engine with the world's bindings in it, and the program's state in that.

use run_engine::path::RelPath;

use super::interpreted::{self, BUNDLE};
use super::{Asked, Recipe, Row, Step, Yields};
use crate::builtin;
use crate::cargo::Content;
use crate::diagnostic::Diagnostic;
use crate::facts::Gatherer;
use crate::manifest::Language;

pub(super) const ROW: Row = Row { language: Language::JavaScript, recipe };

fn recipe(asked: &Asked<'_>, gatherer: &mut Gatherer<'_>) -> Result<Recipe, Vec<Diagnostic>> {
    let files = gatherer.source_files(asked, &["js", "mjs", "json"])?;
    let entry = gatherer.root_file(asked, &files, "index.js")?;
    let content = files.into_iter().map(|file| (file, Content::Project)).collect();
    let modules = gatherer.node_modules(asked)?;
    let library = gatherer.quickjs(asked)?;
    let (mut steps, world) = interpreted::engine(asked, gatherer, &builtin::QUICKJS_ENGINE, library)?;
    let program = interpreted::load(asked, world, &builtin::QUICKJS_SNAPSHOT, vec![format!("entry={entry}")]);
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
    let shown = interpreted::declarations(asked, gatherer, &entry);
    Ok(Recipe { steps, raw: builtin::component(), yields: Yields::Component, shown })
}
