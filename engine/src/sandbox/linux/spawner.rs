//! The spawner: a small process with one thread that forks the first process of each sandbox.
//!
//! `run` itself can't: forking copies a process's page tables, which for a large one takes tens of milliseconds, and the
//! child of a program with many threads may hardly do anything. So `run` starts itself once more, under another name,
//! and that process does nothing but this. It ends with `run`, because its socket does.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::iter;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, Signal, WaitOptions};
use rustix::thread::UnshareFlags;

use super::super::SandboxError;
use super::confine::Filter;
use super::guard;
use super::inside::{self, Ends, failed};
use super::message::{self, Failed, News, Order, Report, Setup, Task};
use super::network::Networks;
use super::root::{Base, Tables};
use super::sys::{self, namespace};
use crate::action::MountedTree;
use crate::path::RelPath;

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
    let nothing = rustix::fs::open("/dev/null", OFlags::RDONLY, Mode::empty())?;
    rustix::stdio::dup2_stdin(&nothing)?;
    drop(nothing);
    // The user's would decide who may use what is made here.
    rustix::process::umask(Mode::from_raw_mode(0o022));
    sys::forget_signals();
    let ended = sys::child_news()?;
    let filter = refuse().map_err(failed("restrict", "system calls"));
    let mut spawning = Spawning { filter, networks: Networks::default(), grounds: Grounds::default() };
    let mut request = [0; Request::BYTES];
    loop {
        let mut polled = [PollFd::new(&control, PollFlags::IN), PollFd::new(&ended, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut polled, None))?;
        let (asked, news) = (!polled[0].revents().is_empty(), !polled[1].revents().is_empty());
        if news {
            // Reaped one by one, so that what they used is told as used by this process's children.
            let _ = rustix::io::read(&ended, &mut [0; 128]);
            while let Ok(Some((first, _))) = rustix::process::wait(WaitOptions::NOHANG) {
                spawning.networks.take_back(first);
            }
        }
        if !asked {
            continue;
        }
        let Some(files) = message::receive_with(control.as_fd(), &mut request)? else { break };
        let Ok([job, stdout, stderr]) = <[OwnedFd; 3]>::try_from(files) else { continue };
        spawning.spawn(Request::from_bytes(request), Ends { job: job.into(), stdout, stderr });
    }
    // Whoever started this is gone, or done; so will all sandboxes be.
    while let Ok(Some(_)) = rustix::process::wait(WaitOptions::empty()) {}
    Ok(())
}

/// Refuses system calls to this process and all that is started here. What this process needs itself, and actions don't, is
/// in the filter that comes back.
fn refuse() -> io::Result<Filter> {
    rustix::thread::set_no_new_privs(true)?;
    Filter::of_all()?.apply()?;
    Filter::of_actions()
}

/// Asks for a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    /// One with namespaces, whose [`Order`] follows on the job's own socket. A spawner is asked for those with the
    /// machine's network only, or for those without: it may have no right to go back to that once it has left it.
    Apart {
        /// Which of the bases it is built on.
        base: u8,
        /// Whether that is new, and its [`Setup`] follows before the order.
        is_new: bool,
    },
    /// One without, whose [`Task`] follows there.
    InPlace,
}

impl Request {
    const BYTES: usize = 2;

    /// What stands in the second byte for a request that has no base.
    const IN_PLACE: u8 = 2;

    const fn to_bytes(self) -> [u8; Self::BYTES] {
        match self {
            Self::Apart { base, is_new } => [base, is_new as u8],
            Self::InPlace => [0, Self::IN_PLACE],
        }
    }

    const fn from_bytes([base, kind]: [u8; Self::BYTES]) -> Self {
        match kind {
            Self::IN_PLACE => Self::InPlace,
            is_new => Self::Apart { base, is_new: is_new != 0 },
        }
    }
}

/// What a spawner keeps from one sandbox to the next.
struct Spawning {
    /// What actions may not do and this process may; or why nothing can be refused here.
    filter: Result<Filter, Failed>,
    networks: Networks,
    grounds: Grounds,
}

/// The mount tables, and the bases in them, once there is a first one.
#[derive(Default)]
struct Grounds(Option<(Tables, HashMap<u8, Base>)>);

impl Spawning {
    fn spawn(&mut self, request: Request, ends: Ends) {
        let job = ends.job.try_clone();
        if let (Err(why), Ok(job)) = (self.try_spawn(request, ends), job) {
            let _ = message::send(&job, &Report::of(News::Failed(why)), None);
        }
    }

