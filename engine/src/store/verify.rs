//! The verifier: reads every byte of a store again, and drops what is not what it says.

use std::collections::HashSet;
use std::io::ErrorKind;

use rayon::prelude::*;

use super::disk::DiskStore;
use super::gc::remove;
use super::layout::Layout;
use super::survey::{self, BlobFile, BlobId};
use super::volume::Stream;
use super::{StoreError, claims, failed};
use crate::digest::BlobDigest;

/// What a verification found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verified {
    /// Files of blobs that were read.
    pub n_blobs: u64,
    /// Their size.
    pub blob_bytes: u64,
    /// Those that had lost their digest, and were removed.
    pub n_corrupt: u64,
    /// Results that were read.
    pub n_results: u64,
    /// Those that could not be understood or stood for a blob that is lost, and were removed.
    pub n_dangling: u64,
}

impl DiskStore {
    /// Reads every blob of every digest function again, removes those that are damaged, then the results that stand for
    /// a blob that isn't there. Returns `None` at once when another process verifies or collects.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read or a damaged file can't be removed.
    pub fn verify_all(&self) -> Result<Option<Verified>, StoreError> {
        let lock = self.layout.gc_lock();
        let Some(_lock) = claims::try_lock(&**self.layout.volume(), &lock).map_err(failed("lock", &lock))? else {
            return Ok(None);
        };
        let mut found = Verified::default();
        self.verify_blobs(&mut found)?;
        self.verify_results(&mut found)?;
        Ok(Some(found))
    }

    fn verify_blobs(&self, found: &mut Verified) -> Result<(), StoreError> {
        let blobs = survey::blobs(&self.layout)?;
        let corrupt =
            blobs.par_iter().map(|blob| remove_if_corrupt(&self.layout, blob)).collect::<Result<Vec<bool>, _>>()?;
        found.n_blobs = blobs.len() as u64;
        found.blob_bytes = blobs.iter().map(|blob| blob.stamp.size_bytes).sum();
        found.n_corrupt = corrupt.into_iter().map(u64::from).sum();
        Ok(())
    }

    fn verify_results(&self, found: &mut Verified) -> Result<(), StoreError> {
        let records = survey::records(&self.layout)?;
        let here: HashSet<BlobId> = survey::blobs(&self.layout)?.iter().map(|blob| blob.id).collect();
        found.n_results = records.len() as u64;
        for record in records {
            let is_whole = record.blobs.is_some_and(|ids| ids.iter().all(|id| here.contains(id)));
            found.n_dangling += u64::from(!is_whole && remove(&self.layout, &record.path)?);
        }
        Ok(())
    }
}

/// Whether the file was damaged; it is gone then. A file that was replaced or collected meanwhile is left alone.
fn remove_if_corrupt(layout: &Layout, blob: &BlobFile) -> Result<bool, StoreError> {
    let file = match layout.volume().open(&blob.path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        opened => opened.map_err(failed("read", &blob.path))?,
    };
    let found: BlobDigest = blob.id.0.digest_reader(&mut Stream(&*file)).map_err(failed("read", &blob.path))?;
    if found == blob.digest {
        return Ok(false);
    }
    let is_same = layout.volume().look(&blob.path).is_ok_and(|now| now.stamp.inode == blob.stamp.inode);
    Ok(is_same && remove(layout, &blob.path)?)
}
