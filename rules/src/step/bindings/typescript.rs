//! TypeScript: what a program may import and what it must export, as declarations for the type checker and for editors.
//! Nothing of it is in the component.
//!
//! Values look as the engine makes them that runs inside the component, here QuickJS:
//!
//! | WIT | TypeScript |
//! |---|---|
//! | numbers | `number` |
//! | `char`, `string` | `string` |
//! | `list<u8>`, `list<T>` | `Uint8Array`, `T[]` |
//! | `option<T>` | `T \| null`; inside another option `{ tag: "some", val: T } \| { tag: "none" }` |
//! | `result<T, E>` of a function | returns `T`, throws `E` |
//! | `result<T, E>` elsewhere, `variant` | `{ tag: "case", val: T }` |
//! | `enum`, `flags`, `record`, `tuple` | `"a" \| "b"`, `{ a: boolean }`, `{ a: T }`, `[A, B]` |
//! | `resource` | `class` |
//!
//! In StarlingMonkey numbers of 64 bits are `bigint`, lists of numbers are arrays of their type (`Uint32Array`), and an option
//! that is empty is `undefined`.

use std::fmt::Write as _;

use wit_parser::{
    Function, FunctionKind, Handle, InterfaceId, Resolve, Type, TypeDefKind, TypeId, TypeOwner, WorldItem, WorldKey,
};

use super::super::StepError;
use super::super::compare::split_version;
use super::super::wit::World;
use super::names::{camel, pascal};
use super::{Files, canonical, check};

/// The file that declares the interfaces of a world, and the world itself.
pub const DECLARATIONS: &str = "world.d.ts";

/// The file that holds a program to its world.
pub const PROOF: &str = "world.proof.ts";

/// The module that the world's own functions are imported from.
const ROOT: &str = "$root";

/// Whose values are declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// QuickJS's.
    QuickJs,
    /// StarlingMonkey's.
    StarlingMonkey {
        /// Whether the program handles requests by listening for them, not by a function that it exports.
        listens: bool,
    },
}

/// Declarations for a world, and the proof that `entry`, a path as TypeScript imports it, implements that world.
///
/// # Errors
/// `unsupported-type` for what belongs to versions of WASI after 0.2.
pub fn generate(world: &World, name: &str, entry: &str, engine: Engine) -> Result<Files, StepError> {
    let (resolve, id) = canonical(world, name, false)?;
    check(world, "TypeScript")?;
    let mut text = Text { resolve: &resolve, engine, out: String::new() };
    text.out.push_str("// Written from the WIT of this component by `run v2 build`: don't edit it.\n");
    let items = &resolve.worlds[id];
    for (key, item) in items.imports.iter().chain(&items.exports) {
        if let WorldItem::Interface { id, .. } = item {
            let module = resolve.name_world_key(key);
            // One that is both imported and exported is declared once.
            if !text.out.contains(&opening(&module)) {
                text.interface(&module, *id);
            }
        }
    }
    text.out.push_str(GLOBALS);
    if matches!(engine, Engine::StarlingMonkey { .. }) {
        text.out.push_str(LISTENING);
    }
    text.root(items.imports.iter());
    text.world(items.exports.iter());
    let proof = format!(
        "// Says where the program is not what its world wants.\n\
         import * as program from {};\nimport type {{ World }} from \"run:world\";\n\
         program satisfies World;\n",
        serde_json::Value::from(entry)
    );
    Ok([(DECLARATIONS.to_owned(), text.out.into_bytes()), (PROOF.to_owned(), proof.into_bytes())].into())
}

/// What every program has besides the language itself. It says the same as `lib.dom.d.ts` as far as it goes, so that both may
/// be there.
const GLOBALS: &str = "\
interface Console {
  debug(...data: any[]): void;
  error(...data: any[]): void;
  info(...data: any[]): void;
  log(...data: any[]): void;
  warn(...data: any[]): void;
}
declare var console: Console;
interface SymbolConstructor {
  readonly dispose: unique symbol;
}
interface TextEncoder {
  readonly encoding: string;
  encode(input?: string): Uint8Array;
}
declare var TextEncoder: { prototype: TextEncoder; new (): TextEncoder };
interface TextDecoder {
  readonly encoding: string;
  decode(input?: any): string;
}
declare var TextDecoder: { prototype: TextDecoder; new (label?: string, options?: any): TextDecoder };
";

