//! [`Selection`]: the actions behind what was asked for.

use std::collections::HashSet;

use run_engine::action::ActionId;
use run_engine::graph::Export;
use run_engine::path::RelPath;

use super::{Ask, Goal, Session};
use crate::diagnostic::{Diagnostic, suggest};
use crate::manifest::{Manifest, TargetKind};
use crate::target::{Target, TestTarget};

/// The parts of a target that can be asked for by `NAME:PART`.
pub const PARTS: &[&str] = &["native", "package", "wit"];

/// The actions behind a request.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// What must be up to date.
    pub wanted: Vec<ActionId>,
    /// What is written into the project.
    pub exports: Vec<Export>,
    /// The tests among them.
    pub tests: Vec<TestTarget>,
    /// The targets that were asked for, as indices of [`Session::targets`].
    pub targets: Vec<usize>,
}

impl Session {
    /// The actions behind what was asked for.
    ///
    /// # Errors
    /// A part that no target has.
    pub fn select(&self) -> Result<Selection, Diagnostic> {
        let mut selection = Selection::default();
        if self.options.ask.targets.is_empty() || !self.filters.is_empty() {
            for index in 0..self.lowered.targets.len() {
                self.choose(index, "", &mut selection)?;
            }
        } else {
            for asked in &self.options.ask.targets {
                let (name, part) = split(asked);
                let is_it = |target: &Target| target.name == name;
                let index = self.lowered.targets.iter().position(is_it).expect("what was asked for was planned");
                self.choose(index, part, &mut selection)?;
            }
        }
        selection.wanted.sort_unstable();
        selection.wanted.dedup();
        // What a command writes is part of the project: it is written whenever the command is part of the build.
        let needed: HashSet<ActionId> = self.graph().closure(&selection.wanted).into_iter().collect();
        for target in self.lowered.targets.iter().filter(|t| t.kind == TargetKind::Command) {
            let written = target.exports.iter().filter(|export| needed.contains(&export.action));
            selection.exports.extend(written.cloned());
        }
        selection.exports.sort_by(|a, b| a.to.cmp(&b.to));
        selection.exports.dedup();
        Ok(selection)
    }

    /// Adds a target, or a part of it.
    fn choose(&self, index: usize, part: &str, selection: &mut Selection) -> Result<(), Diagnostic> {
        let target = &self.lowered.targets[index];
        selection.targets.push(index);
        let mut export = |action: ActionId, output: &RelPath, ending: &str| {
            let to = self.manifest.build.output_dir.push(&format!("{}{ending}", target.name)).expect("a plain name");
            selection.wanted.push(action);
            selection.exports.push(Export { action, output: output.clone(), to });
        };
        match (part, self.options.ask.goal) {
            ("", Goal::Outputs) => {
                selection.wanted.extend(&target.outputs);
                selection.exports.extend(target.exports.clone());
            }
            ("", Goal::Native) => {
                selection.wanted.extend(&target.outputs);
                selection.wanted.extend(target.native.iter().map(|(id, _)| *id));
                selection.exports.extend(target.exports.clone());
            }
            ("", Goal::Tests) => {
                let is_named = self.filters.is_empty() || self.options.ask.targets.contains(&target.name);
                let fits = |test: &&TestTarget| is_named || self.filters.iter().any(|part| test.name.contains(part));
                let tests: Vec<TestTarget> = target.tests.iter().filter(fits).cloned().collect();
                selection.wanted.extend(tests.iter().map(|test| test.action));
                selection.tests.extend(tests);
            }
            // It is of use where the store is, to whatever runs the target.
            ("native", _) if let Some((id, _)) = &target.native => selection.wanted.push(*id),
            ("wit", _) if let Some((id, output)) = &target.interface => export(*id, output, ".wit"),
            ("package", _) if let Some(id) = target.package => {
                let ending = format!("-{}.tar.zst", self.manifest.project.version);
                export(id, &crate::builtin::archive_file(), &ending);
            }
            (part, _) => return Err(no_such_part(target, part)),
        }
        Ok(())
    }
}

/// The targets that are named. Where tests are asked for, a name that is no target's is a part of a test's name, and
/// then every target's tests are looked through.
pub(super) fn names_and_filters(ask: &Ask, manifest: &Manifest) -> (Vec<String>, Vec<String>) {
    let mut names: Vec<String> = ask.targets.iter().map(|t| split(t).0.to_owned()).collect();
    if ask.goal != Goal::Tests {
        return (names, vec![]);
    }
    let mut filters = ask.targets.clone();
    filters.retain(|name| manifest.find_kind(name).is_none());
    if !filters.is_empty() {
        names.clear();
    }
    (names, filters)
}

/// Splits `NAME:PART`.
fn split(asked: &str) -> (&str, &str) {
    asked.split_once(':').unwrap_or((asked, ""))
}

fn no_such_part(target: &Target, part: &str) -> Diagnostic {
    let name = &target.name;
    let diagnostic = Diagnostic::error("unknown-target", format!("`{name}` has no part `{}`", part.escape_debug()));
    match suggest(part, PARTS.iter().copied()) {
        Some(near) if target.component.is_some() => diagnostic.help(format!("did you mean `{name}:{near}`?")),
        _ if target.component.is_some() => diagnostic.note(format!("its parts are `{}`", PARTS.join("`, `"))),
        _ => diagnostic.note("only components have parts"),
    }
}
