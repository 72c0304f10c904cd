//! The bindings checked in with `fixtures/calculator` are what its WIT says. `UPDATE_EXPECT=1` writes them anew.

use std::path::Path;

use wit_bindgen_core::{Files, WorldGenerator as _};
use wit_parser::Resolve;

/// Each crate of the fixture that has bindings of its own, and the world its code is written against.
const CRATES: [(&str, &str); 2] = [("calc", "calc"), ("app", "app-imports")];

#[test]
#[expect(clippy::disallowed_methods, reason = "a switch for people who run the tests")]
fn the_calculators_bindings_are_current() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/calculator");
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    for (name, world) in CRATES {
        let file = fixture.join(name).join("src/bindings.rs");
        let expected = bindings(&fixture.join("wit"), world);
        if update {
            std::fs::write(&file, expected).expect("the fixture can be written");
        } else {
            let written = std::fs::read_to_string(&file).unwrap_or_default();
            assert!(written == expected, "{name}: bindings.rs is out of date; run this test with UPDATE_EXPECT=1");
        }
    }
}

/// The Rust source by which a guest of `world` talks to its host.
fn bindings(wit: &Path, world: &str) -> String {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit).expect("the fixture's WIT parses");
    let world = resolve.select_world(&[package], Some(world)).expect("the fixture has this world");
    let opts = wit_bindgen_rust::Opts { generate_all: true, format: true, ..Default::default() };
    let mut files = Files::default();
    opts.build().generate(&mut resolve, world, &mut files).expect("Rust can express these types");
    let (_, source) = files.iter().next().expect("one file per world");
    String::from_utf8(source.to_vec()).expect("Rust source is UTF-8")
}
