//! `Machine`: a disk in memory, the processes that use it, and everything that can happen to them, on a seed.
//!
//! The processes run the store's and the builder's own code; each call of [`crate::store::volume`] is a step, at which
//! another process may go on, and the weather may strike: a call fails before or after it did what it was to do, a write
//! stops half-way, a file is lost or a bit of it flips, a process is killed, the power is cut, the clock is set back.
//! Nothing else is random: one seed is one history.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::faults::Rng;
use super::turns::{Stage, Turns};
use super::weather::{Late, Tally, Weather, killed};
use crate::clock::Clock;
use crate::digest::{BlobDigest, DigestFunction};
use crate::files::stamp::Stamp;
use crate::store::StoreError;
use crate::store::disk::DiskStore;
use crate::store::volume::Seen;

/// Where everything is that the machine's disk holds. Other paths are those of the machine that we run on.
pub const ROOT: &str = "/simulated";

/// Where the store is.
pub const STORE: &str = "/simulated/store";

/// After this many steps in one run something waits for what never comes.
const STEPS_MAX: u64 = 400_000;

/// How coarse the times of files are: that of a kernel which ticks 250 times a second.
pub(super) const TICK_NS: i64 = 4_000_000;

/// A bug to be found: the disk does what one in the store's use of it would come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    /// Everybody gets every claim.
    ClaimsForAll,
    /// The collector sees nobody's lease.
    LeasesUnseen,
    /// What is used is not stamped.
    UseUnmarked,
    /// Files are written under their final names.
    WrittenInPlace,
    /// A result that was to be forgotten stays.
    NothingForgotten,
    /// Damaged blobs are not removed.
    DamageKept,
    /// Only the time that anybody can set tells that a file was changed.
    ChangesUntold,
}

/// A disk, a clock and the processes of the moment.
#[derive(Debug)]
pub struct Machine {
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) rng: Rng,
    pub(super) weather: Weather,
    pub(super) defect: Option<Defect>,
    pub(super) files: BTreeMap<PathBuf, usize>,
    pub(super) directories: BTreeSet<PathBuf>,
    pub(super) inodes: Vec<Inode>,
    pub(super) now_ns: i64,
    /// When its ticks begin, which is another moment whenever the clock is set.
    pub(super) phase_ns: i64,
    pub(super) uptime: Duration,
    pub(super) n_named: u64,
    pub(super) steps_left: u64,
    pub(super) fingerprint: u64,
    pub(super) lives: Vec<Life>,
    pub(super) tally: Tally,
    pub(super) broken: Option<String>,
}

/// A file, whatever its names.
#[derive(Debug)]
pub(super) struct Inode {
    pub(super) bytes: Vec<u8>,
    pub(super) atime_ns: i64,
    pub(super) mtime_ns: i64,
    pub(super) ctime_ns: i64,
    pub(super) mode: u32,
    pub(super) n_open: usize,
    /// The process and the handle that have it locked.
    pub(super) locked_by: Option<(usize, u64)>,
    /// Whether a power cut leaves it as it is.
    pub(super) is_safe: bool,
}

#[derive(Debug, Default)]
pub(super) struct Life {
    pub(super) is_over: bool,
    /// The blobs that a store under a lease has said to be there, by the names of their files.
    pub(super) told: HashSet<String>,
}

impl Machine {
    /// A new machine with an empty disk.
    #[must_use]
    pub fn new(seed: u64, defect: Option<Defect>) -> Arc<Self> {
        let state = State {
            rng: Rng::new(seed),
            weather: Weather::default(),
            defect,
            files: BTreeMap::new(),
            directories: BTreeSet::from([ROOT.into()]),
            inodes: Vec::new(),
            now_ns: 1_700_000_000_000_000_000,
            phase_ns: 0,
            uptime: Duration::ZERO,
            n_named: 0,
            steps_left: 0,
            fingerprint: seed,
            lives: Vec::new(),
            tally: Tally::default(),
            broken: None,
        };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Runs `n` processes at once, until all have ended.
    pub fn run(self: &Arc<Self>, stage: &Stage, n: usize, weather: Weather, main: &(dyn Fn(&Process) + Sync)) {
        let turns = {
            let mut state = self.lock();
            state.weather = weather;
            state.steps_left = STEPS_MAX;
            state.lives = (0..n).map(|_| Life::default()).collect();
            let seed = state.rng.next();
            Arc::new(Turns::new(n, Rng::new(seed)))
        };
        stage.run(&turns, &|who| main(&Process { machine: Arc::clone(self), turns: Arc::clone(&turns), who }));
        let mut state = self.lock();
        // Whatever was open is closed by now, and locks are gone with it.
        let locked = state.inodes.iter().any(|inode| inode.locked_by.is_some() || inode.n_open > 0);
        assert!(!locked, "BUG: a process has ended and its files are open");
        if state.steps_left == 0 {
            state.broken.get_or_insert_with(|| "the processes wait for each other for ever".to_owned());
        }
    }

    /// What has happened so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.lock().tally
    }

    /// A promise of the store that was seen to be broken.
    #[must_use]
    pub fn broken(&self) -> Option<String> {
        self.lock().broken.clone()
    }

