//! Network namespaces with nothing but a loopback device, used again where the last action has left no trace in them.
//!
//! Making one costs the kernel more than everything else about a sandbox together, because every protocol sets up its
//! tables. An action can't change one: it belongs to the spawner's user namespace, where the action has no rights. What
//! could be left in it is sockets, a port that is not free again yet included; the kernel counts them, and only one that
//! has none is used again.

use std::collections::HashMap;
use std::fs;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketType};
use rustix::process::Pid;
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use super::inside::failed;
use super::message::Failed;
use super::sys;

/// How many are kept: as many as may be in use at once on a large machine.
const N_IDLE_MAX: usize = 64;

/// The network namespaces of a spawner.
#[derive(Debug, Default)]
pub(super) struct Networks {
    idle: Vec<OwnedFd>,
    used: HashMap<Pid, OwnedFd>,
}

impl Networks {
    /// Moves this process into a namespace that nobody uses.
    pub(super) fn enter(&mut self) -> Result<OwnedFd, Failed> {
        if let Some(idle) = self.idle.pop() {
            move_into_link_name_space(idle.as_fd(), Some(LinkNameSpaceType::Network))
                .map_err(failed("enter", "a network namespace"))?;
            return Ok(idle);
        }
        sys::unshare(UnshareFlags::NEWNET).map_err(failed("make", "a network namespace"))?;
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)
            .map_err(failed("make", "a socket for the loopback device"))?;
        sys::loopback_up(socket.as_fd()).map_err(failed("switch on", "the loopback device"))?;
        const OWN: &str = "/proc/thread-self/ns/net";
        rustix::fs::open(OWN, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(failed("open", OWN))
    }

    /// Notes that the processes below `first` are in a namespace.
    pub(super) fn lend(&mut self, first: Pid, namespace: OwnedFd) {
        self.used.insert(first, namespace);
    }

    /// Takes back what was lent to the processes below `first`, which have all ended.
    pub(super) fn take_back(&mut self, first: Pid) {
        let Some(namespace) = self.used.remove(&first) else { return };
        let entered = move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network));
        if entered.is_ok() && self.idle.len() < N_IDLE_MAX && is_untouched() {
            self.idle.push(namespace);
        }
    }
}

/// Whether there is no socket in the namespace that this process is in.
fn is_untouched() -> bool {
    fs::read_to_string("/proc/thread-self/net/sockstat").is_ok_and(|counts| has_no_sockets(&counts))
}

/// Reads what the kernel says of its sockets (`proc_pid_net(5)`): none in use, and no TCP port that waits for late packets.
fn has_no_sockets(counts: &str) -> bool {
    let count = |line: &str, what: &str| -> Option<u64> {
        let mut words = counts.lines().find_map(|l| l.strip_prefix(line))?.split(' ');
        words.find(|word| *word == what)?;
        words.next()?.parse().ok()
    };
    count("sockets:", "used") == Some(0)
        && count("TCP:", "inuse") == Some(0)
        && count("TCP:", "orphan") == Some(0)
        && count("TCP:", "tw") == Some(0)
}

#[cfg(test)]
mod tests {
    use super::has_no_sockets;

    #[test]
    fn a_socket_or_a_waiting_port_is_seen() {
        let counts = |used, inuse, tw| {
            format!("sockets: used {used}\nTCP: inuse {inuse} orphan 0 tw {tw} alloc 1 mem 219\nUDP: inuse 0 mem 0\n")
        };
        assert!(has_no_sockets(&counts(0, 0, 0)));
        assert!(!has_no_sockets(&counts(1, 0, 0)));
        assert!(!has_no_sockets(&counts(0, 1, 0)));
        assert!(!has_no_sockets(&counts(0, 0, 1)));
        assert!(!has_no_sockets("sockets: unknown\n"));
    }
}
