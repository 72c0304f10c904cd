//! Finds cargo and rustc, and names the files they consist of.
//!
//! Found by copying files until builds worked (Rust 1.95, `wasm32-wasip2`, with build scripts and procedural macros): the
//! two programs, the libraries they load, and for both the machine that builds and the target the standard library and
//! the tools beside it (`rust-lld`, `wasm-component-ld`). Documentation, clippy and rustfmt are not needed, and neither is
//! the other targets' standard library.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::UNIX_EPOCH;

use super::layers::WasmTarget;
use crate::diagnostic::Diagnostic;

/// An installed Rust, for one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RustToolchain {
    /// The directory all files are in.
    pub sysroot: PathBuf,
    /// What `rustc --version` says. For people: files are identified by their content.
    pub version: String,
    /// Rust's name for the machine that builds.
    pub host: String,
    /// What is compiled for.
    pub target: WasmTarget,
}

impl RustToolchain {
    /// Finds the toolchain that `rustc` is in `directory`: rustup picks it by `RUSTUP_TOOLCHAIN` and by
    /// `rust-toolchain.toml`. `env` is the environment to ask in, all of it.
    ///
    /// # Errors
    /// `missing-toolchain` when there is no `rustc`, or it fails; `missing-wasm-target` when it can't compile for
    /// `target`.
    pub fn locate(directory: &Path, env: &BTreeMap<String, String>, target: WasmTarget) -> Result<Self, Diagnostic> {
        let version = ask(directory, env, &["--version"])?;
        let answer = ask(directory, env, &["--print=sysroot", "--print=host-tuple"])?;
        let Some((sysroot, host)) = answer.split_once('\n') else {
            return Err(missing("`rustc --print=sysroot --print=host-tuple` gave one line".to_owned()));
        };
        let found = Self { sysroot: sysroot.into(), version, host: host.to_owned(), target };
        if !found.sysroot.join("bin/cargo").is_file() {
            return Err(missing(format!("there is no `bin/cargo` in `{}`", found.sysroot.display())));
        }
        if !found.library_of(target.triple()).is_dir() {
            return Err(Diagnostic::error(
                "missing-wasm-target",
                format!("Rust has no standard library for `{}`", target.triple()),
            )
            .note(format!("looked in `{}` ({})", found.sysroot.display(), found.version))
            .help(format!("run `run v2 toolchain install rust`, or `rustup target add {}`", target.triple())));
        }
        Ok(found)
    }

    /// The files that matter, relative to the sysroot, sorted.
    ///
    /// # Errors
    /// When a directory can't be read.
    pub fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = vec![PathBuf::from("bin/cargo"), PathBuf::from("bin/rustc")];
        for entry in fs::read_dir(self.sysroot.join("lib"))? {
            let entry = entry?;
            if is_compiler_library(&entry.file_name().to_string_lossy()) {
                found.push(Path::new("lib").join(entry.file_name()));
            }
        }
        for directory in self.directories() {
            collect(&self.sysroot, &directory, &mut found)?;
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// A few words that change when the toolchain is updated, or gains or loses a part: some file times, no contents.
    ///
    /// # Errors
    /// When one of the files is gone.
    pub fn stamp(&self) -> io::Result<String> {
        let mut watched = vec![PathBuf::from("bin/cargo"), PathBuf::from("bin/rustc"), PathBuf::from("lib")];
        watched.extend(self.directories());
        let mut stamp = String::new();
        for path in watched {
            let facts = fs::metadata(self.sysroot.join(&path))?;
            let time = facts.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
            stamp.extend([path.display().to_string(), format!(" {} {}\n", facts.len(), time.as_nanos())]);
        }
        Ok(stamp)
    }

    /// The directories that are needed whole.
    fn directories(&self) -> Vec<PathBuf> {
        let rustlib = Path::new("lib/rustlib");
        let host = rustlib.join(&self.host);
        let mut found = vec![host.join("lib"), rustlib.join(self.target.triple()).join("lib")];
        if self.sysroot.join(&host).join("bin").is_dir() {
            found.push(host.join("bin"));
        }
        found
    }

    fn library_of(&self, triple: &str) -> PathBuf {
        self.sysroot.join("lib/rustlib").join(triple).join("lib")
    }
}

/// Whether a file of `lib` is of Rust. A sysroot may be `/usr`, where there are others.
fn is_compiler_library(name: &str) -> bool {
    ["librustc_driver-", "libLLVM", "libstd-"].iter().any(|prefix| name.starts_with(prefix))
}

/// Adds the files below a directory.
fn collect(sysroot: &Path, directory: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(sysroot.join(directory))? {
        let entry = entry?;
        let path = directory.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            collect(sysroot, &path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

/// What `rustc` answers, without the last line's end.
fn ask(directory: &Path, env: &BTreeMap<String, String>, args: &[&str]) -> Result<String, Diagnostic> {
    let asked = Command::new("rustc")
        .args(args)
        .current_dir(directory)
        .env_clear()
        .envs(env)
        // Getting a toolchain is a decision; asking for its path must not take it.
        .env("RUSTUP_AUTO_INSTALL", "0")
        .output();
    match asked {
        Ok(Output { status, stdout, .. }) if status.success() => {
            Ok(String::from_utf8_lossy(&stdout).trim_end().to_owned())
        }
        Ok(Output { stderr, .. }) => Err(failed(&String::from_utf8_lossy(&stderr))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            Err(missing("there is no `rustc` in `PATH`".to_owned())
                .help("install Rust with rustup, see https://rustup.rs"))
        }
        Err(e) => Err(missing(format!("`rustc` can't be run: {e}"))),
    }
}

fn missing(message: String) -> Diagnostic {
    Diagnostic::error("missing-toolchain", message)
}

fn failed(stderr: &str) -> Diagnostic {
    let said = stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    let failed = said.fold(missing("`rustc` can't say where it is".to_owned()), Diagnostic::note);
    failed.help(
        "install the toolchain that `rust-toolchain.toml` or `RUSTUP_TOOLCHAIN` names: `rustup toolchain install`",
    )
}
