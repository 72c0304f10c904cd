//! Builtins that make and check one component.

use std::collections::BTreeMap;

use run_engine::sandbox::builtin::{Call, CallError, Returned};
use run_engine::tree::Node;

use super::{Named, component, interface, path, raw, refused, world};
use crate::step::componentize::{self, Adapter};
use crate::step::kind;
use crate::step::validate::{self, Bodies};
use crate::step::wit::World;

/// The bytes of a component that is a file of the project, as they are.
pub(super) fn read(call: &Call<'_>) -> Result<Returned, CallError> {
    let bytes = call.read(&path(crate::rule::WORK).join(&raw()))?;
    Ok(Returned::files(vec![(raw(), bytes)]))
}

/// Text form → binary form. The one argument is the file.
pub(super) fn text(call: &Call<'_>) -> Result<Returned, CallError> {
    let file = call.args.first().ok_or_else(|| CallError::Bug("`text` needs a file".into()))?;
    let bytes = call.read(&path(&format!("{}/{file}", crate::rule::WORK)))?;
    match kind::text(file, &bytes) {
        Ok(binary) => Ok(Returned::files(vec![(raw(), binary)])),
        Err(e) => Ok(refused(&e)),
    }
}

/// Core module → component. `adapter=NAME` says how preview 1 is adapted.
pub(super) fn componentize(call: &Call<'_>) -> Result<Returned, CallError> {
    let named = Named::parse(call.args)?;
    let adapter = match named.get("adapter")? {
        "command" => Adapter::Command,
        "reactor" => Adapter::Reactor,
        "proxy" => Adapter::Proxy,
        other => return Err(CallError::Bug(format!("there is no adapter called `{other}`"))),
    };
    let declared = promised(call)?;
    match componentize::componentize(&call.read(&raw())?, declared.as_ref(), adapter) {
        Ok(bytes) => Ok(Returned::files(vec![(component(), bytes)])),
        Err(e) => Ok(refused(&e)),
    }
}

/// Checks that a component implements its world; leaves it unchanged, with its interface as text. `bodies=checked` for one that
/// holds only functions that were checked before.
pub(super) fn validate(call: &Call<'_>) -> Result<Returned, CallError> {
    let bytes = call.read(&component())?;
    let bodies = match Named::parse(call.args)?.find("bodies") {
        None => Bodies::Unchecked,
        Some(_) => Bodies::Checked,
    };
    match validate::validate(&bytes, promised(call)?.as_ref(), bodies) {
        Ok(found) => Ok(Returned::files(vec![(component(), bytes), (interface(), found.wit.into_bytes())])),
        Err(e) => Ok(refused(&e)),
    }
}

/// The world a component was promised to implement; `None` where its own bytes are the only promise.
pub(super) fn promised(call: &Call<'_>) -> Result<Option<World>, CallError> {
    if call.inputs.find(&world()).is_none() {
        return Ok(None);
    }
    let encoded = call.read(&world())?;
    World::from_encoded(&encoded).map(Some).map_err(|e| CallError::Bug(format!("a promised world: {e}")))
}

/// The bytes of every part, by the name it was staged under.
pub(super) fn parts(call: &Call<'_>, names: &[&str]) -> Result<BTreeMap<String, Vec<u8>>, CallError> {
    names.iter().map(|name| Ok(((*name).to_owned(), call.read(&super::part(name))?))).collect()
}

/// The only file of a directory of the input tree, by its path.
pub(super) fn only_file(call: &Call<'_>, directory: &str) -> Result<(String, Vec<u8>), CallError> {
    let Some(Node::Directory(tree)) = call.inputs.find(&path(directory)) else {
        return Err(CallError::Bug(format!("there is no `{directory}`")));
    };
    let files = tree.flatten();
    let (Some(file), 1) = (files.keys().next(), files.len()) else {
        return Err(CallError::Bug(format!("`{directory}` should hold one file")));
    };
    Ok((file.to_string(), call.read(&path(directory).join(file))?))
}
