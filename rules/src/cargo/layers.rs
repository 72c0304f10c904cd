//! Cuts the build of a package into layers, so that an edit compiles what was edited and nothing else.
//!
//! Each layer is one action: a small fixed shell script around one `cargo build`, staged in a directory of its own.
//!
//! | layer | real crates | stand-ins | leaves behind |
//! |---|---|---|---|
//! | `fetch` | none | all | the external packages, as `cargo vendor` writes them |
//! | `deps` | external, and what `[patch]` replaces them with | path dependencies, package | compiled external crates |
//! | `path-deps` | the above, path dependencies | package | compiled path dependencies |
//! | `compile` | all | none | the component |
//!
//! What we found out about cargo 1.95, and rely on; `proof.rs` holds it to that:
//!
//! - A path package is named and fingerprinted by its path from the workspace's root, so it may move; its files' times
//!   decide whether it is fresh. With equal times everywhere, whatever has been compiled is fresh, stand-ins too. So
//!   each layer takes the stand-ins out of what it leaves behind, by `cargo clean`, which knows cargo's layout.
//! - An external package's *absolute* path is part of its fingerprint, inside the workspace or not: moved, it is
//!   recompiled. And rustc writes that path into panic messages. The script therefore gives cargo a path that is the
//!   same everywhere: `/proc/self/fd/9`, an open directory that every process below inherits. Then layers made in
//!   different directories fit, and release builds in two directories give the same bytes. (Debug information names the
//!   working directory besides; it is the same where the sandbox is the same.)
//! - Cargo and rustc only read what is fresh, so the layers below are linked in, not copied, and a layer leaves behind
//!   only what it made itself.
//! - Crate types of path packages decide how link-time optimisation compiles external ones, so stand-ins keep them.

use std::collections::BTreeMap;

use run_engine::path::{RelPath, under};

use super::package::{CargoPackage, PathCrate, StandIn, Target};
use super::skeleton::{Keep, skeleton};
use crate::manifest::RustTarget;

/// One action of a cargo build, as plain data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Which one it is.
    pub name: LayerName,
    /// The files it sees, by their path in the project.
    pub tree: BTreeMap<RelPath, Content>,
    /// The crates that are there as they are: what belongs into their directories and is no file of the project, such
    /// as the output of another target, goes into this layer too.
    pub real: Vec<Option<RelPath>>,
    /// What earlier layers left behind, and where this one wants it.
    pub uses: Vec<Use>,
    /// The command, run in the input root. Its programs (`sh`, `cargo`, and of coreutils and findutils `cp`, `find`,
    /// `mkdir`, `mv`, `rm`, `rmdir`) are found by `PATH`, and `rustc` beside them.
    pub argv: Vec<String>,
    /// The environment, to which the caller adds `PATH`.
    pub env: BTreeMap<&'static str, String>,
    /// The directory it leaves behind. It may write nothing else, but for temporary files.
    pub output: RelPath,
    /// Whether it needs the network, and the user's own cargo configuration and credentials with it.
    pub network: bool,
    /// Whether it needs a linker for the machine that builds.
    pub host_compiler: HostCompiler,
}

/// The layers there are, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LayerName {
    /// Gets external packages.
    Fetch,
    /// Compiles external packages.
    Deps,
    /// Compiles path dependencies.
    PathDeps,
    /// Compiles the package.
    Compile,
}

impl LayerName {
    /// The name as people read it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Deps => "deps",
            Self::PathDeps => "path-deps",
            Self::Compile => "compile",
        }
    }
}

/// What stands at a path of a layer's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The project's own file at this path.
    Project,
    /// This text.
    Text(String),
}

/// A part of what an earlier layer left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// The earlier layer.
    pub layer: LayerName,
    /// Which part of it, as a path in its input root.
    pub path: RelPath,
    /// Where to put it.
    pub at: RelPath,
}

/// Whether a layer compiles something that runs on the machine that builds: a build script or a procedural macro. These
/// are linked by `cc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostCompiler {
    /// It does not.
    Unneeded,
    /// It compiles external packages, and a lockfile doesn't say whether they have build scripts.
    Perhaps,
    /// It does.
    Needed,
}

/// A cargo profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// `release`, as the workspace sets it.
    Release,
    /// `dev`, as the workspace sets it.
    Debug,
}

impl Profile {
    /// Its name, and that of its directory.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Release => ("release", "release"),
            Self::Debug => ("dev", "debug"),
        }
    }
}

