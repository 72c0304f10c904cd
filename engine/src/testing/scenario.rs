//! Stories told as text: a graph, edits, accidents and builds, and below each build what it said.
//!
//! ```text
//! graph
//!   lib <- lib.src : strip-comments
//!   app <- lib main.src > out/app : concat
//! write lib.src code
//! write main.src main
//! build app
//! = ran lib: new
//! = ran app: new
//! = wrote out/app
//! = 2 built
//! ```
//!
//! A name with a dot is a source file of the workspace, one without is an action; `~ name` is an accelerator, `> path`
//! an export, and `builtin` before the tool runs it in process. The other lines:
//!
//! | line | does |
//! |---|---|
//! | `write` *file* *text* | writes a file of one line |
//! | `edit` *file* `+code` or `+comment` | adds a line that `strip-comments` keeps, or one that it drops |
//! | `touch` *file* | changes its time only |
//! | `rename-file` *file* *file*, `relabel` *action* *label* | renames, in the graph too |
//! | `delete-blob`, `rot-blob` *action* | loses, or spoils unnoticed, what the action left last |
//! | `rot-source` *file* | spoils the store's copy of a source |
//! | `forget-result` *action* | loses the record of what it left |
//! | `by-other` *action* | another process finishes it just before this one may run it |
//! | `sandbox` `bare` or `full` | is the strength of the sandbox from here on |
//! | `fail-next` *name* *n* | makes the next runs of `flaky` *name* fail |
//! | `workspace` *name* | goes to another workspace that shares the store |
//! | `move-workspace` | moves it to another directory |
//! | `forget-history` | deletes the workspace's state |
//! | `build` *action*… `--force` *action* `--keep-going` `--dry-run` `-j` *n* | builds |
//! | `show` *action* | prints what it left |
//!
//! Lines that begin with `=` are what is expected. Those of a build stand in the order of the graph, so that they do not
//! depend on who is faster.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use super::action::process;
use super::tool::Toys;
use crate::action::{Action, ActionId, Input, Place, Source, Work};
use crate::build::{self, Outcome, Request, Services};
use crate::cancel::Cancel;
use crate::digest::{ActionKey, BlobDigest, DigestFunction};
use crate::event::{Event, Failure, Ran, Summary};
use crate::explain::{Changed, Reason, Root};
use crate::files::scan::{self, Scanned};
use crate::files::stat_cache::StatCache;
use crate::graph::{ActionGraph, Export};
use crate::history::History;
use crate::path::RelPath;
use crate::schedule::Limits;
use crate::store::memory::MemoryStore;
use crate::store::{ActionResult, Blobs, Claim, OutputNode, Results, StoreError, Strength};

const FUNCTION: DigestFunction = DigestFunction::Blake3;

/// Tells a story and returns it with what is expected replaced by what happened: a story that comes back as it was is a
/// test that passed.
///
/// # Panics
/// On a line that can't be understood, or when the disk fails.
#[must_use]
pub fn tell(story: &str) -> String {
    let mut stage = Stage::new();
    let mut told = String::new();
    let mut lines = story.lines().filter(|line| !line.starts_with('=')).peekable();
    while let Some(line) = lines.next() {
        writeln!(told, "{line}").expect("memory is there");
        let mut block = Vec::new();
        while let Some(inner) = lines.next_if(|next| next.starts_with("  ")) {
            writeln!(told, "{inner}").expect("memory is there");
            block.push(inner);
        }
        for answer in stage.act(line, &block) {
            writeln!(told, "= {answer}").expect("memory is there");
        }
    }
    told
}

/// Everything a story plays with.
struct Stage {
    directory: tempfile::TempDir,
    store: Rival,
    toys: Toys,
    workspaces: BTreeMap<String, Workspace>,
    current: String,
    n_moves: u32,
}

#[derive(Default)]
struct Workspace {
    root: PathBuf,
    steps: Vec<Step>,
    history: History,
    left: BTreeMap<String, ActionResult>,
}

/// One line of a graph.
#[derive(Default)]
struct Step {
    name: String,
    label: String,
    reads: Vec<String>,
    accelerators: Vec<String>,
    exports: Vec<String>,
    tool: Vec<String>,
}

