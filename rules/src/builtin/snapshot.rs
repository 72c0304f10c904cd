//! Builtins that make components of programs and their interpreters.

use std::collections::BTreeMap;

use run_engine::path::RelPath;
use run_engine::sandbox::builtin::{Call, CallError, Returned};

use super::native::{self, level_of};
use super::shape::{only_file, promised};
use super::{Named, Table, component, path, refused};
use crate::host::{Component, HostError};
use crate::snapshot::modules::Modules;
use crate::snapshot::starlingmonkey::{self, Handler};
use crate::snapshot::{Engine, Refused, Stopped, freeze, javascript, python};
use crate::step::StepError;
use crate::step::wit::World;

/// Where an engine builtin finds the interpreter's files.
pub const RUNTIME: &str = "runtime";

/// Where a snapshot builtin finds packages that other people wrote.
pub const SITE: &str = "site-packages";

/// Where an engine builtin leaves the engine, and a snapshot builtin finds it.
#[must_use]
pub fn engine_file() -> RelPath {
    path("engine.wasm")
}

/// Where [`super::PYTHON_ENGINE`] leaves the interpreter's modules, and [`super::PYTHON_SNAPSHOT`] finds them.
#[must_use]
pub fn library_file() -> RelPath {
    path("library.tar")
}

/// Where StarlingMonkey's engine builtin finds the splicer.
#[must_use]
pub fn splicer_file() -> RelPath {
    path("splicer.wasm")
}

/// Where StarlingMonkey's engine builtin leaves what an engine needs besides itself, and its snapshot builtin finds it.
#[must_use]
pub fn bindings_file() -> RelPath {
    path("bindings.json")
}

/// World and QuickJS → engine. What it leaves as `component.wasm` is for [`super::NATIVE`] alone.
pub(super) fn quickjs_engine(call: &Call<'_>) -> Result<Returned, CallError> {
    let world = world(call)?;
    let (_, runtime) = only_file(call, RUNTIME)?;
    match javascript::engine(&world, &runtime) {
        Ok(engine) => Ok(engine_files(engine)),
        Err(e) => Ok(refused(&e)),
    }
}

/// QuickJS → a component for [`super::NATIVE`] alone: what of it is in every engine.
pub(super) fn quickjs(call: &Call<'_>) -> Result<Returned, CallError> {
    let (_, runtime) = only_file(call, RUNTIME)?;
    Ok(interpreter(javascript::interpreter(&runtime)))
}

/// CPython, which is in `runtime/` → a component for [`super::NATIVE`] alone: what of it is in every engine.
pub(super) fn python(call: &Call<'_>) -> Result<Returned, CallError> {
    Ok(interpreter(python::interpreter(&files(call, RUNTIME)?)))
}

fn interpreter(made: Result<Vec<u8>, StepError>) -> Returned {
    match made {
        Ok(bytes) => Returned::files(vec![(component(), bytes)]),
        Err(e) => refused(&e),
    }
}

/// Engine and program → component. `entry=PATH` names the program's file among those in `work/`.
pub(super) fn quickjs_snapshot(table: &Table, call: &Call<'_>) -> Result<Returned, CallError> {
    load(table, call, |loaded| {
        let modules = Modules::new(files(call, crate::rule::WORK)?);
        let (entry, shown) = entry(&loaded.named)?;
        let program = javascript::Program { world: &loaded.world, modules, entry, shown };
        Ok(javascript::snapshot(&loaded.linked, &loaded.open, program, call.cancel))
    })
}

/// World and CPython, which is in `runtime/` → engine, and its modules for programs that run. What it leaves as
/// `component.wasm` is for [`super::NATIVE`] alone.
pub(super) fn python_engine(call: &Call<'_>) -> Result<Returned, CallError> {
    let world = world(call)?;
    let runtime = files(call, RUNTIME)?;
    let engine = match python::engine(&world, &runtime) {
        Ok(engine) => engine,
        Err(e) => return Ok(refused(&e)),
    };
    let mut left = engine_files(engine);
    match python::library(&runtime) {
        Ok(library) => left.outputs.push((library_file(), library)),
        Err(message) => return Ok(Returned::failure(format!("{message}\n"))),
    }
    Ok(left)
}

