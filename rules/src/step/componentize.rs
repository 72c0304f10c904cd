//! Core module → component: states the world, adds the adapter from preview 1 where one is needed.

use wasi_preview1_component_adapter_provider as provider;
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding};

use super::kind::Kind;
use super::unmet::unmet;
use super::wit::World;
use super::{StepError, causes};
use crate::diagnostic::Diagnostic;

/// How a module written against preview 1 of WASI is to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adapter {
    /// As a program with a `main`.
    Command,
    /// As a library, whose functions are called.
    Reactor,
    /// As a library that may use `wasi:http` and little else.
    Proxy,
}

impl Adapter {
    const fn bytes(self) -> &'static [u8] {
        match self {
            Self::Command => provider::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
            Self::Reactor => provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
            Self::Proxy => provider::WASI_SNAPSHOT_PREVIEW1_PROXY_ADAPTER,
        }
    }
}

/// Makes a component of a core module; a component comes back unchanged.
///
/// The world is taken from the module where its own toolchain wrote it there, else from `world`. The adapter is added only when
/// the module imports preview 1.
///
/// # Errors
///
/// `not-wasm`, `not-a-component` (an encoded WIT package), `missing-world`, and `interface-mismatch` when the module
/// does not have what its world promises.
pub fn componentize(module: &[u8], world: Option<&World>, adapter: Adapter) -> Result<Vec<u8>, StepError> {
    match Kind::of(module) {
        Kind::Component => return Ok(module.to_vec()),
        Kind::CoreModule => {}
        Kind::WitPackage => {
            return Err(
                Diagnostic::error("not-a-component", "this is a WIT package in binary form; it holds no code").into()
            );
        }
        Kind::NotWasm(reason) => {
            return Err(Diagnostic::error("not-wasm", format!("this is not WebAssembly: {reason}")).into());
        }
    }
    // A program may be a library that exports `run` itself.
    let adapter = match adapter {
        Adapter::Command if !exports_start(module) => Adapter::Reactor,
        adapter => adapter,
    };
    let is_adapted = imports_preview1(module);
    // The adapter makes `wasi:cli/run` of a program's `main`, so the module is not asked for it.
    let program = world.filter(|_| is_adapted && adapter == Adapter::Command).map(World::without_run);
    let module = with_world(module, program.as_ref().or(world))?;
    let adapter = is_adapted.then(|| adapter.bytes());
    encode(&module, adapter).map_err(|error| {
        let of = world.map_or_else(|| "its world".to_owned(), World::title);
        let mut diagnostic =
            Diagnostic::error("interface-mismatch", format!("the compiled module does not implement {of}"));
        // What the encoder says of a function that is not there is said better by the world; anything else only by it.
        let unmet = program.as_ref().or(world).map(|world| unmet(&module, world)).filter(|unmet| !unmet.is_empty());
        diagnostic.notes = unmet.unwrap_or_else(|| causes(error.as_ref()));
        diagnostic.help("export what the world declares, or remove it from the world").into()
    })
}

/// The module with its world embedded.
fn with_world(module: &[u8], world: Option<&World>) -> Result<Vec<u8>, StepError> {
    let mut module = module.to_vec();
    if has_world(&module) {
        return Ok(module);
    }
    let Some(world) = world else {
        let message = "this core module does not say which WIT world it implements";
        return Err(Diagnostic::error("missing-world", message)
            .note("a component in text or binary form carries its own; a core module does not")
            .help("set `wit` to the world's file or directory")
            .into());
    };
    wit_component::embed_component_metadata(&mut module, &world.resolve, world.id, StringEncoding::UTF8, false)
        .map_err(|error| {
            let mut diagnostic =
                Diagnostic::error("bad-wit", format!("world `{}` can't be written into a module", world.name()));
            diagnostic.notes = causes(error.as_ref());
            StepError::from(diagnostic)
        })?;
    Ok(module)
}

/// Whether a bindings generator wrote the world into the module.
fn has_world(module: &[u8]) -> bool {
    payloads(module)
        .any(|payload| matches!(payload, Payload::CustomSection(s) if s.name().starts_with("component-type")))
}

fn imports_preview1(module: &[u8]) -> bool {
    payloads(module).any(|payload| match payload {
        Payload::ImportSection(imports) => imports
            .into_imports()
            .any(|import| import.is_ok_and(|import| import.module == provider::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME)),
        _ => false,
    })
}

/// Whether the module is a program that is started as preview 1 says.
fn exports_start(module: &[u8]) -> bool {
    payloads(module).any(|payload| match payload {
        Payload::ExportSection(exports) => {
            exports.into_iter().any(|export| export.is_ok_and(|export| export.name == "_start"))
        }
        _ => false,
    })
}

/// The module's sections. Its outline was read before, so an error can't occur here; it would end the walk.
fn payloads(module: &[u8]) -> impl Iterator<Item = Payload<'_>> {
    Parser::new(0).parse_all(module).map_while(Result::ok)
}

fn encode(module: &[u8], adapter: Option<&[u8]>) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    // Not validated here: every component is, by the step that also holds it to its world.
    let mut encoder = ComponentEncoder::default();
    encoder.module(module)?;
    if let Some(adapter) = adapter {
        encoder.adapter(provider::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter)?;
    }
    Ok(encoder.encode()?)
}
