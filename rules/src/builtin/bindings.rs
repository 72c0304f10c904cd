//! Builtins that write the source text by which a guest talks to its world.
//!
//! `name=NAME` is what the world is called in its sources; `program=` says that it is a program with a `main`.

use run_engine::path::RelPath;
use run_engine::sandbox::builtin::{Call, CallError, Returned};

use super::{Named, path, refused, world};
use crate::step::StepError;
use crate::step::bindings::typescript::Engine;
use crate::step::bindings::{self, Files};
use crate::step::wit::World;

/// Where a file of some bindings is left.
#[must_use]
pub fn left(file: &str) -> RelPath {
    path(&format!("bindings/{file}"))
}

/// C bindings.
pub(super) fn c(call: &Call<'_>) -> Result<Returned, CallError> {
    let named = Named::parse(call.args)?;
    let (world, name) = (asked(call)?, named.get("name")?);
    Ok(answer(bindings::c::generate(&world, name, named.find("program").is_some())))
}

/// Zig bindings. `main=FILE` is the file that implements the world.
pub(super) fn zig(call: &Call<'_>) -> Result<Returned, CallError> {
    let named = Named::parse(call.args)?;
    let (world, name, main) = (asked(call)?, named.get("name")?, named.get("main")?);
    Ok(answer(bindings::zig::generate(&world, name, main, named.find("program").is_some())))
}

/// TypeScript declarations. `entry=PATH` is the file that implements the world, as the proof imports it;
/// `engine=starlingmonkey` says that the values are that engine's, and `handler=` how the program handles requests.
pub(super) fn typescript(call: &Call<'_>) -> Result<Returned, CallError> {
    let named = Named::parse(call.args)?;
    let (world, name, entry) = (asked(call)?, named.get("name")?, named.get("entry")?);
    let engine = match named.find("engine") {
        None => Engine::QuickJs,
        Some("starlingmonkey") => Engine::StarlingMonkey { listens: named.get("handler")? == "events" },
        Some(other) => return Err(CallError::Bug(format!("there is no engine called `{other}`"))),
    };
    Ok(answer(bindings::typescript::generate(&world, name, entry, engine)))
}

/// The arguments for a world called `name`.
#[must_use]
pub fn arguments(name: &str, is_program: bool) -> Vec<String> {
    let program = is_program.then(|| "program=".to_owned());
    [format!("name={name}")].into_iter().chain(program).collect()
}

/// The world that bindings are asked for.
fn asked(call: &Call<'_>) -> Result<World, CallError> {
    let encoded = call.read(&path(crate::rule::WORK).join(&world()))?;
    World::from_encoded(&encoded).map_err(|e| CallError::Bug(format!("a world to write bindings for: {e}")))
}

fn answer(made: Result<Files, StepError>) -> Returned {
    match made {
        Ok(files) => Returned::files(files.into_iter().map(|(file, bytes)| (left(&file), bytes)).collect()),
        Err(e) => refused(&e),
    }
}
