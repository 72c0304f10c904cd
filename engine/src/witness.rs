//! `Witness`: what a finished build looked at. If nothing of it moved, nothing needs doing.
//!
//! The caller says who is asking (an identity digest), which files and directories were looked at and what their
//! stamps were *when they were looked at*, which paths were found absent, and which outputs were left behind. The
//! stamps of directories stand in for walks: a file that comes or goes changes its directory's.
//!
//! A stamp that is [racy](Stamp::is_racy) when it is recorded proves nothing; the witness says so at once when it is
//! asked, and the caller does the work that a new witness comes from.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rayon::prelude::*;

use crate::files::ground::Ground;
use crate::files::stamp::{Kind, Stamp};
use crate::files::stat_cache::{FileState, StatCache, digest_files_on};
use crate::path::RelPath;
use crate::sealed::{Fields, Seal, push_sized};
use crate::store::{StoreError, failed};
use crate::tree::Node;

const SEAL: Seal = Seal { kind: *b"WITN", version: 1 };

/// How many stats one thread does at a time.
const CHUNK_FILES: usize = 256;

/// What a build looked at, and what it left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    identity: [u8; 32],
    payload: Vec<u8>,
    /// Every path, one after the other.
    paths: String,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    path: Range<u32>,
    sight: Sight,
}

/// What was seen at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// This, and it could not have changed unseen.
    Stamped(Stamp),
    /// Something that may have changed unseen since.
    Racy,
    /// Nothing.
    Absent,
}

/// Where something is: in the workspace, or anywhere on the machine.
#[derive(Debug, Clone, Copy)]
pub enum At<'a> {
    /// Relative to the root that [`Witness::check`] is given.
    Inside(&'a RelPath),
    /// The root itself.
    Root,
    /// An absolute path, such as a toolchain's directory.
    Absolute(&'a Path),
}

/// The time of day, and a way to let some pass.
#[derive(Clone, Copy)]
pub struct Time<'a> {
    /// Tells it.
    pub now: &'a dyn Fn() -> SystemTime,
    /// Waits.
    pub wait: &'a dyn Fn(Duration),
}

/// Whether anything moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Everything is as it was.
    Same,
    /// Something is not: the first such path, in the order they were recorded.
    Moved {
        /// As it was recorded: relative to the root, or absolute; `.` for the root itself.
        path: String,
        /// What happened to it.
        why: Moved,
    },
}

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// A file is gone, or can't be looked at any more.
    Vanished,
    /// Something stands where nothing was.
    Appeared,
    /// Its stamp is another one.
    Changed,
    /// It was changed so shortly before it was recorded that it may have changed since.
    Racy,
}

impl Witness {
    /// A witness of nothing yet. `identity` covers whatever else the outcome depends on: the request, the program, the
    /// environment. `payload` is kept for the caller.
    #[must_use]
    pub const fn new(identity: [u8; 32], payload: Vec<u8>) -> Self {
        Self { identity, payload, paths: String::new(), entries: Vec::new() }
    }

    /// Who asked.
    #[must_use]
    pub const fn identity(&self) -> &[u8; 32] {
        &self.identity
    }

    /// What the caller wanted kept.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Records a file, link or directory and its stamp from before it was read. `looked` is a moment before the build
    /// looked at anything (for an output: after it was written, which is when its stamp was taken).
    ///
    /// # Errors
    /// [`NotText`] when an absolute path is not UTF-8.
    pub fn saw(&mut self, at: At<'_>, stamp: Stamp, looked: SystemTime) -> Result<(), NotText> {
        self.push(at, if stamp.is_racy(looked) { Sight::Racy } else { Sight::Stamped(stamp) })
    }

    /// Records that nothing is at a path.
    ///
    /// # Errors
    /// [`NotText`] when an absolute path is not UTF-8.
    pub fn saw_nothing(&mut self, at: At<'_>) -> Result<(), NotText> {
        self.push(at, Sight::Absent)
    }

    /// Records the files and links that a build has just left behind in `root`, after looking at them once more: between
    /// the writing of a file and its stamp, another build or a person may have put other content there. Returns whether
    /// all of them are what was left; if not, this is no witness of anything.
    #[must_use]
    pub fn left(&mut self, root: &Path, files: &[(RelPath, Node)], stats: &mut StatCache, time: Time<'_>) -> bool {
        File::open(root).is_ok_and(|dir| self.left_on(&dir, files, stats, time))
    }

