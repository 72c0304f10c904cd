//! `Stamp`: what the file system says about a file without reading it, and when that may be believed.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, FileType, Stat};

use crate::sealed::Fields;

/// How coarse they may be where a time has no fraction of a second: file systems with whole or even seconds.
const COARSE_TICK: Duration = Duration::from_secs(2);

/// Size, times, identity and mode of a file, directory or symbolic link. Equal stamps mean equal content, unless the
/// stamp [is racy](Stamp::is_racy).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The size.
    pub size_bytes: u64,
    /// When the content was written, in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// When the content or anything else about the file changed. Unlike the other it can't be set, so `touch -r` and
    /// `cp -p` don't go unseen.
    pub ctime_ns: i64,
    /// The inode, which tells a replaced file from an untouched one.
    pub inode: u64,
    /// Kind and permissions.
    pub mode: u32,
}

/// What kind of thing a [`Stamp`] is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A socket, a pipe or a device.
    Other,
}

impl Stamp {
    /// How coarse file times may be. Kernels stamp files from a clock that ticks every 1 to 10 ms.
    pub const TICK: Duration = Duration::from_millis(20);

    /// How many bytes [`Stamp::write`] appends.
    pub(crate) const BYTES: usize = 36;

    /// The stamp of what stands at `path`. Links are not followed.
    ///
    /// # Errors
    /// Whatever the file system answers; `NotFound` when nothing is there.
    pub fn of(path: &Path) -> io::Result<Self> {
        Ok(rustix::fs::lstat(path)?.into())
    }

    /// The stamp of what stands at `path`, which is relative to the open directory `dir`. Links are not followed.
    ///
    /// # Errors
    /// Whatever the file system answers; `NotFound` when nothing is there.
    pub fn below(dir: &File, path: &str) -> io::Result<Self> {
        Ok(rustix::fs::statat(dir, path, AtFlags::SYMLINK_NOFOLLOW)?.into())
    }

    /// The stamp of an open file.
    ///
    /// # Errors
    /// Whatever the file system answers.
    pub fn of_file(file: &File) -> io::Result<Self> {
        Ok(rustix::fs::fstat(file)?.into())
    }

    /// What it is a stamp of.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match FileType::from_raw_mode(self.mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink,
            _ => Kind::Other,
        }
    }

    /// Whether its owner may execute it.
    #[must_use]
    pub fn is_executable(&self) -> bool {
        self.mode & 0o100 != 0
    }

    /// Whether a change made after `looked` could have left this stamp as it is, because the file was last changed
    /// within the same tick of the clock, or later. Such a stamp proves nothing.
    #[must_use]
    pub fn is_racy(&self, looked: SystemTime) -> bool {
        let looked = nanos(looked);
        [self.mtime_ns, self.ctime_ns].into_iter().any(|stamp_ns| {
            let tick = if stamp_ns % 1_000_000_000 == 0 { COARSE_TICK } else { Self::TICK };
            stamp_ns >= looked.saturating_sub(tick.as_nanos() as i64)
        })
    }

    /// Appends the stamp as flat fields.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.size_bytes.to_le_bytes());
        out.extend(self.mtime_ns.to_le_bytes());
        out.extend(self.ctime_ns.to_le_bytes());
        out.extend(self.inode.to_le_bytes());
        out.extend(self.mode.to_le_bytes());
    }

    /// Reads what [`Stamp::write`] wrote.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self {
            size_bytes: fields.u64()?,
            mtime_ns: fields.i64()?,
            ctime_ns: fields.i64()?,
            inode: fields.u64()?,
            mode: fields.u32()?,
        })
    }
}

impl From<Stat> for Stamp {
    #[allow(clippy::unnecessary_cast, reason = "these types differ between platforms")]
    fn from(stat: Stat) -> Self {
        let nanos = |seconds: i64, fraction: i64| seconds.saturating_mul(1_000_000_000).saturating_add(fraction);
        Self {
            size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
            mtime_ns: nanos(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            ctime_ns: nanos(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
            inode: stat.st_ino as u64,
            mode: stat.st_mode as u32,
        }
    }
}

/// A time in nanoseconds since 1970, clamped to what 64 bits hold (the years 1677 to 2262).
pub(crate) fn nanos(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(mtime_ns: i64, ctime_ns: i64) -> Stamp {
        Stamp { size_bytes: 1, mtime_ns, ctime_ns, inode: 2, mode: 0o100_644 }
    }

    #[test]
    fn a_stamp_is_racy_within_a_tick_of_the_look_and_ever_after() {
        let looked = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        let at = |ms: i64| ms * 1_000_000 + 1;
        assert!(!stamp(at(99_900), at(99_900)).is_racy(looked));
        assert!(stamp(at(99_990), at(99_900)).is_racy(looked), "written in the same tick");
        assert!(stamp(at(99_900), at(99_990)).is_racy(looked), "changed in the same tick");
        assert!(stamp(at(200_000), at(99_900)).is_racy(looked), "written in the future");
        assert!(stamp(99_000_000_000, at(99_900)).is_racy(looked), "whole seconds are a coarser clock");
        assert!(!stamp(97_000_000_000, 97_000_000_000).is_racy(looked));
    }

    #[test]
    fn stamps_round_trip_as_fields() {
        let one = stamp(-5, i64::MAX);
        let mut out = Vec::new();
        one.write(&mut out);
        assert_eq!(out.len(), Stamp::BYTES);
        assert_eq!(Stamp::read(&mut Fields(&out)), Some(one));
    }

    #[test]
    fn kinds_and_modes_are_read_from_the_file_system() {
        let dir = tempfile::tempdir().unwrap();
        let stamp = Stamp::of(dir.path()).unwrap();
        assert_eq!(stamp.kind(), Kind::Directory);
        let open = File::open(dir.path()).unwrap();
        assert_eq!(Stamp::below(&open, ".").unwrap(), stamp);
        assert_eq!(Stamp::of_file(&open).unwrap(), stamp);
        assert_eq!(Stamp::below(&open, "none").unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
