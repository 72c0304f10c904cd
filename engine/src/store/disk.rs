//! The store on disk: blobs and results of all of a user's projects, shared by any number of processes.
//!
//! `engine/docs/store.md` has the layout and the argument why a crash at any moment does no harm.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use super::atomic::{self, Incoming};
use super::claims::Claims;
use super::layout::Layout;
use super::lease::{Lease, Toucher};
use super::volume::{Handle, Os, Stream, Volume};
use super::{ActionResult, Blobs, Claim, Results, StoreError, copy, failed, fixed_mtime, results};
use crate::digest::{ActionKey, BlobDigest, DigestFunction};
use crate::files::stamp::{Stamp, nanos};

/// Files up to this size are read whole: one read answers whether the store has them already.
const WHOLE_BYTES: u64 = 1024 * 1024;

/// Up to how many blobs are looked for on one thread: waking the others costs more than that.
const FEW_BLOBS: usize = 64;

/// How far behind the time of a used result may lag: recency by the day is enough to choose what to evict.
const RESULT_SLACK_NS: i64 = 24 * 60 * 60 * 1_000_000_000;

/// A store in a directory.
#[derive(Debug)]
pub struct DiskStore {
    pub(super) layout: Layout,
    function: DigestFunction,
    claims: Claims,
    toucher: Toucher,
    /// The files whose content this process has seen to be right, and what they looked like then.
    verified: Mutex<HashMap<PathBuf, Stamp>>,
}

/// Everything that a store keeps in its directory: its own, and what its users keep beside it for as long as it lasts
/// (`toolchains`, the day of the last collection). Whoever removes a store removes these and nothing else.
pub const ENTRIES: &[&str] =
    &["ac", "cas", "claims", "collected", "gc.lock", "leases", "tmp", "toolchains", "CACHEDIR.TAG", MARK];

/// The file by which a store is known: the version of its layout.
pub const MARK: &str = "version";

/// A file of the store, opened.
struct Opened {
    path: PathBuf,
    handle: Box<dyn Handle>,
    stamp: Stamp,
}

impl Opened {
    fn stream(&self) -> Stream<'_> {
        Stream(&*self.handle)
    }
}

impl DiskStore {
    /// Opens the store in `root`, which is made if need be, for blobs named by `function`.
    ///
    /// # Errors
    /// [`StoreError`] when the directory can't be made, read or written, or holds a layout this program doesn't know.
    pub fn open(root: &Path, function: DigestFunction) -> Result<Self, StoreError> {
        Self::open_on(Arc::new(Os), root, function)
    }

    /// Opens the store in a directory of a volume.
    pub(crate) fn open_on(volume: Arc<dyn Volume>, root: &Path, function: DigestFunction) -> Result<Self, StoreError> {
        let layout = Layout::open(Arc::clone(&volume), root)?;
        let claims = Claims::new(volume, layout.claims());
        Ok(Self { layout, function, claims, toucher: Toucher::idle(), verified: Mutex::default() })
    }

    fn volume(&self) -> &dyn Volume {
        &**self.layout.volume()
    }

