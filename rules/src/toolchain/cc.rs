//! The C compiler driver of this machine, which Rust links build scripts and procedural macros with.
//!
//! It finds its parts by where it is installed, so it is used where it is; its identity is the content of the driver and
//! of every part that a link of a Rust program reads, as the driver itself names them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use run_engine::action::Beside;
use run_engine::path::RelPath;
use run_engine::sandbox::system;

use super::base::libraries;
use super::{HostFile, ToolchainError, find_in};

/// The programs a link runs.
const PROGRAMS: &[&str] = &["collect2", "ld", "as", "lto-wrapper"];

/// The objects and libraries a link reads. What is called a library may be a text that names others.
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
    "libgcc_s.so",
    "libgcc_s.so.1",
    "libm.so",
    "libm.so.6",
    "libmvec.so.1",
    "libdl.a",
    "libdl.so.2",
    "libpthread.a",
    "libpthread.so.0",
    "librt.a",
    "librt.so.1",
    "libutil.a",
    "libutil.so.1",
    "liblto_plugin.so",
];

/// What there is of a C compiler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cc {
    /// Every file whose content decides what a link makes.
    pub files: Vec<HostFile>,
    /// The executable, where a search path can find it.
    pub links: Vec<HostFile>,
    /// Where the driver looks for these files.
    pub beside: Vec<Beside>,
}

/// What [`find`] is asked, in words: an answer to another question, such as an older version's, is none to this one.
#[must_use]
pub fn question(path: &[PathBuf], environment: &BTreeMap<String, String>) -> String {
    format!("cc in {path:?} {environment:?}: {PROGRAMS:?} {LIBRARIES:?}, and what they load")
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
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut cc = Cc { files: Vec::new(), links: vec![host_file("bin/cc", driver.clone())], beside: Vec::new() };
    let mut add = |at: &str, named: PathBuf| {
        let from = real(&named);
        cc.files.push(host_file(at, from.clone()));
        cc.beside.push(Beside { at: named, from });
    };
    let mut programs = vec![driver.clone()];
    for name in PROGRAMS {
        if let Some(program) = part(&driver, &format!("-print-prog-name={name}"), path, environment) {
            add(&format!("parts/{name}"), program.clone());
            programs.push(program);
        }
    }
    for name in LIBRARIES {
        if let Some(library) = part(&driver, &format!("-print-file-name={name}"), &[], environment) {
            add(&format!("parts/{name}"), library);
        }
    }
    add("bin/cc", driver);
    // What the programs themselves load is found where the loader looks.
    let found_in = system::library_directory();
    let loaded: BTreeMap<String, PathBuf> = programs.iter().flat_map(|program| libraries(&real(program))).collect();
    for (name, from) in loaded {
        cc.files.push(host_file(&format!("lib/{name}"), from.clone()));
        cc.beside.push(Beside { at: found_in.join(name), from });
    }
    Ok(cc)
}

/// What the driver answers, where that is a file: a part that is not there is named without a path, and what does not
/// exist decides nothing. A program without a path is looked for in `path`.
fn part(driver: &Path, question: &str, path: &[PathBuf], environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    let answer = ask(driver, question, environment)?;
    if answer.is_absolute() { Some(answer) } else { find_in(path, answer.to_str()?) }
}

fn host_file(at: &str, from: PathBuf) -> HostFile {
    HostFile { at: RelPath::new(at).expect("made of constants"), from }
}

fn ask(driver: &Path, question: &str, environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    let answer = Command::new(driver).arg(question).env_clear().envs(environment).output().ok()?;
    let text = String::from_utf8(answer.stdout).ok()?;
    Some(PathBuf::from(text.trim_end()))
}
