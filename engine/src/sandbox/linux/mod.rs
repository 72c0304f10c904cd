//! `Isolated`: Linux namespaces. An action sees its inputs, its tools and the C library, and nothing else there is.
//!
//! Three processes take part. `run` (this module) stages inputs and takes outputs; the [`spawner`] prepares what is the
//! same for every action and forks; the first process [`inside`] completes the [`root`], guards it, and is process 1 of
//! the action's world, so that nothing survives it. They talk over a socket ([`message`]); when `run` dies, however it
//! dies, the socket closes and everything ends. Without namespaces ([`restricted`]) the first process is a [`guard`].
//!
//! | hidden | by |
//! |---|---|
//! | files | a root in memory: copies of small inputs, read-only mounts of large ones and of the tools, `/dev/null` and its like |
//! | processes, ports, IPC, host name | a namespace each; the network is a loopback device, or the machine's for fetches |
//! | the user | always the same one inside, without a capability, and nobody (or the user themselves) outside |
//! | everything again | Landlock and seccomp, where the kernel has them ([`confine`]) |
//!
//! The root is in memory because files there cost microseconds, and nothing has to be removed afterwards.

mod confine;
mod guard;
mod inside;
mod lookups;
mod message;
mod network;
mod notify;
pub mod restricted;
mod root;
mod shown;
pub mod spawner;
mod stage;
mod sys;
mod walls;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::CpuSet;

pub(super) use self::walls::ABI_OLDEST as LANDLOCK_OLDEST;
pub use self::walls::Locks;

use self::inside::Ends;
use self::message::{Failed, Made, News, Order, Report, Setup, SmallFile, Tried};
use self::shown::Shown;
use self::spawner::{Mounts, Spawner, talk};
use self::stage::{Lent, Staged};
use super::running::{Running, Streams, watch};
use super::scratch::{Private, Scratch};
use super::{Clients, Execution, Job, OutputError, Sandbox, SandboxError, World, collect};
use crate::action::Network;
use crate::cancel::Cancel;
use crate::event::Status;
use crate::store::Strength;

/// The sandbox of full strength.
#[derive(Debug)]
pub struct Isolated {
    /// Forks what has no network.
    spawner: Spawner,
    /// Forks what shares the machine's, once something does.
    online: OnceLock<Spawner>,
    program: PathBuf,
    clients: Clients,
    world: World,
    turns: Turns,
    system: Shown,
    toolchains: Mutex<HashMap<PathBuf, Arc<Shown>>>,
    bytes_max: u64,
    processes_max: u64,
    place: String,
    restricts_files: bool,
    /// Held, because the place lies in it.
    _scratch: (Private, Scratch),
}

impl World {
    fn files(self, network: bool) -> Vec<SmallFile> {
        let Self { home, user, user_name, hostname, .. } = self;
        let file = |at: &str, content: String| SmallFile { at: at.to_owned(), content };
        let mut files = vec![
            file("/etc/passwd", format!("root:x:0:0::/:/bin/false\n{user_name}:x:{user}:{user}::{home}:/bin/sh\n")),
            file("/etc/group", format!("root:x:0:\n{user_name}:x:{user}:\n")),
        ];
        if !network {
            files.push(file("/etc/hosts", format!("127.0.0.1 localhost {hostname}\n::1 localhost\n")));
        }
        files
    }
}

/// How the sandbox is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// A program that calls [`spawner::serve`] when it is [wanted](spawner::is_wanted): this very one.
    pub program: PathBuf,
    /// A directory for an empty directory.
    pub scratch: PathBuf,
    /// What network clients may see.
    pub clients: Clients,
    /// How many processors there are: with more of them, more processes are normal.
    pub n_cores: usize,
    /// What actions find.
    pub world: World,
}

/// What this machine's kernel did not do.
#[derive(Debug)]
pub struct Refused {
    /// Which step, as a fragment that fits after "failed to".
    pub what: String,
    /// To what.
    pub path: String,
    /// Why.
    pub cause: io::Error,
}

