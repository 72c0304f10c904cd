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
mod made;
mod message;
mod network;
mod notify;
pub mod restricted;
mod root;
mod setup;
mod shown;
pub mod spawner;
mod stage;
mod sys;
mod walls;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use rustix::thread::CpuSet;

pub(super) use self::walls::ABI_OLDEST as LANDLOCK_OLDEST;
pub use self::walls::Locks;

use self::made::{Inside, error};
use self::message::Order;
use self::setup::{bytes_max, processes_max};
use self::shown::Shown;
use self::spawner::Spawner;
use self::stage::{Lent, Staged};
use super::running::{Streams, watch};
use super::scratch::{Private, Scratch};
use super::{Clients, Execution, Job, OutputError, Sandbox, SandboxError, World, collect};
use crate::action::Network;
use crate::cancel::Cancel;
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
