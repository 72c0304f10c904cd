//! Python, by CPython: the interpreter's files, what a program finds when it is loaded, and what is said when that fails.
//!
//! The interpreter's side is a set of dynamic libraries of which one exports `init`: it imports a module of Python, whose
//! classes are then the component's exports, and it is told by name which class and method belongs to which function of the
//! world ([`symbols`]). Functions and types of the world are Python modules that are written here ([`bindings`]).

mod annotations;
mod bindings;
mod bound;
mod kept;
mod symbols;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use run_engine::cancel::Cancel;
use wasmtime::component::Val;

use self::bindings::Reader;
use self::bound::Bound;
use super::link::{self, Libdl, Library};
use super::{Engine, Refused, Stopped, freeze, seal};
use crate::diagnostic::Diagnostic;
use crate::host::{Component, Disk, Rehearsal, Rehearsed};
use crate::step::StepError;
use crate::step::bindings::Files;
use crate::step::wit::World;

pub use kept::library;

/// The interpreter's libraries by what others call them, and the files they come in. Of two that define a name the first
/// wins.
const LIBRARIES: [(&str, &str); 9] = [
    (INTERPRETER, "libcomponentize_py_runtime_sync.so.zst"),
    ("libpython3.14.so", "libpython3.14.so.zst"),
    ("libc.so", "libc.so.zst"),
    ("libwasi-emulated-mman.so", "libwasi-emulated-mman.so.zst"),
    ("libwasi-emulated-process-clocks.so", "libwasi-emulated-process-clocks.so.zst"),
    ("libwasi-emulated-getpid.so", "libwasi-emulated-getpid.so.zst"),
    ("libwasi-emulated-signal.so", "libwasi-emulated-signal.so.zst"),
    ("libc++.so", "libc++.so.zst"),
    ("libc++abi.so", "libc++abi.so.zst"),
];

/// The library that the bindings are written against.
const INTERPRETER: &str = "libcomponentize_py_runtime.so";

/// The standard library.
const STANDARD: &str = "python-lib.tar.zst";

/// Modules that the interpreter's own library expects.
const HELPERS: &str = "bundled.tar.zst";

/// Where a program's files are while it is loaded.
const PROJECT: &str = "project";

/// Where packages that other people wrote are then.
const SITE: &str = "site-packages";

/// The interface that holds the function that is rehearsed; the component does not keep it.
const INIT: &str = "exports";

/// Files of the interpreter's toolchain, by name.
pub type Runtime = BTreeMap<String, Vec<u8>>;

/// Joins CPython with the bindings of `world`.
///
/// # Errors
///
/// `bad-wit` for a world that can't be bound; `bad-component` when `runtime` is not what it should be.
pub fn engine(world: &World, runtime: &Runtime) -> Result<Engine, StepError> {
    let bound = Bound::new(world)?;
    link::link(world, &libraries(runtime)?, bound.library, Libdl::BuiltIn)
}

/// What CPython is in every engine ([`super::settle::component_of`]).
///
/// # Errors
///
/// `bad-component` when `runtime` is not what it should be.
pub fn interpreter(runtime: &Runtime) -> Result<Vec<u8>, StepError> {
    link::interpreter(&libraries(runtime)?)
}

fn libraries(runtime: &Runtime) -> Result<Vec<Library>, Diagnostic> {
    let libraries = LIBRARIES.iter().map(|(name, file)| {
        let bytes = unpacked(runtime, file).map_err(|e| Diagnostic::error("bad-component", e))?;
        Ok(Library { name: (*name).to_owned(), bytes })
    });
    libraries.collect()
}

/// The modules of a world as editors read them: with types, and with what they import.
///
/// # Errors
///
/// `bad-wit` for a world that can't be bound.
pub fn editor_modules(world: &World) -> Result<Files, StepError> {
    let bound = Bound::new(world)?;
    let types = ("componentize_py_types.py".to_owned(), include_str!("types.py").to_owned());
    let modules = bindings::modules(&bound, Reader::Editor).into_iter().chain([types]);
    Ok(modules.map(|(path, text)| (path, text.into_bytes())).collect())
}

