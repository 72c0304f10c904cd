//! What stays of files when there are none any more: the modules that a program may still import when it runs, and the data of
//! its packages.
//!
//! Every file that may be asked for is there once more, compressed. When the program is loaded, `kept.py` takes
//! into memory what was not imported until then, and finds it there for whoever imports it later. The standard library is
//! compressed once for each [engine](super::engine), not with every program.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::ops::Range;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::{HELPERS, Runtime, STANDARD, unpacked};
use crate::host::Disk;

/// The directory below which everything is put.
pub(super) const DIRECTORY: &str = "kept";

/// The module that takes it from there, and its text.
pub(super) const MODULE: (&str, &str) = ("run_kept", include_str!("kept.py"));

/// Parts of the standard library that are for a screen, which no component has.
const FOR_SCREENS: [&str; 4] = ["idlelib", "tkinter", "turtle.py", "turtledemo"];

/// The interpreter's modules as an archive of compressed files.
///
/// # Errors
/// What is wrong with the toolchain.
pub fn library(runtime: &Runtime) -> Result<Vec<u8>, String> {
    let wrong = |e: io::Error| format!("Python's toolchain can't be packed: {e}");
    let mut kept = tar::Builder::new(Vec::new());
    for (directory, file) in [("python", STANDARD), ("bundled", HELPERS)] {
        let archive = unpacked(runtime, file)?;
        for entry in tar::Archive::new(archive.as_slice()).entries().map_err(wrong)? {
            let mut entry = entry.map_err(wrong)?;
            let path = entry.path().map_err(wrong)?.display().to_string();
            let path = path.trim_start_matches("./");
            let is_for_screens = FOR_SCREENS.iter().any(|part| path.split('/').next() == Some(part));
            if !entry.header().entry_type().is_file() || !path.ends_with(".py") || is_for_screens {
                continue;
            }
            let mut text = Vec::new();
            entry.read_to_end(&mut text).map_err(wrong)?;
            let text = compressed(&text);
            let mut header = tar::Header::new_ustar();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            header.set_mtime(0);
            kept.append_data(&mut header, format!("{directory}/{path}"), text.as_slice()).map_err(wrong)?;
        }
    }
    kept.into_inner().map_err(wrong)
}

/// Puts files where a program is loaded: `library`, and those of `directories`, which have the names of their directories. All of
/// them are in two, beside which stands where each is: opening one costs more than reading it.
///
/// # Errors
/// The library is not what [`library`] made.
pub(super) fn put(
    disk: &mut Disk,
    library: Vec<u8>,
    directories: [(&str, &BTreeMap<String, Vec<u8>>); 2],
) -> Result<(), String> {
    let mut index = String::new();
    let library = Bytes::from(library);
    for (path, place) in super::entries(&library, DIRECTORY)? {
        line(&mut index, &path, &place);
    }
    disk.insert(&format!("{DIRECTORY}/library"), library);
    disk.insert(&format!("{DIRECTORY}/library.index"), index.into());

    let (mut index, mut program) = (String::new(), Vec::new());
    for (directory, files) in directories {
        let packages = packages(files);
        for (path, bytes) in files.iter().filter(|(path, _)| is_kept(path, &packages)) {
            let start = program.len();
            program.extend(compressed(bytes));
            line(&mut index, &format!("{directory}/{path}"), &(start..program.len()));
        }
    }
    disk.insert(&format!("{DIRECTORY}/program"), program.into());
    disk.insert(&format!("{DIRECTORY}/program.index"), index.into());
    Ok(())
}

/// Where a file begins, how long it is, and its path.
fn line(index: &mut String, path: &str, place: &Range<usize>) {
    writeln!(index, "{} {} /{path}", place.start, place.len()).expect("strings grow");
}

/// The directories that are packages.
fn packages(files: &BTreeMap<String, Vec<u8>>) -> BTreeSet<&str> {
    files.keys().filter_map(|path| path.strip_suffix("/__init__.py")).collect()
}

/// Whether a program may ask for a file when it runs: every module, what else is in a package, and what is said about one; but
/// no tests, no stubs for type checkers, and nothing that is compiled.
fn is_kept(path: &str, packages: &BTreeSet<&str>) -> bool {
    let above = || std::iter::successors(Some(path), |path| path.rsplit_once('/').map(|(above, _)| above)).skip(1);
    let name = path.rsplit('/').next().unwrap_or(path);
    if above().any(|directory| directory.rsplit('/').next() == Some("tests")) {
        return false;
    }
    let is_of_no_use =
        [".pyi", ".pyc", ".so", ".pyd"].iter().any(|ending| name.ends_with(ending)) || name == "py.typed";
    let is_about_package = above().next().is_some_and(|directory| directory.ends_with(".dist-info"))
        && matches!(name, "METADATA" | "entry_points.txt");
    name.ends_with(".py") || is_about_package || !is_of_no_use && above().any(|directory| packages.contains(directory))
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory grows")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_kept_and_what_their_packages_hold() {
        let paths = [
            "app.py",
            "notes.txt",
            "lib/__init__.py",
            "lib/data/words.txt",
            "lib/fast.pyi",
            "lib/py.typed",
            "lib/tests/__init__.py",
            "lib/tests/words.txt",
            "loose/words.txt",
            "loose/inner.py",
            "lib-1.0.dist-info/METADATA",
            "lib-1.0.dist-info/RECORD",
        ];
        let files: BTreeMap<String, Vec<u8>> = paths.into_iter().map(|path| (path.to_owned(), vec![])).collect();
        let packages = packages(&files);
        let kept: Vec<&str> = paths.into_iter().filter(|path| is_kept(path, &packages)).collect();
        assert_eq!(
            kept,
            ["app.py", "lib/__init__.py", "lib/data/words.txt", "loose/inner.py", "lib-1.0.dist-info/METADATA"]
        );
    }
}
