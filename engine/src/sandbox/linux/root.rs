//! The root that an action finds, in two halves: [`Base`] is made once, by the spawner, and a copy of its mounts costs
//! the kernel little; what each action has for itself is [`Opened`], laid over the copy by its first process.
//!
//! The base belongs to a mount table in which nothing runs, and the first processes are forked from another one, which
//! holds next to nothing: so what an action costs depends neither on how much of the machine its tools need, nor on how
//! much is mounted on the machine.

use std::collections::HashSet;
use std::ffi::CString;
use std::fs;
use std::io;
use std::iter;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_change, move_mount,
    open_tree, unmount,
};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use super::inside::{Step, failed};
use super::message::{Bind, Setup};
use super::sys;

/// Where the hall has a place for a new root.
const NEW: &str = "/new";

/// Where the hall has a place for what an action may write.
const OWN: &str = "/own";

/// The mount tables of a spawner.
#[derive(Debug)]
pub(super) struct Tables {
    /// The machine's, as the spawner sees it, and the bases.
    machine: OwnedFd,
    /// Two empty directories and the processes; forking from here copies nothing else.
    hall: OwnedFd,
    /// Where root does the building and nobody the running: the namespace in which root's files are nobody's.
    nobody: Option<OwnedFd>,
}

impl Tables {
    /// Makes them. This process ends up in the hall.
    pub(super) fn make(place: &Path, nobody: Option<OwnedFd>) -> Step<Self> {
        let separate = || sys::unshare(UnshareFlags::NEWNS).map_err(failed("make", "a mount table"));
        let change = |how| mount_change("/", how | MountPropagationFlags::REC);
        separate()?;
        // What is mounted on the machine later is seen, and nothing that is mounted here is seen there.
        change(MountPropagationFlags::DOWNSTREAM).map_err(failed("separate", "the mount table"))?;
        mount_memory(place, None)?;
        let machine = own_table()?;
        separate()?;
        change(MountPropagationFlags::PRIVATE).map_err(failed("separate", "the mount table"))?;
        mount_memory(place, None)?;
        for directory in [NEW, OWN, "/proc"] {
            let at = place.join(directory.trim_start_matches('/'));
            fs::create_dir(&at).map_err(failed("make the directory", &at))?;
        }
        // Without it, the kernel lets nobody have a view of their own processes.
        let processes = clone_tree(Path::new("/proc"), true).map_err(failed("show", "/proc"))?;
        attach(&processes, &place.join("proc")).map_err(failed("mount", "/proc"))?;
        enter(place)?;
        Ok(Self { machine, hall: own_table()?, nobody })
    }

    /// Builds a base at `at`, below the place.
    pub(super) fn build(&self, at: PathBuf, setup: Setup) -> Step<Base> {
        self.on_the_machine(|| Base::build(at, setup))
    }

    /// Copies the mounts of a base, and opens what each action is shown in its own directories, and this one's inputs.
    pub(super) fn open(&self, base: &Base, inputs: &[Bind]) -> Step<Opened> {
        let owner = if base.setup.network { None } else { self.nobody.as_ref() };
        self.on_the_machine(|| {
            Ok(Opened {
                root: clone_tree(&base.at, true).map_err(failed("copy the mounts of", &base.at))?,
                binds: base.inner_binds().map(|shown| show(shown, None)).collect::<Step<_>>()?,
                inputs: show_all(inputs, owner)?,
            })
        })
    }

    fn on_the_machine<T>(&self, what: impl FnOnce() -> Step<T>) -> Step<T> {
        let go = |table: &OwnedFd| {
            move_into_link_name_space(table.as_fd(), Some(LinkNameSpaceType::Mount))
                .map_err(failed("enter", "a mount table"))
        };
        go(&self.machine)?;
        let done = what();
        go(&self.hall)?;
        done
    }
}

