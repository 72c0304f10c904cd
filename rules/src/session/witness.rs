//! [`up_to_date`]: whether anything that the last request of its kind looked at, or left behind, has moved since.

use run_engine::build::Outcome;
use run_engine::digest::{Blob, DigestFunction};
use run_engine::files::stamp::Stamp;
use run_engine::path::RelPath;
use run_engine::tree::Node;
use run_engine::witness::{At, Verdict, Witness};

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
    pub(super) fn witness(&self, selection: &Selection, outcome: &Outcome) -> Option<Witness> {
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
        let exported = exported_files(selection, outcome);
        let stamps = || exported.iter().map(|file| Stamp::of(&self.options.root.join(file)).ok()).collect();
        let mut left: Vec<Option<Stamp>> = stamps();
        if left.iter().flatten().any(|stamp| stamp.is_racy(self.options.clock.now())) {
            // One tick here saves the next command the whole of the long way.
            std::thread::sleep(Stamp::TICK);
            left = stamps();
        }
        for (file, stamp) in exported.iter().zip(left) {
            witness.saw(At::Inside(file), stamp?, self.options.clock.now()).ok()?;
        }
        Some(witness)
    }
}

/// Every file that exports put into the project.
fn exported_files(selection: &Selection, outcome: &Outcome) -> Vec<RelPath> {
    let mut files = Vec::new();
    for export in &selection.exports {
        let Some(known) = &outcome.known[export.action.index()] else { continue };
        match known.node(&export.output) {
            Some(Node::Directory(tree)) => {
                tree.walk(&mut |path, _| files.push(export.to.join(path)));
            }
            Some(_) => files.push(export.to.clone()),
            None => {}
        }
    }
    files
}
