//! Proof that a component is well formed and implements its declared world.
//!
//! Dependents are wired and compiled against the declared world before the component exists, so this is where that promise is kept.

use wasmparser::component_types::ComponentEntityType;
use wasmparser::types::Types;
use wasmparser::{BinaryReaderError, Parser, Payload, ValidPayload, Validator, WasmFeatures};
use wit_parser::{WorldItem, WorldKey};

use super::StepError;
use super::compare::{self, Difference, Side};
use super::interface::{ExternName, Interface};
use super::kind::Kind;
use super::wit::{self, World};
use crate::diagnostic::{Diagnostic, suggest};

/// What is known of the functions in a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bodies {
    /// Nothing.
    Unchecked,
    /// They were checked before: the modules are those of components that were, and have not been changed.
    Checked,
}

/// Checks the bytes, and against `declared` where a world was declared; returns what they say they are.
///
/// Every declared export must be there with the same types. What the component imports must be declared too, except WASI:
/// language runtimes import more of it than any program asks for, and what counts is what is granted.
///
/// # Errors
///
/// `not-wasm`, `not-a-component`, `bad-component`, `interface-mismatch`, `undeclared-import`; every one found.
pub fn validate(component: &[u8], declared: Option<&World>, bodies: Bodies) -> Result<Interface, StepError> {
    wellformed(component, bodies)?;
    let built = wit::of_component(component)?;
    if let Some(declared) = declared {
        let mut problems = check_exports(declared, &built);
        problems.extend(check_imports(declared, &built));
        if !problems.is_empty() {
            return Err(problems.into());
        }
    }
    Interface::of_world(&built)
}

/// Checks that the bytes are a valid component of WASI 0.2's component model.
pub(super) fn wellformed(component: &[u8], bodies: Bodies) -> Result<(), StepError> {
    match Kind::of(component) {
        Kind::Component => {}
        Kind::NotWasm(reason) => {
            return Err(Diagnostic::error("not-wasm", format!("this is not WebAssembly: {reason}")).into());
        }
        other => {
            return Err(
                Diagnostic::error("not-a-component", format!("this is {}, not a component", other.describe())).into()
            );
        }
    }
    let error = match types_of(component, bodies) {
        Ok(types) => return describable(component, &types),
        Err(error) => error,
    };
    let message = format!("this component is not valid: {}", error.message());
    let mut diagnostic =
        Diagnostic::error("bad-component", message).note(format!("at byte {} of the component", error.offset()));
    if Validator::new_with_features(WasmFeatures::all()).validate_all(component).is_ok() {
        diagnostic = diagnostic
            .note("it uses a part of the component model that is not in WASI 0.2, such as `async` of WASI 0.3")
            .help("compile it for WASI 0.2");
    }
    if diagnostic.helps.is_empty() {
        diagnostic = diagnostic.help("build it again, with a newer compiler if it was a compiler that made it");
    }
    Err(diagnostic.into())
}

/// The types of a valid component.
pub(super) fn types_of(component: &[u8], bodies: Bodies) -> Result<Types, BinaryReaderError> {
    let mut validator = Validator::new_with_features(features());
    if bodies == Bodies::Unchecked {
        return validator.validate_all(component);
    }
    let mut end = None;
    for payload in Parser::new(0).parse_all(component) {
        if let ValidPayload::End(types) = validator.payload(&payload?)? {
            end = Some(types);
        }
    }
    Ok(end.expect("a parser ends with the end, or with an error"))
}

/// Refuses what is valid but can't be said in WIT, and makes the library that reads WIT out of components panic or look away.
fn describable(component: &[u8], types: &Types) -> Result<(), StepError> {
    let refuse = |what: String| {
        let message = format!("WIT can't describe this component: {what}");
        Err(Diagnostic::error("bad-component", message).help("import and export functions and interfaces only").into())
    };
    for name in extern_names(component) {
        let Some(item) = types.component_item_for_import(name).or_else(|| types.component_item_for_export(name)) else {
            continue;
        };
        match item.ty {
            // An interface's name belongs to an instance.
            ComponentEntityType::Func(_) | ComponentEntityType::Type { .. } if name.contains(':') => {
                return refuse(format!("`{name}` is not an interface"));
            }
            ComponentEntityType::Func(_) | ComponentEntityType::Type { .. } => {}
            ComponentEntityType::Instance(id) => {
                if let Some(inner) = types[id].exports.keys().find(|inner| inner.contains(':')) {
                    return refuse(format!("`{name}` holds another interface, `{inner}`"));
                }
            }
            ComponentEntityType::Module(_) => return refuse(format!("`{name}` is a core module")),
            ComponentEntityType::Component(_) => return refuse(format!("`{name}` is a component")),
            ComponentEntityType::Value(_) => return refuse(format!("`{name}` is a value")),
        }
    }
    Ok(())
}

/// The names of the component's own imports and exports; it was validated, so no error can occur here.
fn extern_names(component: &[u8]) -> Vec<&str> {
    let mut names = Vec::new();
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(component).map_while(Result::ok) {
        match payload {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(imports) if depth == 1 => {
                names.extend(imports.into_iter().map_while(Result::ok).map(|import| import.name.name));
            }
            Payload::ComponentExportSection(exports) if depth == 1 => {
                names.extend(exports.into_iter().map_while(Result::ok).map(|export| export.name.name));
            }
            _ => {}
        }
    }
    names
}

