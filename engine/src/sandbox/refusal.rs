//! Why this machine refuses a sandbox, and the exact way to get it: kernel settings, Ubuntu's AppArmor, containers.

use std::fs;
use std::io;
use std::path::Path;

use super::ladder::Refusal;
use super::linux::{LANDLOCK_OLDEST, Locks, Refused};
use crate::store::Strength;

/// What decides whether a sandbox is to be had. `None` where the machine does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// `user.max_user_namespaces`: how many there may be.
    user_namespaces_max: Option<u64>,
    /// `kernel.unprivileged_userns_clone`, of Debian's older kernels: 0 forbids.
    unprivileged: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns`, of Ubuntu since 23.10: 1 takes away what a namespace is good for.
    apparmor: Option<u64>,
    /// The version of Landlock's interface; 0 where there is none.
    landlock: u32,
    /// Whether system calls can be refused.
    seccomp: bool,
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
        let Locks { landlock, seccomp } = Locks::of_this_machine();
        Self {
            landlock,
            seccomp,
            user_namespaces_max: number("user/max_user_namespaces"),
            unprivileged: number("kernel/unprivileged_userns_clone"),
            apparmor: number("kernel/apparmor_restrict_unprivileged_userns"),
            container: ["/.dockerenv", "/run/.containerenv"].iter().any(|mark| Path::new(mark).exists()),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        }
    }
}

/// Says why in words, and what to do.
pub(super) fn refusal(strength: Strength, refused: &Refused, facts: &Facts) -> Refusal {
    let Refused { what, path, cause } = refused;
    let why = format!("this machine refuses to {what} {path}: {cause}");
    match strength {
        Strength::Partial if facts.landlock < LANDLOCK_OLDEST => Refusal {
            strength,
            why: "this machine has no Landlock that would keep an action from other files and let it move its own"
                .to_owned(),
            helps: landlock_helps(facts),
        },
        Strength::Partial => Refusal { strength, why, helps: seccomp_helps(facts) },
        _ => Refusal { strength, why, helps: helps(refused, facts) },
    }
}

/// How to get Landlock: it is in the kernel, switched on, and not forbidden by the filter of a container.
fn landlock_helps(facts: &Facts) -> Vec<String> {
    let mut helps = Vec::new();
    if facts.container {
        helps.push("in Docker older than 23: `docker run --security-opt seccomp=unconfined …`".to_owned());
    }
    helps.push(format!(
        "the kernel ({}) has to be 5.19 or newer, with CONFIG_SECURITY_LANDLOCK, and `landlock` in its `lsm=` parameter, \
         as /sys/kernel/security/lsm shows it",
        facts.kernel
    ));
    helps
}

fn seccomp_helps(facts: &Facts) -> Vec<String> {
    let needs = "the kernel has to be built with CONFIG_SECCOMP_FILTER";
    if facts.seccomp { Vec::new() } else { vec![needs.to_owned()] }
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
        helps.push("in a GitHub job with a `container:`: the same option in its `options:`".into());
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
        io::ErrorKind::PermissionDenied if facts.container && helps.is_empty() => helps.extend([
            "in Docker: `docker run --cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt seccomp=unconfined \
             --security-opt apparmor=unconfined --security-opt systempaths=unconfined …` (the first two are for root \
             only, and not enough: they leave `pivot_root` refused and /proc masked)"
                .to_owned(),
            "in Podman: `--security-opt unmask=ALL`, with `--cap-add SYS_ADMIN --cap-add NET_ADMIN` where it runs as \
             root"
                .to_owned(),
            "in a GitHub job with a `container:`: the same options in its `options:`".to_owned(),
        ]),
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
        let Refusal { why, helps, .. } = refusal(Strength::Full, &refused, facts);
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
        assert!(
            told("make", "new namespaces", libc::EPERM, &docker)
                .contains("--cap-add NET_ADMIN --security-opt seccomp=unconfined")
        );
        assert!(told("mount", "/proc", libc::EPERM, &docker).contains("systempaths=unconfined"));
        assert!(told("mount", "/proc", libc::EPERM, &docker).contains("container:"));
        let old = Facts { kernel: "5.4.0".into(), ..machine };
        let told_old = told("make read-only", "/usr", libc::ENOSYS, &old);
        assert!(told_old.contains("5.4.0") && told_old.contains("5.12"), "{told_old}");
    }

    #[test]
    fn landlock_and_seccomp_are_asked_for_by_name() {
        let refused =
            Refused { what: "restrict".into(), path: "files".into(), cause: io::ErrorKind::Unsupported.into() };
        let machine = Facts { kernel: "5.4.0".into(), seccomp: true, container: true, ..Facts::default() };
        let told = refusal(Strength::Partial, &refused, &machine);
        assert_eq!(told.strength, Strength::Partial);
        assert!(told.why.contains("no Landlock"), "{told}");
        assert!(told.helps[0].contains("seccomp=unconfined") && told.helps[1].contains("5.4.0"), "{:?}", told.helps);
        let machine = Facts { landlock: 7, seccomp: false, ..machine };
        let told = refusal(Strength::Partial, &refused, &machine);
        assert_eq!(told.helps, ["the kernel has to be built with CONFIG_SECCOMP_FILTER"]);
    }
}
