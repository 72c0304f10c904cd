//! Types of WIT as annotations of Python, for editors. They are written where the interpreter looks at none.

use wit_parser_v2::{Function, FunctionKind, Handle, Type, TypeDefKind, TypeId};

use super::bound::Bound;

/// What nothing better can be said of.
const ANYTHING: &str = "Any";

/// A type, as the module called `module` names it.
pub(super) fn of_type(bound: &Bound, module: &str, ty: &Type) -> String {
    match ty {
        Type::Bool => "bool".to_owned(),
        Type::U8 | Type::S8 | Type::U16 | Type::S16 | Type::U32 | Type::S32 | Type::U64 | Type::S64 => "int".to_owned(),
        Type::F32 | Type::F64 => "float".to_owned(),
        Type::Char | Type::String => "str".to_owned(),
        Type::ErrorContext => ANYTHING.to_owned(),
        Type::Id(id) => of_id(bound, module, *id),
    }
}

/// What a function returns. Its errors are raised.
pub(super) fn returned(bound: &Bound, module: &str, function: &Function) -> String {
    if matches!(function.kind, FunctionKind::Constructor(_)) {
        return "None".to_owned();
    }
    let Some(ty) = &function.result else { return "None".to_owned() };
    match ty {
        Type::Id(id) if bound.is_result(function) => match &bound.resolve.types[*id].kind {
            TypeDefKind::Result(result) => or_none(bound, module, result.ok.as_ref()),
            _ => ANYTHING.to_owned(),
        },
        ty => of_type(bound, module, ty),
    }
}

fn or_none(bound: &Bound, module: &str, ty: Option<&Type>) -> String {
    ty.map_or_else(|| "None".to_owned(), |ty| of_type(bound, module, ty))
}

fn of_id(bound: &Bound, module: &str, id: TypeId) -> String {
    let of = |ty: &Type| of_type(bound, module, ty);
    let id = bound.behind(id);
    match &bound.resolve.types[id].kind {
        _ if bound.has_class(id) => class(bound, module, id),
        TypeDefKind::Handle(Handle::Own(resource) | Handle::Borrow(resource)) => {
            class(bound, module, bound.behind(*resource))
        }
        TypeDefKind::Type(ty) => of(ty),
        TypeDefKind::List(Type::U8) => "bytes".to_owned(),
        TypeDefKind::List(ty) => format!("list[{}]", of(ty)),
        TypeDefKind::Tuple(tuple) if tuple.types.is_empty() => "tuple[()]".to_owned(),
        TypeDefKind::Tuple(tuple) => {
            format!("tuple[{}]", tuple.types.iter().map(of).collect::<Vec<_>>().join(", "))
        }
        // `None` is the outer one.
        TypeDefKind::Option(ty) if is_option(bound, ty) => format!("Some[{}] | None", of(ty)),
        TypeDefKind::Option(ty) => format!("{} | None", of(ty)),
        TypeDefKind::Result(result) => {
            let [ok, error] = [&result.ok, &result.err].map(|ty| or_none(bound, module, ty.as_ref()));
            format!("Result[{ok}, {error}]")
        }
        _ => ANYTHING.to_owned(),
    }
}

fn is_option(bound: &Bound, ty: &Type) -> bool {
    match ty {
        Type::Id(id) => matches!(bound.resolve.types[bound.behind(*id)].kind, TypeDefKind::Option(_)),
        _ => false,
    }
}

/// A class by its name, in another module by that of the module too.
fn class(bound: &Bound, module: &str, id: TypeId) -> String {
    let (place, name) = bound.place(id);
    if place == module { name } else { format!("{place}.{name}") }
}
