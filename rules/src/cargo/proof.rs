//! Real cargo, held to what [`super::layers`] says of it. No network: the external packages are made here.
//!
//! Every layer is staged in a new directory, with one time on all files, as a sandbox does it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use run_engine::path::RelPath;
use tempfile::TempDir;

use super::layers::{COMPONENT, Content, Layer, LayerName, Profile, WasmTarget, plan};
use super::toolchain::RustToolchain;
use super::workspace::tests::Project;

/// A package `end`, which uses a path dependency `mid` with a build script, and an external procedural macro.
const WORKSPACE: &str = r##"
//- Cargo.toml
[workspace]
resolver = "3"
members = ["crates/*"]
[profile.release]
lto = true
//- Cargo.lock
version = 4

[[package]]
name = "bystander"
version = "1.0.0"

[[package]]
name = "end"
version = "1.0.0"
dependencies = ["ext-macro", "mid"]

[[package]]
name = "ext"
version = "1.0.0"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "0000000000000000000000000000000000000000000000000000000000000000"

[[package]]
name = "ext-macro"
version = "1.0.0"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "0000000000000000000000000000000000000000000000000000000000000000"

[[package]]
name = "mid"
version = "1.0.0"
dependencies = ["ext"]
//- crates/bystander/Cargo.toml
[package]
name = "bystander"
version = "1.0.0"
edition = "2024"
//- crates/bystander/src/lib.rs
//- crates/mid/Cargo.toml
[package]
name = "mid"
version = "1.0.0"
edition = "2024"
description = "in the middle"
[dependencies]
ext = "1"
//- crates/mid/build.rs
fn main() {
    let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR").unwrap());
    let number = std::fs::read_to_string("data/number.txt").unwrap();
    std::fs::write(out.join("number.rs"), format!("const NUMBER: u32 = {};", number.trim())).unwrap();
    println!("cargo::rerun-if-changed=data");
}
//- crates/mid/data/number.txt
40
//- crates/mid/src/lib.rs
include!(concat!(env!("OUT_DIR"), "/number.rs"));
pub fn number(more: &[u32]) -> u32 { NUMBER + ext::first(more) }
//- crates/end/Cargo.toml
[package]
name = "end"
version = "1.0.0"
edition = "2024"
[lib]
crate-type = ["cdylib"]
[dependencies]
ext-macro = "1"
mid = { path = "../mid" }
//- crates/end/src/lib.rs
ext_macro::two!();
#[unsafe(no_mangle)]
pub extern "C" fn answer(more: u32) -> u32 { mid::number(&[more, 1]) + two() }
"##;

/// `ext` can panic, so the path of its source is in what is compiled from it.
const EXTERNAL: &str = r##"
//- ext-1.0.0/Cargo.toml
[package]
name = "ext"
version = "1.0.0"
edition = "2024"
//- ext-1.0.0/build.rs
fn main() { println!("cargo::rustc-env=STEP=1"); }
//- ext-1.0.0/src/lib.rs
pub fn first(list: &[u32]) -> u32 { assert!(!env!("STEP").is_empty()); list.iter().copied().find(|n| *n > 7).unwrap() }
//- ext-1.0.0/.cargo-checksum.json
{"files":{},"package":"0000000000000000000000000000000000000000000000000000000000000000"}
//- ext-macro-1.0.0/Cargo.toml
[package]
name = "ext-macro"
version = "1.0.0"
edition = "2024"
[lib]
proc-macro = true
//- ext-macro-1.0.0/src/lib.rs
use proc_macro::TokenStream;
#[proc_macro]
pub fn two(_: TokenStream) -> TokenStream { "fn two() -> u32 { 2 }".parse().unwrap() }
//- ext-macro-1.0.0/.cargo-checksum.json
{"files":{},"package":"0000000000000000000000000000000000000000000000000000000000000000"}
"##;