/// Engine, CPython's modules in `runtime/`, and program → component. `module=NAME` names the program's module, which is
/// looked for in each `root=DIRECTORY` of `work/`, and what it imports there and in `site-packages/`.
pub(super) fn python_snapshot(table: &Table, call: &Call<'_>) -> Result<Returned, CallError> {
    load(table, call, |loaded| {
        let program = python::Program {
            world: &loaded.world,
            files: files(call, crate::rule::WORK)?,
            roots: loaded.named.all("root").iter().map(|root| (*root).to_owned()).collect(),
            packages: packages(call)?,
            library: call.read(&library_file())?,
            module: loaded.named.get("module")?,
        };
        Ok(python::snapshot(&loaded.linked, &loaded.open, &files(call, RUNTIME)?, program, call.cancel))
    })
}

/// StarlingMonkey's splicer, a core module → component, for [`super::NATIVE`] and [`starlingmonkey_engine`].
pub(super) fn starlingmonkey_splicer(call: &Call<'_>) -> Result<Returned, CallError> {
    let (_, module) = only_file(call, RUNTIME)?;
    match starlingmonkey::splicer_component(&module) {
        Ok(bytes) => Ok(Returned::files(vec![(component(), bytes)])),
        Err(e) => Ok(refused(&e)),
    }
}

/// World, StarlingMonkey and its splicer → engine. What it leaves as `component.wasm` is for [`super::NATIVE`] alone.
pub(super) fn starlingmonkey_engine(table: &Table, call: &Call<'_>) -> Result<Returned, CallError> {
    let named = Named::parse(call.args)?;
    let world = world(call)?;
    let (_, module) = only_file(call, RUNTIME)?;
    let splicer = match compiled(table, call, &named, || call.read(&splicer_file()).map(Ok))? {
        Ok(splicer) => splicer,
        Err(message) => return Ok(Returned::failure(message)),
    };
    match starlingmonkey::engine(&world, handler(&named)?, &splicer, &module, call.cancel) {
        Ok((engine, bindings)) => {
            let bindings = serde_json::to_vec(&bindings).expect("texts have a JSON form");
            let files = [(engine_file(), engine.linked), (component(), engine.open), (bindings_file(), bindings)];
            Ok(Returned::files(files.to_vec()))
        }
        Err(stopped) => answer(Err(stopped)),
    }
}

/// StarlingMonkey's engine and program → component. `entry=PATH` names the program's file among those in `work/`.
pub(super) fn starlingmonkey_snapshot(table: &Table, call: &Call<'_>) -> Result<Returned, CallError> {
    load(table, call, |loaded| {
        let bindings = serde_json::from_slice(&call.read(&bindings_file())?);
        let bindings =
            bindings.map_err(|e| CallError::Bug(format!("what the engine's step left can't be read: {e}")))?;
        let (entry, shown) = entry(&loaded.named)?;
        let program = starlingmonkey::Program {
            world: &loaded.world,
            handler: handler(&loaded.named)?,
            modules: Modules::new(files(call, crate::rule::WORK)?),
            entry,
            shown,
        };
        Ok(starlingmonkey::snapshot(&loaded.linked, &loaded.open, bindings, &program, call.cancel))
    })
}

/// The program's file, and the one that its author knows: `shown=` where that is another.
fn entry<'a>(named: &Named<'a>) -> Result<(&'a str, &'a str), CallError> {
    let entry = named.get("entry")?;
    Ok((entry, named.find("shown").unwrap_or(entry)))
}