/// What Rust compiles to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WasmTarget {
    /// A component.
    Wasip2,
    /// A core module that imports WASI preview 1.
    Wasip1,
    /// A core module that imports nothing by itself.
    Unknown,
}

impl From<RustTarget> for WasmTarget {
    fn from(target: RustTarget) -> Self {
        match target {
            RustTarget::Wasip2 => Self::Wasip2,
            RustTarget::Wasip1 => Self::Wasip1,
            RustTarget::Unknown => Self::Unknown,
        }
    }
}

impl WasmTarget {
    /// Rust's name for it.
    #[must_use]
    pub const fn triple(self) -> &'static str {
        match self {
            Self::Wasip2 => "wasm32-wasip2",
            Self::Wasip1 => "wasm32-wasip1",
            Self::Unknown => "wasm32-unknown-unknown",
        }
    }
}

/// The directory each layer writes.
const OUT: &str = ".run/out";
/// What [`LayerName::Compile`] leaves behind in it: a component, or for targets before `wasip2` a core module.
pub const COMPONENT: &str = ".run/out/component.wasm";

/// The scripts. Their text is in the key, so they need no revision.
const FETCH: &str = include_str!("fetch.sh");
const BUILD: &str = include_str!("layer.sh");

/// Plans the build of a package. `extra` are files outside of its crates that they read while they are compiled, such
/// as WIT that a macro is given.
///
/// # Panics
/// Never: the paths it makes are made of paths.
#[must_use]
pub fn plan(
    package: &CargoPackage,
    profile: Profile,
    target: WasmTarget,
    features: &[String],
    extra: &[RelPath],
) -> Vec<Layer> {
    let job = Job { package, profile, target, features, extra };
    let mut layers = Vec::new();
    if package.external {
        layers.push(job.fetch());
        layers.push(job.build(LayerName::Deps, &layers));
    }
    if package.path_deps.iter().any(|c| !(package.external && c.patched)) {
        layers.push(job.build(LayerName::PathDeps, &layers));
    }
    layers.push(job.build(LayerName::Compile, &layers));
    layers
}

/// What was asked for.
struct Job<'a> {
    package: &'a CargoPackage,
    profile: Profile,
    target: WasmTarget,
    features: &'a [String],
    extra: &'a [RelPath],
}

impl Job<'_> {
    fn fetch(&self) -> Layer {
        let root = self.package.root.as_ref();
        let up = "../".repeat(root.map_or(0, |root| root.parts().count()));
        let mut tree = self.tree(|_| false);
        tree.extend(self.package.vendored.iter().map(|file| (file.clone(), Content::Project)));
        Layer {
            name: LayerName::Fetch,
            tree,
            real: Vec::new(),
            uses: Vec::new(),
            argv: argv(FETCH, "fetch", [directory(root), up]),
            env: environment([]),
            output: path(OUT),
            network: true,
            host_compiler: HostCompiler::Unneeded,
        }
    }

    fn build(&self, name: LayerName, below: &[Layer]) -> Layer {
        let real = |c: &PathCrate| self.is_real(name, c);
        let (profile, profile_dir) = self.profile.names();
        let target = &self.package.target;
        let triple = self.target.triple();
        let artifact = match name {
            LayerName::Compile => format!("{triple}/{profile_dir}/{}", target.file_name()),
            _ => String::new(),
        };
        let package_dir = self.package.package.stand_in.dir.as_ref();
        let words = [
            directory(self.package.root.as_ref()),
            directory(package_dir),
            triple.to_owned(),
            profile.to_owned(),
            crate_flag(target),
            self.features.join(","),
            artifact,
        ];
        let stubs = self.package.crates().filter(|c| !real(c)).map(|c| package_id(&c.stand_in));
        let mut tree = self.tree(real);
        if name >= LayerName::PathDeps {
            tree.extend(self.extra.iter().map(|file| (file.clone(), Content::Project)));
        }
        Layer {
            name,
            tree,
            real: self.package.crates().filter(|c| real(c)).map(|c| c.stand_in.dir.clone()).collect(),
            uses: below.iter().map(|layer| used(layer.name)).collect(),
            argv: argv(BUILD, "layer", words.into_iter().chain(stubs)),
            env: environment(OFFLINE.iter().copied()),
            output: path(OUT),
            network: false,
            host_compiler: self.host_compiler(name),
        }
    }

    /// Whether a crate is compiled from its own sources in a layer.
    fn is_real(&self, layer: LayerName, c: &PathCrate) -> bool {
        match layer {
            LayerName::Fetch => false,
            LayerName::Deps => c.patched,
            LayerName::PathDeps => c.patched || !self.is_package(c),
            LayerName::Compile => true,
        }
    }

    fn is_package(&self, c: &PathCrate) -> bool {
        c.stand_in.dir == self.package.package.stand_in.dir
    }

    /// The workspace: some crates as they are, the rest of it as skeletons.
    fn tree(&self, real: impl Fn(&PathCrate) -> bool) -> BTreeMap<RelPath, Content> {
        let inherited = self.package.crates().any(&real);
        let keep = if inherited { Keep::Inheritance } else { Keep::Resolution };
        let mut tree = BTreeMap::new();
        for bystander in &self.package.bystanders {
            put_skeleton(&mut tree, bystander, keep);
        }
        for c in self.package.crates() {
            if real(c) {
                tree.extend(c.files.iter().map(|file| (file.clone(), Content::Project)));
                tree.insert(c.stand_in.manifest_path(), Content::Project);
            } else {
                put_skeleton(&mut tree, &c.stand_in, keep);
            }
        }
        tree.insert(self.package.lockfile.clone(), Content::Project);
        tree.extend(self.package.config.iter().map(|file| (file.clone(), Content::Project)));
        tree
    }

    fn host_compiler(&self, layer: LayerName) -> HostCompiler {
        let compiled = |c: &&PathCrate| match layer {
            LayerName::Fetch => false,
            LayerName::Deps => true,
            LayerName::PathDeps => !(self.package.external && c.patched),
            LayerName::Compile => self.is_package(c),
        };
        if self.package.crates().filter(compiled).any(|c| c.stand_in.shape.runs_on_host()) {
            HostCompiler::Needed
        } else if layer == LayerName::Deps {
            HostCompiler::Perhaps
        } else {
            HostCompiler::Unneeded
        }
    }
}

