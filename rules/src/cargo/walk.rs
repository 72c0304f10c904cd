//! [`Walk`]: reads each manifest that cargo would, once, and knows which packages need which.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use globset::GlobBuilder;
use run_engine::path::RelPath;

use super::files::{Dir, Files, lies_in, manifest_in, resolve};
use super::manifest::{Dependency, Kind, Manifest, Origin, Written};
use crate::diagnostic::Diagnostic;

/// Reads each manifest that cargo would, once.
pub(super) struct Walk<'a> {
    files: &'a dyn Files,
    root: Dir,
    /// By directory.
    pub(super) manifests: BTreeMap<Dir, Manifest>,
    /// What is wrong with them.
    pub(super) problems: Vec<Diagnostic>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(files: &'a dyn Files, root: Dir) -> Self {
        Self { files, root, manifests: BTreeMap::new(), problems: Vec::new() }
    }

    /// Reads the package, the workspace, its members, and whatever directories these depend on, for tests too.
    pub(super) fn everything(&mut self, package: Option<&RelPath>) {
        let root = self.root.clone();
        let mut queue = VecDeque::new();
        self.visit(package.cloned(), None, &mut queue);
        self.visit(root.clone(), None, &mut queue);
        for (member, place) in self.members() {
            self.visit(member, Some((root.clone(), place)), &mut queue);
        }
        for (patch, place) in self.patch_paths() {
            self.visit(patch, Some((root.clone(), place)), &mut queue);
        }
        while let Some(dir) = queue.pop_front() {
            for (below, written) in self.path_dependencies(&dir, |_| true) {
                self.visit(below, Some((dir.clone(), written)), &mut queue);
            }
        }
    }

    /// Reads the manifest in `dir`, unless that was done before. `asked` is who named the directory, and where.
    fn visit(&mut self, dir: Dir, asked: Option<(Dir, Written)>, queue: &mut VecDeque<Dir>) {
        if self.manifests.contains_key(&dir) {
            return;
        }
        match load(self.files, dir.as_ref()) {
            Ok(manifest) => {
                self.manifests.insert(dir.clone(), manifest);
                queue.push_back(dir);
            }
            Err(mut problem) => {
                if let (Some((by, written)), true) = (asked, problem.labels.is_empty()) {
                    problem = problem.at(manifest_in(by.as_ref()).as_str(), written.span, "asked for here");
                }
                self.report(problem);
            }
        }
    }

    /// Notes a problem, once: a manifest is walked over several times.
    fn report(&mut self, problem: Diagnostic) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// The workspace's members: patterns are matched against the manifests of the project.
    fn members(&mut self) -> Vec<(Dir, Written)> {
        let Some(manifest) = self.manifests.get(&self.root) else { return Vec::new() };
        let Some(workspace) = &manifest.workspace else { return Vec::new() };
        let file = manifest.file.clone();
        let mut members = Vec::new();
        let mut problems = Vec::new();
        let excluded: Vec<Dir> =
            workspace.exclude.iter().filter_map(|w| resolve(&file, self.root.as_ref(), w).ok()).collect();
        for written in &workspace.members {
            if !written.text.contains(['*', '?', '[']) {
                match resolve(&file, self.root.as_ref(), written) {
                    Ok(dir) => members.push((dir, written.clone())),
                    Err(problem) => problems.push(problem),
                }
                continue;
            }
            match matching(self.files, self.root.as_ref(), &file, written) {
                Ok(dirs) => members.extend(dirs.into_iter().map(|dir| (dir, written.clone()))),
                Err(problem) => problems.push(problem),
            }
        }
        members.retain(|(dir, _)| !excluded.iter().any(|e| lies_in(dir.as_ref(), e.as_ref())));
        problems.into_iter().for_each(|problem| self.report(problem));
        members
    }

    /// The directories in the workspace's `[patch]` and `[replace]`.
    fn patch_paths(&mut self) -> Vec<(Dir, Written)> {
        let Some(manifest) = self.manifests.get(&self.root) else { return Vec::new() };
        let mut found = Vec::new();
        let mut problems = Vec::new();
        for written in &manifest.patches {
            match resolve(&manifest.file, self.root.as_ref(), written) {
                Ok(dir) => found.push((dir, written.clone())),
                Err(problem) => problems.push(problem),
            }
        }
        problems.into_iter().for_each(|problem| self.report(problem));
        found
    }

    pub(super) fn patches(&mut self) -> Vec<Dir> {
        self.patch_paths().into_iter().map(|(dir, _)| dir).collect()
    }

    /// The directories that the package in `dir` depends on.
    fn path_dependencies(&mut self, dir: &Dir, wanted: impl Fn(&Dependency) -> bool) -> Vec<(Dir, Written)> {
        let Some(manifest) = self.manifests.get(dir) else { return Vec::new() };
        let mut found = Vec::new();
        let mut problems = Vec::new();
        for dependency in manifest.dependencies.iter().filter(|d| wanted(d)) {
            let resolved = match &dependency.origin {
                Origin::Path(written) => resolve(&manifest.file, dir.as_ref(), written).map(|d| Some((d, written))),
                Origin::Workspace(span) => self.inherited(&manifest.file, &dependency.name, span.clone()),
            };
            match resolved {
                Ok(Some((dir, written))) => found.push((dir, written.clone())),
                Ok(None) => {}
                Err(problem) => problems.push(problem),
            }
        }
        problems.into_iter().for_each(|problem| self.report(problem));
        found
    }

    /// What `[workspace.dependencies]` says of a dependency: a directory, or nothing that matters here.
    fn inherited(
        &self,
        file: &RelPath,
        name: &str,
        span: std::ops::Range<usize>,
    ) -> Result<Option<(Dir, &Written)>, Diagnostic> {
        let root = self.manifests.get(&self.root);
        let Some(workspace) = root.and_then(|m| m.workspace.as_ref()) else {
            return Err(Diagnostic::error("bad-cargo-manifest", format!("`{name}` is inherited from no workspace"))
                .at(file.as_str(), span, "asks for the workspace's version")
                .note(
                    "no `Cargo.toml` above this one, inside the project, has a `[workspace]` this package belongs to",
                ));
        };
        let here = manifest_in(self.root.as_ref());
        match workspace.dependencies.iter().find(|d| d.name == name).map(|d| &d.origin) {
            Some(Origin::Path(written)) => resolve(&here, self.root.as_ref(), written).map(|dir| Some((dir, written))),
            Some(Origin::Workspace(_)) | None => Ok(None),
        }
    }

    /// The directories that are compiled when those in `from` are, these included.
    pub(super) fn reachable(&mut self, from: impl IntoIterator<Item = Dir>) -> BTreeSet<Dir> {
        let mut seen = BTreeSet::new();
        let mut queue: VecDeque<Dir> = from.into_iter().collect();
        while let Some(dir) = queue.pop_front() {
            if self.manifests.contains_key(&dir) && seen.insert(dir.clone()) {
                let below = self.path_dependencies(&dir, |d| d.kind == Kind::Build);
                queue.extend(below.into_iter().map(|(dir, _)| dir));
            }
        }
        seen
    }
}

