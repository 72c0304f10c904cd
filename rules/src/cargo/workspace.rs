//! Finds the package behind a component's `source`, its workspace, and the crates of this project it is made of.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use globset::GlobBuilder;
use run_engine::path::{RelPath, under};

use super::manifest::{BuildScript, Dependency, Kind, Manifest, Origin, Package, Written};
use crate::diagnostic::Diagnostic;

/// The files of a project, as far as cargo is concerned.
pub trait Files {
    /// The text of a file; `None` when there is no such file, or it is not UTF-8. Files that git ignores are found too.
    fn read(&self, path: &RelPath) -> Option<String>;

    /// Every file of the project that git does not ignore, sorted.
    fn list(&self) -> &[RelPath];
}

/// One package of a cargo workspace, with everything of this project it is compiled from.
#[derive(Debug, Clone)]
pub struct CargoPackage {
    /// The package itself.
    pub package: PathCrate,
    /// What is built of it.
    pub target: Target,
    /// The directory of the workspace, or of the package where it has none; `None` is the project's own directory.
    pub root: Option<RelPath>,
    /// The lockfile.
    pub lockfile: RelPath,
    /// `.cargo/config.toml` of the workspace and of the directories above it, from the outside in.
    pub config: Vec<RelPath>,
    /// The files of directories that this configuration names as sources of external packages: those are of the project.
    pub vendored: Vec<RelPath>,
    /// The path dependencies, direct and indirect, sorted by directory. Those only tests use are not among them.
    pub path_deps: Vec<PathCrate>,
    /// The other manifests cargo asks to see: a workspace without a package, members that are not built, what only
    /// tests use.
    pub bystanders: Vec<StandIn>,
    /// Whether the lockfile names packages that are not of this project.
    pub external: bool,
}

/// A crate of this project that is compiled.
#[derive(Debug, Clone)]
pub struct PathCrate {
    /// Its name, shape and manifest.
    pub stand_in: StandIn,
    /// All its files but those that git ignores, and those of packages inside its directory.
    pub files: Vec<RelPath>,
    /// Whether it stands in for an external package, by `[patch]` or `[replace]`: external packages are then compiled
    /// against it, so it is needed, whole, before they are.
    pub patched: bool,
}

/// What has to be known of a manifest to make a stand-in for its package.
#[derive(Debug, Clone)]
pub struct StandIn {
    /// The package's name; empty when the manifest has only a workspace.
    pub name: String,
    /// The directory of the manifest; `None` is the project's own.
    pub dir: Option<RelPath>,
    /// The manifest's text.
    pub manifest: String,
    /// What cargo would compile of it.
    pub shape: Shape,
}

/// Which kinds of crates a package holds: what a stand-in must have for cargo to treat the packages around it as it
/// would around the real one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// Its library.
    pub lib: Option<Lib>,
    /// The binary that is built, if one is.
    pub bin: Option<String>,
    /// Whether it has a build script.
    pub build_script: bool,
}

/// A library crate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lib {
    /// Its name, where the manifest gives one.
    pub name: Option<String>,
    /// Its crate types, where the manifest gives some.
    pub crate_types: Vec<String>,
    /// Whether it is a procedural macro, compiled for the machine that builds.
    pub proc_macro: bool,
}

/// The crate that becomes the component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A library with `crate-type = ["cdylib"]`.
    Cdylib {
        /// The crate's name: the package's with `_` for `-`, or that of `[lib]`.
        name: String,
    },
    /// A binary.
    Bin {
        /// Its name.
        name: String,
    },
}

impl Target {
    /// The file cargo writes.
    #[must_use]
    pub fn file_name(&self) -> String {
        let (Self::Cdylib { name } | Self::Bin { name }) = self;
        format!("{name}.wasm")
    }
}

impl CargoPackage {
    /// The package and its path dependencies.
    pub fn crates(&self) -> impl Iterator<Item = &PathCrate> {
        self.path_deps.iter().chain([&self.package])
    }
}

impl Shape {
    /// Whether something in it runs on the machine that builds: a build script or a procedural macro.
    #[must_use]
    pub fn runs_on_host(&self) -> bool {
        self.build_script || self.lib.as_ref().is_some_and(|lib| lib.proc_macro)
    }
}

