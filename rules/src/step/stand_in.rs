//! A component that implements a world and does nothing: it stands in for one that is not built yet, where only types
//! matter.

use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::ManglingAndAbi;

use super::wit::World;
use super::{StepError, causes};
use crate::diagnostic::Diagnostic;

/// The stand-in for a component that implements `world`.
///
/// # Errors
///
/// `bad-wit` for a world that no component of WASI 0.2 can implement.
pub fn component(world: &World) -> Result<Vec<u8>, StepError> {
    let mut module = dummy_module(&world.resolve, world.id, ManglingAndAbi::Standard32);
    let encoded = embed_component_metadata(&mut module, &world.resolve, world.id, StringEncoding::UTF8, false)
        .and_then(|()| ComponentEncoder::default().validate(true).module(&module)?.encode());
    encoded.map_err(|error| {
        let message = format!("no component can implement the world `{}`", world.name());
        let mut diagnostic = Diagnostic::error("bad-wit", message);
        diagnostic.notes = causes(error.as_ref());
        diagnostic.into()
    })
}
