//! What is in a store: one walk over its directories, for the collector, the verifier and the figures.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::layout::{FUNCTIONS, Layout, parse_blob_name};
use super::volume::Seen;
use super::{ActionResult, OutputNode, StoreError, failed, results};
use crate::digest::{BlobDigest, DigestFunction};
use crate::files::stamp::{Kind, Stamp};
use crate::tree::{Node, Tree};

/// The bytes of a blob by which function names them and which hash: one blob, whatever its files.
pub(super) type BlobId = (DigestFunction, [u8; 32]);

/// A file that holds a blob.
#[derive(Debug)]
pub(super) struct BlobFile {
    pub(super) id: BlobId,
    pub(super) digest: BlobDigest,
    pub(super) path: PathBuf,
    pub(super) stamp: Stamp,
    /// When it was used last.
    pub(super) used_ns: i64,
}

/// A file that holds a result.
#[derive(Debug)]
pub(super) struct RecordFile {
    pub(super) path: PathBuf,
    pub(super) function: DigestFunction,
    pub(super) stamp: Stamp,
    /// When it was used last.
    pub(super) used_ns: i64,
    /// The blobs it stands for; `None` when it, or a tree it names, can't be understood.
    pub(super) blobs: Option<Vec<BlobId>>,
}

/// The results. Taken before the blobs: a result is written after its blobs, so each blob that a result found here
/// names was there before the blobs are listed.
pub(super) fn records(layout: &Layout) -> Result<Vec<RecordFile>, StoreError> {
    let mut all = Vec::new();
    for function in FUNCTIONS {
        let files = files(layout, &layout.records(function))?;
        let read = |(path, Seen { stamp, used_ns }): (PathBuf, Seen)| {
            let blobs = blobs_of(layout, function, &path)?;
            Ok(RecordFile { path, function, stamp, used_ns, blobs })
        };
        all.extend(files.into_par_iter().map(read).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(all)
}

/// The files of all blobs. Files of other names are nobody's business.
pub(super) fn blobs(layout: &Layout) -> Result<Vec<BlobFile>, StoreError> {
    let mut all = Vec::new();
    for function in FUNCTIONS {
        for (path, Seen { stamp, used_ns }) in files(layout, &layout.blobs(function))? {
            let name = path.file_name().and_then(|name| name.to_str());
            if let Some((digest, _)) = name.and_then(|name| parse_blob_name(name, stamp.size_bytes)) {
                let digest: BlobDigest = digest;
                all.push(BlobFile { id: (function, *digest.hash()), digest, path, stamp, used_ns });
            }
        }
    }
    Ok(all)
}

/// Every blob that the result in `path` stands for, those of its trees included.
fn blobs_of(layout: &Layout, function: DigestFunction, path: &Path) -> Result<Option<Vec<BlobId>>, StoreError> {
    let bytes = match layout.read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed("read", path)(e)),
    };
    let Some((key, result)) = results::decode(&bytes) else { return Ok(None) };
    if path != layout.record(function, &key) {
        return Ok(None);
    }
    let mut found = HashSet::new();
    let is_whole = collect_blobs(layout, function, &result, &mut found)?;
    Ok(is_whole.then(|| found.into_iter().map(|hash| (function, hash)).collect()))
}

/// Adds the hashes of a result's blobs. False when one of its trees can't be read.
fn collect_blobs(
    layout: &Layout,
    function: DigestFunction,
    result: &ActionResult,
    found: &mut HashSet<[u8; 32]>,
) -> Result<bool, StoreError> {
    found.extend([*result.stdout.hash(), *result.stderr.hash()]);
    for output in &result.outputs {
        match output.node {
            OutputNode::File { digest, .. } => drop(found.insert(*digest.hash())),
            OutputNode::Directory { tree: digest } => {
                found.insert(*digest.hash());
                let path = layout.blob(function, digest, false);
                let bytes = match layout.read(&path) {
                    Ok(bytes) => bytes,
                    Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
                    Err(e) => return Err(failed("read", &path)(e)),
                };
                let Ok(tree) = Tree::decode_whole(&bytes, function) else { return Ok(false) };
                tree.walk(&mut |_, node| {
                    if let Node::File { digest, .. } = node {
                        found.insert(*digest.hash());
                    }
                });
            }
        }
    }
    Ok(true)
}

/// The regular files two levels below `dir`.
fn files(layout: &Layout, dir: &Path) -> Result<Vec<(PathBuf, Seen)>, StoreError> {
    let shards = list(layout, dir)?;
    let listed = shards.par_iter().map(|shard| {
        let mut files = Vec::new();
        for path in list(layout, shard)? {
            match layout.volume().look(&path) {
                Ok(seen) if seen.stamp.kind() == Kind::File => files.push((path, seen)),
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(failed("read", &path)(e)),
            }
        }
        Ok(files)
    });
    Ok(listed.collect::<Result<Vec<_>, _>>()?.concat())
}

/// What is in a directory, sorted; nothing when there is no such directory.
pub(super) fn list(layout: &Layout, dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    match layout.volume().list(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed.map_err(failed("read", dir)),
    }
}
