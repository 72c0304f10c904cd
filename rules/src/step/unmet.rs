//! What a core module lacks of its world, in the world's own terms; the encoder, which says no, tells of the first thing alone,
//! and by how modules name it.

use std::collections::BTreeMap;

use wasmparser::types::EntityType;
use wasmparser::{CompositeInnerType, ValType, Validator, WasmFeatures};
use wit_parser::abi::{AbiVariant, WasmType};
use wit_parser::{Function, Resolve, WorldItem};

use super::render::signature;
use super::wit::World;
use crate::diagnostic::suggest;

/// Each function that the world exports and the module has not, or has with another type.
pub(super) fn unmet(module: &[u8], world: &World) -> Vec<String> {
    let Some(found) = exports(module) else { return vec![] };
    let (resolve, mut told) = (&world.resolve, Vec::new());
    for (key, item) in &resolve.worlds[world.id].exports {
        match item {
            WorldItem::Function(function) => told.extend(of_function(resolve, None, function, &found)),
            WorldItem::Interface { id, .. } => {
                let name = resolve.name_world_key(key);
                let functions = resolve.interfaces[*id].functions.values();
                told.extend(functions.filter_map(|function| of_function(resolve, Some(&name), function, &found)));
            }
            WorldItem::Type { .. } => {}
        }
    }
    told
}

fn of_function(
    resolve: &Resolve,
    interface: Option<&str>,
    function: &Function,
    found: &BTreeMap<String, String>,
) -> Option<String> {
    let name = function.legacy_core_export_name(interface);
    let core = resolve.wasm_signature(AbiVariant::GuestExport, function);
    let wanted = shown(core.params.iter().map(wasm_type), core.results.iter().map(wasm_type));
    let told = match found.get(name.as_ref()) {
        Some(found) if *found == wanted => return None,
        Some(found) => format!("`{name}` as {wanted}, and the module has it as {found}"),
        None => match suggest(&name, found.keys().map(String::as_str)) {
            Some(near) => format!("`{name}`, and the module has `{near}`"),
            None => format!("`{name}`, and the module has no function of that name"),
        },
    };
    let owner = interface.map_or_else(|| "the world".to_owned(), |name| format!("`{name}`"));
    Some(format!("{owner} exports  {}\nin a module it is called {told}", signature(resolve, function)))
}

/// The functions that a module exports, with their types; nothing when it is not valid.
fn exports(module: &[u8]) -> Option<BTreeMap<String, String>> {
    let types = Validator::new_with_features(WasmFeatures::all()).validate_all(module).ok()?;
    let types = types.as_ref();
    let functions = types.core_exports()?.filter_map(|(name, entity)| match entity {
        EntityType::Func(id) | EntityType::FuncExact(id) => match &types.get(id)?.composite_type.inner {
            CompositeInnerType::Func(of) => {
                Some((name.to_owned(), shown(of.params().iter().map(val_type), of.results().iter().map(val_type))))
            }
            _ => None,
        },
        _ => None,
    });
    Some(functions.collect())
}

/// `(i32, i32) -> i32`
fn shown(params: impl Iterator<Item = String>, results: impl Iterator<Item = String>) -> String {
    let (params, results): (Vec<_>, Vec<_>) = (params.collect(), results.collect());
    let results = if results.is_empty() { String::new() } else { format!(" -> {}", results.join(", ")) };
    format!("({}){results}", params.join(", "))
}

fn val_type(of: &ValType) -> String {
    of.to_string()
}

fn wasm_type(of: &WasmType) -> String {
    let name = match of {
        WasmType::I32 | WasmType::Pointer | WasmType::Length => "i32",
        WasmType::I64 | WasmType::PointerOrI64 => "i64",
        WasmType::F32 => "f32",
        WasmType::F64 => "f64",
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::testing::world;

    #[track_caller]
    fn check(module: &str, expected: &[&str]) {
        let world = world(
            "package demo:shop@1.0.0; interface prices { resource till { open: static func() -> till; } of: func(item: string) -> result<u32, string>; }
             world shop { export prices; export total: func() -> u64; }",
        );
        let told = unmet(&wat::parse_str(module).unwrap(), &world).join("\n").replace("\nin a module it is called", "");
        assert_eq!(told.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_a_module_lacks_is_told_in_wit() {
        let open = "(func (export \"demo:shop/prices@1.0.0#[static]till.open\") (result i32) (i32.const 0))";
        check(
            &format!(
                "(module {open} (func (export \"demo:shop/prices@1.0.0#of\") (param i32) (result i32) (i32.const 0))
                 (func (export \"totals\") (result i64) (i64.const 0)))"
            ),
            &[
                "the world exports  total: func() -> u64 `total`, and the module has `totals`",
                "`demo:shop/prices@1.0.0` exports  of: func(item: string) -> result<u32, string> `demo:shop/prices@1.0.0#of` as \
                 (i32, i32) -> i32, and the module has it as (i32) -> i32",
            ],
        );
        let of = "(func (export \"demo:shop/prices@1.0.0#of\") (param i32 i32) (result i32) (i32.const 0))";
        check(
            &format!("(module {of} (func (export \"total\") (result i64) (i64.const 0)))"),
            &[
                "`demo:shop/prices@1.0.0` exports  till.open: func() -> till `demo:shop/prices@1.0.0#[static]till.open`, and the \
               module has no function of that name",
            ],
        );
    }
}
