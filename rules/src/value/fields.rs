//! Fields of a record that its type does not have. WAVE passes them over, so a mistyped name of an optional field would
//! go unseen; we do not.

use wasmtime::component::Type;
use wasmtime::component::wasm_wave::ast::Node;
use wasmtime::component::wasm_wave::untyped::UntypedValue;

/// The first field, anywhere in a value of type `ty`, that its record does not have.
pub(super) fn unknown_field(text: &str, ty: &Type) -> Option<String> {
    let value = UntypedValue::parse(text).ok()?;
    in_node(value.node(), ty, value.source())
}

fn in_node(node: &Node, ty: &Type, source: &str) -> Option<String> {
    match ty {
        Type::Record(record) => node.as_record(source).ok()?.find_map(|(name, value)| {
            match record.fields().find(|field| field.name == name) {
                Some(field) => in_node(value, &field.ty, source),
                None => Some(name.to_owned()),
            }
        }),
        Type::List(list) => node.as_list().ok()?.find_map(|item| in_node(item, &list.ty(), source)),
        Type::Tuple(tuple) => node.as_tuple().ok()?.zip(tuple.types()).find_map(|(n, ty)| in_node(n, &ty, source)),
        Type::Variant(variant) => {
            let (name, payload) = node.as_variant(source).ok()?;
            let ty = variant.cases().find(|case| case.name == name)?.ty?;
            in_node(payload?, &ty, source)
        }
        // A bare payload is `some` of it, or `ok` of it.
        Type::Option(option) => match node.as_option() {
            Ok(payload) => in_node(payload?, &option.ty(), source),
            Err(_) => in_node(node, &option.ty(), source),
        },
        Type::Result(result) => match node.as_result() {
            Ok(Ok(payload)) => in_node(payload?, &result.ok()?, source),
            Ok(Err(payload)) => in_node(payload?, &result.err()?, source),
            Err(_) => in_node(node, &result.ok()?, source),
        },
        _ => None,
    }
}