impl StandIn {
    /// Where the manifest is.
    #[must_use]
    pub fn manifest_path(&self) -> RelPath {
        manifest_in(self.dir.as_ref())
    }
}

/// Finds the package whose directory, or a file of which, is `source` (`None`: the project's own directory).
///
/// # Errors
/// Everything that is wrong with the manifests that cargo would read.
pub fn find(files: &dyn Files, source: Option<&RelPath>) -> Result<CargoPackage, Vec<Diagnostic>> {
    let dir = package_dir(files, source).map_err(|e| vec![e])?;
    let manifest = load(files, dir.as_ref()).map_err(|e| vec![e])?;
    let root = workspace_root(files, dir.as_ref(), &manifest).map_err(|e| vec![e])?;
    let mut walk = Walk::new(files, root.clone());
    walk.everything(dir.as_ref());
    let built = walk.reachable([dir.clone()]);
    let patches = walk.patches();
    let patched = walk.reachable(patches);
    let target = walk.manifests.get(&dir).map(|m| target(files, m));
    let mut problems = walk.problems;
    let lockfile = under(root.as_ref(), &path("Cargo.lock"));
    let lock = read_lock(files, &lockfile, root.as_ref()).map_err(|e| problems.push(e)).ok();
    let target = target.and_then(|t| t.map_err(|e| problems.push(e)).ok());
    let (Some(target), Some(external), true) = (target, lock, problems.is_empty()) else {
        return Err(problems);
    };

    let listed = Listed::new(files);
    let config = config_files(files, root.as_ref());
    let stand_in = |package: &Dir| stand_in(files, &walk.manifests[package], (*package == dir).then_some(&target));
    let path_crate = |dir: &Dir| PathCrate {
        stand_in: stand_in(dir),
        files: listed.own_files(dir.as_ref()),
        patched: patched.contains(dir),
    };
    let compiled = |dir: &Dir| built.contains(dir) || patched.contains(dir);
    Ok(CargoPackage {
        package: path_crate(&dir),
        target: target.clone(),
        vendored: vendored(files, &config).map_err(|e| vec![e])?,
        config,
        path_deps: walk.manifests.keys().filter(|d| **d != dir && compiled(d)).map(path_crate).collect(),
        bystanders: walk.manifests.keys().filter(|d| **d != dir && !compiled(d)).map(stand_in).collect(),
        root,
        lockfile,
        external,
    })
}

/// A directory of the project; `None` is the project's own.
type Dir = Option<RelPath>;

/// The paths cargo itself gives names to.
fn path(text: &'static str) -> RelPath {
    RelPath::new(text).expect("a constant that is a path")
}

fn manifest_in(dir: Option<&RelPath>) -> RelPath {
    under(dir, &path("Cargo.toml"))
}

/// The nearest directory at or above `source` that has a manifest.
fn package_dir(files: &dyn Files, source: Option<&RelPath>) -> Result<Dir, Diagnostic> {
    let mut dir = source.cloned();
    loop {
        if files.read(&manifest_in(dir.as_ref())).is_some() {
            return Ok(dir);
        }
        let Some(here) = dir else {
            let source = source.map_or_else(|| ".".to_owned(), ToString::to_string);
            return Err(Diagnostic::error("missing-file", format!("no `Cargo.toml` at or above `{source}`"))
                .help("make one with `cargo init --lib`, or name another `source` or `language`"));
        };
        dir = here.parent();
    }
}

fn load(files: &dyn Files, dir: Option<&RelPath>) -> Result<Manifest, Diagnostic> {
    let file = manifest_in(dir);
    match files.read(&file) {
        Some(text) => Manifest::parse(&file, text),
        None => Err(Diagnostic::error("missing-file", format!("there is no `{file}`"))),
    }
}

