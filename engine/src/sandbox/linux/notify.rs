//! System calls that are told before they are made (`seccomp_unotify(2)`): the few calls behind [`super::lookups`], each
//! with what makes it sound. Beside `sys.rs` the only unsafe code of this crate.

#![allow(unsafe_code, reason = "no safe crate has notifying filters")]

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

/// A call that waits to be made.
pub(super) struct Told {
    id: u64,
    /// Who makes it.
    pub(super) process: u32,
    /// Which.
    pub(super) call: i64,
    /// Of which kind of processor: a program for another one has other numbers.
    pub(super) processor: u32,
    /// With what.
    pub(super) args: [u64; 6],
}

/// From here on, this process and all it starts tell these calls to the file that is returned, and wait. Needs
/// `no_new_privs`; filters that were installed before still decide.
pub(super) fn install(calls: &[i64]) -> io::Result<OwnedFd> {
    let number = u32::try_from(std::mem::offset_of!(libc::seccomp_data, nr)).map_err(io::Error::other)?;
    let word = |what: u32| u16::try_from(what).map_err(io::Error::other);
    let (load, compare, answer) = (
        word(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS)?,
        word(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K)?,
        word(libc::BPF_RET | libc::BPF_K)?,
    );
    let mut program = vec![libc::sock_filter { code: load, jt: 0, jf: 0, k: number }];
    for (n, call) in calls.iter().enumerate() {
        // Over the other comparisons and the answer that follows them.
        let jt = u8::try_from(calls.len() - n).map_err(io::Error::other)?;
        let k = u32::try_from(*call).map_err(io::Error::other)?;
        program.push(libc::sock_filter { code: compare, jt, jf: 0, k });
    }
    program.push(libc::sock_filter { code: answer, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW });
    program.push(libc::sock_filter { code: answer, jt: 0, jf: 0, k: libc::SECCOMP_RET_USER_NOTIF });
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    let shown = libc::sock_fprog { len: length, filter: program.as_mut_ptr() };
    // SAFETY: the program and its description outlive the call, which copies them, and the length is theirs. The
    // descriptor that is returned is new and nobody else's.
    unsafe {
        let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
        match libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const shown) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(i32::try_from(fd).map_err(io::Error::other)?)),
        }
    }
}

/// The next call that is told. Waits for one.
pub(super) fn receive(listener: BorrowedFd<'_>) -> io::Result<Told> {
    // SAFETY: an all-zero notification is what the kernel asks for, and it outlives the call that fills it.
    unsafe {
        let mut told: libc::seccomp_notif = std::mem::zeroed();
        if libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut told) != 0 {
            return Err(io::Error::last_os_error());
        }
        let libc::seccomp_notif { id, pid, data, .. } = told;
        Ok(Told { id, process: pid, call: i64::from(data.nr), processor: data.arch, args: data.args })
    }
}

/// Lets the kernel make the call as if nobody had been told.
pub(super) fn go_on(listener: BorrowedFd<'_>, told: &Told) -> io::Result<()> {
    let flags = u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).map_err(io::Error::other)?;
    let mut answer = libc::seccomp_notif_resp { id: told.id, val: 0, error: 0, flags };
    // SAFETY: the answer outlives the call that reads it.
    match unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut answer) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Up to `at_most` bytes of another process's memory; fewer where what follows is not its own.
pub(super) fn memory(process: u32, at: u64, at_most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0_u8; at_most];
    let process = i32::try_from(process).map_err(io::Error::other)?;
    let start = usize::try_from(at).map_err(io::Error::other)?;
    let ours = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: at_most };
    let theirs = libc::iovec { iov_base: start as *mut c_void, iov_len: at_most };
    // SAFETY: our buffer is as long as is said and outlives the call; their address is the kernel's to check, in their
    // memory and not in ours.
    let n = unsafe { libc::process_vm_readv(process, &raw const ours, 1, &raw const theirs, 1, 0) };
    bytes.truncate(usize::try_from(n).map_err(|_| io::Error::last_os_error())?);
    Ok(bytes)
}
