//! The first process of a sandbox: builds the new root, starts the action, reaps whatever is orphaned, and ends
//! everything when the action has ended or nobody is interested any more.
//!
//! It is process 1 of a process namespace, so the kernel kills all others when it ends; and it ends when the other end
//! of its socket is closed, so nothing outlives the build, however that ends.

use std::collections::HashSet;
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{chown, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Timespec, Timestamps};
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_change, move_mount,
    open_tree, unmount,
};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::confine::{self, Filter};
use super::lookups::{self, Lookups};
use super::message::{self, Bind, Failed, Made, News, Report, Setup, Start};
use super::sys;

/// What [`UnixStream`] carries besides messages: asks everything to end.
pub(super) const END: u8 = b'T';

/// The open files of a sandbox.
pub(super) struct Ends {
    /// Leads to whoever wants the action run.
    pub(super) job: UnixStream,
    /// What the action writes its output to.
    pub(super) stdout: OwnedFd,
    /// And its errors.
    pub(super) stderr: OwnedFd,
}

/// A step that failed.
type Step<T> = Result<T, Failed>;

/// Says what failed, for an error of any kind.
pub(super) fn failed<E: Into<io::Error>>(what: &str, path: impl AsRef<Path>) -> impl FnOnce(E) -> Failed {
    let (what, path) = (what.to_owned(), path.as_ref().to_string_lossy().into_owned());
    move |e| {
        let e = e.into();
        let errno = e.raw_os_error().unwrap_or(0);
        // A crate's own error has no number, but words.
        let path = if errno == 0 { format!("{path} ({e})") } else { path };
        Failed { what, path, errno }
    }
}

/// Lives the whole life of a sandbox, in a process that was just made for it.
pub(super) fn live(ends: Ends, filter: &Filter) {
    let Ok(job) = ends.job.try_clone() else { return };
    if let Err(failed) = try_live(ends, filter) {
        // Whoever closed the other end does not want to know.
        let _ = report(&job, News::Failed(failed));
    }
}

fn report(job: &UnixStream, news: News) -> io::Result<()> {
    message::send(job, &Report::of(news), None)
}

fn try_live(ends: Ends, filter: &Filter) -> Step<()> {
    let Some((setup, _)) = message::receive::<Setup>(&ends.job).map_err(failed("be told", "what to build"))? else {
        return Ok(());
    };
    let root = build(&setup)?;
    let made = Report::of(News::Made(Made {}));
    message::send(&ends.job, &made, Some(root.as_fd())).map_err(failed("show", &setup.root))?;
    drop(root);
    let Some((start, _)) = message::receive::<Start>(&ends.job).map_err(failed("be told", "what to start"))? else {
        return Ok(());
    };
    enter(&setup)?;
    if start.argv.is_empty() {
        confine::restrict_files(&setup.writable).map_err(failed("restrict", "files"))?;
        return report(&ends.job, News::Exited(0)).map_err(failed("report", "the end"));
    }
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(failed("hide", "the first process"))?;
    let news = sys::child_news().map_err(failed("watch", "processes"))?;
    for _ in 0..setup.earlier_processes {
        if sys::fork_into(0).map_err(failed("start", "a process that only takes a number"))?.is_none() {
            sys::leave(0);
        }
        let _ = rustix::process::wait(WaitOptions::empty());
    }
    let wire = if start.traced { Some(UnixStream::pair().map_err(failed("make", "a socket"))?) } else { None };
    let (ours, theirs) = wire.unzip();
    let Some(action) = sys::fork_into(0).map_err(failed("start", &start.argv[0]))? else {
        let why = become_action(&ends, &setup, &start, filter, theirs.as_ref());
        let _ = report(&ends.job, News::Failed(why));
        sys::leave(127);
    };
    let Ends { job, stdout, stderr } = ends;
    // The streams come to their end when the action's processes have closed them.
    drop((stdout, stderr, theirs));
    watch_over(action, &job, &news, ours.as_ref().and_then(Lookups::expect));
    Ok(())
}

