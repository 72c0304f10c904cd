//! Carries out a wiring: several components → one.

use std::collections::BTreeMap;

use wac_graph::{CompositionGraph, EncodeError, EncodeOptions, InstantiationArgumentError, NodeId, PackageId};
use wac_types::Package;

use super::compare::same_interface;
use super::interface::ExternName;
use super::validate::{self, Bodies};
use super::{StepError, causes};
use crate::diagnostic::Diagnostic;
use crate::wiring::{Argument, Instance, Wiring};

/// Joins the components of a wiring into one that exports what the root exports.
///
/// `components` holds the bytes of each target, whose functions were checked. Each is instantiated once, after those it takes
/// imports from; what nobody provides becomes an import of the whole, once for each interface. A component that the root turns out not to need, because a
/// declared import was never used, is left out.
///
/// # Errors
///
/// `not-wasm`, `not-a-component`, `bad-component`, `incompatible-interface`.
///
/// # Panics
///
/// When the wiring is not one that [`crate::wiring::wire`] made, or `components` lacks one of its targets.
pub fn compose(wiring: &Wiring, components: &BTreeMap<String, Vec<u8>>) -> Result<Vec<u8>, StepError> {
    let root = wiring.instances.last().expect("a wiring has its root");
    let mut composer = Composer::new(wiring, components)?;
    let needed = composer.needed(wiring);
    if needed.len() == 1 {
        // Nothing to join: the component itself, rather than a component around it.
        return Ok(components[&root.target].clone());
    }
    for instance in wiring.instances.iter().filter(|instance| needed.contains(&instance.target.as_str())) {
        composer.instantiate(instance)?;
    }
    composer.export_all(&root.target)?;
    let unchecked = EncodeOptions { validate: false, ..EncodeOptions::default() };
    let bytes = composer.graph.encode(unchecked).map_err(|error| encode_error(&composer.graph, &error))?;
    match validate::types_of(&bytes, Bodies::Checked) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(not_together(&error)),
    }
}

struct Composer {
    graph: CompositionGraph,
    packages: BTreeMap<String, PackageId>,
    nodes: BTreeMap<String, NodeId>,
}

impl Composer {
    fn new(wiring: &Wiring, components: &BTreeMap<String, Vec<u8>>) -> Result<Self, StepError> {
        let mut composer = Self { graph: CompositionGraph::new(), packages: BTreeMap::new(), nodes: BTreeMap::new() };
        for Instance { target, .. } in &wiring.instances {
            let bytes = components
                .get(target)
                .unwrap_or_else(|| panic!("`{target}` is in the wiring, so its component is given"));
            // The composer's own parser panics on bytes that end early.
            validate::wellformed(bytes, Bodies::Checked)?;
            let package =
                Package::from_bytes(target, None, bytes.clone(), composer.graph.types_mut()).map_err(|error| {
                    with_causes(
                        Diagnostic::error("bad-component", format!("`{target}` can't be composed")),
                        error.as_ref(),
                    )
                })?;
            let id = composer.graph.register_package(package).expect("a wiring names each target once");
            composer.packages.insert(target.clone(), id);
        }
        Ok(composer)
    }

    fn imports(&self, target: &str) -> Vec<&str> {
        let package = &self.graph[self.packages[target]];
        self.graph.types()[package.ty()].imports.keys().map(String::as_str).collect()
    }

    fn exports(&self, target: &str) -> Vec<&str> {
        let package = &self.graph[self.packages[target]];
        self.graph.types()[package.ty()].exports.keys().map(String::as_str).collect()
    }

