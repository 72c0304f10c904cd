//! What the interpreter is told of a world: for each number of the bindings, the names that belong to it in Python.

use wasmtime::component::Val;
use wit_parser_v2::{Function, FunctionKind, Type, TypeDefKind, TypeId};

use super::bindings::ENTRY;
use super::bound::{Bound, Direction, class_of, function_name, name_of};

/// The argument `symbols` of `init`.
pub(super) fn symbols(bound: &Bound) -> Val {
    let metadata = &bound.metadata;
    record([
        (
            "exports",
            list(metadata.export_funcs.iter().map(|export| {
                let interface = bound.interface(Direction::Export, export.interface.as_deref());
                let functions = bound.functions(Direction::Export, interface);
                let function = functions.into_iter().find(|function| function.name == export.name);
                let scope = interface.map_or("wit-world", |id| bound.exports[&id].as_str());
                export_of(bound, scope, function.expect("the metadata is of this world"))
            })),
        ),
        ("resources", list(metadata.resources.iter().map(|ty| record(place(bound, ty.id))))),
        (
            "records",
            list(metadata.records.iter().map(|ty| {
                let fields = list(ty.fields.iter().map(|(name, _)| text(name_of(name))));
                record(place(bound, ty.id).into_iter().chain([("fields", fields)]))
            })),
        ),
        (
            "flags",
            list(metadata.flags.iter().map(|ty| {
                let words = ty.names.len().div_ceil(32);
                record(place(bound, ty.id).into_iter().chain([("u32-count", number(words))]))
            })),
        ),
        ("tuples", list(metadata.tuples.iter().map(|ty| record([("count", number(ty.types.len()))])))),
        (
            "variants",
            list(metadata.variants.iter().map(|ty| {
                let (_, name) = bound.place(ty.id);
                let cases = list(ty.cases.iter().map(|(case, payload)| {
                    let case = text(format!("{name}_{}", class_of(case)));
                    record([("name", case), ("has-payload", Val::Bool(payload.is_some()))])
                }));
                record(place(bound, ty.id).into_iter().chain([("cases", cases)]))
            })),
        ),
        (
            "enums",
            list(
                metadata
                    .enums
                    .iter()
                    .map(|ty| record(place(bound, ty.id).into_iter().chain([("count", number(ty.names.len()))]))),
            ),
        ),
        (
            "options",
            list(metadata.options.iter().map(|ty| {
                let TypeDefKind::Option(some) = bound.resolve.types[ty.id].kind else {
                    unreachable!("it is an option")
                };
                Val::Enum(if is_option(bound, some) { "nesting" } else { "non-nesting" }.to_owned())
            })),
        ),
        (
            "results",
            list(
                metadata.results.iter().map(|ty| {
                    record([("has-ok", Val::Bool(ty.ok.is_some())), ("has-err", Val::Bool(ty.err.is_some()))])
                }),
            ),
        ),
    ])
}

fn export_of(bound: &Bound, scope: &str, function: &Function) -> Val {
    let name = text(function_name(function));
    let class = |id: TypeId| ("protocol", text(bound.place(id).1));
    // The program's classes are found in the module that was loaded first.
    let module = ("module", text(ENTRY.to_owned()));
    let (case, payload) = match function.kind {
        FunctionKind::Constructor(id) => ("constructor", record([module, class(id)])),
        FunctionKind::Method(_) | FunctionKind::AsyncMethod(_) => ("method", name),
        FunctionKind::Static(id) | FunctionKind::AsyncStatic(id) => {
            ("static", record([module, class(id), ("name", name)]))
        }
        FunctionKind::Freestanding | FunctionKind::AsyncFreestanding => {
            ("freestanding", record([("protocol", text(class_of(scope))), ("name", name)]))
        }
    };
    let style = match function.result {
        None => "none",
        Some(_) if bound.is_result(function) => "result",
        Some(_) => "normal",
    };
    let kind = Val::Variant(case.to_owned(), Some(Box::new(payload)));
    record([("kind", kind), ("return-style", Val::Variant(style.to_owned(), None))])
}

fn place(bound: &Bound, id: TypeId) -> [(&'static str, Val); 2] {
    let (module, name) = bound.place(id);
    [("package", text(module)), ("name", text(name))]
}

fn is_option(bound: &Bound, ty: Type) -> bool {
    match ty {
        Type::Id(id) => match bound.resolve.types[id].kind {
            TypeDefKind::Option(_) => true,
            TypeDefKind::Type(ty) => is_option(bound, ty),
            _ => false,
        },
        _ => false,
    }
}

fn record(fields: impl IntoIterator<Item = (&'static str, Val)>) -> Val {
    Val::Record(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn list(items: impl Iterator<Item = Val>) -> Val {
    Val::List(items.collect())
}

fn text(text: String) -> Val {
    Val::String(text)
}

fn number(number: usize) -> Val {
    Val::U32(u32::try_from(number).expect("a world has no more than that"))
}