    fn try_spawn(&mut self, request: Request, ends: Ends) -> Result<(), Failed> {
        let Self { filter, networks, grounds } = self;
        let filter = filter.as_ref().map_err(|why| why.clone())?;
        let (base, is_new) = match request {
            Request::InPlace => return guard::fork(ends, filter),
            Request::Apart { base, is_new } => (base, is_new),
        };
        let untold = || Failed { what: "be told".into(), path: "what to build".into(), errno: 0 };
        if is_new {
            let told = message::receive::<Setup>(&ends.job).map_err(failed("be told", "what to build"))?;
            grounds.prepare(base, told.ok_or_else(untold)?.0)?;
        }
        let told = message::receive::<Order>(&ends.job).map_err(failed("be told", "what to start"))?;
        let (order, _) = told.ok_or_else(untold)?;
        let (tables, bases) = grounds.0.as_ref().ok_or_else(untold)?;
        let base = bases.get(&base).ok_or_else(untold)?;
        let opened = tables.open(base, &order.inputs)?;
        let network = if base.setup.network { None } else { Some(networks.enter()?) };
        let (mapped, map) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(failed("make", "a pipe"))?;
        let forked = sys::fork_into(namespace::USER | namespace::PRIVATE);
        match forked.map_err(failed("make", "new namespaces"))? {
            Some(child) => {
                drop(mapped);
                if let Some(network) = network {
                    networks.lend(child, network);
                }
                map_users(child, &base.setup)?;
                rustix::io::write(&map, &[1]).map_err(failed("wake", "the first process"))?;
                Ok(())
            }
            None => {
                drop(map);
                let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
                // Without a byte the users could not be mapped, and the spawner has said so.
                if matches!(rustix::io::read(&mapped, &mut [0]), Ok(1)) {
                    drop(mapped);
                    inside::live(ends, base, opened, &order, filter);
                }
                sys::leave(0);
            }
        }
    }
}

impl Grounds {
    fn prepare(&mut self, number: u8, setup: Setup) -> Result<(), Failed> {
        let place = Path::new(&setup.place).to_owned();
        let (tables, bases) = match &mut self.0 {
            Some(grounds) => grounds,
            none => {
                let nobody = become_able()?;
                none.insert((Tables::make(&place, nobody)?, HashMap::new()))
            }
        };
        // Until it is there, the number stands for nothing.
        bases.remove(&number);
        bases.insert(number, tables.build(place.join(number.to_string()), setup)?);
        Ok(())
    }
}

/// Without being root, a process may make namespaces of other kinds only in a user namespace of its own, in which it
/// stays who it was. For root, what comes back is one in which root's files are nobody's.
fn become_able() -> Result<Option<OwnedFd>, Failed> {
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    if user == 0 {
        return nobodys().map(Some);
    }
    sys::unshare(UnshareFlags::NEWUSER).map_err(failed("make", "a user namespace"))?;
    let write = |path: &str, text: String| std::fs::write(path, text).map_err(failed::<io::Error>("write", path));
    write("/proc/self/uid_map", format!("{user} {user} 1\n"))?;
    write("/proc/self/setgroups", "deny".to_owned())?;
    write("/proc/self/gid_map", format!("{group} {group} 1\n"))?;
    Ok(None)
}

/// "nobody", on every Linux.
const NOBODY: u32 = 65534;

