//! World → bindings: the source text by which a guest talks to its world, in languages whose own tools do not make it.
//!
//! Each language gets the world as it is encoded, without documentation: so a comment in WIT makes nothing anew.

use std::collections::BTreeMap;

use wit_parser::{Resolve, Type, TypeDefKind, TypeId, WorldId, WorldItem};

use super::StepError;
use super::wit::World;
use crate::diagnostic::Diagnostic;

pub mod c;
pub mod names;
pub mod typescript;
pub mod zig;

/// The files of some bindings, by their names.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The world as its binary form tells it, called `name` again; of a program, what it offers besides its `main`.
fn canonical(world: &World, name: &str, is_program: bool) -> Result<(Resolve, WorldId), StepError> {
    let world = World::from_encoded(&world.encoded()?)?;
    let World { mut resolve, id, .. } = if is_program { world.without_run() } else { world };
    let world = &mut resolve.worlds[id];
    name.clone_into(&mut world.name);
    if let Some(package) = world.package {
        resolve.packages[package].worlds = [(name.to_owned(), id)].into_iter().collect();
    }
    Ok((resolve, id))
}

/// Refuses a world with something in it that `language`, as people write it, has no bindings for.
///
/// # Errors
/// `unsupported-type`, at the first such function.
pub fn check(world: &World, language: &str) -> Result<(), StepError> {
    let resolve = &world.resolve;
    let world = &resolve.worlds[world.id];
    let mut functions = Vec::new();
    for (key, item) in world.imports.iter().chain(&world.exports) {
        match item {
            WorldItem::Function(function) => functions.push((String::new(), function)),
            WorldItem::Interface { id, .. } => {
                let name = resolve.name_world_key(key);
                let interface = &resolve.interfaces[*id];
                functions.extend(interface.functions.values().map(|function| (format!("{name}#"), function)));
            }
            WorldItem::Type { .. } => {}
        }
    }
    for (interface, function) in functions {
        let types = function.params.iter().map(|param| &param.ty).chain(&function.result);
        let lacking = match function.kind.is_async() {
            true => Some("is `async`"),
            false => types.filter_map(|ty| lacking(resolve, ty)).next(),
        };
        if let Some(lacking) = lacking {
            let what = format!("`{interface}{}` {lacking}, which {language} has no bindings for", function.name);
            return Err(Diagnostic::error("unsupported-type", what)
                .help("leave it out of the world, or write this component in another language")
                .into());
        }
    }
    Ok(())
}

/// What there is in a type that belongs to versions of WASI that are to come.
fn lacking(resolve: &Resolve, ty: &Type) -> Option<&'static str> {
    match ty {
        Type::ErrorContext => Some("has an `error-context`"),
        Type::Id(id) => lacking_in(resolve, *id),
        _ => None,
    }
}

fn lacking_in(resolve: &Resolve, id: TypeId) -> Option<&'static str> {
    let first = |types: &mut dyn Iterator<Item = &Type>| types.filter_map(|ty| lacking(resolve, ty)).next();
    match &resolve.types[id].kind {
        TypeDefKind::Future(_) => Some("has a `future`"),
        TypeDefKind::Stream(_) => Some("has a `stream`"),
        TypeDefKind::FixedLengthList(..) => Some("has a list of fixed length"),
        TypeDefKind::Map(..) => Some("has a `map`"),
        TypeDefKind::Type(ty) | TypeDefKind::List(ty) | TypeDefKind::Option(ty) => lacking(resolve, ty),
        TypeDefKind::Record(record) => first(&mut record.fields.iter().map(|field| &field.ty)),
        TypeDefKind::Tuple(tuple) => first(&mut tuple.types.iter()),
        TypeDefKind::Variant(variant) => first(&mut variant.cases.iter().filter_map(|case| case.ty.as_ref())),
        TypeDefKind::Result(result) => first(&mut result.ok.iter().chain(&result.err)),
        TypeDefKind::Resource
        | TypeDefKind::Handle(_)
        | TypeDefKind::Flags(_)
        | TypeDefKind::Enum(_)
        | TypeDefKind::Unknown => None,
    }
}

#[cfg(test)]
mod tests;
