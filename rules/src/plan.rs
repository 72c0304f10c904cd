//! The requested names → the targets they need, dependencies first.

use std::collections::BTreeSet;

use crate::diagnostic::{Diagnostic, suggest};
use crate::manifest::{Manifest, Recipe};

/// The targets to lower, each after those it depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// By name. A test needs no entry: it comes with its component.
    pub targets: Vec<String>,
}

/// Plans the requested targets, or every enabled one when none is named. `scripts` gives the targets that a
/// composition's script names.
///
/// # Errors
/// Every name that is no target, with the one that was probably meant.
pub fn plan(
    manifest: &Manifest,
    requested: &[String],
    scripts: &mut dyn FnMut(&str) -> Vec<String>,
) -> Result<Plan, Vec<Diagnostic>> {
    let unknown: Vec<Diagnostic> = requested.iter().filter_map(|name| unknown(manifest, name)).collect();
    if !unknown.is_empty() {
        return Err(unknown);
    }
    let all: Vec<String> = manifest
        .targets()
        .map(|(_, name)| name.as_str().to_owned())
        .filter(|name| manifest.find_component(name).is_none_or(|component| component.enabled))
        .collect();
    let mut walk = Walk { manifest, scripts, seen: BTreeSet::new(), targets: Vec::new() };
    for name in if requested.is_empty() { &all } else { requested } {
        walk.visit(name);
    }
    Ok(Plan { targets: walk.targets })
}

/// What is wrong with a requested name, if anything is.
fn unknown(manifest: &Manifest, name: &str) -> Option<Diagnostic> {
    if manifest.find_component(name).is_some_and(|component| !component.enabled) {
        return Some(
            Diagnostic::error("disabled-target", format!("`{name}` is disabled"))
                .help(format!("remove `enabled = false` from `{name}` in {}", manifest.file)),
        );
    }
    if manifest.find_kind(name).is_some() {
        return None;
    }
    let mut diagnostic = Diagnostic::error("unknown-target", format!("no target is called `{}`", name.escape_debug()));
    let names: Vec<&str> = manifest.targets().map(|(_, name)| name.as_str()).collect();
    diagnostic = match suggest(name, names.iter().copied()) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None if names.is_empty() => diagnostic.note(format!("{} has no targets", manifest.file)),
        None => diagnostic.note(format!("the targets are `{}`", names.join("`, `"))),
    };
    Some(diagnostic)
}

struct Walk<'a> {
    manifest: &'a Manifest,
    scripts: &'a mut dyn FnMut(&str) -> Vec<String>,
    seen: BTreeSet<String>,
    targets: Vec<String>,
}

impl Walk<'_> {
    /// The manifest was checked to have no cycles; one through a script ends here and is found by whoever lowers it.
    fn visit(&mut self, name: &str) {
        if !self.seen.insert(name.to_owned()) {
            return;
        }
        let names = |list: &[crate::manifest::Spanned<crate::name::TargetName>]| {
            list.iter().map(|name| name.as_str().to_owned()).collect::<Vec<_>>()
        };
        let mut needs = Vec::new();
        if let Some(component) = self.manifest.find_component(name) {
            needs = names(&component.depends);
        } else if let Some(compose) = self.manifest.find_compose(name) {
            needs = names(&compose.with);
            match &compose.recipe {
                Recipe::Root(root) => needs.push(root.as_str().to_owned()),
                Recipe::Script(_) => needs.extend((self.scripts)(name)),
            }
        } else if let Some(command) = self.manifest.find_command(name) {
            needs = names(&command.depends);
        }
        for needed in needs {
            self.visit(&needed);
        }
        self.targets.push(name.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(requested: &[&str]) -> String {
        let text = "project = { name = 'p', version = '1.0.0' }\n\
            component = [{ name = 'a', path = 'a.wasm' }, { name = 'b', path = 'b.wasm', depends = ['a', 'gen'] },\n\
            { name = 'off', path = 'o.wasm', enabled = false }]\n\
            command = [{ name = 'gen', run = ['true'], inputs = [], outputs = ['gen.txt'] }]\n";
        let (manifest, problems) = crate::manifest::check(text, "run.toml");
        let manifest = manifest.unwrap_or_else(|| panic!("{problems:?}"));
        let requested: Vec<String> = requested.iter().map(|r| (*r).to_owned()).collect();
        match plan(&manifest, &requested, &mut |_| vec![]) {
            Ok(plan) => plan.targets.join(" "),
            Err(problems) => {
                problems.iter().map(|p| format!("{}: {}", p.message, p.helps.join(" "))).collect::<Vec<_>>().join("; ")
            }
        }
    }

    #[test]
    fn dependencies_come_first_and_disabled_targets_do_not_come_at_all() {
        assert_eq!(check(&[]), "a gen b");
        assert_eq!(check(&["a"]), "a");
        assert_eq!(check(&["off"]), "`off` is disabled: remove `enabled = false` from `off` in run.toml");
        assert_eq!(check(&["gem"]), "no target is called `gem`: did you mean `gen`?");
    }
}
