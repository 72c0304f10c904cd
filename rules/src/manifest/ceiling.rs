//! Whether tests are granted no more than what they test may ever be: `capabilities` are the ceiling of a component,
//! in tests as elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::Spanned;
use super::raw::{Raw, RawComponent, RawCompose, RawTest};
use crate::capability::Capability;
use crate::diagnostic::Diagnostic;

/// Reports every grant of a test that is beyond. `damaged` tables may lack what would have allowed it.
pub(super) fn judge(raw: &Raw, file: &str, damaged: &BTreeSet<usize>, problems: &mut Vec<Diagnostic>) {
    let ceilings = Ceilings::new(raw);
    for test in &raw.test {
        let Some(target) = &test.value.component else { continue };
        let (owner, capabilities) = match ceilings.of(target.as_str()) {
            Some(Ceiling::Component(component)) if damaged.contains(&component.span.start) => continue,
            Some(Ceiling::Component(component)) => (component.name.as_ref(), component.capabilities.as_slice()),
            Some(Ceiling::Nothing) => (None, &[][..]),
            None => continue,
        };
        for (grant, span) in grants(&test.value) {
            if capabilities.iter().any(|capability| capability.value.covers(&grant)) {
                continue;
            }
            let help = match owner {
                Some(owner) => format!("add `\"{grant}\"` to the `capabilities` of `{}`", owner.value),
                None => {
                    "remove it; a composition has the capabilities of its `root`, and one by a script has none".into()
                }
            };
            problems.push(
                Diagnostic::error("beyond-capabilities", format!("`{}` may not be granted `{grant}`", target.value))
                    .at(file, span, "")
                    .help(help),
            );
        }
    }
}

/// What a test gives its guest from outside, as the capabilities that takes.
fn grants(test: &RawTest) -> Vec<(Capability, Range<usize>)> {
    let allow = test.allow.iter().flat_map(|allow| &allow.value);
    let mut grants: Vec<_> = allow.map(|grant| (grant.value.clone(), grant.span.clone())).collect();
    let env = test.env.iter().filter(|env| !env.value.is_empty());
    grants.extend(env.map(|env| (Capability::Env, env.span.clone())));
    let stdin = test.stdin.iter().filter(|stdin| !stdin.value.is_empty());
    grants.extend(stdin.map(|stdin| (Capability::Stdin, stdin.span.clone())));
    let dirs = test.dirs.iter().flat_map(|dirs| &dirs.value);
    grants.extend(dirs.map(|dir| (dir.value.capability(), dir.span.clone())));
    grants
}

/// The most that a target may be granted.
enum Ceiling<'a> {
    /// What this component may.
    Component(&'a Spanned<RawComponent>),
    /// Nothing at all.
    Nothing,
}

/// Everything that has a ceiling, by its name.
struct Ceilings<'a> {
    components: BTreeMap<&'a str, &'a Spanned<RawComponent>>,
    composes: BTreeMap<&'a str, &'a RawCompose>,
}

impl<'a> Ceilings<'a> {
    fn new(raw: &'a Raw) -> Self {
        let components = raw.component.iter().filter_map(|c| Some((c.name.as_ref()?.as_str(), c))).collect();
        let composes = raw.compose.iter().filter_map(|c| Some((c.name.as_ref()?.as_str(), &c.value))).collect();
        Self { components, composes }
    }

    /// A component's own, or that of the root of a composition, however far down; `None` for what is no guest.
    fn of(&self, target: &'a str) -> Option<Ceiling<'a>> {
        let (mut name, mut seen) = (target, BTreeSet::new());
        while seen.insert(name) {
            if let Some(component) = self.components.get(name) {
                return Some(Ceiling::Component(component));
            }
            let compose = self.composes.get(name)?;
            match &compose.root {
                Some(root) => name = root.as_str(),
                None => return compose.wac.as_ref().map(|_| Ceiling::Nothing),
            }
        }
        None
    }
}
