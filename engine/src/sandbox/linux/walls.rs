//! What holds an action back where it shares the machine's namespaces: Landlock for files, ports, sockets and signals, and
//! seccomp for what Landlock can't refuse.
//!
//! | refused | by | since |
//! |---|---|---|
//! | opening any file but inputs, toolchains, loader and C library | Landlock ABI 2 | 5.19 |
//! | truncating, device controls | ABI 3, 5 | 6.2, 6.10 |
//! | TCP ports, also local ones | ABI 4, and seccomp for sockets of any kind | 6.7 |
//! | signals to others, abstract sockets | ABI 6 | 6.12 |
//! | dialling other sockets, shared memory and its like, other processes' memory | seccomp | |
//!
//! ABI 1 (5.13) is not enough: it forbids moving a file to another directory, which rustc does to every library it makes.
//!
//! Not refused, whatever the kernel: asking whether a file exists and how large it is, changing the mode or the time of a
//! file that the user owns, reading the machine's name, load and clock.

use std::io;
use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use seccompiler::{BpfProgram, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

use super::confine::program;
use super::inside::failed;
use super::message::{Failed, Walls};
use super::sys;

/// The newest interface of Landlock that these rules know.
pub(super) const ABI_NEWEST: u32 = 10;

/// The first that lets files be moved between directories.
pub(in crate::sandbox) const ABI_OLDEST: u32 = 2;

/// The first that can keep signals inside.
const ABI_SIGNALS: u32 = 6;

/// What of a kernel's locks holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Locks {
    /// The version of Landlock's interface; 0 where there is none.
    pub landlock: u32,
    /// Whether system calls can be refused.
    pub seccomp: bool,
}

impl Locks {
    /// Asks the kernel.
    #[must_use]
    pub fn of_this_machine() -> Self {
        // A kernel that can filter says of each process whether it does.
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self { landlock: sys::landlock_abi(), seccomp: status.lines().any(|line| line.starts_with("Seccomp:")) }
    }
}

/// Restricts this process, and all it starts, to what `walls` name.
pub(super) fn raise(walls: &Walls) -> Result<(), Failed> {
    let is_enough = sys::landlock_abi().min(walls.abi_max) >= ABI_OLDEST;
    if !is_enough || restrict(walls)? == RulesetStatus::NotEnforced {
        return Err(failed("restrict", "files with Landlock")(io::Error::from_raw_os_error(libc::EOPNOTSUPP)));
    }
    for program in refused(walls.network).map_err(failed("compile", "a filter of system calls"))? {
        seccompiler::apply_filter(&program).map_err(|e| failed("restrict", "system calls")(io::Error::other(e)))?;
    }
    Ok(())
}

fn restrict(walls: &Walls) -> Result<RulesetStatus, Failed> {
    let abi = ABI::from(i32::try_from(walls.abi_max).unwrap_or(i32::MAX));
    let landlock = |e: landlock::RulesetError| failed("restrict", "files with Landlock")(io::Error::other(e));
    let mut ruleset = Ruleset::default().set_compatibility(CompatLevel::BestEffort);
    let mut all = AccessFs::from_all(abi);
    if walls.network {
        // Clients dial agents that hold their keys.
        all.remove(AccessFs::ResolveUnix);
    }
    ruleset = ruleset.handle_access(all).map_err(landlock)?;
    let (ports, scopes) = (AccessNet::from_all(abi), Scope::from_all(abi));
    if !walls.network && !ports.is_empty() {
        ruleset = ruleset.handle_access(ports).map_err(landlock)?;
    }
    if !scopes.is_empty() {
        ruleset = ruleset.scope(scopes).map_err(landlock)?;
    }
    let mut created = ruleset.create().map_err(landlock)?;
    let read = AccessFs::from_read(abi);
    let openings = [(&walls.listed, AccessFs::ReadDir.into()), (&walls.readable, read), (&walls.writable, all)];
    for (paths, access) in openings {
        for path in paths {
            let open = PathFd::new(path).map_err(|e| failed("open", path)(io::Error::other(e)))?;
            let access = if Path::new(path).is_dir() { access } else { access & AccessFs::from_file(abi) };
            created = created.add_rule(PathBeneath::new(open, access)).map_err(landlock)?;
        }
    }
    Ok(created.restrict_self().map_err(landlock)?.ruleset)
}

/// Sees to it that from here on a signal to everybody reaches what this process starts and nobody else. False where the
/// kernel can't.
pub(super) fn keep_signals_inside(abi_max: u32) -> Result<bool, Failed> {
    if sys::landlock_abi().min(abi_max) < ABI_SIGNALS {
        return Ok(false);
    }
    let restrict = || -> Result<_, Box<dyn std::error::Error + Send + Sync>> {
        // Moving files is refused by every set of rules that does not allow it, whatever it is about.
        let ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::Refer)?
            .scope(Scope::Signal)?;
        let everywhere = PathBeneath::new(PathFd::new("/")?, AccessFs::Refer);
        Ok(ruleset.create()?.add_rule(everywhere)?.restrict_self()?)
    };
    let status = restrict().map_err(|e| failed("keep", "signals inside")(io::Error::other(e)))?;
    // So much depends on it that it is tried too: whoever started this process must be out of reach now.
    let out_of_reach = |parent| matches!(rustix::process::test_kill_process(parent), Err(rustix::io::Errno::PERM));
    Ok(status.ruleset == RulesetStatus::FullyEnforced && rustix::process::getppid().is_some_and(out_of_reach))
}

/// What outlives processes, and is the same for everybody on a machine: System V's shared memory, semaphores and messages,
/// and POSIX messages.
const SHARED: &[libc::c_long] = &[
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_semctl,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
];

/// Programs for the kernel that refuse what namespaces would have hidden.
fn refused(network: bool) -> io::Result<Vec<BpfProgram>> {
    let mut calls: std::collections::BTreeMap<i64, Vec<SeccompRule>> =
        SHARED.iter().map(|call| (*call, Vec::new())).collect();
    if network {
        return Ok(vec![program(calls, libc::EPERM)?]);
    }
    let number = |n: i32| u64::from(n.unsigned_abs());
    let is =
        |argument, value| SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, number(value));
    // The lower bits are the kind, the others flags.
    let is_kind = |kind| SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(0xf), number(kind));
    let rule = |conditions: Vec<Result<SeccompCondition, seccompiler::BackendError>>| -> io::Result<SeccompRule> {
        let conditions = conditions.into_iter().collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?;
        SeccompRule::new(conditions).map_err(io::Error::other)
    };
    // Sockets of files are the machine's: a daemon behind one may do anything. Pairs of sockets are not dialled.
    calls.insert(libc::SYS_connect, Vec::new());
    // A datagram names its receiver in memory, where no filter looks. Raw is another word for it.
    let datagrams = [libc::SOCK_DGRAM, libc::SOCK_RAW].map(|kind| rule(vec![is(0, libc::AF_UNIX), is_kind(kind)]));
    calls.insert(libc::SYS_socket, datagrams.into_iter().collect::<io::Result<_>>()?);
    let internet = [libc::AF_INET, libc::AF_INET6].into_iter().map(|family| rule(vec![is(0, family)]));
    let internet = internet.collect::<io::Result<Vec<_>>>()?;
    // That is what the same call comes to in a namespace with nothing in it, and what tools know how to tell.
    let unreachable = [(libc::SYS_socket, internet)].into_iter().collect();
    Ok(vec![program(calls, libc::EPERM)?, program(unreachable, libc::ENETUNREACH)?])
}