    /// The directory it is in.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.layout.root()
    }

    /// Keeps the collector from every blob this store reports to be there, from now until the lease is dropped. A build
    /// takes one before its first question.
    ///
    /// # Errors
    /// [`StoreError`] when the lease can't be written.
    pub fn lease(&self) -> Result<Lease, StoreError> {
        let lease = Lease::take(&self.layout)?;
        self.toucher.follow(&lease);
        Ok(lease)
    }

    /// The store's own file of a blob, verified and never writable (0444, or 0555 when `executable`), with the time of
    /// everything that is made from a tree ([`fixed_mtime`]): to be mounted read-only, not to be
    /// handed to anything that could change it. `None` when the blob isn't here.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read, or the executable file can't be written.
    pub fn lend(&self, digest: BlobDigest, executable: bool) -> Result<Option<PathBuf>, StoreError> {
        let path = self.layout.blob(self.function, digest, executable);
        if self.is_good(&path, digest)? {
            return Ok(Some(path));
        }
        let twin = self.layout.blob(self.function, digest, !executable);
        let Some(opened) = self.open_blob(&twin, digest)? else { return Ok(None) };
        let incoming = Incoming::new(&self.layout)?;
        let copied = copy::copy_digested(&*opened.handle, incoming.handle(), self.function);
        if copied.map_err(failed("copy", &twin))? != digest {
            self.discard(&opened)?;
            return Ok(None);
        }
        incoming.place(mode(executable), &path)?;
        Ok(self.is_good(&path, digest)?.then_some(path))
    }

    /// Whether a blob's file is there and right. Dates it, if it is.
    fn is_good(&self, path: &Path, digest: BlobDigest) -> Result<bool, StoreError> {
        let Some(opened) = self.open_blob(path, digest)? else { return Ok(false) };
        if !self.verify(&opened, digest)? {
            return Ok(false);
        }
        if opened.stamp.mtime_ns != nanos(fixed_mtime()) {
            match self.volume().date(path, fixed_mtime()) {
                Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
                dated => dated.map_err(failed("set the time of", path))?,
            }
            let dated = opened.handle.stamp().map_err(failed("read", path))?;
            self.carry_over(path, &opened.stamp, dated);
        }
        Ok(true)
    }

    /// The file of a blob, marked as used; `None` when it isn't there or can't be the blob because of its size.
    fn open_blob(&self, path: &Path, digest: BlobDigest) -> Result<Option<Opened>, StoreError> {
        let handle = match self.volume().open(path) {
            Ok(handle) => handle,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed("read", path)(e)),
        };
        let seen = handle.look().map_err(failed("read", path))?;
        if !self.toucher.touch(self.volume(), path, seen.used_ns, 0)? {
            return Ok(None);
        }
        let stamp = handle.stamp().map_err(failed("read", path))?;
        self.carry_over(path, &seen.stamp, stamp);
        let opened = Opened { path: path.to_owned(), handle, stamp };
        // Whoever reads it would find this out too; here it costs no reading.
        if stamp.size_bytes != digest.size_bytes() {
            self.discard(&opened)?;
            return Ok(None);
        }
        Ok(Some(opened))
    }

    /// Whether the file has its digest. Read on first use per process, and again when its stamp has changed; a file
    /// that fails is removed.
    fn verify(&self, opened: &Opened, digest: BlobDigest) -> Result<bool, StoreError> {
        if self.is_verified(opened) {
            return Ok(true);
        }
        let found: BlobDigest =
            self.function.digest_reader(&mut opened.stream()).map_err(failed("read", &opened.path))?;
        self.settle(opened, found == digest)
    }

    /// Remembers that a file is right, or removes it.
    fn settle(&self, opened: &Opened, is_right: bool) -> Result<bool, StoreError> {
        if is_right {
            self.verified_files().insert(opened.path.clone(), opened.stamp);
        } else {
            self.discard(opened)?;
        }
        Ok(is_right)
    }

    fn is_verified(&self, opened: &Opened) -> bool {
        self.verified_files().get(&opened.path) == Some(&opened.stamp)
    }

    /// Our own touch changes a file's stamp and not its content.
    fn carry_over(&self, path: &Path, before: &Stamp, after: Stamp) {
        if *before != after
            && let Some(known) = self.verified_files().get_mut(path).filter(|known| *known == before)
        {
            *known = after;
        }
    }

    fn verified_files(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, Stamp>> {
        // Whole between any two statements, so a panic elsewhere spoils nothing.
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes a file that isn't what its name says, unless another process has put a new one there by now.
    fn discard(&self, opened: &Opened) -> Result<(), StoreError> {
        self.verified_files().remove(&opened.path);
        let removed = match self.volume().look(&opened.path) {
            Ok(now) if now.stamp.inode == opened.stamp.inode => self.volume().remove(&opened.path),
            Ok(_) => Ok(()),
            Err(e) => Err(e),
        };
        match removed {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(failed("remove the damaged file", &opened.path)(e)),
            _ => Ok(()),
        }
    }

    /// Whether the blob is there and right: whoever puts a blob relies on it from then on, so one that rotted is
    /// replaced now and not found out later.
    fn is_kept(&self, digest: BlobDigest) -> Result<bool, StoreError> {
        let good = self.first_good(digest, |opened| Ok(self.verify(opened, digest)?.then_some(())))?;
        Ok(good.is_some())
    }

    /// Whether a file of the blob is there and has its size. Marks it as used.
    fn is_present(&self, digest: BlobDigest) -> Result<bool, StoreError> {
        for executable in [false, true] {
            let path = self.layout.blob(self.function, digest, executable);
            match self.volume().look(&path) {
                Ok(seen) if seen.stamp.size_bytes == digest.size_bytes() => {
                    if self.toucher.touch(self.volume(), &path, seen.used_ns, 0)? {
                        return Ok(true);
                    }
                }
                // Torn: opening removes it.
                Ok(_) => drop(self.open_blob(&path, digest)?),
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(failed("look for", &path)(e)),
            }
        }
        Ok(false)
    }

    /// Tries both files of a blob until `use_it` has got what it needs from one.
    fn first_good<T>(
        &self,
        digest: BlobDigest,
        use_it: impl Fn(&Opened) -> Result<Option<T>, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        for executable in [false, true] {
            if let Some(opened) = self.open_blob(&self.layout.blob(self.function, digest, executable), digest)?
                && let Some(got) = use_it(&opened)?
            {
                return Ok(Some(got));
            }
        }
        Ok(None)
    }

    fn copy_from(&self, opened: &Opened, digest: BlobDigest, executable: bool, to: &Path) -> Result<bool, StoreError> {
        let file = self.volume().create(to).map_err(failed("create", to))?;
        let is_right = if self.is_verified(opened) {
            copy::copy_unread(&*opened.handle, &*file).map(|n| n == digest.size_bytes())
        } else {
            copy::copy_digested(&*opened.handle, &*file, self.function).map(|found| found == digest)
        };
        let finished = is_right.and_then(|is_right| copy::finish_copy(&*file, executable).map(|()| is_right));
        if !matches!(finished, Ok(true)) {
            self.volume().remove(to).map_err(failed("remove", to))?;
        }
        self.settle(opened, finished.map_err(failed("write", to))?)
    }
}

const fn mode(executable: bool) -> u32 {
    if executable { 0o555 } else { 0o444 }
}

impl Blobs for DiskStore {
    fn file(&self, digest: BlobDigest) -> Result<Option<PathBuf>, StoreError> {
        self.lend(digest, false)
    }

    fn function(&self) -> DigestFunction {
        self.function
    }

    fn find_missing(&self, wanted: &[BlobDigest]) -> Result<Vec<BlobDigest>, StoreError> {
        let missing = |digest: &BlobDigest| Ok((!self.is_present(*digest)?).then_some(*digest));
        if wanted.len() <= FEW_BLOBS {
            return wanted.iter().map(missing).filter_map(Result::transpose).collect();
        }
        wanted.par_iter().with_min_len(FEW_BLOBS).map(missing).filter_map(Result::transpose).collect()
    }

    fn get(&self, digest: BlobDigest) -> Result<Option<Vec<u8>>, StoreError> {
        self.first_good(digest, |opened| {
            let mut bytes = Vec::with_capacity(usize::try_from(digest.size_bytes()).unwrap_or(0));
            opened.stream().read_to_end(&mut bytes).map_err(failed("read", &opened.path))?;
            let is_right = self.settle(opened, self.function.digest(&bytes) == digest)?;
            Ok(is_right.then_some(bytes))
        })
    }

    fn copy_to(&self, digest: BlobDigest, executable: bool, to: &Path) -> Result<bool, StoreError> {
        let copied = self.first_good(digest, |opened| {
            self.copy_from(opened, digest, executable, to).map(|is_right| is_right.then_some(()))
        })?;
        Ok(copied.is_some())
    }

    fn put(&self, bytes: &[u8]) -> Result<BlobDigest, StoreError> {
        let digest = self.function.digest(bytes);
        if !self.is_kept(digest)? {
            let to = self.layout.blob(self.function, digest, false);
            atomic::incoming(&self.layout, bytes, &to)?.place(mode(false), &to)?;
        }
        Ok(digest)
    }

    fn put_file(&self, path: &Path) -> Result<BlobDigest, StoreError> {
        let cannot_read = |e: io::Error| failed("read", path)(e);
        let mut file = self.volume().open(path).map_err(cannot_read)?;
        if file.stamp().map_err(cannot_read)?.size_bytes <= WHOLE_BYTES {
            let mut bytes = Vec::new();
            let n = Stream(&*file).take(WHOLE_BYTES + 1).read_to_end(&mut bytes).map_err(cannot_read)?;
            if n as u64 <= WHOLE_BYTES {
                return Blobs::put(self, &bytes);
            }
            // It grew meanwhile: stream it like any large file.
            file = self.volume().open(path).map_err(cannot_read)?;
        }
        let incoming = Incoming::new(&self.layout)?;
        let copied = copy::copy_digested(&*file, incoming.handle(), self.function);
        let digest = copied.map_err(failed("copy into the store", path))?;
        if !self.is_kept(digest)? {
            incoming.place(mode(false), &self.layout.blob(self.function, digest, false))?;
        }
        Ok(digest)
    }
}

impl Results for DiskStore {
    fn get(&self, key: &ActionKey) -> Result<Option<ActionResult>, StoreError> {
        let path = self.layout.record(self.function, key);
        let found = results::read(&self.layout, &path, key)?;
        if found.is_some()
            && let Ok(seen) = self.volume().look(&path)
        {
            // Gone by now or not, what was read is true.
            self.toucher.touch(self.volume(), &path, seen.used_ns, RESULT_SLACK_NS)?;
        }
        Ok(found)
    }

    fn put(&self, key: &ActionKey, result: &ActionResult) -> Result<ActionResult, StoreError> {
        results::write(&self.layout, self.function, key, result)
    }

    fn forget(&self, key: &ActionKey) -> Result<(), StoreError> {
        let path = self.layout.record(self.function, key);
        match self.volume().remove(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(failed("remove", &path)(e)),
            _ => Ok(()),
        }
    }

    fn try_claim(&self, key: &ActionKey) -> Result<Option<Box<dyn Claim>>, StoreError> {
        self.claims.try_claim(key)
    }
}
