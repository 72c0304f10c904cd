//! Arguments: from what was typed to the values a function's parameters want.

use wasmtime::component::wasm_wave::parser::ParserError;
use wasmtime::component::wasm_wave::untyped::UntypedFuncCall;
use wasmtime::component::{Component, Type, Val};

use super::fields::unknown_field;
use super::function::{Function, find_function};
use super::literal::{Literal, Primitive, is_literal, split};
use super::types::{opaque_part, type_name};
use crate::diagnostic::Diagnostic;

/// One value as it was typed.
#[derive(Debug, Clone, Copy)]
enum Written<'a> {
    Literal(Literal<'a>),
    Wave(&'a str),
}

/// A function and the values to call it with.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// What to call.
    pub function: Function,
    /// One value for each parameter.
    pub arguments: Vec<Val>,
}

/// Reads `--args`: each text is one WAVE value, or any number of typed literals separated by commas. Parameters of an
/// option type may be left out at the end.
///
/// # Errors
///
/// The wrong number of values, or one that does not fit its parameter.
pub fn parse_arguments(function: &Function, texts: &[String]) -> Result<Vec<Val>, Diagnostic> {
    check_parameters(function)?;
    let mut written = Vec::new();
    for text in texts {
        if is_literal(text) {
            let literals = split(text).map_err(|rest| not_a_literal(text, rest))?;
            written.extend(literals.into_iter().map(Written::Literal));
        } else {
            written.push(Written::Wave(text));
        }
    }
    let params: Vec<_> = function.ty().params().collect();
    let given = written.len();
    if given > params.len() || params.iter().skip(given).any(|(_, ty)| !matches!(ty, Type::Option(_))) {
        return Err(wrong_count(function, given));
    }
    let mut values = Vec::with_capacity(params.len());
    for ((name, ty), written) in params.iter().zip(&written) {
        values.push(read(written, ty).map_err(|problem| bad_argument(function, name, ty, &problem))?);
    }
    values.extend(params.iter().skip(given).map(|_| Val::Option(None)));
    Ok(values)
}

/// Reads `--invoke`, a call as WAVE writes it: `norm({x: 3, y: 4})`, with any name [`find_function`] takes.
///
/// # Errors
///
/// Not a call, no such function, or arguments that do not fit it.
pub fn parse_invocation(component: &Component, text: &str) -> Result<Invocation, Diagnostic> {
    let Some(open) = text.find('(') else {
        return Err(Diagnostic::error("bad-call", format!("`{text}` is not a call"))
            .help("write the function and its arguments: `add(3, 4)`"));
    };
    let (name, arguments) = text.split_at(open);
    let function = find_function(component, name.trim())?;
    check_parameters(&function)?;
    // WAVE knows fewer forms of names than we do; the arguments are all that it has to read.
    let call = format!("f{arguments}");
    let call = UntypedFuncCall::parse(&call).map_err(|e| bad_call(text, &e, open))?;
    let given = call.params_node().and_then(|params| params.as_tuple().ok()).map_or(0, |params| params.len());
    let types: Vec<Type> = function.ty().params().map(|(_, ty)| ty).collect();
    if given > types.len() || types.iter().skip(given).any(|ty| !matches!(ty, Type::Option(_))) {
        return Err(wrong_count(&function, given));
    }
    let arguments = read_call(&function, &call)?;
    Ok(Invocation { function, arguments })
}

/// One by one, so that a value that does not fit is told with its parameter.
fn read_call(function: &Function, call: &UntypedFuncCall<'_>) -> Result<Vec<Val>, Diagnostic> {
    let mut values = Vec::new();
    let mut nodes = call.params_node().and_then(|params| params.as_tuple().ok()).into_iter().flatten();
    for (name, ty) in function.ty().params() {
        values.push(match nodes.next() {
            Some(node) => {
                let text = call.source().get(node.span()).unwrap_or_default();
                read_wave(text, &ty).map_err(|problem| bad_argument(function, name, &ty, &problem))?
            }
            None => Val::Option(None),
        });
    }
    Ok(values)
}

/// Reads one value that must be of type `ty`: a typed literal or WAVE.
///
/// # Errors
///
/// What is wrong, in one clause that begins with the text itself.
pub(super) fn read_value(text: &str, ty: &Type) -> Result<Val, String> {
    if let Some(opaque) = opaque_part(ty) {
        return Err(format!("`{text}` can't be read: a `{opaque}` has no text form"));
    }
    if !is_literal(text) {
        return read(&Written::Wave(text), ty);
    }
    match split(text).as_deref() {
        Ok([literal]) => read(&Written::Literal(*literal), ty),
        _ => Err(format!("`{text}` is not one value")),
    }
}

fn read(written: &Written<'_>, ty: &Type) -> Result<Val, String> {
    match written {
        Written::Literal(literal) => read_literal(*literal, ty),
        Written::Wave(text) => read_wave(text, ty),
    }
}

