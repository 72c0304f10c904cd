//! The Python modules of a world: `wit_world` with its `imports` and `exports`, and the module that is loaded first.
//!
//! Imported functions call the interpreter by number; exported ones are abstract methods of classes for a program to derive
//! from. Types are dataclasses, enumerations and flags of the standard library. Names and shapes are those that programs
//! written for `componentize-py` use.
//!
//! An [editor](Reader::Editor) reads the same modules with types, which the interpreter has no use for, and without bodies.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use wit_parser_v2::{Function, FunctionKind, InterfaceId, Type, TypeDefKind, TypeId, TypeOwner};

use super::annotations;
use super::bound::{Bound, Direction, PACKAGE, class_of, function_name, name_of};
use crate::step::bindings::names::snake;

/// The module that is loaded first: it loads the program and proves that it has what the world exports.
pub(super) const ENTRY: &str = "run_entry";

/// What every module begins with.
const HEADER: &str = "\
import weakref
from abc import abstractmethod
from dataclasses import dataclass
from enum import Enum, Flag, auto
from typing import Any, Protocol, Union

import componentize_py_runtime
from componentize_py_types import Err, Ok, Result, Some

";

/// What every module for an editor begins with.
const EDITOR_HEADER: &str = "\
# Made from the WIT of this component by every build: changes to this file are lost.
from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from enum import Enum, Flag, auto
from types import TracebackType
from typing import Any, Protocol, Self, Union

from componentize_py_types import Err, Ok, Result, Some
";

/// Who reads a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    Interpreter,
    Editor,
}

/// A module that is being written.
struct Module<'a> {
    bound: &'a Bound,
    reader: Reader,
    /// Its name, as others import it.
    name: String,
    text: String,
}

/// A function that a world exports and where a program has it.
pub(super) struct Promise {
    /// From the program's module on.
    path: Vec<String>,
    /// What is said when it is not there.
    pub(super) message: String,
}

/// Every module, by its path.
pub(super) fn modules(bound: &Bound, reader: Reader) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut add = |path: &str, module: Module<'_>| files.insert(format!("{PACKAGE}/{path}"), module.whole());
    let module = |name: &str| Module { bound, reader, name: format!("{PACKAGE}{name}"), text: String::new() };
    for (id, name) in &bound.imports {
        let name = name_of(name);
        let mut interface = module(&format!(".imports.{name}"));
        interface.types(TypeOwner::Interface(*id), Direction::Import);
        for function in bound.functions(Direction::Import, Some(*id)) {
            if Bound::resource_of(function).is_none() {
                interface.import(Some(*id), function, "");
            }
        }
        add(&format!("imports/{name}.py"), interface);
    }
    let mut protocols = module(".exports");
    for (id, name) in &bound.exports {
        let mut interface = module(&format!(".exports.{}", name_of(name)));
        if let Some(imported) = bound.imports.get(id) {
            interface.line(&format!("from ..imports.{} import *\n", name_of(imported)));
        }
        interface.types(TypeOwner::Interface(*id), Direction::Export);
        add(&format!("exports/{}.py", name_of(name)), interface);
        let functions = bound.functions(Direction::Export, Some(*id));
        protocols.protocol(&class_of(name), functions.iter().copied().filter(|f| Bound::resource_of(f).is_none()));
    }
    add("exports/__init__.py", protocols);
    let mut world = module("");
    world.types(TypeOwner::World(bound.world), Direction::Export);
    for function in bound.functions(Direction::Import, None) {
        world.import(None, function, "");
    }
    world.protocol(&class_of("wit-world"), bound.functions(Direction::Export, None).into_iter());
    add("__init__.py", world);
    files.insert(format!("{PACKAGE}/imports/__init__.py"), String::new());
    files
}

