//! Leases: what keeps the collector from blobs that a running build has seen.
//!
//! A lease is a file, locked for as long as its build runs, so that a dead build's lease can be told from a live one.
//! The file's own time stamp is the start of the lease, and a store under a lease brings the time of use of each blob it
//! reports up to at least that; the collector never takes a blob used since the oldest live lease began. All of
//! these times come from one clock, the file system's, so nothing depends on anybody else's.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::layout::Layout;
use super::volume::{Handle, Volume};
use super::{StoreError, failed};

/// Protects every blob that the store reports while it is held. Released on drop, and when the process dies.
#[derive(Debug)]
pub struct Lease {
    volume: Arc<dyn Volume>,
    /// Held for its lock.
    _file: Box<dyn Handle>,
    path: PathBuf,
    start_ns: i64,
}

impl Lease {
    /// A lease that starts now.
    pub(super) fn take(layout: &Layout) -> Result<Self, StoreError> {
        let (volume, dir) = (layout.volume(), layout.leases());
        loop {
            let made = volume.create_temporary(&dir, "lease-");
            let (file, path) = made.map_err(failed("create a file in", &dir))?;
            file.lock().map_err(failed("lock", &path))?;
            // Between its creation and its locking the collector may have taken the file for a dead build's.
            let start_ns = match (volume.look(&path), file.stamp()) {
                (Ok(named), Ok(ours)) if named.stamp.inode == ours.inode => ours.mtime_ns,
                (Err(e), _) if e.kind() == ErrorKind::NotFound => continue,
                (Err(e), _) | (_, Err(e)) => return Err(failed("read", &path)(e)),
                (Ok(_), Ok(_)) => continue,
            };
            return Ok(Self { volume: Arc::clone(volume), _file: file, path, start_ns });
        }
    }

    /// When it started, in nanoseconds of the file system's clock.
    pub(super) const fn start_ns(&self) -> i64 {
        self.start_ns
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // What can't be removed is found unlocked, and removed, by the next collection.
        let _ = self.volume.remove(&self.path);
    }
}

/// When the oldest live lease started; `None` when nobody holds one. Removes the leases of dead builds.
pub(super) fn oldest_live(layout: &Layout) -> Result<Option<i64>, StoreError> {
    let dir = layout.leases();
    let mut oldest = None;
    for path in layout.volume().list(&dir).map_err(failed("read", &dir))? {
        if let Some(start_ns) = live_since(&**layout.volume(), &path).map_err(failed("read", &path))? {
            oldest = Some(oldest.map_or(start_ns, |oldest: i64| oldest.min(start_ns)));
        }
    }
    Ok(oldest)
}

fn live_since(volume: &dyn Volume, path: &Path) -> io::Result<Option<i64>> {
    let file = match volume.open(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    if !file.try_lock()? {
        return Ok(Some(file.stamp()?.mtime_ns));
    }
    match volume.remove(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => Ok(None),
    }
}

/// Brings the times of use up to the latest lease of this process.
#[derive(Debug)]
pub(super) struct Toucher {
    /// Files used earlier than this are touched; before the first lease, none.
    before_ns: AtomicI64,
}

impl Toucher {
    /// One that touches nothing yet.
    pub(super) const fn idle() -> Self {
        Self { before_ns: AtomicI64::new(i64::MIN) }
    }

    /// From here on, what is used is marked with a time no older than this lease.
    pub(super) fn follow(&self, lease: &Lease) {
        self.before_ns.fetch_max(lease.start_ns(), Ordering::Relaxed);
    }

    /// Brings the file's time of use up to the lease unless it is at most `slack_ns` older. False when the file is gone.
    pub(super) fn touch(
        &self,
        volume: &dyn Volume,
        path: &Path,
        used_ns: i64,
        slack_ns: i64,
    ) -> Result<bool, StoreError> {
        if used_ns.saturating_add(slack_ns) >= self.before_ns.load(Ordering::Relaxed) {
            return Ok(true);
        }
        match volume.touch(path) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(failed("mark as used", path)(e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn leases_count_while_they_are_held_and_dead_ones_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::open(Arc::new(crate::store::volume::Os), dir.path()).unwrap();
        assert_eq!(oldest_live(&layout).unwrap(), None);
        let one = Lease::take(&layout).unwrap();
        let two = Lease::take(&layout).unwrap();
        assert_eq!(oldest_live(&layout).unwrap(), Some(one.start_ns().min(two.start_ns())));
        drop(one);
        assert_eq!(oldest_live(&layout).unwrap(), Some(two.start_ns()));
        drop(two);
        fs::write(layout.leases().join("lease-of-the-dead"), "").unwrap();
        assert_eq!(oldest_live(&layout).unwrap(), None);
        assert_eq!(fs::read_dir(layout.leases()).unwrap().count(), 0);
    }
}
