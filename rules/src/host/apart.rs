//! Takes the large core modules out of a component, so that each is compiled once for all components that have it.
//!
//! What is left imports them: a component may import core modules and instantiate them as it does its own
//! (`core module` imports of the Component Model's binary format, and `outer` aliases from components inside it). So it
//! computes the same, by the same number of steps, as the whole.
//!
//! A component that this can't be done to stays whole. There is none such among those our steps write.

use std::collections::{BTreeMap, HashSet};

use run_engine::digest::{Blob, Digest, DigestFunction};
use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{
    Alias, Component, ComponentAliasSection, ComponentImportSection, ComponentOuterAliasKind, ComponentSectionId,
    ComponentTypeRef, CoreTypeSection, EntityType, ModuleType, RawSection,
};
use wasmparser::{
    BinaryReader, BinaryReaderError, ComponentAlias, ComponentAliasSectionReader, ComponentExternalKind,
    ComponentImportSectionReader, Export, ExternalKind, Parser, Payload,
};

use crate::sections::sections;

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
    let mut taken = Taken { owns_modules: false, places: BTreeMap::new(), modules: BTreeMap::new(), n_types: 0 };
    match taken.is_possible(component)? {
        true => Ok(Apart { rest: taken.component(component, 0)?, modules: taken.modules }),
        false => Ok(Apart { rest: component.to_vec(), modules: BTreeMap::new() }),
    }
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
}

