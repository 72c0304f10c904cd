//! The Rust that components are compiled with: found by rustc itself, identified by its files, and held to what the project
//! has locked.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use run_engine::action::MountedTree;
use run_engine::path::RelPath;
use run_engine::sandbox::system;

use super::super::gatherer::Gathers;
use super::{Tools, host_file};
use crate::cargo::{RustToolchain, WasmTarget};
use crate::diagnostic::Diagnostic;
use crate::manifest::{self, Manifest};
use crate::session::Environment;
use crate::toolchain::provision::{LOCKFILE, Lock, platform};
use crate::toolchain::{HostFile, ToolchainError, Toolchains, answers, base, find_in};

/// What the compiler itself is called, in `[toolchain]` and in the lockfile.
pub const RUST: &str = "rust";

/// What is the same on every kind of machine.
const ANY: &str = "any";

/// A part of a Rust, as the lockfile has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RustPart {
    /// `rust`, or `rust-std-TRIPLE`.
    pub name: String,
    /// The kind of machine it is for.
    pub platform: String,
    /// `1.95.0`.
    pub version: String,
    /// The digest of its files.
    pub digest: String,
}

impl Tools<'_> {
    /// The Rust that this project is compiled with.
    ///
    /// # Errors
    /// There is none, it can't compile for `target`, or it is another than is locked.
    pub fn rust(&mut self, target: WasmTarget, span: &Range<usize>) -> Gathers<Arc<MountedTree>> {
        if let Some(tree) = self.rust.get(target.triple()) {
            return Ok(Arc::clone(tree));
        }
        let told = |d: Diagnostic| vec![d.at(&self.manifest.file, span.clone(), "")];
        let found = self.locate_rust(target).map_err(told)?;
        let files = files(&found).map_err(|e| self.problem(&e, Some(span)))?;
        if self.lock.find(RUST, &platform()).is_some() {
            let parts = parts(&found, &self.toolchains).map_err(|e| self.problem(&e, Some(span)))?;
            held(&parts, self.lock).map_err(|problem| vec![self.placed(problem, span)])?;
        }
        let tree = self
            .rust_libraries(&found.sysroot, &files)
            .and_then(|libraries| self.toolchains.in_place(RUST, &found.sysroot, &files, &libraries))
            .map_err(|e| self.problem(&e, Some(span)))?;
        self.rust.insert(target.triple(), Arc::clone(&tree));
        Ok(tree)
    }

    /// What a Rust's programs load from elsewhere on this machine, the C library left out.
    fn rust_libraries(&mut self, sysroot: &Path, files: &[RelPath]) -> Result<Vec<HostFile>, ToolchainError> {
        let is_program = |file: &&RelPath| file.parts().any(|part| part == "bin");
        let programs: Vec<PathBuf> = files.iter().filter(is_program).map(|file| sysroot.join(file)).collect();
        let depends = self.watch(&programs);
        let answer = self.toolchains.answers().get(&format!("libraries of {programs:?}"), &depends, || {
            let shown: Vec<PathBuf> = system::files().iter().filter_map(|file| file.canonicalize().ok()).collect();
            let own = sysroot.canonicalize().unwrap_or_else(|_| sysroot.to_owned());
            let found: BTreeMap<String, PathBuf> = programs.iter().flat_map(|p| base::libraries(p)).collect();
            let foreign = found.into_iter().filter(|(_, from)| !from.starts_with(&own) && !shown.contains(from));
            Ok(answers::encode(foreign.map(|(name, from)| (format!("host/{name}"), from.display().to_string()))))
        })?;
        Ok(answers::decode(&answer).filter_map(host_file).collect())
    }

    /// Asks rustc where it is, unless it has been asked and nothing that decides the answer has moved.
    fn locate_rust(&mut self, target: WasmTarget) -> Result<RustToolchain, Diagnostic> {
        let (root, environment) = (self.root, self.environment);
        let tools = environment_of(Some(self.manifest), root, environment);
        let mut depends: Vec<PathBuf> = root
            .ancestors()
            .flat_map(|dir| ["rust-toolchain.toml", "rust-toolchain"].map(|name| dir.join(name)))
            .chain(environment.watched.iter().cloned())
            .chain(find_in(&environment.path, "rustc"))
            .collect();
        depends.extend(environment.path.iter().cloned());
        if let Some(manifest::Toolchain::Path(path)) = self.manifest.toolchains.get(RUST) {
            depends.push(root.join(&path.value).join("bin/rustc"));
        }
        let depends = self.watch(&depends);
        let question = format!("rust {} {root:?} {tools:?}", target.triple());
        let answer = self.toolchains.answers().get(&question, &depends, || {
            let found = RustToolchain::locate(root, &tools, target)?;
            Ok(answers::encode([
                ("sysroot".to_owned(), found.sysroot.display().to_string()),
                ("version".to_owned(), found.version),
                ("host".to_owned(), found.host),
            ]))
        })?;
        let said = |wanted: &str| {
            let found = answers::decode(&answer).find(|(name, _)| *name == wanted);
            found.map(|(_, value)| value.to_owned()).unwrap_or_default()
        };
        let found =
            RustToolchain { sysroot: said("sysroot").into(), version: said("version"), host: said("host"), target };
        is_wanted(&found, self.manifest)?;
        Ok(found)
    }
}