impl Isolated {
    /// Makes the sandbox, and tries it once without running anything.
    ///
    /// # Errors
    /// [`Refused`] when this machine does not allow it.
    pub fn new(options: Options) -> Result<Self, Refused> {
        let refused = |what: &str, path: &Path| {
            let (what, path) = (what.to_owned(), path.display().to_string());
            move |cause| Refused { what, path, cause }
        };
        let made = Scratch::new(&options.scratch).and_then(|scratch| Ok((scratch.private()?, scratch)));
        let scratch = made.map_err(|e| refused("make a directory in", &options.scratch)(io::Error::other(e)))?;
        let place = shown::text(scratch.0.path()).map_err(refused("use", scratch.0.path()))?.to_owned();
        let spawner = Spawner::start(&options.program).map_err(refused("start", &options.program))?;
        let mut isolated = Self {
            spawner,
            online: OnceLock::new(),
            program: options.program,
            clients: options.clients,
            world: options.world,
            turns: Turns::default(),
            system: Shown::system(),
            toolchains: Mutex::default(),
            bytes_max: bytes_max(),
            processes_max: processes_max(options.n_cores),
            place,
            restricts_files: false,
            _scratch: scratch,
        };
        isolated.restricts_files = isolated.try_once()?;
        Ok(isolated)
    }

    /// Whether this kernel keeps the second lock on files (Landlock). Nothing depends on it as long as the first one holds.
    #[must_use]
    pub const fn restricts_files(&self) -> bool {
        self.restricts_files
    }

    fn spawner(&self, network: bool) -> io::Result<&Spawner> {
        if !network {
            return Ok(&self.spawner);
        }
        match self.online.get() {
            Some(spawner) => Ok(spawner),
            // Of two that are started at once, one ends unused.
            None => Ok(self.online.get_or_init({
                let started = Spawner::start(&self.program)?;
                || started
            })),
        }
    }

    /// Whether the kernel restricts files.
    fn try_once(&self) -> Result<bool, Refused> {
        let failed = |e: SandboxError| match e {
            SandboxError::Setup { what, path, cause } => Refused { what, path: path.display().to_string(), cause },
            e => Refused { what: "try".to_owned(), path: "the sandbox".to_owned(), cause: io::Error::other(e) },
        };
        let inside = Inside::make(self, Network::Denied, &[], &Order::default()).map_err(failed)?.0;
        inside.go().map_err(failed)?;
        inside.tried().map_err(failed)
    }

    fn setup(&self, network: Network, mounts: &Mounts) -> Result<Setup, SandboxError> {
        let World { root, home, temporary, user, hostname, .. } = self.world;
        let network = network == Network::Allowed;
        let mut shown = self.system.clone();
        for (at, mounted) in mounts {
            let toolchain = self.toolchain(mounted, &format!("{root}/{at}"))?;
            if spawner::owner(network).is_some() {
                readable_by_all(mounted, &toolchain)?;
            }
            shown.add(&toolchain);
        }
        let mut writable: Vec<String> = [root, home, temporary, "/dev/shm"].map(str::to_owned).into();
        if network {
            let mut clients = Shown::default();
            // Some containers have `/` for a home, which is not ours to give away.
            for path in self.clients.private.iter().filter(|path| path.parent().is_some()) {
                let path = shown::text(path).ok().filter(|path| !writable.iter().any(|there| there == path));
                writable.extend(path.map(str::to_owned));
            }
            for path in self.clients.readable.iter().chain(&self.clients.writable) {
                clients.at_its_name(path);
            }
            for path in &self.clients.writable {
                for bind in clients.binds.iter_mut().filter(|bind| Path::new(&bind.at) == path) {
                    bind.writable = true;
                }
            }
            shown.add(&clients);
        }
        let mut links = shown.links;
        links.extend(
            [("/dev/fd", "/proc/self/fd"), ("/dev/stdin", "fd/0"), ("/dev/stdout", "fd/1"), ("/dev/stderr", "fd/2")]
                .map(|(at, target)| message::Link { at: at.to_owned(), target: target.to_owned() }),
        );
        Ok(Setup {
            place: self.place.clone(),
            root: root.to_owned(),
            writable,
            files: self.world.files(network),
            links,
            binds: shown.binds,
            hostname: hostname.to_owned(),
            network,
            user,
            bytes_max: self.bytes_max,
            processes_max: self.processes_max,
            time: self.world.time().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs().cast_signed()),
            earlier_processes: self.world.earlier_processes,
        })
    }

    /// What a toolchain shows, worked out once.
    fn toolchain(&self, mounted: &crate::action::MountedTree, at: &str) -> Result<Arc<Shown>, SandboxError> {
        let mut known = self.toolchains.lock().expect("nothing panics while it is held");
        let name = mounted.directory.join(at.trim_start_matches('/'));
        if let Some(shown) = known.get(&name) {
            return Ok(Arc::clone(shown));
        }
        let shown = Shown::toolchain(mounted, at)
            .map_err(|cause| SandboxError::setup("look at the toolchain in", &mounted.directory, cause))?;
        Ok(Arc::clone(known.entry(name).or_insert(Arc::new(shown))))
    }

    /// Has a sandbox made, stages its inputs, and starts the action. All that it was made of, the input root included.
    fn begin(&self, job: &Job<'_>, traced: bool) -> Result<(Inside, OwnedFd, Streams, Staged), SandboxError> {
        let lent = Lent::of(job, self.world.manner())?;
        let order = Order { inputs: lent.binds(self.world.root), traced, ..self.order(job) };
        let (inside, root, streams, made) = Inside::make(self, job.network, job.mounts, &order)?;
        let lent = if made.shows_inputs { lent } else { Lent::default() };
        let owner = spawner::owner(job.network == Network::Allowed);
        let staged = stage::stage(job, &path_of(&root), owner, self.world.manner(), lent)?;
        inside.go()?;
        Ok((inside, root, streams, staged))
    }

    fn order(&self, job: &Job<'_>) -> Order {
        let World { root, home, temporary, .. } = self.world;
        let directory = job.directory.map_or_else(|| root.to_owned(), |directory| format!("{root}/{directory}"));
        let mut argv: Vec<String> = job.argv.iter().map(|word| word.render(root)).collect();
        if let Some(program) = argv.first_mut().filter(|program| !program.starts_with('/')) {
            *program = format!("{directory}/{program}");
        }
        let mut env = BTreeMap::from([("HOME", home.to_owned()), ("TMPDIR", temporary.to_owned())]);
        env.extend(self.world.env.iter().map(|(name, value)| (*name, (*value).to_owned())));
        if job.network == Network::Allowed {
            env.extend(self.clients.env.iter().map(|(name, value)| (name.as_str(), value.clone())));
        }
        env.extend(job.env.iter().map(|(name, value)| (name.as_str(), value.render(root))));
        let env = env.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        Order { argv, env, directory, only_core: self.turns.only_core(self.world), ..Order::default() }
    }
}

