//! JavaScript, by QuickJS: which functions a program must export, what it finds when it is loaded, and what is said when
//! that fails.
//!
//! The interpreter's side is a dynamic library that exports `init`, a function that evaluates two texts: one that prepares
//! the global object, and a module whose exports are the component's. It asks `local:init/module-loader` for what modules
//! import, except interfaces of the world, which it knows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use run_engine::cancel::Cancel;
use wasmtime::component::Val;
use wit_parser::{CloneMaps, WorldItem};

use super::link::{self, Libdl, Library};
use super::modules::Modules;
use super::promises::{Fails, Promise, promises};
use super::{Engine, Refused, Stopped, corrections, freeze, seal};
use crate::diagnostic::Diagnostic;
use crate::host::{Answer, Component, Rehearsal, Rehearsed};
use crate::step::bindings::names::camel;
use crate::step::wit::{self, World};
use crate::step::{StepError, causes};

/// The interface by which the interpreter asks for modules.
const LOADER: &str = "local:init/module-loader";

/// The function that is rehearsed.
const INIT: &str = "init";

/// What the program's module is imported by.
const ENTRY: &str = "run:entry";

/// What defines `console`, and what turns text to bytes and back.
const CONSOLE: &str = "run:console";

/// What the functions that a world imports itself can be imported from; the interpreter has them as globals.
const ROOT: &str = "$root";

/// What `console` writes to, whatever else the world imports.
const CONSOLE_WORLD: &str =
    "package run:javascript; world console { import wasi:cli/stdout@0.2.12; import wasi:cli/stderr@0.2.12; }";

/// Joins QuickJS, whose dynamic library is `runtime`, with the bindings of `world`.
///
/// # Errors
///
/// `bad-wit` for a world that can't be bound; `bad-component` when `runtime` is not what it should be.
pub fn engine(world: &World, runtime: &[u8]) -> Result<Engine, StepError> {
    let world = with_console(world)?;
    let unbound = |notes: Vec<String>| {
        let mut diagnostic = Diagnostic::error("bad-wit", "this world can't be bound to JavaScript");
        diagnostic.notes = notes;
        diagnostic
    };
    let bindings = wit_dylib::create(&world.resolve, world.id, None);
    let mut bindings = bindings.map_err(|error| unbound(causes(error.as_ref())))?;
    corrections::call_library(&mut bindings).map_err(|error| unbound(vec![error.to_string()]))?;
    link::link(&world, &[library(runtime), corrections::library()], bindings, Libdl::Unneeded)
}

fn library(runtime: &[u8]) -> Library {
    Library { name: "quickjs.so".to_owned(), bytes: runtime.to_vec() }
}

/// What QuickJS, whose dynamic library is `runtime`, is in every engine ([`super::settle::component_of`]).
///
/// # Errors
///
/// `bad-component` when `runtime` is not what it should be.
pub fn interpreter(runtime: &[u8]) -> Result<Vec<u8>, StepError> {
    link::interpreter(&[library(runtime)])
}

fn with_console(world: &World) -> Result<World, StepError> {
    let text = BTreeMap::from([("console.wit".to_owned(), CONSOLE_WORLD.as_bytes().to_vec())]);
    let console = wit::world(&text, None)?;
    let mut whole = world.clone();
    let remap = whole.resolve.merge(console.resolve).map_err(|e| unmergeable(e.as_ref()))?;
    let from = remap.worlds[console.id.index()].expect("a world that was just parsed is merged");
    whole.resolve.merge_worlds(from, whole.id, &mut CloneMaps::default()).map_err(|e| unmergeable(e.as_ref()))?;
    Ok(whole)
}

