//! What some bytes are, and text form → binary form.

use wasmparser::{BinaryReaderError, Encoding, Parser, Payload};

use super::StepError;
use crate::diagnostic::Diagnostic;

/// What some bytes are, as far as their outline tells; see [`super::validate`] for whether they are any good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A core WebAssembly module.
    CoreModule,
    /// A component.
    Component,
    /// A WIT package in binary form: types only, nothing to run.
    WitPackage,
    /// None of these. Says why, to follow "this is not WebAssembly: ".
    NotWasm(String),
}

impl Kind {
    /// Reads the outline of `bytes`: every section header, no function bodies.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::NotWasm("it is empty".to_owned());
        }
        if !bytes.starts_with(b"\0asm") {
            return Self::NotWasm(not_magic(bytes));
        }
        match outline(bytes) {
            Ok(kind) => kind,
            Err(error) => {
                Self::NotWasm(format!("it is damaged or cut off at byte {}: {}", error.offset(), error.message()))
            }
        }
    }

    /// The kind in words.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::CoreModule => "core module",
            Self::Component => "component",
            Self::WitPackage => "WIT package",
            Self::NotWasm(_) => "not WebAssembly",
        }
    }

    /// The kind in words, with its article.
    #[must_use]
    pub fn describe(&self) -> &'static str {
        match self {
            Self::CoreModule => "a core module",
            Self::Component => "a component",
            Self::WitPackage => "a WIT package in binary form",
            Self::NotWasm(_) => "not WebAssembly",
        }
    }
}

fn not_magic(bytes: &[u8]) -> String {
    let start = bytes.trim_ascii_start();
    if start.starts_with(b"(") || start.starts_with(b";;") {
        return "it is WebAssembly text; save it as `.wat`".to_owned();
    }
    let first: Vec<String> = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("it begins with `{}`, not with `00 61 73 6d`", first.join(" "))
}

/// A component that holds nothing but types is a WIT package.
fn outline(bytes: &[u8]) -> Result<Kind, BinaryReaderError> {
    let mut kind = None;
    let mut only_types = true;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::Version { encoding, .. } => {
                kind.get_or_insert(encoding);
            }
            Payload::ComponentTypeSection(_) | Payload::CustomSection(_) | Payload::End(_) => {}
            Payload::ComponentExportSection(exports) => {
                for export in exports {
                    only_types &= export?.kind == wasmparser::ComponentExternalKind::Type;
                }
            }
            _ => only_types = false,
        }
    }
    Ok(match kind {
        Some(Encoding::Module) => Kind::CoreModule,
        // An empty component has no types either; it is a component that does nothing.
        Some(Encoding::Component) if only_types && has_types(bytes)? => Kind::WitPackage,
        Some(Encoding::Component) => Kind::Component,
        None => Kind::NotWasm("it ends before its version".to_owned()),
    })
}

fn has_types(bytes: &[u8]) -> Result<bool, BinaryReaderError> {
    for payload in Parser::new(0).parse_all(bytes) {
        if let Payload::ComponentTypeSection(_) = payload? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// WebAssembly text → binary, for modules and components; bytes already binary come back as they are.
///
/// # Errors
///
/// `bad-wat`, with the place in `file`.
pub fn text(file: &str, bytes: &[u8]) -> Result<Vec<u8>, StepError> {
    if bytes.starts_with(b"\0asm") {
        return Ok(bytes.to_vec());
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        Diagnostic::error("bad-wat", format!("`{file}` is neither WebAssembly nor UTF-8 text")).at(
            file,
            at..at + 1,
            "this byte",
        )
    })?;
    encode(text).map_err(|error| {
        let at = error.span().offset().min(text.len());
        Diagnostic::error("bad-wat", error.message()).at(file, at..at + token_length(&text[at..]), "").into()
    })
}

fn encode(text: &str) -> Result<Vec<u8>, wast::Error> {
    let buffer = wast::parser::ParseBuffer::new(text)?;
    let mut wat = wast::parser::parse::<wast::Wat<'_>>(&buffer)?;
    wat.encode()
}

/// How much to underline: the word or single sign at the place of an error.
fn token_length(rest: &str) -> usize {
    let word = rest.find(|c: char| c.is_whitespace() || "()\";".contains(c)).unwrap_or(rest.len());
    if word > 0 { word } else { rest.chars().next().map_or(0, char::len_utf8) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(wat: &str, expected: &Kind) {
        assert_eq!(&Kind::of(&text("t.wat", wat.as_bytes()).unwrap()), expected);
    }

    #[test]
    fn kinds() {
        check("(module)", &Kind::CoreModule);
        check("(component)", &Kind::Component);
        check("(component (core module))", &Kind::Component);
        check(r#"(component (type (component)) (export "w" (type 0)))"#, &Kind::WitPackage);
    }

    #[test]
    fn what_is_no_wasm_says_why() {
        let reason = |bytes: &[u8]| match Kind::of(bytes) {
            Kind::NotWasm(reason) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason(b""), "it is empty");
        assert_eq!(reason(b"(module)"), "it is WebAssembly text; save it as `.wat`");
        assert_eq!(reason(b"\x7fELF"), "it begins with `7f 45 4c 46`, not with `00 61 73 6d`");
        assert_eq!(reason(b"\0asm"), "it is damaged or cut off at byte 4: unexpected end-of-file");
        let mut cut = text("t.wat", b"(module (func))").unwrap();
        cut.truncate(cut.len() - 1);
        assert!(reason(&cut).starts_with("it is damaged or cut off at byte"), "{}", reason(&cut));
    }

    #[test]
    fn errors_of_text_have_a_place() {
        let source = "(module\n  (func (result i33)))";
        let error = text("hello.wat", source.as_bytes()).unwrap_err();
        let [label] = error.diagnostics[0].labels.as_slice() else { panic!("{error}") };
        assert_eq!((label.file.as_str(), &source[label.span.clone()]), ("hello.wat", "i33"));
    }
}
