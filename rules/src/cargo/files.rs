//! [`Files`]: the files of a project as cargo sees them, the places its manifests name, and whose a file is.

use std::collections::BTreeSet;

use run_engine::path::{RelPath, under};

use super::manifest::Written;
use crate::diagnostic::Diagnostic;

/// The files of a project, as far as cargo is concerned.
pub trait Files {
    /// The text of a file; `None` when there is no such file, or it is not UTF-8. Files that git ignores are found too.
    fn read(&self, path: &RelPath) -> Option<String>;

    /// Every file of the project that git does not ignore, sorted.
    fn list(&self) -> &[RelPath];
}

/// A directory of the project; `None` is the project's own.
pub(super) type Dir = Option<RelPath>;

/// The paths cargo itself gives names to.
pub(super) fn path(text: &'static str) -> RelPath {
    RelPath::new(text).expect("a constant that is a path")
}

pub(super) fn manifest_in(dir: Option<&RelPath>) -> RelPath {
    under(dir, &path("Cargo.toml"))
}

pub(super) fn lies_in(dir: Option<&RelPath>, base: Option<&RelPath>) -> bool {
    match (dir, base) {
        (_, None) => true,
        (Some(dir), Some(base)) => dir.starts_with(base),
        (None, Some(_)) => false,
    }
}

/// The directory that `written` means in a manifest in `base`.
pub(super) fn resolve(file: &RelPath, base: Option<&RelPath>, written: &Written) -> Result<Dir, Diagnostic> {
    let outside = |why: &str| {
        Diagnostic::error("path-outside-project", format!("`{}` {why}", written.text))
            .at(file.as_str(), written.span.clone(), "")
            .note("an action sees the files of this project and nothing else, so that its result is the same elsewhere")
            .help("move the directory into the project, or depend on it by `version` or `git`")
    };
    if written.text.starts_with('/') {
        return Err(outside("is an absolute path"));
    }
    let text = base.map_or_else(|| written.text.clone(), |base| format!("{base}/{}", written.text));
    RelPath::normalize(&text).map_err(|_| outside("lies outside of the project"))
}

/// The project's files, by the package they belong to.
pub(super) struct Listed<'a> {
    files: &'a [RelPath],
    packages: BTreeSet<RelPath>,
}

impl<'a> Listed<'a> {
    pub(super) fn new(files: &'a dyn Files) -> Self {
        let files = files.list();
        let packages = files.iter().filter(|f| f.file_name() == "Cargo.toml").filter_map(RelPath::parent).collect();
        Self { files, packages }
    }

    /// The files of the package in `dir`: all below it, less packages inside, and what cargo and `run` write there.
    pub(super) fn own_files(&self, dir: Option<&RelPath>) -> Vec<RelPath> {
        let below = self.files.iter().filter(|file| dir.is_none_or(|dir| file.strip_prefix(dir).is_some()));
        below.filter(|file| self.owner(file).as_ref() == dir && !is_written_by_tools(file, dir)).cloned().collect()
    }

    pub(super) fn owner(&self, file: &RelPath) -> Dir {
        let mut above = file.parent();
        while let Some(dir) = above {
            if self.packages.contains(&dir) {
                return Some(dir);
            }
            above = dir.parent();
        }
        None
    }
}

fn is_written_by_tools(file: &RelPath, dir: Option<&RelPath>) -> bool {
    let below = dir.and_then(|dir| file.strip_prefix(dir)).unwrap_or_else(|| file.clone());
    let first = below.parts().next().map(str::to_owned);
    matches!(first.as_deref(), Some("target" | ".run" | ".git" | "Cargo.lock")) || below.as_str() == "run.toml"
}
