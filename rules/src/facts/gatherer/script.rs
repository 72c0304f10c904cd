//! What is known of a composition's script: the targets it names, and that they fit together.

use std::collections::BTreeMap;

use run_engine::path::RelPath;

use super::{Gatherer, Gathers};
use crate::diagnostic::Diagnostic;
use crate::facts::files::ProjectFiles;
use crate::facts::{Facts, ScriptFacts};
use crate::manifest::{self, Manifest, Spanned};
use crate::step::{StepError, script, stand_in};

/// The targets that a composition's script names, without any complaint: those come when facts are gathered.
#[must_use]
pub fn script_targets(manifest: &Manifest, files: &ProjectFiles, target: &str) -> Vec<String> {
    let Some(manifest::Recipe::Script(path)) = manifest.find_compose(target).map(|compose| &compose.recipe) else {
        return vec![];
    };
    let text = files.bytes(&path.value).ok().flatten().and_then(|bytes| String::from_utf8(bytes).ok());
    let packages = text.and_then(|text| script::script_packages(path.value.as_str(), &text).ok()).unwrap_or_default();
    let project = manifest.project.name.as_str();
    let named = packages.iter().filter_map(|package| package.target(project));
    named.filter(|target| manifest.find_kind(target).is_some()).map(str::to_owned).collect()
}

impl Gatherer<'_> {
    pub(super) fn script(&mut self, path: &Spanned<RelPath>) -> Gathers<(ScriptFacts, String)> {
        let bytes = self.read(&path.value, &path.span)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let packages = script::script_packages(path.value.as_str(), &text).map_err(|e| e.diagnostics)?;
        let project = self.manifest.project.name.as_str();
        let mut named = Vec::new();
        for package in packages {
            let target = package.target(project).filter(|target| self.manifest.find_kind(target).is_some());
            let Some(target) = target.map(str::to_owned) else {
                let names: Vec<&str> = self.manifest.components.iter().map(|c| c.name.as_str()).collect();
                return Err(vec![
                    Diagnostic::error("bad-wac", format!("`{}` is no target of this project", package.name))
                        .at(path.value.as_str(), package.span, "")
                        .note(format!("a target is named `{project}:TARGET`; there are `{}`", names.join("`, `"))),
                ]);
            };
            named.push((package, target));
        }
        let tree = self.tree(std::slice::from_ref(&path.value), &path.span)?;
        Ok((ScriptFacts { tree, packages: named }, text))
    }
}

/// Runs a script on stand-ins for its components, so that what does not fit is told before anything is compiled. Where a
/// part is itself a composition, what it exports is known only once it is built, and the script is checked then.
pub(super) fn check_script(file: &str, text: &str, script: &ScriptFacts, facts: &Facts) -> Result<(), StepError> {
    let mut stand_ins = BTreeMap::new();
    for (package, target) in &script.packages {
        let Some(component) = facts.components.get(target) else { return Ok(()) };
        stand_ins.insert(package.name.clone(), stand_in::component(&component.world)?);
    }
    script::compose_script(file, text, &stand_ins).map(drop)
}