fn own_table() -> Step<OwnedFd> {
    const TABLE: &str = "/proc/thread-self/ns/mnt";
    rustix::fs::open(TABLE, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(failed("open", TABLE))
}

/// The half of a root that all actions with the same tools share, read-only: links, small files, the C library, what
/// tools look for at its own path.
#[derive(Debug)]
pub(super) struct Base {
    at: PathBuf,
    pub(super) setup: Setup,
}

/// Mounts that have no place yet.
pub(super) struct Opened {
    root: OwnedFd,
    /// One for each of [`Base::inner_binds`].
    binds: Vec<OwnedFd>,
    /// One for each input of the order, unless such can't be shown here.
    inputs: Option<Vec<OwnedFd>>,
}

impl Opened {
    /// Whether inputs will be shown.
    pub(super) const fn shows_inputs(&self) -> bool {
        self.inputs.is_some()
    }

    /// Gives the inputs that are shown their places, where empty files stand. From inside.
    pub(super) fn show_inputs(&self, inputs: &[Bind]) -> Step<()> {
        let mut trees = iter::zip(inputs, self.inputs.iter().flatten());
        trees.try_for_each(|(input, tree)| attach(tree, Path::new(&input.at)).map_err(failed("mount", &input.at)))
    }
}

impl Base {
    fn build(at: PathBuf, setup: Setup) -> Step<Self> {
        match fs::create_dir(&at) {
            // Another one's, which nobody asks for any more. Its copies stay.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                let _ = unmount(&at, UnmountFlags::DETACH);
            }
            made => made.map_err(failed("make the directory", &at))?,
        }
        mount_memory(&at, None)?;
        let base = Self { at, setup };
        let mut new = NewRoot::at(&base.at);
        for link in base.setup.links.iter().filter(|link| !base.is_inner(&link.at)) {
            new.link(&link.at, &link.target)?;
        }
        for directory in base.setup.writable.iter().filter(|directory| !base.is_inner(directory)) {
            new.make_directories(&new.path(directory))?;
        }
        for file in base.setup.files.iter().filter(|file| !base.is_inner(&file.at)) {
            new.file(&file.at, &file.content)?;
        }
        for shown in base.setup.binds.iter().filter(|shown| !base.is_inner(&shown.at)) {
            new.bind(shown, &show(shown, None)?)?;
        }
        // Its own processes are mounted there.
        new.make_directories(&new.path("/proc"))?;
        new.made.insert(0, base.at.clone());
        new.finish(base.setup.time)?;
        let root = open_tree(CWD, &base.at, OpenTreeFlags::OPEN_TREE_CLOEXEC).map_err(failed("open", &base.at))?;
        sys::restrict_mount(root.as_fd(), true, false, None).map_err(failed("make read-only", "/"))?;
        Ok(base)
    }

    /// Whether a path lies in a directory that each action has for itself.
    fn is_inner(&self, at: &str) -> bool {
        self.setup.writable.iter().any(|directory| directory != at && Path::new(at).starts_with(directory))
    }

    fn inner_binds(&self) -> impl Iterator<Item = &Bind> {
        self.setup.binds.iter().filter(|shown| self.is_inner(&shown.at))
    }

    /// Makes the root of one action, and enters it. For its first process. The directory that is to hold the inputs.
    pub(super) fn complete(&self, opened: &Opened) -> Step<OwnedFd> {
        let setup = &self.setup;
        attach(&opened.root, Path::new(NEW)).map_err(failed("mount", "/"))?;
        mount_memory(Path::new(OWN), Some(setup.bytes_max))?;
        let mut new = NewRoot::at(Path::new(NEW));
        for (i, directory) in setup.writable.iter().enumerate() {
            let at = new.path(directory);
            if self.is_inner(directory) {
                new.make_directories(&at)?;
            }
            let own = Path::new(OWN).join(i.to_string());
            fs::create_dir(&own).map_err(failed("make the directory", directory))?;
            if rustix::process::geteuid().as_raw() != setup.user {
                chown(&own, Some(setup.user), Some(setup.user)).map_err(failed("hand over", directory))?;
            }
            let tree = clone_tree(&own, false).map_err(failed("open", directory))?;
            attach(&tree, &at).map_err(failed("mount", directory))?;
            new.know(at);
        }
        for link in setup.links.iter().filter(|link| self.is_inner(&link.at)) {
            new.link(&link.at, &link.target)?;
        }
        for file in setup.files.iter().filter(|file| self.is_inner(&file.at)) {
            new.file(&file.at, &file.content)?;
        }
        for (shown, tree) in self.inner_binds().zip(&opened.binds) {
            new.bind(shown, tree)?;
        }
        new.finish(setup.time)?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount("proc", new.path("/proc"), "proc", flags, Some(c"subset=pid")).map_err(failed("mount", "/proc"))?;
        enter(Path::new(NEW))?;
        rustix::fs::open(&setup.root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(failed("open", &setup.root))
    }
}

/// A root that is being built.
struct NewRoot<'a> {
    place: &'a Path,
    /// What was made there and will be seen.
    made: Vec<PathBuf>,
    /// Directories that are there.
    known: HashSet<PathBuf>,
}

