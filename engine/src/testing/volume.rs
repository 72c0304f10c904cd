//! The calls of a file system, as a [`Machine`](super::machine::Machine) answers them.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use super::machine::{Defect, Process, ROOT, State};
use crate::files::stamp::{Stamp, nanos};
use crate::store::volume::{Handle, Os, Seen, Volume};

/// An open file of the simulated disk.
#[derive(Debug)]
struct Opened {
    process: Process,
    path: PathBuf,
    inode: usize,
    /// Tells handles apart: a lock belongs to one.
    number: u64,
    position: AtomicUsize,
}

/// How often, in a thousand, a read or a write does only part of what it was asked for, as any may.
const SHORT: usize = 100;

fn find(state: &State, path: &Path) -> io::Result<usize> {
    state.files.get(path).copied().ok_or_else(|| ErrorKind::NotFound.into())
}

/// Whether a path is on a disk that we don't simulate.
fn is_outside(path: &Path) -> bool {
    !path.starts_with(ROOT)
}

fn is_claim(path: &Path) -> bool {
    path.parent().is_some_and(|parent| parent.ends_with("store/claims"))
}

impl Process {
    /// A step, then what the call does, unless the step fails; a late error comes after the deed.
    fn call<T>(&self, path: &Path, deed: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let late = self.at(path)?;
        let done = deed(&mut self.machine.lock())?;
        late.map_or(Ok(done), Err)
    }

    /// The same for a call that makes or opens a file: it fails at once or not at all.
    fn open_with(
        &self,
        path: &Path,
        find: impl FnOnce(&mut State) -> io::Result<usize>,
    ) -> io::Result<Box<dyn Handle>> {
        if let Some(error) = self.at(path)? {
            return Err(error);
        }
        let mut state = self.machine.lock();
        let inode = find(&mut state)?;
        state.inodes[inode].n_open += 1;
        state.n_named += 1;
        let (number, path) = (state.n_named, path.to_owned());
        drop(state);
        Ok(Box::new(Opened { process: self.clone(), path, inode, number, position: AtomicUsize::new(0) }))
    }

    fn has(&self, defect: Defect) -> bool {
        self.machine.lock().defect == Some(defect)
    }

    /// The bug that a rename is there to avoid: others see the file while it grows.
    fn write_in_place(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (source, target, n) = {
            let mut state = self.machine.lock();
            has_parent(&state, to)?;
            let source = find(&state, from)?;
            let target = state.new_inode(0o444);
            state.files.remove(from);
            state.files.insert(to.to_owned(), target);
            (source, target, state.inodes[source].bytes.len())
        };
        for end in [n / 2, n] {
            self.step()?;
            let mut state = self.machine.lock();
            state.inodes[target].bytes = state.inodes[source].bytes[..end].to_vec();
        }
        Ok(())
    }
}

fn has_parent(state: &State, path: &Path) -> io::Result<()> {
    let has = path.parent().is_some_and(|parent| state.directories.contains(parent));
    if has { Ok(()) } else { Err(ErrorKind::NotFound.into()) }
}

fn make(state: &mut State, path: &Path, mode: u32) -> io::Result<usize> {
    has_parent(state, path)?;
    let inode = state.new_inode(mode);
    state.files.insert(path.to_owned(), inode);
    Ok(inode)
}

fn give_name(state: &mut State, from: &Path, to: &Path) -> io::Result<()> {
    has_parent(state, to)?;
    let inode = find(state, from)?;
    state.inodes[inode].ctime_ns = state.file_time_ns();
    state.files.remove(from);
    state.files.insert(to.to_owned(), inode);
    Ok(())
}

impl Volume for Process {
    fn make_directory(&self, path: &Path) -> io::Result<()> {
        self.call(path, |state| {
            state.directories.extend(path.ancestors().filter(|above| above.starts_with(ROOT)).map(Path::to_owned));
            Ok(())
        })
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        let is_blind = directory.ends_with("leases") && self.has(Defect::LeasesUnseen);
        self.call(directory, |state| {
            if !state.directories.contains(directory) {
                return Err(ErrorKind::NotFound.into());
            }
            let inside = |path: &&PathBuf| path.parent() == Some(directory) && !is_blind;
            let mut all: Vec<PathBuf> = state.files.keys().chain(&state.directories).filter(inside).cloned().collect();
            all.sort_unstable();
            Ok(all)
        })
    }

