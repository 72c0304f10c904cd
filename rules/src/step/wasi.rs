//! The WIT packages of WASI 0.2, built in, at whichever 0.2 version is asked for.
//!
//! One text serves all versions. Releases of 0.2 only add, and mark what they added with `@since`; so version 0.2.N is the newest
//! text under that version's name, without the items that are newer than N. Keeping the version the user wrote matters: some
//! toolchains and hosts know only the names of one release.

use semver::Version;
use wit_parser::{
    Interface, PackageName, SourceMap, Stability, UnresolvedPackage, UnresolvedPackageGroup, World, WorldItem,
};

/// The newest WASI 0.2 this program knows, and the one meant where no version is written.
pub const NEWEST: Version = Version::new(0, 2, 12);

const TEXTS: [(&str, &str); 7] = [
    ("cli", include_str!("../../wit/cli.wit")),
    ("clocks", include_str!("../../wit/clocks.wit")),
    ("filesystem", include_str!("../../wit/filesystem.wit")),
    ("http", include_str!("../../wit/http.wit")),
    ("io", include_str!("../../wit/io.wit")),
    ("random", include_str!("../../wit/random.wit")),
    ("sockets", include_str!("../../wit/sockets.wit")),
];

/// The one place where newer text renamed something: 0.2.1 gave `field-key` a second name and uses that from then on.
const FIELD_NAME_SINCE: Version = Version::new(0, 2, 1);
const FIELD_NAME: &str = "@since(version = 0.2.1)\n  type field-name = field-key;";

/// The feature that hides what a version does not have yet. Nothing ever switches it on.
const NOT_YET: &str = "newer-than-the-version-asked-for";

/// The built-in package of this name and version; a name without a version means [`NEWEST`].
///
/// `None` when it is not one of ours: another namespace, an unknown package, a version outside 0.2.0 to [`NEWEST`].
#[must_use]
pub fn package(name: &PackageName) -> Option<UnresolvedPackageGroup> {
    let mut text = text(name)?.to_owned();
    let version = name.version.clone().unwrap_or(NEWEST);
    if !covers(&version) {
        return None;
    }
    if name.name == "http" && version < FIELD_NAME_SINCE {
        text = text.replace(FIELD_NAME, "").replace("field-name", "field-key");
    }
    let mut sources = SourceMap::new();
    sources.push_str(&format!("wasi:{}@{version} (built in)", name.name), text);
    let mut group = sources.parse().unwrap_or_else(|(_, error)| panic!("the built-in WIT of `{name}` parses: {error}"));
    become_version(&mut group.main, &version);
    Some(group)
}

/// Whether the name is a built-in package's, whatever the version.
#[must_use]
pub fn knows(name: &PackageName) -> bool {
    text(name).is_some()
}

/// The names of the built-in packages, without version.
pub fn names() -> impl Iterator<Item = String> {
    TEXTS.iter().map(|(name, _)| format!("wasi:{name}"))
}

fn text(name: &PackageName) -> Option<&'static str> {
    let (_, text) = TEXTS.iter().find(|(known, _)| name.namespace == "wasi" && *known == name.name)?;
    Some(text)
}

fn covers(version: &Version) -> bool {
    version.major == 0 && version.minor == 2 && version.patch <= NEWEST.patch && version.pre.is_empty()
}

/// Renames the package and its references to other WASI packages, and hides what is newer.
fn become_version(package: &mut UnresolvedPackage, version: &Version) {
    package.name.version = Some(version.clone());
    package.foreign_deps = std::mem::take(&mut package.foreign_deps)
        .into_iter()
        .map(|(mut name, items)| {
            name.version = Some(version.clone());
            (name, items)
        })
        .collect();
    for (_, stabilities) in package.foreign_deps.values_mut().flat_map(|items| items.values_mut()) {
        stabilities.iter_mut().for_each(|stability| hide_newer(stability, version));
    }
    for (_, ty) in &mut package.types {
        hide_newer(&mut ty.stability, version);
    }
    for (_, interface) in &mut package.interfaces {
        hide_in_interface(interface, version);
    }
    for (_, world) in &mut package.worlds {
        hide_in_world(world, version);
    }
}

fn hide_in_interface(interface: &mut Interface, version: &Version) {
    hide_newer(&mut interface.stability, version);
    interface.functions.values_mut().for_each(|function| hide_newer(&mut function.stability, version));
}

fn hide_in_world(world: &mut World, version: &Version) {
    hide_newer(&mut world.stability, version);
    world.includes.iter_mut().for_each(|include| hide_newer(&mut include.stability, version));
    for item in world.imports.values_mut().chain(world.exports.values_mut()) {
        match item {
            WorldItem::Interface { stability, .. } => hide_newer(stability, version),
            WorldItem::Function(function) => hide_newer(&mut function.stability, version),
            // Its stability is the type's own, seen to with the types.
            WorldItem::Type { .. } => {}
        }
    }
}

fn hide_newer(stability: &mut Stability, version: &Version) {
    if matches!(&*stability, Stability::Stable { since, .. } if since > version) {
        *stability = Stability::Unstable { feature: NOT_YET.to_owned(), deprecated: None };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::wit;

    fn exit_functions(patch: u64) -> Vec<String> {
        let name = format!("wasi:cli/command@0.2.{patch}");
        let world = wit::world(&std::collections::BTreeMap::new(), Some(&name)).unwrap();
        let (_, exit) = world.resolve.interfaces.iter().find(|(_, i)| i.name.as_deref() == Some("exit")).unwrap();
        exit.functions.keys().cloned().collect()
    }

    #[test]
    fn a_version_has_what_it_had_when_it_was_released() {
        assert_eq!(exit_functions(11), ["exit"]);
        assert_eq!(exit_functions(12), ["exit", "exit-with-code"]);
    }

    #[test]
    fn a_text_is_that_of_its_version() {
        let names = |version: &str| {
            let world =
                wit::world(&std::collections::BTreeMap::new(), Some(&format!("wasi:http/proxy@{version}"))).unwrap();
            let text = world.wit();
            (text.contains("field-name"), text.contains("has: func(name: field-key)"), text.contains("@0.2.12"))
        };
        assert_eq!(names("0.2.0"), (false, true, false));
        assert_eq!(names("0.2.1"), (true, false, false));
    }

    #[test]
    fn every_version_of_every_world_resolves() {
        for patch in 0..=NEWEST.patch {
            for name in
                ["cli/command", "cli/imports", "http/proxy", "http/imports", "filesystem/imports", "sockets/imports"]
            {
                let name = format!("wasi:{name}@0.2.{patch}");
                wit::world(&std::collections::BTreeMap::new(), Some(&name)).unwrap_or_else(|e| panic!("{name}: {e}"));
            }
        }
    }

    #[test]
    fn other_versions_are_not_ours() {
        for version in ["0.1.0", "0.3.0", "0.2.13", "0.2.0-rc.1"] {
            assert!(!covers(&version.parse().unwrap()), "{version}");
        }
    }
}
