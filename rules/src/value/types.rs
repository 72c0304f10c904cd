//! WIT types and signatures as text.
//!
//! A compiled component knows its types by structure: a record is printed with its fields, since its name is gone.

use wasmtime::component::Type;
use wasmtime::component::types::ComponentFunc;

/// A function as WIT would declare it: `add: func(a: s32, b: s32) -> s32`.
#[must_use]
pub fn signature(name: &str, ty: &ComponentFunc) -> String {
    let params: Vec<_> = ty.params().map(|(name, ty)| format!("{name}: {}", type_name(&ty))).collect();
    let result: String = ty.results().map(|ty| format!(" -> {}", type_name(&ty))).collect();
    let asyncness = if ty.async_() { "async " } else { "" };
    format!("{name}: {asyncness}func({}){result}", params.join(", "))
}

/// A type as WIT would write it, named types by their structure: `record { x: s32, y: s32 }`.
#[must_use]
pub fn type_name(ty: &Type) -> String {
    match ty {
        Type::Bool => "bool".to_owned(),
        Type::S8 => "s8".to_owned(),
        Type::U8 => "u8".to_owned(),
        Type::S16 => "s16".to_owned(),
        Type::U16 => "u16".to_owned(),
        Type::S32 => "s32".to_owned(),
        Type::U32 => "u32".to_owned(),
        Type::S64 => "s64".to_owned(),
        Type::U64 => "u64".to_owned(),
        Type::Float32 => "f32".to_owned(),
        Type::Float64 => "f64".to_owned(),
        Type::Char => "char".to_owned(),
        Type::String => "string".to_owned(),
        Type::List(list) => format!("list<{}>", type_name(&list.ty())),
        Type::FixedLengthList(list) => format!("list<{}, {}>", type_name(&list.ty()), list.len()),
        Type::Map(map) => format!("map<{}, {}>", type_name(&map.key()), type_name(&map.value())),
        Type::Option(option) => format!("option<{}>", type_name(&option.ty())),
        Type::Tuple(tuple) => format!("tuple<{}>", join(tuple.types().map(|ty| type_name(&ty)))),
        Type::Result(result) => result_name(result.ok().as_ref(), result.err().as_ref()),
        Type::Record(record) => {
            format!("record {{ {} }}", join(record.fields().map(|f| format!("{}: {}", f.name, type_name(&f.ty)))))
        }
        Type::Variant(variant) => {
            let case = |name: &str, ty: Option<Type>| match ty {
                Some(ty) => format!("{name}({})", type_name(&ty)),
                None => name.to_owned(),
            };
            format!("variant {{ {} }}", join(variant.cases().map(|c| case(c.name, c.ty))))
        }
        Type::Enum(cases) => format!("enum {{ {} }}", join(cases.names().map(str::to_owned))),
        Type::Flags(flags) => format!("flags {{ {} }}", join(flags.names().map(str::to_owned))),
        Type::Own(_) => "resource".to_owned(),
        Type::Borrow(_) => "borrow<resource>".to_owned(),
        Type::Future(_) => "future".to_owned(),
        Type::Stream(_) => "stream".to_owned(),
        Type::ErrorContext => "error-context".to_owned(),
    }
}

fn result_name(ok: Option<&Type>, err: Option<&Type>) -> String {
    match (ok, err) {
        (None, None) => "result".to_owned(),
        (Some(ok), None) => format!("result<{}>", type_name(ok)),
        (None, Some(err)) => format!("result<_, {}>", type_name(err)),
        (Some(ok), Some(err)) => format!("result<{}, {}>", type_name(ok), type_name(err)),
    }
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

/// The part of a type that has no text form, if there is one: a resource, a stream and their like.
pub(super) fn opaque_part(ty: &Type) -> Option<String> {
    match ty {
        Type::Own(_) | Type::Borrow(_) | Type::Future(_) | Type::Stream(_) | Type::ErrorContext => Some(type_name(ty)),
        // WAVE has no syntax for these two yet.
        Type::Map(_) | Type::FixedLengthList(_) => Some(type_name(ty)),
        Type::List(list) => opaque_part(&list.ty()),
        Type::Option(option) => opaque_part(&option.ty()),
        Type::Tuple(tuple) => tuple.types().find_map(|ty| opaque_part(&ty)),
        Type::Record(record) => record.fields().find_map(|field| opaque_part(&field.ty)),
        Type::Variant(variant) => variant.cases().filter_map(|case| case.ty).find_map(|ty| opaque_part(&ty)),
        Type::Result(result) => [result.ok(), result.err()].into_iter().flatten().find_map(|ty| opaque_part(&ty)),
        Type::Bool
        | Type::S8
        | Type::U8
        | Type::S16
        | Type::U16
        | Type::S32
        | Type::U32
        | Type::S64
        | Type::U64
        | Type::Float32
        | Type::Float64
        | Type::Char
        | Type::String
        | Type::Enum(_)
        | Type::Flags(_) => None,
    }
}