/// The component model of WASI 0.2, and every finished core proposal: the runtime decides which of those it runs.
fn features() -> WasmFeatures {
    WasmFeatures::default() - WasmFeatures::CM_ASYNC - WasmFeatures::CM_MAP - WasmFeatures::CM_IMPLEMENTS
}

fn check_exports(declared: &World, built: &World) -> Vec<Diagnostic> {
    let wanted = &declared.resolve.worlds[declared.id].exports;
    wanted.iter().filter_map(|(key, item)| check_export(declared, built, key, item)).collect()
}

fn check_export(declared: &World, built: &World, key: &WorldKey, item: &WorldItem) -> Option<Diagnostic> {
    let name = ExternName::of(&declared.resolve, key);
    let offered = &built.resolve.worlds[built.id].exports;
    let Some(found) = find(built, offered.iter(), &name) else {
        let names: Vec<String> = offered.keys().map(|key| built.resolve.name_world_key(key)).collect();
        return Some(missing_export(declared, &name, &names));
    };
    let differences = differences(declared, item, built, found);
    let message = format!("the component's `{name}` is not what {} declares", declared.title());
    (!differences.is_empty()).then(|| {
        with_differences(Diagnostic::error("interface-mismatch", message), &differences, ["declared", "built"])
    })
}

fn missing_export(declared: &World, name: &ExternName, offered: &[String]) -> Diagnostic {
    let message = format!("the component does not export `{name}`, which {} declares", declared.title());
    let listed = if offered.is_empty() {
        "it exports nothing".to_owned()
    } else {
        format!("it exports `{}`", offered.join("`, `"))
    };
    let diagnostic = Diagnostic::error("interface-mismatch", message).note(listed);
    match suggest(name.as_str(), offered.iter().map(String::as_str)) {
        Some(close) => diagnostic.help(format!("if `{close}` is meant, declare it under that name")),
        None => diagnostic.help(format!("export `{name}` from the component, or remove it from the world")),
    }
}

fn check_imports(declared: &World, built: &World) -> Vec<Diagnostic> {
    let needed = &built.resolve.worlds[built.id].imports;
    needed.iter().filter_map(|(key, item)| check_import(declared, built, key, item)).collect()
}

fn check_import(declared: &World, built: &World, key: &WorldKey, item: &WorldItem) -> Option<Diagnostic> {
    let name = ExternName::of(&built.resolve, key);
    if name.is_wasi() || matches!(item, WorldItem::Type { .. }) {
        return None;
    }
    let allowed = &declared.resolve.worlds[declared.id].imports;
    let Some(found) = find(declared, allowed.iter(), &name) else {
        let message = format!("the component imports `{name}`, which {} does not declare", declared.title());
        return Some(
            Diagnostic::error("undeclared-import", message)
                .help(format!("add `import {name};` to the world in its `wit`, or do without what it imports")),
        );
    };
    // A built component may leave out what it does not use, so its side is the one that wants.
    let differences = differences(built, item, declared, found);
    let message = format!("the component imports `{name}` with other types than {} declares", declared.title());
    (!differences.is_empty()).then(|| {
        with_differences(Diagnostic::error("interface-mismatch", message), &differences, ["built", "declared"])
    })
}

/// The item of that name: exactly, else at a compatible version.
pub(crate) fn find<'a>(
    world: &World,
    items: impl Iterator<Item = (&'a WorldKey, &'a WorldItem)> + Clone,
    name: &ExternName,
) -> Option<&'a WorldItem> {
    let named = |(key, item): (&'a WorldKey, &'a WorldItem)| (ExternName::of(&world.resolve, key), item);
    let exact = items.clone().map(named).find(|(other, _)| other == name);
    exact.or_else(|| items.map(named).find(|(other, _)| other.matches(name))).map(|(_, item)| item)
}

/// How `found` falls short of `wanted`.
pub(crate) fn differences(wanted: &World, item: &WorldItem, found: &World, other: &WorldItem) -> Vec<Difference> {
    let (ours, theirs) = (&wanted.resolve, &found.resolve);
    match (item, other) {
        (WorldItem::Interface { id: a, .. }, WorldItem::Interface { id: b, .. }) => {
            compare::interfaces(Side { resolve: ours, of: *a }, Side { resolve: theirs, of: *b })
        }
        (WorldItem::Function(a), WorldItem::Function(b)) => {
            compare::functions(Side { resolve: ours, of: a }, Side { resolve: theirs, of: b }).into_iter().collect()
        }
        (WorldItem::Type { .. }, _) => Vec::new(),
        (WorldItem::Function(function), _) => vec![compare::missing(ours, function)],
        (WorldItem::Interface { .. }, _) => {
            vec![Difference {
                item: "interface".to_owned(),
                wanted: "an interface".to_owned(),
                found: Some("a function".to_owned()),
            }]
        }
    }
}

/// Adds each difference as a note, both WIT texts one below the other.
pub(crate) fn with_differences(mut diagnostic: Diagnostic, differences: &[Difference], sides: [&str; 2]) -> Diagnostic {
    let width = sides[0].len().max(sides[1].len());
    for difference in differences {
        let [wanted, found] = sides;
        let other = difference.found.as_deref().unwrap_or("nothing of that name");
        let text = format!(
            "`{}` differs\n  {wanted:width$}  {}\n  {found:width$}  {other}",
            difference.item, difference.wanted
        );
        diagnostic = diagnostic.note(text);
    }
    diagnostic
}

#[cfg(test)]
mod tests;
