//! [`Target`]: a named thing a user can ask for, once it is lowered.

use run_engine::action::{ActionId, Place};
use run_engine::graph::Export;
use run_engine::path::RelPath;

use crate::manifest::{Language, TargetKind};
use crate::step::interface::Shape;

/// A target and the actions behind it.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// What kind of target it is.
    pub kind: TargetKind,
    /// What it is written in, where it is compiled from source.
    pub language: Option<Language>,
    /// What it is for, where it is a component.
    pub shape: Option<Shape>,
    /// Where it stands in the manifest.
    pub place: Option<Place>,
    /// The finished component.
    pub component: Option<(ActionId, RelPath)>,
    /// Its native code.
    pub native: Option<(ActionId, RelPath)>,
    /// Its interface as WIT text.
    pub interface: Option<(ActionId, RelPath)>,
    /// Its archive.
    pub package: Option<ActionId>,
    /// Its tests, in the order of the manifest, then those found by their names.
    pub tests: Vec<TestTarget>,
    /// What is written into the project when it is asked for.
    pub exports: Vec<Export>,
    /// The actions that must be up to date for its outputs to be.
    pub outputs: Vec<ActionId>,
    /// Every action that was made for it, in order.
    pub actions: Vec<ActionId>,
}

/// A test and its action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestTarget {
    /// What people call it: its own name, or `component::name` where that is not unique.
    pub name: String,
    /// The action; it succeeds when the test passes.
    pub action: ActionId,
}