/// A user namespace that maps root to nobody. No process is in it: it is there for mounts.
fn nobodys() -> Result<OwnedFd, Failed> {
    let (wait, end) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(failed("make", "a pipe"))?;
    let Some(child) = sys::fork_into(namespace::USER).map_err(failed("make", "a user namespace"))? else {
        drop(end);
        let _ = rustix::io::read(&wait, &mut [0]);
        sys::leave(0);
    };
    let of = |name: &str| format!("/proc/{}/{name}", child.as_raw_nonzero());
    let map = |name: &str| std::fs::write(of(name), format!("0 {NOBODY} 1\n")).map_err(failed("write", of(name)));
    let opened = map("uid_map").and_then(|()| map("gid_map")).and_then(|()| {
        rustix::fs::open(of("ns/user"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(failed("open", of("ns/user")))
    });
    drop(end);
    let _ = rustix::process::waitpid(Some(child), WaitOptions::empty());
    opened
}

/// Says who the users inside are outside. A user is themselves; the machine's root becomes nobody, so that limits hold
/// for what it runs, and stays root only for whoever builds the sandbox.
fn map_users(child: Pid, setup: &Setup) -> Result<(), Failed> {
    let of = |name: &str| format!("/proc/{}/{name}", child.as_raw_nonzero());
    let write = |name: &str, text: String| std::fs::write(of(name), text).map_err(failed("write", of(name)));
    let inside = setup.user;
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    if user.is_root() && !setup.network {
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
    (rustix::process::geteuid().is_root() && !network).then_some(NOBODY)
}

/// A spawner, from the outside. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Spawner {
    /// Dropped first: the process ends when it is closed.
    control: Option<OwnedFd>,
    process: Child,
    bases: Mutex<Bases>,
}

/// The mounted parts of an input root.
pub(super) type Mounts = [(RelPath, Arc<MountedTree>)];

/// Which bases a spawner has.
#[derive(Debug, Default)]
struct Bases {
    /// What each is for, by its number.
    known: Vec<Option<Box<Mounts>>>,
    /// The number that the next one gets.
    next: usize,
}

/// How many bases a spawner keeps. There is one for each set of tools that actions use.
const N_BASES_MAX: usize = 32;

impl Bases {
    fn find(&self, mounts: &Mounts) -> Option<usize> {
        // A tree that was digested anew is another one, although it may lie in the same directory.
        let is_same = |known: &Mounts| iter::zip(known, mounts).all(|(a, b)| Arc::ptr_eq(&a.1, &b.1) && a.0 == b.0);
        self.known
            .iter()
            .position(|known| known.as_ref().is_some_and(|known| known.len() == mounts.len() && is_same(known)))
    }

    fn add(&mut self, mounts: &Mounts) -> usize {
        let number = self.next;
        self.next = (number + 1) % N_BASES_MAX;
        if number == self.known.len() {
            self.known.push(None);
        }
        self.known[number] = Some(mounts.into());
        number
    }
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
        Ok(Self { control: Some(ours), process, bases: Mutex::default() })
    }

    /// Forks the first process of a sandbox in which `mounts` are seen. Its socket, and the reading ends of what the action
    /// writes. `setup` is asked for what else there is when these mounts are new.
    pub(super) fn fork(
        &self,
        mounts: &Mounts,
        setup: impl FnOnce() -> Result<Setup, SandboxError>,
        order: &Order,
    ) -> Result<Ends, SandboxError> {
        let (outer, inner) = ends()?;
        let new = {
            // Held while the request is sent, so that nobody asks for a base before it is described.
            let mut bases = self.bases.lock().expect("nothing panics while it is held");
            let (base, new) = match bases.find(mounts) {
                Some(base) => (base, None),
                None => {
                    let setup = setup()?;
                    (bases.add(mounts), Some(setup))
                }
            };
            let base = u8::try_from(base).expect("there are few");
            self.ask(Request::Apart { base, is_new: new.is_some() }, &inner)?;
            new
        };
        // Where the other side gives up meanwhile, it says why.
        if let Some(setup) = new {
            let _ = message::send(&outer.job, &setup, None);
        }
        let _ = message::send(&outer.job, order, None);
        Ok(outer)
    }

    /// Forks the first process of a sandbox without namespaces. As [`Spawner::fork`].
    pub(super) fn fork_in_place(&self, task: &Task) -> Result<Ends, SandboxError> {
        let (outer, inner) = ends()?;
        self.ask(Request::InPlace, &inner)?;
        let _ = message::send(&outer.job, task, None);
        Ok(outer)
    }

    fn ask(&self, request: Request, inner: &Ends) -> Result<(), SandboxError> {
        let control = self.control.as_ref().expect("it is closed only by drop");
        let files = [inner.job.as_fd(), inner.stdout.as_fd(), inner.stderr.as_fd()];
        message::send_with(control.as_fd(), &request.to_bytes(), &files).map_err(talk)
    }

    /// Has these mounts described anew: what is known of them is of no use.
    pub(super) fn forget(&self, mounts: &Mounts) {
        let mut bases = self.bases.lock().expect("nothing panics while it is held");
        if let Some(number) = bases.find(mounts) {
            bases.known[number] = None;
        }
    }
}

/// Makes the open files of a sandbox: what stays here, and what goes there.
fn ends() -> Result<(Ends, Ends), SandboxError> {
    let (ours, theirs) = UnixStream::pair().map_err(talk)?;
    let (stdout, stdout_end) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(talk)?;
    let (stderr, stderr_end) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(talk)?;
    Ok((Ends { job: ours, stdout, stderr }, Ends { job: theirs, stdout: stdout_end, stderr: stderr_end }))
}

/// Says that nobody could be talked to.
pub(super) fn talk(cause: impl Into<io::Error>) -> SandboxError {
    SandboxError::setup("talk to", Path::new("the sandbox"), cause.into())
}

impl Drop for Spawner {
    fn drop(&mut self) {
        self.control = None;
        let _ = self.process.wait();
    }
}
