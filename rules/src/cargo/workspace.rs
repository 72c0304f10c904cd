//! [`find`]: the package behind a component's `source`, its workspace, and everything of this project that it needs.

use run_engine::path::{RelPath, under};

use super::files::{Dir, Files, Listed, lies_in, manifest_in, path, resolve};
use super::manifest::{Manifest, Written};
use super::package::{CargoPackage, PathCrate, stand_in, target};
use super::walk::{Walk, load};
use crate::diagnostic::Diagnostic;

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

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cargo::{StandIn, Target};

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
