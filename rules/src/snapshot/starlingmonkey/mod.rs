//! JavaScript, by StarlingMonkey: SpiderMonkey with the interfaces of the web, `fetch` and streams among them. Ten times the
//! size of QuickJS.
//!
//! The engine is a core module that finds what it is to load on a disk, and its side of a world's bindings in its environment.
//! [`splicer`] writes those bindings into it, [`module`] makes components of it. What is run to load a program is a component
//! with one interface more, [`PROGRAM`]; the one that is the result is made anew of the module in the state that it was left in.

mod module;
mod splicer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use run_engine::cancel::Cancel;
use serde::{Deserialize, Serialize};
use wasi_preview1_component_adapter_provider as provider;
use wit_parser::CloneMaps;

use super::modules::Modules;
use super::promises::{Promise, promises};
use super::{Engine, Refused, Stopped, freeze};
use crate::diagnostic::Diagnostic;
use crate::host::{Component, Disk, Rehearsal, Rehearsed};
use crate::step::bindings::names::camel;
use crate::step::compare::split_version;
use crate::step::wit::{self, World};
use crate::step::{StepError, causes};

pub use splicer::component as splicer_component;

use module::Change;

/// How the engine speaks of files and streams.
const PREVIEW1: &str = "wasi_snapshot_preview1";

/// What of that it needs once a program is loaded: to write, and to know the time.
const PREVIEW1_KEPT: [&str; 3] = ["clock_time_get", "fd_fdstat_get", "fd_write"];

/// What the engine itself imports, whatever the world does: the world `bare`. What is run to load a program is `loaded`, in which
/// `check` returns zero where the engine found all of its side of the bindings.
const WIT: &str = "package run:starlingmonkey;
interface program { load: func(); check: func() -> u32; }
world bare {
  import wasi:clocks/monotonic-clock@0.2.12;
  import wasi:io/error@0.2.12;
  import wasi:io/poll@0.2.12;
  import wasi:io/streams@0.2.12;
  import wasi:random/random@0.2.12;
}
world loaded { include bare; export program; }";

/// What the world `bare` imports.
const OWN: [&str; 5] =
    ["wasi:clocks/monotonic-clock", "wasi:io/error", "wasi:io/poll", "wasi:io/streams", "wasi:random/random"];

/// The interface by which a program is loaded.
const PROGRAM: &str = "run:starlingmonkey/program";

/// How the engine exports the functions of [`PROGRAM`].
const PROGRAM_FUNCTIONS: [(&str, &str); 2] = [("componentize.wizer", "load"), ("check_init", "check")];

/// What handles requests, where the world says that something does.
const INCOMING_HANDLER: &str = "wasi:http/incoming-handler";

/// Exports of the engine that are nobody's business.
const DROPPED: [&str; 2] = ["wizer-initialize", "wizer.resume"];

/// Where the engine finds the bindings, and the module that is the component's.
const BINDINGS_FILE: &str = ".run/bindings.js";
const MAIN_FILE: &str = ".run/main.js";
const HEARD_FILE: &str = ".run/heard.js";

/// How a program handles requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handler {
    /// By a function that it exports, as the world says.
    Exported,
    /// By listening for `fetch`.
    Events,
}

/// What the engine finds beside it when it loads a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bindings {
    /// The bindings, in JavaScript.
    pub text: String,
    /// The engine's side of them, in its environment.
    pub variables: Vec<(String, String)>,
}

