//! What a component imports and exports, read from its bytes.

use std::fmt;

use wit_parser::{IndexMap, Resolve, WorldItem, WorldKey};

use super::StepError;
use super::compare::{same_interface, split_version};
use super::validate::{self, Bodies};
use super::wit::{self, World};

/// What goes in and comes out of a component.
#[derive(Debug, Clone)]
pub struct Interface {
    /// What it needs, in its own order.
    pub imports: Vec<ExternName>,
    /// What it offers, in its own order.
    pub exports: Vec<ExternName>,
    /// What it is for, as far as its exports tell.
    pub shape: Shape,
    /// All of it, as WIT text.
    pub wit: String,
    /// Its identity; see [`World::encoded`].
    pub encoded: Vec<u8>,
}

impl Interface {
    /// Reads the interface of a component.
    ///
    /// # Errors
    ///
    /// `not-wasm`, `not-a-component`, `bad-component`.
    pub fn of(component: &[u8]) -> Result<Self, StepError> {
        validate::wellformed(component, Bodies::Unchecked)?;
        Self::of_world(&wit::of_component(component)?)
    }

    /// The interface that a world declares.
    ///
    /// # Errors
    ///
    /// When the world has no binary form (`bad-wit`).
    pub fn of_world(world: &World) -> Result<Self, StepError> {
        let declared = &world.resolve.worlds[world.id];
        let imports = names(&world.resolve, &declared.imports);
        let exports = names(&world.resolve, &declared.exports);
        let shape = Shape::of(&exports);
        Ok(Self { imports, exports, shape, wit: world.wit(), encoded: world.encoded()? })
    }
}

/// The names of what a world imports or exports, but for types.
fn names(resolve: &Resolve, items: &IndexMap<WorldKey, WorldItem>) -> Vec<ExternName> {
    let named = items.iter().filter(|(_, item)| !matches!(item, WorldItem::Type { .. }));
    named.map(|(key, _)| ExternName::of(resolve, key)).collect()
}

/// The name of an import or export: an interface's full name, or the plain name of a function.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExternName(String);

impl ExternName {
    pub(crate) fn of(resolve: &Resolve, key: &WorldKey) -> Self {
        Self(resolve.name_world_key(key))
    }

    /// The name that [`ExternName::as_str`] gave.
    #[must_use]
    pub fn from_written(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The name as written in WIT.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it belongs to WASI, and so is the host's to provide.
    #[must_use]
    pub fn is_wasi(&self) -> bool {
        self.0.starts_with("wasi:")
    }

    /// The name without its version.
    #[must_use]
    pub fn base(&self) -> &str {
        split_version(&self.0).0
    }

    /// Whether both mean the same thing, at versions that can stand in for each other.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        same_interface(&self.0, &other.0)
    }
}

impl fmt::Display for ExternName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a component is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Exports `wasi:cli/run`: a program.
    Command,
    /// Exports `wasi:http/incoming-handler`: answers requests.
    Http,
    /// Anything else: functions to call.
    Library,
}

impl Shape {
    /// What a component of this world is for.
    #[must_use]
    pub fn of_world(world: &World) -> Self {
        Self::of(&names(&world.resolve, &world.resolve.worlds[world.id].exports))
    }

    fn of(exports: &[ExternName]) -> Self {
        let has = |name: &str| exports.iter().any(|export| export.base() == name);
        if has("wasi:http/incoming-handler") {
            Self::Http
        } else if has("wasi:cli/run") {
            Self::Command
        } else {
            Self::Library
        }
    }

    /// The word for it: `command`, `http`, `library`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Http => "http",
            Self::Library => "library",
        }
    }
}
