//! `describe`: the one definition of an action key, listened to by whoever hashes, sends or explains it.
//!
//! `engine/docs/key.md` says row by row what is covered and why; the table test below is its twin that runs.

use std::collections::BTreeMap;

use prost::Message as _;

use crate::action::{Action, ActionId, Network, Source, Work};
use crate::digest::{ActionKey, DigestFunction, TreeDigest};
use crate::path::RelPath;
use crate::tree::{Conflict, Node, Tree};
use crate::wire::{ActionMessage, CommandMessage, DurationMessage, Pair, PlatformMessage};

/// Raised when the meaning of a key changes, which retires every result in every store.
pub const KEY_VERSION: u32 = 1;

/// What kind of thing a keyed value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// A word of the command line, in order.
    Argument,
    /// A variable of the environment.
    Variable,
    /// A declared output.
    Output,
    /// The working directory.
    Directory,
    /// A fact about where it may run.
    Property,
    /// The longest it may run.
    Timeout,
    /// The namespace of results.
    Salt,
    /// The digest of the input root.
    InputRoot,
}

/// Receives the keyed fields of an action, in key order.
pub trait KeySink {
    /// One field. `name` is empty where the field has none.
    fn field(&mut self, field: Field, name: &str, value: &str);
}

/// The definition of the action key: the only function that decides what is covered.
pub fn describe(action: &Action, input_root: &TreeDigest, salt: &str, sink: &mut impl KeySink) {
    // Exhaustive on purpose: a new field does not compile until someone decides, here, whether it belongs to the key.
    let Action {
        label: _, // For people: renaming a target must not rebuild it.
        place: _,
        work,
        env,
        directory,
        inputs: _, // What they come to is the input root.
        outputs,
        platform,
        timeout,
        network,
        slot: _,
        accelerators: _, // They may not change what is produced.
        varying: _,
    } = action;

    match work {
        Work::Process { argv } => {
            for word in argv {
                sink.field(Field::Argument, "", &word.symbolic());
            }
        }
        Work::Builtin { name, revision, args } => {
            // The revision is a property and not an argument, so that a reason can speak of it.
            sink.field(Field::Argument, "", &format!("builtin:{name}"));
            for arg in args {
                sink.field(Field::Argument, "", arg);
            }
            sink.field(Field::Property, "builtin-revision", &revision.to_string());
        }
    }
    for (name, value) in env {
        sink.field(Field::Variable, name, &value.symbolic());
    }
    let mut outputs: Vec<&RelPath> = outputs.iter().collect();
    outputs.sort_unstable();
    for path in outputs {
        sink.field(Field::Output, "", path.as_str());
    }
    sink.field(Field::Directory, "", directory.as_ref().map_or("", RelPath::as_str));
    for (name, value) in platform {
        sink.field(Field::Property, name, value);
    }
    match network {
        Network::Denied => {}
        Network::Allowed => sink.field(Field::Property, "network", "allowed"),
    }
    if let Some(timeout) = timeout {
        sink.field(Field::Timeout, "", &timeout.as_nanos().to_string());
    }
    sink.field(Field::Salt, "", &format!("run-{KEY_VERSION}{}{salt}", if salt.is_empty() { "" } else { "-" }));
    sink.field(Field::InputRoot, "", &input_root.to_string());
}

/// The Remote Execution API's `Action` and `Command` of an action, in canonical bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The digest of `action`.
    pub key: ActionKey,
    /// The encoded `Action`.
    pub action: Vec<u8>,
    /// The encoded `Command`, whose digest is in `action`.
    pub command: Vec<u8>,
}

/// Encodes an action with a known input root.
#[must_use]
pub fn encode(action: &Action, input_root: &TreeDigest, salt: &str, function: DigestFunction) -> Encoded {
    let mut sink = WireSink::default();
    describe(action, input_root, salt, &mut sink);
    sink.finish(function)
}

/// Collects fields into messages.
#[derive(Default)]
struct WireSink {
    command: CommandMessage,
    properties: Vec<Pair>,
    timeout: Option<DurationMessage>,
    salt: Vec<u8>,
    input_root: Option<TreeDigest>,
}

