//! A world as Python sees it: what its interfaces, types and functions are called.

use std::collections::BTreeMap;

use wit_dylib_v2::{DylibOpts, Metadata};
use wit_parser_v2::{
    Function, FunctionKind, InterfaceId, Resolve, Type, TypeDefKind, TypeId, TypeOwner, WorldId, WorldKey,
};

use super::INTERPRETER;
use crate::diagnostic::Diagnostic;
use crate::step::bindings::names::{pascal, snake};
use crate::step::wit::World;
use crate::step::{StepError, causes};

/// The package that holds a world's modules.
pub(super) const PACKAGE: &str = "wit_world";

/// Words that can't be names; an underscore makes them one.
const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del",
    "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal",
    "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

/// A world with its bindings.
pub(super) struct Bound {
    pub(super) resolve: Resolve,
    pub(super) world: WorldId,
    /// The bindings.
    pub(super) library: Vec<u8>,
    /// What they hold, by number.
    pub(super) metadata: Metadata,
    /// What the modules of imported and of exported interfaces are called, in WIT's way.
    pub(super) imports: BTreeMap<InterfaceId, String>,
    pub(super) exports: BTreeMap<InterfaceId, String>,
}

impl Bound {
    /// Reads the world once more, with the library that speaks the interpreter's version of metadata.
    pub(super) fn new(world: &World) -> Result<Self, StepError> {
        let (resolve, world) = wit_parser_v2::decoding::decode_world(&world.encoded()?).map_err(|error| {
            let mut diagnostic = Diagnostic::error("bad-wit", "this world can't be bound to Python");
            diagnostic.notes = causes(error.as_ref());
            diagnostic
        })?;
        let mut options = DylibOpts { interpreter: Some(INTERPRETER.to_owned()), ..DylibOpts::default() };
        let (library, metadata) = wit_dylib_v2::create_with_metadata(&resolve, world, Some(&mut options));
        let items = &resolve.worlds[world];
        let imports = interface_names(&resolve, items.imports.iter());
        let exports = interface_names(&resolve, items.exports.iter());
        Ok(Self { world, library, metadata, imports, exports, resolve })
    }

    /// The functions of the world itself, or of one of its interfaces.
    pub(super) fn functions(&self, of: Direction, interface: Option<InterfaceId>) -> Vec<&Function> {
        match interface {
            Some(id) => self.resolve.interfaces[id].functions.values().collect(),
            None => self
                .items(of)
                .filter_map(|(_, item)| match item {
                    wit_parser_v2::WorldItem::Function(function) => Some(function),
                    _ => None,
                })
                .collect(),
        }
    }

    /// What is imported or exported.
    pub(super) fn items(&self, of: Direction) -> impl Iterator<Item = (&WorldKey, &wit_parser_v2::WorldItem)> {
        let world = &self.resolve.worlds[self.world];
        match of {
            Direction::Import => world.imports.iter(),
            Direction::Export => world.exports.iter(),
        }
    }

    /// The interface that metadata calls so; none where it means the world.
    pub(super) fn interface(&self, of: Direction, name: Option<&str>) -> Option<InterfaceId> {
        let name = name?;
        self.items(of).find_map(|(key, item)| match item {
            wit_parser_v2::WorldItem::Interface { id, .. } if self.resolve.name_world_key(key) == name => Some(*id),
            _ => None,
        })
    }

    /// The number of an imported function.
    pub(super) fn import_number(&self, interface: Option<InterfaceId>, function: &Function) -> usize {
        let found = self.metadata.import_funcs.iter().position(|import| {
            import.name == function.name && self.interface(Direction::Import, import.interface.as_deref()) == interface
        });
        found.expect("the metadata has every imported function")
    }

    /// The module, within the package, that holds an interface's types.
    pub(super) fn module(&self, interface: InterfaceId) -> String {
        match self.imports.get(&interface) {
            Some(name) => format!("imports.{}", name_of(name)),
            None => format!("exports.{}", name_of(&self.exports[&interface])),
        }
    }

    /// The modules, within the package, of all interfaces.
    pub(super) fn modules(&self) -> impl Iterator<Item = String> {
        let imports = self.imports.values().map(|name| format!("imports.{}", name_of(name)));
        imports.chain(self.exports.values().map(|name| format!("exports.{}", name_of(name))))
    }

