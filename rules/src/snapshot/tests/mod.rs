//! Programs in the interpreters that people have: loaded, frozen, and run.

mod javascript;
mod python;
mod starlingmonkey;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use run_engine::cancel::Cancel;
use run_engine::digest::{Blob, DigestFunction};

use super::{Engine, Refused, Stopped};
use crate::builtin::Builtin;
use crate::host::{Component, Ending, OptLevel, Outcome, Program, Runtime};
use crate::sections::sections;
use crate::step::StepError;
use crate::step::validate::{self, Bodies};
use crate::step::wit::{self, World};
use crate::value::{find_function, parse_arguments, to_wave};

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    // What these tests compile is large and runs for a moment.
    RUNTIME.get_or_init(|| Runtime::new(OptLevel::None).expect("this machine runs WebAssembly"))
}

/// A file of a published crate, which cargo brings here where it is not yet.
fn crate_file(package: &str, version: &str, file: &str) -> Vec<u8> {
    let find = || {
        let sources = std::fs::read_dir(cargo_home().join("registry/src")).ok()?;
        let mut places = sources.flatten().map(|source| source.path().join(format!("{package}-{version}")));
        places.find_map(|place| std::fs::read(place.join(file)).ok())
    };
    find().unwrap_or_else(|| {
        let spec = format!("{package}@{version}");
        let asked = Command::new("cargo").args(["info", "--quiet", &spec]).output();
        assert!(asked.expect("cargo runs").status.success(), "cargo knows {spec}");
        find().unwrap_or_else(|| panic!("{spec} holds {file}"))
    })
}

#[expect(clippy::disallowed_methods, reason = "where cargo keeps crates is told by variables")]
fn cargo_home() -> PathBuf {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    home.unwrap_or_else(|| Path::new(&std::env::var_os("HOME").expect("a home")).join(".cargo"))
}

/// The only world of a WIT text.
#[track_caller]
fn world(text: &str) -> World {
    let world = wit::world(&BTreeMap::from([("test.wit".to_owned(), text.as_bytes().to_vec())]), None);
    // As builtins are given it: without the text it came from.
    let encoded = world.and_then(|world| world.encoded()).unwrap_or_else(|e| panic!("{e}"));
    World::from_encoded(&encoded).unwrap()
}

/// An engine for a world, its opened form compiled, and what else a program is loaded with.
struct Ready<T> {
    world: World,
    engine: Engine,
    open: Component,
    runtime: T,
}

impl<T> Ready<T> {
    #[track_caller]
    fn new(world: World, runtime: T, make: impl FnOnce(&World, &T) -> Result<Engine, StepError>) -> Self {
        let engine = make(&world, &runtime).unwrap_or_else(|e| panic!("{e}"));
        let open = compiled(&engine.open);
        Self { world, engine, open, runtime }
    }
}

/// What is said of a program that can't be loaded.
#[track_caller]
fn refused(loaded: Result<(Vec<u8>, Vec<u8>), Stopped>) -> String {
    match loaded {
        Err(Stopped::Program(Refused(message))) => message,
        other => panic!("it was not refused: {other:?}"),
    }
}

fn files(files: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
}

/// Proves that these components have no large code that is not the interpreter's, as it is before anything is known of them.
#[track_caller]
fn share_code(interpreter: &[u8], components: [&[u8]; 2]) {
    let modules = |component| -> Vec<&[u8]> {
        let modules = sections(component).unwrap().into_iter().filter(|(id, _)| *id == 1).map(|(_, module)| module);
        let has_code =
            |module: &&[u8]| sections(module).unwrap().iter().any(|(id, code)| *id == 10 && code.len() > 1 << 16);
        modules.filter(has_code).collect()
    };
    let own = modules(interpreter);
    for component in components {
        let found = modules(component);
        assert!(!found.is_empty(), "there is an interpreter in it");
        let strange: Vec<usize> =
            found.iter().filter(|module| !own.contains(module)).map(|module| module.len()).collect();
        assert!(strange.is_empty(), "{strange:?} of {:?}", own.iter().map(|module| module.len()).collect::<Vec<_>>());
    }
}

/// Proves that the bytes implement the world, and compiles them.
#[track_caller]
fn checked(world: &World, bytes: &[u8]) -> Component {
    validate::validate(bytes, Some(world), Bodies::Unchecked).unwrap_or_else(|e| panic!("{e}"));
    compiled(bytes)
}

/// Compiles a component, and of an interpreter what no other test has compiled.
#[track_caller]
fn compiled(component: &[u8]) -> Component {
    static KNOWN: Mutex<BTreeMap<String, Vec<u8>>> = Mutex::new(BTreeMap::new());
    let known = |name: &str| KNOWN.lock().unwrap().get(name).cloned();
    let files = runtime().precompile(component, &known, &Cancel::new()).unwrap_or_else(|e| panic!("{e}"));
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(dir.path().join(&name), &bytes).unwrap();
        // What is left of a component is its own.
        if name.starts_with("module-") {
            KNOWN.lock().unwrap().insert(name, bytes);
        }
    }
    #[expect(unsafe_code, reason = "the files were precompiled above")]
    // SAFETY: the files are the unmodified output of `precompile`.
    let loaded = unsafe { runtime().load_native(&|name| Some(dir.path().join(name))) };
    loaded.unwrap_or_else(|e| panic!("{e}"))
}

#[track_caller]
fn call(program: &Program, function: &str, args: &[&str]) -> Outcome {
    let function = find_function(&program.component, function).unwrap_or_else(|e| panic!("{e:?}"));
    let texts: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let arguments = parse_arguments(&function, &texts).unwrap_or_else(|e| panic!("{e:?}"));
    program.call(&function, &arguments).unwrap_or_else(|e| panic!("{e}"))
}

/// Digests what builtins wrote, in a file: when it changes, raise their revisions, then `UPDATE_EXPECT=1`.
#[track_caller]
fn expect_digests(file: &str, written: &[(&Builtin, &str, &[u8])]) {
    let line = |(builtin, name, bytes): &(&Builtin, &str, &[u8])| {
        let digest = DigestFunction::Blake3.digest::<Blob>(bytes);
        format!("{} {} {name} {digest}\n", builtin.name, builtin.revision)
    };
    let lines: String = written.iter().map(line).collect();
    crate::testing::expect_file(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/snapshot/tests").join(file), &lines);
}

/// The value a function returned, in WAVE; an error is `err(…)`.
#[track_caller]
fn value(outcome: &Outcome) -> String {
    match &outcome.ending {
        Ending::Returned(Some(value)) => to_wave(value),
        Ending::ReturnedErr(Some(value)) => format!("err({})", to_wave(value)),
        other => panic!("it did not return a value: {other:?}\n{}", String::from_utf8_lossy(&outcome.stderr)),
    }
}