fn unpacked(runtime: &Runtime, file: &str) -> Result<Vec<u8>, String> {
    let packed = runtime.get(file).ok_or_else(|| format!("Python's toolchain has no `{file}`"))?;
    zstd::decode_all(packed.as_slice()).map_err(|e| format!("Python's toolchain: `{file}` can't be unpacked: {e}"))
}

/// A program to be loaded.
#[derive(Debug)]
pub struct Program<'a> {
    /// The world it implements.
    pub world: &'a World,
    /// Its files, by path.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The directories in which modules are looked for, in order; the project's own is empty.
    pub roots: Vec<String>,
    /// The files of packages that other people wrote, by path: looked for after its own.
    pub packages: BTreeMap<String, Vec<u8>>,
    /// The interpreter's modules, as [`library`] made them.
    pub library: Vec<u8>,
    /// The module whose classes are the component's exports: `app`, `package.app`.
    pub module: &'a str,
}

/// Loads the program into an engine; `open` is the native code of its opened form. What comes back is a component, and what
/// the program wrote while it was loaded.
///
/// # Errors
///
/// What the program did wrong, or what this machine could not do.
pub fn snapshot(
    linked: &[u8],
    open: &Component,
    runtime: &Runtime,
    program: Program<'_>,
    cancel: &Cancel,
) -> Result<(Vec<u8>, Vec<u8>), Stopped> {
    let bound = Bound::new(program.world).map_err(|e| Refused(e.to_string()))?;
    let path = program.roots.iter().map(|root| format!("/{PROJECT}/{root}").trim_end_matches('/').to_owned());
    let packages = (!program.packages.is_empty()).then(|| format!("/{SITE}"));
    let first = ["/python", "/world"].map(str::to_owned).into_iter();
    let path: Vec<String> = first.chain(path).chain(packages).chain(["/bundled".to_owned()]).collect();
    let env = [
        ("PYTHONUNBUFFERED", "1".to_owned()),
        // There is nowhere to write to.
        ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
        ("PYTHONHOME", "/python".to_owned()),
        ("PYTHONPATH", path.join(":")),
    ];
    let (promises, entry) = bindings::entry(&bound, program.module);
    let rehearsal = Rehearsal {
        component: open,
        env: env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        stdin: vec![],
        files: Arc::new(disk(runtime, &bound, entry, program).map_err(Refused)?),
        functions: vec![],
        cancel,
    };
    let arguments = [Val::String(bindings::ENTRY.to_owned()), symbols::symbols(&bound), Val::Bool(false)];
    let mut stage = match rehearsal.run(Some(INIT), "init", &arguments)? {
        Rehearsed::Returned(Val::Result(Ok(_)), stage) => stage,
        Rehearsed::Returned(value, stage) => {
            return Err(explain(&super::said(value), &stage.output(), &promises).into());
        }
        Rehearsed::Failed { message, output } => return Err(explain(&message, &output, &promises).into()),
    };
    let frozen = freeze::freeze(linked, &mut stage).map_err(Refused)?;
    let sealed = seal::seal(&frozen, seal::Seal { import: None, export: INIT }).map_err(Refused)?;
    Ok((sealed, stage.output()))
}

fn disk(runtime: &Runtime, bound: &Bound, entry: String, program: Program<'_>) -> Result<Disk, String> {
    let Program { files, packages, library, .. } = program;
    let mut disk = Disk::default();
    kept::put(&mut disk, library, [(PROJECT, &files), (SITE, &packages)])?;
    unpack_into(&mut disk, "python", unpacked(runtime, STANDARD)?)?;
    unpack_into(&mut disk, "bundled", unpacked(runtime, HELPERS)?)?;
    for (path, text) in bindings::modules(bound, Reader::Interpreter) {
        disk.insert(&format!("world/{path}"), text.into());
    }
    for (module, text) in [(bindings::ENTRY, entry), (kept::MODULE.0, kept::MODULE.1.to_owned())] {
        disk.insert(&format!("world/{module}.py"), text.into());
    }
    for (directory, files) in [(PROJECT, files), (SITE, packages)] {
        for (path, bytes) in files {
            disk.insert(&format!("{directory}/{path}"), bytes.into());
        }
    }
    Ok(disk)
}

