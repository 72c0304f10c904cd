//! [`Ignored`]: whether git would ignore a file, whether it is there or not.

use std::collections::BTreeMap;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use run_engine::path::{RelPath, under};

use super::files::ProjectFiles;
use crate::cargo::Files as _;

/// The `.gitignore` files of a project, each read when it is asked for the first time.
pub(super) struct Ignored<'a> {
    files: &'a ProjectFiles,
    rules: BTreeMap<Option<RelPath>, Gitignore>,
}

impl<'a> Ignored<'a> {
    /// Those of a project.
    pub(super) fn by(files: &'a ProjectFiles) -> Self {
        Self { files, rules: BTreeMap::new() }
    }

    /// Whether one of them covers a file, or a directory above it. The nearest that says anything counts.
    pub(super) fn covers(&mut self, file: &RelPath) -> bool {
        let mut directory = file.parent();
        loop {
            let inside = directory.as_ref().map_or_else(|| Some(file.clone()), |dir| file.strip_prefix(dir));
            let inside = inside.expect("a file is below the directories above it");
            match self.rules_in(directory.as_ref()).matched_path_or_any_parents(inside.as_str(), false) {
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
                Match::None => {}
            }
            match directory {
                None => return false,
                Some(dir) => directory = dir.parent(),
            }
        }
    }

    /// What a directory's own file says; nothing where there is none, or none that can be read.
    fn rules_in(&mut self, directory: Option<&RelPath>) -> &Gitignore {
        let files = self.files;
        self.rules.entry(directory.cloned()).or_insert_with(|| {
            let file = under(directory, &RelPath::new(".gitignore").expect("a plain name"));
            let is_there = files.list().binary_search(&file).is_ok();
            let bytes = if is_there { files.bytes(&file).ok().flatten() } else { None };
            let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            let mut rules = GitignoreBuilder::new("");
            for line in text.iter().flat_map(|text| text.lines()) {
                // A line that git does not understand covers nothing.
                let _ = rules.add_line(None, line);
            }
            rules.build().unwrap_or_else(|_| Gitignore::empty())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_file_that_says_anything_counts() {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in [(".gitignore", "/imports\n*.tmp\n"), ("api/.gitignore", "bindings.*\n!keep.tmp\n")] {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let files = ProjectFiles::walk(dir.path(), &RelPath::new("target/wasm").unwrap()).unwrap();
        let mut ignored = Ignored::by(&files);
        for (file, expected) in [
            ("imports/a/b.go", true),
            ("api/imports/a.go", false),
            ("api/bindings.zig", true),
            ("api/below/bindings.zig", true),
            ("bindings.zig", false),
            ("api/x.tmp", true),
            ("api/keep.tmp", false),
        ] {
            assert_eq!(ignored.covers(&RelPath::new(file).unwrap()), expected, "{file}");
        }
    }
}
