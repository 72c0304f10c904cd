//! Measures, takes medians, prints one table for each bench, and judges it.

use std::fmt;
use std::io::{self, Write as _};
use std::mem::MaybeUninit;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How far over its budget a judged figure may be before it counts: shared machines slow each other's caches down.
pub(crate) const MARGIN: f64 = 2.0;

/// How much is measured.
pub(crate) struct Plan {
    pub(crate) is_quick: bool,
}

impl Plan {
    /// A number of actions or files.
    pub(crate) const fn size(&self, full: usize) -> usize {
        if self.is_quick { full / 10 } else { full }
    }

    /// How often something is measured: an odd number, so that the median is one of the measurements.
    pub(crate) const fn rounds(&self) -> usize {
        if self.is_quick { 5 } else { 15 }
    }
}

/// What a process, or a piece of this one, used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// User and system time.
    pub(crate) cpu: Duration,
    /// Time on the wall.
    pub(crate) wall: Duration,
    /// The most memory it had at once; of a piece of this process, nothing.
    pub(crate) peak_bytes: u64,
}

/// What a figure is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Amount {
    Time(Duration),
    Memory(u64),
}

impl Amount {
    pub(crate) const fn millis(n: u64) -> Self {
        Self::Time(Duration::from_millis(n))
    }

    pub(crate) const fn micros(n: u64) -> Self {
        Self::Time(Duration::from_micros(n))
    }

    pub(crate) const fn mebibytes(n: u64) -> Self {
        Self::Memory(n * 1024 * 1024)
    }

    /// What it is more than another one.
    pub(crate) fn less(self, other: Self) -> Self {
        match (self, other) {
            (Self::Time(a), Self::Time(b)) => Self::Time(a.saturating_sub(b)),
            (Self::Memory(a), Self::Memory(b)) => Self::Memory(a.saturating_sub(b)),
            _ => panic!("time and memory are not compared"),
        }
    }

    fn over(self, other: Self) -> f64 {
        match (self, other) {
            (Self::Time(a), Self::Time(b)) => a.as_secs_f64() / b.as_secs_f64().max(f64::MIN_POSITIVE),
            (Self::Memory(a), Self::Memory(b)) => a as f64 / (b as f64).max(1.0),
            _ => panic!("only like is compared with like"),
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Time(time) if time.as_millis() >= 10_000 => format!("{:.1} s", time.as_secs_f64()),
            Self::Time(time) if time.as_millis() >= 1 => format!("{:.1} ms", time.as_secs_f64() * 1e3),
            Self::Time(time) => format!("{:.2} us", time.as_secs_f64() * 1e6),
            Self::Memory(bytes) => format!("{:.1} MiB", *bytes as f64 / (1024.0 * 1024.0)),
        };
        f.pad(&text)
    }
}

/// One bench: the rows of its table.
pub(crate) struct Bench {
    rows: Vec<[String; 6]>,
    is_within: bool,
}

impl Bench {
    pub(crate) fn new(name: &str) -> Self {
        let head = [name, "measured", "budget", "of it", "peer", "ratio"].map(str::to_owned);
        Self { rows: vec![head], is_within: true }
    }

    /// A figure that is only shown.
    pub(crate) fn show(&mut self, what: &str, measured: Amount, peer: Option<Amount>) {
        self.row(what, measured, None, peer);
    }

    /// A figure that is held against its budget.
    pub(crate) fn judge(&mut self, what: &str, measured: Amount, budget: Amount, peer: Option<Amount>) {
        self.is_within &= measured.over(budget) <= MARGIN;
        self.row(what, measured, Some(budget), peer);
    }

    /// A figure that is held against a peer's, of which it may be `most` times as much.
    pub(crate) fn judge_ratio(&mut self, what: &str, measured: Amount, peer: Amount, most: f64) {
        self.is_within &= measured.over(peer) <= most * MARGIN;
        self.row(&format!("{what} (at most x{most})"), measured, None, Some(peer));
    }

    /// Something to know about the table.
    pub(crate) fn note(&mut self, text: &str) {
        self.rows.push([text, "", "", "", "", ""].map(str::to_owned));
    }

    fn row(&mut self, what: &str, measured: Amount, budget: Option<Amount>, peer: Option<Amount>) {
        let ratio = |of: Option<Amount>| of.map_or_else(String::new, |of| format!("x{:.2}", measured.over(of)));
        let text = |amount: Option<Amount>| amount.map_or_else(String::new, |amount| amount.to_string());
        self.rows.push([what.to_owned(), measured.to_string(), text(budget), ratio(budget), text(peer), ratio(peer)]);
    }

