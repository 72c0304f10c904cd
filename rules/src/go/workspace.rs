//! The `go.work` beside a module, for editors and `go vet`: it says where the modules are that connect the user's to its world.
//! No `go.mod` names them, and builds don't read it.

use std::fmt::Write as _;

use run_engine::path::RelPath;

use super::manifest::RUNTIME_GO;

/// Its name.
pub const FILE: &str = "go.work";

/// How one begins that a build has made. Another is somebody's own, though git ignores it in many projects.
pub const MARK: &str = "// Made by every build";

/// What the directory of the runtime of bindings is called, in that of a component's bindings.
pub const RUNTIME_DIRECTORY: &str = "pkg";

/// Whether a generated file, by its path below the module's directory, is part of a package that the user writes.
#[must_use]
pub fn is_beside_sources(below: &str) -> bool {
    let parts: Vec<&str> = below.split('/').collect();
    match parts[..] {
        ["exports", package, "wit_bindings.go" | "empty.s"] => {
            // The user's own `main` is what is exported there.
            package.starts_with("export_") && !package.starts_with("export_wasi_cli_run")
        }
        _ => false,
    }
}

/// The version of Go that a module in `go` is shown with: no older than the one that bindings are written in.
#[must_use]
pub fn version(go: Option<&str>) -> &str {
    go.filter(|go| numbers(go) > numbers(RUNTIME_GO)).unwrap_or(RUNTIME_GO)
}

/// A version of Go as numbers. What is no number is the least.
pub(super) fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

/// The `go.mod` of a module called `path`.
#[must_use]
pub fn module(path: &str, go: &str) -> String {
    format!("module {path}\n\ngo {go}\n")
}

/// The text for a module in `dir`, with other modules in the directories `used`.
#[must_use]
pub fn text(go: &str, dir: Option<&RelPath>, used: &[RelPath]) -> String {
    let up = dir.map_or_else(|| "./".to_owned(), |dir| "../".repeat(dir.parts().count()));
    let mut text = format!("{MARK}: it shows Go where the packages are that this module imports.\n\n");
    write!(text, "go {go}\n\nuse (\n\t.\n").expect("a string has room");
    for directory in used {
        writeln!(text, "\t{up}{directory}").expect("a string has room");
    }
    text + ")\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_modules_are_named_from_this_one_on() {
        let text = |dir: Option<&str>| {
            let used = [".run/bindings/api/pkg"].map(|dir| RelPath::new(dir).unwrap());
            let text = text("1.27", dir.map(|dir| RelPath::new(dir).unwrap()).as_ref(), &used);
            text.split_once("\n\n").unwrap().1.to_owned()
        };
        assert_eq!(text(None), "go 1.27\n\nuse (\n\t.\n\t./.run/bindings/api/pkg\n)\n");
        assert_eq!(text(Some("a/b")), "go 1.27\n\nuse (\n\t.\n\t../../.run/bindings/api/pkg\n)\n");
    }

    #[test]
    fn no_version_is_too_old() {
        assert_eq!([Some("1.27.3"), Some("1.9"), None].map(version), ["1.27.3", RUNTIME_GO, RUNTIME_GO]);
    }

    #[test]
    fn what_a_user_writes_has_its_other_half_beside_it() {
        assert!(is_beside_sources("exports/export_demo_math/wit_bindings.go"));
        assert!(!is_beside_sources("exports/export_wasi_cli_run_0_2_12/wit_bindings.go"));
        assert!(!is_beside_sources("exports/wit_exports/wit_exports.go"));
        assert!(!is_beside_sources("imports/demo_math/wit_bindings.go"));
    }
}
