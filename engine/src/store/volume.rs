//! `Volume`: what the store asks of a file system, and the operating system's answer.
//!
//! The store touches its files through these calls and in no other way, so that a test can stand in for the file system
//! and let any of them fail, stop half-way or be the last. Each does what the call of that name does to a file system;
//! what is built from them (a write that is whole or not there, a lock, a lease) is the business of those who use them.

use std::fmt;
use std::fs::{self, File, FileTimes, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use tempfile::TempPath;

use crate::files::stamp::{Stamp, nanos};

/// What a file system says of a file of a store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// Its stamp.
    pub(crate) stamp: Stamp,
    /// When it was used last, in nanoseconds since 1970: its access time, which says nothing about its content. What
    /// only looks at a file does not change it ([`Volume::open`]); [`Volume::touch`] does.
    pub(crate) used_ns: i64,
}

/// A file system.
pub(crate) trait Volume: fmt::Debug + Send + Sync {
    /// Makes a directory and those above it, where they are not there yet.
    fn make_directory(&self, path: &Path) -> io::Result<()>;

    /// What is in a directory, sorted.
    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>>;

    /// What stands at `path`. Links are not followed.
    fn look(&self, path: &Path) -> io::Result<Seen>;

    /// Opens a file to read it, which is no use.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Handle>>;

    /// Opens a file to lock it; it is made, empty, where there is none.
    fn open_lock(&self, path: &Path) -> io::Result<Box<dyn Handle>>;

    /// Makes a new file to write and read; nothing may stand there.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Handle>>;

    /// Makes a new file whose name begins with `prefix` and is nobody else's. It stays until somebody removes it.
    fn create_temporary(&self, directory: &Path, prefix: &str) -> io::Result<(Box<dyn Handle>, PathBuf)>;

    /// Gives a file another name, in place of whatever has that one.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file another name, unless something has that one: `AlreadyExists`, and the file keeps the old one.
    fn rename_first(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Marks a file as used now.
    fn touch(&self, path: &Path) -> io::Result<()>;

    /// Sets when a file was written.
    fn date(&self, path: &Path, time: SystemTime) -> io::Result<()>;
}

/// A file of a volume, open. Dropped, it is closed, and a lock on it is gone.
pub(crate) trait Handle: fmt::Debug + Send + Sync {
    /// Reads what comes next; 0 at the end.
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes where the last write ended, perhaps less than all of it.
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// What it is.
    fn look(&self) -> io::Result<Seen>;

    /// Its stamp.
    fn stamp(&self) -> io::Result<Stamp> {
        Ok(self.look()?.stamp)
    }

    /// Sets its permissions, whatever the umask.
    fn set_mode(&self, mode: u32) -> io::Result<()>;

    /// Sets when it was written and read last.
    fn set_time(&self, time: SystemTime) -> io::Result<()>;

    /// Waits for an exclusive lock.
    fn lock(&self) -> io::Result<()>;

    /// Takes an exclusive lock unless somebody has one. Returns whether it did.
    fn try_lock(&self) -> io::Result<bool>;

    /// The file itself, where the operating system has it: what can be copied without reading it is.
    fn as_file(&self) -> Option<&File>;
}

/// All bytes of a file.
pub(super) fn read(volume: &dyn Volume, path: &Path) -> io::Result<Vec<u8>> {
    let handle = volume.open(path)?;
    let size = usize::try_from(handle.stamp()?.size_bytes).unwrap_or(0);
    let mut bytes = Vec::with_capacity(size);
    Stream(&*handle).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// An open file as something to read from and write to.
pub(crate) struct Stream<'a>(pub(crate) &'a dyn Handle);

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        // Nothing is held back, and nothing is synced: see `engine/docs/store.md`.
        Ok(())
    }
}

/// The operating system's files.
#[derive(Debug)]
pub(crate) struct Os;

impl Volume for Os {
    fn make_directory(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        let paths = fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path()));
        let mut paths = paths.collect::<io::Result<Vec<_>>>()?;
        paths.sort_unstable();
        Ok(paths)
    }

    fn look(&self, path: &Path) -> io::Result<Seen> {
        Ok(rustix::fs::lstat(path)?.into())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Handle>> {
        let open = |flags| rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC | flags, Mode::empty());
        let file = match open(UNUSED) {
            // Somebody else's file: the kernel leaves its times to its owner.
            Err(rustix::io::Errno::PERM) => open(OFlags::empty()),
            file => file,
        };
        Ok(Box::new(File::from(file?)))
    }

    fn open_lock(&self, path: &Path) -> io::Result<Box<dyn Handle>> {
        Ok(Box::new(File::options().create(true).truncate(false).write(true).open(path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Handle>> {
        Ok(Box::new(File::options().read(true).write(true).create_new(true).open(path)?))
    }

    fn create_temporary(&self, directory: &Path, prefix: &str) -> io::Result<(Box<dyn Handle>, PathBuf)> {
        let made = tempfile::Builder::new().prefix(prefix).tempfile_in(directory)?;
        let (file, path) = made.keep().map_err(|e| e.error)?;
        Ok((Box::new(file), path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn rename_first(&self, from: &Path, to: &Path) -> io::Result<()> {
        // It knows what each system and file system has for this.
        TempPath::try_from_path(from)?.persist_noclobber(to).map_err(|e| {
            // The file stays where it is: whoever made it knows what is to become of it.
            let _ = e.path.keep();
            e.error
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn touch(&self, path: &Path) -> io::Result<()> {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: AS_IT_IS };
        Ok(rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn date(&self, path: &Path, time: SystemTime) -> io::Result<()> {
        let time = Timespec { tv_sec: nanos(time).div_euclid(1_000_000_000), tv_nsec: 0 };
        let times = Timestamps { last_access: AS_IT_IS, last_modification: time };
        Ok(rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

/// A time that is not to be set.
const AS_IT_IS: Timespec = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };

/// Leaves the access time of what is opened alone, where the system can.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNUSED: OFlags = OFlags::NOATIME;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const UNUSED: OFlags = OFlags::empty();

impl From<Stat> for Seen {
    #[allow(clippy::unnecessary_cast, reason = "these types differ between platforms")]
    fn from(stat: Stat) -> Self {
        let used_ns = (stat.st_atime as i64).saturating_mul(1_000_000_000).saturating_add(stat.st_atime_nsec as i64);
        Self { stamp: stat.into(), used_ns }
    }
}

impl Handle for File {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&mut &*self).read(buffer)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        (&mut &*self).write(bytes)
    }

    fn look(&self) -> io::Result<Seen> {
        Ok(rustix::fs::fstat(self)?.into())
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.set_permissions(Permissions::from_mode(mode))
    }

    fn set_time(&self, time: SystemTime) -> io::Result<()> {
        self.set_times(FileTimes::new().set_accessed(time).set_modified(time))
    }

    fn lock(&self) -> io::Result<()> {
        Self::lock(self)
    }

    fn try_lock(&self) -> io::Result<bool> {
        match Self::try_lock(self) {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(e)) => Err(e),
        }
    }

    fn as_file(&self) -> Option<&File> {
        Some(self)
    }
}