fn unmergeable(error: &(dyn std::error::Error + 'static)) -> StepError {
    let mut diagnostic = Diagnostic::error("bad-wit", "this world can't be joined with what `console` writes to");
    diagnostic.notes = causes(error);
    diagnostic.into()
}

/// A program to be loaded.
#[derive(Debug)]
pub struct Program<'a> {
    /// The world it implements.
    pub world: &'a World,
    /// Its files, by path.
    pub modules: Modules,
    /// The file whose exports are the component's.
    pub entry: &'a str,
    /// What its author calls it: another file, where this one was made of that.
    pub shown: &'a str,
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
    program: Program<'_>,
    cancel: &Cancel,
) -> Result<(Vec<u8>, Vec<u8>), Stopped> {
    let promises = promises(program.world, program.shown);
    let arguments = [
        Val::String(String::new()),
        Val::String(main(&promises, program.entry)),
        Val::Option(Some(Box::new(Val::String(ENTRY.to_owned())))),
        Val::Bool(false),
    ];
    let loader = Loader::new(program.modules, root(program.world));
    let rehearsal = Rehearsal {
        component: open,
        env: vec![],
        stdin: vec![],
        files: Arc::default(),
        functions: loader.functions(),
        cancel,
    };
    let mut stage = match rehearsal.run(None, INIT, &arguments)? {
        Rehearsed::Returned(Val::Result(Ok(_)), stage) => stage,
        Rehearsed::Returned(value, stage) => {
            let output = stage.output();
            return Err(Refused::after(&output, &explain(&super::said(value), &loader, &promises)).into());
        }
        Rehearsed::Failed { message, output } => return Err(Refused::after(&output, &message).into()),
    };
    let frozen = freeze::freeze(linked, &mut stage).map_err(Refused)?;
    let seal = seal::Seal { import: Some((LOADER, NO_LOADER)), export: INIT };
    let sealed = seal::seal(&frozen, seal).map_err(Refused)?;
    Ok((sealed, stage.output()))
}

/// Answers for [`LOADER`].
struct Loader {
    modules: Arc<Modules>,
    /// The text of [`ROOT`].
    root: Arc<str>,
    /// Why the last module that was asked for is not there.
    refusal: Arc<Mutex<Option<String>>>,
}

impl Loader {
    fn new(modules: Modules, root: String) -> Self {
        Self { modules: Arc::new(modules), root: root.into(), refusal: Arc::default() }
    }

    fn functions(&self) -> Vec<(&'static str, &'static str, Answer)> {
        let resolve = self.answer(|modules, arguments| match arguments {
            [referrer, specifier] if referrer == ENTRY || specifier == ROOT => Ok(specifier.clone()),
            [referrer, specifier] => modules.resolve(referrer, specifier),
            _ => unreachable!("its type says so"),
        });
        let root = Arc::clone(&self.root);
        let load = self.answer(move |modules, arguments| match arguments {
            [path] if path == ROOT => Ok(root.to_string()),
            [path] if path == CONSOLE => Ok(concat!(include_str!("console.js"), include_str!("text.js")).to_owned()),
            [path] => modules.text(path),
            _ => unreachable!("its type says so"),
        });
        vec![(LOADER, "resolve", resolve), (LOADER, "load", load)]
    }

    fn answer(&self, find: impl Fn(&Modules, &[String]) -> Result<String, String> + Send + Sync + 'static) -> Answer {
        let modules = Arc::clone(&self.modules);
        let refusal = Arc::clone(&self.refusal);
        Arc::new(move |arguments| {
            let arguments: Vec<String> = arguments.iter().map(text).collect();
            let found = find(&modules, &arguments);
            *refusal.lock().unwrap_or_else(PoisonError::into_inner) = found.clone().err();
            let boxed = |text| Some(Box::new(Val::String(text)));
            Val::Result(found.map(boxed).map_err(boxed))
        })
    }

