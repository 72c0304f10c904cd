//! WIT sources → [`World`]: what a component may import and must export.
//!
//! Sources are a map from path to bytes, laid out as every WIT tool expects: the package's own `*.wit` in one directory (or one
//! file), its dependencies below `deps/` as `name.wit`, `name/*.wit` or an encoded `name.wasm`. The packages of WASI 0.2 need not
//! be there: see [`super::wasi`].

use std::collections::{BTreeMap, BTreeSet};

use wit_parser::decoding::DecodedWasm;
use wit_parser::{
    PackageId, PackageName, ParsedUsePath, Resolve, ResolveError, ResolveErrorKind, SourceMap, Span,
    UnresolvedPackageGroup, WorldId, parse_use_path,
};

use super::{StepError, canonical, causes, wasi};
use crate::diagnostic::{Diagnostic, suggest};

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

/// Packages as parsed, before their references are followed.
struct Packages {
    main: UnresolvedPackageGroup,
    dependencies: Vec<Dependency>,
}

enum Dependency {
    Text(Box<UnresolvedPackageGroup>),
    Encoded { path: String, resolve: Box<Resolve> },
}

impl Dependency {
    /// The packages it defines.
    fn provides(&self) -> Vec<&PackageName> {
        match self {
            Self::Text(group) => group.nested.iter().chain([&group.main]).map(|package| &package.name).collect(),
            Self::Encoded { resolve, .. } => resolve.package_names.keys().collect(),
        }
    }

    fn files(&self) -> Vec<String> {
        match self {
            Self::Text(group) => group.source_map.source_names().map(str::to_owned).collect(),
            Self::Encoded { path, .. } => vec![path.clone()],
        }
    }
}

impl Packages {
    /// Parses all sources; `None` when there are none.
    fn read(sources: &BTreeMap<String, Vec<u8>>) -> Result<Option<Self>, StepError> {
        if sources.is_empty() {
            return Ok(None);
        }
        let layout = Layout::of(sources.keys().map(String::as_str));
        if layout.main.is_empty() {
            let message = "there is no WIT file among these sources";
            let listed = sources.keys().cloned().collect::<Vec<_>>().join("`, `");
            return Err(Diagnostic::error("bad-wit", message).note(format!("found `{listed}`")).into());
        }
        let main = parse(sources, &layout.main)?;
        let mut dependencies = Vec::new();
        for paths in layout.dependencies.values() {
            dependencies.push(match paths.as_slice() {
                [path] if !path.ends_with(".wit") => decode(path, &sources[*path])?,
                _ => Dependency::Text(Box::new(parse(sources, paths)?)),
            });
        }
        Ok(Some(Self { main, dependencies }))
    }

    /// Adds the main package and those it needs, from among the dependencies or the built-in ones.
    ///
    /// Dependencies nobody refers to stay out, so an edit to one changes nothing.
    fn resolve_into(self, resolve: &mut Resolve) -> Result<(PackageId, Vec<String>), StepError> {
        let mut files: Vec<String> = self.main.source_map.source_names().map(str::to_owned).collect();
        let mut wanted = references(&self.main);
        let offered: Vec<PackageName> = self.dependencies.iter().flat_map(Dependency::provides).cloned().collect();
        let mut available = self.dependencies;
        let mut groups = Vec::new();
        let own: BTreeSet<PackageName> =
            self.main.nested.iter().chain([&self.main.main]).map(|package| package.name.clone()).collect();
        let mut seen = own;
        while let Some(name) = wanted.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            let found = available.iter().position(|dependency| dependency.provides().contains(&&name));
            match found.map(|at| available.swap_remove(at)) {
                Some(dependency) => {
                    files.extend(dependency.files());
                    seen.extend(dependency.provides().into_iter().cloned());
                    match dependency {
                        Dependency::Text(group) => {
                            wanted.extend(references(&group));
                            groups.push(*group);
                        }
                        Dependency::Encoded { path, resolve: encoded } => merge(resolve, *encoded, &path)?,
                    }
                }
                None => groups.extend(built_in(&name, &mut wanted)),
            }
        }
        // Packages are numbered in this order; it must not depend on how the references were met.
        groups.sort_by(|a, b| a.main.name.cmp(&b.main.name));
        let main = push(resolve, self.main, groups, &offered)?;
        Ok((main, files))
    }
}

