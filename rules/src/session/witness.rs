//! [`up_to_date`]: whether anything that the last request of its kind looked at, or left behind, has moved since.

use run_engine::build::Outcome;
use run_engine::digest::{Blob, DigestFunction};
use run_engine::path::RelPath;
use run_engine::tree::Node;
use run_engine::witness::{At, Time, Verdict, Witness};

use super::state::State;
use super::{Options, Selection, Session, UpToDate};

/// Whether nothing at all has to be done. Reads one file and looks at what it names: no manifest, no WebAssembly.
#[must_use]
pub fn up_to_date(options: &Options) -> Option<UpToDate> {
    let witness = Witness::load(&State::of(&options.root).witness_file(options))?;
    if *witness.identity() != identity(options) {
        return None;
    }
    match witness.check(&options.root) {
        Verdict::Same => UpToDate::decode(witness.payload()),
        Verdict::Moved { .. } => None,
    }
}

/// Everything an answer depends on that is not a file.
fn identity(options: &Options) -> [u8; 32] {
    let Options {
        root: _,
        store,
        default_store,
        profile,
        reproducible,
        revision,
        looked: _,
        clock: _,
        // What is there is as up to date without a network.
        offline: _,
        environment,
        ask,
    } = options;
    let text = format!("{store:?} {default_store:?} {profile:?} {reproducible} {revision} {environment:?} {ask:?}");
    *DigestFunction::Blake3.digest::<Blob>(text.as_bytes()).hash()
}

impl Session {
    /// What this request looked at and left behind; `None` when that can't be written down.
    pub(super) fn witness(&mut self, selection: &Selection, outcome: &Outcome) -> Option<Witness> {
        let looked = self.options.looked;
        let payload = self.answer(selection, outcome).encode();
        let mut witness = Witness::new(identity(&self.options), payload);
        for (directory, stamp) in &self.directories {
            witness.saw(directory.as_ref().map_or(At::Root, At::Inside), *stamp, looked).ok()?;
        }
        for (file, stamp) in &self.looked.files {
            witness.saw(At::Inside(file), *stamp, looked).ok()?;
        }
        for absent in &self.looked.absent {
            witness.saw_nothing(At::Inside(absent)).ok()?;
        }
        for (path, stamp) in &self.watched {
            match stamp {
                Some(stamp) => witness.saw(At::Absolute(path), *stamp, looked).ok()?,
                None => witness.saw_nothing(At::Absolute(path)).ok()?,
            }
        }
        let clock = self.options.clock;
        let time = Time { now: &|| clock.now(), wait: &std::thread::sleep };
        let mut files = exported_files(selection, outcome);
        files.extend(self.bindings.files(self.manifest.digest_function()));
        witness.left(&self.options.root, &files, &mut self.stats, time).then_some(witness)
    }
}

/// Every file that exports put into the project, and what it is.
fn exported_files(selection: &Selection, outcome: &Outcome) -> Vec<(RelPath, Node)> {
    let mut files = Vec::new();
    for export in &selection.exports {
        let Some(known) = &outcome.known[export.action.index()] else { continue };
        match known.node(&export.output) {
            Some(Node::Directory(tree)) => {
                tree.walk(&mut |path, node| files.push((export.to.join(path), node.clone())));
            }
            Some(node) => files.push((export.to.clone(), node)),
            None => {}
        }
    }
    files
}