/// What rustc is asked in: `[toolchain.rust]` beats what the machine would choose.
#[must_use]
pub fn environment_of(manifest: Option<&Manifest>, root: &Path, environment: &Environment) -> BTreeMap<String, String> {
    let mut tools = environment.tools.clone();
    match manifest.and_then(|manifest| manifest.toolchains.get(RUST)) {
        Some(manifest::Toolchain::Version(version)) => {
            tools.insert("RUSTUP_TOOLCHAIN".to_owned(), version.value.clone());
        }
        Some(manifest::Toolchain::Path(path)) => {
            let bin = root.join(&path.value).join("bin");
            tools.insert("PATH".to_owned(), bin.display().to_string());
        }
        None => {}
    }
    tools
}

/// A Rust that rustup has no hand in is the one that is there, whatever was asked for.
///
/// # Errors
/// `missing-toolchain`.
pub fn is_wanted(found: &RustToolchain, manifest: &Manifest) -> Result<(), Diagnostic> {
    let Some(manifest::Toolchain::Version(wanted)) = manifest.toolchains.get(RUST) else {
        return Ok(());
    };
    let wanted = wanted.value.as_str();
    let is_number = wanted.starts_with(|c: char| c.is_ascii_digit());
    let is_it = found.version.split(' ').nth(1).is_some_and(|version| {
        version.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']))
    });
    if is_it || !is_number {
        return Ok(());
    }
    let message = format!("run.toml asks for Rust {wanted}, and this machine's is another");
    Err(Diagnostic::error("missing-toolchain", message)
        .note(format!("`rustc` is `{}`, in `{}`", found.version, found.sysroot.display()))
        .help(format!("install it with rustup: `rustup toolchain install {wanted}`"))
        .help("or change `version` in `[toolchain.rust]`"))
}

/// The files of a Rust that matter.
fn files(found: &RustToolchain) -> Result<Vec<RelPath>, ToolchainError> {
    let unreadable = |why: &dyn std::fmt::Display| {
        let what = format!("the toolchain in `{}` can't be read: {why}", found.sysroot.display());
        ToolchainError::new(what, "install it again: `rustup toolchain install`")
    };
    let mut files = Vec::new();
    for file in found.files().map_err(|e| unreadable(&e))? {
        let text = file.to_str().ok_or_else(|| unreadable(&"a name in it is not UTF-8"))?;
        files.push(RelPath::new(text).map_err(|e| unreadable(&e))?);
    }
    Ok(files)
}

