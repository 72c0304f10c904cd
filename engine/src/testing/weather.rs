//! The weather: what happens to a [`Machine`](super::machine::Machine) at a step of one of its processes, and how often.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::machine::{Inode, Life, STORE, State, TICK_NS};

/// What is to be expected at each step: chances in a hundred thousand.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// The call fails: the disk is broken or full, or somebody interrupts.
    pub errors: usize,
    /// A file of the store vanishes.
    pub losses: usize,
    /// A bit of a file of the store flips.
    pub flips: usize,
    /// The process is killed.
    pub kills: usize,
    /// The power is cut: all processes are killed, and what was not on the disk yet is torn or lost.
    pub power_cuts: usize,
    /// The clock is set back.
    pub setbacks: usize,
}

/// What has happened so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls that failed.
    pub errors: u64,
    /// Files that were lost.
    pub losses: u64,
    /// Bits that flipped.
    pub flips: u64,
    /// Processes that were killed.
    pub kills: u64,
    /// Times that the power was cut.
    pub power_cuts: u64,
    /// Times that the clock was set back.
    pub setbacks: u64,
}

/// What may happen instead of a call, or after it.
pub(super) type Late = Option<io::Error>;

impl State {
    /// One step of a process: time passes, and the weather strikes.
    pub(super) fn step(&mut self, who: usize, path: &Path) -> io::Result<Late> {
        if self.lives[who].is_over {
            return Err(killed());
        }
        self.now_ns += self.rng.below(2_000_000) as i64;
        self.uptime += Duration::from_micros(100);
        self.note(who as u64);
        self.note(path.as_os_str().len() as u64);
        self.steps_left = self.steps_left.saturating_sub(1);
        if self.steps_left == 0 {
            (0..self.lives.len()).for_each(|who| self.kill(who));
        }
        if self.happens(2000) {
            self.inodes.iter_mut().for_each(|inode| inode.is_safe = true);
        }
        let Weather { errors, losses, flips, kills, power_cuts, setbacks } = self.weather;
        if self.happens(losses) {
            self.lose();
        }
        if self.happens(flips)
            && let Some(inode) = self.pick().filter(|inode| self.shows_a_flip(*inode))
        {
            self.flip(inode);
        }
        if self.happens(setbacks) {
            self.tally.setbacks += 1;
            self.now_ns -= self.rng.below(7_200_000_000_000) as i64;
            self.phase_ns = self.rng.below(TICK_NS as usize) as i64;
        }
        if self.happens(power_cuts) {
            self.cut_power();
        }
        if self.happens(kills) {
            self.tally.kills += 1;
            self.kill(who);
        }
        if self.lives[who].is_over {
            return Err(killed());
        }
        if self.happens(errors) {
            self.tally.errors += 1;
            let error = io::Error::from_raw_os_error([EIO, ENOSPC][self.rng.below(2)]);
            return if self.rng.chance(300) { Ok(Some(error)) } else { Err(error) };
        }
        Ok(None)
    }

    fn happens(&mut self, chance: usize) -> bool {
        chance > 0 && self.rng.below(100_000) < chance
    }

    fn note(&mut self, what: u64) {
        self.fingerprint = (self.fingerprint ^ what).wrapping_mul(1_099_511_628_211).wrapping_add(self.now_ns as u64);
    }

    /// A file of a blob or a result.
    pub(super) fn pick(&mut self) -> Option<usize> {
        self.pick_path().map(|path| self.files[&path])
    }

    fn pick_path(&mut self) -> Option<PathBuf> {
        let kept = |path: &PathBuf| ["cas", "ac"].iter().any(|below| path.starts_with(Path::new(STORE).join(below)));
        let paths: Vec<PathBuf> = self.files.keys().filter(|path| kept(path)).cloned().collect();
        let n = paths.len();
        (n > 0).then(|| paths[self.rng.below(n)].clone())
    }

    pub(super) fn lose(&mut self) {
        if let Some(path) = self.pick_path() {
            self.tally.losses += 1;
            self.files.remove(&path);
        }
    }

    /// Whether its stamp is another one if a bit of it flips now, and nobody is between verifying a blob and using it:
    /// what flips unseen after it was verified is past all help, and `engine/docs/store.md` says so.
    fn shows_a_flip(&self, inode: usize) -> bool {
        let is_in_use = |inode: &Inode| inode.n_open > 0 && inode.mode & 0o222 == 0;
        self.inodes[inode].ctime_ns < self.file_time_ns() && !self.inodes.iter().any(is_in_use)
    }

    pub(super) fn flip(&mut self, inode: usize) {
        let bit = self.rng.below(1 << 20);
        let now_ns = self.now_ns;
        let Inode { bytes, ctime_ns, .. } = &mut self.inodes[inode];
        if !bytes.is_empty() {
            self.tally.flips += 1;
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            *ctime_ns = now_ns;
        }
    }

    fn kill(&mut self, who: usize) {
        self.lives[who] = Life { is_over: true, told: HashSet::new() };
        for inode in &mut self.inodes {
            inode.locked_by = inode.locked_by.filter(|(process, _)| *process != who);
        }
    }

    /// Everybody dies. Of a file that was not on the disk yet, the name may be there without the bytes.
    fn cut_power(&mut self) {
        self.tally.power_cuts += 1;
        (0..self.lives.len()).for_each(|who| self.kill(who));
        let unsafe_files = self.files.iter().filter(|(_, inode)| !self.inodes[**inode].is_safe);
        let unsafe_files: Vec<(PathBuf, usize)> = unsafe_files.map(|(path, inode)| (path.clone(), *inode)).collect();
        for (path, inode) in unsafe_files {
            let fate = self.rng.below(5);
            let cut = self.rng.below(self.inodes[inode].bytes.len() + 1);
            match fate {
                0 => drop(self.files.remove(&path)),
                1 => self.inodes[inode].bytes.truncate(cut),
                2 => self.inodes[inode].bytes[cut..].fill(0),
                3 => self.inodes[inode].bytes.clear(),
                _ => {}
            }
        }
        self.inodes.iter_mut().for_each(|inode| inode.is_safe = true);
    }
}

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

pub(super) fn killed() -> io::Error {
    io::Error::other("this process was killed")
}
