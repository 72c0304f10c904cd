//! C, by `wit-bindgen-c`: a header, its implementation, and an object that holds the world, to be linked in.

use wit_bindgen_core::Files as Generated;

use super::super::StepError;
use super::super::wit::World;
use super::names::snake;
use super::{Files, canonical, check};
use crate::diagnostic::Diagnostic;
use crate::step::causes;

/// The names of the three files for a world called `name`: header, implementation, object.
#[must_use]
pub fn files(name: &str) -> [String; 3] {
    let name = snake(name);
    [format!("{name}.h"), format!("{name}.c"), format!("{name}_component_type.o")]
}

/// Bindings for a world, under the name by which its functions and types are called in C.
///
/// What an exported function borrows is given back when it returns.
///
/// # Errors
/// `unsupported-type` for what belongs to versions of WASI after 0.2.
pub fn generate(world: &World, name: &str, is_program: bool) -> Result<Files, StepError> {
    check(world, "C")?;
    let (mut resolve, id) = canonical(world, name, is_program)?;
    let opts = wit_bindgen_c::Opts::default();
    let mut made = Generated::default();
    opts.build().generate(&mut resolve, id, &mut made).map_err(|error| {
        let mut diagnostic =
            Diagnostic::error("unsupported-type", format!("there are no C bindings for world `{name}`"));
        diagnostic.notes = causes(error.as_ref());
        StepError::from(diagnostic)
    })?;
    Ok(made.iter().map(|(file, bytes)| (file.to_owned(), bytes.to_vec())).collect())
}
