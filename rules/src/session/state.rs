//! [`State`]: what earlier requests left in `.run/state/` for later ones.
//!
//! It may be deleted at any time: `stamps` (what files hold), `history` (last key records, durations) and one
//! `witness-…` for each kind of request, which lets the next one of its kind answer "nothing to do" without reading
//! `run.toml`.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use run_engine::digest::{Blob, Digest, DigestFunction};
use run_engine::files::stat_cache::StatCache;
use run_engine::history::History;

use super::Options;

/// The directory, in the project, of everything that is only `run`'s business.
pub const PRIVATE: &str = ".run";

/// The state of one project.
pub(super) struct State {
    /// `.run` of the project.
    private: PathBuf,
    directory: PathBuf,
}

impl State {
    /// Of the project in `root`. Looks at nothing yet.
    pub(super) fn of(root: &Path) -> Self {
        let private = root.join(PRIVATE);
        Self { directory: private.join("state"), private }
    }

    /// What earlier builds taught; nothing where that can't be read.
    pub(super) fn history(&self) -> History {
        fs::read(self.directory.join("history")).map(|bytes| History::decode(&bytes)).unwrap_or_default()
    }

    /// What files hold. `looked` is a moment before the first of them is looked at.
    pub(super) fn stats(&self, function: DigestFunction, looked: SystemTime) -> StatCache {
        match fs::read(self.directory.join("stamps")) {
            Ok(bytes) => StatCache::from_bytes(&bytes, function, looked),
            Err(_) => StatCache::new(function, looked),
        }
    }

    /// Where the witness of a request like this one is: one file for each kind.
    pub(super) fn witness_file(&self, options: &Options) -> PathBuf {
        let kind: Digest<Blob> =
            DigestFunction::Blake3.digest(format!("{:?} {:?}", options.ask, options.profile).as_bytes());
        self.directory.join(format!("witness-{}", kind.short()))
    }

    /// Makes the directory, and has git ignore it.
    ///
    /// # Errors
    /// It can't be made.
    pub(super) fn prepare(&self) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        // Whether git ignores it is a comfort, no condition.
        let _ = write_if_changed(&self.private.join(".gitignore"), b"*\n");
        Ok(())
    }

    /// Writes what was learnt. What can't be written is learnt again.
    pub(super) fn save(&self, history: &History, stats: &StatCache) {
        let _ = replace(&self.directory.join("history"), &history.encode());
        let _ = replace(&self.directory.join("stamps"), &stats.to_bytes());
    }
}

/// Writes a file so that nobody sees half of it.
fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = file.parent().unwrap_or(Path::new("."));
    let mut temporary = tempfile::NamedTempFile::new_in(dir)?;
    temporary.write_all(bytes)?;
    temporary.persist(file)?;
    Ok(())
}

fn write_if_changed(file: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::read(file).is_ok_and(|there| there == bytes) { Ok(()) } else { replace(file, bytes) }
}
