//! [`Bindings`]: what builds write for editors. Every build but a dry one writes them before anything runs, so that they
//! are there when a compiler fails; what has not changed is not touched.
//!
//! They are outputs like others: one that is lost or edited ends "nothing to do", and is made anew. A list says which files
//! were written, so that one that is no longer wanted goes, and `clean` finds those beside sources.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use run_engine::digest::{Blob, DigestFunction};
use run_engine::files::workspace::{stays_inside, write_if_changed};
use run_engine::path::RelPath;
use run_engine::store::StoreError;
use run_engine::tree::Node;

use crate::facts::Facts;
use crate::facts::shown::DIRECTORY;
use crate::lang::Shown;
use crate::manifest::Manifest;

/// Of each component that a request covers, what is shown of it.
#[derive(Debug, Default)]
pub(super) struct Bindings(BTreeMap<String, Shown>);

/// By component and file: the digest of what was written there for it.
type Listed = BTreeMap<(String, RelPath), String>;

impl Bindings {
    /// What was gathered.
    pub(super) fn of(facts: &mut Facts) -> Self {
        let shown = |(name, facts): (&String, &mut crate::facts::ComponentFacts)| {
            (name.clone(), std::mem::take(&mut facts.recipe.shown))
        };
        Self(facts.components.iter_mut().map(shown).collect())
    }

    /// Every file, and what it is.
    pub(super) fn files(&self, function: DigestFunction) -> impl Iterator<Item = (RelPath, Node)> {
        self.0.values().flatten().map(move |(file, bytes)| {
            (file.clone(), Node::File { digest: function.digest::<Blob>(bytes), executable: false })
        })
    }

    /// Writes what is not there, and removes what was written once, is as it was written, and is not wanted: of these
    /// components, and of those that the manifest does not name.
    ///
    /// # Errors
    /// A file can't be written.
    pub(super) fn write(&self, root: &Path, manifest: &Manifest) -> Result<(), StoreError> {
        let before = listed(root);
        let entry = |name: &String, file: &RelPath, bytes: &[u8]| ((name.clone(), file.clone()), digest(bytes));
        let of = |(name, shown): (&String, &Shown)| {
            shown.iter().map(|(file, bytes)| entry(name, file, bytes)).collect::<Vec<_>>()
        };
        let wanted: Listed = self.0.iter().flat_map(of).collect();
        let is_others = |name: &str| !self.0.contains_key(name) && manifest.find_component(name).is_some();
        let is_kept = |key: &(String, RelPath)| wanted.contains_key(key) || is_others(&key.0);
        let (mut kept, stale): (Listed, Listed) = before.clone().into_iter().partition(|(key, _)| is_kept(key));
        kept.extend(wanted.clone());
        // Listed before they are there: a build that is killed leaves nothing that is not known.
        let all: Listed = stale.iter().chain(&kept).map(|(key, digest)| (key.clone(), digest.clone())).collect();
        self.list(root, &all, &before)?;
        for (file, bytes) in self.0.values().flatten() {
            write_if_changed(root, file, bytes)?;
        }
        for ((_, file), digest) in stale.iter().filter(|((_, file), _)| !kept.keys().any(|(_, other)| other == file)) {
            remove(root, file, digest);
        }
        self.list(root, &kept, &before)
    }

    fn list(&self, root: &Path, entries: &Listed, before: &Listed) -> Result<(), StoreError> {
        if entries.is_empty() && before.is_empty() {
            return Ok(());
        }
        let line = |((name, file), digest): (&(String, RelPath), &String)| format!("{name} {digest} {file}\n");
        let lines: String = entries.iter().map(line).collect();
        write_if_changed(root, &list_file(), lines.as_bytes()).map(drop)
    }
}

/// Removes what builds wrote for editors beside the sources, as far as it is as they left it. Returns what that was.
#[must_use]
pub fn remove_bindings(root: &Path) -> Vec<RelPath> {
    let private = RelPath::new(super::PRIVATE).expect("a plain name");
    let beside: BTreeMap<RelPath, String> =
        listed(root).into_iter().map(|((_, file), digest)| (file, digest)).collect();
    let removed = beside.into_iter().filter(|(file, digest)| !file.starts_with(&private) && remove(root, file, digest));
    removed.map(|(file, _)| file).collect()
}