    pub(crate) fn left_on(
        &mut self,
        ground: &dyn Ground,
        files: &[(RelPath, Node)],
        stats: &mut StatCache,
        time: Time<'_>,
    ) -> bool {
        let paths: Vec<RelPath> = files.iter().map(|(path, _)| path.clone()).collect();
        let mut looked = (time.now)();
        let mut found = digest_files_on(ground, &paths, stats);
        if found.iter().flatten().any(|state| state.stamp().is_racy(looked)) {
            // One tick here saves the next command the whole of the long way.
            (time.wait)(Stamp::TICK);
            looked = (time.now)();
            found = digest_files_on(ground, &paths, stats);
        }
        files.iter().zip(found).all(|((path, node), state)| {
            state.is_ok_and(|state| is_left(node, &state) && self.saw(At::Inside(path), state.stamp(), looked).is_ok())
        })
    }

    fn push(&mut self, at: At<'_>, sight: Sight) -> Result<(), NotText> {
        let text = match at {
            At::Inside(path) => path.as_str(),
            At::Root => ".",
            At::Absolute(path) => path.to_str().ok_or(NotText)?,
        };
        let start = self.paths.len();
        self.paths.push_str(text);
        let offset = |n: usize| u32::try_from(n).expect("the paths of one build are shorter than 4 GiB");
        self.entries.push(Entry { path: offset(start)..offset(self.paths.len()), sight });
        Ok(())
    }

    /// How many paths it covers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it covers nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Looks at everything again, in the directory `root`, with one stat each, on all threads of the pool.
    #[must_use]
    pub fn check(&self, root: &Path) -> Verdict {
        match File::open(root) {
            Ok(dir) => self.check_on(&dir),
            Err(_) => Verdict::Moved { path: ".".into(), why: Moved::Vanished },
        }
    }

    pub(crate) fn check_on(&self, ground: &dyn Ground) -> Verdict {
        let moved = self.entries.par_iter().with_min_len(CHUNK_FILES).find_map_first(|entry| {
            let path = &self.paths[entry.path.start as usize..entry.path.end as usize];
            entry.sight.find_move(ground, path).map(|why| (path, why))
        });
        moved.map_or(Verdict::Same, |(path, why)| Verdict::Moved { path: path.to_owned(), why })
    }

    /// Writes it to a file, whole or not at all.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be written.
    pub fn save(&self, path: &Path) -> Result<(), StoreError> {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let write = || -> io::Result<()> {
            let mut file = tempfile::Builder::new().prefix(".run-").tempfile_in(dir)?;
            file.write_all(&self.to_bytes())?;
            file.persist(path).map(drop).map_err(|e| e.error)
        };
        write().map_err(failed("write", path))
    }

    /// The witness in a file; `None` when there is none that can be read.
    #[must_use]
    pub fn load(path: &Path) -> Option<Self> {
        Self::from_bytes(&fs::read(path).ok()?)
    }

    /// What [`Witness::from_bytes`] reads.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.entries.len() * (Stamp::BYTES + 5) + self.paths.len() + 64);
        body.extend(self.identity);
        push_sized(&mut body, &self.payload);
        push_sized(&mut body, self.paths.as_bytes());
        for Entry { path, sight } in &self.entries {
            body.extend((path.end - path.start).to_le_bytes());
            match sight {
                Sight::Stamped(stamp) => {
                    body.push(1);
                    stamp.write(&mut body);
                }
                Sight::Racy => body.push(2),
                Sight::Absent => body.push(3),
            }
        }
        SEAL.close(&body)
    }

    /// The witness that was written so; `None` when these bytes are anything else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(SEAL.open(bytes)?);
        let mut witness = Self::new(fields.array()?, fields.sized()?.to_vec());
        witness.paths = fields.text()?.to_owned();
        witness.entries.reserve(fields.0.len() / (Stamp::BYTES + 5));
        let mut start = 0_u32;
        while !fields.0.is_empty() {
            let end = start.checked_add(fields.u32()?)?;
            witness.paths.get(start as usize..end as usize)?;
            let sight = match fields.u8()? {
                1 => Sight::Stamped(Stamp::read(&mut fields)?),
                2 => Sight::Racy,
                3 => Sight::Absent,
                _ => return None,
            };
            witness.entries.push(Entry { path: start..end, sight });
            start = end;
        }
        Some(witness)
    }
}

