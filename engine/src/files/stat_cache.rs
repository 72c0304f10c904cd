//! (path, size, times, inode, mode) → digest, and the rule for racily clean files.
//!
//! A file whose stamp is the recorded one is not read again. A record is made only where it can be believed: a file
//! last changed within the tick in which this run began to look, or later, could change again without a new stamp, so
//! it is read each time until it is older than that (the rule of git's index). Content wins: a file with a new stamp
//! and the old bytes has the old digest.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::SystemTime;

use rayon::prelude::*;

use super::ground::Ground;
use super::stamp::{Kind, Stamp};
use crate::digest::{BlobDigest, Digest, DigestFunction};
use crate::path::RelPath;
use crate::sealed::{Fields, Seal, push_sized};
use crate::store::volume::Stream;

const SEAL: Seal = Seal { kind: *b"STAT", version: 1 };

/// Records that were not asked for in this many runs in a row are dropped: their files are gone or no longer wanted.
const AGE_MAX: u8 = 32;

/// How many stats one thread does at a time.
const CHUNK_FILES: usize = 256;

/// Up to how many files are looked at on the calling thread.
const FEW_FILES: usize = 8;

/// How often a file that changes while it is read is read again.
const READS_MAX: u32 = 3;

/// What is known of the files below one directory.
#[derive(Debug)]
pub struct StatCache {
    function: DigestFunction,
    looked: SystemTime,
    records: HashMap<RelPath, Record>,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    stamp: Stamp,
    digest: BlobDigest,
    /// The number of runs since it was last asked for.
    age: u8,
}

/// A file or link as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileState {
    /// A file.
    File {
        /// Its content.
        digest: BlobDigest,
        /// Its stamp when it had that content.
        stamp: Stamp,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points, as it is written.
        target: String,
        /// Its stamp.
        stamp: Stamp,
    },
}

impl FileState {
    /// The stamp.
    #[must_use]
    pub const fn stamp(&self) -> Stamp {
        match self {
            Self::File { stamp, .. } | Self::Symlink { stamp, .. } => *stamp,
        }
    }
}

/// A file can't be part of a tree.
#[derive(Debug)]
pub struct FileError {
    /// Which, relative to the directory that was looked at.
    pub path: RelPath,
    /// Why not.
    pub problem: Problem,
}

/// What is wrong with a file.
#[derive(Debug)]
pub enum Problem {
    /// Nothing is there.
    Missing,
    /// It is neither a file nor a symbolic link.
    NotAFile,
    /// It is a symbolic link that is absolute or leaves the tree.
    LinkLeaves {
        /// Where it points.
        target: String,
    },
    /// It stands below something that is not a directory, or twice.
    Conflict(&'static str),
    /// It kept changing while it was read.
    Changing,
    /// It is no longer what it was when the build began.
    ChangedDuringBuild,
    /// The file system refused.
    Io(io::Error),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ", self.path)?;
        match &self.problem {
            Problem::Missing => f.write_str("does not exist"),
            Problem::NotAFile => f.write_str("is neither a file nor a symbolic link"),
            Problem::LinkLeaves { target } => {
                write!(f, "is a symbolic link to `{}`, which leaves the tree", target.escape_debug())
            }
            Problem::Conflict(why) => f.write_str(why),
            Problem::Changing => f.write_str("keeps changing while it is read"),
            Problem::ChangedDuringBuild => f.write_str("changed during the build"),
            Problem::Io(cause) => write!(f, "can't be read: {cause}"),
        }
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            Problem::Io(cause) => Some(cause),
            _ => None,
        }
    }
}

impl From<io::Error> for Problem {
    fn from(cause: io::Error) -> Self {
        match cause.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Self::Missing,
            _ => Self::Io(cause),
        }
    }
}

impl StatCache {
    /// A cache that knows nothing. `looked` is a moment before the first file of this run is looked at.
    #[must_use]
    pub fn new(function: DigestFunction, looked: SystemTime) -> Self {
        Self { function, looked, records: HashMap::new() }
    }

