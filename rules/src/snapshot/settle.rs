//! Moves what an interpreter's libraries write into memory when they begin to the module whose memory it is. Then a library
//! is the same in every component: in an engine, and in what a program was loaded into, whose memory is written anew.
//! So it is compiled once for all of them ([`crate::host`] compiles modules apart).
//!
//! Only what linkers of WebAssembly make is meant: a dynamic library whose data stands at constant distances from its
//! `__memory_base` (tool-conventions, `DynamicLinking.md`), and whose start function does nothing but clear memory, which is
//! clear when it is new. Another library stays as it is, and is compiled more than once.

use std::ops::Range;

use wasm_encoder::{Component, ComponentSectionId, ConstExpr, DataSection, Module, RawSection, SectionId};
use wasmparser::{
    BinaryReader, BinaryReaderError, CodeSectionReader, ConstExpr as Expression, DataKind, DataSectionReader,
    ExportSectionReader, ExternalKind, FunctionBody, GlobalSectionReader, ImportSectionReader, Operator, TypeRef,
};

use super::link::Library;
use crate::sections::sections;

/// The global by which a library is told where its data begins.
const MEMORY_BASE: (&str, &str) = ("env", "__memory_base");

/// The memory that all libraries share.
const MEMORY: (&str, &str) = ("env", "memory");

/// A library without what it writes.
#[derive(Debug)]
struct Settled<'a> {
    module: Vec<u8>,
    /// What it wrote: how far from where its data begins, and what.
    data: Vec<(i32, &'a [u8])>,
}

/// A linked component in which memory is written by the module that has it.
///
/// # Errors
/// The bytes are not a component.
pub fn settle(linked: &[u8], libraries: &[Library]) -> Result<Vec<u8>, BinaryReaderError> {
    let mut settled = Vec::new();
    for Library { name, bytes } in libraries {
        if let Some(library) = settled_library(bytes)? {
            settled.push((name, standard(bytes)?, library));
        }
    }
    // Modules as they will be, and which of them are libraries.
    let mut modules: Vec<Vec<u8>> = Vec::new();
    let mut found = Vec::new();
    for (_, module) in sections(linked)?.into_iter().filter(|(id, _)| *id == ComponentSectionId::CoreModule as u8) {
        let own = standard(module)?;
        // One that comes twice under two names is found twice, in whichever order.
        let is_it = |(_, sections, _): &(&String, Sections<'_>, Settled<'_>)| *sections == own;
        let library = settled.iter().position(is_it).map(|at| settled.remove(at));
        found.push(library.map(|(name, _, library)| (name, library)));
        modules.push(module.to_vec());
    }
    for (index, module) in modules.clone().iter().enumerate() {
        let mut written = Vec::new();
        for (at, library) in found.iter().enumerate() {
            if let Some((name, library)) = library
                && let Some(base) = constant(module, &format!("{name}:memory_base"))?
            {
                modules[at].clone_from(&library.module);
                written.extend(library.data.iter().map(|(distance, bytes)| (base.wrapping_add(*distance), *bytes)));
            }
        }
        if !written.is_empty() {
            modules[index] = with_data(module, &written)?;
        }
    }
    let mut out = Component::new();
    let mut modules = modules.iter();
    for (id, data) in sections(linked)? {
        let data = if id == ComponentSectionId::CoreModule as u8 { modules.next().expect("as many") } else { data };
        out.section(&RawSection { id, data });
    }
    Ok(out.finish())
}

/// Libraries as they are in every component, as one that is never run: to be compiled before there is another.
///
/// # Errors
/// A library is no module.
pub fn component_of(libraries: &[Library]) -> Result<Vec<u8>, BinaryReaderError> {
    let mut out = Component::new();
    for library in libraries {
        if let Some(Settled { module, .. }) = settled_library(&library.bytes)? {
            out.section(&RawSection { id: ComponentSectionId::CoreModule as u8, data: &module });
        }
    }
    Ok(out.finish())
}

type Sections<'a> = Vec<(u8, &'a [u8])>;

/// The sections of a module that say what it does.
fn standard(module: &[u8]) -> Result<Sections<'_>, BinaryReaderError> {
    Ok(sections(module)?.into_iter().filter(|(id, _)| *id != SectionId::Custom as u8).collect())
}

