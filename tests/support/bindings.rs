//! Bindings as a developer generates them before building: those checked in with fixtures and with a starter, and those of a
//! story that changes an interface.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use run_rules::step::wit;
use wit_bindgen_core::{Files, WorldGenerator as _};

/// Each crate of this repository that has bindings of its own: its project, its directory there, and the world its code
/// is written against. The project's `wit/` has that world.
const CRATES: &[(&str, &str, &str)] = &[
    ("fixtures/calculator", "calc", "calc"),
    ("fixtures/calculator", "app", "app-imports"),
    ("fixtures/polyglot", "parcels", "rust-parcels"),
    ("fixtures/polyglot", "app", "app-imports"),
    ("fixtures/pairs", "callees/rust", "callee"),
    ("fixtures/pairs", "callers/rust", "caller"),
    ("fixtures/shop", "app", "app"),
    ("fixtures/shop", "front", "front-imports"),
    ("cli/templates/rust-component", ".", "hello"),
];

/// The bindings in the repository are what its WIT says. `UPDATE_EXPECT=1` writes them anew.
#[test]
fn bindings_are_current() {
    for (project, name, world) in CRATES {
        let directory = super::repository().join(project);
        if super::is_updating() {
            write(&directory, name, world);
        }
        let written = fs::read_to_string(directory.join(name).join("src/bindings.rs")).unwrap_or_default();
        let is_current = written == bindings(&directory.join("wit"), world);
        assert!(is_current, "{project}/{name}: bindings.rs is out of date; run this test with UPDATE_EXPECT=1");
    }
}

/// Writes `src/bindings.rs` of a crate for a world of `wit/`.
pub(crate) fn write(project: &Path, name: &str, world: &str) {
    let text = bindings(&project.join("wit"), world);
    fs::write(project.join(name).join("src/bindings.rs"), text).expect("bindings can be written");
}

/// The Rust source by which a guest of `world` talks to its host.
fn bindings(directory: &Path, world: &str) -> String {
    let mut sources = BTreeMap::new();
    read(directory, "", &mut sources);
    let wit::World { mut resolve, id, .. } = wit::world(&sources, Some(world)).expect("the WIT has this world");
    let opts = wit_bindgen_rust::Opts { generate_all: true, format: true, ..Default::default() };
    let mut files = Files::default();
    opts.build().generate(&mut resolve, id, &mut files).expect("Rust can express these types");
    let (_, source) = files.iter().next().expect("one file per world");
    String::from_utf8(source.to_vec()).expect("Rust source is UTF-8")
}

/// Every file below a directory, by its path from there.
fn read(directory: &Path, below: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(directory.join(below)).expect("a directory can be listed") {
        let name = entry.expect("an entry").file_name();
        let path = format!("{below}{}", name.to_string_lossy());
        match directory.join(&path).is_dir() {
            true => read(directory, &format!("{path}/"), files),
            false => {
                let text = fs::read(directory.join(&path)).expect("a file can be read");
                files.insert(path, text);
            }
        }
    }
}