impl Step {
    fn parse(line: &str) -> Self {
        let mut words = line.split_whitespace();
        let name = words.next().expect("an action has a name").to_owned();
        let mut step = Self { label: name.clone(), name, ..Self::default() };
        let mut kind = "";
        for word in words {
            match (kind, word) {
                (_, "<-" | "~" | ">" | ":") => kind = word,
                ("<-", word) => step.reads.push(word.to_owned()),
                ("~", word) => step.accelerators.push(word.to_owned()),
                (">", word) => step.exports.push(word.to_owned()),
                (":", word) => step.tool.push(word.to_owned()),
                _ => panic!("`{line}` is not a line of a graph"),
            }
        }
        step
    }
}

impl Stage {
    fn new() -> Self {
        let mut stage = Self {
            directory: tempfile::tempdir().expect("a directory for the story"),
            store: Rival { inner: MemoryStore::new(FUNCTION), ready: Mutex::default() },
            toys: Toys::default(),
            workspaces: BTreeMap::new(),
            current: String::new(),
            n_moves: 0,
        };
        stage.go_to("here");
        stage
    }

    fn act(&mut self, line: &str, block: &[&str]) -> Vec<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match *words.as_slice() {
            [] => {}
            [word, ..] if word.starts_with('#') => {}
            ["graph"] => {
                self.here_mut().steps = block.iter().map(|line| Step::parse(line)).collect();
                return self.check_graph();
            }
            ["write", file, ..] => self.write(file, &format!("{}\n", words[2..].join(" "))),
            ["edit", file, what] => {
                let old = fs::read_to_string(self.here().root.join(file)).expect("an edited file is there");
                let line = if what == "+comment" { "# a comment" } else { "code" };
                self.write(file, &format!("{old}{line}\n"));
            }
            ["touch", file] => {
                let file = fs::File::options().write(true).open(self.here().root.join(file));
                let past = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
                file.and_then(|file| file.set_modified(past)).expect("a touched file is there");
            }
            ["rename-file", from, to] => self.rename_file(from, to),
            ["relabel", name, label] => self.step_mut(name).label = label.to_owned(),
            ["delete-blob", name] => drop(self.store.inner.remove_blob(self.blob_of(name))),
            ["rot-blob", name] => drop(self.store.inner.flip_bit(self.blob_of(name), 0)),
            ["rot-source", file] => {
                let bytes = fs::read(self.here().root.join(file)).expect("a source is there");
                self.store.inner.flip_bit(FUNCTION.digest(&bytes), 0);
            }
            ["forget-result", name] => {
                self.store.inner.forget(&self.key_of(name)).expect("memory does not fail");
            }
            ["by-other", name] => {
                let key = self.key_of(name);
                let result = self.left(name).clone();
                self.store.inner.forget(&key).expect("memory does not fail");
                self.store.ready.lock().expect("nothing panics").push((key, result));
            }
            ["sandbox", "bare"] => self.toys.strength = Strength::Bare,
            ["sandbox", "full"] => self.toys.strength = Strength::Full,
            ["fail-next", name, times] => self.toys.fail_next(name, times.parse().expect("a number")),
            ["workspace", name] => self.go_to(name),
            ["move-workspace"] => self.move_workspace(),
            ["forget-history"] => self.here_mut().history = History::default(),
            ["build", ..] => return self.build(&words[1..]),
            ["show", name] => return self.show(name),
            _ => panic!("`{line}` is not a line of a story"),
        }
        Vec::new()
    }

    fn here(&self) -> &Workspace {
        &self.workspaces[&self.current]
    }

    fn here_mut(&mut self) -> &mut Workspace {
        self.workspaces.get_mut(&self.current).expect("the current workspace is there")
    }

    fn step_mut(&mut self, name: &str) -> &mut Step {
        self.here_mut().steps.iter_mut().find(|step| step.name == name).expect("the graph has it")
    }

    fn position(&self, name: &str) -> usize {
        let at = self.here().steps.iter().position(|step| step.name == name);
        at.unwrap_or_else(|| panic!("no action is called `{name}`"))
    }

    fn left(&self, name: &str) -> &ActionResult {
        self.here().left.get(name).unwrap_or_else(|| panic!("`{name}` has not left anything yet"))
    }

    fn blob_of(&self, name: &str) -> BlobDigest {
        match self.left(name).outputs[0].node {
            OutputNode::File { digest, .. } | OutputNode::Directory { tree: digest } => digest,
        }
    }

    fn key_of(&self, name: &str) -> ActionKey {
        let label = &self.here().steps[self.position(name)].label;
        let remembered = self.here().history.find(label).expect("it was built before");
        remembered.record.key.parse().expect("a record holds its key")
    }

    fn go_to(&mut self, name: &str) {
        name.clone_into(&mut self.current);
        let root = self.directory.path().join(name);
        fs::create_dir_all(&root).expect("a directory for the workspace");
        self.workspaces.entry(name.to_owned()).or_insert_with(|| Workspace { root, ..Workspace::default() });
    }

    fn move_workspace(&mut self) {
        self.n_moves += 1;
        let to = self.directory.path().join(format!("moved-{}", self.n_moves));
        fs::rename(&self.here().root, &to).expect("a workspace can be moved");
        self.here_mut().root = to;
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.here().root.join(file), text).expect("the workspace can be written to");
    }

    fn rename_file(&mut self, from: &str, to: &str) {
        let root = self.here().root.clone();
        fs::rename(root.join(from), root.join(to)).expect("a renamed file is there");
        for read in self.here_mut().steps.iter_mut().flat_map(|step| &mut step.reads).filter(|read| *read == from) {
            to.clone_into(read);
        }
    }

    fn check_graph(&self) -> Vec<String> {
        let (actions, exports) = self.lower(&|_| None);
        let errors = ActionGraph::new(actions, exports).err().unwrap_or_default();
        errors.iter().map(ToString::to_string).collect()
    }

    /// The graph; `find` gives the content of source files.
    fn lower(&self, find: &dyn Fn(&RelPath) -> Option<crate::tree::Node>) -> (Vec<Action>, Vec<Export>) {
        let (mut actions, mut exports) = (Vec::new(), Vec::new());
        for (at, step) in self.here().steps.iter().enumerate() {
            let (is_builtin, tool) = match step.tool.split_first() {
                Some((first, rest)) if first == "builtin" => (true, rest),
                _ => (false, &step.tool[..]),
            };
            let tool = if tool.is_empty() { &["concat".to_owned()][..] } else { tool };
            let mut action = process(&step.label, &tool.iter().map(String::as_str).collect::<Vec<_>>());
            if is_builtin {
                let name = TOOLS.iter().find(|name| **name == tool[0]).expect("a toy that can be a builtin");
                action.work = Work::Builtin { name, revision: 1, args: tool[1..].to_vec() };
            }
            action.place = Some(Place { file: "graph".into(), line: u32::try_from(at + 1).expect("a small graph") });
            action.outputs = vec![path("out")];
            action.inputs = step.reads.iter().filter_map(|name| self.input(name, find)).collect();
            action.accelerators =
                step.accelerators.iter().map(|name| (name.clone(), self.id(name), path("out"))).collect();
            exports.extend(step.exports.iter().map(|to| Export { action: id(at), output: path("out"), to: path(to) }));
            actions.push(action);
        }
        (actions, exports)
    }

    fn input(&self, name: &str, find: &dyn Fn(&RelPath) -> Option<crate::tree::Node>) -> Option<Input> {
        if !name.contains('.') {
            return Some(Input {
                at: Some(path(&format!("made/{name}"))),
                source: Source::Output { action: self.id(name), path: path("out") },
            });
        }
        let mut tree = crate::tree::Tree::new();
        tree.insert(&path(name), find(&path(name))?).expect("the tree is empty");
        Some(Input { at: None, source: Source::Tree(tree) })
    }

    fn id(&self, name: &str) -> ActionId {
        id(self.position(name))
    }

    fn scan(&self) -> Scanned {
        let mut files: Vec<RelPath> = self
            .here()
            .steps
            .iter()
            .flat_map(|step| &step.reads)
            .filter(|name| name.contains('.'))
            .map(|name| path(name))
            .collect();
        files.sort_unstable();
        files.dedup();
        let mut cache = StatCache::new(FUNCTION, SystemTime::UNIX_EPOCH);
        scan::scan(&self.here().root, &files, &mut cache).expect("the sources are there")
    }

    fn build(&mut self, words: &[&str]) -> Vec<String> {
        let asked = Asked::parse(words);
        let scanned = self.scan();
        let (actions, exports) = self.lower(&|path| scanned.tree.find(path).cloned());
        let graph = ActionGraph::new(actions, exports).expect("a graph that is built was checked");
        let wanted: Vec<ActionId> = asked.wanted.iter().map(|name| self.id(name)).collect();
        let needed = graph.closure(&wanted);
        let exports: Vec<Export> = graph.exports().iter().filter(|e| needed.contains(&e.action)).cloned().collect();
        let mut history = std::mem::take(&mut self.here_mut().history);
        let verb = if asked.dry_run { "would run" } else { "ran" };
        let mut told = Told { graph: &graph, verb, lines: Vec::new() };
        let outcome = build::build(
            &graph,
            &Request {
                wanted: &wanted,
                exports: &exports,
                workspace: &self.here().root,
                forced: &asked.forced.iter().map(|name| self.id(name)).collect::<HashSet<_>>(),
                salt: "",
                limits: Limits { cpu: asked.jobs, network: 1, keep_going: asked.keep_going },
                dry_run: asked.dry_run,
            },
            &Services {
                blobs: &self.store.inner,
                results: &self.store,
                sources: &scanned.sources,
                sandbox: &self.toys,
                builtins: &self.toys,
                clock: self.toys.clock(),
                cancel: &Cancel::new(),
                is_explained: &|_, _| true,
            },
            &mut history,
            &mut |event: Event<'_>| told.hear(&event),
        );
        let mut lines = told.finish();
        lines.extend(outcome.export_error.as_ref().map(|e| format!("error: {e}")));
        if !asked.dry_run {
            lines.push(sum_up(&outcome.summary));
        }
        self.remember(&outcome, history);
        lines
    }

    fn remember(&mut self, outcome: &Outcome, history: History) {
        let here = self.here_mut();
        here.history = history;
        for (at, step) in here.steps.iter().enumerate() {
            if let Some(result) = outcome.result(id(at)) {
                here.left.insert(step.name.clone(), result.clone());
            }
        }
    }

    fn show(&self, name: &str) -> Vec<String> {
        match Blobs::get(&self.store.inner, self.blob_of(name)).expect("memory does not fail") {
            Some(bytes) => String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect(),
            None => vec!["lost".to_owned()],
        }
    }
}