/// A library without what it writes; nothing where it does more than that.
fn settled_library(library: &[u8]) -> Result<Option<Settled<'_>>, BinaryReaderError> {
    let sections = sections(library)?;
    let section = |wanted: SectionId| sections.iter().find(|(id, _)| *id == wanted as u8).map(|(_, data)| *data);
    let imports = section(SectionId::Import).unwrap_or(&[0]);
    let (Some(base), true) = (imported_base(imports)?, imports_memory(imports)?) else { return Ok(None) };
    if section(SectionId::Memory).is_some() {
        return Ok(None);
    }
    let cleared = match section(SectionId::Start) {
        None => vec![],
        Some(start) => {
            let start = BinaryReader::new(start, 0).read_var_u32()?;
            let imported = n_imported_functions(imports)?;
            let Some(index) = start.checked_sub(imported) else { return Ok(None) };
            let code = CodeSectionReader::new(BinaryReader::new(section(SectionId::Code).unwrap_or(&[0]), 0))?;
            let Some(body) = code.into_iter().nth(index as usize).transpose()? else { return Ok(None) };
            match cleared(&body, base)? {
                Some(cleared) => cleared,
                None => return Ok(None),
            }
        }
    };
    let mut data = Vec::new();
    let mut emptied = DataSection::new();
    for segment in DataSectionReader::new(BinaryReader::new(section(SectionId::Data).unwrap_or(&[0]), 0))? {
        let segment = segment?;
        let DataKind::Active { memory_index: 0, offset_expr } = segment.kind else { return Ok(None) };
        let Some(distance) = distance(&offset_expr, base)? else { return Ok(None) };
        let end = i64::from(distance) + i64::try_from(segment.data.len()).unwrap_or(i64::MAX);
        // What is written is cleared afterwards.
        if cleared.iter().any(|cleared| cleared.start < end && i64::from(distance) < cleared.end) {
            return Ok(None);
        }
        data.push((distance, segment.data));
        // Segments keep their numbers. One that has been written is an empty one.
        emptied.passive([]);
    }
    let mut module = Module::new();
    for (id, data) in &sections {
        match *id {
            id if id == SectionId::Start as u8 => {}
            id if id == SectionId::Custom as u8 && is_component_type(data)? => {}
            id if id == SectionId::Data as u8 => {
                module.section(&emptied);
            }
            id => {
                module.section(&RawSection { id, data });
            }
        }
    }
    Ok(Some(Settled { module: module.finish(), data }))
}

/// Whether a custom section says what world a library was written for: the linker has read that.
fn is_component_type(section: &[u8]) -> Result<bool, BinaryReaderError> {
    Ok(BinaryReader::new(section, 0).read_string()?.starts_with("component-type"))
}

/// Which global says where a library's data begins.
fn imported_base(imports: &[u8]) -> Result<Option<u32>, BinaryReaderError> {
    let mut globals = 0;
    for import in ImportSectionReader::new(BinaryReader::new(imports, 0))?.into_imports() {
        let import = import?;
        if (import.module, import.name) == MEMORY_BASE {
            return Ok(Some(globals));
        }
        globals += u32::from(matches!(import.ty, TypeRef::Global(_)));
    }
    Ok(None)
}

/// Whether the library's memory is the one that all share.
fn imports_memory(imports: &[u8]) -> Result<bool, BinaryReaderError> {
    let mut memories = Vec::new();
    for import in ImportSectionReader::new(BinaryReader::new(imports, 0))?.into_imports() {
        let import = import?;
        if let TypeRef::Memory(_) = import.ty {
            memories.push((import.module, import.name));
        }
    }
    Ok(memories == [MEMORY])
}

fn n_imported_functions(imports: &[u8]) -> Result<u32, BinaryReaderError> {
    let mut functions = 0;
    for import in ImportSectionReader::new(BinaryReader::new(imports, 0))?.into_imports() {
        functions += u32::from(matches!(import?.ty, TypeRef::Func(_) | TypeRef::FuncExact(_)));
    }
    Ok(functions)
}

