//! `Action`: what to run, on what, producing what. Plain data, no behaviour.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::path::RelPath;
use crate::tree::Tree;

/// The position of an action in its [`crate::graph::ActionGraph`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionId(pub u32);

impl ActionId {
    /// The id as an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// One command, its inputs and its declared outputs: the unit of caching and of execution.
#[derive(Debug, Clone)]
pub struct Action {
    /// What people call it; unique in its graph, and the name under which the last key is remembered.
    pub label: String,
    /// Where the user asked for it.
    pub place: Option<Place>,
    /// What is done.
    pub work: Work,
    /// The environment, all of it.
    pub env: BTreeMap<String, Word>,
    /// The directory inside the input root where work starts and to which outputs are relative; `None` for the root.
    pub directory: Option<RelPath>,
    /// What the input root is made of.
    pub inputs: Vec<Input>,
    /// The files and directories left behind, relative to `directory`.
    pub outputs: Vec<RelPath>,
    /// Facts about where it may run (`OSFamily`, `ISA`, …).
    pub platform: BTreeMap<String, String>,
    /// The longest it may run.
    pub timeout: Option<Duration>,
    /// Whether it may use the network.
    pub network: Network,
    /// What it occupies while it runs.
    pub slot: Slot,
    /// Outputs of other actions that make a builtin faster and can't change what it produces: they order and supply,
    /// and are no part of the key.
    pub accelerators: Vec<(String, ActionId, RelPath)>,
    /// Set when the tool is known to give other bytes each time; shown by explanations.
    pub varying: bool,
}

/// Where in the user's files something was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, as the user would name it.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
}

/// What an action does.
#[derive(Debug, Clone)]
pub enum Work {
    /// Runs a process. The first word is the program, a path inside the input root.
    Process {
        /// The program and its arguments.
        argv: Vec<Word>,
    },
    /// Runs a function of the caller, registered under a name.
    Builtin {
        /// The name in the caller's table.
        name: &'static str,
        /// Raised by whoever changes what the function writes.
        revision: u32,
        /// Its arguments.
        args: Vec<String>,
    },
}

/// Text that may hold paths into the input root. How the root is spelled is the sandbox's business, so the key holds
/// a token in its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Word(Vec<Part>);

/// A piece of a [`Word`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Text as it stands.
    Text(String),
    /// The absolute path of something in the input root.
    Path(RelPath),
    /// The absolute path of the input root itself.
    Root,
}

/// What stands in a key and on the wire for the input root.
pub const ROOT_TOKEN: &str = "{root}";

impl Word {
    /// A word of these parts.
    #[must_use]
    pub const fn new(parts: Vec<Part>) -> Self {
        Self(parts)
    }

    /// The absolute path of something in the input root.
    #[must_use]
    pub fn path(path: RelPath) -> Self {
        Self(vec![Part::Path(path)])
    }

    /// The words' texts one after the other.
    #[must_use]
    pub fn concat(words: impl IntoIterator<Item = Self>) -> Self {
        Self(words.into_iter().flat_map(|word| word.0).collect())
    }

    /// The text, with `root` for the input root.
    #[must_use]
    pub fn render(&self, root: &str) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(t) => text.push_str(t),
                Part::Root => text.push_str(root),
                Part::Path(path) => {
                    text.push_str(root);
                    text.push('/');
                    text.push_str(path.as_str());
                }
            }
        }
        text
    }

    /// The form that is keyed, sent and shown: [`ROOT_TOKEN`] for the input root.
    #[must_use]
    pub fn symbolic(&self) -> String {
        self.render(ROOT_TOKEN)
    }
}

impl From<&str> for Word {
    fn from(text: &str) -> Self {
        Self(vec![Part::Text(text.to_owned())])
    }
}

impl From<String> for Word {
    fn from(text: String) -> Self {
        Self(vec![Part::Text(text)])
    }
}

/// A part of the input root.
#[derive(Debug, Clone)]
pub struct Input {
    /// Where it stands; `None` for the root itself.
    pub at: Option<RelPath>,
    /// What stands there.
    pub source: Source,
}

/// Where a part of an input root comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A tree known when the graph was made: source files, or bytes the caller put into the store.
    Tree(Tree),
    /// What another action leaves behind at one of its output paths, or below one.
    Output {
        /// The producer.
        action: ActionId,
        /// Where in the producer's output tree.
        path: RelPath,
    },
    /// A directory of this machine that is used in place, such as a toolchain.
    Mounted(Arc<MountedTree>),
}

/// A directory of this machine with a known digest, too large to be staged file by file.
#[derive(Debug, PartialEq, Eq)]
pub struct MountedTree {
    /// What people call it.
    pub name: String,
    /// What is in it. Keys cover it like any other part of the input root.
    pub tree: Tree,
    /// Where it is. Not keyed.
    pub directory: PathBuf,
    /// Files elsewhere on this machine that its programs look for by absolute path: they are seen there too. Their
    /// content is in `tree`, where they stand is not keyed.
    pub beside: Vec<Beside>,
}

/// A file that programs look for by an absolute path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// Where they look.
    pub at: PathBuf,
    /// Where it is: the same place, or a copy.
    pub from: PathBuf,
}

/// Whether an action may use the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// It may not.
    Denied,
    /// It may: only for actions whose outputs are checked against digests named in their inputs.
    Allowed,
}

/// What an action occupies while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// One core.
    Cpu,
    /// The network, and next to no processor.
    Network,
}

/// How much a sandbox hides from what runs in it, from weakest to strongest. A result of a weaker sandbox is a miss
/// where a stronger one is available, and only [`Strength::Full`] results go to a shared cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// A private directory and a fixed environment; the rest of the machine can be seen.
    Bare,
    /// The kernel refuses files outside the inputs, but processes, users and the machine's name can be seen.
    Partial,
    /// Nothing but declared inputs can be seen.
    Full,
}
