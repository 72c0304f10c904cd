//! The first process of a sandbox without namespaces: starts the action behind [`walls`], reaps whatever is orphaned, and
//! ends everything when the action has ended or nobody is interested any more.
//!
//! No kernel kills for it, as one does for process 1 of a process namespace. It is told of every orphan instead ("child
//! subreaper"), so that nothing gets away by having lost its parents; and where Landlock keeps signals inside (ABI 6), one
//! signal reaches everything at once, however fast that forks. Older kernels have it killed generation by generation.

use std::fs;

use rustix::process::{Pid, Signal, WaitOptions};

use super::confine::{self, Filter};
use super::inside::{self, Ends, Step, failed};
use super::message::{self, Failed, News, Report, Task, Tried};
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
    let become_it = || {
        let why = become_action(&ends, &task, filter);
        let _ = message::send(&ends.job, &Report::of(why), None);
    };
    let action = sys::fork_to_execute(&become_it).map_err(failed("start", "the action"))?;
    let Ends { job, stdout, stderr } = ends;
    // The streams come to their end when the action's processes have closed them.
    drop((stdout, stderr));
    let below = Below { own, action, reaches_all };
    let ended = inside::wait_for(action, &job, &news, None, || below.ask_to_end());
    below.end();
    Ok(ended)
}

/// Becomes the action. Returns what went wrong, or how the trial went.
fn become_action(ends: &Ends, task: &Task, filter: &Filter) -> News {
    match confine_it(ends, task, filter) {
        Ok(()) if task.order.argv.is_empty() => News::Tried(Tried { restricts_files: true }),
        Ok(()) => News::Failed(inside::execute(&task.order)),
        Err(failed) => News::Failed(failed),
    }
}

fn confine_it(ends: &Ends, task: &Task, filter: &Filter) -> Step<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(failed("end with", "its parent"))?;
    inside::stand_alone(ends, &task.order)?;
    confine::empty_bounding_set();
    confine::limit(task.bytes_max, None).map_err(failed("set", "limits"))?;
    confine::drop_capabilities().map_err(failed("give up", "capabilities"))?;
    walls::raise(&task.walls)?;
    filter.apply().map_err(failed("restrict", "system calls"))
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
            inside::reap_all();
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
