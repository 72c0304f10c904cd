//! What lowering may know of the outside: file lists, digests, interfaces, toolchains. Gathered here and nowhere else.
//!
//! After this, everything is decided: which actions there will be, how components fit together, which tests there are.
//! So every error that can be known without running a compiler is known now.

pub mod files;
pub mod gatherer;
mod ignored;
mod makers;
pub mod tools;

use std::collections::BTreeMap;
use std::sync::Arc;

use run_engine::action::MountedTree;
use run_engine::files::scan::Sources;
use run_engine::path::RelPath;
use run_engine::tree::Tree;

use crate::lang::Recipe;
use crate::manifest::Language;
use crate::step::interface::Interface;
use crate::step::script::ScriptPackage;
use crate::step::wit::World;

pub use gatherer::{Gatherer, Surroundings, engines, gather, languages, lock, rust_targets, shown};

/// Everything that was gathered for the targets of one plan.
#[derive(Debug, Default)]
pub struct Facts {
    /// By target.
    pub components: BTreeMap<String, ComponentFacts>,
    /// By target.
    pub commands: BTreeMap<String, CommandFacts>,
    /// Scripts of compositions, by target.
    pub scripts: BTreeMap<String, ScriptFacts>,
    /// The directories that tests see, by the path they have in the project (`.` for the project's own).
    pub test_dirs: BTreeMap<String, Tree>,
    /// Where the bytes of everything named above are.
    pub sources: Sources,
    /// Seconds since 1970 at which virtual time starts.
    pub epoch_seconds: u64,
}

/// What is known of a component.
#[derive(Debug)]
pub struct ComponentFacts {
    /// What it is compiled from, given or found.
    pub language: Option<Language>,
    /// How its bytes come about.
    pub recipe: Recipe,
    /// What it imports and exports: as declared, or as its bytes say where they are there already.
    pub world: World,
    /// The same, for comparing and showing.
    pub interface: Interface,
    /// The encoded world that the built bytes are held to.
    pub promise: Vec<u8>,
    /// Functions that are tests by their names: world-level ones by name, others as `INTERFACE#NAME`.
    pub found_tests: Vec<String>,
}

/// What is known of a command.
#[derive(Debug)]
pub struct CommandFacts {
    /// The files it reads.
    pub inputs: Tree,
    /// The tools it may use.
    pub tools: Arc<MountedTree>,
    /// Its program, as a path in the tree of tools; `None` when it is a file of the project.
    pub program: Option<RelPath>,
}

/// What is known of a composition's script.
#[derive(Debug)]
pub struct ScriptFacts {
    /// The script, alone in a tree.
    pub tree: Tree,
    /// The packages it names, and the target behind each.
    pub packages: Vec<(ScriptPackage, String)>,
}