/// A Rust in the parts that it is installed in: the compiler, and the standard library of its target.
///
/// # Errors
/// A file of it can't be read.
pub fn parts(found: &RustToolchain, toolchains: &Toolchains) -> Result<[RustPart; 2], ToolchainError> {
    let triple = found.target.triple();
    let library = format!("lib/rustlib/{triple}/");
    let (library, compiler): (Vec<RelPath>, Vec<RelPath>) =
        files(found)?.into_iter().partition(|file| file.as_str().starts_with(&library));
    let version = found.version.split(' ').nth(1).unwrap_or(&found.version);
    let part = |name: String, platform: String, files: &[RelPath]| {
        let digest = toolchains.digest_in_place(&found.sysroot, files)?;
        Ok(RustPart { name, platform, version: version.to_owned(), digest })
    };
    Ok([part(RUST.to_owned(), platform(), &compiler)?, part(format!("rust-std-{triple}"), ANY.to_owned(), &library)?])
}

/// Holds what is here to what is locked.
///
/// # Errors
/// `stale-lockfile` where a part is not locked; `other-bytes` where it is another than is locked.
pub fn held(parts: &[RustPart], lock: &Lock) -> Result<(), Diagnostic> {
    for RustPart { name, platform, version, digest } in parts {
        let sync = format!("run `run v2 toolchain sync rust`, and commit {LOCKFILE}");
        let Some(locked) = lock.find(name, platform) else {
            return Err(Diagnostic::error("stale-lockfile", format!("{LOCKFILE} has no {name}")).help(sync));
        };
        if locked.digest == *digest {
            continue;
        }
        let differ = locked.version != *version;
        let message = match differ {
            true => format!("this machine's {name} is {version}, and {LOCKFILE} has {}", locked.version),
            false => format!("this machine's {name} {version} has other bytes than {LOCKFILE} has"),
        };
        let wanted = &locked.version;
        let install = match differ {
            true => format!(
                "install it, `rustup toolchain install {wanted}`, and ask for it in run.toml: `toolchain.rust.version = \"{wanted}\"`"
            ),
            false => format!(
                "install it again: `rustup toolchain uninstall {wanted}`, then `rustup toolchain install {wanted}`"
            ),
        };
        return Err(Diagnostic::error("other-bytes", message)
            .note(format!("wanted {}", locked.digest))
            .note(format!(" found {digest}"))
            .help(install)
            .help(format!("if this one is to be used from now on, {sync}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toolchain::provision::Locked;

    #[test]
    fn a_rust_is_held_to_what_is_locked() {
        let part = |name: &str, version: &str, digit: &str| RustPart {
            name: name.to_owned(),
            platform: ANY.to_owned(),
            version: version.to_owned(),
            digest: format!("sha256:{}", digit.repeat(64)),
        };
        let mut lock = Lock::default();
        let put = |lock: &mut Lock, RustPart { name, platform, version, digest }: RustPart| {
            lock.put(Locked { name, platform, version, source: "rustup".to_owned(), digest });
        };
        put(&mut lock, part("rust", "1.95.0", "0"));
        let told =
            |parts: &[RustPart]| held(parts, &lock).map_err(|problem| format!("{}: {}", problem.code, problem.message));
        assert_eq!(told(&[part("rust", "1.95.0", "0")]), Ok(()));
        let other = "other-bytes: this machine's rust 1.95.0 has other bytes than run.lock.toml has";
        assert_eq!(told(&[part("rust", "1.95.0", "1")]), Err(other.to_owned()));
        let version = "other-bytes: this machine's rust is 1.96.0, and run.lock.toml has 1.95.0";
        assert_eq!(told(&[part("rust", "1.96.0", "1")]), Err(version.to_owned()));
        let std = part("rust-std-wasm32-wasip2", "1.95.0", "0");
        assert_eq!(told(&[std]), Err("stale-lockfile: run.lock.toml has no rust-std-wasm32-wasip2".to_owned()));
    }
}
