//! StarlingMonkey's core module → a component of some world: what the world has no word for is not imported, and what was
//! there for the rehearsal only is not exported.
//!
//! Code is never read for that. An import that is to go away becomes one of a module of ours, whose functions end the run.

use std::error::Error;

use wasm_encoder::reencode::{Reencode as _, RoundtripReencoder};
use wasm_encoder::{
    CodeSection, CustomSection, ExportKind, ExportSection, Function, FunctionSection, ImportSection, Module,
    RawSection, TypeSection,
};
use wasmparser::{ExternalKind, FuncType, Parser, Payload, TypeRef};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use super::PREVIEW1;
use crate::step::wit::World;

/// What stands for everything that is not there.
const ABSENT: &str = "run:absent";

/// What is changed about a module.
#[derive(Clone, Copy)]
pub(super) struct Change<'a> {
    /// Whether an import, by its module and name, goes away.
    pub is_absent: &'a dyn Fn(&str, &str) -> bool,
    /// What an export is called; nothing where it goes away.
    pub export: &'a dyn Fn(&str) -> Option<String>,
}

/// A component that implements `world` by a changed module, for which `adapter` speaks preview 1.
///
/// # Errors
///
/// The module does not implement the world, or is none.
pub(super) fn component(
    module: &[u8],
    world: &World,
    adapter: &[u8],
    change: Change<'_>,
) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    let (mut module, absent) = changed(module, change)?;
    embed_component_metadata(&mut module, &world.resolve, world.id, StringEncoding::UTF8, false)?;
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true).module(&module)?;
    if !absent.is_empty() {
        encoder.adapter(ABSENT, &ending(&absent)?)?;
    }
    encoder.adapter(PREVIEW1, adapter)?;
    Ok(encoder.encode()?)
}

/// The core module of a component that has an export of this name.
pub(super) fn find<'a>(component: &'a [u8], export: &str) -> Option<&'a [u8]> {
    let modules = Parser::new(0).parse_all(component).map_while(Result::ok).filter_map(|payload| match payload {
        Payload::ModuleSection { unchecked_range, .. } => {
            component.get(unchecked_range.start as usize..unchecked_range.end as usize)
        }
        _ => None,
    });
    let has = |module: &[u8]| {
        let mut payloads = Parser::new(0).parse_all(module).map_while(Result::ok);
        payloads.any(|payload| match payload {
            Payload::ExportSection(exports) => exports.into_iter().any(|e| e.is_ok_and(|e| e.name == export)),
            _ => false,
        })
    };
    let mut modules = modules;
    modules.find(|module| has(module))
}

/// The changed module, and the types of the functions that are absent from it now.
fn changed(module: &[u8], change: Change<'_>) -> Result<(Vec<u8>, Vec<FuncType>), Box<dyn Error + Send + Sync>> {
    let mut out = Module::new();
    let mut types: Vec<FuncType> = Vec::new();
    let mut absent = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        match &payload {
            Payload::TypeSection(section) => {
                for ty in section.clone().into_iter_err_on_gc_types() {
                    types.push(ty?);
                }
            }
            Payload::ImportSection(section) => {
                let mut imports = ImportSection::new();
                for import in section.clone().into_imports() {
                    let import = import?;
                    let ty = RoundtripReencoder.entity_type(import.ty)?;
                    match import.ty {
                        TypeRef::Func(of)
                            if import.module == ABSENT || (change.is_absent)(import.module, import.name) =>
                        {
                            imports.import(ABSENT, &absent.len().to_string(), ty);
                            absent.push(types.get(of as usize).cloned().ok_or("an import has no type")?);
                        }
                        _ => _ = imports.import(import.module, import.name, ty),
                    }
                }
                out.section(&imports);
                continue;
            }
            Payload::ExportSection(section) => {
                let mut exports = ExportSection::new();
                for export in section.clone() {
                    let export = export?;
                    let kind = RoundtripReencoder.export_kind(export.kind)?;
                    let name = match export.kind {
                        ExternalKind::Func => (change.export)(export.name),
                        _ => Some(export.name.to_owned()),
                    };
                    if let Some(name) = name {
                        exports.export(&name, kind, export.index);
                    }
                }
                out.section(&exports);
                continue;
            }
            // Others tell of the module as it was.
            Payload::CustomSection(section) => {
                if section.name() == "producers" {
                    out.section(&CustomSection { name: section.name().into(), data: section.data().into() });
                }
                continue;
            }
            _ => {}
        }
        if let Some((id, range)) = payload.as_section() {
            out.section(&RawSection { id, data: &module[range.start as usize..range.end as usize] });
        }
    }
    Ok((out.finish(), absent))
}

/// A module with a function of each of these types, called by its number, that ends the run.
fn ending(absent: &[FuncType]) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    let (mut types, mut functions) = (TypeSection::new(), FunctionSection::new());
    let (mut exports, mut code) = (ExportSection::new(), CodeSection::new());
    for (number, ty) in (0..).zip(absent) {
        types.ty().func_type(&RoundtripReencoder.func_type(ty.clone())?);
        functions.function(number);
        exports.export(&number.to_string(), ExportKind::Func, number);
        let mut body = Function::new([]);
        body.instructions().unreachable().end();
        code.function(&body);
    }
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&exports).section(&code);
    Ok(module.finish())
}
