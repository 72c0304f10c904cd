//! The Python modules of a world: `wit_world` with its `imports` and `exports`, and the module that is loaded first.
//!
//! Imported functions call the interpreter by number; exported ones are abstract methods of classes for a program to derive
//! from. Types are dataclasses, enumerations and flags of the standard library. Names and shapes are those that programs
//! written for `componentize-py` use.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use wit_parser_v2::{Function, FunctionKind, InterfaceId, Type, TypeDefKind, TypeId, TypeOwner};

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

/// A function that a world exports and where a program has it.
pub(super) struct Promise {
    /// From the program's module on.
    path: Vec<String>,
    /// What is said when it is not there.
    pub(super) message: String,
}

/// Every module, by its path.
pub(super) fn modules(bound: &Bound) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut add = |path: &str, text: String| files.insert(format!("{PACKAGE}/{path}"), text);
    for (id, name) in &bound.imports {
        let mut text = HEADER.to_owned();
        types(bound, &mut text, TypeOwner::Interface(*id), Direction::Import);
        for function in bound.functions(Direction::Import, Some(*id)) {
            if Bound::resource_of(function).is_none() {
                import(bound, &mut text, Some(*id), function, "");
            }
        }
        add(&format!("imports/{}.py", name_of(name)), text);
    }
    let mut protocols = HEADER.to_owned();
    for (id, name) in &bound.exports {
        let mut text = HEADER.to_owned();
        if let Some(imported) = bound.imports.get(id) {
            writeln!(text, "from ..imports.{} import *\n", name_of(imported)).expect("strings grow");
        }
        types(bound, &mut text, TypeOwner::Interface(*id), Direction::Export);
        add(&format!("exports/{}.py", name_of(name)), text);
        let functions = bound.functions(Direction::Export, Some(*id));
        protocol(
            &mut protocols,
            &class_of(name),
            functions.iter().copied().filter(|f| Bound::resource_of(f).is_none()),
        );
    }
    add("imports/__init__.py", String::new());
    add("exports/__init__.py", protocols);
    let mut text = HEADER.to_owned();
    types(bound, &mut text, TypeOwner::World(bound.world), Direction::Export);
    for function in bound.functions(Direction::Import, None) {
        import(bound, &mut text, None, function, "");
    }
    protocol(&mut text, &class_of("wit-world"), bound.functions(Direction::Export, None).into_iter());
    add("__init__.py", text);
    files
}

/// The named types of an interface or of the world.
fn types(bound: &Bound, text: &mut String, owner: TypeOwner, of: Direction) {
    let is_imported = matches!(owner, TypeOwner::Interface(id) if bound.imports.contains_key(&id));
    for (id, ty) in bound.resolve.types.iter().filter(|(_, ty)| ty.owner == owner && ty.name.is_some()) {
        let name = class_of(ty.name.as_deref().expect("only those with a name"));
        // What an interface has in both directions is in the module of the imported one.
        let is_shared = of == Direction::Export && is_imported;
        match &ty.kind {
            TypeDefKind::Resource if of == Direction::Import => resource(bound, text, &name, id),
            TypeDefKind::Resource => {
                let of_resource = |function: &&Function| Bound::resource_of(function) == Some(id);
                let interface = match owner {
                    TypeOwner::Interface(interface) => Some(interface),
                    _ => None,
                };
                let functions = bound.functions(Direction::Export, interface);
                protocol(text, &name, functions.into_iter().filter(of_resource));
            }
            _ if is_shared => {}
            TypeDefKind::Record(record) => {
                dataclass(text, &name, record.fields.iter().map(|field| name_of(&field.name)));
            }
            TypeDefKind::Variant(variant) => {
                let case_name = |case: &wit_parser_v2::Case| format!("{name}_{}", class_of(&case.name));
                for case in &variant.cases {
                    dataclass(text, &case_name(case), case.ty.iter().map(|_| "value".to_owned()));
                }
                let cases: Vec<String> = variant.cases.iter().map(case_name).collect();
                writeln!(text, "{name} = Union[{}]\n", cases.join(", ")).expect("strings grow");
            }
            TypeDefKind::Enum(cases) => {
                let cases = cases.cases.iter().enumerate();
                let cases = cases.map(|(number, case)| format!("{} = {number}", shouted(&case.name)));
                class(text, &format!("class {name}(Enum):"), cases);
            }
            TypeDefKind::Flags(flags) => {
                let flags = flags.flags.iter().map(|flag| format!("{} = auto()", shouted(&flag.name)));
                class(text, &format!("class {name}(Flag):"), flags);
            }
            TypeDefKind::Type(Type::Id(target)) => alias(bound, text, &name, owner, *target),
            _ => {}
        }
    }
}