impl Sandbox for Isolated {
    fn strength(&self) -> Strength {
        Strength::Full
    }

    fn run(&self, job: &Job<'_>, cancel: &Cancel) -> Result<Execution, SandboxError> {
        let (mut inside, root, mut streams, staged) = self.begin(job, false)?;
        let root_path = path_of(&root);
        let watched = watch(&mut inside, &mut streams, job.timeout, cancel);
        if let Some(why) = inside.trouble.take() {
            return Err(error(why));
        }
        let status = match watched {
            Ok(status) => status,
            Err(early) => {
                // Its socket closes, and with it everything inside ends.
                drop(inside);
                let (stdout, stderr) = streams.drain();
                return Ok(Execution { status: early.into(), stdout, stderr, outputs: Ok(Vec::new()) });
            }
        };
        let (stdout, stderr) = streams.drain();
        let outputs = if status.is_success() {
            match staged.touched(&root_path) {
                Some(path) => Err(OutputError::ChangedInput(path)),
                None => {
                    let start = job.directory.map_or_else(|| root_path.clone(), |directory| root_path.join(directory));
                    collect(job, &start)?
                }
            }
        } else {
            Ok(Vec::new())
        };
        Ok(Execution { status, stdout, stderr, outputs })
    }

    fn lookups(&self, job: &Job<'_>, cancel: &Cancel) -> Result<Vec<String>, SandboxError> {
        self.look(job, cancel)
    }
}

/// A path that leads into a sandbox's mounts, which this process does not have.
fn path_of(root: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", root.as_raw_fd()))
}

/// Where there is only one processor, it is another one for each action, or all would wait for one.
#[derive(Debug, Default)]
struct Turns(AtomicUsize);

impl Turns {
    /// The processor to stay on, in a world that has only one.
    fn only_core(&self, world: World) -> Option<u32> {
        let allowed = world.one_core.then(|| rustix::thread::sched_getaffinity(None).ok())??;
        let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
        let turn = self.0.fetch_add(1, Ordering::Relaxed).checked_rem(cores.len())?;
        u32::try_from(cores[turn]).ok()
    }
}

/// A sandbox that was made, from the outside. Everything in it ends when this is dropped.
struct Inside {
    job: UnixStream,
    status: Option<Status>,
    /// What it looked for in vain, if that was asked.
    lookups: Vec<String>,
    /// What could not be done, if that is how it ended.
    trouble: Option<Failed>,
}

impl Inside {
    fn new(Ends { job, stdout, stderr }: Ends) -> (Self, Streams) {
        (Self { job, status: None, lookups: Vec::new(), trouble: None }, Streams::new(stdout, stderr))
    }

