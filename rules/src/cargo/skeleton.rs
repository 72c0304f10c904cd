//! Manifests that say only what cargo's resolver asks, and empty crates to go with them.
//!
//! Cargo reads the manifest of every member before it builds one of them. A skeleton stands in for a package that is not
//! compiled, or not yet: it keeps the package's identity, its dependencies and its features, so that the lockfile fits
//! and external packages are compiled exactly as they would be for the real one. Descriptions, lints, tests, examples
//! and sources are left out, so editing those changes no byte of it.

use toml::{Table, Value};

use super::package::{Lib, Shape, StandIn};

/// How much of a `[workspace]` is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// What resolution needs: every package is a skeleton.
    Resolution,
    /// What real packages may inherit, too: `[workspace.package]` and `[workspace.lints]` as they are.
    Inheritance,
}

/// A stand-in for a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skeleton {
    /// The text of its manifest.
    pub manifest: String,
    /// The files it needs, by their path from the manifest's directory.
    pub files: Vec<(&'static str, &'static str)>,
}

/// Where a stand-in's library, binary and build script are.
const LIB: &str = "src/lib.rs";
const BIN: &str = "src/main.rs";
const BUILD: &str = "build.rs";

/// No real package describes itself so. A package's description is part of what cargo compares before it reuses a
/// compiled crate, so the stand-in's can't be taken for the real one's, whatever times files have.
const DESCRIPTION: &str = "Stands in for the package of this name while others are compiled.";

/// What is kept of `[package]`. `links` goes with the build script.
const PACKAGE: &[&str] = &["name", "version", "edition", "rust-version", "resolver", "workspace"];
/// What is kept of the rest, as it is written.
const TABLES: &[&str] = &[
    "cargo-features",
    "dependencies",
    "dev-dependencies",
    "dev_dependencies",
    "build-dependencies",
    "build_dependencies",
    "features",
    "patch",
    "replace",
    "profile",
];
/// What is kept of `[target.…]`.
const TARGET_TABLES: &[&str] =
    &["dependencies", "dev-dependencies", "dev_dependencies", "build-dependencies", "build_dependencies"];
/// What is kept of `[workspace]`.
const WORKSPACE: &[&str] = &["members", "exclude", "default-members", "resolver", "dependencies"];

/// Makes a skeleton.
///
/// # Panics
/// Never on a manifest that [`super::find`] has read: that is TOML.
#[must_use]
pub fn skeleton(package: &StandIn, keep: Keep) -> Skeleton {
    let real: Table = package.manifest.parse().expect("this manifest was parsed when it was read");
    let mut made = pick(&real, TABLES);
    if let Some(Value::Table(targets)) = real.get("target") {
        let dependencies = targets.iter().filter_map(|(name, table)| {
            let kept = pick(table.as_table()?, TARGET_TABLES);
            (!kept.is_empty()).then(|| (name.clone(), Value::Table(kept)))
        });
        insert_table(&mut made, "target", dependencies.collect());
    }
    if let Some(Value::Table(workspace)) = real.get("workspace") {
        made.insert("workspace".to_owned(), Value::Table(skeleton_workspace(workspace, keep)));
    }
    let mut files = Vec::new();
    if let Some(Value::Table(table)) = real.get("package") {
        made.insert("package".to_owned(), Value::Table(skeleton_package(table, &package.shape)));
        files = targets(&mut made, &package.shape);
    }
    let manifest = toml::to_string(&made).expect("a part of what was TOML is TOML");
    Skeleton { manifest, files }
}

fn skeleton_package(real: &Table, shape: &Shape) -> Table {
    let mut made = pick(real, PACKAGE);
    if let (Some(links), true) = (real.get("links"), shape.build_script) {
        made.insert("links".to_owned(), links.clone());
    }
    let build = if shape.build_script { Value::from(BUILD) } else { Value::from(false) };
    made.insert("build".to_owned(), build);
    made.insert("description".to_owned(), Value::from(DESCRIPTION));
    for auto in ["autolib", "autobins", "autoexamples", "autotests", "autobenches"] {
        made.insert(auto.to_owned(), Value::from(false));
    }
    made
}

