//! Exported functions, and finding the one that was meant.

use std::fmt;

use wasmtime::component::Component;
use wasmtime::component::types::{ComponentFunc, ComponentItem};

use super::types::signature;
use crate::diagnostic::{Diagnostic, suggest};

/// A function a component exports, of its world or of one of its interfaces.
#[derive(Debug, Clone)]
pub struct Function {
    interface: Option<String>,
    name: String,
    ty: ComponentFunc,
}

impl Function {
    pub(super) fn new(interface: Option<&str>, name: &str, ty: ComponentFunc) -> Self {
        Self { interface: interface.map(str::to_owned), name: name.to_owned(), ty }
    }

    /// The interface's full name, `demo:calc/math@1.0.0`, or nothing for a function of the world.
    #[must_use]
    pub fn interface(&self) -> Option<&str> {
        self.interface.as_deref()
    }

    /// The function's own name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Parameters and result.
    #[must_use]
    pub fn ty(&self) -> &ComponentFunc {
        &self.ty
    }

    /// The function as WIT would declare it.
    #[must_use]
    pub fn signature(&self) -> String {
        signature(&self.name, &self.ty)
    }

    /// Whether `written` names this function: `add`, `math.add`, `demo:calc/math#add`, `demo:calc/math@1.0.0#add`.
    fn is_named(&self, written: &str) -> bool {
        if written == self.name {
            return true;
        }
        let Some(full) = &self.interface else { return false };
        let Some(interface) = written.strip_suffix(self.name.as_str()).and_then(|rest| rest.strip_suffix(['#', '.']))
        else {
            return false;
        };
        let unversioned = full.split_once('@').map_or(full.as_str(), |(name, _)| name);
        let short = unversioned.rsplit_once('/').map_or(unversioned, |(_, name)| name);
        [full, unversioned, short].contains(&interface)
    }
}

/// The name that is never ambiguous: `add`, or `demo:calc/math@1.0.0#add`.
impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.interface {
            Some(interface) => write!(f, "{interface}#{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// All functions a component exports that can be called by name, in the component's order. Methods, constructors and
/// static functions of resources are left out: without a resource to call them on they are of no use.
#[must_use]
pub fn functions(component: &Component) -> Vec<Function> {
    let engine = component.engine();
    let ty = component.component_type();
    let mut functions = Vec::new();
    let mut add = |interface: Option<&str>, name: &str, item: ComponentItem| {
        if let ComponentItem::ComponentFunc(ty) = item
            && !name.starts_with('[')
        {
            functions.push(Function::new(interface, name, ty));
        }
    };
    for (name, export) in ty.exports(engine) {
        match export.ty {
            ComponentItem::ComponentInstance(instance) => {
                instance.exports(engine).for_each(|(function, item)| add(Some(name), function, item.ty));
            }
            item => add(None, name, item),
        }
    }
    functions
}

/// The functions that are tests by their name: `test-…` or `test_…`, without parameters.
#[must_use]
pub fn test_functions(component: &Component) -> Vec<Function> {
    let is_test = |f: &Function| f.name.starts_with("test-") || f.name.starts_with("test_");
    functions(component).into_iter().filter(|f| is_test(f) && f.ty.params().len() == 0).collect()
}

/// The function `written` means. A function of the world comes before one of the same name in an interface, since it
/// has no longer name to be told apart by.
///
/// # Errors
///
/// There is none, or there are several; the diagnostic lists what there is.
pub fn find_function(component: &Component, written: &str) -> Result<Function, Diagnostic> {
    let all = functions(component);
    let (mut found, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|f| f.is_named(written));
    if let Some(at) = found.iter().position(|f| f.interface.is_none()) {
        return Ok(found.swap_remove(at));
    }
    match found.len() {
        1 => Ok(found.swap_remove(0)),
        0 => Err(unknown(written, &others)),
        _ => Err(ambiguous(written, &found)),
    }
}

fn unknown(written: &str, all: &[Function]) -> Diagnostic {
    let diagnostic = Diagnostic::error("unknown-function", format!("the component exports no function `{written}`"));
    let names: Vec<_> = all.iter().map(Function::to_string).collect();
    let short = all.iter().map(Function::name);
    let own_name = written.rsplit(['#', '.', '/']).next().unwrap_or(written);
    let meant = suggest(written, names.iter().map(String::as_str)).or_else(|| suggest(own_name, short));
    let diagnostic = match meant {
        Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
        None => diagnostic,
    };
    match names.as_slice() {
        [] => diagnostic.note("it exports no functions"),
        names => diagnostic.note(format!("it exports {}", listed(names))),
    }
}

fn ambiguous(written: &str, found: &[Function]) -> Diagnostic {
    let names: Vec<_> = found.iter().map(Function::to_string).collect();
    Diagnostic::error("ambiguous-function", format!("`{written}` may be any of {}", listed(&names)))
        .help(format!("write `{}`", names.first().map_or(written, String::as_str)))
}

fn listed(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
