//! `Scratch`: where a sandbox of one process puts its private directories, and sweeps up after those that were killed.
//!
//! Each process has a directory of its own and, beside it, a lock file that it holds as long as it lives. A directory
//! whose lock nobody holds belongs to nobody: whoever comes next removes it.

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::SandboxError;

/// A process's own directory. Gone, with everything in it, when this is.
#[derive(Debug)]
pub(super) struct Scratch {
    directory: PathBuf,
    lock: PathBuf,
    /// Held, not used: the lock ends with it.
    _held: File,
}

/// What follows the name of a directory in that of its lock.
const LOCK: &str = ".lock";

impl Scratch {
    /// Makes a directory in `parent`, and sweeps what dead processes left there.
    pub(super) fn new(parent: &Path) -> Result<Self, SandboxError> {
        let failed = |cause| SandboxError::setup("make a private directory in", parent, cause);
        own(parent).map_err(failed)?;
        let (lock, held) = take_lock(parent).map_err(failed)?;
        let directory = PathBuf::from(lock.to_string_lossy().trim_end_matches(LOCK).to_owned());
        fs::create_dir(&directory).map_err(failed)?;
        sweep(parent);
        Ok(Self { directory, lock, _held: held })
    }

    /// A new private directory.
    pub(super) fn private(&self) -> Result<Private, SandboxError> {
        let directory = tempfile::Builder::new()
            .prefix("action-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(&self.directory)
            .map_err(|cause| SandboxError::setup("make a private directory in", &self.directory, cause))?;
        Ok(Private(directory.keep()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.directory);
        let _ = fs::remove_file(&self.lock);
    }
}

/// A directory that is gone when this is, whatever permissions a process left in it.
#[derive(Debug)]
pub(super) struct Private(PathBuf);

impl Private {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// Makes a directory that is this user's alone, or makes sure that it is: it may lie where everybody can write.
fn own(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let meta = fs::symlink_metadata(directory)?;
    let is_ours = meta.is_dir() && meta.uid() == rustix::process::getuid().as_raw();
    if is_ours { Ok(()) } else { Err(io::Error::new(io::ErrorKind::PermissionDenied, "it belongs to another user")) }
}

/// A new lock file that we hold and that still stands under its name: a sweeper may take one for a dead process's in
/// the moment before it is locked.
fn take_lock(parent: &Path) -> io::Result<(PathBuf, File)> {
    loop {
        let (file, path) = tempfile::Builder::new().prefix("run-").suffix(LOCK).tempfile_in(parent)?.keep()?;
        file.lock()?;
        if fs::metadata(&path).is_ok_and(|there| file.metadata().is_ok_and(|ours| ours.ino() == there.ino())) {
            return Ok((path, file));
        }
    }
}

/// Removes the directories of processes that no longer live. What can't be removed costs space and nothing else.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for lock in entries.flatten().map(|entry| entry.path()) {
        let Some(directory) = lock.to_str().and_then(|name| name.strip_suffix(LOCK)) else { continue };
        let Ok(file) = File::open(&lock) else { continue };
        match file.try_lock() {
            Ok(()) => {
                remove(Path::new(directory));
                let _ = fs::remove_file(&lock);
            }
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => {}
        }
    }
}

/// Removes a directory, also one in which a process made directories unwritable.
fn remove(directory: &Path) {
    if fs::remove_dir_all(directory).is_err() {
        unlock(directory);
        let _ = fs::remove_dir_all(directory);
    }
}

/// Makes every directory below `path` writable again, following no links.
fn unlock(path: &Path) {
    if !fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir()) {
        return;
    }
    let _ = fs::set_permissions(path, Permissions::from_mode(0o700));
    let Ok(entries) = fs::read_dir(path) else { return };
    for entry in entries.flatten() {
        unlock(&entry.path());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_process_left_is_swept_and_what_a_living_one_has_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let living = Scratch::new(parent.path()).unwrap();
        let private = living.private().unwrap();
        let dead = parent.path().join("run-dead");
        fs::create_dir_all(dead.join("action-1/sealed")).unwrap();
        fs::write(dead.join("action-1/sealed/file"), "x").unwrap();
        fs::set_permissions(dead.join("action-1/sealed"), Permissions::from_mode(0o500)).unwrap();
        fs::write(parent.path().join("run-dead.lock"), "").unwrap();
        let next = Scratch::new(parent.path()).unwrap();
        assert!(!dead.exists());
        assert!(private.path().is_dir());
        drop((next, private, living));
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
