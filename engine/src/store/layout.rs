//! What stands where in a store directory, and which version of that this program understands.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::volume::{self, Volume};
use super::{StoreError, atomic, failed};
use crate::digest::{ActionKey, BlobDigest, Digest, DigestFunction, parse_hex};

/// The version of the layout, kept in the file `version`. Raised when an older program must not touch the store.
const VERSION: u32 = 1;

/// What backup programs look for before they copy a directory (see bford.info/cachedir).
const CACHEDIR_TAG: &[u8] =
    b"Signature: 8a477f597d28d172789f06886806bc55\n# A build cache: may be deleted at any time.\n";

/// After the digest in the name of a blob's executable file.
const EXECUTABLE_SUFFIX: &str = ".x";

/// Every digest function a store may hold blobs of.
pub(super) const FUNCTIONS: [DigestFunction; 2] = [DigestFunction::Blake3, DigestFunction::Sha256];

/// The names in a store directory, and the file system that it is on.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    volume: Arc<dyn Volume>,
    root: PathBuf,
}

impl Layout {
    /// The layout below `root`, which is made when it isn't there.
    pub(super) fn open(volume: Arc<dyn Volume>, root: &Path) -> Result<Self, StoreError> {
        let layout = Self { volume, root: root.to_owned() };
        for dir in [root, &layout.tmp(), &layout.claims(), &layout.leases()] {
            layout.volume.make_directory(dir).map_err(failed("create the directory", dir))?;
        }
        layout.check_version()?;
        Ok(layout)
    }

    fn check_version(&self) -> Result<(), StoreError> {
        let path = self.root.join("version");
        let text = match self.read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(e) if e.kind() == ErrorKind::NotFound => String::new(),
            Err(e) => return Err(failed("read", &path)(e)),
        };
        // An empty file, or one of zeros, is what a power cut leaves of a new one. One that is damaged in a directory that says it is a
        // cache may be written anew as well: everything else in a store is checked when it is read.
        let text = text.trim_end_matches('\0');
        let is_damaged = text.trim_end().parse::<u32>().is_err();
        if text.is_empty()
            || is_damaged && self.read(&self.root.join("CACHEDIR.TAG")).is_ok_and(|tag| tag == CACHEDIR_TAG)
        {
            atomic::write(self, CACHEDIR_TAG, &self.root.join("CACHEDIR.TAG"))?;
            return atomic::write(self, format!("{VERSION}\n").as_bytes(), &path);
        }
        let why = match text.trim_end().parse::<u32>() {
            Ok(VERSION) => return Ok(()),
            Ok(other) => format!(
                "the store has layout {other} and this program knows layout {VERSION}; use another directory, or the \
                 newer program, or delete the store"
            ),
            Err(_) => "its file `version` holds no number, so this is not a store; use another directory".to_owned(),
        };
        Err(failed("use the store", &self.root)(io::Error::other(why)))
    }

    /// The file system.
    pub(super) fn volume(&self) -> &Arc<dyn Volume> {
        &self.volume
    }

    /// All bytes of a file.
    pub(super) fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        volume::read(&*self.volume, path)
    }

    /// The store directory.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where files are written before they get their name: on the same file system as their final places.
    pub(super) fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// Where claims are locked.
    pub(super) fn claims(&self) -> PathBuf {
        self.root.join("claims")
    }

    /// Where running builds hold their leases.
    pub(super) fn leases(&self) -> PathBuf {
        self.root.join("leases")
    }

    /// Locked by the one process that collects garbage or verifies.
    pub(super) fn gc_lock(&self) -> PathBuf {
        self.root.join("gc.lock")
    }

    /// Where the blobs of a function are.
    pub(super) fn blobs(&self, function: DigestFunction) -> PathBuf {
        self.root.join("cas").join(function.name())
    }

    /// Where the results of a function are.
    pub(super) fn records(&self, function: DigestFunction) -> PathBuf {
        self.root.join("ac").join(function.name())
    }

    /// The file of a blob.
    pub(super) fn blob(&self, function: DigestFunction, digest: BlobDigest, executable: bool) -> PathBuf {
        let mut name = digest.hex();
        let shard = name[..2].to_owned();
        if executable {
            name.push_str(EXECUTABLE_SUFFIX);
        }
        self.below("cas", function, &shard, &name)
    }

    /// Where a collector puts a blob's file for the moment in which it decides.
    pub(super) fn aside(&self, function: DigestFunction, blob: &Path) -> PathBuf {
        let name = blob.file_name().expect("blobs have names").to_string_lossy();
        self.tmp().join(format!("{}-{name}", function.name()))
    }

    /// Where a file that was put [aside](Self::aside) belongs. `None` for any other.
    pub(super) fn put_aside_from(&self, path: &Path) -> Option<PathBuf> {
        let (function, name) = path.file_name()?.to_str()?.split_once('-')?;
        let function = FUNCTIONS.into_iter().find(|known| known.name() == function)?;
        parse_blob_name::<()>(name, 0).map(|_| self.below("cas", function, &name[..2], name))
    }

    /// The file of a result.
    pub(super) fn record(&self, function: DigestFunction, key: &ActionKey) -> PathBuf {
        let name = key.hex();
        self.below("ac", function, &name[..2], &name)
    }

    fn below(&self, kind: &str, function: DigestFunction, shard: &str, name: &str) -> PathBuf {
        let mut path = self.root.clone();
        path.extend([kind, function.name(), shard, name]);
        path
    }
}