/// The toys that stories use as builtins.
const TOOLS: [&str; 8] = ["concat", "upper", "fail", "panic", "forget-output", "spread", "clash", "stray"];

fn id(at: usize) -> ActionId {
    ActionId(u32::try_from(at).expect("a small graph"))
}

fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("a path in a story")
}

/// What a `build` line asks for.
struct Asked<'a> {
    wanted: Vec<&'a str>,
    forced: Vec<&'a str>,
    keep_going: bool,
    dry_run: bool,
    jobs: usize,
}

impl<'a> Asked<'a> {
    fn parse(words: &[&'a str]) -> Self {
        let mut asked = Self { wanted: vec![], forced: vec![], keep_going: false, dry_run: false, jobs: 1 };
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            match word {
                "--force" => asked.forced.push(words.next().expect("`--force` names an action")),
                "--keep-going" => asked.keep_going = true,
                "--dry-run" => asked.dry_run = true,
                "-j" => asked.jobs = words.next().and_then(|n| n.parse().ok()).expect("`-j` takes a number"),
                name => asked.wanted.push(name),
            }
        }
        asked
    }
}

/// What a build said, by action.
struct Told<'a> {
    graph: &'a ActionGraph,
    /// What starting an action is called: `ran`, or `would run` when nothing is run.
    verb: &'static str,
    lines: Vec<(ActionId, String)>,
}

