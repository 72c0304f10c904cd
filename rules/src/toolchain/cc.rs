//! The C compiler driver of this machine, which Rust links build scripts and procedural macros with.
//!
//! It finds its parts by where it is installed, so it is used where it is; its identity is the content of the driver and
//! of every part that a link of a Rust program reads, as the driver itself names them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use run_engine::path::RelPath;

use super::{HostFile, ToolchainError, find_in};

/// The programs a link runs.
const PROGRAMS: &[&str] = &["collect2", "ld", "as"];

/// The objects and libraries a link reads.
const LIBRARIES: &[&str] = &[
    "Scrt1.o",
    "crt1.o",
    "crti.o",
    "crtbeginS.o",
    "crtendS.o",
    "crtn.o",
    "libc.so",
    "libc.so.6",
    "libc_nonshared.a",
    "libgcc.a",
    "libgcc_s.so.1",
    "libm.so.6",
    "libdl.so.2",
    "libpthread.so.0",
    "librt.so.1",
];

/// What there is of a C compiler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cc {
    /// Every file whose content decides what a link makes.
    pub files: Vec<HostFile>,
    /// The executable, where a search path can find it.
    pub links: Vec<HostFile>,
}

/// Finds `cc` and asks it for its parts.
///
/// # Errors
/// [`ToolchainError`] when there is none.
pub fn find(path: &[PathBuf], environment: &BTreeMap<String, String>) -> Result<Cc, ToolchainError> {
    let driver = find_in(path, "cc").ok_or_else(|| {
        ToolchainError::new(
            "this machine has no C compiler, which Rust links build scripts and procedural macros with",
            "install one: `apt-get install gcc`, or the same for your system",
        )
    })?;
    let mut files = vec![host_file("bin/cc", driver.canonicalize().unwrap_or_else(|_| driver.clone()))];
    let questions = PROGRAMS
        .iter()
        .map(|name| (name, format!("-print-prog-name={name}")))
        .chain(LIBRARIES.iter().map(|name| (name, format!("-print-file-name={name}"))));
    for (name, question) in questions {
        // A part that is not there is named without a path; what does not exist decides nothing.
        if let Some(part) = ask(&driver, &question, environment).filter(|part| part.is_absolute()) {
            files.push(host_file(&format!("parts/{name}"), part.canonicalize().unwrap_or(part)));
        }
    }
    Ok(Cc { files, links: vec![host_file("bin/cc", driver)] })
}

fn host_file(at: &str, from: PathBuf) -> HostFile {
    HostFile { at: RelPath::new(at).expect("made of constants"), from }
}

fn ask(driver: &Path, question: &str, environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    let answer = Command::new(driver).arg(question).env_clear().envs(environment).output().ok()?;
    let text = String::from_utf8(answer.stdout).ok()?;
    Some(PathBuf::from(text.trim_end()))
}
