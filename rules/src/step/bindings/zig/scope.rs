//! Where everything of a world stands in the bindings: each interface and each named type at a path.
//!
//! An interface is a namespace, `demo.calc.math`, below `exports` where the component implements it. Zig looks names up
//! from the inside out and takes none that it finds twice. So a type is called by its plain name where it stands, and by its
//! whole path, from `bindings` on, everywhere else; and the few names that stand for themselves are nobody else's.

use std::collections::{BTreeMap, BTreeSet};

use wit_parser::{InterfaceId, Resolve, TypeDefKind, TypeId, TypeOwner, World, WorldItem, WorldKey};

use super::name;

/// What stands at the top of all bindings.
const OWN: &[&str] = &["abi", "allocator", "bindings", "exports", "implementation", "reset", "Borrowed", "Result"];

/// Those of [`OWN`] that are called by their plain names wherever there is a function or a type.
const CALLED: &[&str] = &["abi", "bindings", "Borrowed", "Result"];

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// What nothing in a namespace may be called.
pub(super) fn called() -> BTreeSet<String> {
    set(CALLED)
}

/// Where things stand.
pub(super) struct Scopes {
    /// The namespaces of interfaces.
    pub(super) interfaces: BTreeMap<InterfaceId, Place>,
    /// The names that types have in their namespaces.
    types: BTreeMap<TypeId, String>,
    /// The names of the world's own types, and what stands at the top of all bindings.
    top: BTreeSet<String>,
    /// The names of namespaces, and what stands at the top: parameters are called otherwise.
    pub(super) visible: BTreeSet<String>,
}

/// Where an interface stands.
pub(super) struct Place {
    /// The path of its namespace.
    pub(super) path: Vec<String>,
    /// Its name as its core functions have it.
    pub(super) module: String,
    /// The name of the namespace that implements it, if the component does.
    pub(super) implemented: Option<String>,
}

impl Scopes {
    pub(super) fn of(resolve: &Resolve, world: &World) -> Self {
        let own = set(OWN);
        let (interfaces, types) = (BTreeMap::new(), BTreeMap::new());
        let mut scopes = Self { interfaces, types, top: own.clone(), visible: own };
        let mut implemented = BTreeSet::new();
        let imports = world.imports.iter().map(|item| (item, false));
        for ((key, item), is_export) in imports.chain(world.exports.iter().map(|item| (item, true))) {
            match item {
                WorldItem::Interface { id, .. } => {
                    scopes.place(resolve, key, *id, is_export.then_some(&mut implemented));
                }
                WorldItem::Type { id, .. } => {
                    let named = resolve.types[*id].name.as_deref().unwrap_or_default();
                    let named = name::unused(&name::ty(named), &scopes.top);
                    scopes.top.insert(named.clone());
                    scopes.types.insert(*id, named);
                }
                WorldItem::Function(_) => {}
            }
        }
        scopes
    }

    fn place(
        &mut self,
        resolve: &Resolve,
        key: &WorldKey,
        id: InterfaceId,
        implemented: Option<&mut BTreeSet<String>>,
    ) {
        let segments = segments(resolve, key);
        let mut path: Vec<String> = Vec::new();
        if implemented.is_some() {
            path.push("exports".to_owned());
        }
        let own = set(OWN);
        path.extend(segments.iter().map(|segment| name::unused(&name::value(segment), &own)));
        self.visible.extend(path.iter().cloned());
        // The namespace that implements an interface is called like it; of two that are called the same, the second has
        // its package's name too.
        let implemented = implemented.map(|taken| {
            let (last, before) = segments.split_last().expect("an interface has a name");
            let long = before.iter().rev().fold(last.clone(), |name, package| format!("{package}-{name}"));
            let short = name::value(last);
            let chosen = if taken.contains(&short) { name::value(&long) } else { short };
            taken.insert(chosen.clone());
            chosen
        });
        for (named, ty) in &resolve.interfaces[id].types {
            self.types.insert(*ty, name::unused(&name::ty(named), &called()));
        }
        self.interfaces.insert(id, Place { path, module: resolve.name_world_key(key), implemented });
    }

    /// The name of a type in its namespace.
    pub(super) fn type_name(&self, id: TypeId) -> &str {
        &self.types[&id]
    }

    /// The interface that a type belongs to; `None` for one of the world itself.
    pub(super) fn owner(&self, resolve: &Resolve, id: TypeId) -> Option<&Place> {
        match resolve.types[id].owner {
            TypeOwner::Interface(interface) => self.interfaces.get(&interface),
            TypeOwner::World(_) | TypeOwner::None => None,
        }
    }

    /// A named type as it is written in the namespace `here`.
    pub(super) fn type_path(&self, resolve: &Resolve, id: TypeId, here: &[String]) -> String {
        let name = self.type_name(id);
        match self.owner(resolve, id) {
            Some(place) if place.path != here || self.top.contains(name) => {
                format!("bindings.{}.{name}", place.path.join("."))
            }
            _ => name.to_owned(),
        }
    }
}

/// The resource behind the names it has been given.
pub(super) fn resource(resolve: &Resolve, mut id: TypeId) -> TypeId {
    while let TypeDefKind::Type(wit_parser::Type::Id(other)) = &resolve.types[id].kind {
        id = *other;
    }
    id
}

/// The parts of an interface's name: namespace, package, interface. The version is there only where the world knows two.
fn segments(resolve: &Resolve, key: &WorldKey) -> Vec<String> {
    let interface = match key {
        WorldKey::Name(name) => return vec![name.clone()],
        WorldKey::Interface(id) => &resolve.interfaces[*id],
    };
    let package = interface.package.expect("an interface that is no world's own is in a package");
    let package = &resolve.packages[package].name;
    let is_same = |other: &&wit_parser::PackageName| other.namespace == package.namespace && other.name == package.name;
    let name = match &package.version {
        Some(version) if resolve.package_names.keys().filter(is_same).count() > 1 => {
            format!("{}-{}", package.name, version.to_string().replace(['.', '+'], "-"))
        }
        _ => package.name.clone(),
    };
    vec![package.namespace.clone(), name, interface.name.clone().expect("an interface in a package has a name")]
}