const CORE_MODULE: u8 = ComponentSectionId::CoreModule as u8;
const CORE_TYPE: u8 = ComponentSectionId::CoreType as u8;
const COMPONENT: u8 = ComponentSectionId::Component as u8;
const ALIAS: u8 = ComponentSectionId::Alias as u8;
const IMPORT: u8 = ComponentSectionId::Import as u8;

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
                        if matches!(alias?, ComponentAlias::InstanceExport { kind, .. } if is_module(kind)) {
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
            if let Some((name, ty)) = apart(module)?
                && !self.places.contains_key(&name)
            {
                let place = u32::try_from(self.places.len()).expect("fewer modules than numbers");
                self.import(out, module, name, &ty, place);
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
        let apart = apart(module)?;
        match apart {
            Some((name, ty)) if depth == 0 && !self.places.contains_key(&name) => {
                self.import(out, module, name, &ty, n_modules);
            }
            // Those inside are imported by now, unless the outermost has its own.
            Some((name, _)) if self.places.contains_key(&name) => {
                let kind = ComponentOuterAliasKind::CoreModule;
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

/// The name and the type under which a module is imported; nothing for one that stays.
fn apart(module: &[u8]) -> Result<Option<(String, ModuleType)>, BinaryReaderError> {
    if module.len() < LARGE {
        return Ok(None);
    }
    let digest: Digest<Blob> = DigestFunction::Blake3.digest(module);
    // A name has to begin with a letter.
    Ok(module_type(module)?.map(|ty| (format!("module-x{}", digest.hex()), ty)))
}

/// What a module imports and exports; nothing where a component could not say it.
fn module_type(module: &[u8]) -> Result<Option<ModuleType>, BinaryReaderError> {
    let mut ty = ModuleType::new();
    let mut imported = HashSet::new();
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
                }
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import = import?;
                    let Ok(entity) = RoundtripReencoder.entity_type(import.ty) else { return Ok(None) };
                    if !imported.insert((import.module, import.name)) {
                        return Ok(None);
                    }
                    ty.import(import.module, import.name, entity);
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
                    let Some(entity) = of_kind.get(index as usize) else { return Ok(None) };
                    ty.export(name, *entity);
                }
            }
            Payload::CodeSectionStart { .. } => break,
            _ => {}
        }
    }
    Ok(Some(ty))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Component as Compiled, Ending, OptLevel, Outcome, Program, Runtime};
    use crate::value::{find_function, to_wave};

    /// A module with more code than [`LARGE`], of which `number` returns a number.
    fn large(number: u32) -> String {
        let idle = "nop ".repeat(LARGE);
        format!(
            r#"(func (import "other" "add") (param i32) (result i32))
            (memory (export "memory") 1) (global (export "g") (mut i32) (i32.const 0)) (table (export "t") 1 funcref)
            (func (export "number") (result i32) {idle} (call 0 (i32.const {number})))"#
        )
    }

    /// A module that adds one, and a component that instantiates the large one with it.
    fn using(module: &str) -> String {
        format!(
            r#"(core module $small (func (export "add") (param i32) (result i32)
                (i32.add (local.get 0) (i32.const 1))))
            {module}
            (core instance $s (instantiate $small)) (core instance $l (instantiate $large (with "other" (instance $s))))
            (func (export "number") (result u32) (canon lift (core func $l "number")))"#
        )
    }

    fn component(text: &str) -> Vec<u8> {
        wat::parse_str(format!("(component {text})")).unwrap()
    }

    fn number(component: Compiled) -> Outcome {
        let program = Program::new(component);
        let function = find_function(&program.component, "number").unwrap();
        program.call(&function, &[]).unwrap()
    }

    /// What a component's `number` returns, whole as well as apart, with as much work.
    #[track_caller]
    fn both(component: &[u8]) -> String {
        let runtime = Runtime::new(OptLevel::None).unwrap();
        let whole = wasmtime::component::Component::new(runtime.engine(), component).unwrap();
        let whole = number(Compiled { rest: whole, modules: vec![] });
        let apart = number(runtime.compile(component).unwrap());
        assert_eq!(apart.fuel_used, whole.fuel_used);
        let [apart, whole] = [apart, whole].map(|outcome| match outcome.ending {
            Ending::Returned(Some(value)) => to_wave(&value),
            other => panic!("{other:?}"),
        });
        assert_eq!(apart, whole);
        apart
    }

    #[test]
    fn a_component_computes_the_same_without_its_modules() {
        let bytes = component(&using(&format!("(core module $large {})", large(41))));
        let apart = take_apart(&bytes).unwrap();
        assert_eq!(apart.modules.len(), 1, "the small one stays");
        assert!(apart.rest.len() < LARGE);
        assert_eq!(both(&bytes), "42");
    }

    #[test]
    fn a_module_that_comes_twice_is_taken_out_once() {
        let own = format!("(core module $large {})", large(6));
        let twice = format!(r#"(core module $again (@name "large") {}) {}"#, large(6), using(&own));
        let bytes = component(&twice);
        assert_eq!(take_apart(&bytes).unwrap().modules.len(), 1);
        assert_eq!(both(&bytes), "7");

        let inner = |name: &str| format!("(component ${name} {})", using(&own));
        let nested = format!(
            r#"{} (component $outer {} (instance $i (instantiate $b)) (export "number" (func $i "number")))
            (instance $a (instantiate $a)) (instance $o (instantiate $outer)) (export "number" (func $o "number"))"#,
            inner("a"),
            inner("b"),
        );
        let bytes = component(&nested);
        assert_eq!(take_apart(&bytes).unwrap().modules.len(), 1);
        assert_eq!(both(&bytes), "7");
    }

    #[test]
    fn modules_inside_stay_where_the_outermost_has_its_own() {
        let own = format!("(core module $large {})", large(1));
        let inside = format!("(component $c {})", using(&format!("(core module $large {})", large(2))));
        let bytes = component(&format!("{inside} {}", using(&own)));
        assert_eq!(take_apart(&bytes).unwrap().modules.len(), 1);
        assert_eq!(both(&bytes), "2");
    }

    #[test]
    fn what_numbers_core_types_stays_whole() {
        let bytes = component(&format!("(core type (func)) {}", using(&format!("(core module $large {})", large(1)))));
        let apart = take_apart(&bytes).unwrap();
        assert!(apart.modules.is_empty() && apart.rest == bytes);
        assert_eq!(both(&bytes), "2");
    }

    #[test]
    fn a_module_that_no_type_describes_stays() {
        let twice = r#"(func (import "a" "b")) (func (import "a" "b"))"#;
        let module = wat::parse_str(format!("(module {twice} (func {}))", "nop ".repeat(LARGE))).unwrap();
        assert!(apart(&module).unwrap().is_none());
    }
}