    /// The cache that [`StatCache::to_bytes`] wrote; one that knows nothing when the bytes can't be read or their
    /// digests are of another function.
    #[must_use]
    pub fn from_bytes(bytes: &[u8], function: DigestFunction, looked: SystemTime) -> Self {
        let records = SEAL.open(bytes).and_then(|body| read_records(body, function)).unwrap_or_default();
        Self { function, looked, records }
    }

    /// Everything worth remembering, in order of path.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut records: Vec<_> = self.records.iter().filter(|(_, record)| record.age <= AGE_MAX).collect();
        records.sort_unstable_by_key(|(path, _)| *path);
        let mut body = vec![function_id(self.function)];
        for (path, record) in records {
            record.stamp.write(&mut body);
            body.extend(record.digest.hash());
            body.push(record.age);
            push_sized(&mut body, path.as_str().as_bytes());
        }
        SEAL.close(&body)
    }

    /// The function behind its digests.
    #[must_use]
    pub const fn function(&self) -> DigestFunction {
        self.function
    }

    /// How many files it knows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it knows nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The recorded digest, when the file looks as it did then.
    fn find(&self, path: &RelPath, stamp: &Stamp) -> Option<BlobDigest> {
        self.records.get(path).filter(|record| record.stamp == *stamp).map(|record| record.digest)
    }

    fn remember(&mut self, path: &RelPath, state: &FileState) {
        let FileState::File { digest, stamp } = *state else { return };
        match self.records.get_mut(path) {
            Some(record) if record.stamp == stamp => record.age = 0,
            _ if stamp.is_racy(self.looked) => drop(self.records.remove(path)),
            _ => drop(self.records.insert(path.clone(), Record { stamp, digest, age: 0 })),
        }
    }
}

/// What each of these files, which are relative to `root`, is now, in their order. One stat per file that looks as it
/// is recorded; the others are read. Works on all threads of the pool.
///
/// Each answer stands alone: a missing file doesn't keep the others from being looked at.
pub fn digest_files(root: &Path, files: &[RelPath], cache: &mut StatCache) -> Vec<Result<FileState, FileError>> {
    match File::open(root) {
        Ok(dir) => digest_files_on(&dir, files, cache),
        Err(e) => {
            let no_root = |path: &RelPath| FileError { path: path.clone(), problem: io::Error::from(e.kind()).into() };
            files.iter().map(|path| Err(no_root(path))).collect()
        }
    }
}

/// The same in a directory that is there.
pub(crate) fn digest_files_on(
    ground: &dyn Ground,
    files: &[RelPath],
    cache: &mut StatCache,
) -> Vec<Result<FileState, FileError>> {
    let known = &*cache;
    let state_of =
        |path: &RelPath| look(ground, path, known).map_err(|problem| FileError { path: path.clone(), problem });
    // A project of many small targets asks for a few files at a time, and waking the pool costs more than those.
    let states: Vec<_> = if files.len() <= FEW_FILES {
        files.iter().map(state_of).collect()
    } else {
        files.par_iter().with_min_len(CHUNK_FILES).map(state_of).collect()
    };
    for (path, state) in files.iter().zip(&states) {
        if let Ok(state) = state {
            cache.remember(path, state);
        }
    }
    states
}

fn look(ground: &dyn Ground, path: &RelPath, known: &StatCache) -> Result<FileState, Problem> {
    let stamp = ground.stamp(path.as_str())?;
    match stamp.kind() {
        Kind::File => match known.find(path, &stamp) {
            Some(digest) => Ok(FileState::File { digest, stamp }),
            None => read(ground, path, known.function),
        },
        Kind::Symlink => {
            let target = ground.target(path.as_str())?;
            // Lossy only on the way to being refused by name: trees hold UTF-8.
            let target = target.into_string().map_err(|e| Problem::LinkLeaves {
                target: String::from_utf8_lossy(e.into_cstring().as_bytes()).into_owned(),
            })?;
            Ok(FileState::Symlink { target, stamp })
        }
        Kind::Directory | Kind::Other => Err(Problem::NotAFile),
    }
}

