//! Rust, by cargo: the package's layers become steps.

use std::collections::BTreeMap;

use run_engine::action::{Part, Word};
use run_engine::path::RelPath;

use super::{Asked, Recipe, Row, Shown, Step, StepWork, Yields};
use crate::cargo::{self, HostCompiler, Layer, Profile as CargoProfile, WasmTarget};
use crate::diagnostic::Diagnostic;
use crate::facts::Gatherer;
use crate::facts::tools::Tools;
use crate::manifest::{Language, Profile};

pub(super) const ROW: Row = Row { language: Language::Rust, recipe };

fn recipe(asked: &Asked<'_>, gatherer: &mut Gatherer<'_>) -> Result<Recipe, Vec<Diagnostic>> {
    let package = gatherer.cargo_package(asked)?;
    let profile = match asked.profile {
        Profile::Release => CargoProfile::Release,
        Profile::Debug => CargoProfile::Debug,
    };
    let target = WasmTarget::from(asked.source.rust_target);
    let yields = if target == WasmTarget::Wasip2 { Yields::Component } else { Yields::CoreModule };
    let features: Vec<String> = asked.source.features.iter().map(|f| f.value.clone()).collect();
    let extra = gatherer.wit_files(asked.source);
    let layers = cargo::plan(&package, profile, target, &features, &extra);
    let names: Vec<_> = layers.iter().map(|layer| layer.name).collect();
    let mut steps = Vec::new();
    for layer in layers {
        let uses = layer
            .uses
            .iter()
            .map(|used| {
                let step = names.iter().position(|name| *name == used.layer).expect("layers use earlier layers");
                (step, used.path.clone(), used.at.clone())
            })
            .collect();
        steps.push(step(asked, gatherer, target, layer, uses)?);
    }
    let raw = RelPath::new(cargo::layers::COMPONENT).expect("a constant that is a path");
    Ok(Recipe { steps, raw, yields, shown: Shown::new() })
}

fn step(
    asked: &Asked<'_>,
    gatherer: &mut Gatherer<'_>,
    target: WasmTarget,
    layer: Layer,
    uses: Vec<(usize, RelPath, RelPath)>,
) -> Result<Step, Vec<Diagnostic>> {
    let tree = gatherer.mixed_tree(&layer.tree, asked)?;
    // What another target makes is there wherever the crate it belongs to is real.
    let in_real = |path: &RelPath| layer.real.iter().any(|dir| dir.as_ref().is_none_or(|dir| path.starts_with(dir)));
    let produced = asked.produced.iter().filter(|path| in_real(path)).cloned().collect();
    // Rust first: of two things that are missing, it is the one that tells more.
    let rust = gatherer.tools.rust(target, &asked.source.path.span)?;
    let mut toolchains = BTreeMap::from([("rust", rust), ("base", gatherer.tools.base()?)]);
    if let Some(cc) = match layer.host_compiler {
        HostCompiler::Unneeded => None,
        HostCompiler::Perhaps => gatherer.tools.cc().ok(),
        HostCompiler::Needed => Some(gatherer.tools.cc()?),
    } {
        toolchains.insert("cc", cc);
    }
    let mut words = layer.argv.into_iter();
    let shell = words.next().expect("a layer runs something");
    let mut env: BTreeMap<String, Word> =
        layer.env.into_iter().map(|(name, value)| (name.to_owned(), Word::new(vec![Part::Text(value)]))).collect();
    if asked.reproducible && !layer.network {
        // Panic messages and debug information then name files from the project's directory on, and nothing above it.
        env.insert("RUN_SHOWN".to_owned(), ".".into());
    }
    let program = ("base", Tools::program(&shell)?);
    let work = StepWork::Process { program, args: words.map(Word::from).collect(), env };
    let step = Step::new(layer.name.as_str(), work, vec![layer.output]);
    Ok(Step { tree, produced, uses, toolchains, network: layer.network, ..step })
}
