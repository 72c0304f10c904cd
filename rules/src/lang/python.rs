//! Python, by CPython: the engine with the world's bindings in it, and the program's state in that.

use run_engine::path::RelPath;

use super::interpreted::{Engine, Interpreter};
use super::{Asked, Given, Recipe, Row, Step, Yields};
use crate::builtin::{self, snapshot};
use crate::cargo::Content;
use crate::diagnostic::Diagnostic;
use crate::facts::Gatherer;
use crate::manifest::Language;
use crate::snapshot::python;

pub(super) const ROW: Row = Row { language: Language::Python, recipe };

const PYTHON: Interpreter =
    Interpreter { settle: &builtin::PYTHON, link: &builtin::PYTHON_ENGINE, load: &builtin::PYTHON_SNAPSHOT };

/// The toolchain whose files are CPython, built for this.
const CPYTHON: &str = "componentize-py";

fn recipe(asked: &Asked<'_>, gatherer: &mut Gatherer<'_>) -> Result<Recipe, Vec<Diagnostic>> {
    let span = &asked.source.path.span;
    let mut files = gatherer.source_files(asked, &["py"])?;
    // What Python itself has compiled here says nothing new, and differs from machine to machine.
    files.retain(|file| !file.parts().any(|part| part == "__pycache__"));
    let installed = environments(&files);
    // What is installed for an editor is not what is built with: that comes by the lockfile.
    files.retain(|file| !installed.iter().any(|directory| file.starts_with(directory)));
    let entry = gatherer.root_file(asked, &files, "app.py")?;
    let directory = gatherer.source_directory(asked)?;
    let module = entry.file_name().strip_suffix(".py").unwrap_or(entry.file_name()).to_owned();
    // First, since what is wrong with them is told sooner than an interpreter is fetched.
    let packages = gatherer.site_packages(asked)?;
    let libraries = gatherer.toolchain_files(CPYTHON, &|file| file.as_str().ends_with(".zst"), span)?;
    let modules = gatherer.toolchain_files(CPYTHON, &|file| file.as_str().ends_with(".tar.zst"), span)?;
    let mut engine = Engine::linked(asked, gatherer, &PYTHON, &libraries)?;
    engine.leaves(snapshot::library_file());
    let root = directory.as_ref().map_or("", RelPath::as_str);
    let args = vec![format!("root={root}"), format!("module={module}")];
    let mut program = engine.load(asked, args);
    let mut steps = engine.steps;
    let at = |constant: &str| RelPath::new(constant).expect("a constant that is a path");
    program.given.push((Some(at(snapshot::RUNTIME)), Given::Tree(modules)));
    if let Some(packages) = packages {
        program.given.push((Some(at(snapshot::SITE)), Given::Tree(packages)));
    }
    let tree = gatherer.mixed_tree(&files.into_iter().map(|file| (file, Content::Project)).collect(), asked)?;
    steps.push(Step { tree, produced: asked.produced.to_vec(), ..program });
    let bound = asked.world.expect("only a text form comes without a world");
    let shown = gatherer.shown(asked, python::editor_modules(bound));
    Ok(Recipe { steps, raw: builtin::component(), yields: Yields::Program, shown })
}

/// The directories that are virtual environments of this machine's Python.
fn environments(files: &[RelPath]) -> Vec<RelPath> {
    files.iter().filter(|file| file.file_name() == "pyvenv.cfg").filter_map(RelPath::parent).collect()
}
