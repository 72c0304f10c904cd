//! Takes the large core modules out of a component, so that each is compiled once for all components that have it.
//!
//! What is left imports them: a component may import core modules and instantiate them as it does its own
//! (`core module` imports of the Component Model's binary format, and `outer` aliases from components inside it). So it
//! computes the same, by the same number of steps, as the whole.
//!
//! A component that this can't be done to stays whole: one that numbers core types or modules in other ways, or whose modules
//! have types that a component can't speak of. There is none such among those that our steps write. Where the outermost
//! component has modules of its own, only those are taken out.

use std::collections::BTreeMap;

use run_engine::digest::{Blob, Digest, DigestFunction};
use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{
    Alias, Component, ComponentAliasSection, ComponentImportSection, ComponentSectionId, ComponentTypeRef,
    CoreTypeSection, EntityType, GlobalType, HeapType, ModuleType, RawSection, RefType, ValType,
};
use wasmparser::{
    BinaryReader, BinaryReaderError, ComponentAlias, ComponentAliasSectionReader, ComponentExportSectionReader,
    ComponentExternalKind, ComponentImportSectionReader, ComponentOuterAliasKind, Export, ExternalKind, Parser,
    Payload,
};

use crate::sections::sections;

/// Components inside each other that are looked into. Nobody writes that many, but somebody may.
const DEPTH: usize = 64;

/// How much may be said of all modules together: to wasmparser a component's types are of a size of at most a million
/// (`MAX_TYPE_SIZE`), and the type of a module says at most a hundred thousand things.
const SAID: usize = 900_000;

/// How the names begin by which modules are imported. A name has to begin with a letter, and so does each of its words.
const PREFIX: &str = "module-x";

/// Bytes from which on a module is taken out, of code or of data. A smaller one costs less to compile than a file of its own.
const LARGE: usize = 16 << 10;

/// A component without its large modules.
#[derive(Debug)]
pub(super) struct Apart<'a> {
    /// The component, which imports them.
    pub rest: Vec<u8>,
    /// The modules, by the names under which they are imported; each says what is in the module.
    pub modules: BTreeMap<String, &'a [u8]>,
}

/// Takes a component apart.
///
/// # Errors
/// The bytes are not a component.
pub(super) fn take_apart(component: &[u8]) -> Result<Apart<'_>, BinaryReaderError> {
    let mut taken =
        Taken { owns_modules: false, places: BTreeMap::new(), modules: BTreeMap::new(), n_types: 0, said: 0 };
    match depth(component)? <= DEPTH && taken.is_possible(component)? {
        true => Ok(Apart { rest: taken.component(component, 0)?, modules: taken.modules }),
        false => Ok(Apart { rest: component.to_vec(), modules: BTreeMap::new() }),
    }
}

/// Whether an import of what was left is a module that was taken out.
pub(super) fn is_taken(import: &str) -> bool {
    import
        .strip_prefix(PREFIX)
        .is_some_and(|digest| digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// How many components and modules are inside each other at most.
fn depth(component: &[u8]) -> Result<usize, BinaryReaderError> {
    let (mut depth, mut most) = (0_usize, 0);
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            _ => {}
        }
        most = most.max(depth);
    }
    Ok(most)
}

struct Taken<'a> {
    /// Whether the outermost component has modules of its own. Those of components inside are then left to them: their
    /// imports would come before, and change the numbers of its own.
    owns_modules: bool,
    /// Which module of the outermost component each is.
    places: BTreeMap<String, u32>,
    modules: BTreeMap<String, &'a [u8]>,
    /// How many core types the outermost component defines so far.
    n_types: u32,
    /// How much the types of the modules say so far.
    said: usize,
}

const CORE_MODULE: u8 = ComponentSectionId::CoreModule as u8;
const CORE_TYPE: u8 = ComponentSectionId::CoreType as u8;
const COMPONENT: u8 = ComponentSectionId::Component as u8;
const ALIAS: u8 = ComponentSectionId::Alias as u8;
const IMPORT: u8 = ComponentSectionId::Import as u8;
const EXPORT: u8 = ComponentSectionId::Export as u8;

