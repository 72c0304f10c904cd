//! Write to a temporary name, then rename: the only way bytes reach the store.
//!
//! Nothing is synced: that costs milliseconds per file, and a store whose every read is verified gains nothing by it.
//! After a power cut a file may be torn under its final name; it then fails its verification, counts as missing and is
//! removed.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::layout::Layout;
use super::volume::{Handle, Stream, Volume};
use super::{StoreError, failed};

/// A file being written, under a temporary name. Dropped, it is gone.
pub(super) struct Incoming {
    volume: Arc<dyn Volume>,
    handle: Box<dyn Handle>,
    path: PathBuf,
    is_placed: bool,
}

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
        let volume = layout.volume();
        let make = || volume.create_temporary(&tmp, "in-");
        let made = match make() {
            // Somebody tidied up; everything below a cache directory may go at any time.
            Err(e) if e.kind() == ErrorKind::NotFound => volume.make_directory(&tmp).and_then(|()| make()),
            made => made,
        };
        let (handle, path) = made.map_err(failed("create a file in", &tmp))?;
        Ok(Self { volume: Arc::clone(volume), handle, path, is_placed: false })
    }

    /// The open file.
    pub(super) fn handle(&self) -> &dyn Handle {
        &*self.handle
    }

    /// Gives the file its permissions and its final name, replacing what stands there.
    pub(super) fn place(mut self, mode: u32, to: &Path) -> Result<(), StoreError> {
        let rename = |from: &Path| self.volume.rename(from, to);
        self.set_mode(mode, to)?;
        let renamed = match rename(&self.path) {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                make_parent(&*self.volume, to)?;
                rename(&self.path)
            }
            renamed => renamed,
        };
        renamed.map_err(failed("write", to))?;
        self.is_placed = true;
        Ok(())
    }

    /// Gives the file its permissions and its final name, unless something stands there: of several processes that try
    /// this at once, one succeeds.
    pub(super) fn place_first(mut self, mode: u32, to: &Path) -> Result<Placed, StoreError> {
        self.set_mode(mode, to)?;
        make_parent(&*self.volume, to)?;
        match self.volume.rename_first(&self.path, to) {
            Ok(()) => {
                self.is_placed = true;
                Ok(Placed::Here)
            }
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(Placed::Standing),
            Err(e) => Err(failed("write", to)(e)),
        }
    }

    fn set_mode(&self, mode: u32, to: &Path) -> Result<(), StoreError> {
        self.handle.set_mode(mode).map_err(failed("write", to))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.is_placed {
            // What can't be removed is abandoned, and removed by a collection once it is old.
            let _ = self.volume.remove(&self.path);
        }
    }
}

/// A temporary file with these bytes. Failures name `to`, for which they are meant.
pub(super) fn incoming(layout: &Layout, bytes: &[u8], to: &Path) -> Result<Incoming, StoreError> {
    let incoming = Incoming::new(layout)?;
    Stream(incoming.handle()).write_all(bytes).map_err(failed("write", to))?;
    Ok(incoming)
}

/// Writes a whole file of the store's own.
pub(super) fn write(layout: &Layout, bytes: &[u8], to: &Path) -> Result<(), StoreError> {
    incoming(layout, bytes, to)?.place(0o644, to)
}

fn make_parent(volume: &dyn Volume, path: &Path) -> Result<(), StoreError> {
    let parent = path.parent().expect("every name in a store lies below its root");
    volume.make_directory(parent).map_err(failed("create the directory", parent))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_whole_or_not_there_and_the_first_one_stands() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::open(Arc::new(crate::store::volume::Os), dir.path()).unwrap();
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