impl KeySink for WireSink {
    fn field(&mut self, field: Field, name: &str, value: &str) {
        let pair = || Pair { name: name.to_owned(), value: value.to_owned() };
        match field {
            Field::Argument => self.command.arguments.push(value.to_owned()),
            Field::Variable => self.command.environment_variables.push(pair()),
            Field::Output => self.command.output_paths.push(value.to_owned()),
            Field::Directory => value.clone_into(&mut self.command.working_directory),
            Field::Property => self.properties.push(pair()),
            Field::Salt => self.salt = value.as_bytes().to_vec(),
            Field::Timeout => {
                let nanos: u128 = value.parse().expect("describe wrote a number");
                self.timeout = Some(DurationMessage {
                    seconds: i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX),
                    nanos: (nanos % 1_000_000_000) as i32,
                });
            }
            Field::InputRoot => self.input_root = Some(value.parse().expect("describe wrote a digest")),
        }
    }
}

impl WireSink {
    fn finish(mut self, function: DigestFunction) -> Encoded {
        self.properties.sort_by(|a, b| (&a.name, &a.value).cmp(&(&b.name, &b.value)));
        let command = self.command.encode_to_vec();
        let message = ActionMessage {
            command_digest: Some(function.digest::<crate::digest::Blob>(&command).into()),
            input_root_digest: self.input_root.map(Into::into),
            timeout: self.timeout,
            salt: self.salt,
            platform: Some(PlatformMessage { properties: self.properties }),
        };
        let action = message.encode_to_vec();
        Encoded { key: function.digest(&action), action, command }
    }
}

/// The readable list behind a key: what an explanation compares.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyRecord {
    /// The key itself, as text.
    pub key: String,
    /// Every field but the input root, in key order.
    pub fields: Vec<(Field, String, String)>,
    /// What the input root is made of: one line a source file, and one for each tree that comes whole from another
    /// action or from a toolchain.
    pub inputs: BTreeMap<String, InputLine>,
    /// The digest of the input root.
    pub input_root: String,
}

/// One input as an explanation speaks of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputLine {
    /// What is there: a digest, or a link's target.
    pub value: String,
    /// Whose it is.
    pub from: Origin,
}

/// Where an input comes from, by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The user, or the caller who made the graph.
    Source,
    /// The action of this label made it.
    Action(String),
    /// The mounted tree of this name.
    Mounted(String),
}

/// An action's input root, put together from its parts.
#[derive(Debug, Clone)]
pub struct InputRoot {
    /// Everything, mounted trees included: what is keyed.
    pub whole: Tree,
    /// Everything but mounted trees: what has to be staged file by file.
    pub staged: Tree,
    /// The mounted trees, by where they stand.
    pub mounts: Vec<(RelPath, std::sync::Arc<crate::action::MountedTree>)>,
    /// The lines of a [`KeyRecord`].
    lines: BTreeMap<String, InputLine>,
}

/// Gives what a producer left at a path, if it did, with the producer's label.
pub type FindOutput<'a> = &'a mut dyn FnMut(ActionId, &RelPath) -> Option<(Node, String)>;

/// A mounted tree stands at the root, where nothing else could.
const MOUNT_NEEDS_PLACE: &str = "is a mounted tree without a place of its own";

impl InputRoot {
    /// Puts an action's inputs together. `outputs` gives what a producer left at a path, if it did, with the producer's
    /// label.
    ///
    /// # Errors
    /// [`Conflict`] when two inputs put different things at one path, or a producer did not leave what is read.
    pub fn assemble(action: &Action, function: DigestFunction, outputs: FindOutput<'_>) -> Result<Self, Conflict> {
        let mut root = Self { whole: Tree::new(), staged: Tree::new(), mounts: vec![], lines: BTreeMap::new() };
        for input in &action.inputs {
            let at = input.at.as_ref();
            match &input.source {
                Source::Tree(tree) => {
                    root.staged.merge(at, tree)?;
                    tree.walk(&mut |path, node| {
                        root.lines
                            .insert(crate::path::under(at, path).to_string(), line(node, Origin::Source, function));
                    });
                }
                Source::Output { action: producer, path } => {
                    let Some((node, label)) = outputs(*producer, path) else {
                        return Err(Conflict { path: path.clone(), why: "is not among what its producer left" });
                    };
                    root.lines.insert(
                        at.map_or(".", RelPath::as_str).to_owned(),
                        line(&node, Origin::Action(label), function),
                    );
                    match (at, node) {
                        (None, Node::Directory(tree)) => root.staged.merge(None, &tree)?,
                        (None, node) => root.staged.insert(path, node)?,
                        (Some(at), node) => root.staged.insert(at, node)?,
                    }
                }
                Source::Mounted(mounted) => {
                    let Some(at) = at else {
                        let path = RelPath::new("mounted").expect("a plain name");
                        return Err(Conflict { path, why: MOUNT_NEEDS_PLACE });
                    };
                    let node = Node::Directory(mounted.tree.clone());
                    root.lines.insert(at.to_string(), line(&node, Origin::Mounted(mounted.name.clone()), function));
                    root.mounts.push((at.clone(), std::sync::Arc::clone(mounted)));
                }
            }
        }
        root.whole = root.staged.clone();
        for (at, mounted) in &root.mounts {
            if root.whole.find(at).is_some() {
                return Err(Conflict { path: at.clone(), why: "is both staged and mounted" });
            }
            root.whole.insert(at, Node::Directory(mounted.tree.clone()))?;
        }
        Ok(root)
    }