impl Module<'_> {
    /// The text with what it needs of other modules.
    fn whole(self) -> String {
        match self.reader {
            Reader::Interpreter => format!("{HEADER}{}", self.text),
            Reader::Editor => {
                let others = self.bound.modules().map(|module| format!("{PACKAGE}.{module}"));
                let used = [PACKAGE.to_owned()]
                    .into_iter()
                    .chain(others)
                    .filter(|module| self.text.contains(&format!("{module}.")));
                let used: String = used.map(|module| format!("import {module}\n")).collect();
                format!("{EDITOR_HEADER}{used}\n{}", self.text)
            }
        }
    }

    fn line(&mut self, line: &str) {
        writeln!(self.text, "{line}").expect("strings grow");
    }

    /// The named types of an interface or of the world.
    fn types(&mut self, owner: TypeOwner, of: Direction) {
        let bound = self.bound;
        let is_imported = matches!(owner, TypeOwner::Interface(id) if bound.imports.contains_key(&id));
        for (id, ty) in bound.resolve.types.iter().filter(|(_, ty)| ty.owner == owner && ty.name.is_some()) {
            let name = class_of(ty.name.as_deref().expect("only those with a name"));
            // What an interface has in both directions is in the module of the imported one.
            let is_shared = of == Direction::Export && is_imported;
            match &ty.kind {
                TypeDefKind::Resource if of == Direction::Import => self.resource(&name, id),
                TypeDefKind::Resource => {
                    let of_resource = |function: &&Function| Bound::resource_of(function) == Some(id);
                    let interface = match owner {
                        TypeOwner::Interface(interface) => Some(interface),
                        _ => None,
                    };
                    let functions = bound.functions(Direction::Export, interface);
                    self.protocol(&name, functions.into_iter().filter(of_resource));
                }
                _ if is_shared => {}
                TypeDefKind::Record(record) => {
                    self.dataclass(&name, record.fields.iter().map(|field| (name_of(&field.name), &field.ty)));
                }
                TypeDefKind::Variant(variant) => {
                    let case_name = |case: &wit_parser_v2::Case| format!("{name}_{}", class_of(&case.name));
                    for case in &variant.cases {
                        self.dataclass(&case_name(case), case.ty.iter().map(|ty| ("value".to_owned(), ty)));
                    }
                    let cases: Vec<String> = variant.cases.iter().map(case_name).collect();
                    self.line(&format!("{name} = Union[{}]\n", cases.join(", ")));
                }
                TypeDefKind::Enum(cases) => {
                    let cases = cases.cases.iter().enumerate();
                    let cases = cases.map(|(number, case)| format!("{} = {number}", shouted(&case.name)));
                    self.class(&format!("class {name}(Enum):"), cases);
                }
                TypeDefKind::Flags(flags) => {
                    let flags = flags.flags.iter().map(|flag| format!("{} = auto()", shouted(&flag.name)));
                    self.class(&format!("class {name}(Flag):"), flags);
                }
                TypeDefKind::Type(Type::Id(target)) => self.alias(&name, owner, *target),
                _ => {}
            }
        }
    }

    /// A second name for a type that has a class.
    fn alias(&mut self, name: &str, owner: TypeOwner, target: TypeId) {
        let target = self.bound.behind(target);
        let ty = &self.bound.resolve.types[target];
        if !self.bound.has_class(target) {
            return;
        }
        let (module, original) = self.bound.place(target);
        if ty.owner == owner {
            self.line(&format!("{name} = {original}\n"));
        } else if let TypeOwner::Interface(_) = ty.owner {
            self.line(&format!("from {module} import {original} as {name}\n"));
        }
    }

    fn class(&mut self, head: &str, lines: impl Iterator<Item = String>) {
        let mut body: String = lines.map(|line| format!("    {line}\n")).collect();
        if body.is_empty() {
            body.push_str("    pass\n");
        }
        self.line(&format!("{head}\n{body}"));
    }

    fn dataclass<'t>(&mut self, name: &str, fields: impl Iterator<Item = (String, &'t Type)>) {
        let fields: Vec<String> = fields
            .map(|(field, ty)| match self.reader {
                Reader::Interpreter => format!("{field}: Any"),
                Reader::Editor => format!("{field}: {}", self.annotation(ty)),
            })
            .collect();
        self.class(&format!("@dataclass\nclass {name}:"), fields.into_iter());
    }

    /// A class to derive from.
    fn protocol<'f>(&mut self, name: &str, functions: impl Iterator<Item = &'f Function>) {
        let methods = functions.flat_map(|function| {
            let (decorator, own) = match function.kind {
                FunctionKind::Static(_) => (Some("@classmethod".to_owned()), Some("cls")),
                FunctionKind::Method(_) => (None, None),
                _ => (None, Some("self")),
            };
            let head = self.head(own, function);
            let body = "    raise NotImplementedError".to_owned();
            decorator.into_iter().chain(["@abstractmethod".to_owned(), head, body])
        });
        let methods: Vec<String> = methods.collect();
        self.class(&format!("class {name}(Protocol):"), methods.into_iter());
    }

    /// How a function begins. A method's first parameter is its own, `self`.
    fn head(&self, own: Option<&str>, function: &Function) -> String {
        let is_method = matches!(function.kind, FunctionKind::Method(_));
        let of_function = function.params.iter().enumerate().map(|(number, parameter)| {
            let name = name_of(&parameter.name);
            match self.reader {
                Reader::Editor if !(is_method && number == 0) => format!("{name}: {}", self.annotation(&parameter.ty)),
                _ => name,
            }
        });
        let all: Vec<String> = own.map(str::to_owned).into_iter().chain(of_function).collect();
        let returned = match self.reader {
            Reader::Interpreter => String::new(),
            Reader::Editor => format!(" -> {}", annotations::returned(self.bound, &self.name, function)),
        };
        format!("def {}({}){returned}:", function_name(function), all.join(", "))
    }

    fn annotation(&self, ty: &Type) -> String {
        annotations::of_type(self.bound, &self.name, ty)
    }

    /// A function that calls what is imported.
    fn import(&mut self, interface: Option<InterfaceId>, function: &Function, indent: &str) {
        let is_static = matches!(function.kind, FunctionKind::Static(_));
        if is_static {
            self.line(&format!("{indent}@classmethod"));
        }
        let head = self.head(is_static.then_some("cls"), function);
        self.line(&format!("{indent}{head}"));
        if self.reader == Reader::Editor {
            self.line(&format!("{indent}    ...\n"));
            return;
        }
        let call = self.call(interface, function);
        let lines: &[&str] = if self.bound.is_result(function) {
            &["if isinstance(result, Err):", "    raise result", "return result.value"]
        } else {
            &["return result"]
        };
        self.line(&format!("{indent}    result = {call}"));
        for line in lines {
            self.line(&format!("{indent}    {line}"));
        }
        self.text.push('\n');
    }

    fn call(&self, interface: Option<InterfaceId>, function: &Function) -> String {
        let number = self.bound.import_number(interface, function);
        format!("componentize_py_runtime.call_import({number}, [{}])", parameters(function).join(", "))
    }

    /// The class of an imported resource. The interpreter gives each instance a `handle` and a `finalizer` that drops it.
    fn resource(&mut self, name: &str, id: TypeId) {
        let interface = match self.bound.resolve.types[id].owner {
            TypeOwner::Interface(interface) => Some(interface),
            _ => None,
        };
        self.line(&format!("class {name}:"));
        let bound = self.bound;
        for function in bound.functions(Direction::Import, interface) {
            if Bound::resource_of(function) != Some(id) {
                continue;
            }
            match function.kind {
                FunctionKind::Constructor(_) => self.constructor(interface, function),
                _ => self.import(interface, function, "    "),
            }
        }
        self.text.push_str(match self.reader {
            Reader::Interpreter => LEAVING,
            Reader::Editor => EDITOR_LEAVING,
        });
    }

    fn constructor(&mut self, interface: Option<InterfaceId>, function: &Function) {
        let head = self.head(Some("self"), function);
        let body = match self.reader {
            Reader::Editor => "        ...\n".to_owned(),
            Reader::Interpreter => format!(
                "        made = {}
        _, drop, arguments, _ = made.finalizer.detach()
        self.handle = made.handle
        self.finalizer = weakref.finalize(self, drop, arguments[0], arguments[1])
",
                self.call(interface, function)
            ),
        };
        self.line(&format!("    {head}\n{body}"));
    }
}

