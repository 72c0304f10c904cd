//! What a WebAssembly file is, and what goes in and comes out of it.

use wasmparser::{BinaryReaderError, Parser, Payload};
use wit_component::WitPrinter;

use super::StepError;
use super::interface::{ExternName, Interface};
use super::kind::Kind;
use crate::diagnostic::Diagnostic;

/// What is known of a WebAssembly file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// What it is; never [`Kind::NotWasm`].
    pub kind: Kind,
    /// What it needs, by name.
    pub imports: Vec<String>,
    /// What it offers, by name.
    pub exports: Vec<String>,
    /// Its own package as WIT; empty for a core module, which has none.
    pub wit: String,
}

/// Looks into a binary.
///
/// # Errors
/// `not-wasm`, `bad-component`, `not-a-component`.
pub fn inspect(bytes: &[u8]) -> Result<Inspected, StepError> {
    let kind = Kind::of(bytes);
    let (imports, exports, wit) = match &kind {
        Kind::NotWasm(why) => {
            return Err(Diagnostic::error("not-wasm", format!("this is not WebAssembly: {why}"))
                .help("fetch or build the file again")
                .into());
        }
        Kind::CoreModule => {
            let (imports, exports) = names_of_module(bytes).map_err(damaged)?;
            (imports, exports, String::new())
        }
        Kind::WitPackage => (vec![], vec![], wit_of(bytes)?),
        Kind::Component => {
            let Interface { imports, exports, .. } = Interface::of(bytes)?;
            (names(&imports), names(&exports), wit_of(bytes)?)
        }
    };
    Ok(Inspected { kind, imports, exports, wit })
}

fn damaged(why: impl std::fmt::Display) -> StepError {
    Diagnostic::error("bad-component", format!("this WebAssembly is damaged: {why:#}")).into()
}

fn names(names: &[ExternName]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn names_of_module(bytes: &[u8]) -> Result<(Vec<String>, Vec<String>), BinaryReaderError> {
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
    Ok((imports, exports))
}

/// The package that a component or an encoded WIT package is about, without those it refers to.
fn wit_of(bytes: &[u8]) -> Result<String, StepError> {
    let decoded = wit_component::decode(bytes).map_err(damaged)?;
    let mut printer = WitPrinter::default();
    printer.print(decoded.resolve(), decoded.package(), &[]).map_err(damaged)?;
    Ok(printer.output.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Inspected {
        inspect(&wat::parse_str(text).expect("it parses")).expect("it is WebAssembly")
    }

    #[test]
    fn a_component_shows_its_world() {
        let found = of(r#"(component
            (core module $m (func (export "f") (param i32) (result i32) local.get 0))
            (core instance $i (instantiate $m))
            (func (export "greet") (param "number" s32) (result s32) (canon lift (core func $i "f"))))"#);
        assert_eq!((found.kind, found.exports.as_slice()), (Kind::Component, &["greet".to_owned()][..]));
        assert!(found.wit.contains("export greet: func(number: s32) -> s32;"), "{}", found.wit);
    }

    #[test]
    fn a_module_has_names_only() {
        let found = of(r#"(module (import "a" "b" (func)) (export "c" (func 0)))"#);
        assert_eq!((found.kind, &*found.imports[0], &*found.exports[0]), (Kind::CoreModule, "a.b", "c"));
    }

    #[test]
    fn anything_else_is_refused() {
        assert!(inspect(b"").is_err());
        assert!(inspect(b"hello").is_err());
    }
}