/// Writes the bindings of `world` into StarlingMonkey, whose core module is `engine`; `splicer` is what
/// [`splicer_component`] made, compiled.
///
/// # Errors
///
/// A world that can't be bound, or what this machine could not do.
pub fn engine(
    world: &World,
    handler: Handler,
    splicer: &Component,
    engine: &[u8],
    cancel: &Cancel,
) -> Result<(Engine, Bindings), Stopped> {
    let spliced = splicer::splice(splicer, engine, world, handler, cancel)?;
    let refused = |error: StepError| Refused(error.to_string());
    let whole = joined(world, "loaded").map_err(refused)?;
    let kept = kept(world);
    let handled = exported(world, INCOMING_HANDLER).filter(|_| handler == Handler::Events);
    let change = Change {
        is_absent: &|module, _| module.starts_with("wasi:") && !kept.contains(split_version(module).0),
        export: &|name| {
            if let Some((_, function)) = PROGRAM_FUNCTIONS.iter().find(|(theirs, _)| *theirs == name) {
                return Some(program_function(function));
            }
            let Some((interface, function)) = name.split_once('#').filter(|_| name.starts_with("wasi:")) else {
                return (!DROPPED.contains(&name)).then(|| name.to_owned());
            };
            // The engine has some of these in a version of its own, for worlds whose programs do not.
            let wanted = exported(world, split_version(interface).0)?;
            (interface == wanted || handled.as_ref() == Some(&wanted)).then(|| format!("{wanted}#{function}"))
        },
    };
    let adapter = provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
    let linked = module::component(&spliced.module, &whole, adapter, change).map_err(|error| {
        let mut diagnostic = Diagnostic::error("bad-component", "StarlingMonkey does not implement this world");
        diagnostic.notes = causes(error.as_ref());
        Refused(StepError::from(diagnostic).to_string())
    })?;
    let open = freeze::open(&linked).map_err(Refused)?;
    let text = format!("{}{}{}", include_str!("before.js"), spliced.bindings, include_str!("after.js"));
    Ok((Engine { linked, open }, Bindings { text, variables: spliced.variables }))
}

/// The world, which also imports and exports what one of [`WIT`] does.
fn joined(world: &World, other: &str) -> Result<World, StepError> {
    let texts = BTreeMap::from([("starlingmonkey.wit".to_owned(), WIT.as_bytes().to_vec())]);
    let other = wit::world(&texts, Some(other))?;
    let mut whole = world.clone();
    let unmergeable = |error: &(dyn std::error::Error + 'static)| {
        let mut diagnostic =
            Diagnostic::error("bad-wit", "this world can't be joined with what StarlingMonkey imports");
        diagnostic.notes = causes(error);
        StepError::from(diagnostic)
    };
    let remap = whole.resolve.merge(other.resolve).map_err(|e| unmergeable(e.as_ref()))?;
    let from = remap.worlds[other.id.index()].expect("a world that was just parsed is merged");
    whole.resolve.merge_worlds(from, whole.id, &mut CloneMaps::default()).map_err(|e| unmergeable(e.as_ref()))?;
    Ok(whole)
}

/// The interfaces, without versions, that a component of this world may import.
fn kept(world: &World) -> BTreeSet<String> {
    let imported = world.resolve.worlds[world.id].imports.keys().map(|key| world.resolve.name_world_key(key));
    let imported = imported.map(|name| split_version(&name).0.to_owned());
    imported.chain(OWN.map(str::to_owned)).collect()
}

/// The full name of an interface that the world exports.
fn exported(world: &World, interface: &str) -> Option<String> {
    let mut names = world.resolve.worlds[world.id].exports.keys().map(|key| world.resolve.name_world_key(key));
    names.find(|name| split_version(name).0 == interface)
}

/// Whether a world says that something handles requests.
#[must_use]
pub fn handles_requests(world: &World) -> bool {
    exported(world, INCOMING_HANDLER).is_some()
}

