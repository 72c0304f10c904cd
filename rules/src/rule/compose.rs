//! Compose: several components wired into one, by `depends`, by `[[compose]]`, or by a script. Wiring is decided here,
//! from declared interfaces, so a mismatch is told before any compiler runs.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use run_engine::action::ActionId;
use run_engine::path::RelPath;

use super::component::Checked;
use super::{SCRIPT, builtin, known, made, path};
use crate::builtin::{self as builtins, join};
use crate::diagnostic::Diagnostic;
use crate::facts::{Facts, ScriptFacts};
use crate::lower::Lowering;
use crate::manifest::{Compose, Manifest, Recipe, Spanned};
use crate::name::TargetName;
use crate::step::wit::World;
use crate::wiring::{Part, Problem, Wiring, wire};

/// The wiring of a target, with what is odd about it; `None` when there is nothing to join.
///
/// # Errors
/// Every mismatch, at the place in `run.toml` where it is to be mended.
pub fn wiring(
    manifest: &Manifest,
    facts: &Facts,
    target: &str,
) -> Result<(Option<Wiring>, Vec<Diagnostic>), Vec<Diagnostic>> {
    let parts = Parts::of(manifest, facts, target)?;
    let root = parts.part(target);
    let others: Vec<Part<'_>> = parts.depends.keys().filter(|n| **n != target).map(|n| parts.part(n)).collect();
    if others.is_empty() {
        return Ok((None, vec![]));
    }
    let told = |problem: Problem| {
        let span = depends_span(manifest, &problem.target);
        problem.diagnostic.at(&manifest.file, span, "")
    };
    match wire(&root, &others) {
        Ok(mut wiring) => {
            let warnings = std::mem::take(&mut wiring.warnings).into_iter().map(told).collect();
            let joins = wiring.instances.iter().any(|instance| !instance.arguments.is_empty());
            Ok((joins.then_some(wiring), warnings))
        }
        Err(problems) => Err(problems.into_iter().map(told).collect()),
    }
}

/// Where a target says what it depends on.
fn depends_span(manifest: &Manifest, target: &str) -> Range<usize> {
    let all = |list: &[Spanned<TargetName>], name: &Spanned<TargetName>| match (list.first(), list.last()) {
        (Some(first), Some(last)) => first.span.start..last.span.end,
        _ => name.span.clone(),
    };
    if let Some(component) = manifest.find_component(target) {
        return all(&component.depends, &component.name);
    }
    manifest.find_compose(target).map_or(0..0, |compose| all(&compose.with, &compose.name))
}

/// The components that may take part in a target, each under the name of the target that brings it in.
struct Parts<'a> {
    worlds: BTreeMap<&'a str, &'a World>,
    depends: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> Parts<'a> {
    fn of(manifest: &'a Manifest, facts: &'a Facts, target: &'a str) -> Result<Self, Vec<Diagnostic>> {
        let mut parts = Self { worlds: BTreeMap::new(), depends: BTreeMap::new() };
        let mut queue = vec![target];
        while let Some(name) = queue.pop() {
            if parts.depends.contains_key(name) {
                continue;
            }
            let Some((component, depends)) = resolve(manifest, name)? else { continue };
            parts.worlds.insert(name, &facts.components[component].world);
            queue.extend(&depends);
            parts.depends.insert(name, depends);
        }
        // Parts that are named together may use each other.
        if let Some(compose) = manifest.find_compose(target) {
            let together: Vec<&str> = compose.with.iter().map(|with| with.as_str()).collect();
            for name in &together {
                let own = parts.depends.entry(name).or_default();
                own.extend(together.iter().filter(|other| *other != name));
                own.sort_unstable();
                own.dedup();
            }
        }
        Ok(parts)
    }

    fn part(&self, name: &'a str) -> Part<'a> {
        Part { name, world: self.worlds[name], depends: self.depends[name].clone() }
    }
}

/// The component behind a target, and what the target depends on. A composition stands for its root; a command, which
/// exports nothing, for nothing.
type Resolved<'a> = Option<(&'a str, Vec<&'a str>)>;

