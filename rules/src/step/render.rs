//! One function or type as a line of WIT, for messages that put two of them side by side.

use wit_parser::{Function, Handle, Resolve, Type, TypeDef, TypeDefKind, TypeId, TypeOwner};

/// `add: func(a: s32, b: s32) -> s32`; a resource's functions carry its name: `file.read: func() -> list<u8>`.
pub(super) fn signature(resolve: &Resolve, function: &Function) -> String {
    let keyword = if function.kind.is_async() { "async func" } else { "func" };
    // A method's first parameter is the resource itself, which WIT does not write.
    let own = usize::from(function.name.starts_with("[method]"));
    let params: Vec<String> = function
        .params
        .iter()
        .skip(own)
        .map(|param| format!("{}: {}", param.name, type_name(resolve, param.ty)))
        .collect();
    let result = function.result.map(|ty| format!(" -> {}", type_name(resolve, ty))).unwrap_or_default();
    format!("{}: {keyword}({}){result}", function_name(&function.name), params.join(", "))
}

/// `[method]file.read` → `file.read`; `[constructor]file` → `file.constructor`.
pub(super) fn function_name(name: &str) -> String {
    match name.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some(("constructor", resource)) => format!("{resource}.constructor"),
        Some((_, rest)) => rest.to_owned(),
        None => name.to_owned(),
    }
}

/// `record point { x: s32, y: s32 }`. Names given to another type are followed to what they stand for.
pub(super) fn definition(resolve: &Resolve, name: &str, id: TypeId) -> String {
    let ty = &resolve.types[dealias(resolve, id)];
    match &ty.kind {
        TypeDefKind::Resource => match owner(resolve, ty) {
            Some(interface) => format!("resource {name} of `{interface}`"),
            None => format!("resource {name}"),
        },
        TypeDefKind::Record(record) => {
            let fields = record.fields.iter().map(|field| format!("{}: {}", field.name, type_name(resolve, field.ty)));
            format!("record {name} {{ {} }}", list(fields))
        }
        TypeDefKind::Flags(flags) => {
            format!("flags {name} {{ {} }}", list(flags.flags.iter().map(|flag| flag.name.clone())))
        }
        TypeDefKind::Enum(cases) => {
            format!("enum {name} {{ {} }}", list(cases.cases.iter().map(|case| case.name.clone())))
        }
        TypeDefKind::Variant(variant) => {
            let cases = variant.cases.iter().map(|case| match case.ty {
                Some(ty) => format!("{}({})", case.name, type_name(resolve, ty)),
                None => case.name.clone(),
            });
            format!("variant {name} {{ {} }}", list(cases))
        }
        kind => format!("type {name} = {}", anonymous(resolve, kind)),
    }
}

/// The type a chain of names ends at.
pub(super) fn dealias(resolve: &Resolve, mut id: TypeId) -> TypeId {
    while let TypeDefKind::Type(Type::Id(next)) = resolve.types[id].kind {
        id = next;
    }
    id
}

/// The full name of the interface a type is defined in.
pub(super) fn owner(resolve: &Resolve, ty: &TypeDef) -> Option<String> {
    match ty.owner {
        TypeOwner::Interface(id) => resolve.id_of(id),
        TypeOwner::World(_) | TypeOwner::None => None,
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

fn type_name(resolve: &Resolve, ty: Type) -> String {
    let id = match ty {
        Type::Bool => return "bool".to_owned(),
        Type::U8 => return "u8".to_owned(),
        Type::U16 => return "u16".to_owned(),
        Type::U32 => return "u32".to_owned(),
        Type::U64 => return "u64".to_owned(),
        Type::S8 => return "s8".to_owned(),
        Type::S16 => return "s16".to_owned(),
        Type::S32 => return "s32".to_owned(),
        Type::S64 => return "s64".to_owned(),
        Type::F32 => return "f32".to_owned(),
        Type::F64 => return "f64".to_owned(),
        Type::Char => return "char".to_owned(),
        Type::String => return "string".to_owned(),
        Type::ErrorContext => return "error-context".to_owned(),
        Type::Id(id) => id,
    };
    match &resolve.types[id].name {
        Some(name) => name.clone(),
        None => anonymous(resolve, &resolve.types[id].kind),
    }
}

fn anonymous(resolve: &Resolve, kind: &TypeDefKind) -> String {
    let name = |ty: &Type| type_name(resolve, *ty);
    let payload = |ty: &Option<Type>| ty.as_ref().map(|ty| format!("<{}>", name(ty))).unwrap_or_default();
    match kind {
        TypeDefKind::Tuple(tuple) => format!("tuple<{}>", list(tuple.types.iter().map(name))),
        TypeDefKind::Option(ty) => format!("option<{}>", name(ty)),
        TypeDefKind::Result(result) => match (&result.ok, &result.err) {
            (None, None) => "result".to_owned(),
            (Some(ok), None) => format!("result<{}>", name(ok)),
            (None, Some(err)) => format!("result<_, {}>", name(err)),
            (Some(ok), Some(err)) => format!("result<{}, {}>", name(ok), name(err)),
        },
        TypeDefKind::List(ty) => format!("list<{}>", name(ty)),
        TypeDefKind::Map(key, value) => format!("map<{}, {}>", name(key), name(value)),
        TypeDefKind::FixedLengthList(ty, length) => format!("list<{}, {length}>", name(ty)),
        TypeDefKind::Handle(Handle::Own(id)) => type_name(resolve, Type::Id(*id)),
        TypeDefKind::Handle(Handle::Borrow(id)) => format!("borrow<{}>", type_name(resolve, Type::Id(*id))),
        TypeDefKind::Future(ty) => format!("future{}", payload(ty)),
        TypeDefKind::Stream(ty) => format!("stream{}", payload(ty)),
        TypeDefKind::Type(ty) => name(ty),
        // These have a name wherever they occur, and the name is printed.
        TypeDefKind::Record(_)
        | TypeDefKind::Resource
        | TypeDefKind::Flags(_)
        | TypeDefKind::Variant(_)
        | TypeDefKind::Enum(_)
        | TypeDefKind::Unknown => kind.as_str().to_owned(),
    }
}
