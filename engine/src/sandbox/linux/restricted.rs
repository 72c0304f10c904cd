//! `Restricted`: no namespaces, for machines that refuse them. Landlock and seccomp ([`walls`]) keep an action
//! to its private directory, its toolchains, the loader and the C library.
//!
//! What differs from the sandbox of full strength, and why its results are [`Strength::Partial`]: the machine's name, user,
//! clock and load can be seen, and so can the names of files and the numbers of processes, though not what is in them;
//! nothing limits how many processes an action starts; and a client of a registry, which may use the network, finds the
//! user's own home where it would have found an empty one. An action has no network at all, not even one to itself, and
//! can't read `/proc`: what tools want to know of themselves there they are told by links, which no lock holds back.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::Shutdown;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::made::{Inside, error};
use super::message::{Order, Task, Walls};
use super::setup::bytes_max;
use super::shown::{self, Shown};
use super::spawner::Spawner;
use super::stage::Lent;
use super::{Options, Refused, Turns, stage, walls};
use crate::action::{MountedTree, Network};
use crate::cancel::Cancel;
use crate::sandbox::place::Place;
use crate::sandbox::running::{Streams, watch};
use crate::sandbox::scratch::Scratch;
use crate::sandbox::{Clients, Execution, Job, OutputError, Sandbox, SandboxError, World, collect};
use crate::store::Strength;

/// The sandbox of partial strength.
#[derive(Debug)]
pub struct Restricted {
    spawner: Spawner,
    clients: Clients,
    world: World,
    turns: Turns,
    /// What of the machine every action may read.
    system: Walls,
    toolchains: Mutex<HashMap<PathBuf, Arc<Walls>>>,
    bytes_max: u64,
    abi_max: u32,
    scratch: Scratch,
}

/// What tells the loader where libraries are that lie in no usual directory.
const LOADER_CACHE: &str = "/etc/ld.so.cache";

impl Restricted {
    /// Makes the sandbox, and tries it once without running anything.
    ///
    /// # Errors
    /// [`Refused`] when this machine does not allow it.
    pub fn new(options: Options) -> Result<Self, Refused> {
        Self::with_landlock_at_most(walls::ABI_NEWEST, options)
    }

    /// The same on a kernel whose Landlock is not newer than that: to see what an older one would let through.
    ///
    /// # Errors
    /// As [`Restricted::new`].
    pub fn with_landlock_at_most(abi_max: u32, options: Options) -> Result<Self, Refused> {
        let scratch = Scratch::new(&options.scratch).map_err(refused)?;
        let spawner = Spawner::start(&options.program).map_err(|cause| Refused {
            what: "start".to_owned(),
            path: options.program.display().to_string(),
            cause,
        })?;
        let restricted = Self {
            spawner,
            clients: options.clients,
            world: options.world,
            turns: Turns::default(),
            system: system(),
            toolchains: Mutex::default(),
            bytes_max: bytes_max(),
            abi_max,
            scratch,
        };
        restricted.try_once()?;
        Ok(restricted)
    }

    fn try_once(&self) -> Result<(), Refused> {
        let place = self.scratch.private().map_err(refused)?;
        let mut walls = self.system.clone();
        walls.writable.push(place.path().display().to_string());
        walls.abi_max = self.abi_max;
        let order = Order { directory: "/".to_owned(), ..Order::default() };
        let (inside, _streams) = self.begin(&Task { order, walls, bytes_max: self.bytes_max }).map_err(refused)?;
        inside.tried().map(drop).map_err(refused)
    }

    /// Has an action started.
    fn begin(&self, task: &Task) -> Result<(Inside, Streams), SandboxError> {
        self.spawner.fork_in_place(task).map(Inside::new)
    }

    fn walls(&self, job: &Job<'_>, place: &Place) -> Result<Walls, SandboxError> {
        let mut walls = self.system.clone();
        for (_, mounted) in job.mounts {
            let toolchain = self.toolchain(mounted)?;
            walls.listed.extend(toolchain.listed.iter().cloned());
            walls.readable.extend(toolchain.readable.iter().cloned());
        }
        for directory in [&place.root, &place.home] {
            let text = shown::text(directory).map_err(|cause| SandboxError::setup("use", directory, cause))?;
            walls.writable.push(text.to_owned());
        }
        if job.network == Network::Allowed {
            let Clients { private, readable, writable, .. } = &self.clients;
            walls.network = true;
            walls.readable.extend(readable.iter().filter_map(|path| existing(path)));
            let private = private.iter().filter(|path| path.parent().is_some());
            walls.writable.extend(private.chain(writable).filter_map(|path| existing(path)));
        }
        walls.abi_max = self.abi_max;
        Ok(walls)
    }

