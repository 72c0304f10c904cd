//! One file's bytes into another, the two independent afterwards: by reflink where the file system can, else copied.

use std::fs::{File, FileTimes, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use crate::digest::{BlobDigest, DigestFunction};

/// How much is read at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// The modification time of everything that is made from a tree: 2000-01-01T00:00:00Z. Trees carry no times, and a
/// time that differs between two builds would show in archives and in tools that compare times.
#[must_use]
pub fn fixed_mtime() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(946_684_800)
}

/// Fills the empty file `to` from `from`, both at their start, and returns the digest of what `to` holds now. Never
/// holds more than a piece in memory.
pub(super) fn copy_digested(mut from: &File, mut to: &File, function: DigestFunction) -> io::Result<BlobDigest> {
    if reflink(from, to) {
        return function.digest_reader(&mut to);
    }
    let mut hasher = function.hasher();
    let size = usize::try_from(from.metadata()?.len()).unwrap_or(PIECE_BYTES);
    // One more than there should be, so that a file that is as large as it says is read at once.
    let mut piece = vec![0; size.saturating_add(1).min(PIECE_BYTES)];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(n) => {
                hasher.update(&piece[..n]);
                to.write_all(&piece[..n])?;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Fills the empty file `to` from `from` without looking at the bytes, and returns their number.
pub(super) fn copy_unread(mut from: &File, mut to: &File) -> io::Result<u64> {
    if reflink(from, to) {
        return to.metadata().map(|meta| meta.len());
    }
    // Inside the kernel, where it knows how.
    io::copy(&mut from, &mut to)
}

/// Gives a copy the permissions and times that trees give their files: writable by its owner, read by all.
pub(super) fn finish_copy(file: &File, executable: bool) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(if executable { 0o755 } else { 0o644 }))?;
    let time = fixed_mtime();
    file.set_times(FileTimes::new().set_accessed(time).set_modified(time))
}

/// Shares the bytes of two files until one is written to. False where the file system can't, which is most of them.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn reflink(from: &File, to: &File) -> bool {
    rustix::fs::ioctl_ficlone(to, from).is_ok()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn reflink(_: &File, _: &File) -> bool {
    false
}
