//! The first process of a sandbox without namespaces: starts the action behind [`walls`], reaps whatever is orphaned, and
//! ends everything when the action has ended or nobody is interested any more.
//!
//! No kernel kills for it, as one does for process 1 of a process namespace. It is told of every orphan instead ("child
//! subreaper"), so that nothing gets away by having lost its parents; and where Landlock keeps signals inside (ABI 6), one
//! signal reaches everything at once, however fast that forks. Older kernels have it killed generation by generation.

use std::ffi::CString;
use std::fs;
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};

use super::confine::{self, Filter};
use super::inside::{END, Ends, Reaped, failed, read_byte, reap};
use super::message::{self, Failed, News, Report, Task};
use super::{sys, walls};

/// Forks the first process of a sandbox without namespaces, from a process with one thread.
pub(super) fn fork(ends: Ends, filter: &Filter) -> Result<(), Failed> {
    if sys::fork_into(0).map_err(failed("start", "the first process"))?.is_none() {
        live(ends, filter);
        sys::leave(0);
    }
    Ok(())
}

fn live(ends: Ends, filter: &Filter) {
    let Ok(job) = ends.job.try_clone() else { return };
    let ended = match try_live(ends, filter) {
        Ok(Some(ended)) => ended,
        Ok(None) => return,
        Err(failed) => News::Failed(failed),
    };
    // Whoever closed the other end does not want to know.
    let _ = message::send(&job, &Report::of(ended), None);
}

/// How the action ended; `None` where nobody wanted it.
fn try_live(ends: Ends, filter: &Filter) -> Result<Option<News>, Failed> {
    let Some((task, _)) = message::receive::<Task>(&ends.job).map_err(failed("be told", "what to start"))? else {
        return Ok(None);
    };
    let own = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(own)).map_err(failed("be told of", "orphans"))?;
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(failed("hide", "the first process"))?;
    let news = sys::child_news().map_err(failed("watch", "processes"))?;
    let reaches_all = walls::keep_signals_inside(task.walls.abi_max)?;
    let Some(action) = sys::fork_into(0).map_err(failed("start", "the action"))? else {
        let status = match become_action(&ends, &task, filter) {
            Ok(()) => 0,
            Err(why) => {
                let _ = message::send(&ends.job, &Report::of(News::Failed(why)), None);
                127
            }
        };
        sys::leave(status);
    };
    let Ends { job, stdout, stderr } = ends;
    // The streams come to their end when the action's processes have closed them.
    drop((stdout, stderr));
    let below = Below { own, action, reaches_all };
    let ended = watch_over(&below, &job, &news);
    below.end();
    Ok(ended.map(|ended| match (ended.exit_status(), ended.terminating_signal()) {
        (Some(code), _) => News::Exited(code),
        (None, signal) => News::Signalled(signal.unwrap_or(Signal::KILL.as_raw())),
    }))
}

/// Becomes the action; comes back only where this was a trial.
fn become_action(ends: &Ends, task: &Task, filter: &Filter) -> Result<(), Failed> {
    let words = |words: &[String]| -> Result<Vec<CString>, Failed> {
        words.iter().map(|w| CString::new(w.as_str()).map_err(failed("pass on", w))).collect()
    };
    let start = &task.start;
    let (argv, env) = (words(&start.argv)?, words(&start.env)?);
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(failed("end with", "its parent"))?;
    rustix::process::setsid().map_err(failed("begin", "a session"))?;
    // The user's would decide who may use what is made.
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let nothing = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(failed("open", "/dev/null"))?;
    rustix::stdio::dup2_stdin(&nothing).map_err(failed("redirect", "standard input"))?;
    rustix::stdio::dup2_stdout(&ends.stdout).map_err(failed("redirect", "standard output"))?;
    rustix::stdio::dup2_stderr(&ends.stderr).map_err(failed("redirect", "standard error"))?;
    rustix::process::chdir(&start.directory).map_err(failed("enter", &start.directory))?;
    confine::empty_bounding_set();
    confine::limit(task.bytes_max, None).map_err(failed("set", "limits"))?;
    confine::drop_capabilities().map_err(failed("give up", "capabilities"))?;
    rustix::thread::set_no_new_privs(true).map_err(failed("refuse", "new privileges"))?;
    walls::raise(&task.walls)?;
    filter.apply().map_err(failed("restrict", "system calls"))?;
    sys::default_signals();
    if argv.is_empty() {
        return Ok(());
    }
    Err(failed("start", &start.argv[0])(sys::execute(&argv, &env)))
}

