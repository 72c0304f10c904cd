//! What the inside of a sandbox is made of: its [`Setup`], worked out once for all actions that use the same tools.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::message::{Link, Setup, SmallFile};
use super::shown::{self, Shown};
use super::spawner::{self, Mounts};
use super::{Isolated, World};
use crate::action::{MountedTree, Network};
use crate::sandbox::SandboxError;

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

impl Isolated {
    pub(super) fn setup(&self, network: Network, mounts: &Mounts) -> Result<Setup, SandboxError> {
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
                .map(|(at, target)| Link { at: at.to_owned(), target: target.to_owned() }),
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
    fn toolchain(&self, mounted: &MountedTree, at: &str) -> Result<Arc<Shown>, SandboxError> {
        let mut known = self.toolchains.lock().expect("nothing panics while it is held");
        let name = mounted.directory.join(at.trim_start_matches('/'));
        if let Some(shown) = known.get(&name) {
            return Ok(Arc::clone(shown));
        }
        let shown = Shown::toolchain(mounted, at)
            .map_err(|cause| SandboxError::setup("look at the toolchain in", &mounted.directory, cause))?;
        Ok(Arc::clone(known.entry(name).or_insert(Arc::new(shown))))
    }
}

/// Sees to it that a toolchain which root installed for themselves is an error of ours, with its remedy, and not a tool
/// that is not found.
fn readable_by_all(mounted: &MountedTree, toolchain: &Shown) -> Result<(), SandboxError> {
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

/// The most bytes that the files of one sandbox may hold: they are in memory, and half of it is what such file systems
/// get by custom.
pub(super) fn bytes_max() -> u64 {
    let info = rustix::system::sysinfo();
    let total = u64::from(info.mem_unit) * info.totalram;
    (total / 2).max(1 << 30)
}

/// The most processes and threads of one sandbox.
pub(super) fn processes_max(n_cores: usize) -> u64 {
    512 + 128 * u64::try_from(n_cores).unwrap_or(1)
}
