//! C, by the compiler that Zig brings: bindings for the world, the C library once, and one call that compiles and links.

use run_engine::path::{RelPath, under};

use super::{Asked, Recipe, Row, Shown, Step, StepWork, Yields};
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
    gatherer.check_bindings(asked, "C")?;
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
    let toolchain = gatherer.tools.fetched(zig::NAME, &asked.source.path.span)?;

    let at = |constant: &str| RelPath::new(constant).expect("a constant that is a path");
    let left = |file: &String| bindings::left(file);
    let cc = |args| StepWork::Process { program: (zig::NAME, at(zig::PROGRAM)), args, env: zig::no_caches().collect() };
    let make = StepWork::Process { program: ("base", Tools::program("sh")?), args: zig::libc(), env: [].into() };
    let mut steps = vec![Step {
        toolchains: [("base", gatherer.tools.base()?), (zig::NAME, toolchain.clone())].into(),
        ..Step::new("libc", make, vec![at(zig::LIBC_DIRECTORY)])
    }];
    let mut uses = vec![(0, at(zig::LIBC_DIRECTORY), at(zig::LIBC_DIRECTORY))];
    let is_c = |file: &&RelPath| file.as_str().ends_with(".c");
    let mut linked: Vec<RelPath> = files.iter().chain(asked.produced).filter(is_c).cloned().collect();
    if let [header, source, object] = &bound[..] {
        let args = bindings::arguments(world.short_name(), is_program);
        let write = StepWork::Builtin { builtin: &builtin::C_BINDINGS, args, native: None };
        steps.push(Step {
            tree: gatherer.world_tree(world)?,
            ..Step::new("bindings", write, bound.iter().map(left).collect())
        });
        // They are more than most programs, and change with the world only.
        let glue = cc(zig::object(&left(source), asked.profile));
        steps.push(Step {
            uses: [header, source].map(|file| (1, left(file), left(file))).to_vec(),
            toolchains: [(zig::NAME, toolchain.clone())].into(),
            ..Step::new("glue", glue, vec![at(zig::OBJECT)])
        });
        let (compiled, world) = (at(".run/bindings/bindings.o"), at(".run/bindings/world.o"));
        uses.push((1, left(header), beside(header)));
        uses.push((1, left(object), world.clone()));
        uses.push((2, at(zig::OBJECT), compiled.clone()));
        linked.extend([compiled, world]);
    }
    let compile = cc(zig::cc(&linked, directory.as_ref(), is_program, asked.profile));
    steps.push(Step {
        tree: gatherer.mixed_tree(&files.into_iter().map(|file| (file, Content::Project)).collect(), asked)?,
        produced: asked.produced.to_vec(),
        uses,
        toolchains: [(zig::NAME, toolchain)].into(),
        ..Step::new("compile", compile, vec![at(zig::MODULE)])
    });
    let shown = match bound.first() {
        Some(header) => {
            let written = text::generate(world, world.short_name(), is_program);
            // Editors don't look into the others.
            gatherer.shown(asked, written.map(|files| files.into_iter().filter(|(file, _)| file == header).collect()))
        }
        None => Shown::new(),
    };
    Ok(Recipe { steps, raw: at(zig::MODULE), yields: Yields::CoreModule, shown })
}
