//! Types: how they are written where they are used, and how they are declared.

use std::fmt::Write as _;

use wit_parser::{Docs, Handle, Resolve, Type, TypeDefKind, TypeId};

use super::scope::{Scopes, resource};
use super::{ROOM, name};

/// Writes types for one namespace.
pub(super) struct Types<'a> {
    pub(super) resolve: &'a Resolve,
    pub(super) scopes: &'a Scopes,
    /// The namespace's path.
    pub(super) here: &'a [String],
}

impl Types<'_> {
    /// A type as it is used.
    pub(super) fn write(&self, ty: &Type) -> String {
        match ty {
            Type::Bool => "bool".to_owned(),
            Type::U8 => "u8".to_owned(),
            Type::U16 => "u16".to_owned(),
            Type::U32 => "u32".to_owned(),
            Type::U64 => "u64".to_owned(),
            Type::S8 => "i8".to_owned(),
            Type::S16 => "i16".to_owned(),
            Type::S32 => "i32".to_owned(),
            Type::S64 => "i64".to_owned(),
            Type::F32 => "f32".to_owned(),
            Type::F64 => "f64".to_owned(),
            Type::Char => "u21".to_owned(),
            Type::String => "[]const u8".to_owned(),
            Type::Id(id) if self.resolve.types[*id].name.is_some() => self.named(*id),
            Type::Id(id) => self.structure(*id),
            Type::ErrorContext => unreachable!("worlds with one are refused"),
        }
    }

    /// A type that may be missing.
    pub(super) fn optional(&self, ty: Option<&Type>) -> String {
        ty.map_or_else(|| "void".to_owned(), |ty| self.write(ty))
    }

    pub(super) fn named(&self, id: TypeId) -> String {
        self.scopes.type_path(self.resolve, id, self.here)
    }

    /// What a type without a name, or behind an alias, is made of.
    fn structure(&self, id: TypeId) -> String {
        match &self.resolve.types[id].kind {
            TypeDefKind::Type(ty) => self.write(ty),
            TypeDefKind::List(ty) => format!("[]const {}", self.write(ty)),
            TypeDefKind::Option(ty) => format!("?{}", self.write(ty)),
            TypeDefKind::Result(result) => {
                format!("Result({}, {})", self.optional(result.ok.as_ref()), self.optional(result.err.as_ref()))
            }
            TypeDefKind::Tuple(tuple) => {
                let types: Vec<String> = tuple.types.iter().map(|ty| self.write(ty)).collect();
                format!("struct {{ {} }}", types.join(", "))
            }
            TypeDefKind::Handle(Handle::Own(id)) => self.named(*id),
            TypeDefKind::Handle(Handle::Borrow(id)) => {
                let lent = self.named(*id);
                let owner = self.scopes.owner(self.resolve, resource(self.resolve, *id));
                match owner.is_some_and(|place| place.implemented.is_some()) {
                    true => format!("*{lent}.Value"),
                    false => format!("Borrowed({lent})"),
                }
            }
            _ => unreachable!("only what is declared has such a type"),
        }
    }

    /// The declaration of a named type that is no resource.
    pub(super) fn declare(&self, id: TypeId, indent: &str) -> String {
        let def = &self.resolve.types[id];
        let name = self.scopes.type_name(id);
        let mut text = docs(&def.docs, indent);
        match &def.kind {
            TypeDefKind::Record(record) => {
                writeln!(text, "{indent}pub const {name} = struct {{").expect(ROOM);
                for field in &record.fields {
                    let ty = self.write(&field.ty);
                    let default = if ty.starts_with('?') { " = null" } else { "" };
                    text += &docs(&field.docs, &format!("{indent}    "));
                    writeln!(text, "{indent}    {}: {ty}{default},", name::value(&field.name)).expect(ROOM);
                }
            }
            TypeDefKind::Variant(variant) => {
                writeln!(text, "{indent}pub const {name} = union(enum) {{").expect(ROOM);
                for case in &variant.cases {
                    let ty = case.ty.as_ref().map_or_else(String::new, |ty| format!(": {}", self.write(ty)));
                    text += &docs(&case.docs, &format!("{indent}    "));
                    writeln!(text, "{indent}    {}{ty},", name::value(&case.name)).expect(ROOM);
                }
            }
            TypeDefKind::Enum(cases) => {
                let tag = bits(cases.cases.len().saturating_sub(1).max(1).ilog2() as usize + 1);
                writeln!(text, "{indent}pub const {name} = enum(u{tag}) {{").expect(ROOM);
                for case in &cases.cases {
                    text += &docs(&case.docs, &format!("{indent}    "));
                    writeln!(text, "{indent}    {},", name::value(&case.name)).expect(ROOM);
                }
            }
            TypeDefKind::Flags(flags) => {
                let (n, width) = (flags.flags.len(), bits(flags.flags.len()));
                writeln!(text, "{indent}pub const {name} = packed struct(u{width}) {{").expect(ROOM);
                for flag in &flags.flags {
                    text += &docs(&flag.docs, &format!("{indent}    "));
                    writeln!(text, "{indent}    {}: bool = false,", name::value(&flag.name)).expect(ROOM);
                }
                if width > n {
                    writeln!(text, "{indent}    _: u{} = 0,", width - n).expect(ROOM);
                }
            }
            _ => {
                writeln!(text, "{indent}pub const {name} = {};", self.structure(id)).expect(ROOM);
                return text;
            }
        }
        writeln!(text, "{indent}}};").expect(ROOM);
        text
    }
}

/// The width of the integer that has room for this many bits.
const fn bits(n: usize) -> usize {
    match n {
        0..=8 => 8,
        9..=16 => 16,
        _ => 32,
    }
}

/// Documentation as comments.
pub(super) fn docs(docs: &Docs, indent: &str) -> String {
    let mut text = String::new();
    for line in docs.contents.iter().flat_map(|contents| contents.trim_end().lines()) {
        writeln!(text, "{}", format!("{indent}/// {line}").trim_end()).expect(ROOM);
    }
    text
}