/// A second name for a type that has a class.
fn alias(bound: &Bound, text: &mut String, name: &str, owner: TypeOwner, mut target: TypeId) {
    while let TypeDefKind::Type(Type::Id(further)) = bound.resolve.types[target].kind {
        target = further;
    }
    let ty = &bound.resolve.types[target];
    let has_class = matches!(
        ty.kind,
        TypeDefKind::Record(_)
            | TypeDefKind::Variant(_)
            | TypeDefKind::Enum(_)
            | TypeDefKind::Flags(_)
            | TypeDefKind::Resource
    );
    if !has_class || ty.name.is_none() {
        return;
    }
    let (module, original) = bound.place(target);
    if ty.owner == owner {
        writeln!(text, "{name} = {original}\n").expect("strings grow");
    } else if let TypeOwner::Interface(_) = ty.owner {
        writeln!(text, "from {module} import {original} as {name}\n").expect("strings grow");
    }
}

fn shouted(kebab: &str) -> String {
    snake(kebab).to_uppercase()
}

fn class(text: &mut String, head: &str, lines: impl Iterator<Item = String>) {
    let mut body: String = lines.map(|line| format!("    {line}\n")).collect();
    if body.is_empty() {
        body.push_str("    pass\n");
    }
    writeln!(text, "{head}\n{body}").expect("strings grow");
}

fn dataclass(text: &mut String, name: &str, fields: impl Iterator<Item = String>) {
    class(text, &format!("@dataclass\nclass {name}:"), fields.map(|field| format!("{field}: Any")));
}

/// A class to derive from.
fn protocol<'a>(text: &mut String, name: &str, functions: impl Iterator<Item = &'a Function>) {
    let methods = functions.flat_map(|function| {
        let (decorator, own) = match function.kind {
            FunctionKind::Static(_) => (Some("@classmethod".to_owned()), Some("cls")),
            FunctionKind::Method(_) => (None, None),
            _ => (None, Some("self")),
        };
        let parameters: Vec<String> = own.map(str::to_owned).into_iter().chain(parameters(function)).collect();
        let head = format!("def {}({}):", function_name(function), parameters.join(", "));
        let body = "    raise NotImplementedError".to_owned();
        decorator.into_iter().chain(["@abstractmethod".to_owned(), head, body])
    });
    class(text, &format!("class {name}(Protocol):"), methods);
}

/// The parameters of a function; a method's first is `self`.
fn parameters(function: &Function) -> Vec<String> {
    function.params.iter().map(|parameter| name_of(&parameter.name)).collect()
}

/// A function that calls what is imported.
fn import(bound: &Bound, text: &mut String, interface: Option<InterfaceId>, function: &Function, indent: &str) {
    let arguments = parameters(function);
    let mut parameters = arguments.clone();
    if let FunctionKind::Static(_) = function.kind {
        writeln!(text, "{indent}@classmethod").expect("strings grow");
        parameters.insert(0, "cls".to_owned());
    }
    let call = call(bound, interface, function, &arguments);
    let name = function_name(function);
    writeln!(text, "{indent}def {name}({}):", parameters.join(", ")).expect("strings grow");
    let lines: &[&str] = if bound.is_result(function) {
        &["if isinstance(result, Err):", "    raise result", "return result.value"]
    } else {
        &["return result"]
    };
    writeln!(text, "{indent}    result = {call}").expect("strings grow");
    for line in lines {
        writeln!(text, "{indent}    {line}").expect("strings grow");
    }
    text.push('\n');
}

fn call(bound: &Bound, interface: Option<InterfaceId>, function: &Function, arguments: &[String]) -> String {
    let number = bound.import_number(interface, function);
    format!("componentize_py_runtime.call_import({number}, [{}])", arguments.join(", "))
}

/// The class of an imported resource. The interpreter gives each instance a `handle` and a `finalizer` that drops it.
fn resource(bound: &Bound, text: &mut String, name: &str, id: TypeId) {
    let interface = match bound.resolve.types[id].owner {
        TypeOwner::Interface(interface) => Some(interface),
        _ => None,
    };
    writeln!(text, "class {name}:").expect("strings grow");
    for function in bound.functions(Direction::Import, interface) {
        if Bound::resource_of(function) != Some(id) {
            continue;
        }
        if let FunctionKind::Constructor(_) = function.kind {
            let arguments = parameters(function);
            let parameters: Vec<&str> = ["self"].into_iter().chain(arguments.iter().map(String::as_str)).collect();
            let call = call(bound, interface, function, &arguments);
            write!(
                text,
                "    def __init__({}):
        made = {call}
        _, drop, arguments, _ = made.finalizer.detach()
        self.handle = made.handle
        self.finalizer = weakref.finalize(self, drop, arguments[0], arguments[1])

",
                parameters.join(", ")
            )
            .expect("strings grow");
        } else {
            import(bound, text, interface, function, "    ");
        }
    }
    text.push_str(
        "    def __enter__(self):
        return self

    def __exit__(self, *_):
        _, drop, arguments, _ = self.finalizer.detach()
        self.handle = None
        drop(arguments[0], arguments[1])

",
    );
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
