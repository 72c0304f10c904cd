//! Values of WIT types as people write and read them: arguments and expectations in, results out.
//!
//! The language is WAVE, as wasmtime reads and writes it; typed literals such as `s32:3` are sugar for primitives.
//! JSON of a value loses nothing. A function's signature decides every type, so nothing here guesses one.
//!
//! What is deliberately not here: running anything (see [`crate::host`]), and printing.

mod argument;
mod expectation;
mod fields;
mod function;
mod literal;
mod render;
mod types;

#[cfg(test)]
mod tests;

pub use argument::{Invocation, parse_arguments, parse_invocation};
pub use expectation::{Comparison, compare, compare_error};
pub use function::{Function, find_function, functions, test_functions};
pub use render::{to_json, to_wave};
pub use types::{signature, type_name};
