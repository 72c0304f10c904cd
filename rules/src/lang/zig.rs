//! Zig: bindings for the world, and one compilation. What is no program needs no system, and imports nothing it doesn't use.

use run_engine::path::{RelPath, under};

use super::{Asked, Recipe, Row, Step, StepWork, Yields};
use crate::builtin::{self, bindings};
use crate::cargo::Content;
use crate::diagnostic::Diagnostic;
use crate::facts::Gatherer;
use crate::facts::tools::Tools;
use crate::manifest::Language;
use crate::step::bindings::zig as text;
use crate::step::interface::Shape;
use crate::zig::{self, Target};

pub(super) const ROW: Row = Row { language: Language::Zig, recipe };

fn recipe(asked: &Asked<'_>, gatherer: &mut Gatherer<'_>) -> Result<Recipe, Vec<Diagnostic>> {
    let world = asked.world.expect("only a text form comes without a world");
    gatherer.check_bindings(asked, "Zig")?;
    let is_program = Shape::of_world(world) == Shape::Command;
    let directory = gatherer.source_directory(asked)?;
    let beside = |file: &str| under(directory.as_ref(), &RelPath::new(file).expect("a plain path"));
    // The bindings of the build take the place of those that stand in the project for an editor to find.
    let made: Vec<RelPath> = text::files().map(beside).collect();
    let mut files = gatherer.source_files(asked, &["zig"])?;
    files.retain(|file| !made.contains(file));
    let main = gatherer.root_file(asked, &files, "main.zig")?;
    let target = if is_program { Target::Wasi } else { Target::Freestanding };
    let toolchain = gatherer.tools.fetched(zig::NAME, &asked.source.path.span)?;

    let mut args = bindings::arguments(world.short_name(), is_program);
    args.push(format!("main={}", main.file_name()));
    let write = StepWork::Builtin { builtin: &builtin::ZIG_BINDINGS, args, native: None };
    let write = Step {
        tree: gatherer.world_tree(world)?,
        ..Step::new("bindings", write, text::files().map(bindings::left).collect())
    };
    let at = |constant: &str| RelPath::new(constant).expect("a constant that is a path");
    let (base, sh) = (gatherer.tools.base()?, Tools::program("sh")?);
    let sh = |args| StepWork::Process { program: ("base", sh.clone()), args, env: [].into() };
    let std = Step {
        toolchains: [("base", base.clone()), (zig::NAME, toolchain.clone())].into(),
        varying: true,
        ..Step::new("std", sh(zig::std(target)), vec![at(zig::STD_DIRECTORY)])
    };
    let from_bindings = text::files().map(|file| (0, bindings::left(file), beside(file)));
    let from_std = (1, at(zig::STD_DIRECTORY), at(zig::STD_DIRECTORY));
    let compile = sh(zig::compile(&beside(text::ROOT), target, asked.profile));
    let compile = Step {
        tree: gatherer.mixed_tree(&files.into_iter().map(|file| (file, Content::Project)).collect(), asked)?,
        produced: asked.produced.to_vec(),
        uses: from_bindings.chain([from_std]).collect(),
        toolchains: [("base", base), (zig::NAME, toolchain)].into(),
        ..Step::new("compile", compile, vec![at(zig::MODULE)])
    };
    let steps = vec![write, std, compile];
    let written = text::generate(world, world.short_name(), main.file_name(), is_program);
    // Zig imports a file by where it stands.
    let shown = gatherer.shown_beside(asked, directory.as_ref(), written);
    Ok(Recipe { steps, raw: at(zig::MODULE), yields: Yields::CoreModule, shown })
}
