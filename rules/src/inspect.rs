//! `inspect`: what kind of WebAssembly some bytes are, and what they import and export, as WIT.

use wasmparser::{Encoding, Parser, Payload};
use wit_component::{DecodedWasm, WitPrinter};
use wit_parser::{Resolve, WorldId, WorldItem, WorldKey};

use crate::diagnostic::Diagnostic;
use crate::step::kind::Kind as Outline;

/// What is known of a WebAssembly file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// What it is.
    pub kind: Kind,
    /// What it needs, by name.
    pub imports: Vec<String>,
    /// What it offers, by name.
    pub exports: Vec<String>,
    /// Its world as WIT; empty for a core module, which has none.
    pub wit: String,
}

/// The kinds of WebAssembly binaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A component.
    Component,
    /// A core module.
    Module,
    /// A WIT package in binary form.
    WitPackage,
}

/// Looks into a binary.
///
/// # Errors
/// When it is no WebAssembly, or is damaged.
pub fn inspect(bytes: &[u8]) -> Result<Inspected, Diagnostic> {
    let damaged = |error: &dyn std::fmt::Display| {
        Diagnostic::error("bad-component", format!("this WebAssembly is damaged: {error}"))
            .help("fetch or build the file again")
    };
    if let Outline::NotWasm(reason) = Outline::of(bytes) {
        return Err(Diagnostic::error("not-wasm", format!("this is not WebAssembly: {reason}"))
            .help("fetch or build the file again"));
    }
    match Parser::new(0).parse_all(bytes).next() {
        Some(Ok(Payload::Version { encoding: Encoding::Module, .. })) => module(bytes).map_err(|error| damaged(&error)),
        Some(Ok(Payload::Version { encoding: Encoding::Component, .. })) => {
            component(bytes).map_err(|error| damaged(&error))
        }
        Some(Err(error)) => Err(damaged(&error)),
        _ => Err(damaged(&"it has no header")),
    }
}

fn module(bytes: &[u8]) -> Result<Inspected, wasmparser::BinaryReaderError> {
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    imports.push(format!("{}.{}", import.module, import.name));
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    exports.push(export?.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(Inspected { kind: Kind::Module, imports, exports, wit: String::new() })
}

fn component(bytes: &[u8]) -> Result<Inspected, String> {
    let decoded = wit_component::decode(bytes).map_err(|error| format!("{error:#}"))?;
    let mut printer = WitPrinter::default();
    printer.print(decoded.resolve(), decoded.package(), &[]).map_err(|error| format!("{error:#}"))?;
    let wit = printer.output.to_string();
    Ok(match &decoded {
        DecodedWasm::WitPackage(..) => {
            Inspected { kind: Kind::WitPackage, imports: Vec::new(), exports: Vec::new(), wit }
        }
        DecodedWasm::Component(resolve, world) => {
            let (imports, exports) = names(resolve, *world);
            Inspected { kind: Kind::Component, imports, exports, wit }
        }
    })
}

fn names(resolve: &Resolve, world: WorldId) -> (Vec<String>, Vec<String>) {
    let world = &resolve.worlds[world];
    let named = |(key, item): (&WorldKey, &WorldItem)| match item {
        WorldItem::Type { .. } => None,
        WorldItem::Function(_) | WorldItem::Interface { .. } => Some(resolve.name_world_key(key)),
    };
    (world.imports.iter().filter_map(named).collect(), world.exports.iter().filter_map(named).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_shows_its_world() {
        let text = r#"(component
            (core module $m (func (export "f") (param i32) (result i32) local.get 0))
            (core instance $i (instantiate $m))
            (func (export "greet") (param "number" s32) (result s32) (canon lift (core func $i "f"))))"#;
        let found = inspect(&wat::parse_str(text).expect("it parses")).expect("a component");
        assert_eq!((found.kind, found.exports.as_slice()), (Kind::Component, &["greet".to_owned()][..]));
        assert!(found.wit.contains("export greet: func(number: s32) -> s32;"), "{}", found.wit);
    }

    #[test]
    fn a_module_has_names_only() {
        let bytes = wat::parse_str(r#"(module (import "a" "b" (func)) (export "c" (func 0)))"#).expect("it parses");
        let found = inspect(&bytes).expect("a module");
        assert_eq!((found.kind, found.imports[0].as_str(), found.exports[0].as_str()), (Kind::Module, "a.b", "c"));
    }

    #[test]
    fn anything_else_is_refused() {
        assert!(inspect(b"").is_err());
        assert!(inspect(b"hello").is_err());
    }
}
