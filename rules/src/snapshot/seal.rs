//! Takes away from a component what was there for its rehearsal only: an import it will not call any more, an export that
//! nobody is to call.

use wasm_encoder::reencode::{Reencode, ReencodeComponent, component_utils};
use wasm_encoder::{
    Component, ComponentExportKind, ComponentExportSection, ComponentImportSection, ComponentInstanceSection,
    ComponentSection, ComponentSectionId, RawSection,
};
use wasmparser::{
    BinaryReader, CanonicalFunction, ComponentAlias, ComponentAliasSectionReader, ComponentCanonicalSectionReader,
    ComponentExportSectionReader, ComponentExternalKind, ComponentImportSectionReader, ComponentInstanceSectionReader,
    FromReader, Parser, Payload, SectionLimited,
};

/// What is taken away. Other components than those a linker writes are not meant: only their kinds of sections are known.
#[derive(Debug, Clone, Copy)]
pub struct Seal<'a> {
    /// An imported instance, and the text of a component whose exports stand in for its own.
    pub import: Option<(&'a str, &'a str)>,
    /// An exported function or instance.
    pub export: &'a str,
}

/// The component without what `seal` says; unchanged where it has nothing of that.
///
/// # Errors
///
/// The bytes are not a component, or the text is not.
pub fn seal(component: &[u8], seal: Seal<'_>) -> Result<Vec<u8>, String> {
    let stand_in = match seal.import {
        Some((_, text)) => wat::parse_str(text).map_err(|e| e.to_string())?,
        None => vec![],
    };
    let mut sealing = Sealing { seal, stand_in: &stand_in, defined: Defined::default(), added: None, removed: None };
    let mut out = Component::new();
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload.map_err(|e| e.to_string())?;
        match &payload {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            _ => {}
        }
        if let Some((id, range)) = payload.as_section().filter(|_| depth == 1) {
            let data = &component[range.start as usize..range.end as usize];
            sealing.section(&mut out, id, data).map_err(|e| e.to_string())?;
        }
    }
    Ok(out.finish())
}

struct Sealing<'a> {
    seal: Seal<'a>,
    stand_in: &'a [u8],
    defined: Defined,
    /// Which component the stand-in became: those that were of that index and beyond are one further.
    added: Option<u32>,
    /// Which function or instance the export was: those beyond are one nearer.
    removed: Option<(ComponentExternalKind, u32)>,
}

/// How many of each there are so far, in the component that is read.
#[derive(Debug, Default)]
struct Defined {
    components: u32,
    instances: u32,
    functions: u32,
}

impl Defined {
    fn add(&mut self, kind: ComponentExternalKind) {
        match kind {
            ComponentExternalKind::Component => self.components += 1,
            ComponentExternalKind::Instance => self.instances += 1,
            ComponentExternalKind::Func => self.functions += 1,
            _ => {}
        }
    }
}

type Error = wasm_encoder::reencode::Error<std::convert::Infallible>;