/// What a program for StarlingMonkey may have besides: the type of the event is the library's, as is all else of the web.
const LISTENING: &str =
    "declare function addEventListener(type: \"fetch\", listener: (event: FetchEvent) => void): void;\n";

fn opening(module: &str) -> String {
    format!("declare module \"{module}\" {{\n")
}

struct Text<'a> {
    resolve: &'a Resolve,
    engine: Engine,
    out: String,
}

impl Text<'_> {
    fn line(&mut self, indent: usize, line: &str) {
        // Writing to a text can't fail.
        let _ = writeln!(self.out, "{:indent$}{line}", "", indent = 2 * indent);
    }

    /// A module for an interface: its types, and its functions by name and, for `import math from`, together.
    fn interface(&mut self, module: &str, id: InterfaceId) {
        self.out.push_str(&opening(module));
        let interface = &self.resolve.interfaces[id];
        for (name, ty) in &interface.types {
            self.declare(1, name, *ty, interface.functions.values());
        }
        let free: Vec<&Function> = interface.functions.values().filter(|f| f.kind.resource().is_none()).collect();
        for function in &free {
            let name = camel(function.item_name());
            // A function called `delete` can only be reached through the whole.
            if !is_reserved(&name) {
                let signature = self.signature(function);
                self.line(1, &format!("export function {name}{signature};"));
            }
        }
        self.line(1, "const whole: {");
        for function in &free {
            let member = self.member(function);
            self.line(2, &member);
        }
        for name in self.resources(id) {
            self.line(2, &format!("{name}: typeof {name};"));
        }
        self.line(1, "};");
        self.line(1, "export default whole;");
        self.out.push_str("}\n");
    }

    fn resources(&self, id: InterfaceId) -> Vec<String> {
        // Those that it takes from other interfaces are not its own to offer.
        let is_own = |ty: &TypeId| matches!(self.resolve.types[*ty].kind, TypeDefKind::Resource);
        let types = self.resolve.interfaces[id].types.iter();
        types.filter(|(_, ty)| is_own(ty)).map(|(name, _)| pascal(name)).collect()
    }

    fn is_resource(&self, id: TypeId) -> bool {
        match &self.resolve.types[id].kind {
            TypeDefKind::Resource => true,
            TypeDefKind::Type(Type::Id(other)) => self.is_resource(*other),
            _ => false,
        }
    }

    /// The functions that a world imports by themselves.
    fn root<'w>(&mut self, imports: impl Iterator<Item = (&'w WorldKey, &'w WorldItem)>) {
        let functions: Vec<&Function> = imports
            .filter_map(|(_, item)| if let WorldItem::Function(function) = item { Some(function) } else { None })
            .collect();
        if functions.is_empty() {
            return;
        }
        self.out.push_str(&opening(ROOT));
        for function in functions {
            let signature = self.signature(function);
            self.line(1, &format!("export function {}{signature};", camel(function.item_name())));
        }
        self.out.push_str("}\n");
    }

    /// What a program must export, as one type.
    fn world<'w>(&mut self, exports: impl Iterator<Item = (&'w WorldKey, &'w WorldItem)>) {
        self.out.push_str(&opening("run:world"));
        self.line(1, "export interface World {");
        for (key, item) in exports {
            match item {
                WorldItem::Function(function) => {
                    let member = self.member(function);
                    self.line(2, &member);
                }
                WorldItem::Interface { .. } if self.is_listened_for(key) => {}
                WorldItem::Interface { id, .. } => {
                    let short = match key {
                        WorldKey::Name(name) => name.as_str(),
                        WorldKey::Interface(_) => self.resolve.interfaces[*id].name.as_deref().unwrap_or_default(),
                    };
                    let module = self.resolve.name_world_key(key);
                    self.line(2, &format!("{}: typeof import(\"{module}\").default;", camel(short)));
                }
                WorldItem::Type { .. } => {}
            }
        }
        self.line(1, "}");
        self.out.push_str("}\n");
    }

    /// Whether a program has not this interface, but listens.
    fn is_listened_for(&self, key: &WorldKey) -> bool {
        self.engine == (Engine::StarlingMonkey { listens: true })
            && split_version(&self.resolve.name_world_key(key)).0 == "wasi:http/incoming-handler"
    }

    fn declare<'f>(&mut self, indent: usize, name: &str, id: TypeId, functions: impl Iterator<Item = &'f Function>) {
        let name = pascal(name);
        let ty = &self.resolve.types[id];
        match &ty.kind {
            TypeDefKind::Resource => self.class(indent, &name, id, functions),
            TypeDefKind::Type(Type::Id(other)) if self.is_resource(id) => {
                let of = self.named(*other);
                self.line(indent, &format!("export type {name} = {of};"));
                self.line(indent, &format!("export const {name}: typeof {of};"));
            }
            TypeDefKind::Record(record) => {
                self.line(indent, &format!("export interface {name} {{"));
                for field in &record.fields {
                    let field = format!("{}: {};", camel(&field.name), self.ty(&field.ty));
                    self.line(indent + 1, &field);
                }
                self.line(indent, "}");
            }
            _ => {
                let shape = self.shape(&ty.kind);
                self.line(indent, &format!("export type {name} = {shape};"));
            }
        }
    }

    fn class<'f>(&mut self, indent: usize, name: &str, id: TypeId, functions: impl Iterator<Item = &'f Function>) {
        self.line(indent, &format!("export class {name} {{"));
        for function in functions.filter(|function| function.kind.resource() == Some(id)) {
            let line = match function.kind {
                FunctionKind::Constructor(_) => format!("constructor({});", self.params(function)),
                FunctionKind::Static(_) | FunctionKind::AsyncStatic(_) => format!("static {}", self.member(function)),
                _ => self.member(function),
            };
            self.line(indent + 1, &line);
        }
        self.line(indent + 1, "[Symbol.dispose]?(): void;");
        self.line(indent, "}");
    }

    /// `addAll(values: number[]): number;`
    fn member(&self, function: &Function) -> String {
        format!("{}{};", camel(function.item_name()), self.signature(function))
    }

    fn signature(&self, function: &Function) -> String {
        let result = match function.result {
            None => "void".to_owned(),
            // What a function fails with is thrown.
            Some(Type::Id(id)) if let TypeDefKind::Result(result) = &self.resolve.types[id].kind => {
                result.ok.as_ref().map_or_else(|| "void".to_owned(), |ok| self.ty(ok))
            }
            Some(ty) => self.ty(&ty),
        };
        format!("({}): {result}", self.params(function))
    }

    fn params(&self, function: &Function) -> String {
        // What a method is called on is no parameter of it.
        let skipped = usize::from(matches!(function.kind, FunctionKind::Method(_) | FunctionKind::AsyncMethod(_)));
        let params = function.params[skipped..].iter();
        let text = |param: &wit_parser::Param| {
            let name = camel(&param.name);
            let name = if is_reserved(&name) { format!("{name}_") } else { name };
            format!("{name}: {}", self.ty(&param.ty))
        };
        params.map(text).collect::<Vec<_>>().join(", ")
    }

    fn ty(&self, ty: &Type) -> String {
        match ty {
            Type::Bool => "boolean".to_owned(),
            Type::Char | Type::String => "string".to_owned(),
            Type::Id(id) => self.named(*id),
            Type::U64 | Type::S64 if self.engine != Engine::QuickJs => "bigint".to_owned(),
            // `check` has refused what is no number.
            _ => "number".to_owned(),
        }
    }

    /// The array that a list of these is, where it is one of numbers.
    fn array(&self, ty: &Type) -> Option<&'static str> {
        match (ty, self.engine) {
            (Type::U8, _) => Some("Uint8Array"),
            (_, Engine::QuickJs) => None,
            (Type::S8, _) => Some("Int8Array"),
            (Type::U16, _) => Some("Uint16Array"),
            (Type::S16, _) => Some("Int16Array"),
            (Type::U32, _) => Some("Uint32Array"),
            (Type::S32, _) => Some("Int32Array"),
            (Type::U64, _) => Some("BigUint64Array"),
            (Type::S64, _) => Some("BigInt64Array"),
            (Type::F32, _) => Some("Float32Array"),
            (Type::F64, _) => Some("Float64Array"),
            (Type::Id(id), _) => match &self.resolve.types[*id].kind {
                TypeDefKind::Type(ty) => self.array(ty),
                _ => None,
            },
            _ => None,
        }
    }

    /// A type by its name, from wherever that is declared; one without a name by what it is.
    fn named(&self, id: TypeId) -> String {
        let ty = &self.resolve.types[id];
        match (&ty.name, ty.owner) {
            (Some(name), TypeOwner::Interface(owner)) => {
                let module = self.resolve.id_of(owner).unwrap_or_default();
                format!("import(\"{module}\").{}", pascal(name))
            }
            _ => self.shape(&ty.kind),
        }
    }

    fn shape(&self, kind: &TypeDefKind) -> String {
        let tagged = |tag: &str, ty: Option<&Type>| match ty {
            Some(ty) => format!("{{ tag: \"{tag}\"; val: {} }}", self.ty(ty)),
            None => format!("{{ tag: \"{tag}\" }}"),
        };
        let either = |cases: Vec<String>| cases.join(" | ");
        match kind {
            TypeDefKind::List(ty) => self.array(ty).map_or_else(|| format!("Array<{}>", self.ty(ty)), str::to_owned),
            TypeDefKind::Option(ty) if self.is_option(ty) => {
                either(vec![tagged("some", Some(ty)), tagged("none", None)])
            }
            TypeDefKind::Option(ty) => match self.engine {
                Engine::QuickJs => format!("{} | null", self.ty(ty)),
                Engine::StarlingMonkey { .. } => format!("{} | undefined", self.ty(ty)),
            },
            TypeDefKind::Tuple(tuple) => {
                format!("[{}]", tuple.types.iter().map(|ty| self.ty(ty)).collect::<Vec<_>>().join(", "))
            }
            TypeDefKind::Result(result) => {
                either(vec![tagged("ok", result.ok.as_ref()), tagged("err", result.err.as_ref())])
            }
            TypeDefKind::Variant(variant) => {
                either(variant.cases.iter().map(|case| tagged(&case.name, case.ty.as_ref())).collect())
            }
            TypeDefKind::Enum(cases) => either(cases.cases.iter().map(|case| format!("\"{}\"", case.name)).collect()),
            TypeDefKind::Flags(flags) => {
                let flags: Vec<_> = flags.flags.iter().map(|flag| format!("{}?: boolean", camel(&flag.name))).collect();
                format!("{{ {} }}", flags.join("; "))
            }
            TypeDefKind::Record(record) => {
                let field = |field: &wit_parser::Field| format!("{}: {}", camel(&field.name), self.ty(&field.ty));
                format!("{{ {} }}", record.fields.iter().map(field).collect::<Vec<_>>().join("; "))
            }
            TypeDefKind::Handle(Handle::Own(id) | Handle::Borrow(id)) => self.named(*id),
            TypeDefKind::Type(ty) => self.ty(ty),
            // `check` has refused the rest.
            _ => "never".to_owned(),
        }
    }

    fn is_option(&self, ty: &Type) -> bool {
        match ty {
            Type::Id(id) => match &self.resolve.types[*id].kind {
                TypeDefKind::Option(_) => true,
                TypeDefKind::Type(ty) => self.is_option(ty),
                _ => false,
            },
            _ => false,
        }
    }
}

/// The words that can be no name of a function or parameter.
fn is_reserved(name: &str) -> bool {
    const WORDS: &[&str] = &[
        "arguments",
        "await",
        "break",
        "case",
        "catch",
        "class",
        "const",
        "continue",
        "debugger",
        "default",
        "delete",
        "do",
        "else",
        "enum",
        "eval",
        "export",
        "extends",
        "false",
        "finally",
        "for",
        "function",
        "if",
        "implements",
        "import",
        "in",
        "instanceof",
        "interface",
        "let",
        "new",
        "null",
        "package",
        "private",
        "protected",
        "public",
        "return",
        "static",
        "super",
        "switch",
        "this",
        "throw",
        "true",
        "try",
        "typeof",
        "var",
        "void",
        "while",
        "with",
        "yield",
    ];
    WORDS.contains(&name)
}