    /// Has a sandbox made. The directory that is to hold the inputs, what the action will write, and how it went.
    fn make(
        isolated: &Isolated,
        network: Network,
        mounts: &Mounts,
        order: &Order,
    ) -> Result<(Self, OwnedFd, Streams, Made), SandboxError> {
        let spawner = isolated.spawner(network == Network::Allowed).map_err(talk)?;
        let (inside, streams) = Self::new(spawner.fork(mounts, || isolated.setup(network, mounts), order)?);
        let failed = match message::receive::<Report>(&inside.job) {
            Ok(Some((Report { news: Some(News::Made(made)), .. }, Some(root)))) => {
                return Ok((inside, root, streams, made));
            }
            Ok(Some((Report { news: Some(News::Failed(why)), .. }, _))) => error(why),
            Ok(_) => talk(io::ErrorKind::UnexpectedEof),
            Err(e) => talk(e),
        };
        spawner.forget(mounts);
        Err(failed)
    }

    /// How a trial went: whether the kernel restricts files.
    fn tried(&self) -> Result<bool, SandboxError> {
        match message::receive::<Report>(&self.job).map_err(talk)? {
            Some((Report { news: Some(News::Tried(Tried { restricts_files })), .. }, _)) => Ok(restricts_files),
            Some((Report { news: Some(News::Failed(why)), .. }, _)) => Err(error(why)),
            _ => Err(talk(io::ErrorKind::UnexpectedEof)),
        }
    }

    /// Starts the action: its inputs are there.
    fn go(&self) -> Result<(), SandboxError> {
        rustix::io::write(&self.job, &[inside::GO]).map(drop).map_err(talk)
    }
}

impl Running for Inside {
    fn news(&self) -> Option<BorrowedFd<'_>> {
        Some(self.job.as_fd())
    }

    fn ended(&mut self) -> Option<Status> {
        if self.status.is_some() {
            return self.status;
        }
        let mut polled = [PollFd::new(&self.job, PollFlags::IN)];
        if !matches!(poll(&mut polled, Some(&Timespec::default())), Ok(1..)) {
            return None;
        }
        let lost = || Failed { what: "hear from".into(), path: "the first process of the sandbox".into(), errno: 0 };
        let status = match message::receive::<Report>(&self.job) {
            Ok(Some((Report { news: Some(News::Exited(code)), lookups }, _))) => {
                self.lookups = lookups;
                Status::Exited(code)
            }
            Ok(Some((Report { news: Some(News::Signalled(signal)), .. }, _))) => Status::Signalled(signal),
            Ok(Some((Report { news: Some(News::Failed(why)), .. }, _))) => {
                self.trouble = Some(why);
                Status::Exited(127)
            }
            _ => {
                self.trouble = Some(lost());
                Status::Signalled(9)
            }
        };
        self.status = Some(status);
        self.status
    }

    fn ask_to_end(&mut self) {
        let _ = rustix::io::write(&self.job, &[inside::END]);
    }
}

/// Sees to it that a toolchain which root installed for themselves is an error of ours, with its remedy, and not a tool
/// that is not found.
fn readable_by_all(mounted: &crate::action::MountedTree, toolchain: &Shown) -> Result<(), SandboxError> {
    for bind in &toolchain.binds {
        let from = Path::new(&bind.from);
        let private = shown::first_private(from).map_err(|cause| SandboxError::setup("look at", from, cause))?;
        if let Some(path) = private {
            let remedy = format!("only its owner may read it: `chmod -R go+rX {}`", mounted.directory.display());
            let cause = io::Error::new(io::ErrorKind::PermissionDenied, remedy);
            return Err(SandboxError::setup("use in a sandbox, where root is nobody,", &path, cause));
        }
    }
    Ok(())
}

fn error(Failed { what, path, errno }: Failed) -> SandboxError {
    let cause = match errno {
        0 => io::Error::other("it ended without a word"),
        errno => io::Error::from_raw_os_error(errno),
    };
    SandboxError::Setup { what, path: path.into(), cause }
}

/// The most bytes that the files of one sandbox may hold: they are in memory, and half of it is what such file systems
/// get by custom.
fn bytes_max() -> u64 {
    let info = rustix::system::sysinfo();
    let total = u64::from(info.mem_unit) * info.totalram;
    (total / 2).max(1 << 30)
}

/// The most processes and threads of one sandbox.
fn processes_max(n_cores: usize) -> u64 {
    512 + 128 * u64::try_from(n_cores).unwrap_or(1)
}