/// What a function that does nothing else fills with zeros, as distances from the library's base.
fn cleared(body: &FunctionBody<'_>, base: u32) -> Result<Option<Vec<Range<i64>>>, BinaryReaderError> {
    let mut operators = Vec::new();
    for operator in body.get_operators_reader()? {
        operators.push(operator?);
    }
    let mut cleared = Vec::new();
    let mut rest = operators.as_slice();
    loop {
        let (from, after) = match rest {
            [Operator::End] => return Ok(Some(cleared)),
            [Operator::GlobalGet { global_index }, Operator::I32Const { value }, Operator::I32Add, after @ ..]
            | [Operator::I32Const { value }, Operator::GlobalGet { global_index }, Operator::I32Add, after @ ..]
                if *global_index == base =>
            {
                (i64::from(*value), after)
            }
            [Operator::GlobalGet { global_index }, after @ ..] if *global_index == base => (0, after),
            _ => return Ok(None),
        };
        let [
            Operator::I32Const { value: 0 },
            Operator::I32Const { value: length },
            Operator::MemoryFill { mem: 0 },
            after @ ..,
        ] = after
        else {
            return Ok(None);
        };
        // What lies before the base, or wraps around, is not the library's.
        if from < 0 || *length < 0 {
            return Ok(None);
        }
        cleared.push(from..from + i64::from(*length));
        rest = after;
    }
}

/// How far from the library's base an expression points.
fn distance(expression: &Expression<'_>, base: u32) -> Result<Option<i32>, BinaryReaderError> {
    let mut operators = Vec::new();
    for operator in expression.get_operators_reader() {
        operators.push(operator?);
    }
    Ok(match operators.as_slice() {
        [Operator::GlobalGet { global_index }, Operator::End] if *global_index == base => Some(0),
        [Operator::GlobalGet { global_index }, Operator::I32Const { value }, Operator::I32Add, Operator::End]
        | [Operator::I32Const { value }, Operator::GlobalGet { global_index }, Operator::I32Add, Operator::End]
            if *global_index == base =>
        {
            Some(*value)
        }
        _ => None,
    })
}

/// The value of a constant that a module exports; nothing where it exports none of that name.
fn constant(module: &[u8], name: &str) -> Result<Option<i32>, BinaryReaderError> {
    let sections = sections(module)?;
    let section = |wanted: SectionId| sections.iter().find(|(id, _)| *id == wanted as u8).map(|(_, data)| *data);
    let Some(exports) = section(SectionId::Export) else { return Ok(None) };
    let mut imported = 0;
    let imports = section(SectionId::Import).unwrap_or(&[0]);
    for import in ImportSectionReader::new(BinaryReader::new(imports, 0))?.into_imports() {
        imported += u32::from(matches!(import?.ty, TypeRef::Global(_)));
    }
    for export in ExportSectionReader::new(BinaryReader::new(exports, 0))? {
        let export = export?;
        if export.name == name && export.kind == ExternalKind::Global {
            let globals = GlobalSectionReader::new(BinaryReader::new(section(SectionId::Global).unwrap_or(&[0]), 0))?;
            let Some(own) = export.index.checked_sub(imported) else { return Ok(None) };
            let Some(global) = globals.into_iter().nth(own as usize).transpose()? else { return Ok(None) };
            let mut value = global.init_expr.get_operators_reader();
            return Ok(match (value.read()?, value.read()?) {
                (Operator::I32Const { value }, Operator::End) if !global.ty.mutable => Some(value),
                _ => None,
            });
        }
    }
    Ok(None)
}

