//! Workspace files → `Tree`, and from there into the store once somebody needs the bytes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(any(test, feature = "testing"))]
use super::ground::Ground;
use super::stamp::Stamp;
#[cfg(any(test, feature = "testing"))]
use super::stat_cache::digest_files_on;
use super::stat_cache::{FileError, FileState, Problem, StatCache, digest_files};
use crate::digest::{BlobDigest, DigestFunction};
use crate::path::RelPath;
use crate::store::{Blobs, StoreError};
use crate::tree::{Node, Tree};

/// What a list of files turned out to be.
#[derive(Debug)]
pub struct Scanned {
    /// The files as a tree.
    pub tree: Tree,
    /// Where their bytes are.
    pub sources: Sources,
    /// The stamp of each file, in the order they were given: what a [`crate::witness::Witness`] wants to know.
    pub stamps: Vec<Stamp>,
}

/// Looks at these files and links, which are relative to `root`, and nothing else.
///
/// # Errors
/// Every file that is missing, not a regular file, or a symbolic link that is absolute or leaves `root`: in their
/// order, at least one.
pub fn scan(root: &Path, files: &[RelPath], cache: &mut StatCache) -> Result<Scanned, Vec<FileError>> {
    put_together(root, files, digest_files(root, files, cache))
}

/// The same on a simulated disk.
///
/// # Errors
/// As for [`scan`].
#[cfg(any(test, feature = "testing"))]
pub(crate) fn scan_on(
    ground: &dyn Ground,
    root: &Path,
    files: &[RelPath],
    cache: &mut StatCache,
) -> Result<Scanned, Vec<FileError>> {
    put_together(root, files, digest_files_on(ground, files, cache))
}

fn put_together(
    root: &Path,
    files: &[RelPath],
    states: Vec<Result<FileState, FileError>>,
) -> Result<Scanned, Vec<FileError>> {
    let mut scanned = Scanned { tree: Tree::new(), sources: Sources::default(), stamps: Vec::new() };
    let mut errors = Vec::new();
    let shared: Arc<Path> = root.into();
    for (path, state) in files.iter().zip(states) {
        match state.and_then(|state| scanned.add(&shared, path, state)) {
            Ok(()) => {}
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(scanned) } else { Err(errors) }
}

impl Scanned {
    fn add(&mut self, root: &Arc<Path>, path: &RelPath, state: FileState) -> Result<(), FileError> {
        self.stamps.push(state.stamp());
        let (node, target) = match state {
            FileState::File { digest, stamp } => {
                self.sources.add(digest, root, path);
                (Node::File { digest, executable: stamp.is_executable() }, None)
            }
            FileState::Symlink { target, .. } => (Node::Symlink { target: target.as_str().into() }, Some(target)),
        };
        self.tree.insert(path, node).map_err(|conflict| {
            let problem = match target {
                Some(target) if !stays_inside(path, &target) => Problem::LinkLeaves { target },
                _ => Problem::Conflict(conflict.why),
            };
            FileError { path: path.clone(), problem }
        })
    }
}

/// Whether an empty tree would take the link: the one definition of staying inside is the tree's.
fn stays_inside(path: &RelPath, target: &str) -> bool {
    Tree::new().insert(path, Node::Symlink { target: target.into() }).is_ok()
}

/// Where bytes can be found that may not be in the store yet: files of the workspace, or what the caller made.
#[derive(Debug, Clone, Default)]
pub struct Sources(HashMap<BlobDigest, Origin>);

#[derive(Debug, Clone)]
enum Origin {
    File {
        root: Arc<Path>,
        path: RelPath,
    },
    /// Content that is no file of anyone's: the caller made it.
    Made(Arc<[u8]>),
}

/// The bytes of a source can't be brought into the store.
#[derive(Debug)]
pub enum IngestError {
    /// The file is gone, can't be read, or ([`Problem::ChangedDuringBuild`]) no longer has the digest it had.
    File(FileError),
    /// The store can't take it.
    Store(StoreError),
}

impl std::fmt::Display for IngestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for IngestError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(error) => error.source(),
            Self::Store(error) => error.source(),
        }
    }
}

impl Sources {
    fn add(&mut self, digest: BlobDigest, root: &Arc<Path>, path: &RelPath) {
        self.0.entry(digest).or_insert_with(|| Origin::File { root: Arc::clone(root), path: path.clone() });
    }

    /// Learns of content that the caller made, and returns its digest.
    pub fn made(&mut self, bytes: &[u8], function: DigestFunction) -> BlobDigest {
        let digest = function.digest(bytes);
        self.0.entry(digest).or_insert_with(|| Origin::Made(bytes.into()));
        digest
    }

    /// Learns that the files of a tree lie in a directory, by their paths in it.
    pub fn lies_in(&mut self, tree: &Tree, directory: &Path) {
        let root: Arc<Path> = directory.into();
        for (path, node) in tree.flatten() {
            if let Node::File { digest, .. } = node {
                self.add(digest, &root, &path);
            }
        }
    }

    /// Learns everything that `other` knows.
    pub fn merge(&mut self, other: Self) {
        for (digest, origin) in other.0 {
            self.0.entry(digest).or_insert(origin);
        }
    }

    /// The file that had this content when it was looked at.
    #[must_use]
    pub fn find(&self, digest: BlobDigest) -> Option<PathBuf> {
        match self.0.get(&digest)? {
            Origin::File { root, path } => Some(root.join(path)),
            Origin::Made(_) => None,
        }
    }

    /// Whether there is a source for this content.
    #[must_use]
    pub fn has(&self, digest: BlobDigest) -> bool {
        self.0.contains_key(&digest)
    }

    /// Brings the bytes into the store unless it has them. Returns false when no source had them.
    ///
    /// # Errors
    /// [`IngestError`], with [`Problem::ChangedDuringBuild`] when the file has other bytes by now.
    pub fn ingest(&self, digest: BlobDigest, blobs: &dyn Blobs) -> Result<bool, IngestError> {
        let Some(origin) = self.0.get(&digest) else { return Ok(false) };
        if blobs.find_missing(&[digest]).map_err(IngestError::Store)?.is_empty() {
            return Ok(true);
        }
        let (root, path) = match origin {
            Origin::File { root, path } => (root, path),
            Origin::Made(bytes) => return blobs.put(bytes).map(|kept| kept == digest).map_err(IngestError::Store),
        };
        let file_error = |problem| IngestError::File(FileError { path: path.clone(), problem });
        let absolute = root.join(path);
        let kept = blobs.put_file(&absolute).map_err(|e| {
            // Gone or unreadable is the file's doing, and its move; anything else is the store's.
            if e.path == absolute { file_error(e.cause.into()) } else { IngestError::Store(e) }
        })?;
        if kept == digest { Ok(true) } else { Err(file_error(Problem::ChangedDuringBuild)) }
    }
}
