//! Whether a result is what a test expects.

use wasmtime::component::{Type, Val};

use super::argument::read_value;
use super::function::Function;
use super::render::to_wave;
use super::types::type_name;
use crate::diagnostic::Diagnostic;

/// An expectation beside what came, both in WAVE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Whether they are equal. NaN equals NaN, and 0 does not equal -0.
    pub equal: bool,
    /// What the test expects.
    pub expected: String,
    /// What the function returned.
    pub actual: String,
}

/// Compares what `function` returned with `expected`, a typed literal or WAVE. `actual` is the whole result: for a
/// function that returns a result, `ok(…)` or `err(…)`.
///
/// # Errors
///
/// `expected` is no value of the function's result type.
pub fn compare(function: &Function, expected: &str, actual: &Val) -> Result<Comparison, Diagnostic> {
    let Some(ty) = function.ty().results().next() else {
        return Err(Diagnostic::error("bad-expectation", format!("`{function}` returns nothing to compare with"))
            .note(function.signature())
            .help("leave `expected` out: the test passes when the function returns"));
    };
    compare_as(function, &ty, expected, actual)
}

/// Compares the payload of an `err(…)` that `function` returned with `expected`.
///
/// # Errors
///
/// The function's result has no such payload, or `expected` is no value of its type.
pub fn compare_error(function: &Function, expected: &str, actual: &Val) -> Result<Comparison, Diagnostic> {
    let err = match function.ty().results().next() {
        Some(Type::Result(result)) => result.err(),
        _ => None,
    };
    let Some(ty) = err else {
        return Err(Diagnostic::error(
            "bad-expectation",
            format!("`{function}` never returns an `err(…)` with a value"),
        )
        .note(function.signature())
        .help("write what it returns as `expected`, or remove `expected_error`"));
    };
    compare_as(function, &ty, expected, actual)
}

fn compare_as(function: &Function, ty: &Type, expected: &str, actual: &Val) -> Result<Comparison, Diagnostic> {
    let expected = read_value(expected, ty).map_err(|problem| {
        Diagnostic::error("bad-expectation", format!("`{function}` returns `{}`; {problem}", type_name(ty)))
            .note(function.signature())
            .help("write a value of that type in WAVE, or with the type in front, as in `s32:42`")
    })?;
    let equal = is_equal(&expected, actual);
    Ok(Comparison { equal, expected: to_wave(&expected), actual: to_wave(actual) })
}

/// [`Val`]'s own equality has the floats we want, but takes flags for a list, in which order counts; WAVE's reader
/// sorts them by name, a guest's result has them in the order of their declaration.
pub(super) fn is_equal(a: &Val, b: &Val) -> bool {
    let all = |a: &[Val], b: &[Val]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_equal(a, b));
    let payload = |a: &Option<Box<Val>>, b: &Option<Box<Val>>| match (a, b) {
        (Some(a), Some(b)) => is_equal(a, b),
        (a, b) => a.is_none() && b.is_none(),
    };
    match (a, b) {
        (Val::Flags(a), Val::Flags(b)) => a.len() == b.len() && a.iter().all(|flag| b.contains(flag)),
        (Val::List(a), Val::List(b)) | (Val::Tuple(a), Val::Tuple(b)) => all(a, b),
        (Val::Record(a), Val::Record(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((m, a), (n, b))| m == n && is_equal(a, b))
        }
        (Val::Variant(m, a), Val::Variant(n, b)) => m == n && payload(a, b),
        (Val::Option(a), Val::Option(b)) => payload(a, b),
        (Val::Result(Ok(a)), Val::Result(Ok(b))) | (Val::Result(Err(a)), Val::Result(Err(b))) => payload(a, b),
        (a, b) => a == b,
    }
}