fn list_file() -> RelPath {
    RelPath::new(DIRECTORY).and_then(|dir| dir.push("list")).expect("a constant that is a path")
}

/// What earlier builds wrote. A line that can't be read is none of theirs.
fn listed(root: &Path) -> Listed {
    let text = fs::read_to_string(root.join(list_file())).unwrap_or_default();
    let entry = |line: &str| {
        let (name, rest) = line.split_once(' ')?;
        let (digest, file) = rest.split_once(' ')?;
        Some(((name.to_owned(), RelPath::new(file).ok()?), digest.to_owned()))
    };
    text.lines().filter_map(entry).collect()
}

fn digest(bytes: &[u8]) -> String {
    DigestFunction::Blake3.digest::<Blob>(bytes).short()
}

/// Removes a file that is what was written, and the directories that are empty without it. What can't be removed hurts nobody.
fn remove(root: &Path, file: &RelPath, written: &str) -> bool {
    let place = root.join(file);
    let is_ours = fs::read(&place).is_ok_and(|bytes| digest(&bytes) == written);
    if !is_ours || stays_inside(root, file).is_err() || fs::remove_file(place).is_err() {
        return false;
    }
    let mut directory = file.parent();
    while let Some(empty) = directory.filter(|dir| fs::remove_dir(root.join(dir)).is_ok()) {
        directory = empty.parent();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest;

    const LIBRARY: &str = "[project]\nname = \"x\"\nversion = \"1.0.0\"\n[[component]]\nname = \"a\"\nsource = \"a.wat\"\n\
                           [[component]]\nname = \"b\"\nsource = \"b.wat\"\n";

    fn bindings(files: &[(&str, &str, &str)]) -> Bindings {
        let mut found = Bindings::default();
        for (name, file, text) in files {
            let shown = found.0.entry((*name).to_owned()).or_default();
            if !file.is_empty() {
                shown.insert(RelPath::new(file).unwrap(), text.as_bytes().to_vec());
            }
        }
        found
    }

    #[track_caller]
    fn check(root: &Path, bindings: &Bindings, expected: &str) {
        bindings.write(root, &manifest::check(LIBRARY, "run.toml").0.unwrap()).unwrap();
        let there = |file: &&str| root.join(file).exists();
        let all = ["src/a.zig", "src/old/a.zig", ".run/bindings/b/b.h", ".run/bindings/c/c.h"];
        assert_eq!(all.iter().filter(|file| there(file)).copied().collect::<Vec<_>>().join(" "), expected);
    }

    #[test]
    fn what_is_no_longer_wanted_goes() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let all = [("a", "src/old/a.zig", "1"), ("b", ".run/bindings/b/b.h", "2"), ("c", ".run/bindings/c/c.h", "3")];
        check(root, &bindings(&all[..2]), "src/old/a.zig .run/bindings/b/b.h");
        // Another request knows nothing of `b`, which stays.
        check(root, &bindings(&[("a", "src/a.zig", "1")]), "src/a.zig .run/bindings/b/b.h");
        assert!(!root.join("src/old").exists());
        check(root, &bindings(&[("b", "", "")]), "src/a.zig");
        // `c` is not in the manifest: the next request removes what was written for it.
        check(root, &bindings(&all[2..]), "src/a.zig .run/bindings/c/c.h");
        check(root, &bindings(&[]), "src/a.zig");
        // What somebody put in its place is theirs.
        check(root, &bindings(&[("a", "src/old/a.zig", "1")]), "src/old/a.zig");
        fs::write(root.join("src/old/a.zig"), "mine").unwrap();
        check(root, &bindings(&[("a", "src/a.zig", "1")]), "src/a.zig src/old/a.zig");
        fs::remove_file(root.join("src/old/a.zig")).unwrap();
        assert_eq!(remove_bindings(root), [RelPath::new("src/a.zig").unwrap()]);
        assert_eq!(remove_bindings(root), []);
        assert!(!root.join("src/a.zig").exists());
    }

    #[test]
    fn nothing_is_written_for_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = manifest::check(LIBRARY, "run.toml").0.unwrap();
        bindings(&[("a", "", "")]).write(dir.path(), &manifest).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
