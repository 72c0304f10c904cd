//! A store and a sandbox that have bad days, on a seed: what can go wrong on a machine goes wrong here, and a number is
//! enough to see it again.
//!
//! A fault is something that an engine must survive. A [`Lie`] is not: a store that lies breaks the promises of its
//! contract, which stands for a bug of ours, and tests use it to see that they would notice one.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cancel::Cancel;
use crate::digest::{ActionKey, BlobDigest, DigestFunction};
use crate::sandbox::builtin::{Builtins, Call, CallError, Returned};
use crate::sandbox::{Execution, Job, Sandbox, SandboxError};
use crate::store::memory::MemoryStore;
use crate::store::{ActionResult, Blobs, Claim, Results, StoreError, Strength};

/// Random numbers from a seed, the same on every machine (SplitMix64).
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The sequence of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is not 0.
    pub const fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// True `per_mille` times in a thousand.
    pub const fn chance(&mut self, per_mille: usize) -> bool {
        self.below(1000) < per_mille
    }
}

/// How bad the day is. The numbers are chances in a thousand, at each call.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plan {
    /// The store can't read, can't write, writes half, or is full.
    pub errors: usize,
    /// A blob vanishes.
    pub losses: usize,
    /// A bit of a blob flips.
    pub rot: usize,
    /// Somebody else has the claim, this time.
    pub busy: usize,
    /// The process dies at this call; none after it does anything.
    pub dies_at: Option<u64>,
}

/// A promise that a store breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// Bytes are given out as they are, rotten or not.
    UnverifiedReads,
    /// Nothing is ever missing.
    NothingMissing,
    /// Results are taken and dropped.
    ResultsDropped,
    /// Two keys are one when they begin alike.
    WeakKeys,
    /// Everybody gets every claim.
    ClaimsForAll,
    /// The last result recorded for a key is the one that stands, and, so that there can be two, everybody gets every
    /// claim.
    LastResultWins,
}

/// A [`MemoryStore`] on a bad day.
#[derive(Debug)]
pub struct FaultyStore<'a> {
    inner: &'a MemoryStore,
    plan: Plan,
    lie: Option<Lie>,
    rng: Mutex<Rng>,
    calls: AtomicU64,
    harms: AtomicU64,
}

impl<'a> FaultyStore<'a> {
    /// The store as it behaves on this day.
    #[must_use]
    pub fn new(inner: &'a MemoryStore, plan: Plan, lie: Option<Lie>, seed: u64) -> Self {
        Self { inner, plan, lie, rng: Mutex::new(Rng::new(seed)), calls: AtomicU64::new(0), harms: AtomicU64::new(0) }
    }

    /// How many calls failed and how many blobs were harmed.
    #[must_use]
    pub fn harms(&self) -> u64 {
        self.harms.load(Ordering::SeqCst)
    }

    /// Whether the process that used it died.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.plan.dies_at.is_some_and(|at| self.calls.load(Ordering::SeqCst) > at)
    }

    /// One call: time for something to go wrong.
    fn step(&self, what: &'static str) -> Result<(), StoreError> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        if self.plan.dies_at.is_some_and(|at| call >= at) {
            return Err(broken(what, ErrorKind::BrokenPipe));
        }
        let mut rng = lock(&self.rng);
        let kinds = [ErrorKind::WriteZero, ErrorKind::StorageFull, ErrorKind::Other];
        let (fails, loses, rots) =
            (rng.chance(self.plan.errors), rng.chance(self.plan.losses), rng.chance(self.plan.rot));
        let (choice, bit) = (rng.below(1 << 16), rng.below(1 << 16));
        drop(rng);
        self.harms.fetch_add([fails, loses, rots].map(u64::from).iter().sum(), Ordering::SeqCst);
        if loses || rots {
            let all = self.inner.blob_digests();
            if let Some(digest) = all.get(choice % all.len().max(1)) {
                if loses {
                    self.inner.remove_blob(*digest);
                } else {
                    self.inner.flip_bit(*digest, bit);
                }
            }
        }
        if fails { Err(broken(what, kinds[choice % kinds.len()])) } else { Ok(()) }
    }

    fn key(&self, key: &ActionKey) -> ActionKey {
        match self.lie {
            Some(Lie::WeakKeys) => ActionKey::from_parts([key.hash()[0] >> 5; 32], 0),
            _ => *key,
        }
    }
}