fn skeleton_workspace(real: &Table, keep: Keep) -> Table {
    let mut made = pick(real, WORKSPACE);
    match keep {
        Keep::Inheritance => made.extend(pick(real, &["package", "lints"])),
        Keep::Resolution => {
            if let Some(Value::Table(package)) = real.get("package") {
                insert_table(&mut made, "package", pick(package, &["version", "edition", "rust-version"]));
            }
        }
    }
    made
}

/// Declares the crates of a package, and lists their files. Cargo wants every package to have one.
fn targets(made: &mut Table, shape: &Shape) -> Vec<(&'static str, &'static str)> {
    let mut files = Vec::new();
    let lib = match (&shape.lib, &shape.bin) {
        (None, None) => Some(&Lib { name: None, crate_types: Vec::new(), proc_macro: false }),
        (lib, _) => lib.as_ref(),
    };
    if let Some(lib) = lib {
        made.insert("lib".to_owned(), Value::Table(skeleton_lib(lib)));
        files.push((LIB, ""));
    }
    if let Some(bin) = &shape.bin {
        let table = Table::from_iter([("name", bin.as_str()), ("path", BIN)].map(pair));
        made.insert("bin".to_owned(), Value::Array(vec![Value::Table(table)]));
        files.push((BIN, "fn main() {}\n"));
    }
    if shape.build_script {
        files.push((BUILD, "fn main() {}\n"));
    }
    files
}

fn skeleton_lib(lib: &Lib) -> Table {
    let mut made = Table::from_iter([pair(("path", LIB))]);
    if let Some(name) = &lib.name {
        made.insert("name".to_owned(), Value::from(name.as_str()));
    }
    if lib.proc_macro {
        made.insert("proc-macro".to_owned(), Value::from(true));
    } else if !lib.crate_types.is_empty() {
        made.insert("crate-type".to_owned(), Value::from(lib.crate_types.clone()));
    }
    made
}

fn pair((key, value): (&str, &str)) -> (String, Value) {
    (key.to_owned(), Value::from(value))
}

fn pick(table: &Table, keys: &[&str]) -> Table {
    keys.iter().filter_map(|key| Some(((*key).to_owned(), table.get(*key)?.clone()))).collect()
}

fn insert_table(made: &mut Table, key: &str, table: Table) {
    if !table.is_empty() {
        made.insert(key.to_owned(), Value::Table(table));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skeleton_keeps_what_resolution_needs() {
        let manifest = r#"
[package]
name = "a"
version.workspace = true
description = "words"
keywords = ["words"]
links = "z"
default-run = "x"

[lib]
path = "lib/here.rs"
crate-type = ["cdylib", "rlib"]
test = false

[[bin]]
name = "x"

[features]
json = ["dep:json"]

[dependencies]
json = { version = "1", optional = true }

[target.'cfg(unix)'.dependencies]
c = "1"

[lints]
workspace = true

[workspace]
members = ["b"]
[workspace.package]
version = "1.0.0"
authors = ["someone"]
[workspace.lints.rust]
unsafe_code = "deny"
"#;
        let lib = Lib { crate_types: vec!["cdylib".to_owned(), "rlib".to_owned()], ..Lib::default() };
        let shape = Shape { lib: Some(lib), bin: None, build_script: true };
        let package = StandIn { name: "a".to_owned(), dir: None, manifest: manifest.to_owned(), shape };
        let made = skeleton(&package, Keep::Resolution);
        assert_eq!(made.files, [(LIB, ""), (BUILD, "fn main() {}\n")]);
        let expected = r#"[dependencies.json]
optional = true
version = "1"

[features]
json = ["dep:json"]

[lib]
crate-type = ["cdylib", "rlib"]
path = "src/lib.rs"

[package]
autobenches = false
autobins = false
autoexamples = false
autolib = false
autotests = false
build = "build.rs"
description = "Stands in for the package of this name while others are compiled."
links = "z"
name = "a"

[package.version]
workspace = true

[target."cfg(unix)".dependencies]
c = "1"

[workspace]
members = ["b"]

[workspace.package]
version = "1.0.0"
"#;
        assert_eq!(made.manifest, expected);
        assert!(skeleton(&package, Keep::Inheritance).manifest.contains("unsafe_code"));
    }
}
