//! WIT sources → [`World`]: what a component may import and must export.
//!
//! Sources are a map from path to bytes, laid out as every WIT tool expects: the package's own `*.wit` in one directory (or one
//! file), its dependencies below `deps/` as `name.wit`, `name/*.wit` or an encoded `name.wasm`. The packages of WASI 0.2 need not
//! be there: see [`super::wasi`].

use std::collections::BTreeMap;

use wit_parser::decoding::DecodedWasm;
use wit_parser::{PackageId, PackageName, ParsedUsePath, Resolve, WorldId, WorldKey, parse_use_path};

use super::compare::split_version;
use super::{StepError, canonical, causes};
use crate::diagnostic::{Diagnostic, suggest};
use packages::{Packages, load_built_in, package_not_found};

mod packages;

pub(super) use packages::built_in_package;

/// A world together with everything it refers to.
#[derive(Debug, Clone)]
pub struct World {
    /// The packages, interfaces and types.
    pub resolve: Resolve,
    /// Which of its worlds is meant.
    pub id: WorldId,
    /// The source files it came from, sorted: the ones the world's package needs, not all that were offered.
    pub files: Vec<String>,
}

impl World {
    /// The full name: `demo:calc/calc@1.0.0`.
    #[must_use]
    pub fn name(&self) -> String {
        let world = &self.resolve.worlds[self.id];
        match world.package {
            Some(package) => self.resolve.id_of_name(package, &world.name),
            None => world.name.clone(),
        }
    }

    /// The name without its package: `calc`.
    #[must_use]
    pub fn short_name(&self) -> &str {
        &self.resolve.worlds[self.id].name
    }

    /// The world less `wasi:cli/run`: what a program offers besides its `main`.
    #[must_use]
    pub fn without_run(&self) -> Self {
        let mut rest = self.clone();
        let exports = std::mem::take(&mut rest.resolve.worlds[rest.id].exports);
        let is_run = |key: &WorldKey| split_version(&self.resolve.name_world_key(key)).0 == "wasi:cli/run";
        rest.resolve.worlds[rest.id].exports = exports.into_iter().filter(|(key, _)| !is_run(key)).collect();
        rest
    }

    /// Whether `wasi:cli/run` is all that it exports.
    #[must_use]
    pub fn exports_only_run(&self) -> bool {
        self.without_run().resolve.worlds[self.id].exports.is_empty()
    }

    /// The world less all that it imports, which what it exports must not speak of.
    #[must_use]
    pub fn without_imports(&self) -> Self {
        let mut rest = self.clone();
        rest.resolve.worlds[rest.id].imports.clear();
        rest
    }

    /// The world as a message speaks of it. Its binary form does not tell what it is called in its sources.
    #[must_use]
    pub fn title(&self) -> String {
        match self.name() {
            name if name == canonical::NAME => "its world".to_owned(),
            name => format!("world `{name}`"),
        }
    }

    /// Reads what [`World::encoded`] wrote.
    ///
    /// # Errors
    ///
    /// `bad-wit` for any other bytes.
    pub fn from_encoded(bytes: &[u8]) -> Result<Self, StepError> {
        match wit_parser::decoding::decode_world(bytes) {
            Ok((resolve, id)) => Ok(Self { resolve, id, files: Vec::new() }),
            Err(error) => {
                let mut diagnostic = Diagnostic::error("bad-wit", "these bytes are not an encoded world");
                diagnostic.notes = causes(error.as_ref());
                Err(diagnostic.into())
            }
        }
    }

    /// The world as WIT text: its package, then every other package it needs, sorted by name.
    #[must_use]
    pub fn wit(&self) -> String {
        canonical::print(self)
    }

    /// The identity of the interface: equal bytes exactly where imports and exports are equal.
    ///
    /// Comments, the order of items and of files, the name of the world and what else its package holds change nothing.
    ///
    /// # Errors
    ///
    /// When the world has no binary form (`bad-wit`).
    pub fn encoded(&self) -> Result<Vec<u8>, StepError> {
        canonical::encode(self)
    }
}

/// Reads the world `name` out of `sources`; without a name, the only one there is.
///
/// A name may be the world's own (`calc`) or full (`demo:calc/calc`, `wasi:http/proxy@0.2.3`); a full one is also looked up among the
/// dependencies and the built-in WASI packages, so with a full name `sources` may be empty.
///
/// # Errors
///
/// `bad-wit` with the place in the text, `unknown-world`, `ambiguous-world`.
pub fn world(sources: &BTreeMap<String, Vec<u8>>, name: Option<&str>) -> Result<World, StepError> {
    let packages = Packages::read(sources)?;
    let mut resolve = Resolve::new();
    let (main, mut files) = match packages {
        Some(packages) => {
            let (main, files) = packages.resolve_into(&mut resolve)?;
            (Some(main), files)
        }
        None => (None, Vec::new()),
    };
    let id = select(&mut resolve, main, name)?;
    files.sort();
    Ok(World { resolve, id, files })
}