/// How a resource is given back: by `with`.
const LEAVING: &str = "    def __enter__(self):
        return self

    def __exit__(self, *_):
        _, drop, arguments, _ = self.finalizer.detach()
        self.handle = None
        drop(arguments[0], arguments[1])

";

/// The same for an editor.
const EDITOR_LEAVING: &str = "    def __enter__(self) -> Self:
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None
    ) -> bool | None:
        ...

";

fn shouted(kebab: &str) -> String {
    snake(kebab).to_uppercase()
}

/// The parameters of a function; a method's first is `self`.
fn parameters(function: &Function) -> Vec<String> {
    function.params.iter().map(|parameter| name_of(&parameter.name)).collect()
}

/// What the world exports, and the module that loads `program` and looks for it there.
pub(super) fn entry(bound: &Bound, program: &str) -> (Vec<Promise>, String) {
    let mut promises = Vec::new();
    for (id, name) in &bound.exports {
        for function in bound.functions(Direction::Export, Some(*id)) {
            let owner = format!("`{}`", bound.resolve.id_of(*id).unwrap_or_else(|| name.clone()));
            promises.push(promise(bound, program, &owner, class_of(name), function));
        }
    }
    for function in bound.functions(Direction::Export, None) {
        promises.push(promise(bound, program, "the world", class_of("wit-world"), function));
    }
    let rows: Vec<serde_json::Value> = promises.iter().map(|promise| serde_json::json!(promise.path)).collect();
    let text = include_str!("entry.py")
        .replace("PROGRAM", &serde_json::Value::from(program).to_string())
        .replace("PROMISES", &serde_json::Value::from(rows).to_string());
    (promises, text)
}

fn promise(bound: &Bound, program: &str, owner: &str, class: String, function: &Function) -> Promise {
    let class = match Bound::resource_of(function) {
        Some(id) => bound.place(id).1,
        None => class,
    };
    let name = function_name(function);
    let message = format!("{program}: {owner} exports `{}`, but this module has no `{class}.{name}`", function.name);
    Promise { path: vec![class, name], message }
}