#[test]
fn an_edit_compiles_what_was_edited_and_gives_what_a_clean_build_gives() {
    let mut project = Project::new(WORKSPACE);
    let mut bench = Bench::new();
    assert_eq!(bench.compiled(&project, LayerName::Deps), ["end", "ext", "ext-macro", "mid"]);
    assert_eq!(bench.compiled(&project, LayerName::PathDeps), ["end", "mid"]);
    assert_eq!(bench.compiled(&project, LayerName::Compile), ["end"]);
    assert_eq!(bench.left_by(LayerName::Compile), ["component.wasm"]);
    let before = bench.component();
    assert_eq!(bench.built_afresh(&project), before);

    // The same size, the same time: what is compiled is the edited text all the same.
    project.edit("crates/end/src/lib.rs", "&[more, 1]", "&[more, 9]");
    assert_eq!(bench.compiled(&project, LayerName::Compile), ["end"]);
    let edited = bench.component();
    assert_ne!(edited, before);
    assert_eq!(bench.built_afresh(&project), edited);

    // A file that only a path dependency's build script reads.
    project.edit("crates/mid/data/number.txt", "40", "50");
    assert_eq!(bench.compiled(&project, LayerName::PathDeps), ["end", "mid"]);
    assert_eq!(bench.compiled(&project, LayerName::Compile), ["end"]);
    let edited = bench.component();
    assert_eq!(bench.built_afresh(&project), edited);
}

#[test]
fn a_debug_build_fits_together_too() {
    let project = Project::new(WORKSPACE);
    let mut bench = Bench { profile: Profile::Debug, ..Bench::new() };
    for layer in [LayerName::Deps, LayerName::PathDeps] {
        bench.compiled(&project, layer);
    }
    assert_eq!(bench.compiled(&project, LayerName::Compile), ["end"]);
}

#[test]
fn a_patched_package_is_compiled_with_those_that_need_it() {
    let lock = "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n\
                checksum = \"0000000000000000000000000000000000000000000000000000000000000000\"\n";
    let workspace = WORKSPACE
        .replacen(&format!("name = \"ext\"\nversion = \"1.0.0\"\n{lock}"), "name = \"ext\"\nversion = \"1.0.0\"\n", 1)
        .replace("[profile.release]", "[patch.crates-io]\next = { path = \"patched/ext\" }\n[profile.release]");
    let patched = EXTERNAL.split("//- ext-1.0.0/.cargo-checksum.json").next().expect("there is a first part");
    let project = Project::new(&(workspace + &patched.replace("//- ext-1.0.0", "//- patched/ext")));
    let mut bench = Bench::new();
    assert_eq!(bench.compiled(&project, LayerName::Deps), ["end", "ext", "ext-macro", "mid"]);
    assert_eq!(bench.compiled(&project, LayerName::PathDeps), ["end", "mid"]);
    assert_eq!(bench.compiled(&project, LayerName::Compile), ["end"]);
    let component = bench.component();
    assert_eq!(bench.built_afresh(&project), component);
}

#[test]
fn packages_are_fetched_by_way_of_the_users_mirror_and_it_is_not_named() {
    let project = Project::new(WORKSPACE);
    let mut bench = Bench::new();
    let kept = bench.ran.remove(&LayerName::Fetch).expect("a bench has external packages");
    let mirror = kept.path().join(".run/out/vendor");
    let home = TempDir::new().expect("there is room for temporary files");
    let config = format!(
        "[source.crates-io]\nreplace-with = \"mirror\"\n\n[source.mirror]\ndirectory = \"{}\"\n",
        mirror.display()
    );
    write(&home.path().join("config.toml"), &config);
    bench.cargo_home = Some(home.path().to_owned());
    bench.compiled(&project, LayerName::Fetch);
    let fetched = bench.ran[&LayerName::Fetch].path().join(".run/out");
    let config = fs::read_to_string(fetched.join("config.toml")).expect("it leaves a configuration behind");
    assert!(!config.contains(&*mirror.to_string_lossy()), "{config}");
    bench.cargo_home = None;
    assert_eq!(bench.compiled(&project, LayerName::Deps), ["end", "ext", "ext-macro", "mid"]);
}