/// Builds the new root, all but the inputs, and opens the directory that is to hold them.
fn build(setup: &Setup) -> Step<OwnedFd> {
    let place = Path::new(&setup.place);
    // The user's would decide who may use what is made here.
    rustix::process::umask(Mode::from_raw_mode(0o022));
    rustix::system::sethostname(setup.hostname.as_bytes()).map_err(failed("set", "the host name"))?;
    rustix::system::setdomainname(b"(none)").map_err(failed("set", "the domain name"))?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(failed("separate", "the mount table"))?;
    let options = format!("mode=0755,size={}", setup.bytes_max);
    let options = CString::new(options).expect("digits and letters");
    mount("tmpfs", place, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str())
        .map_err(failed("mount a file system in memory on", place))?;
    let mut new = NewRoot { place, made: Vec::new(), known: HashSet::from([place.to_owned()]) };
    for link in &setup.links {
        let at = new.path(&link.at);
        new.make_parent(&at)?;
        symlink(&link.target, &at).map_err(failed("make the link", &link.at))?;
    }
    for directory in &setup.writable {
        let at = new.path(directory);
        new.make_directories(&at)?;
        if rustix::process::geteuid().as_raw() != setup.user {
            chown(&at, Some(setup.user), Some(setup.user)).map_err(failed("hand over", directory))?;
        }
        // A mount of its own stays writable when the root is made read-only.
        let tree = open_tree(CWD, &at, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)
            .map_err(failed("open", directory))?;
        attach(&tree, &at).map_err(failed("mount", directory))?;
    }
    for file in &setup.files {
        let at = new.path(&file.at);
        new.make_parent(&at)?;
        fs::write(&at, &file.content).map_err(failed("write", &file.at))?;
        new.made.push(at);
    }
    for shown in &setup.binds {
        new.bind(shown)?;
    }
    for at in new.made.iter().rev() {
        set_time(at, setup.time).map_err(failed("set the time of", at))?;
    }
    new.mount_proc()?;
    let root = new.path(&setup.root);
    rustix::fs::open(&root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(failed("open", &setup.root))
}

/// A root that is being built.
struct NewRoot<'a> {
    place: &'a Path,
    /// What was made there and will be seen.
    made: Vec<PathBuf>,
    /// Directories that are there.
    known: HashSet<PathBuf>,
}

impl NewRoot<'_> {
    /// A path from inside, as it is outside for the time being.
    fn path(&self, inside: &str) -> PathBuf {
        self.place.join(inside.trim_start_matches('/'))
    }

    fn make_parent(&mut self, at: &Path) -> Step<()> {
        at.parent().map_or(Ok(()), |parent| self.make_directories(parent))
    }

    /// Makes a directory and those above it.
    fn make_directories(&mut self, at: &Path) -> Step<()> {
        if self.known.contains(at) {
            return Ok(());
        }
        self.make_parent(at)?;
        match fs::create_dir(at) {
            Ok(()) => self.made.push(at.to_owned()),
            // A link to a directory.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(failed("make the directory", at)(e)),
        }
        self.known.insert(at.to_owned());
        Ok(())
    }

    /// Shows a part of the machine.
    fn bind(&mut self, shown: &Bind) -> Step<()> {
        let at = self.path(&shown.at);
        let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        if shown.directory {
            flags |= OpenTreeFlags::AT_RECURSIVE;
        }
        let tree = open_tree(CWD, &shown.from, flags).map_err(failed("show", &shown.from))?;
        let restricted = sys::restrict_mount(tree.as_fd(), !shown.writable, shown.directory);
        restricted.map_err(failed("make read-only", &shown.from))?;
        self.make_parent(&at)?;
        let made = match shown.directory {
            true => fs::create_dir(&at),
            false => fs::File::options().write(true).create_new(true).open(&at).map(drop),
        };
        match made {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.map_err(failed("make a place for", &shown.at))?,
        }
        attach(&tree, &at).map_err(failed("mount", &shown.at))
    }

    /// Shows the processes of the sandbox, and nothing of the machine.
    fn mount_proc(&self) -> Step<()> {
        let at = self.path("/proc");
        fs::create_dir(&at).map_err(failed("make the directory", "/proc"))?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount("proc", &at, "proc", flags, Some(c"subset=pid")).map_err(failed("mount", "/proc"))
    }
}

