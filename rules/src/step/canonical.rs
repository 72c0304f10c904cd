//! One text and one binary form for each interface, however its sources are arranged.
//!
//! The binary form is the world's component type, as the component model encodes it, with everything that carries no meaning
//! settled: documentation is not part of it, items are in order of name, the world has a fixed name, and no section tells
//! which tool wrote it.

use std::collections::BTreeSet;

use wasm_encoder::{ComponentSectionId, RawSection, Section};
use wit_component::{OutputToString, StringEncoding, WitPrinter};
use wit_parser::{Package, PackageId, PackageName, Resolve, WorldItem, WorldKey};

use super::wit::World;
use super::{StepError, causes};
use crate::diagnostic::Diagnostic;

/// See [`World::encoded`].
pub(super) fn encode(world: &World) -> Result<Vec<u8>, StepError> {
    let mut resolve = world.resolve.clone();
    rename(&mut resolve, world.id);
    sort(&mut resolve, world.id);
    let encoded =
        wit_component::metadata::encode(&resolve, world.id, StringEncoding::UTF8, None, false).map_err(unencodable)?;
    without_custom_sections(&encoded).map_err(unencodable)
}

fn unencodable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StepError {
    let error = error.into();
    let mut diagnostic = Diagnostic::error("bad-wit", "this world has no binary form");
    diagnostic.notes = causes(error.as_ref());
    diagnostic.into()
}

/// What every world is called in its binary form.
pub(super) const NAME: &str = "run:interface/interface";

/// Moves the world into a package of its own, so that where it was declared leaves no trace.
fn rename(resolve: &mut Resolve, id: wit_parser::WorldId) {
    let name = PackageName { namespace: "run".to_owned(), name: "interface".to_owned(), version: None };
    let package =
        Package { name, docs: wit_parser::Docs::default(), interfaces: Default::default(), worlds: Default::default() };
    let package = resolve.packages.alloc(package);
    let world = &mut resolve.worlds[id];
    world.package = Some(package);
    "interface".clone_into(&mut world.name);
}

fn sort(resolve: &mut Resolve, id: wit_parser::WorldId) {
    for (_, interface) in &mut resolve.interfaces {
        interface.functions.sort_keys();
        interface.types.sort_keys();
    }
    let imports = ordered(resolve, resolve.worlds[id].imports.clone().into_iter().collect());
    let exports = ordered(resolve, resolve.worlds[id].exports.clone().into_iter().collect());
    let world = &mut resolve.worlds[id];
    world.imports = imports.into_iter().collect();
    world.exports = exports.into_iter().collect();
}

type Item = (WorldKey, WorldItem);

/// Interfaces after those they use types of, then types, then functions; by name wherever the order is free.
fn ordered(resolve: &Resolve, mut items: Vec<Item>) -> Vec<Item> {
    let rank = |item: &WorldItem| match item {
        WorldItem::Interface { .. } => 0,
        WorldItem::Type { .. } => 1,
        WorldItem::Function(_) => 2,
    };
    items.sort_by_cached_key(|(key, item)| (rank(item), resolve.name_world_key(key)));
    let mut placed = Vec::with_capacity(items.len());
    let mut done = BTreeSet::new();
    for at in 0..items.len() {
        place(resolve, &items, at, &mut done, &mut placed);
    }
    placed
}

fn place(resolve: &Resolve, items: &[Item], at: usize, done: &mut BTreeSet<usize>, placed: &mut Vec<Item>) {
    if !done.insert(at) {
        return;
    }
    let (key, item) = &items[at];
    if let WorldItem::Interface { id, .. } = item {
        let mut needed: Vec<usize> = resolve
            .interface_direct_deps(*id)
            .filter_map(|dep| items.iter().position(|(key, _)| *key == WorldKey::Interface(dep)))
            .collect();
        needed.sort_unstable();
        for other in needed {
            place(resolve, items, other, done, placed);
        }
    }
    placed.push((key.clone(), item.clone()));
}

/// Drops what only tells who wrote the bytes: producers, string encoding.
fn without_custom_sections(component: &[u8]) -> Result<Vec<u8>, wasmparser::BinaryReaderError> {
    let mut out = wasm_encoder::Component::HEADER.to_vec();
    let mut depth = 0;
    for payload in wasmparser::Parser::new(0).parse_all(component) {
        let payload = payload?;
        match &payload {
            wasmparser::Payload::Version { .. } => depth += 1,
            wasmparser::Payload::End(_) => depth -= 1,
            wasmparser::Payload::CustomSection(_) => {}
            _ => {
                let section = payload.as_section().filter(|_| depth == 1);
                if let Some((id, range)) = section {
                    assert_ne!(id, ComponentSectionId::Component as u8, "an encoded world holds no component");
                    let data = &component[range.start as usize..range.end as usize];
                    RawSection { id, data }.append_to(&mut out);
                }
            }
        }
    }
    Ok(out)
}

/// See [`World::wit`].
pub(super) fn print(world: &World) -> String {
    let resolve = &world.resolve;
    let main = resolve.worlds[world.id].package.expect("a resolved world is in a package");
    let mut nested: Vec<PackageId> = reachable(resolve, main).into_iter().filter(|id| *id != main).collect();
    nested.sort_by(|a, b| resolve.packages[*a].name.cmp(&resolve.packages[*b].name));
    let mut printer = WitPrinter::new(OutputToString::default());
    printer.print(resolve, main, &nested).expect("a resolved package can be printed");
    printer.output.to_string()
}

fn reachable(resolve: &Resolve, main: PackageId) -> Vec<PackageId> {
    let mut found = vec![main];
    let mut next = 0;
    while next < found.len() {
        for dep in resolve.package_direct_deps(found[next]) {
            if !found.contains(&dep) {
                found.push(dep);
            }
        }
        next += 1;
    }
    found
}
