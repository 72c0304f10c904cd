//! Interpreter and bindings → engine: dynamic libraries are linked, the bindings of a world among them.

use wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
use wit_component::{Linker, StringEncoding, embed_component_metadata};

use super::{Engine, freeze, settle};
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

/// Joins an interpreter's libraries, those that win where two define a name first, with the bindings of `world`.
///
/// # Errors
///
/// `bad-component` when they do not fit together.
pub fn link(world: &World, libraries: &[Library], mut bindings: Vec<u8>, libdl: Libdl) -> Result<Engine, StepError> {
    let linked = embed_component_metadata(&mut bindings, &world.resolve, world.id, StringEncoding::UTF8, false)
        .and_then(|()| {
            let mut linker = Linker::default();
            linker.use_built_in_libdl(libdl == Libdl::BuiltIn);
            linker
                .encoder()
                .validate(true)
                .adapter("wasi_snapshot_preview1", WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)?;
            for Library { name, bytes } in libraries {
                linker.library(name, bytes, false)?;
            }
            linker.library("bindings.so", &bindings, false)?;
            linker.encode()
        })
        .map_err(|error| unlinkable(causes(error.as_ref())))?;
    let linked = settle::settle(&linked, libraries).map_err(|error| unlinkable(vec![error.to_string()]))?;
    let open = freeze::open(&linked).map_err(|error| unlinkable(vec![error]))?;
    Ok(Engine { linked, open })
}

/// What an interpreter's libraries are in every engine ([`settle::component_of`]).
///
/// # Errors
///
/// `bad-component` when one is no module.
pub fn interpreter(libraries: &[Library]) -> Result<Vec<u8>, StepError> {
    settle::component_of(libraries).map_err(|error| unlinkable(vec![error.to_string()]))
}

/// Where `dlopen` comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Libdl {
    /// Nothing asks for it.
    Unneeded,
    /// The linker has one.
    BuiltIn,
}

fn unlinkable(notes: Vec<String>) -> StepError {
    let mut diagnostic =
        Diagnostic::error("bad-component", "the interpreter can't be joined with the bindings of this world");
    diagnostic.notes = notes;
    diagnostic.help("use another version of the interpreter's toolchain").into()
}