impl<'a> Taken<'a> {
    /// Looks whether the outermost component numbers types or modules in a way that imports would disturb.
    fn is_possible(&mut self, component: &'a [u8]) -> Result<bool, BinaryReaderError> {
        let is_module = |kind: ComponentExternalKind| kind == ComponentExternalKind::Module;
        for (id, data) in sections(component)? {
            let reader = BinaryReader::new(data, 0);
            match id {
                CORE_TYPE => return Ok(false),
                CORE_MODULE => self.owns_modules = true,
                ALIAS => {
                    for alias in ComponentAliasSectionReader::new(reader)? {
                        let names_module = match alias? {
                            ComponentAlias::InstanceExport { kind, .. } => is_module(kind),
                            ComponentAlias::Outer { kind, .. } => kind == ComponentOuterAliasKind::CoreModule,
                            ComponentAlias::CoreInstanceExport { .. } => false,
                        };
                        if names_module {
                            return Ok(false);
                        }
                    }
                }
                IMPORT => {
                    for import in ComponentImportSectionReader::new(reader)? {
                        if is_module(import?.ty.kind()) {
                            return Ok(false);
                        }
                    }
                }
                // What is exported has a number of its own from then on.
                EXPORT => {
                    for export in ComponentExportSectionReader::new(reader)? {
                        if is_module(export?.kind) {
                            return Ok(false);
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(true)
    }

    /// A component inside `depth` others, without what is taken out of it.
    fn component(&mut self, component: &'a [u8], depth: u32) -> Result<Vec<u8>, BinaryReaderError> {
        let mut out = Component::new();
        let mut n_modules = 0;
        for (id, data) in sections(component)? {
            match id {
                CORE_MODULE => {
                    self.module(&mut out, data, depth, n_modules)?;
                    n_modules += 1;
                }
                COMPONENT if depth > 0 || !self.owns_modules => {
                    let inner = self.inside(&mut out, data, depth)?;
                    out.section(&RawSection { id, data: &inner });
                }
                _ => {
                    out.section(&RawSection { id, data });
                }
            }
        }
        Ok(out.finish())
    }

    /// A component inside another. The outermost imports what is taken out of it, before it.
    fn inside(&mut self, out: &mut Component, data: &'a [u8], depth: u32) -> Result<Vec<u8>, BinaryReaderError> {
        if depth > 0 {
            return self.component(data, depth + 1);
        }
        for module in modules_inside(data)? {
            if let Some((name, ty)) = self.apart(module)?
                && !self.places.contains_key(&name)
            {
                let place = u32::try_from(self.places.len()).expect("fewer modules than numbers");
                self.import(out, module, name, &ty.ty, place);
            }
        }
        self.component(data, 1)
    }

    fn module(
        &mut self,
        out: &mut Component,
        module: &'a [u8],
        depth: u32,
        n_modules: u32,
    ) -> Result<(), BinaryReaderError> {
        match self.apart(module)? {
            Some((name, ty)) if depth == 0 && !self.places.contains_key(&name) => {
                self.import(out, module, name, &ty.ty, n_modules);
            }
            // Those inside are imported by now, unless the outermost has its own.
            Some((name, _)) if self.places.contains_key(&name) => {
                let kind = wasm_encoder::ComponentOuterAliasKind::CoreModule;
                let mut aliases = ComponentAliasSection::new();
                aliases.alias(Alias::Outer { kind, count: depth, index: self.places[&name] });
                out.section(&aliases);
            }
            _ => {
                out.section(&RawSection { id: CORE_MODULE, data: module });
            }
        }
        Ok(())
    }

    /// The name and the type under which a module is imported; nothing for one that stays.
    fn apart(&mut self, module: &[u8]) -> Result<Option<(String, Said)>, BinaryReaderError> {
        if module.len() < LARGE {
            return Ok(None);
        }
        let digest: Digest<Blob> = DigestFunction::Blake3.digest(module);
        let name = format!("{PREFIX}{}", digest.hex());
        let Some(said) = said(module)? else { return Ok(None) };
        if !self.places.contains_key(&name) {
            if self.said + said.size > SAID {
                return Ok(None);
            }
            self.said += said.size;
        }
        Ok(Some((name, said)))
    }

    /// Imports a module where it stands, which becomes module number `place`.
    fn import(&mut self, out: &mut Component, module: &'a [u8], name: String, ty: &ModuleType, place: u32) {
        let mut types = CoreTypeSection::new();
        types.ty().module(ty);
        out.section(&types);
        let mut imports = ComponentImportSection::new();
        imports.import(&name, ComponentTypeRef::Module(self.n_types));
        out.section(&imports);
        self.n_types += 1;
        self.places.insert(name.clone(), place);
        self.modules.insert(name, module);
    }
}

/// The modules of a component and of those inside it.
fn modules_inside(component: &[u8]) -> Result<Vec<&[u8]>, BinaryReaderError> {
    let mut modules = Vec::new();
    for section in sections(component)? {
        match section {
            (CORE_MODULE, module) => modules.push(module),
            (COMPONENT, inner) => modules.extend(modules_inside(inner)?),
            _ => {}
        }
    }
    Ok(modules)
}

/// What a component says of a module.
struct Said {
    ty: ModuleType,
    /// How much that is, about.
    size: usize,
}

/// What a module imports and exports; nothing where a component could not say it, or Wasmtime not understand it.
fn said(module: &[u8]) -> Result<Option<Said>, BinaryReaderError> {
    let (mut ty, mut size) = (ModuleType::new(), 0);
    let (mut functions, mut tables, mut memories) = (Vec::new(), Vec::new(), Vec::new());
    let (mut globals, mut tags) = (Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::TypeSection(types) => {
                for function in types.into_iter_err_on_gc_types() {
                    let Some(function) = function.ok().and_then(|f| RoundtripReencoder.func_type(f).ok()) else {
                        return Ok(None);
                    };
                    ty.ty().func_type(&function);
                    size += 1 + function.params().len() + function.results().len();
                }
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import = import?;
                    let Ok(entity) = RoundtripReencoder.entity_type(import.ty) else { return Ok(None) };
                    if !is_plain(&entity) {
                        return Ok(None);
                    }
                    ty.import(import.module, import.name, entity);
                    size += SIZE;
                    match entity {
                        EntityType::Function(_) | EntityType::FunctionExact(_) => functions.push(entity),
                        EntityType::Table(_) => tables.push(entity),
                        EntityType::Memory(_) => memories.push(entity),
                        EntityType::Global(_) => globals.push(entity),
                        EntityType::Tag(_) => tags.push(entity),
                    }
                }
            }
            Payload::FunctionSection(section) => {
                for index in section {
                    functions.push(EntityType::Function(index?));
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    let Ok(table) = RoundtripReencoder.table_type(table?.ty) else { return Ok(None) };
                    tables.push(EntityType::Table(table));
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    let Ok(memory) = RoundtripReencoder.memory_type(memory?) else { return Ok(None) };
                    memories.push(EntityType::Memory(memory));
                }
            }
            Payload::GlobalSection(section) => {
                for global in section {
                    let Ok(global) = RoundtripReencoder.global_type(global?.ty) else { return Ok(None) };
                    globals.push(EntityType::Global(global));
                }
            }
            Payload::TagSection(section) => {
                for tag in section {
                    let Ok(tag) = RoundtripReencoder.tag_type(tag?) else { return Ok(None) };
                    tags.push(EntityType::Tag(tag));
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let Export { name, kind, index } = export?;
                    let of_kind = match kind {
                        ExternalKind::Func | ExternalKind::FuncExact => &functions,
                        ExternalKind::Table => &tables,
                        ExternalKind::Memory => &memories,
                        ExternalKind::Global => &globals,
                        ExternalKind::Tag => &tags,
                    };
                    let Some(entity) = of_kind.get(index as usize).filter(|entity| is_plain(entity)) else {
                        return Ok(None);
                    };
                    ty.export(name, *entity);
                    size += SIZE;
                }
            }
            Payload::CodeSectionStart { .. } => break,
            _ => {}
        }
    }
    Ok(Some(Said { ty, size }))
}

/// About how much a component says by an import or export: few functions take ten values.
const SIZE: usize = 10;

/// Whether Wasmtime takes it in a type of a module: it knows no references there to types that a module defines.
fn is_plain(entity: &EntityType) -> bool {
    let is_abstract = |ty: &RefType| matches!(ty.heap_type, HeapType::Abstract { .. });
    match entity {
        EntityType::Table(table) => is_abstract(&table.element_type),
        EntityType::Global(GlobalType { val_type: ValType::Ref(ty), .. }) => is_abstract(ty),
        _ => true,
    }
}

#[cfg(test)]
mod tests;
