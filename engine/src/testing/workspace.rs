//! A project's directory on a [`Machine`]: how its processes look at it and write to it, by steps at which anything may
//! happen; and what people and accidents do to it between two steps.

use std::ffi::CString;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::faults::Rng;
use super::machine::{Machine, Process};
use crate::clock::Clock as _;
use crate::files::ground::Ground;
use crate::files::scan::{Scanned, scan_on};
use crate::files::stamp::Stamp;
use crate::files::stat_cache::{FileError, StatCache};
use crate::path::RelPath;
use crate::store::volume::{Handle, Stream, Volume as _};
use crate::tree::Node;
use crate::witness::{Time, Verdict, Witness};

/// Where the project is.
pub const WORK: &str = "/simulated/work";

/// The project as a process sees it.
struct Seen<'a>(&'a Process);

impl Ground for Seen<'_> {
    fn stamp(&self, path: &str) -> io::Result<Stamp> {
        Ok(self.0.look(&Path::new(WORK).join(path))?.stamp)
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn Handle>> {
        self.0.open(&Path::new(WORK).join(path))
    }

    fn target(&self, _path: &str) -> io::Result<CString> {
        Err(ErrorKind::InvalidInput.into())
    }
}

impl Process {
    /// The time of day.
    #[must_use]
    pub fn time_of_day(&self) -> SystemTime {
        self.machine.time_of_day()
    }

    /// Looks at files of the project.
    ///
    /// # Errors
    /// As for [`crate::files::scan::scan`].
    pub fn scan(&self, files: &[RelPath], stats: &mut StatCache) -> Result<Scanned, Vec<FileError>> {
        scan_on(&Seen(self), Path::new(WORK), files, stats)
    }

    /// The stamp of a file of the project.
    ///
    /// # Errors
    /// The weather's, or that it is not there.
    pub fn stamp_of(&self, file: &RelPath) -> io::Result<Stamp> {
        Seen(self).stamp(file.as_str())
    }

    /// Whether what a witness saw of the project has moved.
    #[must_use]
    pub fn check(&self, witness: &Witness) -> Verdict {
        witness.check_on(&Seen(self))
    }

    /// Records what was left in the project, as [`Witness::left`] does.
    #[must_use]
    pub fn left(&self, witness: &mut Witness, files: &[(RelPath, Node)], stats: &mut StatCache) -> bool {
        let time = Time { now: &|| self.time_of_day(), wait: &|time| self.sleep(time) };
        witness.left_on(&Seen(self), files, stats, time)
    }

    /// All of a file.
    ///
    /// # Errors
    /// The weather's, or that it is not there.
    pub fn read_file(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        Stream(&*self.open(path)?).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Writes a file under another name and gives it its own.
    ///
    /// # Errors
    /// The weather's.
    pub fn replace_file(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.make_directory(Path::new(WORK))?;
        let (handle, temporary) = self.create_temporary(Path::new(WORK), ".run-")?;
        Stream(&*handle).write_all(bytes)?;
        self.rename(&temporary, path)
    }

    /// Gives a file that was just written the present time and its name.
    ///
    /// # Errors
    /// The weather's.
    pub fn put_in_place(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.touch(from)?;
        self.rename(from, to)
    }

    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// The weather's.
    pub fn remove_file(&self, path: &Path) -> io::Result<()> {
        match self.remove(path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }
}

/// How somebody writes a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Into the file that is there.
    InPlace,
    /// Into the file that is there, and its time is set back to what it was.
    InPlaceUnnoticed,
    /// Into another file that takes its place.
    Replacing,
    /// The same, with the time of the one whose place it takes.
    ReplacingUnnoticed,
}

impl Manner {
    /// One of them.
    pub fn random(rng: &mut Rng) -> Self {
        [Self::InPlace, Self::InPlaceUnnoticed, Self::Replacing, Self::ReplacingUnnoticed][rng.below(4)]
    }
}

impl Machine {
    /// The time of day.
    #[must_use]
    pub fn time_of_day(&self) -> SystemTime {
        let now_ns = u64::try_from(self.lock().now_ns).expect("the clock is set back by hours, not by decades");
        SystemTime::UNIX_EPOCH + Duration::from_nanos(now_ns)
    }

    /// Somebody writes a file, and sees to it that it is on the disk. Takes no step and no time.
    pub fn edit(&self, path: &Path, bytes: &[u8], manner: Manner) {
        let mut state = self.lock();
        state.directories.insert(PathBuf::from(WORK));
        let now_ns = state.file_time_ns();
        let there = state.files.get(path).copied();
        let before_ns = there.map(|inode| state.inodes[inode].mtime_ns);
        let inode = match (there, manner) {
            (Some(inode), Manner::InPlace | Manner::InPlaceUnnoticed) => inode,
            _ => state.new_inode(0o644),
        };
        state.files.insert(path.to_owned(), inode);
        let unnoticed = matches!(manner, Manner::InPlaceUnnoticed | Manner::ReplacingUnnoticed);
        let file = &mut state.inodes[inode];
        file.bytes = bytes.to_vec();
        file.ctime_ns = now_ns;
        file.mtime_ns = before_ns.filter(|_| unnoticed).unwrap_or(now_ns);
        file.is_safe = true;
    }

    /// Somebody deletes a file.
    pub fn delete(&self, path: &Path) {
        self.lock().files.remove(path);
    }

    /// What an accident leaves of a file, if it is there: torn, zeros, another bit, or nothing.
    pub fn spoil(&self, path: &Path) {
        let mut state = self.lock();
        let Some(inode) = state.files.get(path).copied() else { return };
        let n = state.inodes[inode].bytes.len();
        let (cut, bit, fate) = (state.rng.below(n + 1), state.rng.below(8), state.rng.below(4));
        let bytes = &mut state.inodes[inode].bytes;
        match fate {
            0 => bytes.truncate(cut),
            1 => bytes[cut..].fill(0),
            2 if cut < n => bytes[cut] ^= 1 << bit,
            _ => drop(state.files.remove(path)),
        }
    }
}