impl<'a> NewRoot<'a> {
    fn at(place: &'a Path) -> Self {
        Self { place, made: Vec::new(), known: HashSet::from([place.to_owned()]) }
    }

    /// A path from inside, as it is outside for the time being.
    fn path(&self, inside: &str) -> PathBuf {
        self.place.join(inside.trim_start_matches('/'))
    }

    /// Notes a directory that was made in another way.
    fn know(&mut self, at: PathBuf) {
        self.made.push(at.clone());
        self.known.insert(at);
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

    fn link(&mut self, at: &str, target: &str) -> Step<()> {
        let path = self.path(at);
        self.make_parent(&path)?;
        symlink(target, &path).map_err(failed("make the link", at))
    }

    fn file(&mut self, at: &str, content: &str) -> Step<()> {
        let path = self.path(at);
        self.make_parent(&path)?;
        fs::write(&path, content).map_err(failed("write", at))?;
        self.made.push(path);
        Ok(())
    }

    /// Gives a part of the machine, which was opened by [`show`], its place.
    fn bind(&mut self, shown: &Bind, tree: &OwnedFd) -> Step<()> {
        let at = self.path(&shown.at);
        self.make_parent(&at)?;
        let made = match shown.directory {
            true => fs::create_dir(&at),
            false => fs::File::options().write(true).create_new(true).open(&at).map(drop),
        };
        match made {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.map_err(failed("make a place for", &shown.at))?,
        }
        attach(tree, &at).map_err(failed("mount", &shown.at))
    }

    /// Gives everything its time, what is below first.
    fn finish(&self, time: i64) -> Step<()> {
        self.made.iter().rev().try_for_each(|at| set_time(at, time).map_err(failed("set the time of", at)))
    }
}

/// Opens a part of the machine to be mounted elsewhere, read-only unless it is writable; as another one's, where there is
/// a namespace that says whose.
fn show(shown: &Bind, owner: Option<&OwnedFd>) -> Step<OwnedFd> {
    let tree = clone_tree(Path::new(&shown.from), shown.directory).map_err(failed("show", &shown.from))?;
    let restricted = sys::restrict_mount(tree.as_fd(), !shown.writable, shown.directory, owner.map(AsFd::as_fd));
    restricted.map_err(failed("make read-only", &shown.from))?;
    Ok(tree)
}

/// Opens the inputs that are not copied; nothing where they lie on a file system that can't show its files as somebody
/// else's, such as an overlay: all are copied then.
fn show_all(inputs: &[Bind], owner: Option<&OwnedFd>) -> Step<Option<Vec<OwnedFd>>> {
    // What the kernel says of a file system without idmapped mounts, and of one that belongs to another namespace.
    const CANT: [Errno; 3] = [Errno::INVAL, Errno::OPNOTSUPP, Errno::PERM];
    match inputs.iter().map(|input| show(input, owner)).collect::<Step<_>>() {
        Ok(shown) => Ok(Some(shown)),
        Err(failed) if owner.is_some() && CANT.iter().any(|errno| errno.raw_os_error() == failed.errno) => Ok(None),
        Err(failed) => Err(failed),
    }
}

fn clone_tree(from: &Path, recursive: bool) -> rustix::io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    open_tree(CWD, from, flags)
}

/// Gives a mount its place.
fn attach(tree: &OwnedFd, at: &Path) -> rustix::io::Result<()> {
    move_mount(tree, c"", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

fn mount_memory(at: &Path, bytes_max: Option<u64>) -> Step<()> {
    let size = bytes_max.map_or_else(String::new, |bytes_max| format!(",size={bytes_max}"));
    let options = CString::new(format!("mode=0755{size}")).expect("digits and letters");
    mount("tmpfs", at, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str())
        .map_err(failed("mount a file system in memory on", at))
}

fn set_time(at: &Path, seconds: i64) -> rustix::io::Result<()> {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, at, &times, AtFlags::SYMLINK_NOFOLLOW)
}

/// Makes a mount the root, and what was there before it unreachable.
fn enter(place: &Path) -> Step<()> {
    rustix::process::chdir(place).map_err(failed("enter", place))?;
    rustix::process::pivot_root(".", ".").map_err(failed("change the root to", place))?;
    unmount(".", UnmountFlags::DETACH).map_err(failed("let go of", "the machine's root"))?;
    rustix::process::chdir("/").map_err(failed("enter", "/"))
}