fn attach(tree: &OwnedFd, at: &Path) -> rustix::io::Result<()> {
    move_mount(tree, c"", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

fn set_time(at: &Path, seconds: i64) -> rustix::io::Result<()> {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, at, &times, AtFlags::SYMLINK_NOFOLLOW)
}

/// Makes the new root the only one there is.
fn enter(setup: &Setup) -> Step<()> {
    let place = &setup.place;
    rustix::process::chdir(place).map_err(failed("enter", place))?;
    rustix::process::pivot_root(".", ".").map_err(failed("change the root to", place))?;
    unmount(".", UnmountFlags::DETACH).map_err(failed("let go of", "the machine's root"))?;
    rustix::process::chdir("/").map_err(failed("enter", "/"))?;
    let root = open_tree(CWD, "/", OpenTreeFlags::OPEN_TREE_CLOEXEC).map_err(failed("open", "/"))?;
    sys::restrict_mount(root.as_fd(), true, false).map_err(failed("make read-only", "/"))
}

/// Becomes the action. Returns only what went wrong.
fn become_action(ends: &Ends, setup: &Setup, start: &Start, filter: &Filter, lookups: Option<&UnixStream>) -> Failed {
    match confine_and_find(ends, setup, start, filter) {
        Ok((argv, env)) => match lookups.map_or(Ok(()), lookups::tell) {
            Ok(()) => failed("start", &start.argv[0])(sys::execute(&argv, &env)),
            Err(e) => failed("watch", "lookups")(e),
        },
        Err(failed) => failed,
    }
}

fn confine_and_find(ends: &Ends, setup: &Setup, start: &Start, filter: &Filter) -> Step<(Vec<CString>, Vec<CString>)> {
    let words = |words: &[String]| -> Step<Vec<CString>> {
        words.iter().map(|w| CString::new(w.as_str()).map_err(failed("pass on", w))).collect()
    };
    let (argv, env) = (words(&start.argv)?, words(&start.env)?);
    rustix::process::setsid().map_err(failed("begin", "a session"))?;
    let nothing = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(failed("open", "/dev/null"))?;
    rustix::stdio::dup2_stdin(&nothing).map_err(failed("redirect", "standard input"))?;
    rustix::stdio::dup2_stdout(&ends.stdout).map_err(failed("redirect", "standard output"))?;
    rustix::stdio::dup2_stderr(&ends.stderr).map_err(failed("redirect", "standard error"))?;
    rustix::process::chdir(&start.directory).map_err(failed("enter", &start.directory))?;
    if let Some(core) = setup.only_core {
        let mut cores = CpuSet::new();
        cores.set(usize::try_from(core).unwrap_or_default());
        sched_setaffinity(None, &cores).map_err(failed("stay on", "one core"))?;
    }
    confine::empty_bounding_set();
    if rustix::process::geteuid().as_raw() != setup.user {
        let (user, group) = (rustix::process::Uid::from_raw(setup.user), rustix::process::Gid::from_raw(setup.user));
        rustix::thread::set_thread_groups(&[]).map_err(failed("leave", "all groups"))?;
        rustix::thread::set_thread_res_gid(group, group, group).map_err(failed("join", "the group"))?;
        rustix::thread::set_thread_res_uid(user, user, user).map_err(failed("become", "the user"))?;
    }
    confine::limit(setup.bytes_max, Some(setup.processes_max)).map_err(failed("set", "limits"))?;
    confine::drop_capabilities().map_err(failed("give up", "capabilities"))?;
    rustix::thread::set_no_new_privs(true).map_err(failed("refuse", "new privileges"))?;
    confine::restrict_files(&setup.writable).map_err(failed("restrict", "files"))?;
    filter.apply().map_err(failed("restrict", "system calls"))?;
    sys::default_signals();
    Ok((argv, env))
}

/// Reaps until the action has ended, then ends everything else, reports, and waits until the outputs have been taken.
fn watch_over(action: Pid, job: &UnixStream, news: &OwnedFd, mut lookups: Option<Lookups>) {
    let ended = loop {
        match reap(action) {
            Reaped::Action(status) => break status,
            Reaped::Others => {}
            Reaped::Nobody => return,
        }
        let mut polled = vec![PollFd::new(job, PollFlags::IN), PollFd::new(news, PollFlags::IN)];
        polled.extend(lookups.as_ref().map(|lookups| PollFd::from_borrowed_fd(lookups.news(), PollFlags::IN)));
        let _ = poll(&mut polled, None);
        let (asked, ended) = (!polled[0].revents().is_empty(), !polled[1].revents().is_empty());
        // Once nobody is left who could tell, there is nothing but that to be heard.
        let told = polled.get(2).map(|polled| polled.revents().contains(PollFlags::IN));
        drop(polled);
        if told == Some(true)
            && let Some(lookups) = &mut lookups
        {
            lookups.hear();
        }
        if asked {
            match read_byte(job) {
                Some(END) => sys::signal_all(libc::SIGTERM),
                _ => return,
            }
        }
        if ended {
            // One record, of whose end does not matter: all that ended are reaped.
            let _ = rustix::io::read(news, &mut [0; 128]);
        }
    };
    sys::signal_all(libc::SIGKILL);
    while rustix::process::wait(WaitOptions::empty()).is_ok_and(|reaped| reaped.is_some()) {}
    let news = match (ended.exit_status(), ended.terminating_signal()) {
        (Some(code), _) => News::Exited(code),
        (None, signal) => News::Signalled(signal.unwrap_or(Signal::KILL.as_raw())),
    };
    let lookups = lookups.map(Lookups::into_paths).unwrap_or_default();
    if message::send(job, &Report { lookups, ..Report::of(news) }, None).is_ok() {
        // Until then the files are there to be taken.
        while read_byte(job).is_some() {}
    }
}

pub(super) enum Reaped {
    /// The action has ended like this.
    Action(WaitStatus),
    /// It has not.
    Others,
    /// There is nothing to wait for any more, which only a bug can bring about.
    Nobody,
}

/// Reaps everything that has ended.
pub(super) fn reap(action: Pid) -> Reaped {
    let mut found = Reaped::Others;
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == action => found = Reaped::Action(status),
            Ok(Some(_)) => {}
            Ok(None) => return found,
            Err(_) if matches!(found, Reaped::Action(_)) => return found,
            Err(_) => return Reaped::Nobody,
        }
    }
}

pub(super) fn read_byte(job: &UnixStream) -> Option<u8> {
    let mut byte = [0];
    match rustix::io::retry_on_intr(|| rustix::io::read(job, &mut byte)) {
        Ok(1) => Some(byte[0]),
        _ => None,
    }
}