/// Reaps until the action has ended; `None` when nobody is interested any more.
fn watch_over(below: &Below, job: &UnixStream, news: &std::os::fd::OwnedFd) -> Option<WaitStatus> {
    loop {
        match reap(below.action) {
            Reaped::Action(status) => return Some(status),
            Reaped::Others => {}
            Reaped::Nobody => return None,
        }
        let mut polled = [PollFd::new(job, PollFlags::IN), PollFd::new(news, PollFlags::IN)];
        let _ = poll(&mut polled, None);
        let (asked, ended) = (!polled[0].revents().is_empty(), !polled[1].revents().is_empty());
        if asked {
            match read_byte(job) {
                Some(END) => below.ask_to_end(),
                _ => return None,
            }
        }
        if ended {
            // One record, of whose end does not matter: all that ended are reaped.
            let _ = rustix::io::read(news, &mut [0; 128]);
        }
    }
}

/// The action and everything that descends from it.
struct Below {
    /// This process.
    own: Pid,
    action: Pid,
    /// Whether a signal to everybody reaches these and no others.
    reaches_all: bool,
}

impl Below {
    fn ask_to_end(&self) {
        if self.reaches_all {
            sys::signal_all(libc::SIGTERM);
        } else {
            let _ = rustix::process::kill_process_group(self.action, Signal::TERM);
        }
    }

    /// Kills and reaps all there is.
    fn end(&self) {
        if self.reaches_all {
            sys::signal_all(libc::SIGKILL);
            while rustix::process::wait(WaitOptions::empty()).is_ok_and(|reaped| reaped.is_some()) {}
            return;
        }
        for round in 0_u64.. {
            // Only this process reaps its children, so none of their numbers is anybody else's by now. Those of a child
            // that was killed are this process's next.
            for child in children(self.own) {
                let _ = rustix::process::kill_process(child, Signal::KILL);
            }
            match rustix::process::wait(WaitOptions::NOHANG) {
                Err(_) => return,
                Ok(Some(_)) => {}
                // At first there is no pause: some start the next process and end, and are to be caught before.
                Ok(None) if round < N_QUICK_ROUNDS => {}
                Ok(None) => std::thread::sleep(std::time::Duration::from_micros(100)),
            }
        }
    }
}

/// How often children are killed without a pause between.
const N_QUICK_ROUNDS: u64 = 2_000;

/// The processes that this one is the parent of, ended ones included: as the kernel lists them, where it is built to.
fn children(own: Pid) -> Vec<Pid> {
    match fs::read_to_string("/proc/thread-self/children") {
        Ok(list) => list.split_whitespace().filter_map(|n| Pid::from_raw(n.parse().ok()?)).collect(),
        Err(_) => children_of(own),
    }
}

/// The same, found by asking every process.
fn children_of(parent: Pid) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let processes = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_child = |process: &i32| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat"));
        stat.is_ok_and(|stat| parent_in(&stat) == Some(parent.as_raw_nonzero().get()))
    };
    processes.filter(is_child).filter_map(Pid::from_raw).collect()
}

/// The parent, in what the kernel says of a process (`proc_pid_stat(5)`). Its name, in parentheses, may hold anything.
fn parent_in(stat: &str) -> Option<i32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_found_behind_any_name() {
        assert_eq!(parent_in("12 (sh) S 7 12 12 0 -1"), Some(7));
        assert_eq!(parent_in("12 (a) S 1 (b) R 8 12"), Some(8));
        assert_eq!(parent_in("12 (sh"), None);
    }

    #[test]
    fn children_are_found() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let found = children_of(rustix::process::getpid());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.contains(&Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap()), "{found:?}");
    }
}
