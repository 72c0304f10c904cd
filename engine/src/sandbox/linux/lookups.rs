//! What a process looks for in vain: each path that it names to the kernel and that is not there.
//!
//! For an action that failed and did not say why. It is run once more, in the same sandbox, with one filter more, by
//! which the kernel tells the first process of the sandbox of each call that looks a path up, before it is made. The
//! first process reads the path, looks for itself whether anything is there, and lets the call be made as it is, so the
//! action can do no more and no less than before. It never learns of it: the file that calls are told to is not its own.
//!
//! What is told is a hint and nothing is decided by it: an action with threads may change a path after it was read.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::super::running::watch;
use super::super::{Job, SandboxError};
use super::Isolated;
use super::made::error;
use super::message;
use super::notify::{self, Told};
use crate::cancel::Cancel;

/// The most paths that are kept: whoever looks for more does not look for one in particular.
const PATHS_MAX: usize = 4096;

/// The longest path, as the kernel has it.
const PATH_BYTES_MAX: usize = 4096;

/// The longest that a second run may take: calls that are told are slow, and a hint is not worth more.
const TIME_MAX: Duration = Duration::from_secs(60);

/// How a call names a path.
#[derive(Clone, Copy)]
enum Names {
    /// By its first argument.
    Plainly,
    /// The same, to open it, with flags by which it may be made.
    #[cfg(target_arch = "x86_64")]
    Opens,
    /// By its second one, from the directory that is its first.
    From,
    /// The same, to open it, with flags by which it may be made.
    OpensFrom,
    /// The address of a socket, which may be a path.
    Socket,
}

/// The calls that are told. What makes, moves or removes something is not among them.
const CALLS: &[(libc::c_long, Names)] = &[
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_stat, Names::Plainly),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_lstat, Names::Plainly),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_access, Names::Plainly),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_readlink, Names::Plainly),
    (libc::SYS_chdir, Names::Plainly),
    (libc::SYS_execve, Names::Plainly),
    (libc::SYS_execveat, Names::From),
    (libc::SYS_openat, Names::OpensFrom),
    (libc::SYS_openat2, Names::From),
    (libc::SYS_newfstatat, Names::From),
    (libc::SYS_statx, Names::From),
    (libc::SYS_readlinkat, Names::From),
    (libc::SYS_faccessat, Names::From),
    (libc::SYS_faccessat2, Names::From),
    (libc::SYS_connect, Names::Socket),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, Names::Opens),
];

/// The kernel's number for the kind of processor that this program is for (`linux/audit.h`).
const PROCESSOR: u32 = if cfg!(target_arch = "x86_64") { 0xC000_003E } else { 0xC000_00B7 };

/// Has this process, which is about to become the action, tell its lookups to whoever is at the other end.
pub(super) fn tell(to: &UnixStream) -> io::Result<()> {
    let calls: Vec<i64> = CALLS.iter().map(|(call, _)| *call).collect();
    let listener = notify::install(&calls)?;
    message::send_with(to.as_fd(), &[1], &[listener.as_fd()])
}

/// Hears the lookups of an action.
pub(super) struct Lookups {
    listener: OwnedFd,
    found: Vec<String>,
    known: HashSet<PathBuf>,
}

impl Lookups {
    /// Waits until the action is about to start. `None` if it never will.
    pub(super) fn expect(from: &UnixStream) -> Option<Self> {
        let files = message::receive_with(from.as_fd(), &mut [0]).ok()??;
        let listener = files.into_iter().next()?;
        Some(Self { listener, found: Vec::new(), known: HashSet::new() })
    }