/// Puts the files of an archive below `directory`, without copying them.
fn unpack_into(disk: &mut Disk, directory: &str, archive: Vec<u8>) -> Result<(), String> {
    let archive = Bytes::from(archive);
    for (path, place) in entries(&archive, directory)? {
        disk.insert(&format!("{directory}/{path}"), archive.slice(place));
    }
    Ok(())
}

/// Where each file of an archive is. `what` it holds is for errors.
fn entries(archive: &[u8], what: &str) -> Result<Vec<(String, Range<usize>)>, String> {
    let mut found = Vec::new();
    let wrong = |e: std::io::Error| format!("Python's toolchain: `{what}` can't be unpacked: {e}");
    for entry in tar::Archive::new(archive).entries().map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        if entry.header().entry_type().is_file() {
            let start = usize::try_from(entry.raw_file_position()).unwrap_or(usize::MAX).min(archive.len());
            let end = start.saturating_add(usize::try_from(entry.size()).unwrap_or(usize::MAX)).min(archive.len());
            found.push((entry.path().map_err(wrong)?.display().to_string(), start..end));
        }
    }
    Ok(found)
}

/// How Python begins to tell where an error comes from.
const TRACEBACK: &str = "Traceback (most recent call last):\n";

/// How a line of a traceback begins that names a place.
const PLACE: &str = "  File \"";

/// Places that are not the program's.
const ELSEWHERE: [&str; 3] = ["/world/", "/python/", "<frozen "];

/// What an error of the interpreter's means to whoever wrote the program.
fn explain(message: &str, output: &[u8], promises: &[bindings::Promise]) -> Refused {
    if let Some(missing) = super::missing(message) {
        let lines =
            missing.into_iter().filter_map(|number| promises.get(number)).map(|promise| promise.message.as_str());
        return Refused(lines.collect::<Vec<_>>().join("\n"));
    }
    // Files are named as the program saw them.
    let output = String::from_utf8_lossy(output).replace(&format!("\"/{PROJECT}/"), "\"");
    let Some((before, traceback)) = output.split_once(TRACEBACK) else {
        return Refused::after(output.as_bytes(), message);
    };
    // It begins with how the program came to be loaded, which is not its concern.
    let mut places = traceback.match_indices(PLACE).map(|(at, _)| &traceback[at..]);
    let is_own = |rest: &&str| !ELSEWHERE.iter().any(|other| rest[PLACE.len()..].starts_with(other));
    let own = places.find(is_own).unwrap_or(traceback).trim_end();
    let mut text = format!("{TRACEBACK}{own}");
    if own.lines().last().is_some_and(|line| line.starts_with("ModuleNotFoundError: ")) {
        text.push_str(
            "\nhelp: make the module one of the component's files, in a directory where modules are looked for; a package of \
             pure Python is fetched when `requirements.txt` beside the sources names it with its version and digest, one with \
             native code can't be loaded",
        );
    }
    Refused::after(before.as_bytes(), &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceback_begins_where_the_program_does() {
        let output = "hi\nTraceback (most recent call last):\n  File \"/world/run_entry.py\", line 3, in <module>\n    \
                      load()\n  File \"/project/src/app.py\", line 1, in <module>\n    import gone\nModuleNotFoundError: \
                      No module named 'gone'\n";
        let Refused(text) = explain("ModuleNotFoundError: No module named 'gone'", output.as_bytes(), &[]);
        let (told, help) = text.split_once("\nhelp: ").unwrap();
        assert_eq!(
            told,
            "hi\nTraceback (most recent call last):\n  File \"src/app.py\", line 1, in <module>\n    import gone\n\
             ModuleNotFoundError: No module named 'gone'"
        );
        assert!(help.contains("`requirements.txt`"), "{help}");
    }

    #[test]
    fn an_error_without_a_traceback_is_told_as_it_is() {
        assert_eq!(explain("stopped", b"half a line", &[]), Refused("half a line\nstopped".to_owned()));
    }
}
