//! How each kind of target becomes actions. What all rules share is here: where things stand in an input root, and how
//! a builtin action looks.
//!
//! ```text
//! work/…        the project's files, at their paths in the project; processes start here
//! toolchain/…   the trees of executables, by name
//! ```
//!
//! Builtins read plain names instead (`component.wasm`, `world`, `parts/NAME.wasm`): see [`crate::builtin`].

pub mod command;
pub mod component;
pub mod compose;
pub mod native;
pub mod package;
pub mod test;

use std::collections::BTreeMap;

use run_engine::action::{Action, ActionId, Input, Network, Part, Place, Slot, Source, Word, Work};
use run_engine::path::RelPath;
use run_engine::tree::Tree;

use crate::builtin::Builtin;
use crate::lower::Lowering;

/// Where the project's files stand in an input root.
pub const WORK: &str = "work";

/// Where toolchains stand.
pub const TOOLCHAIN: &str = "toolchain";

/// Where a composition's script stands.
pub const SCRIPT: &str = "script";

pub(crate) fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("a constant that is a path")
}

/// The directory of the project's files.
#[must_use]
pub fn work() -> RelPath {
    path(WORK)
}

/// A part of an input root that another action makes.
fn made(at: RelPath, (action, path): &(ActionId, RelPath)) -> Input {
    Input { at: Some(at), source: Source::Output { action: *action, path: path.clone() } }
}

/// A part of an input root that is known now.
fn known(at: RelPath, tree: Tree) -> Input {
    Input { at: Some(at), source: Source::Tree(tree) }
}

/// An action that is a function of ours.
fn builtin(label: String, place: Option<Place>, builtin: &Builtin, args: Vec<String>, inputs: Vec<Input>) -> Action {
    Action {
        label,
        place,
        work: Work::Builtin { name: builtin.name, revision: builtin.revision, args },
        env: BTreeMap::new(),
        directory: None,
        inputs,
        outputs: vec![],
        platform: BTreeMap::from([("crates".to_owned(), builtin.versions())]),
        timeout: None,
        network: Network::Denied,
        slot: Slot::Cpu,
        accelerators: vec![],
        varying: false,
    }
}

/// The `PATH` of a process: the `bin` directories of its toolchains and nothing else.
fn search_path<'a>(toolchains: impl Iterator<Item = &'a str>) -> Word {
    let mut parts = Vec::new();
    for name in toolchains {
        if !parts.is_empty() {
            parts.push(Part::Text(":".into()));
        }
        parts.push(Part::Path(path(&format!("{TOOLCHAIN}/{name}/bin"))));
    }
    Word::new(parts)
}

/// The environment every process has, besides what its rule adds.
///
/// In a reproducible build that is `SOURCE_DATE_EPOCH` too, the time that tools are to take instead of the present one. It is
/// not there otherwise, because it is keyed: a user who sets it, to a commit's time say, would run everything anew.
fn environment(lowering: &Lowering<'_>, path: Word) -> BTreeMap<String, Word> {
    let mut environment = BTreeMap::from([
        ("LANG".to_owned(), "C.UTF-8".into()),
        ("PATH".to_owned(), path),
        ("TZ".to_owned(), "UTC".into()),
    ]);
    if lowering.reproducible {
        environment.insert("SOURCE_DATE_EPOCH".to_owned(), lowering.epoch_seconds.to_string().into());
    }
    environment
}