    /// Prints the table. Returns whether every judged figure is within its budget, or near it.
    pub(crate) fn finish(self) -> bool {
        let [name, rest @ ..] = &self.rows[..] else { unreachable!("a bench begins with its head") };
        let mut out = io::stdout().lock();
        for [what, measured, budget, of_it, peer, ratio] in std::iter::once(name).chain(rest) {
            let line = format!("{what:<58}{measured:>12}{budget:>12}{of_it:>8}{peer:>12}{ratio:>8}");
            writeln!(out, "{}", line.trim_end()).expect("somebody reads the table");
        }
        let verdict = if self.is_within { "" } else { "over budget\n" };
        writeln!(out, "{verdict}").expect("somebody reads the table");
        self.is_within
    }
}

/// The median by processor time; the wall and the peak are those of the median of each.
pub(crate) fn median(mut all: Vec<Usage>) -> Usage {
    let middle = all.len() / 2;
    all.sort_by_key(|usage| usage.cpu);
    let cpu = all[middle].cpu;
    all.sort_by_key(|usage| usage.wall);
    let wall = all[middle].wall;
    all.sort_by_key(|usage| usage.peak_bytes);
    Usage { cpu, wall, peak_bytes: all[middle].peak_bytes }
}

/// Measures a piece of this process, several times; `prepare` makes what each time needs and is not measured.
pub(crate) fn measure<T, R>(plan: &Plan, mut prepare: impl FnMut() -> T, mut piece: impl FnMut(T) -> R) -> Usage {
    let once = |_| {
        let given = prepare();
        measure_once(|| piece(given))
    };
    median((0..plan.rounds()).map(once).collect())
}

/// Measures a piece of this process that takes long.
pub(crate) fn measure_once<R>(piece: impl FnOnce() -> R) -> Usage {
    let (cpu, started) = (own_cpu(), Instant::now());
    let kept = std::hint::black_box(piece());
    let usage = Usage { cpu: own_cpu().saturating_sub(cpu), wall: started.elapsed(), peak_bytes: 0 };
    drop(kept);
    usage
}

/// Measures a piece of this process and of every process that it waits for, several times. Pieces are told apart by their
/// order: each round runs them all, so that what else the machine does falls on all of them.
pub(crate) fn measure_in_turn(plan: &Plan, pieces: &mut [&mut dyn FnMut()]) -> Vec<Usage> {
    let mut rounds: Vec<Vec<Usage>> = pieces.iter().map(|_| Vec::new()).collect();
    for _ in 0..plan.rounds() {
        for (piece, usages) in pieces.iter_mut().zip(&mut rounds) {
            let spent = || own_cpu() + cpu_of_who(libc::RUSAGE_CHILDREN);
            let (cpu, started) = (spent(), Instant::now());
            piece();
            usages.push(Usage { cpu: spent().saturating_sub(cpu), wall: started.elapsed(), peak_bytes: 0 });
        }
    }
    rounds.into_iter().map(median).collect()
}

/// Runs a program to its end and says what it used, with the children it waited for. Its output is thrown away.
#[expect(clippy::zombie_processes, reason = "`wait4` waits for it")]
pub(crate) fn run(command: &mut Command) -> Usage {
    let started = Instant::now();
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let child = child.unwrap_or_else(|e| panic!("{command:?} can't be started: {e}"));
    let (status, usage) = wait(libc::pid_t::try_from(child.id()).expect("a process id"));
    assert_eq!(status, 0, "{command:?} failed");
    // Linux counts in KiB.
    let peak_bytes = u64::try_from(usage.ru_maxrss).unwrap_or(0) * if cfg!(target_os = "macos") { 1 } else { 1024 };
    Usage { cpu: cpu_of(&usage), wall: started.elapsed(), peak_bytes }
}

#[expect(unsafe_code, reason = "what a child used is told by `wait4` alone")]
fn wait(pid: libc::pid_t) -> (libc::c_int, libc::rusage) {
    let (mut status, mut usage) = (0, MaybeUninit::<libc::rusage>::zeroed());
    // SAFETY: both pointers are valid for the call, and a zeroed `rusage` is one.
    let ended = unsafe { libc::wait4(pid, &raw mut status, 0, usage.as_mut_ptr()) };
    assert_eq!(ended, pid, "our child can be waited for");
    // SAFETY: it was zeroed, and filled since.
    (status, unsafe { usage.assume_init() })
}

fn own_cpu() -> Duration {
    cpu_of_who(libc::RUSAGE_SELF)
}

#[expect(unsafe_code, reason = "what this process and its children used is told by `getrusage` alone")]
fn cpu_of_who(who: libc::c_int) -> Duration {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is valid for the call, and a zeroed `rusage` is one.
    let answer = unsafe { libc::getrusage(who, usage.as_mut_ptr()) };
    assert_eq!(answer, 0, "a process can be asked about itself");
    // SAFETY: it was zeroed, and filled since.
    cpu_of(&unsafe { usage.assume_init() })
}

fn cpu_of(usage: &libc::rusage) -> Duration {
    let time = |t: libc::timeval| {
        Duration::from_secs(u64::try_from(t.tv_sec).unwrap_or(0))
            + Duration::from_micros(u64::try_from(t.tv_usec).unwrap_or(0))
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}
