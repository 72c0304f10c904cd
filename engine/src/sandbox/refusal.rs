//! Why this machine refuses a sandbox, and the exact way to get it: kernel settings, Ubuntu's AppArmor, containers.

use std::fs;
use std::io;
use std::path::Path;

use super::ladder::Refusal;
use super::linux::Refused;
use crate::store::Strength;

/// What decides whether namespaces are to be had. `None` where the machine does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// `user.max_user_namespaces`: how many there may be.
    user_namespaces_max: Option<u64>,
    /// `kernel.unprivileged_userns_clone`, of Debian's older kernels: 0 forbids.
    unprivileged: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns`, of Ubuntu since 23.10: 1 takes away what a namespace is good for.
    apparmor: Option<u64>,
    /// Whether this is a container.
    container: bool,
    /// The kernel's version.
    kernel: String,
}

impl Facts {
    /// Asks the machine.
    pub(super) fn of_this_machine() -> Self {
        let number = |name: &str| -> Option<u64> {
            fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?.trim().parse().ok()
        };
        Self {
            user_namespaces_max: number("user/max_user_namespaces"),
            unprivileged: number("kernel/unprivileged_userns_clone"),
            apparmor: number("kernel/apparmor_restrict_unprivileged_userns"),
            container: ["/.dockerenv", "/run/.containerenv"].iter().any(|mark| Path::new(mark).exists()),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        }
    }
}

/// Says why in words, and what to do.
pub(super) fn refusal(refused: &Refused, facts: &Facts) -> Refusal {
    let Refused { what, path, cause } = refused;
    Refusal {
        strength: Strength::Full,
        why: format!("this machine refuses to {what} {path}: {cause}"),
        helps: helps(refused, facts),
    }
}

fn helps(refused: &Refused, facts: &Facts) -> Vec<String> {
    let sysctl = |setting: &str| {
        let name = setting.split('=').next().unwrap_or(setting);
        format!(
            "allow it: `sudo sysctl -w {setting}`, and for good by a line `{setting}` in /etc/sysctl.d/60-{name}.conf"
        )
    };
    let mut helps = Vec::new();
    if refused.path.contains("/proc") && refused.what == "mount" {
        // A container's runtime hides parts of /proc, and the kernel then allows no other view of it.
        helps.push(
            "in Docker: `docker run --security-opt systempaths=unconfined …`; in Podman: `--security-opt unmask=ALL`"
                .into(),
        );
        return helps;
    }
    if facts.user_namespaces_max == Some(0) {
        helps.push(sysctl("user.max_user_namespaces=15000"));
    }
    if facts.unprivileged == Some(0) {
        helps.push(sysctl("kernel.unprivileged_userns_clone=1"));
    }
    if facts.apparmor == Some(1) {
        helps.push(sysctl("kernel.apparmor_restrict_unprivileged_userns=0"));
        helps.push("on a GitHub runner: the same command as a step before the build".into());
    }
    match refused.cause.kind() {
        io::ErrorKind::PermissionDenied if facts.container && helps.is_empty() => helps.push(
            "in Docker: `docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
             --security-opt systempaths=unconfined …`"
                .into(),
        ),
        io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported => helps.push(format!(
            "the kernel ({}) has to be 5.12 or newer, with user, PID, IPC, UTS and network namespaces (CONFIG_USER_NS, …)",
            facts.kernel
        )),
        io::ErrorKind::StorageFull if helps.is_empty() => helps.push(sysctl("user.max_user_namespaces=15000")),
        _ => {}
    }
    helps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(what: &str, path: &str, errno: i32, facts: &Facts) -> String {
        let refused = Refused { what: what.into(), path: path.into(), cause: io::Error::from_raw_os_error(errno) };
        let Refusal { why, helps, .. } = refusal(&refused, facts);
        format!("{why}\n{}", helps.join("\n"))
    }

    #[test]
    fn each_machine_is_told_its_own_remedy() {
        let machine = Facts { kernel: "6.8.0".into(), ..Facts::default() };
        let ubuntu = Facts { apparmor: Some(1), ..machine.clone() };
        let told_ubuntu = told("separate", "the mount table", libc::EACCES, &ubuntu);
        assert!(told_ubuntu.contains("sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"), "{told_ubuntu}");
        assert!(told_ubuntu.contains("GitHub runner"), "{told_ubuntu}");
        let debian = Facts { unprivileged: Some(0), ..machine.clone() };
        let told_debian = told("make", "new namespaces", libc::EPERM, &debian);
        assert!(told_debian.contains("kernel.unprivileged_userns_clone=1"), "{told_debian}");
        let none = Facts { user_namespaces_max: Some(0), ..machine.clone() };
        assert!(told("make", "new namespaces", libc::ENOSPC, &none).contains("user.max_user_namespaces=15000"));
        let docker = Facts { container: true, ..machine.clone() };
        assert!(told("make", "new namespaces", libc::EPERM, &docker).contains("seccomp=unconfined"));
        assert!(told("mount", "/proc", libc::EPERM, &docker).contains("systempaths=unconfined"));
        let old = Facts { kernel: "5.4.0".into(), ..machine };
        let told_old = told("make read-only", "/usr", libc::ENOSYS, &old);
        assert!(told_old.contains("5.4.0") && told_old.contains("5.12"), "{told_old}");
    }
}