    /// Becomes readable when a call waits.
    pub(super) fn news(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Takes one call, and lets it be made.
    pub(super) fn hear(&mut self) {
        // It may be gone by now, with the process that was to make it.
        let Ok(told) = notify::receive(self.listener.as_fd()) else { return };
        if self.found.len() < PATHS_MAX
            && let Some(path) = path(&told)
            && self.known.insert(path.clone())
            && is_missing(&path)
        {
            self.found.extend(path.into_os_string().into_string());
        }
        let _ = notify::go_on(self.listener.as_fd(), &told);
    }

    /// What was looked for in vain, in order, each once.
    pub(super) fn into_paths(self) -> Vec<String> {
        self.found
    }
}

/// The path that a call looks up, absolute, where it can be told.
fn path(told: &Told) -> Option<PathBuf> {
    let (_, names) = CALLS.iter().find(|(call, _)| *call == told.call && told.processor == PROCESSOR)?;
    let [first, second, third, ..] = told.args;
    let below = |directory: &str, at: u64| {
        let named = text(told.process, at)?;
        let from = if named.starts_with('/') { PathBuf::new() } else { fs::read_link(directory).ok()? };
        Some(plain(&from.join(named)))
    };
    let of = |name: &str| format!("/proc/{}/{name}", told.process);
    let makes = |flags: u64| flags & u64::from(libc::O_CREAT.unsigned_abs()) != 0;
    // The kernel looks at the lower half of a descriptor only.
    let directory = || match first as u32 as i32 {
        libc::AT_FDCWD => of("cwd"),
        fd => of(&format!("fd/{fd}")),
    };
    match names {
        Names::Plainly => below(&of("cwd"), first),
        Names::From => below(&directory(), second),
        #[cfg(target_arch = "x86_64")]
        Names::Opens => (!makes(second)).then(|| below(&of("cwd"), first)).flatten(),
        Names::OpensFrom if makes(third) => None,
        Names::OpensFrom => below(&directory(), second),
        Names::Socket => {
            let address = notify::memory(told.process, second, usize::try_from(third).ok()?.min(110)).ok()?;
            let (family, name) = address.split_first_chunk()?;
            let is_local = i32::from(u16::from_ne_bytes(*family)) == libc::AF_UNIX;
            let name = name.split(|byte| *byte == 0).next()?;
            let name = std::str::from_utf8(name).ok().filter(|name| is_local && name.starts_with('/'))?;
            Some(plain(Path::new(name)))
        }
    }
}

/// A string in another process's memory.
fn text(process: u32, at: u64) -> Option<String> {
    let mut bytes = Vec::new();
    while bytes.len() < PATH_BYTES_MAX {
        let from = at.checked_add(bytes.len() as u64)?;
        // To the end of the page, because the next one may not be there.
        let piece = notify::memory(process, from, 4096 - usize::try_from(from % 4096).ok()?).ok()?;
        if let Some(end) = piece.iter().position(|byte| *byte == 0) {
            bytes.extend(&piece[..end]);
            return String::from_utf8(bytes).ok().filter(|text| !text.is_empty());
        }
        bytes.extend(piece);
    }
    None
}

/// Without `.`, and without `..` as far as text tells.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

/// Whether nothing is there. What `/proc` shows is another thing to each process, and never declared.
fn is_missing(path: &Path) -> bool {
    let missing = |e: &io::Error| matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
    !path.starts_with("/proc") && fs::symlink_metadata(path).is_err_and(|e| missing(&e))
}

impl Isolated {
    /// Runs a process once more and hears its lookups. Nothing of what it leaves is taken.
    pub(super) fn look(&self, job: &Job<'_>, cancel: &Cancel) -> Result<Vec<String>, SandboxError> {
        let (mut inside, _root, mut streams, _) = self.begin(job, true)?;
        let timeout = job.timeout.map_or(TIME_MAX, |timeout| timeout.min(TIME_MAX));
        let watched = watch(&mut inside, &mut streams, Some(timeout), cancel);
        match (inside.trouble.take(), watched) {
            (Some(why), _) => Err(error(why)),
            (None, Ok(_)) => Ok(std::mem::take(&mut inside.lookups)),
            (None, Err(_)) => Ok(Vec::new()),
        }
    }
}
