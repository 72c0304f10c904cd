//! The first process of a sandbox: completes the [`root`](super::root), starts the action, reaps whatever is orphaned, and
//! ends everything when the action has ended or nobody is interested any more.
//!
//! It is process 1 of a process namespace, so the kernel kills all others when it ends; and it ends when the other end
//! of its socket is closed, so nothing outlives the build, however that ends.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::confine::{self, Filter};
use super::lookups::{self, Lookups};
use super::message::{self, Failed, Made, News, Order, Report, Setup, Tried};
use super::root::{Base, Opened};
use super::sys;

/// What [`UnixStream`] carries besides messages: asks everything to end.
pub(super) const END: u8 = b'T';

/// And: the inputs are staged, so the action can start.
pub(super) const GO: u8 = b'G';

/// The open files of a sandbox, on one of its sides.
#[derive(Debug)]
pub(super) struct Ends {
    /// Leads to the other side: whoever wants the action run, and the first process.
    pub(super) job: UnixStream,
    /// What the action writes its output to.
    pub(super) stdout: OwnedFd,
    /// And its errors.
    pub(super) stderr: OwnedFd,
}

/// A step that failed.
pub(super) type Step<T> = Result<T, Failed>;

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
pub(super) fn live(ends: Ends, base: &Base, opened: Opened, order: &Order, filter: &Filter) {
    let Ok(job) = ends.job.try_clone() else { return };
    if let Err(failed) = try_live(ends, base, opened, order, filter) {
        // Whoever closed the other end does not want to know.
        let _ = report(&job, News::Failed(failed));
    }
}

fn report(job: &UnixStream, news: News) -> io::Result<()> {
    message::send(job, &Report::of(news), None)
}