/// Where the workspace of a package is: what it says itself, or the nearest manifest above that has a `[workspace]` and
/// does not exclude it, or the package.
fn workspace_root(files: &dyn Files, dir: Option<&RelPath>, manifest: &Manifest) -> Result<Dir, Diagnostic> {
    let Some(package) = &manifest.package else {
        return Err(Diagnostic::error("bad-cargo-manifest", format!("`{}` has no `[package]`", manifest.file))
            .at(manifest.file.as_str(), 0..0, "only a workspace")
            .help("name the directory of one of its members as `source`"));
    };
    if let Some(written) = &package.workspace {
        return resolve(&manifest.file, dir, written);
    }
    let mut above = dir.cloned();
    loop {
        let file = manifest_in(above.as_ref());
        if let Some(text) = files.read(&file)
            && let Some(workspace) = Manifest::parse(&file, text)?.workspace
        {
            let excluded =
                |w: &Written| resolve(&file, above.as_ref(), w).is_ok_and(|excluded| lies_in(dir, excluded.as_ref()));
            let excludes = above.as_ref() != dir && workspace.exclude.iter().any(excluded);
            return Ok(if excludes { dir.cloned() } else { above });
        }
        let Some(here) = above else { return Ok(dir.cloned()) };
        above = here.parent();
    }
}

fn lies_in(dir: Option<&RelPath>, base: Option<&RelPath>) -> bool {
    match (dir, base) {
        (_, None) => true,
        (Some(dir), Some(base)) => dir.starts_with(base),
        (None, Some(_)) => false,
    }
}

/// The directory that `written` means in a manifest in `base`.
fn resolve(file: &RelPath, base: Option<&RelPath>, written: &Written) -> Result<Dir, Diagnostic> {
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

/// Reads each manifest that cargo would, once.
struct Walk<'a> {
    files: &'a dyn Files,
    root: Dir,
    manifests: BTreeMap<Dir, Manifest>,
    problems: Vec<Diagnostic>,
}

impl<'a> Walk<'a> {
    fn new(files: &'a dyn Files, root: Dir) -> Self {
        Self { files, root, manifests: BTreeMap::new(), problems: Vec::new() }
    }

