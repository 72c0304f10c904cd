//! The collector: keeps a store below a size by evicting what was used least recently, and its figures.
//!
//! Mark: a blob was last used when it was marked so itself, or when a result that stands for it was. Sweep, in two
//! phases: first the results that lose a blob, so that no result outlives what it promises, then the blobs.
//!
//! What a running build relies on is safe by the rule of [`super::lease`]: nothing used since the oldest live lease
//! began is taken. A blob that is used between our look and our hand is caught too: it is renamed away first,
//! and put back when its time of use is not the one that was seen. The collector holds a lease itself, so whatever is
//! written while it works is safe from it even where no build holds one.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::ErrorKind;
use std::path::Path;

use super::claims;
use super::disk::DiskStore;
use super::layout::Layout;
use super::lease::{self, Lease};
use super::survey::{self, BlobFile, BlobId, RecordFile};
use super::volume::Seen;
use super::{StoreError, failed};
use crate::digest::DigestFunction;

/// A temporary file this much older than the collection belongs to nobody: what writes one is never idle that long.
const ABANDONED_NS: i64 = 24 * 60 * 60 * 1_000_000_000;

/// How much is in a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// What each digest function names.
    pub per_function: BTreeMap<DigestFunction, Usage>,
}

/// How much is there of one digest function.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// The number of blobs.
    pub n_blobs: u64,
    /// The size of their files; a blob that is also kept as an executable file counts twice here.
    pub blob_bytes: u64,
    /// The number of results.
    pub n_results: u64,
    /// The size of their files.
    pub result_bytes: u64,
}

/// What a collection did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Files of blobs that were removed.
    pub n_blobs: u64,
    /// Results that were removed, because they lost a blob or couldn't be understood.
    pub n_results: u64,
    /// Abandoned temporary files that were removed.
    pub n_abandoned: u64,
    /// The size of all that was removed.
    pub freed_bytes: u64,
    /// The size of what remains. Above the cap only when running builds hold that much.
    pub kept_bytes: u64,
}