impl Told<'_> {
    fn hear(&mut self, event: &Event<'_>) {
        let label = |id: ActionId| self.graph.action(id).label.as_str();
        let (action, line) = match event {
            Event::Hit { action, .. } => (*action, format!("reused {}", label(*action))),
            Event::Started { action, because } => {
                (*action, format!("{} {}: {}", self.verb, label(*action), describe(because)))
            }
            Event::Ran { action, how: Ran::Failed { failure }, .. } => {
                (*action, format!("{} failed: {}", label(*action), describe_failure(failure)))
            }
            Event::Ran { action, how: Ran::Built { unchanged: true, .. }, .. } => {
                (*action, format!("{} is as before", label(*action)))
            }
            Event::Skipped { action, because_of: Some(culprit) } => {
                (*action, format!("skipped {} for {}", label(*action), label(*culprit)))
            }
            Event::Skipped { action, because_of: None } => (*action, format!("skipped {}", label(*action))),
            Event::Exported { action, path } => (*action, format!("wrote {path}")),
            Event::Planned { .. }
            | Event::Undeclared { .. }
            | Event::Sandboxed { .. }
            | Event::Ran { how: Ran::Built { .. }, .. }
            | Event::Comparing { .. }
            | Event::Compared { .. }
            | Event::Degraded { .. }
            | Event::Finished { .. } => return,
        };
        self.lines.push((action, line));
    }

    fn finish(self) -> Vec<String> {
        let mut lines = self.lines;
        let place = |id: &ActionId| self.graph.order().iter().position(|at| at == id);
        lines.sort_by_key(|(action, _)| place(action));
        lines.into_iter().map(|(_, line)| line).collect()
    }
}