    /// Reads the package, the workspace, its members, and whatever directories these depend on, for tests too.
    fn everything(&mut self, package: Option<&RelPath>) {
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

    fn patches(&mut self) -> Vec<Dir> {
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
    fn reachable(&mut self, from: impl IntoIterator<Item = Dir>) -> BTreeSet<Dir> {
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

/// The project's files, by the package they belong to.
struct Listed<'a> {
    files: &'a [RelPath],
    packages: BTreeSet<RelPath>,
}

impl<'a> Listed<'a> {
    fn new(files: &'a dyn Files) -> Self {
        let files = files.list();
        let packages = files.iter().filter(|f| f.file_name() == "Cargo.toml").filter_map(RelPath::parent).collect();
        Self { files, packages }
    }

    /// The files of the package in `dir`: all below it, less packages inside, and what cargo and `run` write there.
    fn own_files(&self, dir: Option<&RelPath>) -> Vec<RelPath> {
        let below = self.files.iter().filter(|file| dir.is_none_or(|dir| file.strip_prefix(dir).is_some()));
        below.filter(|file| self.owner(file).as_ref() == dir && !is_written_by_tools(file, dir)).cloned().collect()
    }

    fn owner(&self, file: &RelPath) -> Dir {
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

/// Whether the lockfile names a package that is not of this project.
fn read_lock(files: &dyn Files, lockfile: &RelPath, root: Option<&RelPath>) -> Result<bool, Diagnostic> {
    let Some(text) = files.read(lockfile) else {
        let place = root.map_or_else(String::new, |root| format!(" in `{root}`"));
        return Err(Diagnostic::error("missing-lockfile", format!("there is no `{lockfile}`"))
            .note("without it, what is built would depend on the day it is built")
            .help(format!("run `cargo generate-lockfile`{place} and commit what it writes")));
    };
    let lock: toml::Table = text.parse().map_err(|e: toml::de::Error| {
        Diagnostic::error("bad-cargo-manifest", format!("`{lockfile}` is not TOML: {}", e.message()))
            .at(lockfile.as_str(), e.span().unwrap_or(0..0), "")
            .help("resolve a merge conflict in it, or write it anew with `cargo generate-lockfile`")
    })?;
    let packages = lock.get("package").and_then(toml::Value::as_array);
    Ok(packages.into_iter().flatten().any(|p| p.get("source").is_some()))
}

/// The configuration files cargo finds when it is run in the workspace, from the outside in.
fn config_files(files: &dyn Files, root: Option<&RelPath>) -> Vec<RelPath> {
    let mut dirs = vec![root.cloned()];
    while let Some(Some(dir)) = dirs.last() {
        dirs.push(dir.parent());
    }
    let names = [path(".cargo/config.toml"), path(".cargo/config")];
    let found = dirs
        .iter()
        .rev()
        .filter_map(|dir| names.iter().map(|name| under(dir.as_ref(), name)).find(|file| files.read(file).is_some()));
    found.collect()
}

/// The files of each directory that a configuration has as a `directory` or `local-registry` in one of its `[source.…]`s.
fn vendored(files: &dyn Files, config: &[RelPath]) -> Result<Vec<RelPath>, Diagnostic> {
    let mut found = Vec::new();
    for file in config {
        let text = files.read(file).unwrap_or_default();
        let table = text.parse::<toml::Table>().map_err(|e| {
            Diagnostic::error("bad-cargo-manifest", format!("`{file}` is not TOML: {}", e.message())).at(
                file.as_str(),
                e.span().unwrap_or(0..0),
                "",
            )
        })?;
        let sources = table.get("source").and_then(toml::Value::as_table);
        let values = sources.into_iter().flat_map(|t| t.values());
        let written = values.filter_map(|source| source.get("directory").or_else(|| source.get("local-registry")));
        // Relative to the directory that `.cargo` is in. One that is not of the project is the fetching cargo's affair.
        let base = file.parent().and_then(|dot_cargo| dot_cargo.parent());
        let dirs = written.filter_map(toml::Value::as_str).filter_map(|text| {
            let text = base.as_ref().map_or_else(|| text.to_owned(), |base| format!("{base}/{text}"));
            RelPath::normalize(&text).ok().flatten()
        });
        for dir in dirs {
            found.extend(files.list().iter().filter(|file| file.starts_with(&dir)).cloned());
        }
    }
    Ok(found)
}

/// The crate of a package that becomes a component.
fn target(files: &dyn Files, manifest: &Manifest) -> Result<Target, Diagnostic> {
    let package = manifest.package.as_ref().expect("a package was asked for, and found");
    let cdylib = package.lib.as_ref().filter(|lib| lib.crate_types.iter().any(|t| t == "cdylib"));
    if let Some(lib) = cdylib {
        let name = lib.name.clone().unwrap_or_else(|| package.name.replace('-', "_"));
        return Ok(Target::Cdylib { name });
    }
    let mut bins = binaries(files, package, manifest.file.parent().as_ref());
    if let Some(chosen) = &package.default_run {
        bins.retain(|bin| bin == chosen);
    }
    let none = |message: String| Diagnostic::error("no-wasm-target", message).at(manifest.file.as_str(), 0..0, "");
    match bins.len() {
        0 => Err(none(format!("package `{}` has nothing that becomes a component", package.name))
            .note("a library becomes one as a `cdylib`, a command as a binary")
            .help("for a library, add `[lib]` with `crate-type = [\"cdylib\"]`")
            .help("for a command, add `src/main.rs`")),
        1 => Ok(Target::Bin { name: bins.remove(0) }),
        _ => Err(none(format!("package `{}` has several binaries: `{}`", package.name, bins.join("`, `")))
            .help("say which one with `default-run` in its `[package]`")),
    }
}

/// The binaries of a package: those declared, and those cargo finds by their places.
fn binaries(files: &dyn Files, package: &Package, dir: Option<&RelPath>) -> Vec<String> {
    let mut bins: BTreeSet<String> = package.bins.iter().cloned().collect();
    if package.autobins {
        if files.read(&under(dir, &path("src/main.rs"))).is_some() && !bins.contains(&package.name) {
            bins.insert(package.name.clone());
        }
        let bin_dir = under(dir, &path("src/bin"));
        let below = files.list().iter().filter_map(|file| file.strip_prefix(&bin_dir));
        bins.extend(below.filter_map(|file| match file.as_str().split_once('/') {
            None => file.as_str().strip_suffix(".rs").map(str::to_owned),
            Some((name, "main.rs")) => Some(name.to_owned()),
            Some(_) => None,
        }));
    }
    bins.into_iter().collect()
}

fn stand_in(files: &dyn Files, manifest: &Manifest, target: Option<&Target>) -> StandIn {
    let dir = manifest.file.parent();
    let name = manifest.package.as_ref().map(|p| p.name.clone()).unwrap_or_default();
    let shape = manifest.package.as_ref().map(|package| shape(files, package, dir.as_ref(), target));
    StandIn { name, dir, manifest: manifest.text.clone(), shape: shape.unwrap_or_default() }
}

fn shape(files: &dyn Files, package: &Package, dir: Option<&RelPath>, target: Option<&Target>) -> Shape {
    let exists = |below| files.read(&under(dir, &path(below))).is_some();
    let lib = match &package.lib {
        Some(lib) => {
            Some(Lib { name: lib.name.clone(), crate_types: lib.crate_types.clone(), proc_macro: lib.proc_macro })
        }
        None => (package.autolib && exists("src/lib.rs")).then(Lib::default),
    };
    let bin = match target {
        Some(Target::Bin { name }) => Some(name.clone()),
        Some(Target::Cdylib { .. }) | None => None,
    };
    let build_script = match package.build {
        BuildScript::IfPresent => exists("build.rs"),
        BuildScript::None => false,
        BuildScript::Some => true,
    };
    Shape { lib, bin, build_script }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A project in memory, written as texts after lines `//- path`.
    pub(in crate::cargo) struct Project {
        texts: BTreeMap<RelPath, String>,
        listed: Vec<RelPath>,
    }

    impl Project {
        pub(in crate::cargo) fn new(text: &str) -> Self {
            let mut texts = BTreeMap::new();
            for file in text.split("//- ").skip(1) {
                let (path, text) = file.split_once('\n').expect("a path ends its line");
                texts.insert(RelPath::new(path).expect("a path"), text.to_owned());
            }
            Self { listed: texts.keys().cloned().collect(), texts }
        }

        pub(in crate::cargo) fn find(&self, source: &str) -> CargoPackage {
            find(self, RelPath::normalize(source).expect("a path").as_ref()).unwrap_or_else(|e| panic!("{e:#?}"))
        }

        pub(in crate::cargo) fn edit(&mut self, path: &str, from: &str, to: &str) {
            let text = self.texts.get_mut(&RelPath::new(path).expect("a path")).expect("it has this file");
            assert!(text.contains(from), "{path} has {from}");
            *text = text.replace(from, to);
        }

        pub(in crate::cargo) fn text(&self, path: &RelPath) -> &str {
            &self.texts[path]
        }

        pub(in crate::cargo) fn paths(&self) -> &[RelPath] {
            &self.listed
        }
    }

    impl Files for Project {
        fn read(&self, path: &RelPath) -> Option<String> {
            self.texts.get(path).cloned()
        }

        fn list(&self) -> &[RelPath] {
            &self.listed
        }
    }

    const MEMBERS: &str = r##"
//- Cargo.toml
[workspace]
members = ["services/*", "shared"]
exclude = ["services/old"]
[workspace.dependencies]
shared = { path = "shared" }
//- Cargo.lock
version = 4
//- .cargo/config.toml
//- services/api/Cargo.toml
[package]
name = "the-api"
version = "1.0.0"
[lib]
crate-type = ["cdylib"]
[dependencies]
shared.workspace = true
[target.'cfg(unix)'.build-dependencies]
tool = { path = "../../tool" }
[dev-dependencies]
fake = { path = "../../fake" }
//- services/api/src/lib.rs
//- services/api/nested/Cargo.toml
[package]
name = "nested"
//- services/api/nested/src/lib.rs
//- services/old/Cargo.toml
not TOML
//- services/web/Cargo.toml
[package]
name = "web"
//- services/web/src/main.rs
//- shared/Cargo.toml
[package]
name = "shared"
//- shared/build.rs
//- shared/src/lib.rs
//- tool/Cargo.toml
[package]
name = "tool"
//- fake/Cargo.toml
[package]
name = "fake"
"##;

    fn dirs<'a>(stand_ins: impl Iterator<Item = &'a StandIn>) -> Vec<String> {
        stand_ins.map(|s| s.dir.as_ref().map_or(".".to_owned(), ToString::to_string)).collect()
    }

    #[test]
    fn a_package_is_found_by_its_files_with_what_it_is_built_from_and_no_more() {
        let project = Project::new(MEMBERS);
        let package = project.find("services/api/src/lib.rs");
        assert_eq!(package.target, Target::Cdylib { name: "the_api".to_owned() });
        assert_eq!(dirs(package.crates().map(|c| &c.stand_in)), ["shared", "tool", "services/api"]);
        assert_eq!(dirs(package.bystanders.iter()), [".", "fake", "services/web"]);
        let files: Vec<_> = package.package.files.iter().map(RelPath::as_str).collect();
        assert_eq!(files, ["services/api/Cargo.toml", "services/api/src/lib.rs"]);
        let shared = &package.path_deps[0].stand_in.shape;
        assert!(shared.runs_on_host() && !package.package.stand_in.shape.runs_on_host());
        assert!(!package.external);
        assert_eq!(package.config, [RelPath::new(".cargo/config.toml").expect("a path")]);
    }

    #[test]
    fn a_binary_is_a_command() {
        let package = Project::new(MEMBERS).find("services/web");
        assert_eq!(package.target, Target::Bin { name: "web".to_owned() });
        assert!(package.path_deps.is_empty());
    }

    /// The codes of what is wrong, each with the text that is underlined, if any.
    #[track_caller]
    fn check(text: &str, source: &str, expected: &[(&str, &str)]) {
        let project = Project::new(text);
        let source = RelPath::normalize(source).expect("a path");
        let problems = find(&project, source.as_ref()).expect_err("something is wrong with it");
        let found: Vec<_> = problems
            .iter()
            .map(|p| {
                let label = p.labels.first();
                let text =
                    |l: &crate::diagnostic::Label| project.texts[&RelPath::new(&l.file).expect("a path")].clone();
                (p.code, label.map_or_else(String::new, |l| text(l)[l.span.clone()].to_owned()))
            })
            .collect();
        let found: Vec<_> = found.iter().map(|(code, text)| (*code, text.as_str())).collect();
        assert_eq!(found, expected, "{problems:#?}");
    }

    const LIBRARY: &str = "[package]\nname = \"a\"\n[lib]\ncrate-type = [\"cdylib\"]\n";

    #[test]
    fn every_problem_is_reported_with_its_place() {
        check("//- readme.md\n", "src", &[("missing-file", "")]);
        check("//- Cargo.toml\n[package\n", ".", &[("bad-cargo-manifest", "")]);
        check("//- Cargo.toml\n[package]\nname = 1\n", ".", &[("bad-cargo-manifest", "1")]);
        check("//- Cargo.toml\n[workspace]\n", ".", &[("bad-cargo-manifest", "")]);
        check(&format!("//- Cargo.toml\n{LIBRARY}"), ".", &[("missing-lockfile", "")]);
        check("//- Cargo.toml\n[package]\nname = \"a\"\n//- Cargo.lock\n", ".", &[("no-wasm-target", "")]);
        let dependencies = "[dependencies]\nb = { path = \"../b\" }\nc = { path = \"c\" }\nd.workspace = true\n";
        check(
            &format!("//- Cargo.toml\n{LIBRARY}{dependencies}//- Cargo.lock\n"),
            ".",
            &[("path-outside-project", "\"../b\""), ("bad-cargo-manifest", "d"), ("missing-file", "\"c\"")],
        );
    }

    #[test]
    fn several_binaries_need_a_choice() {
        let text = "//- Cargo.toml\n[package]\nname = \"a\"\n//- Cargo.lock\n//- src/bin/x.rs\n//- src/bin/y/main.rs\n";
        check(text, ".", &[("no-wasm-target", "")]);
        let chosen = text.replace("\"a\"", "\"a\"\ndefault-run = \"y\"");
        assert_eq!(Project::new(&chosen).find(".").target, Target::Bin { name: "y".to_owned() });
    }
}