    /// What a toolchain may be read of, worked out once: exactly what its tree lists, and all names in its directory.
    fn toolchain(&self, mounted: &MountedTree) -> Result<Arc<Walls>, SandboxError> {
        let mut known = self.toolchains.lock().expect("nothing panics while it is held");
        if let Some(walls) = known.get(&mounted.directory) {
            return Ok(Arc::clone(walls));
        }
        let shown = Shown::toolchain(mounted, "")
            .map_err(|cause| SandboxError::setup("look at the toolchain in", &mounted.directory, cause))?;
        let here = mounted.beside.iter().filter_map(|beside| existing(&beside.at));
        let readable: BTreeSet<String> = shown.binds.into_iter().map(|bind| bind.from).chain(here).collect();
        let walls = Arc::new(Walls {
            listed: existing(&mounted.directory).into_iter().collect(),
            readable: readable.into_iter().collect(),
            ..Walls::default()
        });
        Ok(Arc::clone(known.entry(mounted.directory.clone()).or_insert(walls)))
    }
}

impl Sandbox for Restricted {
    fn strength(&self) -> Strength {
        Strength::Partial
    }

    fn run(&self, job: &Job<'_>, cancel: &Cancel) -> Result<Execution, SandboxError> {
        let place = Place::make(job, self.scratch.private()?, &self.world)?;
        let staged = stage::stage(job, &place.root, None, self.world.manner(), Lent::default())?;
        place.link(job)?;
        let env = place.env(job, &self.world, &self.clients);
        let order = Order {
            argv: place.argv(job),
            env: env.into_iter().map(|(name, value)| format!("{name}={value}")).collect(),
            directory: place.start.display().to_string(),
            only_core: self.turns.only_core(self.world),
            ..Order::default()
        };
        let task = Task { order, walls: self.walls(job, &place)?, bytes_max: self.bytes_max };
        let (mut inside, mut streams) = self.begin(&task)?;
        let watched = watch(&mut inside, &mut streams, job.timeout, cancel);
        end(&inside);
        let (stdout, stderr) = streams.drain();
        if let Some(why) = inside.trouble.take() {
            return Err(error(why));
        }
        let status = match watched {
            Ok(status) => status,
            Err(early) => return Ok(Execution { status: early.into(), stdout, stderr, outputs: Ok(Vec::new()) }),
        };
        let outputs = if status.is_success() {
            match staged.touched(&place.root) {
                Some(path) => Err(OutputError::ChangedInput(path)),
                None => collect(job, &place.start)?,
            }
        } else {
            Ok(Vec::new())
        };
        Ok(Execution { status, stdout, stderr, outputs })
    }
}

/// Has everything end, and waits until it has: the other side closes when nothing is left.
fn end(inside: &Inside) {
    let _ = inside.job.shutdown(Shutdown::Write);
    let _ = io::copy(&mut &inside.job, &mut io::sink());
}

/// The loader, the C library and the devices that every program may expect.
fn system() -> Walls {
    let mut walls = Walls::default();
    for bind in Shown::system().binds {
        if bind.writable { walls.writable.push(bind.from) } else { walls.readable.push(bind.from) }
    }
    walls.readable.extend(existing(Path::new(LOADER_CACHE)));
    walls
}

/// A path as the kernel is told of it, if there is anything.
fn existing(path: &Path) -> Option<String> {
    path.canonicalize().ok()?.to_str().map(str::to_owned)
}

fn refused(error: SandboxError) -> Refused {
    match error {
        SandboxError::Setup { what, path, cause } => Refused { what, path: path.display().to_string(), cause },
        e => Refused { what: "try".to_owned(), path: "the sandbox".to_owned(), cause: io::Error::other(e) },
    }
}
