//! Component: a recipe's steps, then what languages share: componentize where a core module comes out, validate.

use std::collections::BTreeSet;

use run_engine::action::{Action, ActionId, Input, Network, Slot, Source, Word, Work};
use run_engine::path::RelPath;
use run_engine::tree::{Node, Tree};

use super::{TOOLCHAIN, builtin, environment, known, made, native, path, search_path, work};
use crate::builtin as builtins;
use crate::facts::ComponentFacts;
use crate::lang::{Given, Recipe, Step, StepWork, Yields};
use crate::lower::Lowering;
use crate::manifest::Component;
use crate::step::interface::Shape;

/// What a component offers once it is lowered.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The component.
    pub component: (ActionId, RelPath),
    /// Its interface as WIT text.
    pub interface: (ActionId, RelPath),
    /// The action that makes native code of it.
    pub native: ActionId,
}

/// Lowers a component by itself, without what it depends on.
///
/// `is_part` says that it is run as part of something else only.
pub fn lower(lowering: &mut Lowering<'_>, component: &Component, facts: &ComponentFacts, is_part: bool) -> Checked {
    let name = component.name.as_str();
    let place = lowering.place(&component.name.span);
    let (raw, engines) = steps(lowering, component, &facts.recipe);
    let promise = promise(lowering, facts);
    let whole = match facts.recipe.yields {
        Yields::Component | Yields::Program => raw,
        Yields::CoreModule => {
            let mut inputs = vec![made(builtins::raw(), &raw)];
            inputs.extend(promise.clone());
            let adapter = format!("adapter={}", adapter(facts.interface.shape));
            let label = format!("{name} componentize");
            let mut action = builtin(label, place.clone(), &builtins::COMPONENTIZE, vec![adapter], inputs);
            action.outputs = vec![builtins::component()];
            (lowering.add(action), builtins::component())
        }
    };
    let mut inputs = vec![made(builtins::component(), &whole)];
    inputs.extend(promise);
    let args = match facts.recipe.yields {
        Yields::Program => vec![builtins::BODIES_CHECKED.to_owned()],
        Yields::Component | Yields::CoreModule => vec![],
    };
    let action = builtin(format!("{name} validate"), place, &builtins::VALIDATE, args, inputs);
    // What is composed is run as a whole. This is what the whole is compiled from.
    let label = if is_part { format!("{name} part-native") } else { format!("{name} native") };
    Checked::lower(lowering, action, label, &engines)
}

impl Checked {
    /// Adds the check of a component, and its native code: it has parts in common with that of `others`.
    pub(super) fn lower(
        lowering: &mut Lowering<'_>,
        mut check: Action,
        label: String,
        others: &BTreeSet<ActionId>,
    ) -> Self {
        let place = check.place.clone();
        check.outputs = vec![builtins::component(), builtins::interface()];
        let checked = lowering.add(check);
        let component = (checked, builtins::component());
        let inputs = vec![made(builtins::component(), &component)];
        let native = native::action(lowering, label, place, inputs, others);
        Self { component, interface: (checked, builtins::interface()), native: lowering.add(native) }
    }
}

/// The world the built bytes are held to, as an input: in its canonical form, so that a comment in WIT rebuilds
/// nothing.
fn promise(lowering: &mut Lowering<'_>, facts: &ComponentFacts) -> Vec<Input> {
    if facts.promise.is_empty() {
        return vec![];
    }
    let digest = lowering.sources.made(&facts.promise, lowering.function);
    let mut tree = Tree::new();
    tree.insert(&builtins::world(), Node::File { digest, executable: false }).expect("a tree with one file");
    vec![Input { at: None, source: Source::Tree(tree) }]
}

const fn adapter(shape: Shape) -> &'static str {
    match shape {
        Shape::Command => "command",
        Shape::Http => "proxy",
        Shape::Library => "reactor",
    }
}

/// Adds the actions of a recipe; returns where the bytes are, and the native code that was made of its
/// interpreter.
fn steps(
    lowering: &mut Lowering<'_>,
    component: &Component,
    recipe: &Recipe,
) -> ((ActionId, RelPath), BTreeSet<ActionId>) {
    let (mut ids, mut engines) = (Vec::new(), BTreeSet::new());
    for step in &recipe.steps {
        let action = action(lowering, component, step, &ids);
        let id = lowering.add(action);
        ids.push(id);
        if matches!(step.work, StepWork::Native { is_shared: true, .. }) {
            engines.insert(id);
        }
    }
    ((*ids.last().expect("a recipe has a step"), recipe.raw.clone()), engines)
}

fn action(lowering: &Lowering<'_>, component: &Component, step: &Step, before: &[ActionId]) -> Action {
    let label = format!("{} {}", component.name.as_str(), step.name);
    let place = lowering.place(&component.name.span);
    let mut inputs = vec![known(work(), step.tree.clone())];
    for (index, from, at) in &step.uses {
        inputs.push(made(work().join(at), &(before[*index], from.clone())));
    }
    for file in &step.produced {
        let maker = lowering.maker_of(file).expect("facts checked that it is made by a target it depends on");
        inputs.push(made(work().join(file), maker));
    }
    inputs.extend(step.given.iter().map(|(at, given)| match given {
        Given::Tree(tree) => Input { at: at.clone(), source: Source::Tree(tree.clone()) },
        Given::Step(index, from) => {
            Input { at: at.clone(), source: Source::Output { action: before[*index], path: from.clone() } }
        }
    }));
    match &step.work {
        StepWork::Builtin { builtin: function, args, native: compiled } => {
            let accelerator =
                |index: &usize| (builtins::NATIVE_CODE.to_owned(), before[*index], builtins::native_code());
            let accelerators = compiled.iter().map(accelerator).collect();
            let action = builtin(label, place, function, args.clone(), inputs);
            Action { outputs: step.outputs.clone(), varying: step.varying, accelerators, ..action }
        }
        StepWork::Native { other, .. } => {
            let others = other.iter().map(|index| before[*index]).collect();
            native::action(lowering, label, place, inputs, &others)
        }
        StepWork::Process { program: (toolchain, program), args, env } => {
            for (name, tree) in &step.toolchains {
                let at = path(&format!("{TOOLCHAIN}/{name}"));
                inputs.push(Input { at: Some(at), source: Source::Mounted(tree.clone()) });
            }
            let program = path(&format!("{TOOLCHAIN}/{toolchain}")).join(program);
            let mut environment = environment(lowering, search_path(step.toolchains.keys().copied()));
            if step.network {
                // What is fetched is the same at all times.
                environment.remove("SOURCE_DATE_EPOCH");
            }
            environment.extend(env.clone());
            Action {
                label,
                place,
                work: Work::Process { argv: [Word::path(program)].into_iter().chain(args.clone()).collect() },
                env: environment,
                directory: Some(work()),
                inputs,
                outputs: step.outputs.clone(),
                platform: lowering.platform.clone(),
                timeout: None,
                network: if step.network { Network::Allowed } else { Network::Denied },
                slot: if step.network { Slot::Network } else { Slot::Cpu },
                accelerators: vec![],
                varying: step.varying,
            }
        }
    }
}
