//! What is put right between the bindings of a world and QuickJS: numbers above 2³¹ and 2⁶³ on either way, borrowed handles that were dropped
//! too late, and resources of the component that come back to it. The interpreter's library is prebuilt, so a small one of our
//! own, `corrections.wat`, stands between; this makes the bindings call it.
//!
//! What is deliberately not here: corrections in JavaScript, which would see neither handles nor what is imported.

use wasmparser::{BinaryReaderError, Parser, Payload, TypeRef};

use super::link::Library;

/// Functions of the interpreter that are called by way of ours, without the beginnings of their names.
const CORRECTED: [&str; 10] = [
    "initialize",
    "export_call",
    "export_finish",
    "resource_dtor",
    "push_borrow",
    "push_own",
    "push_u32",
    "push_u64",
    "pop_u32",
    "pop_u64",
];

/// How the names of the interpreter's functions begin.
const THEIRS: &str = "wit_dylib_";

/// How those of ours do: as long, so that they take the place of the others where they are.
const OURS: &str = "run_dylib_";

/// The library that stands between.
pub fn library() -> Library {
    let bytes = wat::parse_str(include_str!("corrections.wat")).expect("a constant that is WebAssembly");
    Library { name: "corrections.so".to_owned(), bytes }
}

/// Makes bindings call the library, where it has something to put right.
///
/// # Errors
///
/// The bindings are no module.
pub fn call_library(bindings: &mut [u8]) -> Result<(), BinaryReaderError> {
    let mut places = Vec::new();
    for payload in Parser::new(0).parse_all(bindings) {
        let Payload::ImportSection(section) = payload? else { continue };
        for import in section.into_imports() {
            let import = import?;
            let corrected = import.name.strip_prefix(THEIRS).is_some_and(|name| CORRECTED.contains(&name));
            if corrected && matches!(import.ty, TypeRef::Func(_)) {
                places.push(import.name.as_ptr() as usize - bindings.as_ptr() as usize);
            }
        }
    }
    for at in places {
        bindings[at..at + THEIRS.len()].copy_from_slice(OURS.as_bytes());
    }
    Ok(())
}