    /// The targets the root needs by way of imports that are really there.
    fn needed<'w>(&self, wiring: &'w Wiring) -> Vec<&'w str> {
        let mut needed: Vec<&str> = wiring.instances.last().map(|root| root.target.as_str()).into_iter().collect();
        // Users come before what they use when the order is walked backwards, so one walk finds all.
        for instance in wiring.instances.iter().rev() {
            if !needed.contains(&instance.target.as_str()) {
                continue;
            }
            for argument in &instance.arguments {
                let used = exact_or_compatible(&self.imports(&instance.target), &argument.import).is_some();
                if used && !needed.contains(&argument.instance.as_str()) {
                    needed.push(&argument.instance);
                }
            }
        }
        needed
    }

    fn instantiate(&mut self, instance: &Instance) -> Result<(), StepError> {
        let node = self.graph.instantiate(self.packages[&instance.target]);
        self.nodes.insert(instance.target.clone(), node);
        for argument in &instance.arguments {
            // The compiler drops imports the program never uses.
            let Some(import) =
                exact_or_compatible(&self.imports(&instance.target), &argument.import).map(str::to_owned)
            else {
                continue;
            };
            let source = self.source(instance, argument)?;
            self.graph
                .set_instantiation_argument(node, &import, source)
                .map_err(|error| argument_error(instance, argument, &error))?;
        }
        Ok(())
    }

    /// The node of the export that an argument takes.
    fn source(&mut self, instance: &Instance, argument: &Argument) -> Result<NodeId, StepError> {
        let provider = &argument.instance;
        let Some(export) = exact_or_compatible(&self.exports(provider), &argument.export).map(str::to_owned) else {
            let message = format!(
                "`{}` needs `{}`, which `{provider}` as built does not export",
                instance.target, argument.export
            );
            return Err(Diagnostic::error("incompatible-interface", message).into());
        };
        let alias = self.graph.alias_instance_export(self.nodes[provider], &export);
        let alias = alias.expect("the instance has the export that its component has");
        let Some(item) = &argument.item else { return Ok(alias) };
        self.graph.alias_instance_export(alias, item).map_err(|error| {
            let message = format!(
                "`{}` needs the type `{item}` of `{export}`, which `{provider}` as built does not have",
                instance.target
            );
            with_causes(Diagnostic::error("incompatible-interface", message), &error).into()
        })
    }

    fn export_all(&mut self, target: &str) -> Result<(), StepError> {
        let exports: Vec<String> = self.exports(target).into_iter().map(str::to_owned).collect();
        for name in exports {
            let alias =
                self.graph.alias_instance_export(self.nodes[target], &name).expect("an export of the root's component");
            self.graph.export(alias, &name).map_err(|error| {
                StepError::from(with_causes(
                    Diagnostic::error("incompatible-interface", format!("`{name}` can't be exported")),
                    &error,
                ))
            })?;
        }
        Ok(())
    }
}

fn argument_error(instance: &Instance, argument: &Argument, error: &InstantiationArgumentError) -> StepError {
    let message = format!(
        "`{}` as built does not take `{}` from `{}`: the types differ",
        instance.target, argument.import, argument.instance
    );
    with_causes(Diagnostic::error("incompatible-interface", message), error).into()
}

fn encode_error(graph: &CompositionGraph, error: &EncodeError) -> StepError {
    let target =
        |node: NodeId| graph[node].package().map_or("another".to_owned(), |id| format!("`{}`", graph[id].name()));
    match error {
        EncodeError::ImportTypeMergeConflict { import, first, second, .. } => {
            let message = format!(
                "{} and {} both import `{import}`, with types that do not agree",
                target(*first),
                target(*second)
            );
            with_causes(Diagnostic::error("incompatible-interface", message), error)
                .help("give both the same WIT for it")
                .into()
        }
        _ => not_together(error),
    }
}

/// What is said of a composition that came out wrong.
pub(super) fn not_together(error: &(dyn std::error::Error + 'static)) -> StepError {
    let message = "these components do not make a valid one together";
    with_causes(Diagnostic::error("incompatible-interface", message), error).into()
}

fn with_causes(mut diagnostic: Diagnostic, error: &(dyn std::error::Error + 'static)) -> Diagnostic {
    diagnostic.notes = causes(error);
    diagnostic
}

/// The name meant among those there are: the same, else one at a compatible version.
fn exact_or_compatible<'a>(names: &[&'a str], wanted: &ExternName) -> Option<&'a str> {
    let exact = names.iter().find(|name| **name == wanted.as_str());
    exact.or_else(|| names.iter().find(|name| same_interface(name, wanted.as_str()))).copied()
}

#[cfg(test)]
pub(crate) mod tests;