    /// The type that a name stands for, which may be another's.
    pub(super) fn behind(&self, mut id: TypeId) -> TypeId {
        while let TypeDefKind::Type(Type::Id(further)) = self.resolve.types[id].kind {
            id = further;
        }
        id
    }

    /// Whether there is a class, or a union of classes, of this type's name.
    pub(super) fn has_class(&self, id: TypeId) -> bool {
        let ty = &self.resolve.types[id];
        let is_class = matches!(
            ty.kind,
            TypeDefKind::Record(_)
                | TypeDefKind::Variant(_)
                | TypeDefKind::Enum(_)
                | TypeDefKind::Flags(_)
                | TypeDefKind::Resource
        );
        is_class && ty.name.is_some()
    }

    /// The module and name of a named type.
    pub(super) fn place(&self, id: TypeId) -> (String, String) {
        let ty = &self.resolve.types[id];
        let module = match ty.owner {
            TypeOwner::Interface(interface) => format!("{PACKAGE}.{}", self.module(interface)),
            TypeOwner::World(_) | TypeOwner::None => PACKAGE.to_owned(),
        };
        (module, class_of(ty.name.as_deref().unwrap_or("anonymous")))
    }

    /// Whether a function's errors are raised.
    pub(super) fn is_result(&self, function: &Function) -> bool {
        matches!(function.result, Some(Type::Id(id)) if matches!(self.resolve.types[id].kind, TypeDefKind::Result(_)))
    }

    /// The resource whose method, static function or constructor it is.
    pub(super) fn resource_of(function: &Function) -> Option<TypeId> {
        match function.kind {
            FunctionKind::Method(id)
            | FunctionKind::AsyncMethod(id)
            | FunctionKind::Static(id)
            | FunctionKind::AsyncStatic(id)
            | FunctionKind::Constructor(id) => Some(id),
            FunctionKind::Freestanding | FunctionKind::AsyncFreestanding => None,
        }
    }
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Import,
    Export,
}

/// What a function is called in Python.
pub(super) fn function_name(function: &Function) -> String {
    match function.kind {
        FunctionKind::Constructor(_) => "__init__".to_owned(),
        _ => name_of(function.item_name()),
    }
}

/// `some-name` → `some_name`, `class` → `class_`.
pub(super) fn name_of(kebab: &str) -> String {
    escaped(snake(kebab))
}

/// `some-type` → `SomeType`.
pub(super) fn class_of(kebab: &str) -> String {
    escaped(pascal(kebab))
}

fn escaped(name: String) -> String {
    if KEYWORDS.contains(&name.as_str()) { name + "_" } else { name }
}

/// An interface is called by its short name, unless another is called so; then its package, and then its version, are part of
/// the name.
fn interface_names<'a>(
    resolve: &Resolve,
    items: impl Iterator<Item = (&'a WorldKey, &'a wit_parser_v2::WorldItem)>,
) -> BTreeMap<InterfaceId, String> {
    let interfaces = items.filter_map(|(key, item)| match (key, item) {
        (WorldKey::Name(name), wit_parser_v2::WorldItem::Interface { id, .. }) => Some((*id, name.clone(), None)),
        (WorldKey::Interface(_), wit_parser_v2::WorldItem::Interface { id, .. }) => {
            let interface = &resolve.interfaces[*id];
            let package = interface.package.map(|package| &resolve.packages[package].name);
            Some((*id, interface.name.clone().unwrap_or_default(), package))
        }
        _ => None,
    });
    let interfaces: Vec<_> = interfaces.collect();
    let plain = |package: &wit_parser_v2::PackageName| (package.namespace.clone(), package.name.clone());
    let name = |(id, name, package): &(InterfaceId, String, Option<&wit_parser_v2::PackageName>)| {
        let Some(package) = package else { return (*id, name.clone()) };
        let namesakes = || interfaces.iter().filter(|(other, theirs, _)| other != id && theirs == name);
        let same_package = namesakes().any(|(_, _, other)| other.is_some_and(|other| plain(other) == plain(package)));
        let full = format!("{}-{}-{name}", package.namespace, package.name);
        match &package.version {
            Some(version) if same_package => (*id, format!("{full}-{}", version.to_string().replace('.', "-"))),
            _ if namesakes().next().is_none() => (*id, name.clone()),
            _ => (*id, full),
        }
    };
    interfaces.iter().map(name).collect()
}
