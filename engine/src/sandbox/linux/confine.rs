//! What is taken from a process before it becomes the action: capabilities, identity, system calls, files, numbers.
//!
//! Each of these is a second lock behind the namespaces, which already hide everything: what is not there can't be
//! opened. They are there for the day a kernel has a hole in one of the two.

use std::collections::BTreeMap;
use std::io;

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, Scope,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

/// The most bytes of a process's main stack, whatever the user's shell allows.
const STACK_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The most files a process may have open, where the user's own limit is not lower.
const FILES_MAX: u64 = 16 * 1024;

/// Sets every limit that a user's shell may have set otherwise. Processes have one only where they are counted for the
/// sandbox alone.
pub(super) fn limit(bytes_max: u64, processes_max: Option<u64>) -> io::Result<()> {
    let exactly = |n| Rlimit { current: Some(n), maximum: Some(n) };
    setrlimit(Resource::Core, exactly(0))?;
    setrlimit(Resource::Fsize, exactly(bytes_max))?;
    if let Some(processes_max) = processes_max {
        setrlimit(Resource::Nproc, exactly(processes_max))?;
    }
    let at_most = |resource, n: u64| {
        let hard = getrlimit(resource).maximum.map_or(n, |hard| hard.min(n));
        setrlimit(resource, exactly(hard))
    };
    at_most(Resource::Nofile, FILES_MAX)?;
    at_most(Resource::Stack, STACK_BYTES_MAX)?;
    Ok(())
}

/// Sees to it that no program can bring a capability back. While the capability to do so is there.
pub(super) fn empty_bounding_set() {
    for capability in CapabilitySet::all().iter() {
        // Those that this kernel doesn't know can't be taken out, and need not be.
        let _ = rustix::thread::remove_capability_from_bounding_set(capability);
    }
}

/// Gives up every capability.
pub(super) fn drop_capabilities() -> io::Result<()> {
    let none = CapabilitySet::empty();
    Ok(rustix::thread::set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?)
}

/// Lets a process read everywhere and write below `writable` only (Landlock). True where the kernel can.
pub(super) fn restrict_files(writable: &[String]) -> io::Result<bool> {
    let abi = ABI::V6;
    let build = || -> Result<_, Box<dyn std::error::Error + Send + Sync>> {
        let mut ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(abi))?
            .scope(Scope::AbstractUnixSocket)?
            .create()?
            .add_rule(PathBeneath::new(PathFd::new("/")?, AccessFs::from_read(abi)))?;
        for directory in writable.iter().map(String::as_str).chain(["/dev"]) {
            ruleset = ruleset.add_rule(PathBeneath::new(PathFd::new(directory)?, AccessFs::from_all(abi)))?;
        }
        Ok(ruleset.restrict_self()?)
    };
    let status = build().map_err(io::Error::other)?;
    Ok(status.ruleset != landlock::RulesetStatus::NotEnforced)
}

/// Programs for the kernel that refuse system calls which no build needs. It compiles them for each process that applies
/// them, and not for those that inherit them, so nearly all of them are the spawner's own.
#[derive(Debug)]
pub(super) struct Filter(Vec<BpfProgram>);

impl Filter {
    /// For the spawner and all that comes from it: what looks into other processes, or has been a way out of a sandbox.
    pub(super) fn of_all() -> io::Result<Self> {
        let refused = REFUSED.iter().map(|call| (*call, Vec::new()));
        let sockets = [(libc::SYS_socket, other_sockets().map_err(io::Error::other)?)];
        // Its flags lie in memory, where no filter can look; told that it doesn't exist, libraries use `clone`.
        let unknown = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
        Ok(Self(vec![program(refused.chain(sockets).collect(), libc::EPERM)?, program(unknown, libc::ENOSYS)?]))
    }

    /// For actions: new user namespaces. With one come capabilities, and with these every other namespace. And the memory of
    /// other processes, which is read to tell what an action looks for ([`lookups`](super::lookups)).
    pub(super) fn of_actions() -> io::Result<Self> {
        let flag = u64::from(libc::CLONE_NEWUSER.unsigned_abs());
        let asks = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(flag), flag);
        let asks = asks.and_then(|asks| Ok(vec![SeccompRule::new(vec![asks])?])).map_err(io::Error::other)?;
        let rules = BTreeMap::from([
            (libc::SYS_clone, asks.clone()),
            (libc::SYS_unshare, asks),
            (libc::SYS_process_vm_readv, Vec::new()),
        ]);
        Ok(Self(vec![program(rules, libc::EPERM)?]))
    }

    /// Applies it to this process and all it starts.
    pub(super) fn apply(&self) -> io::Result<()> {
        self.0.iter().try_for_each(|program| seccompiler::apply_filter(program).map_err(io::Error::other))
    }
}

/// Compiles a program that answers these calls with an error and lets all others through.
pub(super) fn program(rules: BTreeMap<i64, Vec<SeccompRule>>, errno: i32) -> io::Result<BpfProgram> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
    let refuse = SeccompAction::Errno(u32::try_from(errno).map_err(io::Error::other)?);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).map_err(io::Error::other)?;
    filter.try_into().map_err(io::Error::other)
}

/// Refused whatever their arguments. What needs a capability is not in this list: there is none to be had.
const REFUSED: &[libc::c_long] = &[
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    // Keys, which outlive processes.
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // Parts of the kernel that are large, rarely needed and often broken.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_fanotify_init,
];

/// The only kinds of socket there are: local ones, the internet, and asking the kernel about its devices. Others, such as
/// those to a virtual machine's host, are not held back by a network namespace.
const SOCKETS: &[i32] = &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

fn other_sockets() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let other = |kind: &i32| {
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, u64::from(kind.unsigned_abs()))
    };
    Ok(vec![SeccompRule::new(SOCKETS.iter().map(other).collect::<Result<_, _>>()?)?])
}