fn try_live(ends: Ends, base: &Base, opened: Opened, order: &Order, filter: &Filter) -> Step<()> {
    let setup = &base.setup;
    rustix::system::sethostname(setup.hostname.as_bytes()).map_err(failed("set", "the host name"))?;
    rustix::system::setdomainname(b"(none)").map_err(failed("set", "the domain name"))?;
    let root = base.complete(&opened)?;
    let made = Report::of(News::Made(Made { shows_inputs: opened.shows_inputs() }));
    message::send(&ends.job, &made, Some(root.as_fd())).map_err(failed("show", &setup.root))?;
    drop(root);
    if read_byte(&ends.job) != Some(GO) {
        return Ok(());
    }
    opened.show_inputs(&order.inputs)?;
    drop(opened);
    if order.argv.is_empty() {
        let restricts_files = confine::restrict_files(&setup.writable).map_err(failed("restrict", "files"))?;
        return report(&ends.job, News::Tried(Tried { restricts_files })).map_err(failed("report", "the end"));
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
    let wire = if order.traced { Some(UnixStream::pair().map_err(failed("make", "a socket"))?) } else { None };
    let (ours, theirs) = wire.unzip();
    let become_it = || {
        let why = become_action(&ends, setup, order, filter, theirs.as_ref());
        let _ = report(&ends.job, News::Failed(why));
    };
    // A traced one waits for this process before it is another program, so this one must not stand still for as long.
    let forked = match order.traced {
        true => sys::fork_into(0).map(|action| {
            action.unwrap_or_else(|| {
                become_it();
                sys::leave(127)
            })
        }),
        false => sys::fork_to_execute(&become_it),
    };
    let action = forked.map_err(failed("start", &order.argv[0]))?;
    let Ends { job, stdout, stderr } = ends;
    // The streams come to their end when the action's processes have closed them.
    drop((stdout, stderr, theirs));
    watch_over(action, &job, &news, ours.as_ref().and_then(Lookups::expect));
    Ok(())
}

/// Becomes the action. Returns only what went wrong.
fn become_action(ends: &Ends, setup: &Setup, order: &Order, filter: &Filter, lookups: Option<&UnixStream>) -> Failed {
    let ready = confine_it(ends, setup, order, filter)
        .and_then(|()| lookups.map_or(Ok(()), lookups::tell).map_err(failed("watch", "lookups")));
    match ready {
        Ok(()) => execute(order),
        Err(failed) => failed,
    }
}

fn confine_it(ends: &Ends, setup: &Setup, order: &Order, filter: &Filter) -> Step<()> {
    stand_alone(ends, order)?;
    confine::empty_bounding_set();
    if rustix::process::geteuid().as_raw() != setup.user {
        let (user, group) = (rustix::process::Uid::from_raw(setup.user), rustix::process::Gid::from_raw(setup.user));
        rustix::thread::set_thread_groups(&[]).map_err(failed("leave", "all groups"))?;
        rustix::thread::set_thread_res_gid(group, group, group).map_err(failed("join", "the group"))?;
        rustix::thread::set_thread_res_uid(user, user, user).map_err(failed("become", "the user"))?;
    }
    confine::limit(setup.bytes_max, Some(setup.processes_max)).map_err(failed("set", "limits"))?;
    confine::drop_capabilities().map_err(failed("give up", "capabilities"))?;
    confine::restrict_files(&setup.writable).map_err(failed("restrict", "files"))?;
    filter.apply().map_err(failed("restrict", "system calls"))
}

/// Gives this process what an action has for itself: a session, streams, a directory, and a processor where there is one.
pub(super) fn stand_alone(ends: &Ends, order: &Order) -> Step<()> {
    rustix::process::setsid().map_err(failed("begin", "a session"))?;
    let nothing = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(failed("open", "/dev/null"))?;
    rustix::stdio::dup2_stdin(&nothing).map_err(failed("redirect", "standard input"))?;
    rustix::stdio::dup2_stdout(&ends.stdout).map_err(failed("redirect", "standard output"))?;
    rustix::stdio::dup2_stderr(&ends.stderr).map_err(failed("redirect", "standard error"))?;
    rustix::process::chdir(&order.directory).map_err(failed("enter", &order.directory))?;
    let Some(core) = order.only_core else { return Ok(()) };
    let mut cores = CpuSet::new();
    cores.set(usize::try_from(core).unwrap_or_default());
    sched_setaffinity(None, &cores).map_err(failed("stay on", "one core"))
}

/// Becomes the program that was ordered. Returns only what went wrong.
pub(super) fn execute(order: &Order) -> Failed {
    let words = |words: &[String]| -> Step<Vec<CString>> {
        words.iter().map(|w| CString::new(w.as_str()).map_err(failed("pass on", w))).collect()
    };
    match words(&order.argv).and_then(|argv| Ok((argv, words(&order.env)?))) {
        Ok((argv, env)) => {
            sys::usual_signals();
            failed("start", &order.argv[0])(sys::execute(&argv, &env))
        }
        Err(failed) => failed,
    }
}

/// Ends everything when the action has ended, reports that, and waits until the outputs have been taken.
fn watch_over(action: Pid, job: &UnixStream, news: &OwnedFd, mut lookups: Option<Lookups>) {
    let ask_to_end = || sys::signal_all(libc::SIGTERM);
    let Some(ended) = wait_for(action, job, news, lookups.as_mut(), ask_to_end) else { return };
    sys::signal_all(libc::SIGKILL);
    reap_all();
    let lookups = lookups.map(Lookups::into_paths).unwrap_or_default();
    if message::send(job, &Report { lookups, ..Report::of(ended) }, None).is_ok() {
        // Until then the files are there to be taken.
        while read_byte(job).is_some() {}
    }
}

/// Reaps whatever ends until the action has: how; `None` when nobody is interested any more. `ask_to_end` is called when
/// the other side wants that, and lookups are heard where there are any.
pub(super) fn wait_for(
    action: Pid,
    job: &UnixStream,
    news: &OwnedFd,
    mut lookups: Option<&mut Lookups>,
    ask_to_end: impl Fn(),
) -> Option<News> {
    loop {
        match reap(action) {
            Reaped::Action(status) => {
                return Some(match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => News::Exited(code),
                    (None, signal) => News::Signalled(signal.unwrap_or(Signal::KILL.as_raw())),
                });
            }
            Reaped::Others => {}
            Reaped::Nobody => return None,
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
                Some(END) => ask_to_end(),
                _ => return None,
            }
        }
        if ended {
            // One record, of whose end does not matter: all that ended are reaped.
            let _ = rustix::io::read(news, &mut [0; 128]);
        }
    }
}

/// Reaps everything there is, and waits for it.
pub(super) fn reap_all() {
    while rustix::process::wait(WaitOptions::empty()).is_ok_and(|reaped| reaped.is_some()) {}
}

enum Reaped {
    /// The action has ended like this.
    Action(WaitStatus),
    /// It has not.
    Others,
    /// There is nothing to wait for any more, which only a bug can bring about.
    Nobody,
}

/// Reaps everything that has ended.
fn reap(action: Pid) -> Reaped {
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

fn read_byte(job: &UnixStream) -> Option<u8> {
    let mut byte = [0];
    match rustix::io::retry_on_intr(|| rustix::io::read(job, &mut byte)) {
        Ok(1) => Some(byte[0]),
        _ => None,
    }
}