fn put_skeleton(tree: &mut BTreeMap<RelPath, Content>, package: &StandIn, keep: Keep) {
    let made = skeleton(package, keep);
    tree.insert(package.manifest_path(), Content::Text(made.manifest));
    for (file, text) in made.files {
        tree.insert(under(package.dir.as_ref(), &path(file)), Content::Text(text.to_owned()));
    }
}

/// Where the layers above want what a layer left behind.
fn used(layer: LayerName) -> Use {
    let (from, at) = match layer {
        LayerName::Fetch => (OUT, ".run/fetch"),
        LayerName::Deps => (".run/out/target", ".run/layers/1-deps"),
        LayerName::PathDeps => (".run/out/target", ".run/layers/2-path-deps"),
        LayerName::Compile => unreachable!("nothing lies above it"),
    };
    Use { layer, path: path(from), at: path(at) }
}

fn argv(script: &str, name: &str, words: impl IntoIterator<Item = String>) -> Vec<String> {
    ["sh", "-c", script, name].map(str::to_owned).into_iter().chain(words).collect()
}

/// A directory as the scripts want it: what comes after the root.
fn directory(dir: Option<&RelPath>) -> String {
    dir.map_or_else(String::new, |dir| format!("/{dir}"))
}

fn crate_flag(target: &Target) -> String {
    match target {
        Target::Cdylib { .. } => "--lib".to_owned(),
        Target::Bin { name } => format!("--bin={name}"),
    }
}

/// What comes after `path+file://` and the root in a package's id: exact, where a name may be that of an external
/// package too.
fn package_id(package: &StandIn) -> String {
    let mut id = String::new();
    for byte in directory(package.dir.as_ref()).bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => id.push(char::from(byte)),
            _ => id.extend(['%', hex(byte >> 4), hex(byte & 15)]),
        }
    }
    id.push('#');
    id.push_str(&package.name);
    id
}

fn hex(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16).expect("four bits are a digit").to_ascii_uppercase()
}

/// What keeps cargo from the network and from the user's tools: a compiler cache is not in the sandbox, and the build
/// has a better one.
const OFFLINE: &[(&str, &str)] =
    &[("CARGO_NET_OFFLINE", "true"), ("RUSTC_WRAPPER", ""), ("RUSTC_WORKSPACE_WRAPPER", "")];

fn environment(more: impl IntoIterator<Item = (&'static str, &'static str)>) -> BTreeMap<&'static str, String> {
    let always = [
        ("CARGO_INCREMENTAL", "0"),
        ("CARGO_TERM_COLOR", "never"),
        ("CARGO_TERM_QUIET", "true"),
        ("CARGO_TERM_PROGRESS_WHEN", "never"),
    ];
    always.into_iter().chain(more).map(|(key, value)| (key, value.to_owned())).collect()
}

fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("a constant that is a path")
}

#[cfg(test)]
mod tests {
    use super::super::workspace::tests::Project;
    use super::*;

    const WORKSPACE: &str = r##"
//- rust/Cargo.toml
# A comment.
[workspace]
members = ["*"]
[workspace.package]
edition = "2024"
description = "all of it"
//- rust/Cargo.lock
version = 4
[[package]]
name = "ext"
source = "registry+https://github.com/rust-lang/crates.io-index"
//- rust/end/Cargo.toml
[package]
name = "end"
version = "1.0.0"
edition.workspace = true
description.workspace = true
[lib]
crate-type = ["cdylib"]
[dependencies]
ext = "1"
mid = { path = "../mid" }
[lints.rust]
unsafe_code = "deny"
//- rust/end/src/lib.rs
//- rust/mid/Cargo.toml
[package]
name = "mid"
version = "1.0.0"
[features]
extra = []
//- rust/mid/src/lib.rs
//- rust/mid/tests/all.rs
//- rust/other/Cargo.toml
[package]
name = "other"
version = "1.0.0"
description = "someone else's"
[[bin]]
name = "other"
path = "elsewhere.rs"
//- rust/other/elsewhere.rs
fn main() {}
"##;

    fn planned(project: &Project) -> Vec<Layer> {
        plan(&project.find("rust/end"), Profile::Release, WasmTarget::Wasip2, &[], &[])
    }

    /// The layers that see an edit: by what is in their trees, the project's own files included.
    #[track_caller]
    fn check_edit(path: &str, from: &str, to: &str, expected: &[LayerName]) {
        let mut project = Project::new(WORKSPACE);
        let before = planned(&project);
        project.edit(path, from, to);
        let edited = path;
        let after = planned(&project);
        let sees = |layer: &Layer| layer.tree.get(&super::path(edited)) == Some(&Content::Project);
        let changed = before.iter().zip(&after).filter(|(old, new)| old != new || sees(new));
        assert_eq!(changed.map(|(_, new)| new.name).collect::<Vec<_>>(), expected, "{path}");
    }

    #[test]
    fn each_layer_sees_what_it_compiles_and_nothing_else() {
        use LayerName::{Compile, Deps, Fetch, PathDeps};
        check_edit("rust/end/src/lib.rs", "", "pub fn f() {}", &[Compile]);
        check_edit("rust/mid/src/lib.rs", "", "pub fn f() {}", &[PathDeps, Compile]);
        check_edit("rust/end/Cargo.toml", "deny", "warn", &[Compile]);
        check_edit("rust/Cargo.toml", "# A comment.", "# Another.", &[]);
        check_edit("rust/Cargo.toml", "all of it", "a part", &[PathDeps, Compile]);
        check_edit("rust/end/Cargo.toml", "ext = \"1\"", "ext = \"1.1\"", &[Fetch, Deps, PathDeps, Compile]);
        check_edit("rust/Cargo.lock", "version = 4", "version = 3", &[Fetch, Deps, PathDeps, Compile]);
        check_edit("rust/other/elsewhere.rs", "{}", "{ panic!() }", &[]);
        check_edit("rust/other/Cargo.toml", "someone else's", "no one's", &[]);
        check_edit("rust/other/Cargo.toml", "1.0.0", "1.0.1", &[Fetch, Deps, PathDeps, Compile]);
    }

    #[test]
    fn without_dependencies_there_is_one_layer() {
        let project = Project::new("//- Cargo.toml\n[package]\nname = \"a\"\n//- Cargo.lock\n//- src/main.rs\n");
        let layers =
            plan(&project.find("."), Profile::Debug, WasmTarget::Wasip1, &["f".to_owned(), "g".to_owned()], &[]);
        let [compile] = &layers[..] else { panic!("{layers:#?}") };
        assert_eq!(compile.host_compiler, HostCompiler::Unneeded);
        let words = ["", "", "wasm32-wasip1", "dev", "--bin=a", "f,g", "wasm32-wasip1/debug/a.wasm"];
        assert_eq!(compile.argv[4..], words);
    }

    #[test]
    fn a_package_id_is_a_url() {
        let text = "//- Cargo.toml\n[workspace]\n//- a b/ü/Cargo.toml\n[package]\nname = \"a\"\nworkspace = \"../..\"\n\
                    //- a b/ü/src/main.rs\n//- Cargo.lock\n";
        let package = Project::new(text).find("a b/ü");
        assert_eq!(package_id(&package.package.stand_in), "/a%20b/%C3%BC#a");
    }
}
