//! Interpreter and bindings → engine: dynamic libraries are linked, the bindings of a world among them.

use wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
use wit_component::{Linker, StringEncoding, embed_component_metadata};
use wit_dylib::{DylibOpts, Metadata};

use super::{Engine, freeze};
use crate::diagnostic::Diagnostic;
use crate::step::wit::World;
use crate::step::{StepError, causes};

/// A dynamic library of an interpreter.
pub struct Library {
    /// What other libraries call it.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// How an interpreter is to be linked.
pub struct Linking<'a> {
    /// Its libraries, those that win where two define a name first.
    pub libraries: &'a [Library],
    /// The library that the bindings are written against, where they must name it.
    pub interpreter: Option<&'a str>,
    /// Whether libraries look for others while they run.
    pub needs_libdl: bool,
}

/// What the bindings of a world hold, by number: interpreters speak of its functions and types so.
///
/// # Errors
///
/// `bad-wit` for a world that can't be bound.
pub fn bindings(world: &World, interpreter: Option<&str>) -> Result<(Vec<u8>, Metadata), StepError> {
    let mut options = DylibOpts { interpreter: interpreter.map(str::to_owned), ..DylibOpts::default() };
    wit_dylib::create_with_metadata(&world.resolve, world.id, Some(&mut options)).map_err(|error| {
        let mut diagnostic = Diagnostic::error("bad-wit", "this world can't be bound to an interpreter");
        diagnostic.notes = causes(error.as_ref());
        diagnostic.into()
    })
}

/// Joins an interpreter with the bindings of `world`.
///
/// # Errors
///
/// `bad-wit` for a world that can't be bound; `bad-component` when the libraries do not fit together.
pub fn link(world: &World, linking: &Linking<'_>) -> Result<Engine, StepError> {
    let (mut bindings, _) = bindings(world, linking.interpreter)?;
    let linked = embed_component_metadata(&mut bindings, &world.resolve, world.id, StringEncoding::UTF8, false)
        .and_then(|()| {
            let mut linker = Linker::default();
            linker.use_built_in_libdl(linking.needs_libdl);
            linker
                .encoder()
                .validate(true)
                .adapter("wasi_snapshot_preview1", WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)?;
            for Library { name, bytes } in linking.libraries {
                linker.library(name, bytes, false)?;
            }
            linker.library("bindings.so", &bindings, false)?;
            linker.encode()
        })
        .map_err(|error| unlinkable(causes(error.as_ref())))?;
    let open = freeze::open(&linked).map_err(|error| unlinkable(vec![error]))?;
    Ok(Engine { linked, open })
}

fn unlinkable(notes: Vec<String>) -> StepError {
    let mut diagnostic =
        Diagnostic::error("bad-component", "the interpreter can't be joined with the bindings of this world");
    diagnostic.notes = notes;
    diagnostic.help("use another version of the interpreter's toolchain").into()
}