/// A module that writes this too, after what it writes itself.
fn with_data(module: &[u8], written: &[(i32, &[u8])]) -> Result<Vec<u8>, BinaryReaderError> {
    let mut out = Module::new();
    let sections = sections(module)?;
    let mut data = DataSection::new();
    if let Some((_, own)) = sections.iter().find(|(id, _)| *id == SectionId::Data as u8) {
        for segment in DataSectionReader::new(BinaryReader::new(own, 0))? {
            let segment = segment?;
            data.raw(&own[segment.range.start as usize..segment.range.end as usize]);
        }
    }
    for (place, bytes) in written {
        data.active(0, &ConstExpr::i32_const(*place), bytes.iter().copied());
    }
    let is_before = |id: u8| id != SectionId::Data as u8 && id != SectionId::Custom as u8;
    let last = sections.iter().rposition(|(id, _)| is_before(*id));
    for (at, (id, own)) in sections.iter().enumerate() {
        if *id != SectionId::Data as u8 {
            out.section(&RawSection { id: *id, data: own });
        }
        if Some(at) == last {
            out.section(&data);
        }
    }
    Ok(out.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Ending, OptLevel, Program, Runtime};
    use crate::value::{find_function, to_wave};

    /// A library as linkers make them, whose start function and data are these. `sum` adds two words of its data.
    fn library(start: &str, data: &str) -> String {
        format!(
            r#"(import "env" "memory" (memory 1)) (global (import "env" "__memory_base") i32)
                (func (export "sum") (result i32)
                    (i32.add (i32.load (global.get 0)) (i32.load offset=8 (global.get 0))))
                (func $start {start}) (start $start) {data}"#
        )
    }

    fn binary(library: &str) -> Vec<u8> {
        wat::parse_str(format!("(module {library})")).unwrap()
    }

    const CLEARS: &str = "(memory.fill (i32.add (i32.const 64) (global.get 0)) (i32.const 0) (i32.const 8))
        (memory.fill (i32.add (global.get 0) (i32.const 12)) (i32.const 0) (i32.const 4))";

    const DATA: &str = r#"(data (global.get 0) "\28") (data (i32.add (global.get 0) (i32.const 8)) "\02")"#;

    /// The library in a component, twice, with the memory of another module.
    fn linked(library: &str) -> Vec<u8> {
        let text = format!(
            r#"(component
                (core module $env (memory (export "memory") 1) (data (i32.const 0) "own")
                    (global (export "lib.so:memory_base") i32 (i32.const 1024))
                    (global (export "twin.so:memory_base") i32 (i32.const 4096)))
                (core module $lib {library})
                (core module $twin {library})
                (core instance $env (instantiate $env))
                (alias core export $env "memory" (core memory $memory))
                (alias core export $env "lib.so:memory_base" (core global $base))
                (alias core export $env "twin.so:memory_base" (core global $other))
                (core instance $args (export "memory" (memory $memory)) (export "__memory_base" (global $base)))
                (core instance $others (export "memory" (memory $memory)) (export "__memory_base" (global $other)))
                (core instance $lib (instantiate $lib (with "env" (instance $args))))
                (core instance $twin (instantiate $twin (with "env" (instance $others))))
                (func (export "sum") (result u32) (canon lift (core func $lib "sum")))
                (func (export "twin") (result u32) (canon lift (core func $twin "sum"))))"#
        );
        wat::parse_str(text).unwrap()
    }

    fn sums(component: &[u8]) -> [String; 2] {
        let program = Program::new(Runtime::new(OptLevel::None).unwrap().compile(component).unwrap());
        ["sum", "twin"].map(|name| {
            let function = find_function(&program.component, name).unwrap();
            match program.call(&function, &[]).unwrap().ending {
                Ending::Returned(Some(value)) => to_wave(&value),
                other => panic!("{other:?}"),
            }
        })
    }

    fn settled(library: &str) -> Vec<u8> {
        let named = |name: &str| Library { name: name.to_owned(), bytes: binary(library) };
        settle(&linked(library), &[named("lib.so"), named("twin.so")]).unwrap()
    }

    #[test]
    fn a_library_finds_its_data_written() {
        let library = library(CLEARS, DATA);
        let settled = settled(&library);
        assert_ne!(settled, linked(&library));
        assert_eq!(sums(&settled), ["42", "42"]);
        assert_eq!(sums(&settled), sums(&linked(&library)));
        let alone = component_of(&[Library { name: "lib.so".to_owned(), bytes: binary(&library) }]).unwrap();
        let (_, module) = sections(&alone).unwrap()[0];
        assert!(sections(&settled).unwrap().contains(&(ComponentSectionId::CoreModule as u8, module)));
    }

    #[test]
    fn one_that_does_more_than_clear_stays_as_it_is() {
        assert!(settled_library(&binary(&library(CLEARS, DATA))).unwrap().is_some());
        for start in [
            "(i32.store (global.get 0) (i32.const 1))",
            "(memory.fill (i32.add (global.get 0) (i32.const 64)) (i32.const 1) (i32.const 8))",
            "(memory.fill (i32.const 1100) (i32.const 0) (i32.const 8))",
            // This clears what the library wrote.
            "(memory.fill (global.get 0) (i32.const 0) (i32.const 1))",
            "(memory.fill (i32.add (global.get 0) (i32.const 64)) (i32.const 0) (memory.size))",
            "(drop (call 0))",
            "unreachable",
        ] {
            let library = library(start, DATA);
            assert!(settled_library(&binary(&library)).unwrap().is_none(), "{start}");
            assert_eq!(settled(&library), linked(&library));
        }
        let own_memory = DATA.replace("(data (global.get 0)", "(memory 1) (data (global.get 0)");
        assert!(settled_library(&binary(&library("", &own_memory))).is_ok_and(|settled| settled.is_none()));
        for data in [r#"(data "passive")"#, r#"(data (i32.const 8) "absolute")"#] {
            assert!(settled_library(&binary(&library("", data))).unwrap().is_none(), "{data}");
        }
    }
}