impl Sealing<'_> {
    fn section(&mut self, out: &mut Component, id: u8, data: &[u8]) -> Result<(), Error> {
        const IMPORT: u8 = ComponentSectionId::Import as u8;
        const COMPONENT: u8 = ComponentSectionId::Component as u8;
        const INSTANCE: u8 = ComponentSectionId::Instance as u8;
        const ALIAS: u8 = ComponentSectionId::Alias as u8;
        const CANONICAL: u8 = ComponentSectionId::CanonicalFunction as u8;
        const EXPORT: u8 = ComponentSectionId::Export as u8;
        let reader = BinaryReader::new(data, 0);
        match id {
            IMPORT => return self.imports(out, data),
            EXPORT => return self.exports(out, data),
            INSTANCE => {
                self.again(out, data, component_utils::parse_component_instance_section)?;
                self.defined.instances += ComponentInstanceSectionReader::new(reader)?.count();
            }
            ALIAS => {
                self.again(out, data, component_utils::parse_component_alias_section)?;
                for alias in ComponentAliasSectionReader::new(reader)? {
                    if let ComponentAlias::InstanceExport { kind, .. } = alias? {
                        self.defined.add(kind);
                    }
                }
            }
            CANONICAL => {
                self.again(out, data, component_utils::parse_component_canonical_section)?;
                for function in ComponentCanonicalSectionReader::new(reader)? {
                    self.defined.functions += u32::from(matches!(function?, CanonicalFunction::Lift { .. }));
                }
            }
            _ => {
                self.defined.components += u32::from(id == COMPONENT);
                out.section(&RawSection { id, data });
            }
        }
        Ok(())
    }

    fn imports(&mut self, out: &mut Component, data: &[u8]) -> Result<(), Error> {
        let mut section = ComponentImportSection::new();
        for import in ComponentImportSectionReader::new(BinaryReader::new(data, 0))? {
            let import = import?;
            if self.seal.import.is_none_or(|(name, _)| name != import.name.name) {
                self.defined.add(import.ty.kind());
                section.import(import.name, self.component_type_ref(import.ty)?);
                continue;
            }
            write_unless_empty(out, &std::mem::take(&mut section));
            out.section(&RawSection { id: ComponentSectionId::Component as u8, data: self.stand_in });
            self.added = Some(self.defined.components);
            let mut instances = ComponentInstanceSection::new();
            instances.instantiate(self.defined.components, Vec::<(&str, ComponentExportKind, u32)>::new());
            out.section(&instances);
            self.defined.instances += 1;
        }
        write_unless_empty(out, &section);
        Ok(())
    }

    fn exports(&mut self, out: &mut Component, data: &[u8]) -> Result<(), Error> {
        let mut section = ComponentExportSection::new();
        for export in ComponentExportSectionReader::new(BinaryReader::new(data, 0))? {
            let export = export?;
            let kind = export.kind;
            match kind {
                ComponentExternalKind::Instance if self.seal.export == export.name.name => {
                    self.removed = Some((kind, self.defined.instances));
                }
                ComponentExternalKind::Func if self.seal.export == export.name.name => {
                    self.removed = Some((kind, self.defined.functions));
                }
                _ => component_utils::parse_component_export(self, &mut section, export)?,
            }
            self.defined.add(kind);
        }
        if !section.is_empty() {
            out.section(&section);
        }
        Ok(())
    }

    fn is_beyond(&self, kind: ComponentExternalKind, index: u32) -> bool {
        self.removed.is_some_and(|(removed, at)| removed == kind && index > at)
    }

    fn again<'a, T, S>(
        &mut self,
        out: &mut Component,
        data: &'a [u8],
        parse: fn(&mut Self, &mut S, SectionLimited<'a, T>) -> Result<(), Error>,
    ) -> Result<(), Error>
    where
        T: FromReader<'a>,
        S: Default + ComponentSection,
    {
        let mut section = S::default();
        parse(self, &mut section, SectionLimited::new(BinaryReader::new(data, 0))?)?;
        out.section(&section);
        Ok(())
    }
}

fn write_unless_empty(out: &mut Component, section: &ComponentImportSection) {
    if !section.is_empty() {
        out.section(section);
    }
}

impl Reencode for Sealing<'_> {
    type Error = std::convert::Infallible;
}

impl ReencodeComponent for Sealing<'_> {
    fn component_index(&mut self, index: u32) -> u32 {
        index + u32::from(self.added.is_some_and(|added| index >= added))
    }

    fn component_instance_index(&mut self, index: u32) -> u32 {
        index - u32::from(self.is_beyond(ComponentExternalKind::Instance, index))
    }

    fn component_func_index(&mut self, index: u32) -> u32 {
        index - u32::from(self.is_beyond(ComponentExternalKind::Func, index))
    }
}