fn resolve<'a>(manifest: &'a Manifest, name: &str) -> Result<Resolved<'a>, Vec<Diagnostic>> {
    if let Some(component) = manifest.find_component(name) {
        return Ok(Some((component.name.as_str(), component.depends.iter().map(|d| d.as_str()).collect())));
    }
    let Some(compose) = manifest.find_compose(name) else { return Ok(None) };
    match &compose.recipe {
        Recipe::Root(root) => {
            let mut depends: Vec<&str> = compose.with.iter().map(|with| with.as_str()).collect();
            let behind = resolve(manifest, root.as_str())?;
            let Some((component, own)) = behind else { return Ok(None) };
            depends.extend(own);
            Ok(Some((component, depends)))
        }
        Recipe::Script(script) => Err(vec![
            Diagnostic::error(
                "opaque-composition",
                format!("`{name}` is made by a script and can't be a part of another target"),
            )
            .at(&manifest.file, script.span.clone(), "what it exports is known only once it is built")
            .help("name the components themselves, or write the whole composition as one script"),
        ]),
    }
}

/// The component behind a target that takes part in a composition.
fn component_behind<'a>(manifest: &'a Manifest, name: &str) -> Option<&'a str> {
    resolve(manifest, name).ok().flatten().map(|(component, _)| component)
}

/// Components that were joined and are not checked yet.
pub struct Composed {
    /// The component.
    component: (ActionId, RelPath),
    /// The actions that make native code of its parts.
    natives: BTreeSet<ActionId>,
}

impl Composed {
    /// A composition of nothing but this.
    #[must_use]
    pub fn of(whole: &Checked) -> Self {
        Self { component: whole.component.clone(), natives: BTreeSet::from([whole.native]) }
    }
}

/// Adds the action that joins components by a wiring.
pub fn lower(lowering: &mut Lowering<'_>, target: &Spanned<TargetName>, wiring: &Wiring) -> Composed {
    let (mut inputs, mut natives) = (Vec::new(), BTreeSet::new());
    for instance in &wiring.instances {
        let component = component_behind(lowering.manifest, &instance.target).expect("only components are wired");
        let checked = &lowering.checked[component];
        inputs.push(made(builtins::part(&instance.target), &checked.component));
        natives.insert(checked.native);
    }
    let label = format!("{} compose", target.as_str());
    let place = lowering.place(&target.span);
    let mut action = builtin(label, place, &builtins::COMPOSE, join::arguments(wiring), inputs);
    action.outputs = vec![builtins::component()];
    Composed { component: (lowering.add(action), builtins::component()), natives }
}

/// Adds the action that joins components by a script.
pub fn lower_script(lowering: &mut Lowering<'_>, compose: &Compose, facts: &ScriptFacts) -> Composed {
    let mut inputs = vec![known(path(SCRIPT), facts.tree.clone())];
    let (mut args, mut natives) = (Vec::new(), BTreeSet::new());
    for (package, target) in &facts.packages {
        args.push(format!("package={}", package.name));
        let whole = lowering.whole_of(target);
        inputs.push(made(builtins::part(&package.name), &whole.component));
        natives.insert(whole.native);
    }
    let label = format!("{} compose", compose.name.as_str());
    let place = lowering.place(&compose.name.span);
    let mut action = builtin(label, place, &builtins::SCRIPT, args, inputs);
    action.outputs = vec![builtins::component()];
    Composed { component: (lowering.add(action), builtins::component()), natives }
}

/// Adds the check of a composed component; its interface is what its own bytes say.
pub fn check(lowering: &mut Lowering<'_>, target: &Spanned<TargetName>, composed: &Composed) -> Checked {
    let inputs = vec![made(builtins::component(), &composed.component)];
    let label = format!("{} check", target.as_str());
    let place = lowering.place(&target.span);
    let action = builtin(label, place, &builtins::VALIDATE, vec![builtins::BODIES_CHECKED.to_owned()], inputs);
    Checked::lower(lowering, action, format!("{} native", target.as_str()), &composed.natives)
}
