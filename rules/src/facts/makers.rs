//! [`Makers`]: which target writes which file of the project.

use std::collections::BTreeMap;

use run_engine::path::RelPath;

use crate::manifest::{Command, Manifest, TargetKind};

/// Who writes which file of the project.
pub(super) struct Makers(BTreeMap<RelPath, String>);

impl Makers {
    /// Every output of every command, and the file of every component.
    pub(super) fn of(manifest: &Manifest) -> Self {
        let outputs = |command: &Command| -> Vec<_> {
            command.outputs.iter().map(|output| (output.value.clone(), command.name.as_str().to_owned())).collect()
        };
        let mut makers: BTreeMap<RelPath, String> = manifest.commands.iter().flat_map(outputs).collect();
        for (_, name) in manifest.targets().filter(|(kind, _)| *kind != TargetKind::Command) {
            for file in [format!("{}.wasm", name.as_str()), format!("debug/{}.wasm", name.as_str())] {
                makers.extend(manifest.build.output_dir.push(&file).ok().map(|file| (file, name.as_str().to_owned())));
            }
        }
        Self(makers)
    }

    /// The target that writes a file, or a directory above it. There is at most one: the manifest was checked to have
    /// no output inside another.
    pub(super) fn find(&self, file: &RelPath) -> Option<&str> {
        let above = std::iter::successors(file.parent(), RelPath::parent);
        self.0.get(file).or_else(|| above.into_iter().find_map(|dir| self.0.get(&dir))).map(String::as_str)
    }
}