/// The built-in package of exactly this name; what it refers to is wanted too.
fn built_in(name: &PackageName, wanted: &mut Vec<PackageName>) -> Option<UnresolvedPackageGroup> {
    // Without a version the text means another package: the reference is reported, with the version to write.
    name.version.as_ref()?;
    let group = wasi::package(name)?;
    wanted.extend(references(&group));
    Some(group)
}

/// Which files belong to which package.
#[derive(Default)]
struct Layout<'a> {
    main: Vec<&'a str>,
    /// By the path of the file or directory below `deps`.
    dependencies: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> Layout<'a> {
    fn of(paths: impl Iterator<Item = &'a str>) -> Self {
        let mut layout = Self::default();
        for path in paths {
            let below = path.find("/deps/").map(|at| at + "/deps/".len()).or(path.starts_with("deps/").then_some(5));
            match below {
                Some(at) => layout.dependency(path, at),
                None if path.ends_with(".wit") => layout.main.push(path),
                None => {}
            }
        }
        // Directories beside `deps` hold nothing that WIT tools read: only the files closest to the root are the package.
        let depth = |path: &str| path.matches('/').count();
        let top = layout.main.iter().map(|path| depth(path)).min();
        layout.main.retain(|path| Some(depth(path)) == top);
        layout
    }

    /// Notes one file below `deps`, whose part of the path begins at `at`. Other files, and deeper ones, are no WIT.
    fn dependency(&mut self, path: &'a str, at: usize) {
        let end = match path[at..].split_once('/') {
            Some((directory, file)) if file.ends_with(".wit") && !file.contains('/') => at + directory.len(),
            None if [".wit", ".wasm", ".wat"].iter().any(|suffix| path.ends_with(suffix)) => path.len(),
            _ => return,
        };
        self.dependencies.entry(&path[..end]).or_default().push(path);
    }
}

fn parse(sources: &BTreeMap<String, Vec<u8>>, paths: &[&str]) -> Result<UnresolvedPackageGroup, StepError> {
    let mut map = SourceMap::new();
    for path in paths {
        let text = std::str::from_utf8(&sources[*path]).map_err(|error| {
            let at = error.valid_up_to();
            Diagnostic::error("bad-wit", format!("`{path}` is not UTF-8 text")).at(path, at..at + 1, "this byte")
        })?;
        map.push_str(path, text);
    }
    map.parse().map_err(|(map, error)| at_span(&map, error.kind().span(), &error.to_string()).into())
}

fn decode(path: &str, bytes: &[u8]) -> Result<Dependency, StepError> {
    let binary = super::kind::text(path, bytes)?;
    match wit_component::decode(&binary) {
        Ok(DecodedWasm::WitPackage(resolve, _)) => {
            Ok(Dependency::Encoded { path: path.to_owned(), resolve: Box::new(resolve) })
        }
        Ok(DecodedWasm::Component(..)) => {
            let message = format!("`{path}` is a component, not a WIT package");
            Err(Diagnostic::error("bad-wit", message)
                .help("to use what it exports, make it a target and name it in `depends`")
                .into())
        }
        Err(error) => {
            let mut diagnostic = Diagnostic::error("bad-wit", format!("`{path}` is not an encoded WIT package"));
            diagnostic.notes = causes(error.as_ref());
            Err(diagnostic.into())
        }
    }
}

/// The packages a group refers to.
fn references(group: &UnresolvedPackageGroup) -> Vec<PackageName> {
    group.nested.iter().chain([&group.main]).flat_map(|package| package.foreign_deps.keys().cloned()).collect()
}

