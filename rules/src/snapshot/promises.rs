//! What a world promises, in JavaScript: the functions that a module must export, and what is said where one is not there.

use wit_parser::{FunctionKind, Resolve, Type, TypeDefKind, WorldItem, WorldKey};

use crate::step::bindings::names::{camel, pascal};
use crate::step::wit::World;

/// A function that a world exports and where a program has it.
pub struct Promise {
    /// From the module's exports on.
    pub path: Vec<String>,
    /// Whether instances of the class at the end but one have it.
    pub is_method: bool,
    /// How it can fail.
    pub fails: Option<Fails>,
    /// What is said when it is not there.
    pub message: String,
}

/// What a function that can fail throws to do so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fails {
    /// A text, which every `Error` could be taken for.
    WithText,
    /// Something else.
    Otherwise,
}

impl Fails {
    /// How a function fails, if it can.
    fn of(resolve: &Resolve, function: &wit_parser::Function) -> Option<Self> {
        match plain(resolve, function.result?) {
            PlainType::Defined(TypeDefKind::Result(result)) => match result.err.map(|err| plain(resolve, err)) {
                Some(PlainType::Simple(Type::String)) => Some(Self::WithText),
                _ => Some(Self::Otherwise),
            },
            _ => None,
        }
    }

    /// What the module that guards a program calls it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::WithText => "text",
            Self::Otherwise => "other",
        }
    }
}

/// A type without the names it goes by.
enum PlainType<'a> {
    Simple(Type),
    Defined(&'a TypeDefKind),
}

fn plain(resolve: &Resolve, mut of: Type) -> PlainType<'_> {
    while let Type::Id(id) = of {
        match &resolve.types[id].kind {
            TypeDefKind::Type(other) => of = *other,
            kind => return PlainType::Defined(kind),
        }
    }
    PlainType::Simple(of)
}

/// What `world` exports, and where the module `entry` is to have it.
#[must_use]
pub fn promises(world: &World, entry: &str) -> Vec<Promise> {
    let resolve = &world.resolve;
    let mut promises = Vec::new();
    for (key, item) in &resolve.worlds[world.id].exports {
        match item {
            WorldItem::Function(function) => promises.push(promise(resolve, None, function, entry)),
            WorldItem::Interface { id, .. } => {
                let interface = &resolve.interfaces[*id];
                promises
                    .extend(interface.functions.values().map(|function| promise(resolve, Some(key), function, entry)));
            }
            WorldItem::Type { .. } => {}
        }
    }
    promises
}

fn promise(resolve: &Resolve, of: Option<&WorldKey>, function: &wit_parser::Function, entry: &str) -> Promise {
    let mut path: Vec<String> = of.map(|key| camel(short_name(resolve, key))).into_iter().collect();
    let class = |id: wit_parser::TypeId| pascal(resolve.types[id].name.as_deref().expect("a resource has a name"));
    let mut is_method = false;
    match function.kind {
        FunctionKind::Constructor(id) => path.push(class(id)),
        FunctionKind::Method(id) | FunctionKind::AsyncMethod(id) => {
            is_method = true;
            path.extend([class(id), camel(function.item_name())]);
        }
        FunctionKind::Static(id) | FunctionKind::AsyncStatic(id) => {
            path.extend([class(id), camel(function.item_name())]);
        }
        _ => path.push(camel(function.item_name())),
    }
    let owner = of.map_or_else(|| "the world".to_owned(), |key| format!("`{}`", resolve.name_world_key(key)));
    let shown = match (is_method, path.as_slice()) {
        (true, [before @ .., name]) => format!("{}.prototype.{name}", before.join(".")),
        (_, path) => path.join("."),
    };
    let message = format!("{entry}: {owner} exports `{}`, but this module has no function `{shown}`", function.name);
    Promise { fails: Fails::of(resolve, function), path, is_method, message }
}

fn short_name<'a>(resolve: &'a Resolve, key: &'a WorldKey) -> &'a str {
    match key {
        WorldKey::Name(name) => name,
        WorldKey::Interface(id) => resolve.interfaces[*id].name.as_deref().expect("an exported interface has a name"),
    }
}