pub(super) fn load(files: &dyn Files, dir: Option<&RelPath>) -> Result<Manifest, Diagnostic> {
    let file = manifest_in(dir);
    match files.read(&file) {
        Some(text) => Manifest::parse(&file, text),
        None => Err(Diagnostic::error("missing-file", format!("there is no `{file}`"))),
    }
}

/// The directories with a manifest that a member pattern matches.
fn matching(
    files: &dyn Files,
    root: Option<&RelPath>,
    file: &RelPath,
    written: &Written,
) -> Result<Vec<Dir>, Diagnostic> {
    let bad = |why: String| Diagnostic::error("bad-cargo-manifest", why).at(file.as_str(), written.span.clone(), "");
    let pattern = GlobBuilder::new(written.text.trim_start_matches("./").trim_end_matches('/'))
        .literal_separator(true)
        .build()
        .map_err(|e| bad(format!("`{}` is not a pattern: {}", written.text, e.kind())))?
        .compile_matcher();
    let manifests = files.list().iter().filter(|f| f.file_name() == "Cargo.toml");
    let dirs = manifests.filter_map(RelPath::parent).filter(|dir| match root {
        Some(root) => dir.strip_prefix(root).is_some_and(|below| pattern.is_match(below.as_str())),
        None => pattern.is_match(dir.as_str()),
    });
    Ok(dirs.map(Some).collect())
}