/// A program to be loaded.
#[derive(Debug)]
pub struct Program<'a> {
    /// The world it implements.
    pub world: &'a World,
    /// How it handles requests, where it does.
    pub handler: Handler,
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
    bindings: Bindings,
    program: &Program<'_>,
    cancel: &Cancel,
) -> Result<(Vec<u8>, Vec<u8>), Stopped> {
    let promises = kept_promises(program);
    let mut disk = Disk::default();
    for (path, text) in program.modules.texts() {
        disk.insert(path, text.into());
    }
    disk.insert(BINDINGS_FILE, bindings.text.into());
    disk.insert(HEARD_FILE, include_str!("heard.js").into());
    disk.insert(MAIN_FILE, main(&promises, program).into());
    let mut env = bindings.variables;
    env.push(("SOURCE_NAME".to_owned(), program.entry.to_owned()));
    let stdin = format!("--initializer-script-path /{BINDINGS_FILE} --strip-path-prefix / /{MAIN_FILE}");
    let rehearsal =
        Rehearsal { component: open, env, stdin: stdin.into_bytes(), files: Arc::new(disk), functions: vec![], cancel };
    let mut stage = match rehearsal.call::<(), ()>(Some(PROGRAM), "load", ())? {
        Rehearsed::Returned((), stage) => stage,
        Rehearsed::Failed { message, output } => return Err(explain(&message, &output, &promises).into()),
    };
    if stage.number::<u32>(PROGRAM, "check") != 0 {
        let message = "the engine does not find what the world exports in this program";
        return Err(explain(message, &stage.output(), &promises).into());
    }
    let frozen = freeze::freeze(linked, &mut stage).map_err(Refused)?;
    let module = module::find(&frozen, &program_function(PROGRAM_FUNCTIONS[0].1));
    let module = module.ok_or_else(|| Refused("the engine is none of StarlingMonkey".to_owned()))?;
    let whole = joined(program.world, "bare").map_err(|error| Refused(error.to_string()))?;
    let change = Change {
        is_absent: &|module, name| module == PREVIEW1 && !PREVIEW1_KEPT.contains(&name),
        // What comes first has come, and is not to come again.
        export: &|name| (name != "_initialize" && !name.starts_with(PROGRAM)).then(|| name.to_owned()),
    };
    // The one that knows of no files.
    let adapter = provider::WASI_SNAPSHOT_PREVIEW1_PROXY_ADAPTER;
    let sealed = module::component(module, &whole, adapter, change)
        .map_err(|error| Refused(causes(error.as_ref()).join("\n")))?;
    Ok((sealed, stage.output()))
}

fn program_function(name: &str) -> String {
    format!("{PROGRAM}#{name}")
}

/// What the world exports and where the program is to have it, which may also be by listening.
fn kept_promises(program: &Program<'_>) -> Vec<Promise> {
    let mut promises = promises(program.world, program.shown);
    let listens = [camel("incoming-handler"), camel("handle")];
    if program.handler == Handler::Events
        && let Some(promise) = promises.iter_mut().find(|promise| promise.path == listens)
    {
        promise.message = format!(
            "{}: the world exports `{INCOMING_HANDLER}`, but this module neither listens for `fetch` events nor exports \
             `incomingHandler`",
            program.shown
        );
    }
    promises
}

/// The module that is the component's: the program's, with proof that it has what the world exports.
fn main(promises: &[Promise], program: &Program<'_>) -> String {
    let entry = serde_json::Value::from(format!("../{}", program.entry));
    let row = |promise: &Promise| serde_json::json!([promise.path, promise.is_method]);
    let rows = serde_json::Value::Array(promises.iter().map(row).collect()).to_string();
    let handles = match program.handler {
        Handler::Exported => "module",
        Handler::Events => "heard.has(\"fetch\") ? { ...module, incomingHandler: { handle() {} } } : module",
    };
    let proof = include_str!("../promises.js").replace("PROMISES", &rows);
    format!(
        "import {{ heard, done }} from \"./heard.js\";\nimport * as module from {entry};\nexport * from {entry};\n\
         done();\nconst program = {handles};\n{proof}"
    )
}

/// What the engine writes around the error of a program.
const FRAME: [&str; 3] = [
    "Exception while evaluating top-level script",
    "Additionally, some promises were rejected, but the rejection never handled:",
    "Promise rejected but never handled: ",
];

/// What an error of the engine's means to whoever wrote the program.
fn explain(message: &str, output: &[u8], promises: &[Promise]) -> Refused {
    let output = String::from_utf8_lossy(output);
    if let Some(missing) = super::missing(&output) {
        let before = output.split(FRAME[0]).next().unwrap_or_default();
        let lines =
            missing.into_iter().filter_map(|number| promises.get(number)).map(|promise| promise.message.as_str());
        return Refused::after(before.as_bytes(), &lines.collect::<Vec<_>>().join("\n"));
    }
    let is_told = output.contains(FRAME[0]);
    let is_ours = |line: &str| FRAME.iter().any(|start| line.starts_with(start)) || line.contains(MAIN_FILE);
    let mut lines: Vec<&str> = output.lines().filter(|line| !is_told || !is_ours(line)).collect();
    while is_told && lines.last().is_some_and(|line| ["", "Stack:"].contains(line)) {
        lines.pop();
    }
    // The engine ends itself once it has told.
    Refused::after(lines.join("\n").as_bytes(), if is_told { "" } else { message })
}
