//! C, by the compiler that Zig brings: bindings for the world, the C library once, and one call that compiles and links.

use std::collections::BTreeMap;

use run_engine::path::{RelPath, under};
use run_engine::tree::Tree;

use super::{Asked, Recipe, Row, Step, StepWork, Yields};
use crate::builtin::{self, bindings};
use crate::cargo::Content;
use crate::diagnostic::Diagnostic;
use crate::facts::Gatherer;
use crate::facts::tools::Tools;
use crate::manifest::{Interface, Language};
use crate::step::bindings::c as text;
use crate::step::interface::Shape;
use crate::zig;

pub(super) const ROW: Row = Row { language: Language::C, recipe };

fn recipe(asked: &Asked<'_>, gatherer: &mut Gatherer<'_>) -> Result<Recipe, Vec<Diagnostic>> {
    let world = asked.world.expect("only a text form comes without a world");
    let is_program = Shape::of_world(world) == Shape::Command;
    // To a plain program, the C library is all the world there is.
    let is_plain = is_program && !matches!(asked.source.interface, Interface::Wit { .. });
    let bound = if is_plain { vec![] } else { text::files(world.short_name()).to_vec() };
    let directory = gatherer.source_directory(asked)?;
    let beside = |file: &str| under(directory.as_ref(), &RelPath::new(file).expect("a plain path"));
    // The bindings of the build take the place of those that stand in the project for an editor to find.
    let made: Vec<RelPath> = bound.iter().map(|file| beside(file)).collect();
    let mut files = gatherer.source_files(asked, &["c", "h"])?;
    files.retain(|file| !made.contains(file));
    let ends = |file: &RelPath, ending: &str| file.as_str().ends_with(ending);
    let is_linked = |file: &&RelPath| ends(file, ".c") || ends(file, ".o");
    let linked: Vec<RelPath> = files.iter().chain(&made).filter(is_linked).cloned().collect();
    let toolchain = gatherer.tools.fetched(zig::NAME, &asked.source.path.span)?;

    let at = |constant: &str| RelPath::new(constant).expect("a constant that is a path");
    let libc = Step {
        name: "libc",
        tree: Tree::new(),
        produced: vec![],
        uses: vec![],
        given: vec![],
        work: StepWork::Process { program: ("base", Tools::program("sh")?), args: zig::libc(), env: BTreeMap::new() },
        outputs: vec![at(zig::LIBC_DIRECTORY)],
        toolchains: [("base", gatherer.tools.base()?), (zig::NAME, toolchain.clone())].into(),
        network: false,
    };
    let write = Step {
        name: "bindings",
        tree: gatherer.world_tree(world)?,
        produced: vec![],
        uses: vec![],
        given: vec![],
        work: StepWork::Builtin {
            builtin: &builtin::C_BINDINGS,
            args: bindings::arguments(world.short_name(), is_program),
            native: None,
        },
        outputs: bound.iter().map(|file| bindings::left(file)).collect(),
        toolchains: BTreeMap::new(),
        network: false,
    };
    let from_bindings = bound.iter().map(|file| (1, bindings::left(file), beside(file)));
    let from_libc = (0, at(zig::LIBC_DIRECTORY), at(zig::LIBC_DIRECTORY));
    let includes = directory.clone().unwrap_or_else(|| at(".run/libc"));
    let compile = Step {
        name: "compile",
        tree: gatherer.mixed_tree(&files.iter().map(|file| (file.clone(), Content::Project)).collect(), asked)?,
        produced: asked.produced.to_vec(),
        uses: [from_libc].into_iter().chain(from_bindings).collect(),
        given: vec![],
        work: StepWork::Process {
            program: (zig::NAME, at(zig::PROGRAM)),
            args: zig::cc(&linked, &includes, is_program, asked.profile),
            env: zig::no_caches().collect(),
        },
        outputs: vec![at(zig::MODULE)],
        toolchains: [(zig::NAME, toolchain)].into(),
        network: false,
    };
    let steps = if is_plain { vec![libc, compile] } else { vec![libc, write, compile] };
    Ok(Recipe { steps, raw: at(zig::MODULE), yields: Yields::CoreModule, varying: false })
}