    /// The readable list behind the key of `action` with this input root.
    #[must_use]
    pub fn record(&self, action: &Action, salt: &str, function: DigestFunction, key: &ActionKey) -> KeyRecord {
        let mut record = KeyRecord { key: key.to_string(), inputs: self.lines.clone(), ..KeyRecord::default() };
        describe(action, &self.whole.digest(function), salt, &mut record);
        record
    }
}

fn line(node: &Node, from: Origin, function: DigestFunction) -> InputLine {
    let value = match node {
        Node::File { digest, executable: false } => digest.to_string(),
        Node::File { digest, executable: true } => format!("{digest} executable"),
        Node::Symlink { target } => format!("-> {target}"),
        Node::Directory(tree) => tree.digest(function).to_string(),
    };
    InputLine { value, from }
}

impl KeySink for KeyRecord {
    fn field(&mut self, field: Field, name: &str, value: &str) {
        match field {
            Field::InputRoot => value.clone_into(&mut self.input_root),
            field => self.fields.push((field, name.to_owned(), value.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::action::{Place, Slot, Word};
    use crate::testing::action::process;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).unwrap()
    }

    fn base() -> (Action, Tree) {
        let mut action = process("label", &["tool", "-a", "b"]);
        action.env.insert("LANG".into(), "C".into());
        action.outputs = vec![path("out")];
        let mut tree = Tree::new();
        let digest = DigestFunction::Blake3.digest(b"x");
        tree.insert(&path("src/x"), Node::File { digest, executable: false }).unwrap();
        (action, tree)
    }

    fn key(action: &Action, tree: &Tree, salt: &str) -> ActionKey {
        encode(action, &tree.digest(DigestFunction::Blake3), salt, DigestFunction::Blake3).key
    }

    fn argv(action: &mut Action) -> &mut Vec<Word> {
        match &mut action.work {
            Work::Process { argv } => argv,
            Work::Builtin { .. } => unreachable!("the base is a process"),
        }
    }

    type Edit = fn(&mut Action, &mut Tree, &mut String);

    /// The rows of `engine/docs/key.md`, in its order; a tidy test holds the two together.
    pub(crate) const ROWS: &[(&str, bool, Edit)] = &[
        ("salt", true, |_, _, s| s.push('x')),
        ("argv", true, |a, _, _| argv(a).push("-O2".into())),
        ("argv order", true, |a, _, _| argv(a)[1..].reverse()),
        ("argv framing", true, |a, _, _| *argv(a) = vec!["tool".into(), "-ab".into()]),
        ("environment value", true, |a, _, _| {
            a.env.insert("LANG".into(), "C.UTF-8".into());
        }),
        ("environment absent or empty", true, |a, _, _| {
            a.env.insert("EMPTY".into(), "".into());
        }),
        ("working directory", true, |a, _, _| a.directory = Some(path("src"))),
        ("declared outputs", true, |a, _, _| a.outputs.push(path("other"))),
        ("platform", true, |a, _, _| {
            a.platform.insert("ISA".into(), "x86-64".into());
        }),
        ("timeout", true, |a, _, _| a.timeout = Some(Duration::from_secs(1))),
        ("network", true, |a, _, _| a.network = Network::Allowed),
        ("input bytes", true, |_, t, _| {
            let digest = DigestFunction::Blake3.digest(b"y");
            *t = Tree::new();
            t.insert(&path("src/x"), Node::File { digest, executable: false }).unwrap();
        }),
        ("input name", true, |_, t, _| {
            let digest = DigestFunction::Blake3.digest(b"x");
            *t = Tree::new();
            t.insert(&path("src/y"), Node::File { digest, executable: false }).unwrap();
        }),
        ("input executable bit", true, |_, t, _| {
            let digest = DigestFunction::Blake3.digest(b"x");
            *t = Tree::new();
            t.insert(&path("src/x"), Node::File { digest, executable: true }).unwrap();
        }),
        ("input link target", true, |_, t, _| {
            t.insert(&path("src/l"), Node::Symlink { target: "x".into() }).unwrap();
        }),
        ("empty input directory", true, |_, t, _| t.insert(&path("e"), Node::Directory(Tree::new())).unwrap()),
        ("builtin revision", true, |a, _, _| {
            a.work = Work::Builtin { name: "b", revision: 2, args: vec![] };
        }),
        ("label", false, |a, _, _| a.label.push('x')),
        ("place", false, |a, _, _| a.place = Some(Place { file: "run.toml".into(), line: 3 })),
        ("order of declared outputs", false, |a, _, _| a.outputs.reverse()),
        ("how inputs are put together", false, |a, _, _| a.inputs.clear()),
        ("slot", false, |a, _, _| a.slot = Slot::Network),
        ("accelerators", false, |a, _, _| a.accelerators.push(("native".into(), ActionId(0), path("x")))),
        ("known to vary", false, |a, _, _| a.varying = true),
    ];

    #[test]
    fn every_row_of_the_table_holds() {
        let (action, tree) = base();
        for (row, covered, edit) in ROWS {
            let (mut edited, mut edited_tree, mut salt) = (action.clone(), tree.clone(), String::new());
            if *row == "order of declared outputs" {
                edited.outputs.push(path("b"));
            }
            let before = key(&edited, &edited_tree, &salt);
            edit(&mut edited, &mut edited_tree, &mut salt);
            assert_eq!(key(&edited, &edited_tree, &salt) != before, *covered, "{row}");
        }
        let builtin = |revision| {
            let mut action = action.clone();
            action.work = Work::Builtin { name: "b", revision, args: vec![] };
            key(&action, &tree, "")
        };
        assert_ne!(builtin(1), builtin(2));
    }

    #[test]
    fn the_documented_table_is_this_one() {
        let document = include_str!("../docs/key.md");
        let documented: Vec<(String, bool)> = document
            .lines()
            .filter_map(|line| {
                let mut cells = line.strip_prefix("| ")?.split(" | ");
                Some((cells.next()?.trim().to_owned(), cells.next()?.trim()))
            })
            .filter_map(|(row, covered)| match covered {
                "yes" => Some((row, true)),
                "no" => Some((row, false)),
                _ => None,
            })
            .collect();
        let tested: Vec<(String, bool)> = ROWS.iter().map(|(row, covered, _)| ((*row).to_owned(), *covered)).collect();
        assert_eq!(documented, tested);
    }

    /// Written down once: a change here means that every store goes cold, and needs a higher [`KEY_VERSION`].
    #[test]
    fn the_key_of_the_base_is_golden() {
        let (action, tree) = base();
        let encoded = encode(&action, &tree.digest(DigestFunction::Sha256), "", DigestFunction::Sha256);
        assert_eq!(encoded.key.to_string(), "cf1ce43667e0ffa0082903ca066c4ce8b5e40beac9ea64bfbd611321c170eaa0/149");
    }

    #[test]
    fn records_hold_what_the_key_holds() {
        let (action, tree) = base();
        let mut action = action;
        action.inputs = vec![crate::action::Input { at: Some(path("work")), source: Source::Tree(tree) }];
        let function = DigestFunction::Blake3;
        let root = InputRoot::assemble(&action, function, &mut |_, _| unreachable!("no producers")).unwrap();
        let encoded = encode(&action, &root.whole.digest(function), "", function);
        let record = root.record(&action, "", function, &encoded.key);
        assert_eq!(record.inputs.keys().collect::<Vec<_>>(), ["work/src/x"]);
        assert_eq!(record.fields[0], (Field::Argument, String::new(), "tool".to_owned()));
        assert_eq!(record.input_root, root.whole.digest(function).to_string());
    }
}