fn broken(what: &'static str, kind: ErrorKind) -> StoreError {
    StoreError { what, path: "store".into(), cause: Error::from(kind) }
}

impl Blobs for FaultyStore<'_> {
    fn function(&self) -> DigestFunction {
        self.inner.function()
    }

    fn find_missing(&self, wanted: &[BlobDigest]) -> Result<Vec<BlobDigest>, StoreError> {
        self.step("look for blobs in")?;
        let missing = self.inner.find_missing(wanted)?;
        Ok(if self.lie == Some(Lie::NothingMissing) { Vec::new() } else { missing })
    }

    fn get(&self, digest: BlobDigest) -> Result<Option<Vec<u8>>, StoreError> {
        self.step("read")?;
        match self.lie {
            Some(Lie::UnverifiedReads) => Ok(self.inner.get_unverified(digest)),
            _ => Blobs::get(self.inner, digest),
        }
    }

    fn copy_to(&self, digest: BlobDigest, executable: bool, to: &Path) -> Result<bool, StoreError> {
        self.step("copy from")?;
        self.inner.copy_to(digest, executable, to)
    }

    fn file(&self, digest: BlobDigest) -> Result<Option<PathBuf>, StoreError> {
        self.step("find a file in")?;
        self.inner.file(digest)
    }

    fn put(&self, bytes: &[u8]) -> Result<BlobDigest, StoreError> {
        self.step("write to")?;
        Blobs::put(self.inner, bytes)
    }

    fn put_file(&self, path: &Path) -> Result<BlobDigest, StoreError> {
        self.step("write to")?;
        self.inner.put_file(path)
    }
}

impl Results for FaultyStore<'_> {
    fn get(&self, key: &ActionKey) -> Result<Option<ActionResult>, StoreError> {
        self.step("look up a result in")?;
        Results::get(self.inner, &self.key(key))
    }

    fn put(&self, key: &ActionKey, result: &ActionResult) -> Result<ActionResult, StoreError> {
        self.step("record a result in")?;
        match self.lie {
            Some(Lie::ResultsDropped) => return Ok(result.clone()),
            Some(Lie::LastResultWins) => self.inner.forget(&self.key(key))?,
            _ => {}
        }
        Results::put(self.inner, &self.key(key), result)
    }

    fn forget(&self, key: &ActionKey) -> Result<(), StoreError> {
        self.step("forget a result in")?;
        self.inner.forget(&self.key(key))
    }

    fn try_claim(&self, key: &ActionKey) -> Result<Option<Box<dyn Claim>>, StoreError> {
        self.step("lock")?;
        if matches!(self.lie, Some(Lie::ClaimsForAll | Lie::LastResultWins)) {
            return Ok(Some(Box::new(NoClaim)));
        }
        if lock(&self.rng).chance(self.plan.busy) {
            return Ok(None);
        }
        self.inner.try_claim(key)
    }
}

/// A claim that excludes nobody.
struct NoClaim;

impl Claim for NoClaim {}

/// Tools on the same bad day: they can't be started, or the process dies before or after they did their work.
pub struct FaultyTools<'a, T> {
    inner: &'a T,
    store: &'a FaultyStore<'a>,
}

impl<'a, T> FaultyTools<'a, T> {
    /// The tools, sharing the day of a store.
    pub const fn new(inner: &'a T, store: &'a FaultyStore<'a>) -> Self {
        Self { inner, store }
    }
}

impl<T: Sandbox> Sandbox for FaultyTools<'_, T> {
    fn strength(&self) -> Strength {
        self.inner.strength()
    }

    fn run(&self, job: &Job<'_>, cancel: &Cancel) -> Result<Execution, SandboxError> {
        self.store.step("start a tool in")?;
        let execution = self.inner.run(job, cancel)?;
        self.store.step("collect from")?;
        Ok(execution)
    }
}

impl<T: Builtins> Builtins for FaultyTools<'_, T> {
    fn call(&self, call: &Call<'_>) -> Result<Returned, CallError> {
        self.store.step("start a builtin in")?;
        self.inner.call(call)
    }
}

/// What the mutexes guard is whole between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