/// The digest and executable bit behind the name of a blob's file; the size is that of the file.
pub(super) fn parse_blob_name<K>(name: &str, size_bytes: u64) -> Option<(Digest<K>, bool)> {
    let (hex, executable) = match name.strip_suffix(EXECUTABLE_SUFFIX) {
        Some(hex) => (hex, true),
        None => (name, false),
    };
    Some((Digest::from_parts(parse_hex(hex)?, size_bytes), executable))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::volume::Os;
    use super::*;

    #[test]
    fn names_round_trip() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::open(Arc::new(Os), dir.path()).unwrap();
        let digest: BlobDigest = DigestFunction::Blake3.digest(b"x");
        for executable in [false, true] {
            let path = layout.blob(DigestFunction::Blake3, digest, executable);
            assert!(path.starts_with(layout.blobs(DigestFunction::Blake3)));
            let name = path.file_name().unwrap().to_str().unwrap();
            assert_eq!(parse_blob_name(name, 1), Some((digest, executable)));
            assert_eq!(layout.put_aside_from(&layout.aside(DigestFunction::Blake3, &path)), Some(path));
        }
        assert_eq!(parse_blob_name::<()>("README", 1), None);
        assert_eq!(layout.put_aside_from(&layout.tmp().join("in-0123")), None);
    }

    #[test]
    fn a_newer_layout_is_refused_by_name_and_a_torn_version_is_written_again() {
        let dir = tempfile::tempdir().unwrap();
        Layout::open(Arc::new(Os), dir.path()).unwrap();
        let version = dir.path().join("version");
        assert_eq!(fs::read_to_string(&version).unwrap(), "1\n");
        fs::remove_file(&version).unwrap();
        for torn in ["", "\0\0"] {
            fs::write(&version, torn).unwrap();
            fs::write(dir.path().join("CACHEDIR.TAG"), "\0").unwrap();
            Layout::open(Arc::new(Os), dir.path()).unwrap();
            assert_eq!(fs::read_to_string(&version).unwrap(), "1\n");
        }
        fs::write(&version, "1\x0b\x7f").unwrap();
        Layout::open(Arc::new(Os), dir.path()).unwrap();
        assert_eq!(fs::read_to_string(&version).unwrap(), "1\n");
        fs::remove_file(dir.path().join("CACHEDIR.TAG")).unwrap();
        for (text, says) in [("2\n", "layout 2"), ("hello", "not a store")] {
            fs::remove_file(&version).unwrap();
            fs::write(&version, text).unwrap();
            let error = Layout::open(Arc::new(Os), dir.path()).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains(dir.path().to_str().unwrap()), "{error}");
        }
    }
}
