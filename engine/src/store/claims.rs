//! Claims: the right to run an action, exclusive among all threads and processes that share a store.
//!
//! A claim is a lock on one of 4096 files. The files are made once and never removed, so nobody can hold a lock on a
//! file that is no longer there, and a lock dies with its process. Two keys may share a file: within a process they
//! then share its lock; across processes the second one is told that someone else has it, which is late but never
//! wrong, because whoever is told so asks again.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::volume::{Handle, Volume};
use super::{Claim, StoreError, failed};
use crate::digest::ActionKey;

/// Which of the 4096 files: the first twelve bits of a key.
type Shard = u16;

/// The claims of this process.
#[derive(Debug)]
pub(super) struct Claims {
    volume: Arc<dyn Volume>,
    dir: PathBuf,
    held: Arc<Mutex<HashMap<Shard, Held>>>,
}

/// A locked file, and the keys it is locked for.
#[derive(Debug)]
struct Held {
    _lock: Box<dyn Handle>,
    keys: HashSet<ActionKey>,
}

struct HeldClaim {
    key: ActionKey,
    held: Arc<Mutex<HashMap<Shard, Held>>>,
}

impl Claim for HeldClaim {}

impl Claims {
    /// The claims kept in `dir`.
    pub(super) fn new(volume: Arc<dyn Volume>, dir: PathBuf) -> Self {
        Self { volume, dir, held: Arc::default() }
    }

    /// See [`super::Results::try_claim`].
    pub(super) fn try_claim(&self, key: &ActionKey) -> Result<Option<Box<dyn Claim>>, StoreError> {
        let mut held = lock(&self.held);
        match held.entry(shard(key)) {
            Entry::Occupied(mut entry) => {
                if !entry.get_mut().keys.insert(*key) {
                    return Ok(None);
                }
            }
            Entry::Vacant(entry) => {
                let path = self.dir.join(format!("{:03x}", shard(key)));
                let Some(file) = try_lock(&*self.volume, &path).map_err(failed("lock", &path))? else {
                    return Ok(None);
                };
                entry.insert(Held { _lock: file, keys: HashSet::from([*key]) });
            }
        }
        drop(held);
        Ok(Some(Box::new(HeldClaim { key: *key, held: Arc::clone(&self.held) })))
    }
}

impl Drop for HeldClaim {
    fn drop(&mut self) {
        let mut held = lock(&self.held);
        if let Entry::Occupied(mut entry) = held.entry(shard(&self.key)) {
            entry.get_mut().keys.remove(&self.key);
            if entry.get().keys.is_empty() {
                // Closes the file, which unlocks it.
                entry.remove();
            }
        }
    }
}

fn shard(key: &ActionKey) -> Shard {
    Shard::from(key.hash()[0]) << 4 | Shard::from(key.hash()[1] >> 4)
}

/// The file, made if need be and locked; `None` when another process has it locked.
pub(super) fn try_lock(volume: &dyn Volume, path: &Path) -> io::Result<Option<Box<dyn Handle>>> {
    let open = || volume.open_lock(path);
    let handle = match (open(), path.parent()) {
        (Err(e), Some(parent)) if e.kind() == ErrorKind::NotFound => {
            volume.make_directory(parent)?;
            open()?
        }
        (opened, _) => opened?,
    };
    Ok(handle.try_lock()?.then_some(handle))
}

/// What the mutex guards is whole between any two statements, so a panic elsewhere spoils nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::volume::Os;
    use super::*;
    use crate::digest::Digest;

    fn claims(dir: PathBuf) -> Claims {
        Claims::new(Arc::new(Os), dir)
    }

    fn key(first: u8, last: u8) -> ActionKey {
        let mut hash = [0; 32];
        (hash[0], hash[31]) = (first, last);
        Digest::from_parts(hash, 1)
    }

    #[test]
    fn a_key_is_claimed_once_and_again_after_release() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, theirs) = (claims(dir.path().join("c")), claims(dir.path().join("c")));
        let claim = ours.try_claim(&key(1, 1)).unwrap();
        assert!(claim.is_some());
        assert!(ours.try_claim(&key(1, 1)).unwrap().is_none());
        assert!(theirs.try_claim(&key(1, 1)).unwrap().is_none(), "another process");
        assert!(ours.try_claim(&key(2, 1)).unwrap().is_some());
        drop(claim);
        assert!(theirs.try_claim(&key(1, 1)).unwrap().is_some());
    }

    #[test]
    fn keys_that_share_a_file_are_apart_within_a_process() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, theirs) = (claims(dir.path().to_owned()), claims(dir.path().to_owned()));
        let one = ours.try_claim(&key(1, 1)).unwrap();
        let two = ours.try_claim(&key(1, 2)).unwrap();
        assert!(one.is_some() && two.is_some());
        drop(one);
        assert!(theirs.try_claim(&key(1, 2)).unwrap().is_none(), "still locked for the other key");
        drop(two);
        assert!(theirs.try_claim(&key(1, 2)).unwrap().is_some());
    }
}