    /// A number that is the same exactly when the same happened.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.lock().fingerprint
    }

    /// Lets days pass.
    pub fn wait(&self, time: Duration) {
        self.lock().now_ns += i64::try_from(time.as_nanos()).expect("a short wait");
    }

    /// The files below a directory and what is in them, without taking a step.
    #[must_use]
    pub fn files_below(&self, directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let state = self.lock();
        let files = state.files.iter().filter(|(path, _)| path.starts_with(directory));
        files.map(|(path, inode)| (path.clone(), state.inodes[*inode].bytes.clone())).collect()
    }

    /// What a file holds, without taking a step.
    #[must_use]
    pub fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.lock();
        state.files.get(path).map(|inode| state.inodes[*inode].bytes.clone())
    }

    /// Writes a file, without taking a step.
    pub fn write(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.lock();
        let inode = state.new_inode(0o644);
        state.inodes[inode].bytes = bytes.to_vec();
        state.files.insert(path.to_owned(), inode);
    }

    /// Flips a bit of a file of the store while nobody looks: its stamp stays as it is.
    pub fn rot(&self) {
        let mut state = self.lock();
        if let Some(inode) = state.pick() {
            let ctime_ns = state.inodes[inode].ctime_ns;
            state.flip(inode);
            state.inodes[inode].ctime_ns = ctime_ns;
        }
    }

    /// Loses a file of the store.
    pub fn lose(&self) {
        self.lock().lose();
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The present time as files get it.
    pub(super) const fn file_time_ns(&self) -> i64 {
        self.now_ns - (self.now_ns - self.phase_ns).rem_euclid(TICK_NS)
    }

    pub(super) fn new_inode(&mut self, mode: u32) -> usize {
        let now_ns = self.file_time_ns();
        self.inodes.push(Inode {
            bytes: Vec::new(),
            atime_ns: now_ns,
            mtime_ns: now_ns,
            ctime_ns: now_ns,
            mode: 0o100_000 | mode,
            n_open: 0,
            locked_by: None,
            is_safe: false,
        });
        self.inodes.len() - 1
    }

    pub(super) fn stamp(&self, inode: usize) -> Stamp {
        let Inode { bytes, mtime_ns, ctime_ns, mode, .. } = &self.inodes[inode];
        let ctime_ns = if self.defect == Some(Defect::ChangesUntold) { mtime_ns } else { ctime_ns };
        let (mtime_ns, ctime_ns, mode) = (*mtime_ns, *ctime_ns, *mode);
        Stamp { size_bytes: bytes.len() as u64, mtime_ns, ctime_ns, inode: inode as u64, mode }
    }

    pub(super) fn look(&self, inode: usize) -> Seen {
        Seen { stamp: self.stamp(inode), used_ns: self.inodes[inode].atime_ns }
    }

    /// A collector removes a blob for good: nobody may have been told that it is there.
    pub(super) fn watch_removal(&mut self, path: &Path) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let name = name.rsplit('-').next().unwrap_or_default().trim_end_matches(".x");
        // Either file of a blob will do.
        let is_there = |path: &PathBuf| path.starts_with(STORE) && path.to_string_lossy().contains(name);
        if self.files.keys().any(is_there) {
            return;
        }
        let is_trusted = self.lives.iter().any(|life| life.told.contains(name));
        // The proof in `engine/docs/store.md` is about a clock that goes forward; and of a blob with two files, the one
        // that was stamped may be the one that was harmed.
        let Tally { losses, flips, setbacks, .. } = self.tally;
        if is_trusted && losses + flips + setbacks == 0 {
            self.broken.get_or_insert_with(|| format!("the collector took {name} from a build that relies on it"));
        }
    }
}

/// A process of the machine, running.
#[derive(Debug, Clone)]
pub struct Process {
    pub(super) machine: Arc<Machine>,
    pub(super) turns: Arc<Turns>,
    pub(super) who: usize,
}

impl Process {
    /// Which of those that run at once it is.
    #[must_use]
    pub const fn number(&self) -> usize {
        self.who
    }

    /// The machine it runs on.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Opens the store as this process sees it.
    ///
    /// # Errors
    /// [`StoreError`], as [`DiskStore::open`].
    pub fn open_store(&self, function: DigestFunction) -> Result<DiskStore, StoreError> {
        DiskStore::open_on(Arc::new(self.clone()), Path::new(STORE), function)
    }

    /// Whether it was killed: nothing that it does has an effect any more.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.machine.lock().lives[self.who].is_over
    }

    /// Remembers that the store has told this process, under its lease, that a blob is there.
    pub fn was_told(&self, digest: BlobDigest) {
        let mut state = self.machine.lock();
        let life = &mut state.lives[self.who];
        if !life.is_over {
            life.told.insert(digest.hex());
        }
    }

    /// The lease is over, and with it the promise.
    pub fn lets_go(&self) {
        self.machine.lock().lives[self.who].told.clear();
    }

    /// A number below `n`.
    #[must_use]
    pub fn choose(&self, n: usize) -> usize {
        self.machine.lock().rng.below(n)
    }

    /// A step of any other kind, at which the same may happen.
    ///
    /// # Errors
    /// The weather's.
    pub fn step(&self) -> io::Result<()> {
        self.at(Path::new("")).and_then(|late| late.map_or(Ok(()), Err))
    }

    pub(super) fn at(&self, path: &Path) -> io::Result<Late> {
        if self.is_dead() {
            return Err(killed());
        }
        self.turns.pass(self.who);
        self.machine.lock().step(self.who, path)
    }
}

impl Clock for Process {
    fn now(&self) -> Duration {
        self.machine.lock().uptime
    }

    fn sleep(&self, time: Duration) {
        {
            let mut state = self.machine.lock();
            state.uptime += time;
            state.now_ns += i64::try_from(time.as_nanos()).expect("a short wait");
        }
        if !self.is_dead() {
            self.turns.pass_on(self.who);
        }
    }
}