    fn refusal(&self) -> Option<String> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn text(value: &Val) -> String {
    match value {
        Val::String(text) => text.clone(),
        _ => unreachable!("its type says so"),
    }
}

/// Stands where [`LOADER`] stood: at run time there are no modules to load.
const NO_LOADER: &str = r#"(component
  (core module $m
    (memory (export "memory") 1)
    (data (i32.const 16) "modules are loaded when the component is built: import this one at the top of a file")
    (func $err (result i32)
      (i32.store (i32.const 0) (i32.const 1))
      (i32.store (i32.const 4) (i32.const 16))
      (i32.store (i32.const 8) (i32.const 84))
      (i32.const 0))
    (func (export "resolve") (param i32 i32 i32 i32) (result i32) (call $err))
    (func (export "load") (param i32 i32) (result i32) (call $err))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (i32.shl (memory.grow (i32.add (i32.shr_u (local.get 3) (i32.const 16)) (i32.const 1))) (i32.const 16))))
  (core instance $i (instantiate $m))
  (alias core export $i "memory" (core memory $memory))
  (alias core export $i "realloc" (core func $realloc))
  (func (export "resolve") (param "referrer" string) (param "specifier" string) (result (result string (error string)))
    (canon lift (core func $i "resolve") (memory $memory) (realloc $realloc)))
  (func (export "load") (param "path" string) (result (result string (error string)))
    (canon lift (core func $i "load") (memory $memory) (realloc $realloc))))"#;

/// The module that is the component's: the program's, with proof that it has what the world exports, and with functions that
/// can fail in the place of those that throw.
fn main(promises: &[Promise], entry: &str) -> String {
    let entry = serde_json::Value::from(entry);
    let row = |promise: &Promise| serde_json::json!([promise.path, promise.is_method, promise.fails.map(Fails::word)]);
    let rows = serde_json::Value::Array(promises.iter().map(row).collect()).to_string();
    let failing = promises.iter().filter(|promise| promise.fails.is_some()).map(|promise| promise.path[0].as_str());
    // What a module exports by name comes before what it exports of another.
    let exports = failing.collect::<std::collections::BTreeSet<_>>().into_iter().enumerate().map(|(number, name)| {
        format!("const guarded{number} = guarded.{name};\nexport {{ guarded{number} as {name} }};\n")
    });
    let exports: String = exports.collect();
    let texts = concat!(include_str!("promises.js"), include_str!("failures.js")).replace("PROMISES", &rows);
    format!("import \"{CONSOLE}\";\nimport * as program from {entry};\nexport * from {entry};\n{texts}{exports}")
}

/// The module of the functions that the world imports itself.
fn root(world: &World) -> String {
    let imports = world.resolve.worlds[world.id].imports.values();
    let functions = imports.filter_map(|item| match item {
        WorldItem::Function(function) => Some(camel(&function.name)),
        _ => None,
    });
    functions.map(|name| format!("export const {name} = globalThis.{name};\n")).collect()
}

/// What an error of the interpreter's means to whoever wrote the program.
fn explain(said: &str, loader: &Loader, promises: &[Promise]) -> String {
    if let Some(refusal) = loader.refusal().filter(|refusal| said.contains(refusal.as_str())) {
        return refusal;
    }
    if let Some(missing) = super::missing(said) {
        let lines =
            missing.into_iter().filter_map(|number| promises.get(number)).map(|promise| promise.message.as_str());
        return lines.collect::<Vec<_>>().join("\n");
    }
    let mut rest = said.trim();
    while let Some(after) = STAGES.iter().find_map(|stage| rest.strip_prefix(stage)) {
        rest = after;
    }
    match rest.strip_prefix(NOT_AN_ERROR) {
        Some(thrown) => match thrown.strip_prefix("String(Ok(").and_then(|text| text.strip_suffix("))")) {
            Some(text) => format!("the program threw {text}; throw an `Error` to learn where"),
            None => {
                "the program threw something that is no `Error`; throw an `Error` to learn what and where".to_owned()
            }
        },
        None => rest.to_owned(),
    }
}

/// What the interpreter says before what the program said.
const STAGES: [&str; 3] = [
    "Failed to evaluate user JavaScript module: ",
    "Failed to finish JavaScript module evaluation: ",
    "Failed to declare JavaScript module: ",
];

/// How it begins when a program throws what is not an `Error`.
const NOT_AN_ERROR: &str = "Exception generated by quickjs: ";