#[test]
fn packages_may_be_vendored_in_the_project() {
    let config = "[source.crates-io]\nreplace-with = \"ours\"\n[source.ours]\ndirectory = \"third_party\"\n";
    let external = EXTERNAL.replace("//- ", "//- third_party/");
    let project = Project::new(&format!("{WORKSPACE}//- .cargo/config.toml\n{config}{external}"));
    let mut bench = Bench::new();
    bench.compiled(&project, LayerName::Fetch);
    assert_eq!(bench.compiled(&project, LayerName::Deps), ["end", "ext", "ext-macro", "mid"]);
    assert_eq!(bench.compiled(&project, LayerName::PathDeps), ["end", "mid"]);
    assert_eq!(bench.compiled(&project, LayerName::Compile), ["end"]);
}

/// A place to run layers in, and what the last of each name left behind.
struct Bench {
    toolchain: RustToolchain,
    profile: Profile,
    cargo_home: Option<PathBuf>,
    ran: BTreeMap<LayerName, TempDir>,
}

impl Bench {
    #[expect(clippy::disallowed_methods, reason = "the toolchain of a test is the one that runs the test")]
    fn new() -> Self {
        let env = std::env::vars().collect();
        let toolchain = RustToolchain::locate(Path::new("."), &env, WasmTarget::Wasip2);
        let toolchain = toolchain.unwrap_or_else(|e| panic!("{}: {:?}", e.message, e.helps));
        let mut bench = Self { toolchain, profile: Profile::Release, cargo_home: None, ran: BTreeMap::new() };
        bench.ran.insert(LayerName::Fetch, fetched());
        bench
    }

    /// Runs a layer of the package `end` on what the layers below left behind, and says which crates cargo compiled.
    fn compiled(&mut self, project: &Project, name: LayerName) -> Vec<String> {
        let layer = self.layer(project, name);
        let (directory, compiled) = self.run(project, &layer);
        self.ran.insert(name, directory);
        compiled
    }

    /// The component that the last [`LayerName::Compile`] left behind.
    fn component(&self) -> Vec<u8> {
        fs::read(self.ran[&LayerName::Compile].path().join(COMPONENT)).expect("compile leaves a component behind")
    }

    /// What a layer left behind, at the top.
    fn left_by(&self, layer: LayerName) -> Vec<String> {
        let entries = fs::read_dir(self.ran[&layer].path().join(".run/out")).expect("it leaves its output behind");
        entries.map(|e| e.expect("it can be listed").file_name().to_string_lossy().into_owned()).collect()
    }

    /// The component, compiled in a directory with nothing compiled before.
    fn built_afresh(&self, project: &Project) -> Vec<u8> {
        let mut layer = self.layer(project, LayerName::Compile);
        layer.uses.retain(|u| u.layer == LayerName::Fetch);
        let (directory, _) = self.run(project, &layer);
        fs::read(directory.path().join(COMPONENT)).expect("compile leaves a component behind")
    }

    fn layer(&self, project: &Project, name: LayerName) -> Layer {
        let layers = plan(&project.find("crates/end"), self.profile, WasmTarget::Wasip2, &[], &[]);
        layers.into_iter().find(|layer| layer.name == name).expect("it has all the layers")
    }

    fn run(&self, project: &Project, layer: &Layer) -> (TempDir, Vec<String>) {
        let directory = TempDir::new().expect("there is room for temporary files");
        for (path, content) in &layer.tree {
            let text = match content {
                Content::Project => project.text(path),
                Content::Text(text) => text,
            };
            write(&directory.path().join(path.as_str()), text);
        }
        for used in &layer.uses {
            let from = self.ran[&used.layer].path().join(used.path.as_str());
            copy(&from, &directory.path().join(used.at.as_str()));
        }
        freeze_directories(directory.path());
        let path = format!("{}:/usr/bin:/bin", self.toolchain.sysroot.join("bin").display());
        let output = Command::new(&layer.argv[0])
            .args(&layer.argv[1..])
            .current_dir(directory.path())
            .env_clear()
            .envs(&layer.env)
            // What is proven is read off the lines that say what is compiled.
            .env("CARGO_TERM_QUIET", "false")
            .env("PATH", path)
            .envs(self.cargo_home.iter().map(|home| ("CARGO_HOME", home)))
            .output()
            .expect("there is a shell");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {stderr}", layer.name.as_str());
        (directory, compiled_crates(&stderr))
    }
}