    fn look(&self, path: &Path) -> io::Result<Seen> {
        self.call(path, |state| {
            if state.directories.contains(path) {
                let stamp = Stamp { size_bytes: 0, mtime_ns: 0, ctime_ns: 0, inode: 0, mode: 0o040_755 };
                return Ok(Seen { stamp, used_ns: 0 });
            }
            find(state, path).map(|inode| state.look(inode))
        })
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Handle>> {
        if is_outside(path) {
            return Os.open(path);
        }
        self.open_with(path, |state| find(state, path))
    }

    fn open_lock(&self, path: &Path) -> io::Result<Box<dyn Handle>> {
        self.open_with(path, |state| find(state, path).or_else(|_| make(state, path, 0o644)))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Handle>> {
        if is_outside(path) {
            return Os.create(path);
        }
        self.open_with(path, |state| match find(state, path) {
            Ok(_) => Err(ErrorKind::AlreadyExists.into()),
            Err(_) => make(state, path, 0o644),
        })
    }

    fn create_temporary(&self, directory: &Path, prefix: &str) -> io::Result<(Box<dyn Handle>, PathBuf)> {
        let path = {
            let mut state = self.machine.lock();
            state.n_named += 1;
            directory.join(format!("{prefix}{}", state.n_named))
        };
        Ok((self.open_with(&path, |state| make(state, &path, 0o600))?, path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.has(Defect::WrittenInPlace) && from.to_string_lossy().contains("/tmp/in-") {
            return self.step().and_then(|()| self.write_in_place(from, to));
        }
        self.call(from, |state| give_name(state, from, to))
    }

    fn rename_first(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(from, |state| match find(state, to) {
            Ok(_) => Err(ErrorKind::AlreadyExists.into()),
            Err(_) => give_name(state, from, to),
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if is_outside(path) {
            return Os.remove(path);
        }
        let below = |directory| path.starts_with(Path::new(super::machine::STORE).join(directory));
        let is_kept = below("ac") && self.has(Defect::NothingForgotten) || below("cas") && self.has(Defect::DamageKept);
        self.call(path, |state| {
            find(state, path)?;
            if !is_kept {
                state.files.remove(path);
            }
            if below("tmp") {
                state.watch_removal(path);
            }
            Ok(())
        })
    }

    fn touch(&self, path: &Path) -> io::Result<()> {
        let is_idle = self.has(Defect::UseUnmarked);
        self.call(path, |state| {
            let inode = find(state, path)?;
            if !is_idle {
                let now_ns = state.file_time_ns();
                (state.inodes[inode].atime_ns, state.inodes[inode].ctime_ns) = (now_ns, now_ns);
            }
            Ok(())
        })
    }

    fn date(&self, path: &Path, time: SystemTime) -> io::Result<()> {
        self.call(path, |state| {
            let inode = find(state, path)?;
            (state.inodes[inode].mtime_ns, state.inodes[inode].ctime_ns) = (nanos(time), state.file_time_ns());
            Ok(())
        })
    }
}

impl Handle for Opened {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.process.call(&self.path, |state| {
            // A power cut may have left less of it than was read.
            let at = self.position.load(Ordering::SeqCst).min(state.inodes[self.inode].bytes.len());
            let left = state.inodes[self.inode].bytes.len() - at;
            let n = part(state, left.min(buffer.len()));
            buffer[..n].copy_from_slice(&state.inodes[self.inode].bytes[at..at + n]);
            self.position.store(at + n, Ordering::SeqCst);
            Ok(n)
        })
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.process.call(&self.path, |state| {
            let n = part(state, bytes.len());
            let now_ns = state.file_time_ns();
            let inode = &mut state.inodes[self.inode];
            inode.bytes.extend(&bytes[..n]);
            (inode.mtime_ns, inode.ctime_ns) = (now_ns, now_ns);
            Ok(n)
        })
    }

    fn look(&self) -> io::Result<Seen> {
        self.process.call(&self.path, |state| Ok(state.look(self.inode)))
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.process.call(&self.path, |state| {
            let now_ns = state.file_time_ns();
            let inode = &mut state.inodes[self.inode];
            (inode.mode, inode.ctime_ns) = (0o100_000 | mode, now_ns);
            Ok(())
        })
    }

    fn set_time(&self, time: SystemTime) -> io::Result<()> {
        self.process.call(&self.path, |state| {
            state.inodes[self.inode].mtime_ns = nanos(time);
            Ok(())
        })
    }

    fn lock(&self) -> io::Result<()> {
        while !self.try_lock()? {
            self.process.turns.pass_on(self.process.who);
        }
        Ok(())
    }

    fn try_lock(&self) -> io::Result<bool> {
        let is_for_all = is_claim(&self.path) && self.process.has(Defect::ClaimsForAll);
        if let Some(error) = self.process.at(&self.path)? {
            return Err(error);
        }
        let mut state = self.process.machine.lock();
        let locked_by = &mut state.inodes[self.inode].locked_by;
        if locked_by.is_some() {
            return Ok(is_for_all);
        }
        *locked_by = Some((self.process.who, self.number));
        Ok(true)
    }

    fn as_file(&self) -> Option<&std::fs::File> {
        None
    }
}

/// All of `n`, or less: at least one if there is any.
fn part(state: &mut State, n: usize) -> usize {
    if n > 1 && state.rng.chance(SHORT) { 1 + state.rng.below(n - 1) } else { n }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let mut state = self.process.machine.lock();
        let inode = &mut state.inodes[self.inode];
        inode.n_open -= 1;
        inode.locked_by = inode.locked_by.filter(|(_, number)| *number != self.number);
    }
}