/// The interface stated by a component's own bytes, which must be valid.
///
/// # Errors
///
/// `not-a-component` for bytes that hold something else, such as an encoded WIT package.
pub fn of_component(component: &[u8]) -> Result<World, StepError> {
    match wit_component::decode(component) {
        Ok(DecodedWasm::Component(resolve, id)) => Ok(World { resolve, id, files: Vec::new() }),
        Ok(DecodedWasm::WitPackage(..)) => {
            Err(Diagnostic::error("not-a-component", "this is a WIT package in binary form, not a component").into())
        }
        Err(error) => {
            let mut diagnostic = Diagnostic::error("not-a-component", "the interface of this component can't be read");
            diagnostic.notes = causes(error.as_ref());
            Err(diagnostic.into())
        }
    }
}

/// The world meant by `name`, loading a built-in package where the name is of one.
fn select(resolve: &mut Resolve, main: Option<PackageId>, name: Option<&str>) -> Result<WorldId, StepError> {
    let Some(name) = name else {
        return only_world(resolve, main);
    };
    let path = parse_use_path(name).map_err(|error| {
        Diagnostic::error("unknown-world", format!("`{name}` is not the name of a world")).note(error.to_string())
    })?;
    let (package, world) = match path {
        ParsedUsePath::Name(world) => (main.ok_or_else(|| no_package(name))?, world),
        ParsedUsePath::Package(package, world) => (find_package(resolve, &package, name)?, world),
    };
    let known = &resolve.packages[package].worlds;
    known.get(&world).copied().ok_or_else(|| {
        let what = format!("package `{}` has no world called `{world}`", resolve.packages[package].name);
        with_candidates(Diagnostic::error("unknown-world", what), &world, known.keys().map(String::as_str)).into()
    })
}

fn only_world(resolve: &Resolve, main: Option<PackageId>) -> Result<WorldId, StepError> {
    let Some(main) = main else {
        let message = "neither WIT files nor a world are named";
        return Err(Diagnostic::error("unknown-world", message)
            .help("set `wit` to a file or directory, or `world`")
            .into());
    };
    let package = &resolve.packages[main];
    let worlds: Vec<&str> = package.worlds.keys().map(String::as_str).collect();
    match worlds.as_slice() {
        [only] => Ok(package.worlds[*only]),
        [] => {
            let message = format!("package `{}` has no world, only interfaces", package.name);
            let help = "add `world NAME { export INTERFACE; }`, saying what the component imports and exports";
            Err(Diagnostic::error("unknown-world", message).help(help).into())
        }
        [first, ..] => {
            let message = format!("package `{}` has {} worlds", package.name, worlds.len());
            let listed = format!("they are `{}`", worlds.join("`, `"));
            Err(Diagnostic::error("ambiguous-world", message)
                .note(listed)
                .help(format!("choose one: `world = \"{first}\"`"))
                .into())
        }
    }
}

fn no_package(name: &str) -> Diagnostic {
    Diagnostic::error("unknown-world", format!("no WIT files are named, so there is no world called `{name}`"))
        .help("set `wit` to a file or directory, or name a world of WASI in full, as in `wasi:cli/command`")
}

/// The package a full world name speaks of. Without a version, the only one there is, or the newest built-in one.
fn find_package(resolve: &mut Resolve, package: &PackageName, name: &str) -> Result<PackageId, StepError> {
    let same = |known: &PackageName| known.namespace == package.namespace && known.name == package.name;
    let known: Vec<(PackageName, PackageId)> = resolve
        .package_names
        .iter()
        .filter(|(known, _)| same(known) && (package.version.is_none() || known.version == package.version))
        .map(|(known, id)| (known.clone(), *id))
        .collect();
    match known.as_slice() {
        [(_, id)] => return Ok(*id),
        [] => {}
        several => {
            let listed = several.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>().join("`, `");
            let message = format!("`{name}` could be in several packages");
            let help = "write the version as well";
            return Err(Diagnostic::error("ambiguous-world", message)
                .note(format!("they are `{listed}`"))
                .help(help)
                .into());
        }
    }
    match load_built_in(resolve, package)? {
        Some(id) => Ok(id),
        None => {
            let found = Diagnostic::error("unknown-world", format!("no package is called `{package}`"));
            let known: Vec<PackageName> = resolve.package_names.keys().cloned().collect();
            Err(package_not_found(found, package, &known).into())
        }
    }
}

fn with_candidates<'a>(found: Diagnostic, written: &str, known: impl Iterator<Item = &'a str> + Clone) -> Diagnostic {
    let listed = known.clone().collect::<Vec<_>>().join("`, `");
    let found =
        if listed.is_empty() { found.note("it has no worlds") } else { found.note(format!("it has `{listed}`")) };
    match suggest(written, known) {
        Some(close) => found.help(format!("did you mean `{close}`?")),
        None => found,
    }
}

#[cfg(test)]
mod tests;