/// The crates in cargo's own `Compiling` lines, sorted.
fn compiled_crates(stderr: &str) -> Vec<String> {
    let lines = stderr.lines().filter_map(|line| line.trim_start().strip_prefix("Compiling "));
    let mut names: Vec<String> = lines.filter_map(|l| l.split(' ').next()).map(str::to_owned).collect();
    names.sort();
    names
}

/// What [`LayerName::Fetch`] would leave behind.
fn fetched() -> TempDir {
    let directory = TempDir::new().expect("there is room for temporary files");
    let out = directory.path().join(".run/out");
    let external = Project::new(EXTERNAL);
    for path in external.paths() {
        write(&out.join("vendor").join(path.as_str()), external.text(path));
    }
    let config = "[source.crates-io]\nreplace-with = \"vendored-sources\"\n\n\
                  [source.vendored-sources]\ndirectory = \"vendor\"\n";
    write(&out.join("config.toml"), config);
    directory
}

/// Writes a file that can't be written again, from a time long ago.
fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a file is in a directory")).expect("a new directory");
    fs::write(path, text).expect("a new file");
    freeze(path);
}

fn freeze(path: &Path) {
    let file = fs::File::options().write(true).open(path).expect("it was just made");
    file.set_modified(UNIX_EPOCH + Duration::from_secs(1)).expect("it is ours");
    let mut permissions = file.metadata().expect("it is open").permissions();
    permissions.set_readonly(true);
    fs::set_permissions(path, permissions).expect("it is ours");
}

/// Cargo looks at the times of directories too, where a build script names one.
fn freeze_directories(directory: &Path) {
    for entry in fs::read_dir(directory).expect("it was just made") {
        let entry = entry.expect("it can be listed");
        if entry.file_type().expect("it is there").is_dir() {
            freeze_directories(&entry.path());
        }
    }
    let opened = fs::File::open(directory).expect("it was just made");
    opened.set_modified(UNIX_EPOCH + Duration::from_secs(1)).expect("it is ours");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a new directory");
    for entry in fs::read_dir(from).unwrap_or_else(|e| panic!("{}: {e}", from.display())) {
        let entry = entry.expect("it can be listed");
        let (from, to): (PathBuf, PathBuf) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().expect("it is there").is_dir() {
            copy(&from, &to);
            continue;
        }
        fs::copy(&from, &to).expect("a new file");
        let mut permissions = fs::metadata(&to).expect("just made").permissions();
        #[expect(clippy::permissions_set_readonly_false, reason = "the next line takes it back")]
        permissions.set_readonly(false);
        fs::set_permissions(&to, permissions).expect("it is ours");
        freeze(&to);
    }
}

#[test]
fn what_a_toolchain_consists_of_is_there() {
    let toolchain = Bench::new().toolchain;
    let files: Vec<RelPath> = toolchain
        .files()
        .expect("it is installed")
        .iter()
        .map(|f| RelPath::new(f.to_str().expect("Rust's names are ASCII")).expect("relative"))
        .collect();
    for needed in ["bin/cargo", "bin/rustc", "lib/rustlib/wasm32-wasip2/lib/self-contained/crt1-command.o"] {
        assert!(files.iter().any(|f| f.as_str() == needed), "{needed}");
    }
    assert_eq!(toolchain.stamp().expect("it is installed"), toolchain.stamp().expect("it is installed"));
}