fn read_literal(literal: Literal<'_>, ty: &Type) -> Result<Val, String> {
    let Literal { primitive, text } = literal;
    // As WAVE does: a bare payload is `some` of it, or `ok` of it.
    match ty {
        Type::Option(option) if Primitive::of(&option.ty()) == Some(primitive) => {
            return read_literal(literal, &option.ty()).map(|val| Val::Option(Some(Box::new(val))));
        }
        Type::Result(result) if result.ok().and_then(|ok| Primitive::of(&ok)) == Some(primitive) => {
            let value = primitive.read(text).map_err(|problem| format!("`{text}` {problem}"))?;
            return Ok(Val::Result(Ok(Some(Box::new(value)))));
        }
        _ => {}
    }
    if Primitive::of(ty) != Some(primitive) {
        return Err(format!("`{}:{text}` is a `{}`", primitive.name(), primitive.name()));
    }
    primitive.read(text).map_err(|problem| format!("`{text}` {problem}"))
}

fn read_wave(text: &str, ty: &Type) -> Result<Val, String> {
    let trimmed = text.trim();
    match Primitive::of(ty) {
        // WAVE quotes these two.
        Some(Primitive::Char | Primitive::String) | None => {}
        // Numbers and truth values are the same in both languages, and our messages say more.
        Some(primitive) => return primitive.read(trimmed).map_err(|problem| format!("`{trimmed}` {problem}")),
    }
    let parsed: Result<Val, ParserError> = wasmtime::component::wasm_wave::from_str(ty, text);
    let value = parsed.map_err(|error| format!("`{trimmed}` {}", wave_problem(trimmed, ty, &error)))?;
    match unknown_field(text, ty) {
        Some(field) => Err(format!("`{trimmed}` does not fit: no record there has a field `{field}`")),
        None => Ok(value),
    }
}

/// What WAVE has to say, without its byte ranges where the text is short enough to see.
fn wave_problem(text: &str, ty: &Type, error: &ParserError) -> String {
    let unquoted = !text.starts_with('"') && !text.starts_with('\'');
    match ty {
        Type::String if unquoted => return format!("is not quoted; write `\"{text}\"` or `string:{text}`"),
        Type::Char if unquoted => return format!("is not quoted; write `'{text}'` or `char:{text}`"),
        _ => {}
    }
    let cause = std::error::Error::source(error).map(ToString::to_string);
    let what = cause.or_else(|| error.detail().map(str::to_owned)).unwrap_or_else(|| error.kind().to_string());
    match text.get(error.span()) {
        Some(part) if !part.is_empty() && part != text => format!("does not fit: {what}, at `{part}`"),
        _ => format!("does not fit: {what}"),
    }
}

fn check_parameters(function: &Function) -> Result<(), Diagnostic> {
    for (name, ty) in function.ty().params() {
        if let Some(opaque) = opaque_part(&ty) {
            return Err(Diagnostic::error(
                "opaque-parameter",
                format!("`{function}` can't be called from the command line: its parameter `{name}` is a `{opaque}`, which has no text form"),
            )
            .note(function.signature())
            .help("call it from another component, such as one that composes it with a test of its own"));
        }
    }
    Ok(())
}

fn wrong_count(function: &Function, given: usize) -> Diagnostic {
    let wanted = function.ty().params().len();
    let values = if wanted == 1 { "value" } else { "values" };
    Diagnostic::error("wrong-argument-count", format!("`{function}` takes {wanted} {values}, but {given} given"))
        .note(function.signature())
        .help("give one `--args` for each parameter")
}

fn bad_argument(function: &Function, name: &str, ty: &Type, problem: &str) -> Diagnostic {
    Diagnostic::error(
        "bad-argument",
        format!("the parameter `{name}` of `{function}` is `{}`; {problem}", type_name(ty)),
    )
    .note(function.signature())
    .help("write it as WAVE, as in `42`, `\"text\"` or `{x: 1, y: 2}`, or with its type, as in `s32:42`")
}

fn not_a_literal(text: &str, rest: &str) -> Diagnostic {
    Diagnostic::error("bad-argument", format!("`{text}` is not a list of typed literals: `{rest}` has no type"))
        .help("write each as `type:value`, or give one `--args` for each parameter")
}

fn bad_call(text: &str, error: &ParserError, open: usize) -> Diagnostic {
    // The parser saw one character where the name was.
    let start = (error.span().start + open).saturating_sub(1).min(text.len());
    let at = text.get(start..).filter(|rest| !rest.is_empty());
    let place = at.map_or_else(|| "at its end".to_owned(), |rest| format!("at `{rest}`"));
    Diagnostic::error("bad-call", format!("`{text}` is not a call: {}, {place}", error.kind()))
        .help("write the function and its arguments in WAVE: `add(3, 4)`")
}