fn merge(resolve: &mut Resolve, encoded: Resolve, path: &str) -> Result<(), StepError> {
    resolve.merge(encoded).map(drop).map_err(|error| {
        let mut diagnostic = Diagnostic::error("bad-wit", format!("`{path}` does not fit the other packages"));
        diagnostic.notes = causes(error.as_ref());
        diagnostic.into()
    })
}

fn push(
    resolve: &mut Resolve,
    main: UnresolvedPackageGroup,
    groups: Vec<UnresolvedPackageGroup>,
    offered: &[PackageName],
) -> Result<PackageId, StepError> {
    resolve.push_groups(main, groups).map_err(|error| unresolved(&resolve.source_map, &error, offered).into())
}

/// An error of resolution, with what the user can do about it.
fn unresolved(map: &SourceMap, error: &ResolveError, offered: &[PackageName]) -> Diagnostic {
    match error.kind() {
        ResolveErrorKind::PackageNotFound { span, requested, .. } => {
            let found = at_span(map, *span, &format!("no package is called `{requested}`"));
            package_not_found(found, requested, offered)
        }
        ResolveErrorKind::DuplicatePackage { name, span1, span2 } => {
            let mut found = at_span(map, *span1, &format!("package `{name}` is defined twice"));
            if let Some(other) = map.resolve_span(*span2) {
                found = found.at(other.path, other.range, "also here");
            }
            found
        }
        kind => at_span(map, kind.span(), &error.to_string()),
    }
}

fn package_not_found(found: Diagnostic, requested: &PackageName, known: &[PackageName]) -> Diagnostic {
    let newest = wasi::NEWEST;
    if wasi::knows(requested) {
        return match &requested.version {
            None => found.help(format!("write the version: `wasi:{}@{newest}`", requested.name)),
            Some(_) => found.help(format!(
                "the built-in WASI packages go from 0.2.0 to {newest}; other versions belong in `deps/`"
            )),
        };
    }
    let unversioned = |name: &PackageName| format!("{}:{}", name.namespace, name.name);
    let written = unversioned(requested);
    if let Some(other) = known.iter().find(|other| unversioned(other) == written) {
        return found.help(format!("there is `{other}`: write that version, or put the other one beside it"));
    }
    let candidates: Vec<String> = known.iter().map(unversioned).chain(wasi::names()).collect();
    let found = match suggest(&written, candidates.iter().map(String::as_str)) {
        Some(close) => found.help(format!("did you mean `{close}`?")),
        None => found,
    };
    found.help(format!("put the WIT of `{requested}` in `deps/{}/` beside the package that uses it", requested.name))
}

fn at_span(map: &SourceMap, span: Span, message: &str) -> Diagnostic {
    // The library puts its hint on a second line.
    let (message, hint) = message.split_once('\n').unwrap_or((message, ""));
    let mut diagnostic = Diagnostic::error("bad-wit", message);
    if let Some(place) = map.resolve_span(span) {
        diagnostic = diagnostic.at(place.path, place.range, "");
    }
    if hint.is_empty() { diagnostic } else { diagnostic.note(hint) }
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

/// The built-in package of this name with all it needs, alone.
pub(super) fn built_in_package(name: &PackageName) -> Result<Option<(Resolve, PackageId)>, StepError> {
    let mut resolve = Resolve::new();
    let id = load_built_in(&mut resolve, name)?;
    Ok(id.map(|id| (resolve, id)))
}

/// Adds a built-in package to what is there, with all it needs and that is not there yet.
fn load_built_in(resolve: &mut Resolve, package: &PackageName) -> Result<Option<PackageId>, StepError> {
    let Some(group) = wasi::package(package) else { return Ok(None) };
    let mut wanted = references(&group);
    let mut groups = Vec::new();
    let mut seen: BTreeSet<PackageName> = resolve.package_names.keys().cloned().collect();
    while let Some(next) = wanted.pop() {
        if seen.insert(next.clone()) {
            groups.extend(built_in(&next, &mut wanted));
        }
    }
    groups.retain(|other| other.main.name != group.main.name);
    groups.sort_by(|a, b| a.main.name.cmp(&b.main.name));
    push(resolve, group, groups, &[]).map(Some)
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
