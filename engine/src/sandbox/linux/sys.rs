//! The system calls that no safe crate offers, each with what makes it sound. With `notify.rs` the only
//! unsafe code of this crate.

#![allow(unsafe_code, reason = "fork, exec and four calls about mounts, processes, network devices and Landlock")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use rustix::process::Pid;
use rustix::thread::UnshareFlags;

/// Which namespaces a new process gets, as the kernel spells them (`clone(2)`).
pub(super) mod namespace {
    /// Users and capabilities.
    pub(in super::super) const USER: i32 = libc::CLONE_NEWUSER;
    /// Mounts, processes, System V and POSIX IPC, host name: all that every sandbox has.
    pub(in super::super) const PRIVATE: i32 =
        libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
}

/// Forks into new namespaces. `None` in the child.
///
/// Only for a process with one thread: the child then has every lock in the state that its own thread left it in.
pub(super) fn fork_into(namespaces: i32) -> io::Result<Option<Pid>> {
    let flags = libc::c_long::from(namespaces | libc::SIGCHLD);
    // SAFETY: without CLONE_VM this is a fork: the child has its own copy of all memory, stack included (a null stack
    // means "go on with the copy"). No pointer is passed. The caller promises that there is one thread, so no lock of
    // the allocator or of libc is held by somebody who does not exist in the child.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0_usize, 0_usize, 0_usize, 0_usize) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid => Ok(i32::try_from(pid).ok().and_then(Pid::from_raw)),
    }
}

/// How much of a stack a process has until it is another program. Pages that are not touched cost nothing.
const STACK_BYTES: usize = 512 * 1024;

/// Forks a process that is to become another program, which spares copying this one's page tables: the two share all
/// memory, and this one stands still until the other is that program or has ended.
///
/// Only for a process with one thread. `child` must not give back, close or change what this process goes on with.
pub(super) fn fork_to_execute(child: &dyn Fn()) -> io::Result<Pid> {
    extern "C" fn begin(child: *mut libc::c_void) -> libc::c_int {
        // SAFETY: it is the address of `child` below, in the frame of a parent that stands still.
        let child = unsafe { &*child.cast::<&dyn Fn()>() };
        child();
        127
    }
    let mut stack = vec![0_u128; STACK_BYTES / size_of::<u128>()];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack is aligned, grows down from its end, and outlives the child's use of it, because CLONE_VFORK
    // keeps this thread, the only one, in the call for as long; so the child's use of shared memory, the allocator's
    // included, is as if this thread called it. Descriptors, signal handlers and the rest are copies.
    let pid =
        unsafe { libc::clone(begin, stack.as_mut_ptr_range().end.cast(), flags, (&raw const child).cast_mut().cast()) };
    Pid::from_raw(pid).filter(|_| pid > 0).ok_or_else(io::Error::last_os_error)
}

/// Moves this process, which has one thread, into a new namespace.
pub(super) fn unshare(what: UnshareFlags) -> io::Result<()> {
    // SAFETY: no table of files is unshared, so every descriptor stays what it is.
    Ok(unsafe { rustix::thread::unshare_unsafe(what) }?)
}

/// Ends a forked process at once. What its parent wanted done at its end is not this one's to do.
pub(super) fn leave(status: i32) -> ! {
    // SAFETY: no memory is involved, and nothing is run afterwards.
    unsafe { libc::_exit(status) }
}

/// Becomes another program. Returns only when that failed.
pub(super) fn execute(argv: &[CString], env: &[CString]) -> io::Error {
    let pointers = |words: &[CString]| -> Vec<*const libc::c_char> {
        words.iter().map(|word| word.as_ptr()).chain([ptr::null()]).collect()
    };
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: both lists end with a null pointer, and every other pointer leads to a string that ends with a null byte
    // and is borrowed until after the call.
    unsafe { libc::execve(argv[0], argv.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// Sends a signal to every process that this one may signal, itself and the first of its namespace left out.
pub(super) fn signal_all(signal: i32) {
    // SAFETY: no memory is involved.
    unsafe { libc::kill(-1, signal) };
}

/// The last signal there is. Two of them are the C library's own; asked to change these, it does nothing.
const SIGNAL_MAX: i32 = 64;

/// Gives all signals but one back their usual meaning: an ignored one stays ignored in every program that follows. The
/// one is left to [`usual_signals`]: it says that a reader is gone, which this process finds out without dying of it.
pub(super) fn forget_signals() {
    // SAFETY: no handler is installed, only the default.
    unsafe {
        for signal in (1..=SIGNAL_MAX).filter(|signal| *signal != libc::SIGPIPE) {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
}

/// Gives the last signal its usual meaning too, and holds none back any more.
pub(super) fn usual_signals() {
    // SAFETY: no handler is installed, only the default; an all-zero set is a valid, empty one, and it lives for the
    // calls that read and write it.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

/// A file that can be read whenever a child has ended. The signal that says so does nothing else any more, and children
/// are this process's to reap again.
pub(super) fn child_news() -> io::Result<std::os::fd::OwnedFd> {
    use std::os::fd::FromRawFd as _;
    // SAFETY: an all-zero set is a valid one and lives for the calls; the descriptor that signalfd returns is new and
    // nobody else's.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        match libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(std::os::fd::OwnedFd::from_raw_fd(fd)),
        }
    }
}

/// Takes from a mount, and from all below it where `recursive`, what set-user-id bits mean; and where it is `read_only`,
/// writing and what device files mean. Where there is an `owner`, a user namespace, files belong to whom it maps their
/// owners to.
pub(super) fn restrict_mount(
    mount: BorrowedFd<'_>,
    read_only: bool,
    recursive: bool,
    owner: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let read_only = if read_only { libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NODEV } else { 0 };
    let owned = if owner.is_some() { libc::MOUNT_ATTR_IDMAP } else { 0 };
    let attributes = libc::MOUNT_ATTR_NOSUID | read_only | owned;
    // A descriptor is never negative.
    let userns_fd = owner.map_or(0, |owner| u64::from(owner.as_raw_fd().unsigned_abs()));
    let change = libc::mount_attr { attr_set: attributes, attr_clr: 0, propagation: 0, userns_fd };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty string that ends with a null byte, the attributes are borrowed for the call and their
    // size is theirs.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const change,
            size_of::<libc::mount_attr>(),
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The version of Landlock's interface that this kernel has; 0 where it has none.
pub(super) fn landlock_abi() -> u32 {
    /// `LANDLOCK_CREATE_RULESET_VERSION`.
    const VERSION: u32 = 1;
    // SAFETY: asked for its version, the kernel takes no address.
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, ptr::null::<u8>(), 0_usize, VERSION) };
    u32::try_from(abi).unwrap_or(0)
}

/// Switches the loopback device on, so that `localhost` works.
pub(super) fn loopback_up(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: an all-zero request is a valid one; the name fits and leaves room for its null byte; the kernel reads and
    // writes the request, which outlives the calls.
    let done = unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
            *to = libc::c_char::from_ne_bytes([*from]);
        }
        request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or_default();
        libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
