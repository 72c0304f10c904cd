//! [`Row`]: a language is one row of [`ROWS`] and one small function.
//!
//! The function says what is different about the language, as a [`Recipe`]: plain data, made while facts are gathered.
//! What languages have in common (staging, WIT, componentizing, validating, naming) is in [`crate::rule::component`],
//! once.

mod c;
mod go;
mod interpreted;
mod javascript;
mod python;
mod rust;
mod typescript;
mod wat;
mod zig;

use std::collections::BTreeMap;
use std::sync::Arc;

use run_engine::action::{MountedTree, Word};
use run_engine::path::RelPath;
use run_engine::tree::Tree;

use crate::diagnostic::Diagnostic;
use crate::facts::Gatherer;
use crate::manifest::{Component, Language, Profile, Source};
use crate::step::wit::World;

/// A language.
pub struct Row {
    /// Which.
    pub language: Language,
    /// Says how a component in this language is built.
    pub recipe: fn(&Asked<'_>, &mut Gatherer<'_>) -> Result<Recipe, Vec<Diagnostic>>,
}

/// Every language this version builds.
pub const ROWS: &[Row] =
    &[rust::ROW, go::ROW, python::ROW, javascript::ROW, typescript::ROW, zig::ROW, c::ROW, wat::ROW];

/// The row of a language.
#[must_use]
pub fn find(language: Language) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.language == language)
}

/// What a recipe is asked for.
pub struct Asked<'a> {
    /// The component.
    pub component: &'a Component,
    /// Its source.
    pub source: &'a Source,
    /// Its declared world, where one is declared.
    pub world: Option<&'a World>,
    /// Files of the project that other targets make and this one may read: those of its `depends`.
    pub produced: &'a [RelPath],
    /// Whether to optimise.
    pub profile: Profile,
    /// Whether what is made is not to tell where.
    pub reproducible: bool,
}

/// How a component's bytes come about.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// In order; each may use what earlier ones left.
    pub steps: Vec<Step>,
    /// Where the bytes are after the last step.
    pub raw: RelPath,
    /// What the bytes are.
    pub yields: Yields,
    /// The bindings as the tools of editors look for them: texts by their path in the project. No step reads them.
    pub shown: Shown,
}

/// Texts that are written into the project, by their path there.
pub type Shown = BTreeMap<RelPath, Vec<u8>>;

/// What a recipe's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Yields {
    /// A component.
    Component,
    /// A component with the functions of an engine, which were checked when that was made.
    Program,
    /// A core module, to be made a component.
    CoreModule,
}

/// One action of a recipe.
#[derive(Debug, Clone)]
pub struct Step {
    /// What people call it: `compile`, `deps`.
    pub name: String,
    /// The files it sees, by their path in the project.
    pub tree: Tree,
    /// Files that other targets make and this step reads.
    pub produced: Vec<RelPath>,
    /// What earlier steps left: which step, which part of it, where to put it in the project.
    pub uses: Vec<(usize, RelPath, RelPath)>,
    /// What else it is given, by its path in the input root (`None` is the root itself): beside the project's files.
    pub given: Vec<(Option<RelPath>, Given)>,
    /// What is done.
    pub work: StepWork,
    /// What it leaves behind, by its path in the project.
    pub outputs: Vec<RelPath>,
    /// The toolchains it uses, by name.
    pub toolchains: BTreeMap<&'static str, Arc<MountedTree>>,
    /// Whether it gets things from the network that a lockfile names by digest.
    pub network: bool,
    /// Whether it is known to leave other bytes each time. What later steps leave need not vary for that.
    pub varying: bool,
}

impl Step {
    /// A step that is given nothing yet.
    #[must_use]
    pub fn new(name: impl Into<String>, work: StepWork, outputs: Vec<RelPath>) -> Self {
        Self {
            name: name.into(),
            tree: Tree::new(),
            produced: vec![],
            uses: vec![],
            given: vec![],
            work,
            outputs,
            toolchains: BTreeMap::new(),
            network: false,
            varying: false,
        }
    }
}

/// A part of an input root that is no file of the project.
#[derive(Debug, Clone)]
pub enum Given {
    /// Something known.
    Tree(Tree),
    /// Part of what an earlier step left.
    Step(usize, RelPath),
}

/// What a step does.
#[derive(Debug, Clone)]
pub enum StepWork {
    /// Runs a program, found in `PATH`: the `bin` directories of the toolchains.
    Process {
        /// The program's toolchain and its path there.
        program: (&'static str, RelPath),
        /// Its arguments.
        args: Vec<Word>,
        /// Its environment, to which `PATH` is added.
        env: BTreeMap<String, Word>,
    },
    /// Calls one of our own functions on the step's tree.
    Builtin {
        /// Which.
        builtin: &'static crate::builtin::Builtin,
        /// Its arguments.
        args: Vec<String>,
        /// An earlier [`StepWork::Native`] step that makes it fast, and can't change what it leaves.
        native: Option<usize>,
    },
    /// Compiles the component that it is [given](Step::given) to code of this machine, for later steps to run.
    Native {
        /// An earlier step of this kind whose component has modules of this one's.
        other: Option<usize>,
        /// Whether the finished component has modules of this one's too.
        is_shared: bool,
    },
}
