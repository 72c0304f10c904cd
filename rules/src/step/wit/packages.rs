//! WIT packages: which files make one, which others it needs, and what to say when they are not there.

use std::collections::{BTreeMap, BTreeSet};

use wit_parser::{
    PackageId, PackageName, Resolve, ResolveError, ResolveErrorKind, SourceMap, Span, UnresolvedPackageGroup,
};

use crate::diagnostic::{Diagnostic, suggest};
use crate::step::kind::{self, Kind};
use crate::step::{StepError, causes, wasi};

/// Packages as parsed, before their references are followed.
pub(super) struct Packages {
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
    pub(super) fn read(sources: &BTreeMap<String, Vec<u8>>) -> Result<Option<Self>, StepError> {
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
    pub(super) fn resolve_into(self, resolve: &mut Resolve) -> Result<(PackageId, Vec<String>), StepError> {
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
    let binary = kind::text(path, bytes)?;
    let kind = Kind::of(&binary);
    if kind != Kind::WitPackage {
        let found =
            Diagnostic::error("bad-wit", format!("`{path}` should be a WIT package, but is {}", kind.describe()));
        return Err(match kind {
            Kind::Component => found.help("to use what it exports, make it a target and name it in `depends`").into(),
            Kind::NotWasm(reason) => found.note(reason).into(),
            _ => found.into(),
        });
    }
    match wit_component::decode(&binary) {
        Ok(decoded) => Ok(Dependency::Encoded { path: path.to_owned(), resolve: Box::new(decoded.resolve().clone()) }),
        Err(error) => {
            let mut diagnostic = Diagnostic::error("bad-wit", format!("`{path}` can't be read as a WIT package"));
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

pub(super) fn package_not_found(found: Diagnostic, requested: &PackageName, known: &[PackageName]) -> Diagnostic {
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

/// The built-in package of this name with all it needs, alone.
pub(in crate::step) fn built_in_package(name: &PackageName) -> Result<Option<(Resolve, PackageId)>, StepError> {
    let mut resolve = Resolve::new();
    let id = load_built_in(&mut resolve, name)?;
    Ok(id.map(|id| (resolve, id)))
}

/// Adds a built-in package to what is there, with all it needs and that is not there yet.
pub(super) fn load_built_in(resolve: &mut Resolve, package: &PackageName) -> Result<Option<PackageId>, StepError> {
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