impl Sight {
    fn find_move(&self, ground: &dyn Ground, path: &str) -> Option<Moved> {
        let now = || ground.stamp(path);
        match self {
            Self::Racy => Some(Moved::Racy),
            Self::Stamped(then) => match now() {
                Ok(now) if is_same(then, &now) => None,
                Ok(_) => Some(Moved::Changed),
                Err(_) => Some(Moved::Vanished),
            },
            Self::Absent => match now() {
                Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => None,
                Ok(_) | Err(_) => Some(Moved::Appeared),
            },
        }
    }
}

/// Whether a file or link is what was left there.
fn is_left(node: &Node, state: &FileState) -> bool {
    match (node, state) {
        (Node::File { digest, executable }, FileState::File { digest: found, stamp }) => {
            digest == found && *executable == stamp.is_executable()
        }
        (Node::Symlink { target }, FileState::Symlink { target: found, .. }) => **target == **found,
        _ => false,
    }
}

/// The size of a directory is the file system's own affair, and its times tell all we need.
fn is_same(then: &Stamp, now: &Stamp) -> bool {
    if then.kind() == Kind::Directory {
        return Stamp { size_bytes: now.size_bytes, ..*then } == *now;
    }
    then == now
}

/// A path that isn't UTF-8 can't be recorded, so there can be no witness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotText;

impl std::fmt::Display for NotText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the path is not UTF-8")
    }
}

impl std::error::Error for NotText {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn later() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(8_000_000_000)
    }

    /// A small workspace, and a witness that saw all of it.
    fn sample(looked: SystemTime) -> (tempfile::TempDir, Witness) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("src")).unwrap();
        fs::write(dir.path().join("src/a"), "a").unwrap();
        fs::write(dir.path().join("out"), "out").unwrap();
        let mut witness = Witness::new([7; 32], b"3 built".to_vec());
        for path in ["src", "src/a", "out"] {
            let stamp = Stamp::of(&dir.path().join(path)).unwrap();
            witness.saw(At::Inside(&RelPath::new(path).unwrap()), stamp, looked).unwrap();
        }
        witness.saw_nothing(At::Inside(&RelPath::new("local.toml").unwrap())).unwrap();
        let absolute = dir.path().join("src/a");
        witness.saw(At::Absolute(&absolute), Stamp::of(&absolute).unwrap(), looked).unwrap();
        (dir, witness)
    }

    #[test]
    fn it_sees_whatever_moves_and_names_it() {
        type Change = fn(&Path);
        let changes: [(&str, Moved, Change); 6] = [
            ("src/a", Moved::Changed, |root| fs::write(root.join("src/a"), "b").unwrap()),
            ("src", Moved::Changed, |root| fs::write(root.join("src/new"), "").unwrap()),
            ("src", Moved::Changed, |root| fs::remove_file(root.join("src/a")).unwrap()),
            ("out", Moved::Vanished, |root| fs::remove_file(root.join("out")).unwrap()),
            ("out", Moved::Changed, |root| fs::write(root.join("out"), "edited by hand").unwrap()),
            ("local.toml", Moved::Appeared, |root| fs::write(root.join("local.toml"), "").unwrap()),
        ];
        for (path, why, change) in changes {
            let (dir, witness) = sample(later());
            assert_eq!(witness.check(dir.path()), Verdict::Same);
            change(dir.path());
            assert_eq!(witness.check(dir.path()), Verdict::Moved { path: path.into(), why });
        }
    }

    #[test]
    fn what_changed_just_before_it_was_seen_proves_nothing() {
        let (dir, witness) = sample(SystemTime::UNIX_EPOCH);
        assert_eq!(witness.check(dir.path()), Verdict::Moved { path: "src".into(), why: Moved::Racy });
    }

    #[test]
    fn it_survives_a_round_trip_and_nothing_else() {
        let (dir, witness) = sample(later());
        let file = dir.path().join("src/witness");
        witness.save(&file).unwrap();
        let loaded = Witness::load(&file).unwrap();
        assert_eq!(loaded, witness);
        assert_eq!((loaded.identity(), loaded.payload(), loaded.len()), (&[7; 32], &b"3 built"[..], 5));
        let bytes = fs::read(&file).unwrap();
        for cut in 0..bytes.len() {
            assert_eq!(Witness::from_bytes(&bytes[..cut]), None);
        }
        assert_eq!(Witness::load(&dir.path().join("none")), None);
        // Checksummed nonsense, as a program with a bug might write: no panic.
        let body = &bytes[24..];
        for cut in 0..body.len() {
            let _ = Witness::from_bytes(&SEAL.close(&body[..cut]));
        }
    }
}
