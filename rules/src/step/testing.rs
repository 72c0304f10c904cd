//! Worlds and components for tests, from WIT alone: the functions do nothing, the types are real.

use std::collections::BTreeMap;

use wit_component::dummy_module;
use wit_parser::ManglingAndAbi;

use super::stand_in;
use super::wit::{self, World};

/// A map of one file for each `//- path` line in `text`; without such a line, the one file `test.wit`.
pub(crate) fn files(text: &str) -> BTreeMap<String, Vec<u8>> {
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut path = "test.wit".to_owned();
    for line in text.lines() {
        match line.trim().strip_prefix("//- ") {
            Some(next) => path = next.to_owned(),
            None => files.entry(path.clone()).or_default().extend(format!("{line}\n").bytes()),
        }
    }
    files.retain(|_, text| !text.trim_ascii().is_empty());
    files
}

/// The only world of `text`, or the one called `name`.
#[track_caller]
pub(crate) fn named_world(text: &str, name: Option<&str>) -> World {
    wit::world(&files(text), name).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
pub(crate) fn world(text: &str) -> World {
    named_world(text, None)
}

/// A core module that imports and exports what the world says, without the world.
pub(crate) fn module(world: &World) -> Vec<u8> {
    dummy_module(&world.resolve, world.id, ManglingAndAbi::Standard32)
}

/// A component that implements the world.
pub(crate) fn component(world: &World) -> Vec<u8> {
    stand_in::component(world).unwrap_or_else(|error| panic!("{error}"))
}
