//! A simulated process's hands: how it uses its store and its tools, by every way there is, and the lies that stand for
//! a bug between the two.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use run_engine::cancel::Cancel;
use run_engine::digest::{ActionKey, BlobDigest, DigestFunction};
use run_engine::sandbox::builtin::{Builtins, Call, CallError, Returned};
use run_engine::sandbox::{Execution, Job, Sandbox, SandboxError};
use run_engine::store::disk::DiskStore;
use run_engine::store::{ActionResult, Blobs, Claim, Results, StoreError, Strength};
use run_engine::testing::machine::{Process, ROOT, STORE};
use run_engine::testing::tool::Toys;

/// A promise that is broken between the store and those who use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lie {
    /// Bytes are given out as they are, rotten or not.
    UnverifiedReads,
    /// Nothing is ever missing.
    NothingMissing,
    /// A result is written before its blobs.
    ResultsFirst,
}

/// A process's way to its store and its tools.
pub(super) struct Hands<'a> {
    process: &'a Process,
    store: &'a DiskStore,
    toys: &'a Toys,
    n_scratch: &'a AtomicU64,
    lie: Option<Lie>,
    /// What is put once a result stands for it.
    late: Mutex<Vec<Vec<u8>>>,
}

impl<'a> Hands<'a> {
    pub(super) fn new(
        process: &'a Process,
        store: &'a DiskStore,
        toys: &'a Toys,
        n_scratch: &'a AtomicU64,
        lie: Option<Lie>,
    ) -> Self {
        Self { process, store, toys, n_scratch, lie, late: Mutex::default() }
    }

    /// A file that nobody else knows, on the simulated disk.
    fn scratch(&self) -> PathBuf {
        Path::new(ROOT).join(format!("scratch-{}", self.n_scratch.fetch_add(1, Ordering::SeqCst)))
    }

    /// The build relies on these from now on.
    fn told<T>(&self, digest: BlobDigest, answer: Option<T>) -> Option<T> {
        if answer.is_some() {
            self.process.was_told(digest);
        }
        answer
    }

    fn unverified(&self, digest: BlobDigest) -> Option<Vec<u8>> {
        let hex = digest.hex();
        self.process.machine().read(&Path::new(STORE).join("cas/blake3").join(&hex[..2]).join(hex))
    }

    fn put_somehow(&self, bytes: &[u8]) -> Result<BlobDigest, StoreError> {
        let digest = match self.process.choose(3) {
            0 => {
                let file = self.scratch();
                self.process.machine().write(&file, bytes);
                self.store.put_file(&file)?
            }
            _ => Blobs::put(self.store, bytes)?,
        };
        self.process.was_told(digest);
        Ok(digest)
    }
}

impl Blobs for Hands<'_> {
    fn function(&self) -> DigestFunction {
        self.store.function()
    }

    fn find_missing(&self, wanted: &[BlobDigest]) -> Result<Vec<BlobDigest>, StoreError> {
        let missing = self.store.find_missing(wanted)?;
        if matches!(self.lie, Some(Lie::NothingMissing | Lie::ResultsFirst)) {
            return Ok(Vec::new());
        }
        wanted.iter().filter(|digest| !missing.contains(digest)).for_each(|digest| self.process.was_told(*digest));
        Ok(missing)
    }

    /// Reads as a builtin does, from a copy as a sandbox does, or in place.
    fn get(&self, digest: BlobDigest) -> Result<Option<Vec<u8>>, StoreError> {
        if self.lie == Some(Lie::UnverifiedReads) {
            return Ok(self.unverified(digest));
        }
        let executable = self.process.choose(2) == 0;
        let bytes = match self.process.choose(4) {
            0 => {
                let to = self.scratch();
                let is_there = self.store.copy_to(digest, executable, &to)?;
                is_there.then(|| self.process.machine().read(&to)).flatten()
            }
            1 => self.store.lend(digest, executable)?.and_then(|path| self.process.machine().read(&path)),
            _ => Blobs::get(self.store, digest)?,
        };
        Ok(self.told(digest, bytes))
    }

    fn copy_to(&self, digest: BlobDigest, executable: bool, to: &Path) -> Result<bool, StoreError> {
        let is_there = self.store.copy_to(digest, executable, to)?;
        Ok(self.told(digest, is_there.then_some(())).is_some())
    }

    fn file(&self, digest: BlobDigest) -> Result<Option<PathBuf>, StoreError> {
        Ok(self.told(digest, self.store.file(digest)?))
    }

    fn put(&self, bytes: &[u8]) -> Result<BlobDigest, StoreError> {
        if self.lie == Some(Lie::ResultsFirst) {
            self.late.lock().expect("one thread").push(bytes.to_vec());
            return Ok(self.store.function().digest(bytes));
        }
        self.put_somehow(bytes)
    }

    fn put_file(&self, path: &Path) -> Result<BlobDigest, StoreError> {
        let digest = self.store.put_file(path)?;
        self.process.was_told(digest);
        Ok(digest)
    }
}

impl Results for Hands<'_> {
    fn get(&self, key: &ActionKey) -> Result<Option<ActionResult>, StoreError> {
        Results::get(self.store, key)
    }

    fn put(&self, key: &ActionKey, result: &ActionResult) -> Result<ActionResult, StoreError> {
        let stands = Results::put(self.store, key, result)?;
        let late = std::mem::take(&mut *self.late.lock().expect("one thread"));
        late.iter().try_for_each(|bytes| self.put_somehow(bytes).map(drop))?;
        Ok(stands)
    }

    fn forget(&self, key: &ActionKey) -> Result<(), StoreError> {
        self.store.forget(key)
    }

    fn try_claim(&self, key: &ActionKey) -> Result<Option<Box<dyn Claim>>, StoreError> {
        self.store.try_claim(key)
    }
}

/// The tools can't be started, or the process dies before or after they did their work.
impl Sandbox for Hands<'_> {
    fn strength(&self) -> Strength {
        self.toys.strength
    }

    fn run(&self, job: &Job<'_>, cancel: &Cancel) -> Result<Execution, SandboxError> {
        let failed = |what: &'static str| {
            move |cause| SandboxError::Setup { what: String::from(what), path: "the sandbox".into(), cause }
        };
        self.process.step().map_err(failed("start a tool in"))?;
        let execution = self.toys.run(job, cancel)?;
        self.process.step().map_err(failed("collect from"))?;
        Ok(execution)
    }
}

impl Builtins for Hands<'_> {
    fn call(&self, call: &Call<'_>) -> Result<Returned, CallError> {
        self.process.step().map_err(|e| CallError::Machine(e.to_string()))?;
        self.toys.call(call)
    }
}
