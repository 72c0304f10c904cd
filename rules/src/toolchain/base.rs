//! The tools that every `[[command]]` finds: one named set, the same on every machine that has them, as a digested tree
//! with the libraries they load. Executables a command asks for by `tools` join it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use run_engine::action::Beside;
use run_engine::path::RelPath;
use run_engine::sandbox::system;

use super::{HostFile, ToolchainError, find_in};

/// The set. Shell, POSIX file and text tools, archives; nothing that compiles and nothing that talks to a network.
pub const NAMES: &[&str] = &[
    "awk",
    "basename",
    "bash",
    "cat",
    "chmod",
    "cksum",
    "comm",
    "cp",
    "cut",
    "date",
    "dirname",
    "echo",
    "env",
    "expr",
    "false",
    "find",
    "fold",
    "grep",
    "gzip",
    "head",
    "join",
    "ln",
    "ls",
    "md5sum",
    "mkdir",
    "mktemp",
    "mv",
    "nl",
    "od",
    "paste",
    "printf",
    "pwd",
    "readlink",
    "realpath",
    "rm",
    "rmdir",
    "sed",
    "seq",
    "sh",
    "sha1sum",
    "sha256sum",
    "sleep",
    "sort",
    "split",
    "stat",
    "tail",
    "tar",
    "tee",
    "test",
    "touch",
    "tr",
    "true",
    "uname",
    "uniq",
    "wc",
    "xargs",
    "yes",
];

/// Where the executables stand in the tree.
pub const BIN: &str = "bin";

/// Where the libraries stand.
const LIB: &str = "lib";

/// Where the executables of the set and of `extra` are found, by name: as they are found, before any link is followed.
///
/// # Errors
/// [`ToolchainError`] naming the tools that this machine lacks.
pub fn find(path: &[PathBuf], extra: &[&str]) -> Result<BTreeMap<String, PathBuf>, ToolchainError> {
    let mut executables = BTreeMap::new();
    let mut missing = Vec::new();
    for name in NAMES.iter().chain(extra) {
        match find_in(path, name) {
            Some(file) => {
                executables.insert((*name).to_owned(), file);
            }
            None => missing.push(*name),
        }
    }
    if !missing.is_empty() {
        return Err(ToolchainError::new(
            format!("this machine has no {}", first_few(&missing)),
            format!(
                "install {} and make sure that `PATH` leads to {}",
                one_or_many(&missing, "it", "them"),
                one_or_many(&missing, "it", "them")
            ),
        ));
    }
    Ok(executables)
}

/// These executables, and every library they load, as the files of a toolchain.
///
/// # Errors
/// [`ToolchainError`] for one that is gone, or has a name that can't be part of a path.
pub fn files(executables: &BTreeMap<String, PathBuf>) -> Result<Vec<HostFile>, ToolchainError> {
    let mut files = BTreeMap::new();
    for (name, found) in executables {
        let from = found.canonicalize().map_err(|e| {
            ToolchainError::new(format!("`{}` can't be followed: {e}", found.display()), "install the tool again")
        })?;
        for (library, from) in libraries(&from) {
            if let Ok(at) = RelPath::new(&format!("{LIB}/{library}")) {
                files.insert(at, from);
            }
        }
        let at = RelPath::new(&format!("{BIN}/{name}"))
            .map_err(|e| ToolchainError::new(format!("the tool {e}"), "use the plain name of an executable"))?;
        files.insert(at, from);
    }
    Ok(files.into_iter().map(|(at, from)| HostFile { at, from }).collect())
}

/// Where programs look for parts of a copied toolchain by absolute path: libraries, where the loader looks by itself; a
/// shell and `env`, where scripts and C programs expect them. `directory` holds the copies.
#[must_use]
pub fn beside(files: &[HostFile], directory: &Path) -> Vec<Beside> {
    let found_in = system::library_directory();
    let libraries = files.iter().filter(|file| file.at.parent().is_some_and(|parent| parent.as_str() == LIB));
    let beside = |file: &HostFile| Beside { at: found_in.join(file.at.file_name()), from: directory.join(&file.at) };
    let by_custom = [("/bin/sh", "sh"), ("/usr/bin/env", "env")].into_iter().filter_map(|(at, name)| {
        let is_it = |file: &&HostFile| file.at.as_str().strip_prefix(BIN) == Some(&format!("/{name}"));
        let file = files.iter().find(is_it)?;
        Some(Beside { at: PathBuf::from(at), from: directory.join(&file.at) })
    });
    libraries.map(beside).chain(by_custom).collect()
}

fn one_or_many<'a>(list: &[&str], one: &'a str, many: &'a str) -> &'a str {
    if list.len() == 1 { one } else { many }
}

/// The libraries an executable loads, those of these libraries included, by the name it loads them under. A script, or a static program, loads none.
pub(crate) fn libraries(executable: &Path) -> Vec<(String, PathBuf)> {
    match lddtree::DependencyAnalyzer::default().analyze(executable) {
        Ok(tree) => tree
            .libraries
            .into_values()
            .filter_map(|l| Some((file_name(&l.name), l.realpath?.canonicalize().ok()?)))
            .collect(),
        Err(_) => Vec::new(),
    }
}

/// The interpreter of a program is named by its path.
fn file_name(library: &str) -> String {
    library.rsplit('/').next().unwrap_or(library).to_owned()
}

/// A list that fits a line: where everything is missing, it is `PATH` that is wrong.
fn first_few(names: &[&str]) -> String {
    const N_SHOWN: usize = 5;
    let (shown, rest) = names.split_at(names.len().min(N_SHOWN));
    let shown = format!("`{}`", shown.join("`, `"));
    if rest.is_empty() { shown } else { format!("{shown} and {} more tools", rest.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_is_sorted_and_each_tool_is_there_once() {
        assert!(NAMES.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn a_missing_tool_is_named() {
        let error = find(&[PathBuf::from("/nonexistent")], &["jq"]).unwrap_err();
        let rest = NAMES.len() + 1 - 5;
        assert_eq!(
            error.what,
            format!("this machine has no `awk`, `basename`, `bash`, `cat`, `chmod` and {rest} more tools")
        );
        let error = find(&[PathBuf::from("/usr/bin"), PathBuf::from("/bin")], &["no-such-tool"]).unwrap_err();
        assert_eq!(error.what, "this machine has no `no-such-tool`");
    }

    #[test]
    fn a_dynamic_program_brings_its_libraries() {
        let path = [PathBuf::from("/usr/bin"), PathBuf::from("/bin")];
        let files = files(&find(&path, &[]).unwrap()).unwrap();
        assert!(files.iter().any(|f| f.at.as_str() == "bin/sh"));
        assert!(files.iter().any(|f| f.at.as_str().starts_with("lib/libc.so")), "{files:?}");
    }
}