impl DiskStore {
    /// Counts what is in the store, under every digest function.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub fn stats(&self) -> Result<Stats, StoreError> {
        let mut stats = Stats::default();
        for record in survey::records(&self.layout)? {
            let usage = stats.per_function.entry(record.function).or_default();
            usage.n_results += 1;
            usage.result_bytes += record.stamp.size_bytes;
        }
        let mut seen = HashSet::new();
        for blob in survey::blobs(&self.layout)? {
            let usage = stats.per_function.entry(blob.id.0).or_default();
            usage.n_blobs += u64::from(seen.insert(blob.id));
            usage.blob_bytes += blob.stamp.size_bytes;
        }
        Ok(stats)
    }

    /// Evicts the least recently used blobs, of every digest function, until at most `cap_bytes` remain; and results
    /// that are of no use any more. Returns `None` at once when another process is doing so.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read or a file can't be removed. What was removed until then stays so.
    pub fn collect(&self, cap_bytes: u64) -> Result<Option<Collected>, StoreError> {
        let lock = self.layout.gc_lock();
        let Some(_lock) = claims::try_lock(&**self.layout.volume(), &lock).map_err(failed("lock", &lock))? else {
            return Ok(None);
        };
        self.put_back()?;
        let own = Lease::take(&self.layout)?;
        let records = survey::records(&self.layout)?;
        let blobs = survey::blobs(&self.layout)?;
        // Asked after the look: whoever took a lease since stamps what it uses later than this look saw.
        let safe_since_ns = lease::oldest_live(&self.layout)?.map_or(own.start_ns(), |ns| ns.min(own.start_ns()));

        let mut done = Collected::default();
        let total_bytes =
            records.iter().map(|r| r.stamp.size_bytes).chain(blobs.iter().map(|b| b.stamp.size_bytes)).sum::<u64>();
        let victims = choose(&blobs, &records, total_bytes.saturating_sub(cap_bytes), safe_since_ns);
        self.remove_results(&records, &blobs, &victims, &mut done)?;
        for victim in victims {
            if self.evict(victim)? {
                done.n_blobs += 1;
                done.freed_bytes += victim.stamp.size_bytes;
            }
        }
        done.kept_bytes = total_bytes.saturating_sub(done.freed_bytes);
        self.remove_abandoned(safe_since_ns.saturating_sub(ABANDONED_NS), &mut done)?;
        Ok(Some(done))
    }

    /// First phase: results that stand for a blob that is going or gone, or that nobody can read.
    fn remove_results(
        &self,
        records: &[RecordFile],
        blobs: &[BlobFile],
        victims: &[&BlobFile],
        done: &mut Collected,
    ) -> Result<(), StoreError> {
        let going: HashSet<&Path> = victims.iter().map(|victim| &*victim.path).collect();
        let staying: HashSet<BlobId> =
            blobs.iter().filter(|blob| !going.contains(&*blob.path)).map(|blob| blob.id).collect();
        for record in records {
            let is_useful = record.blobs.as_ref().is_some_and(|ids| ids.iter().all(|id| staying.contains(id)));
            if !is_useful && remove(&self.layout, &record.path)? {
                done.n_results += 1;
                done.freed_bytes += record.stamp.size_bytes;
            }
        }
        Ok(())
    }

    /// Second phase: removes a blob's file unless it was used since it was marked.
    fn evict(&self, victim: &BlobFile) -> Result<bool, StoreError> {
        let is_unused = |now: &Seen| now.used_ns == victim.used_ns && now.stamp.inode == victim.stamp.inode;
        let volume = self.layout.volume();
        // Looking first spares nearly every file that is in use from being away for an instant.
        if !volume.look(&victim.path).is_ok_and(|now| is_unused(&now)) {
            return Ok(false);
        }
        let aside = self.layout.aside(victim.id.0, &victim.path);
        match volume.rename(&victim.path, &aside) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(failed("remove", &victim.path)(e)),
        }
        let now = volume.look(&aside).map_err(failed("read", &aside))?;
        if is_unused(&now) {
            return remove(&self.layout, &aside);
        }
        volume.rename(&aside, &victim.path).map_err(failed("put back", &victim.path))?;
        Ok(false)
    }

    /// What a collector had put aside when it died belongs where it was: somebody may have used it in that moment.
    fn put_back(&self) -> Result<(), StoreError> {
        for path in survey::list(&self.layout, &self.layout.tmp())? {
            let Some(to) = self.layout.put_aside_from(&path) else { continue };
            match self.layout.volume().rename_first(&path, &to) {
                Ok(()) => {}
                // Whoever missed it has made it again; or everything was deleted meanwhile.
                Err(e) if matches!(e.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound) => {
                    remove(&self.layout, &path)?;
                }
                Err(e) => return Err(failed("put back", &to)(e)),
            }
        }
        Ok(())
    }

    /// Temporary files of writers that died.
    fn remove_abandoned(&self, before_ns: i64, done: &mut Collected) -> Result<(), StoreError> {
        for path in survey::list(&self.layout, &self.layout.tmp())? {
            let stamp = match self.layout.volume().look(&path) {
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                seen => seen.map_err(failed("read", &path))?.stamp,
            };
            if stamp.mtime_ns < before_ns && remove(&self.layout, &path)? {
                done.n_abandoned += 1;
                done.freed_bytes += stamp.size_bytes;
            }
        }
        Ok(())
    }
}

/// The files to evict so that `excess_bytes` are freed, least recently used first.
fn choose<'a>(
    blobs: &'a [BlobFile],
    records: &[RecordFile],
    excess_bytes: u64,
    safe_since_ns: i64,
) -> Vec<&'a BlobFile> {
    let mut used_ns: HashMap<BlobId, i64> = HashMap::new();
    for record in records {
        for id in record.blobs.iter().flatten() {
            let used = used_ns.entry(*id).or_insert(i64::MIN);
            *used = record.used_ns.max(*used);
        }
    }
    let last_used = |blob: &BlobFile| used_ns.get(&blob.id).map_or(blob.used_ns, |ns| blob.used_ns.max(*ns));
    let mut order: Vec<&BlobFile> = blobs.iter().filter(|blob| blob.used_ns < safe_since_ns).collect();
    order.sort_by_cached_key(|blob| (last_used(blob), blob.path.clone()));
    let mut freed_bytes = 0;
    order.retain(|blob| {
        let is_needed = freed_bytes < excess_bytes;
        freed_bytes += if is_needed { blob.stamp.size_bytes } else { 0 };
        is_needed
    });
    order
}

/// Removes a file. False when it was gone already.
pub(super) fn remove(layout: &Layout, path: &Path) -> Result<bool, StoreError> {
    match layout.volume().remove(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(failed("remove", path)(e)),
    }
}
