//! The splicer, which writes the bindings of a world into StarlingMonkey: a program in WebAssembly that comes with it, and
//! that we run as we run whatever we don't trust. Its package drives it from Node.js; here nothing is needed but the module.

use std::collections::BTreeMap;
use std::sync::Arc;

use run_engine::cancel::Cancel;
use wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
use wasmtime::component::{ComponentType, Lift, Lower};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use super::{Handler, PREVIEW1};
use crate::diagnostic::Diagnostic;
use crate::host::{Component, Rehearsal, Rehearsed};
use crate::snapshot::{Refused, Stopped};
use crate::step::wit::{self, World};
use crate::step::{StepError, causes};

/// What it offers, of which only this much is used; its package tells it for Node.js alone.
const WIT: &str = include_str!("splicer.wit");

/// The interface it offers it by.
const INTERFACE: &str = "local:spidermonkey-embedding-splicer/splicer";

/// A type of core WebAssembly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lift, Lower)]
#[expect(dead_code, reason = "the splicer alone makes them")]
#[component(enum)]
#[repr(u8)]
enum CoreType {
    #[component(name = "i32")]
    I32,
    #[component(name = "i64")]
    I64,
    #[component(name = "f32")]
    F32,
    #[component(name = "f64")]
    F64,
}

impl CoreType {
    const fn word(self) -> &'static str {
        match self {
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }
}

/// A part of the engine that can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
enum Feature {
    #[component(name = "stdio")]
    Stdio,
    #[component(name = "clocks")]
    Clocks,
    #[component(name = "random")]
    Random,
    #[component(name = "http")]
    Http,
    #[component(name = "fetch-event")]
    FetchEvent,
}

/// How a function that the world exports is called.
#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
struct CoreFunction {
    params: Vec<CoreType>,
    ret: Option<CoreType>,
    retptr: bool,
    retsize: u32,
    paramptr: bool,
}

/// What the splicer made.
#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
struct Made {
    wasm: Vec<u8>,
    #[component(name = "js-bindings")]
    bindings: String,
    exports: Vec<(String, CoreFunction)>,
    imports: Vec<(String, String, u32)>,
}

/// An engine with the bindings of a world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spliced {
    /// The engine: a core module.
    pub module: Vec<u8>,
    /// The bindings, in JavaScript.
    pub bindings: String,
    /// What the engine finds its side of the bindings by when it is initialised: variables of its environment.
    pub variables: Vec<(String, String)>,
}

/// The splicer's core module as a component.
///
/// # Errors
///
/// `bad-component` when it is not what it should be.
pub fn component(module: &[u8]) -> Result<Vec<u8>, StepError> {
    let world = wit::world(&BTreeMap::from([("splicer.wit".to_owned(), WIT.as_bytes().to_vec())]), None)?;
    let mut module = module.to_vec();
    let encoded = embed_component_metadata(&mut module, &world.resolve, world.id, StringEncoding::UTF8, false)
        .and_then(|()| {
            let mut encoder = ComponentEncoder::default();
            encoder.validate(true).module(&module)?;
            encoder.adapter(PREVIEW1, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)?;
            encoder.encode()
        });
    encoded.map_err(|error| {
        let mut diagnostic = Diagnostic::error("bad-component", "the splicer of StarlingMonkey can't be used");
        diagnostic.notes = causes(error.as_ref());
        diagnostic.help("use another version of its toolchain").into()
    })
}

/// Writes the bindings of `world` into `engine`.
///
/// # Errors
///
/// A world that can't be bound, or what this machine could not do.
pub(super) fn splice(
    splicer: &Component,
    engine: &[u8],
    world: &World,
    handler: Handler,
    cancel: &Cancel,
) -> Result<Spliced, Stopped> {
    let mut features = vec![Feature::Stdio, Feature::Clocks, Feature::Random, Feature::Http];
    features.extend((handler == Handler::Events).then_some(Feature::FetchEvent));
    let rehearsal =
        Rehearsal { component: splicer, env: vec![], stdin: vec![], files: Arc::default(), functions: vec![], cancel };
    // Of which the world is the only one: its name in the canonical form is none that could be asked for.
    let arguments = (engine, features, Some(world.wit()), None::<String>, None::<String>, false);
    let refused = |note: &str| {
        let diagnostic = Diagnostic::error("bad-wit", "this world can't be bound to StarlingMonkey");
        Stopped::from(Refused(StepError::from(diagnostic.note(note.trim_end())).to_string()))
    };
    let spliced = rehearsal.call::<_, (Result<Made, String>,)>(Some(INTERFACE), "splice-bindings", arguments)?;
    match spliced {
        Rehearsed::Returned((Ok(made),), _) => {
            Ok(Spliced { variables: variables(&made), module: made.wasm, bindings: made.bindings })
        }
        Rehearsed::Returned((Err(message),), _) => Err(refused(&message)),
        Rehearsed::Failed { message, output } => {
            Err(refused(&format!("{}{message}", String::from_utf8_lossy(&output))))
        }
    }
}

/// What the engine reads of its environment while it is initialised: how it is called, and what it may call.
fn variables(made: &Made) -> Vec<(String, String)> {
    let pointer = |is_pointer: bool| if is_pointer { "*" } else { "" };
    let mut variables = vec![("DEBUG".to_owned(), String::new()), ("FEATURE_CLOCKS".to_owned(), "1".to_owned())];
    variables.push(("EXPORT_CNT".to_owned(), made.exports.len().to_string()));
    for (number, (name, function)) in made.exports.iter().enumerate() {
        let parameters: Vec<&str> = function.params.iter().map(|ty| ty.word()).collect();
        let returned = function.ret.map_or("", CoreType::word);
        for (what, value) in [
            ("NAME", name.clone()),
            ("ARGS", format!("{}{}", pointer(function.paramptr), parameters.join(","))),
            ("RET", format!("{}{returned}", pointer(function.retptr))),
            ("RETSIZE", function.retsize.to_string()),
        ] {
            variables.push((format!("EXPORT{number}_{what}"), value));
        }
    }
    variables.push(("IMPORT_CNT".to_owned(), made.imports.len().to_string()));
    for (number, (_, name, arguments)) in made.imports.iter().enumerate() {
        variables.push((format!("IMPORT{number}_NAME"), name.clone()));
        variables.push((format!("IMPORT{number}_ARGCNT"), arguments.to_string()));
    }
    variables
}
