//! What is known of a command: the files it reads, the tools it finds, which of them it runs.

use std::collections::BTreeSet;
use std::ops::Range;

use run_engine::path::RelPath;

use super::{Gatherer, Gathers};
use crate::diagnostic::Diagnostic;
use crate::facts::CommandFacts;
use crate::facts::files::Standing;
use crate::facts::tools::Tools;
use crate::manifest::Command;

impl Gatherer<'_> {
    pub(super) fn command(&mut self, command: &Command) -> Gathers<CommandFacts> {
        let depends: BTreeSet<&str> = command.depends.iter().map(|name| name.as_str()).collect();
        let mut files = self.files.matching(command.inputs.iter().map(|pattern| &pattern.value));
        for pattern in &command.inputs {
            let Ok(file) = RelPath::new(pattern.value.as_str()) else { continue };
            if pattern.value.is_literal() {
                files.extend(self.named_input(command, &file, &depends, &pattern.span)?);
            }
        }
        files.sort_unstable();
        files.dedup();
        let files = self.without_made(files, &depends, command.name.as_str(), &command.name.span)?;
        let inputs = self.tree(&files, &command.name.span)?;
        let tools = self.tools.of_command(command)?;
        let word = &command.run[0];
        let program = if word.value.contains('/') {
            None
        } else {
            let program = Tools::program(&word.value).ok();
            let Some(program) = program.filter(|program| tools.tree.find(program).is_some()) else {
                return Err(vec![
                    Diagnostic::error(
                        "unknown-tool",
                        format!("`{}` is not among the tools of this command", word.value),
                    )
                    .at(&self.manifest.file, word.span.clone(), "")
                    .help(format!("add `tools = [\"{}\"]` to take it from this machine", word.value)),
                ]);
            };
            Some(program)
        };
        Ok(CommandFacts { inputs, tools, program })
    }

    /// The files behind an input that is named, not matched: git may ignore it, and it must be there, unless a target
    /// that the command depends on makes it.
    fn named_input(
        &self,
        command: &Command,
        file: &RelPath,
        depends: &BTreeSet<&str>,
        span: &Range<usize>,
    ) -> Gathers<Vec<RelPath>> {
        match self.makers.find(file) {
            Some(maker) if maker == command.name.as_str() => Err(vec![
                Diagnostic::error("undeclared-producer", format!("`{file}` is both read and written by `{maker}`"))
                    .at(&self.manifest.file, span.clone(), "")
                    .help("write to another file: what a command reads must be there before it runs"),
            ]),
            Some(maker) if depends.contains(maker) => Ok(vec![]),
            Some(_) => self.without_made(vec![file.clone()], depends, command.name.as_str(), span),
            None => {
                self.must_exist(Some(file), span)?;
                Ok(match self.files.kind(file) {
                    Standing::Directory => self.files.below(Some(file)).cloned().collect(),
                    _ => vec![file.clone()],
                })
            }
        }
    }
}
