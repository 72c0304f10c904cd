//! The reference implementation, in memory: what the contract means, and what tests compare other stores with.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{ActionResult, Blobs, Claim, Results, StoreError, copy, failed, standing};
use crate::digest::{ActionKey, BlobDigest, DigestFunction};

/// A store that lives and dies with the process.
#[derive(Debug)]
pub struct MemoryStore {
    function: DigestFunction,
    blobs: Mutex<BTreeMap<BlobDigest, Vec<u8>>>,
    results: Mutex<BTreeMap<ActionKey, ActionResult>>,
    claims: Arc<Mutex<HashSet<ActionKey>>>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(function: DigestFunction) -> Self {
        Self { function, blobs: Mutex::default(), results: Mutex::default(), claims: Arc::default() }
    }

    /// The digests of all blobs, sorted: for tests that choose one to harm.
    #[must_use]
    pub fn blob_digests(&self) -> Vec<BlobDigest> {
        lock(&self.blobs).keys().copied().collect()
    }

    /// Loses a blob, as a collector would. Returns whether it was there.
    pub fn remove_blob(&self, digest: BlobDigest) -> bool {
        lock(&self.blobs).remove(&digest).is_some()
    }

    /// The bytes as they are, right or wrong: for tests of a store that does not look.
    #[must_use]
    pub fn get_unverified(&self, digest: BlobDigest) -> Option<Vec<u8>> {
        lock(&self.blobs).get(&digest).cloned()
    }

    /// Flips a bit of a blob, counted from the front and round and round, as a bad disk would. Returns false when the
    /// blob isn't there or is empty.
    pub fn flip_bit(&self, digest: BlobDigest, bit: usize) -> bool {
        let mut blobs = lock(&self.blobs);
        let Some(bytes) = blobs.get_mut(&digest).filter(|bytes| !bytes.is_empty()) else {
            return false;
        };
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        true
    }
}

impl Blobs for MemoryStore {
    fn file(&self, _: BlobDigest) -> Result<Option<std::path::PathBuf>, StoreError> {
        Ok(None)
    }

    fn function(&self) -> DigestFunction {
        self.function
    }

    fn find_missing(&self, wanted: &[BlobDigest]) -> Result<Vec<BlobDigest>, StoreError> {
        let blobs = lock(&self.blobs);
        Ok(wanted.iter().copied().filter(|digest| !blobs.contains_key(digest)).collect())
    }

    fn get(&self, digest: BlobDigest) -> Result<Option<Vec<u8>>, StoreError> {
        let mut blobs = lock(&self.blobs);
        let Some(bytes) = blobs.get(&digest) else { return Ok(None) };
        if self.function.digest(bytes) == digest {
            return Ok(Some(bytes.clone()));
        }
        blobs.remove(&digest);
        Ok(None)
    }

    fn copy_to(&self, digest: BlobDigest, executable: bool, to: &Path) -> Result<bool, StoreError> {
        let Some(bytes) = Blobs::get(self, digest)? else { return Ok(false) };
        let mut file = File::create_new(to).map_err(failed("create", to))?;
        let written = file.write_all(&bytes).and_then(|()| copy::finish_copy(&file, executable));
        written.map(|()| true).map_err(failed("write", to))
    }

    fn put(&self, bytes: &[u8]) -> Result<BlobDigest, StoreError> {
        let digest = self.function.digest(bytes);
        // In the place of whatever stands there: a rotten twin is healed, a right one is the same.
        lock(&self.blobs).insert(digest, bytes.to_vec());
        Ok(digest)
    }

    fn put_file(&self, path: &Path) -> Result<BlobDigest, StoreError> {
        Blobs::put(self, &fs::read(path).map_err(failed("read", path))?)
    }
}

impl Results for MemoryStore {
    fn get(&self, key: &ActionKey) -> Result<Option<ActionResult>, StoreError> {
        Ok(lock(&self.results).get(key).cloned())
    }

    fn put(&self, key: &ActionKey, result: &ActionResult) -> Result<ActionResult, StoreError> {
        let mut results = lock(&self.results);
        let stands = standing(results.get(key), result).clone();
        results.insert(*key, stands.clone());
        Ok(stands)
    }

    fn forget(&self, key: &ActionKey) -> Result<(), StoreError> {
        lock(&self.results).remove(key);
        Ok(())
    }

    fn try_claim(&self, key: &ActionKey) -> Result<Option<Box<dyn Claim>>, StoreError> {
        let free = lock(&self.claims).insert(*key);
        Ok(free.then(|| Box::new(MemoryClaim { key: *key, claims: Arc::clone(&self.claims) }) as Box<dyn Claim>))
    }
}

struct MemoryClaim {
    key: ActionKey,
    claims: Arc<Mutex<HashSet<ActionKey>>>,
}

impl Claim for MemoryClaim {}

impl Drop for MemoryClaim {
    fn drop(&mut self) {
        lock(&self.claims).remove(&self.key);
    }
}

/// What the mutex guards is whole between any two statements, so a panic elsewhere spoils nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
