//! The spawner: a small process with one thread that forks the first process of each sandbox.
//!
//! `run` itself can't: forking copies a process's page tables, which for a large one takes tens of milliseconds, and the
//! child of a program with many threads may hardly do anything. So `run` starts itself once more, under another name,
//! and that process does nothing but this. It ends with `run`, because its socket does.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, Signal, WaitOptions};

use super::confine::Filter;
use super::guard;
use super::inside::{self, Ends, failed};
use super::message::{self, Failed, News, Report};
use super::network::Networks;
use super::sys::{self, namespace};

/// The name under which a program is started to be a spawner: the first word of its command line.
pub const NAME: &str = "run-sandbox";

/// Whether a program was started to be a spawner. Whoever starts `run`'s engine as a program asks this first, and calls
/// [`serve`].
#[must_use]
pub fn is_wanted(first_word: Option<&OsStr>) -> bool {
    first_word == Some(OsStr::new(NAME))
}

/// Serves until whoever started this process is gone. For the main thread of a program that has done nothing else yet.
///
/// # Errors
/// When standard input is not the socket that a spawner is given.
pub fn serve() -> io::Result<()> {
    let control = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    rustix::net::sockopt::socket_type(&control)?;
    let nothing = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty())?;
    rustix::stdio::dup2_stdin(&nothing)?;
    drop(nothing);
    let ended = sys::child_news()?;
    let filter = Filter::compile()?;
    let mut networks = Networks::default();
    let mut request = [0; Request::BYTES];
    loop {
        let mut polled = [PollFd::new(&control, PollFlags::IN), PollFd::new(&ended, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut polled, None))?;
        let (asked, news) = (!polled[0].revents().is_empty(), !polled[1].revents().is_empty());
        if news {
            // Reaped one by one, so that what they used is told as used by this process's children.
            let _ = rustix::io::read(&ended, &mut [0; 128]);
            while let Ok(Some((first, _))) = rustix::process::wait(WaitOptions::NOHANG) {
                networks.take_back(first);
            }
        }
        if !asked {
            continue;
        }
        let Some(files) = message::receive_with(control.as_fd(), &mut request)? else { break };
        let Ok([job, stdout, stderr]) = <[OwnedFd; 3]>::try_from(files) else { continue };
        let ends = Ends { job: job.into(), stdout, stderr };
        spawn(Request::from_bytes(request), ends, &filter, &mut networks);
    }
    // Whoever started this is gone, or done; so will all sandboxes be.
    while let Ok(Some(_)) = rustix::process::wait(WaitOptions::empty()) {}
    Ok(())
}

/// What decides how a process is forked, before it can be told anything. A spawner gets requests of one kind only: it may
/// have no right to go back to the machine's network once it has left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    /// Whether the machine's network is shared.
    pub(super) network: bool,
    /// The user, from inside.
    pub(super) user: u32,
    /// Whether there are to be no namespaces at all.
    pub(super) in_place: bool,
}

impl Request {
    const BYTES: usize = 6;

    const fn to_bytes(self) -> [u8; Self::BYTES] {
        let [a, b, c, d] = self.user.to_le_bytes();
        [self.network as u8, a, b, c, d, self.in_place as u8]
    }

    const fn from_bytes([network, a, b, c, d, in_place]: [u8; Self::BYTES]) -> Self {
        Self { network: network != 0, user: u32::from_le_bytes([a, b, c, d]), in_place: in_place != 0 }
    }
}

fn spawn(request: Request, ends: Ends, filter: &Filter, networks: &mut Networks) {
    let job = ends.job.try_clone();
    let spawned = try_spawn(request, ends, filter, networks);
    if let (Err(why), Ok(job)) = (spawned, job) {
        let _ = message::send(&job, &Report::of(News::Failed(why)), None);
    }
}

fn try_spawn(request: Request, ends: Ends, filter: &Filter, networks: &mut Networks) -> Result<(), Failed> {
    if request.in_place {
        return guard::fork(ends, filter);
    }
    let network = if request.network { None } else { Some(networks.enter()?) };
    let (mapped, map) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(failed("make", "a pipe"))?;
    let forked = sys::fork_into(namespace::USER | namespace::PRIVATE);
    match forked.map_err(failed("make", "new namespaces"))? {
        Some(child) => {
            drop(mapped);
            if let Some(network) = network {
                networks.lend(child, network);
            }
            map_users(child, request)?;
            rustix::io::write(&map, &[1]).map_err(failed("wake", "the first process"))?;
            Ok(())
        }
        None => {
            drop(map);
            let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
            // Without a byte the users could not be mapped, and the spawner has said so.
            if matches!(rustix::io::read(&mapped, &mut [0]), Ok(1)) {
                drop(mapped);
                inside::live(ends, filter);
            }
            sys::leave(0);
        }
    }
}

/// Says who the users inside are outside. A user is themselves; the machine's root becomes nobody, so that limits hold
/// for what it runs, and stays root only for whoever builds the sandbox.
fn map_users(child: Pid, request: Request) -> Result<(), Failed> {
    /// "nobody", on every Linux.
    const NOBODY: u32 = 65534;
    let of = |name: &str| format!("/proc/{}/{name}", child.as_raw_nonzero());
    let write = |name: &str, text: String| std::fs::write(of(name), text).map_err(failed("write", of(name)));
    let inside = request.user;
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    if user.is_root() && !request.network {
        write("uid_map", format!("0 0 1\n{inside} {NOBODY} 1\n"))?;
        write("gid_map", format!("0 0 1\n{inside} {NOBODY} 1\n"))
    } else {
        write("uid_map", format!("{inside} {} 1\n", user.as_raw()))?;
        write("setgroups", "deny".to_owned())?;
        write("gid_map", format!("{inside} {} 1\n", group.as_raw()))
    }
}

/// The user outside that the files of a sandbox belong to, where that is another one than this process's.
#[must_use]
pub(super) fn owner(network: bool) -> Option<u32> {
    (rustix::process::geteuid().is_root() && !network).then_some(65534)
}

/// A spawner, from the outside. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Spawner {
    /// Dropped first: the process ends when it is closed.
    control: Option<OwnedFd>,
    process: Child,
}

impl Spawner {
    /// Starts `program`, which must call [`serve`] when it [is wanted](is_wanted).
    pub(super) fn start(program: &Path) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        let process = Command::new(program)
            .arg0(NAME)
            .env_clear()
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C is for `run`, which then ends its actions in order.
            .process_group(0)
            .spawn()?;
        Ok(Self { control: Some(ours), process })
    }

    /// Forks the first process of a sandbox. Its socket, and the reading ends of what the action writes.
    pub(super) fn fork(&self, request: Request) -> io::Result<(UnixStream, OwnedFd, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        let (stdout, stdout_end) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let (stderr, stderr_end) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let control = self.control.as_ref().expect("it is closed only by drop");
        let files = [theirs.as_fd(), stdout_end.as_fd(), stderr_end.as_fd()];
        message::send_with(control.as_fd(), &request.to_bytes(), &files)?;
        Ok((ours, stdout, stderr))
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        self.control = None;
        let _ = self.process.wait();
    }
}
