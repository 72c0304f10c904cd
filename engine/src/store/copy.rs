//! One file's bytes into another, the two independent afterwards: by reflink where the file system can, else copied.

use std::fs::File;
use std::io::{self, Write as _};
use std::time::{Duration, SystemTime};

use super::volume::{Handle, Stream};
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
pub(super) fn copy_digested(from: &dyn Handle, to: &dyn Handle, function: DigestFunction) -> io::Result<BlobDigest> {
    if reflink(from, to) {
        return function.digest_reader(&mut Stream(to));
    }
    let mut hasher = function.hasher();
    let size = usize::try_from(from.stamp()?.size_bytes).unwrap_or(PIECE_BYTES);
    // One more than there should be, so that a file that is as large as it says is read at once.
    let mut piece = vec![0; size.saturating_add(1).min(PIECE_BYTES)];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(n) => {
                hasher.update(&piece[..n]);
                Stream(to).write_all(&piece[..n])?;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Fills the empty file `to` from `from` without looking at the bytes, and returns their number.
pub(super) fn copy_unread(from: &dyn Handle, to: &dyn Handle) -> io::Result<u64> {
    if reflink(from, to) {
        return to.stamp().map(|stamp| stamp.size_bytes);
    }
    match (from.as_file(), to.as_file()) {
        // Inside the kernel, where it knows how.
        (Some(mut from), Some(mut to)) => io::copy(&mut from, &mut to),
        _ => io::copy(&mut Stream(from), &mut Stream(to)),
    }
}

/// Gives a copy the permissions and times that trees give their files: writable by its owner, read by all.
pub(super) fn finish_copy(file: &dyn Handle, executable: bool) -> io::Result<()> {
    file.set_mode(if executable { 0o755 } else { 0o644 })?;
    file.set_time(fixed_mtime())
}

/// Shares the bytes of two files until one is written to. False where the file system can't, which is most of them.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn reflink(from: &dyn Handle, to: &dyn Handle) -> bool {
    let files: Option<(&File, &File)> = from.as_file().zip(to.as_file());
    files.is_some_and(|(from, to)| rustix::fs::ioctl_ficlone(to, from).is_ok())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn reflink(_: &dyn Handle, _: &dyn Handle) -> bool {
    false
}
