//! [`CargoPackage`]: one package, the crates of the project it is compiled from, and which of its own becomes the
//! component.

use std::collections::BTreeSet;

use run_engine::path::{RelPath, under};

use super::files::{Files, manifest_in, path};
use super::manifest::{BuildScript, Manifest, Package};
use crate::diagnostic::Diagnostic;

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

/// The crate of a package that becomes a component.
pub(super) fn target(files: &dyn Files, manifest: &Manifest) -> Result<Target, Diagnostic> {
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

pub(super) fn stand_in(files: &dyn Files, manifest: &Manifest, target: Option<&Target>) -> StandIn {
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