/// A reason in the fewest words.
fn describe(reason: &Reason) -> String {
    let Reason::Changed(changes) = reason else {
        let told = match reason {
            Reason::New => "new",
            Reason::ResultLost => "its result is lost",
            Reason::FailedBefore => "it failed before",
            Reason::WeakerSandbox => "the result is from a weaker sandbox",
            Reason::Forced => "forced",
            Reason::Rewound => "what it made is lost",
            Reason::Unexplained | Reason::Changed(_) => "unexplained",
        };
        return told.to_owned();
    };
    let told = changes.iter().map(|change| {
        let what = match &change.what {
            Changed::Source { path } => path.clone(),
            Changed::Made { by, .. } => format!("what {by} made"),
            Changed::Mounted { name, .. } => name.clone(),
            Changed::Field { field, name } => format!("{field:?} {name}").trim_end().to_owned(),
        };
        let roots: Vec<String> = change.roots.iter().map(describe_root).collect();
        let roots = if roots.is_empty() { roots.concat() } else { format!(" ({})", roots.join("; ")) };
        match (&change.old, &change.new) {
            (None, _) => format!("{what} is new{roots}"),
            (_, None) => format!("{what} is gone{roots}"),
            _ => format!("{what} changed{roots}"),
        }
    });
    told.collect::<Vec<_>>().join(", ")
}

fn describe_root(root: &Root) -> String {
    format!("{} by {}", describe(&root.because), root.through.join(", "))
}

fn describe_failure(failure: &Failure) -> String {
    match failure {
        Failure::Ended { status, stderr, .. } => format!("{status}, {}", String::from_utf8_lossy(stderr)),
        Failure::ChangedInput { path } => format!("it changed its input {path}"),
        Failure::MissingOutput { path, .. } => format!("it did not leave {path}"),
        Failure::BadOutput { path, why } | Failure::SourceChanged { path, why } => format!("{path}: {why}"),
        Failure::BadInput { why } | Failure::Machine { why } => why.clone(),
        Failure::Bug { why } => format!("bug: {why}"),
    }
}

fn sum_up(summary: &Summary) -> String {
    let counts = [
        (summary.built, "built"),
        (summary.reused_local, "reused"),
        (summary.failed, "failed"),
        (summary.skipped, "skipped"),
    ];
    let told: Vec<String> = counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    told.join(", ")
}

/// Results that another process records at the very moment this one takes the claim.
struct Rival {
    inner: MemoryStore,
    ready: Mutex<Vec<(ActionKey, ActionResult)>>,
}

impl Results for Rival {
    fn get(&self, key: &ActionKey) -> Result<Option<ActionResult>, StoreError> {
        Results::get(&self.inner, key)
    }

    fn put(&self, key: &ActionKey, result: &ActionResult) -> Result<ActionResult, StoreError> {
        Results::put(&self.inner, key, result)
    }

    fn forget(&self, key: &ActionKey) -> Result<(), StoreError> {
        self.inner.forget(key)
    }

    fn try_claim(&self, key: &ActionKey) -> Result<Option<Box<dyn Claim>>, StoreError> {
        let mut ready = self.ready.lock().expect("nothing panics while it is held");
        if let Some(at) = ready.iter().position(|(theirs, _)| theirs == key) {
            let (_, result) = ready.swap_remove(at);
            Results::put(&self.inner, key, &result)?;
        }
        self.inner.try_claim(key)
    }
}

/// Holds a story file to what happens; with `update`, writes what happens into it.
///
/// # Panics
/// When they differ, showing both whole.
pub fn check(file: &Path, update: bool) {
    let story = fs::read_to_string(file).expect("a story can be read");
    let told = tell(&story);
    if update {
        fs::write(file, told).expect("a story can be written");
    } else {
        assert!(told == story, "{} says\n\n{story}\nand this happened:\n\n{told}", file.display());
    }
}