/// The word for a handler, in arguments.
#[must_use]
pub const fn handler_name(handler: Handler) -> &'static str {
    match handler {
        Handler::Exported => "exported",
        Handler::Events => "events",
    }
}

fn handler(named: &Named<'_>) -> Result<Handler, CallError> {
    match named.get("handler")? {
        "exported" => Ok(Handler::Exported),
        "events" => Ok(Handler::Events),
        other => Err(CallError::Bug(format!("there is no handler called `{other}`"))),
    }
}

/// The files of packages, where there are any.
fn packages(call: &Call<'_>) -> Result<BTreeMap<String, Vec<u8>>, CallError> {
    match call.inputs.find(&path(SITE)) {
        None => Ok(BTreeMap::new()),
        Some(_) => files(call, SITE),
    }
}

/// An engine that is ready for a program.
struct Loaded<'a> {
    named: Named<'a>,
    world: World,
    linked: Vec<u8>,
    open: Component,
}

/// What a snapshot made: the component, and what the program wrote.
type Made = Result<(Vec<u8>, Vec<u8>), Stopped>;

/// Engine → component, by loading a program into it as its language does.
fn load(
    table: &Table,
    call: &Call<'_>,
    snapshot: impl FnOnce(&Loaded<'_>) -> Result<Made, CallError>,
) -> Result<Returned, CallError> {
    let named = Named::parse(call.args)?;
    let linked = call.read(&engine_file())?;
    match open(table, call, &named, &linked)? {
        Ok(open) => answer(snapshot(&Loaded { world: world(call)?, named, linked, open })?),
        Err(message) => Ok(Returned::failure(message)),
    }
}

fn world(call: &Call<'_>) -> Result<World, CallError> {
    promised(call)?.ok_or_else(|| CallError::Bug("an interpreter needs a world".into()))
}

fn engine_files(engine: Engine) -> Returned {
    Returned::files(vec![(engine_file(), engine.linked), (component(), engine.open)])
}

/// The opened engine, from native code where that was made for us.
fn open(
    table: &Table,
    call: &Call<'_>,
    named: &Named<'_>,
    linked: &[u8],
) -> Result<Result<Component, String>, CallError> {
    compiled(table, call, named, || Ok(freeze::open(linked)))
}

/// A component, from native code where that was made for us, else from its bytes.
fn compiled(
    table: &Table,
    call: &Call<'_>,
    named: &Named<'_>,
    bytes: impl FnOnce() -> Result<Result<Vec<u8>, String>, CallError>,
) -> Result<Result<Component, String>, CallError> {
    let runtime = table.runtimes().get(level_of(named)?).map_err(|e| CallError::Machine(e.to_string()))?;
    if let Some(component) = native::given(runtime, call) {
        return Ok(Ok(component));
    }
    let compile = |bytes: Vec<u8>| runtime.compile(&bytes).map_err(|e| e.to_string());
    Ok(bytes()?.and_then(compile).map_err(|e| e + "\n"))
}

/// The files of a directory of the input tree, by their path from there.
fn files(call: &Call<'_>, directory: &str) -> Result<BTreeMap<String, Vec<u8>>, CallError> {
    let files = call.read_all(&path(directory))?;
    Ok(files.into_iter().map(|(path, bytes)| (path.to_string(), bytes)).collect())
}

fn answer(made: Made) -> Result<Returned, CallError> {
    match made {
        Ok((bytes, output)) => Ok(Returned { stdout: output, ..Returned::files(vec![(component(), bytes)]) }),
        Err(Stopped::Program(Refused(message))) => Ok(Returned::failure(format!("{}\n", message.trim_end()))),
        Err(Stopped::Host(error @ (HostError::NoMemory(_) | HostError::OpenDir { .. }))) => {
            Err(CallError::Machine(error.to_string()))
        }
        Err(Stopped::Host(error)) => Ok(Returned::failure(format!("{error}\n"))),
    }
}
