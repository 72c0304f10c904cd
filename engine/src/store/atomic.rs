//! Write to a temporary name, then rename: the only way bytes reach the store.
//!
//! Nothing is synced: that costs milliseconds per file, and a store whose every read is verified gains nothing by it.
//! After a power cut a file may be torn under its final name; it then fails its verification, counts as missing and is
//! removed.

use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::NamedTempFile;

use super::layout::Layout;
use super::{StoreError, failed};

/// A file being written, under a temporary name. Dropped, it is gone.
pub(super) struct Incoming(NamedTempFile);

/// What became of a file that was to be placed only where there was none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Placed {
    /// It stands there now.
    Here,
    /// Another one stood there first, and still does.
    Standing,
}

impl Incoming {
    /// A new, empty file on the file system of the store.
    pub(super) fn new(layout: &Layout) -> Result<Self, StoreError> {
        let tmp = layout.tmp();
        let make = || tempfile::Builder::new().prefix("in-").tempfile_in(&tmp);
        let made = match make() {
            // Somebody tidied up; everything below a cache directory may go at any time.
            Err(e) if e.kind() == ErrorKind::NotFound => fs::create_dir_all(&tmp).and_then(|()| make()),
            made => made,
        };
        made.map(Self).map_err(failed("create a file in", &tmp))
    }

    /// The open file.
    pub(super) fn file(&self) -> &File {
        self.0.as_file()
    }

    /// Gives the file its permissions and its final name, replacing what stands there.
    pub(super) fn place(self, mode: u32, to: &Path) -> Result<(), StoreError> {
        self.chmod(mode, to)?;
        let again = match self.0.persist(to) {
            Ok(_) => return Ok(()),
            Err(e) if e.error.kind() == ErrorKind::NotFound => e.file,
            Err(e) => return Err(failed("write", to)(e.error)),
        };
        make_parent(to)?;
        again.persist(to).map(drop).map_err(|e| failed("write", to)(e.error))
    }

    /// Gives the file its permissions and its final name, unless something stands there: of several processes that try
    /// this at once, one succeeds.
    pub(super) fn place_first(self, mode: u32, to: &Path) -> Result<Placed, StoreError> {
        self.chmod(mode, to)?;
        make_parent(to)?;
        match self.0.persist_noclobber(to) {
            Ok(_) => Ok(Placed::Here),
            Err(e) if e.error.kind() == ErrorKind::AlreadyExists => Ok(Placed::Standing),
            Err(e) => Err(failed("write", to)(e.error)),
        }
    }

    fn chmod(&self, mode: u32, to: &Path) -> Result<(), StoreError> {
        self.file().set_permissions(Permissions::from_mode(mode)).map_err(failed("write", to))
    }
}

/// A temporary file with these bytes. Failures name `to`, for which they are meant.
pub(super) fn incoming(layout: &Layout, bytes: &[u8], to: &Path) -> Result<Incoming, StoreError> {
    let incoming = Incoming::new(layout)?;
    incoming.file().write_all(bytes).map_err(failed("write", to))?;
    Ok(incoming)
}

/// Writes a whole file of the store's own.
pub(super) fn write(layout: &Layout, bytes: &[u8], to: &Path) -> Result<(), StoreError> {
    incoming(layout, bytes, to)?.place(0o644, to)
}

fn make_parent(path: &Path) -> Result<(), StoreError> {
    let parent = path.parent().expect("every name in a store lies below its root");
    fs::create_dir_all(parent).map_err(failed("create the directory", parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_or_not_there_and_the_first_one_stands() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::open(dir.path()).unwrap();
        let to = dir.path().join("deep/er/file");
        drop(incoming(&layout, b"abandoned", &to).unwrap());
        assert!(!to.exists());
        let one = incoming(&layout, b"one", &to).unwrap();
        let two = incoming(&layout, b"two", &to).unwrap();
        assert_eq!(one.place_first(0o444, &to).unwrap(), Placed::Here);
        assert_eq!(two.place_first(0o444, &to).unwrap(), Placed::Standing);
        assert_eq!(fs::read(&to).unwrap(), b"one");
        assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o444);
        incoming(&layout, b"three", &to).unwrap().place(0o444, &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"three");
        assert_eq!(fs::read_dir(layout.tmp()).unwrap().count(), 0, "nothing is left behind");
    }
}