/// Reads a file, and again when it changed meanwhile, so that the digest is that of one moment.
fn read(ground: &dyn Ground, path: &RelPath, function: DigestFunction) -> Result<FileState, Problem> {
    for _ in 0..READS_MAX {
        let file = ground.open(path.as_str())?;
        let stamp = file.stamp()?;
        if stamp.kind() != Kind::File {
            return Err(Problem::NotAFile);
        }
        let digest: BlobDigest = function.digest_reader(&mut Stream(&*file))?;
        if file.stamp()? == stamp && digest.size_bytes() == stamp.size_bytes {
            return Ok(FileState::File { digest, stamp });
        }
    }
    Err(Problem::Changing)
}

fn read_records(body: &[u8], function: DigestFunction) -> Option<HashMap<RelPath, Record>> {
    let mut fields = Fields(body);
    if fields.u8()? != function_id(function) {
        return None;
    }
    // A path is at least a byte long.
    let mut records = HashMap::with_capacity(body.len() / (Stamp::BYTES + 32 + 1 + 4 + 1));
    while !fields.0.is_empty() {
        let stamp = Stamp::read(&mut fields)?;
        let digest = Digest::from_parts(fields.array()?, stamp.size_bytes);
        let age = fields.u8()?.saturating_add(1);
        records.insert(RelPath::new(fields.text()?).ok()?, Record { stamp, digest, age });
    }
    Some(records)
}

const fn function_id(function: DigestFunction) -> u8 {
    match function {
        DigestFunction::Blake3 => 1,
        DigestFunction::Sha256 => 2,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::faults::Rng;

    /// How coarse the file system's clock is.
    const TICK_NS: i64 = 4_000_000;

    /// A file that is edited without a change of its size, and runs that look at it, by a clock that is set back now and
    /// then. Each run has to see the last edit. Without the rule for racily clean files, some do not.
    fn look_and_edit(seed: u64, has_rule: bool) -> Result<(), String> {
        let mut rng = Rng::new(seed);
        let path = RelPath::new("file").expect("a plain name");
        let (mut now_ns, mut phase_ns) = (1_700_000_000_000_000_000_i64, 0);
        let mut stamp = Stamp { size_bytes: 8, mtime_ns: 0, ctime_ns: 0, inode: 1, mode: 0o100_644 };
        let (mut content, mut kept) = (0_u64, Vec::new());
        for _ in 0..60 {
            now_ns += rng.below(3_000_000) as i64;
            match rng.below(8) {
                0 => now_ns += rng.below(60_000_000) as i64,
                1 if rng.chance(300) => {
                    now_ns -= rng.below(3_600_000_000_000) as i64;
                    phase_ns = rng.below(TICK_NS as usize) as i64;
                }
                2..=4 => {
                    content += 1;
                    let time_ns = now_ns - (now_ns - phase_ns).rem_euclid(TICK_NS);
                    // Some tools set the time of what they write to that of what they read.
                    let mtime_ns = if rng.chance(200) { stamp.mtime_ns } else { time_ns };
                    (stamp.mtime_ns, stamp.ctime_ns) = (mtime_ns, time_ns);
                }
                _ => {
                    let moment = if has_rule { now_ns } else { i64::MAX };
                    let looked = SystemTime::UNIX_EPOCH + Duration::from_nanos(moment.unsigned_abs());
                    let mut cache = StatCache::from_bytes(&kept, DigestFunction::Blake3, looked);
                    let there: BlobDigest = DigestFunction::Blake3.digest(&content.to_le_bytes());
                    let digest = cache.find(&path, &stamp).unwrap_or(there);
                    if digest != there {
                        return Err(format!("seed {seed}: edit {content} was missed"));
                    }
                    cache.remember(&path, &FileState::File { digest, stamp });
                    kept = cache.to_bytes();
                }
            }
        }
        Ok(())
    }

    #[test]
    fn no_edit_is_missed_and_without_the_racy_rule_some_are() {
        for seed in 0..3000 {
            look_and_edit(seed, true).unwrap();
        }
        assert!((0..50).any(|seed| look_and_edit(seed, false).is_err()), "the rule is not needed, or not tested");
    }
}
