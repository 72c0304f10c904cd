//! `Seatbelt`: macOS's `sandbox-exec`. An action sees its private directory, its toolchains and the system's own libraries;
//! the rest of the machine's files and its network are refused.
//!
//! What it is told is text ([`Profile`]), made and tested on every system; only macOS runs it. What could not be tried where
//! it was written: whether the rules are enough for every toolchain on every version of macOS. So the sandbox is tried
//! once, with a program that does nothing, before it is relied on; and a rule that is missing shows as a refusal that the
//! tool reports, never as something let through, because all that is not named is denied.
//!
//! Its results are [`Strength::Partial`]: processes, the user, the names of files, the machine's name and its loopback ports
//! can be seen, and a process that leaves its group is not ended with the action.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use super::bare::{finish, spawn, stage};
use super::ladder::Refusal;
use super::place::Place;
use super::scratch::Scratch;
use super::{Clients, Execution, Job, Sandbox, SandboxError, World, collect};
use crate::action::Network;
use crate::cancel::Cancel;
use crate::store::Strength;

/// The program that applies a profile and becomes another.
pub const SANDBOX_EXEC: &str = "/usr/bin/sandbox-exec";

/// What a process may reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// Files, and directories with all in them, that may be read and run.
    pub readable: BTreeSet<PathBuf>,
    /// Those that may be changed too.
    pub writable: BTreeSet<PathBuf>,
    /// Whether the machine's network may be used, beyond its loopback device.
    pub network: bool,
}

/// Parts of the system that every program is loaded from, or asks for before it does anything.
const SYSTEM: &[&str] = &[
    "/System/Library",
    "/System/Volumes/Preboot/Cryptexes",
    "/System/Cryptexes",
    "/usr/lib",
    "/usr/share/icu",
    "/usr/share/locale",
    "/private/var/db/dyld",
    "/Library/Apple/System/Library",
    "/dev/random",
    "/dev/urandom",
];

/// The shell and `env`, which programs name by their absolute path.
const PROGRAMS: &[&str] = &["/bin/sh", "/bin/bash", "/bin/dash", "/usr/bin/env", "/private/var/select/sh"];

/// Devices that may be written to.
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/dtracehelper", "/dev/fd"];

impl Profile {
    /// The text of it, in `sandbox-exec`'s language. Paths are those that remain when no link is left: the kernel compares
    /// no others.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::from(
            "(version 1)\n\
             (deny default)\n\
             (allow process-fork)\n\
             (allow process-info* (target same-sandbox))\n\
             (allow signal (target same-sandbox))\n\
             (allow sysctl-read)\n\
             (allow file-read-metadata)\n\
             (allow file-map-executable)\n\
             (allow file-read* (literal \"/\"))\n",
        );
        let system = SYSTEM.iter().chain(PROGRAMS).map(|path| PathBuf::from(*path));
        rule(&mut text, "file-read*", system.chain(self.readable.iter().cloned()));
        let programs = PROGRAMS.iter().map(PathBuf::from).chain(self.readable.iter().cloned());
        rule(&mut text, "process-exec*", programs.chain(self.writable.iter().cloned()));
        rule(&mut text, "file*", self.writable.iter().cloned());
        rule(&mut text, "file-read* file-write-data file-ioctl", DEVICES.iter().map(PathBuf::from));
        text.push_str("(deny file-write-setugid)\n");
        text.push_str(match self.network {
            true => {
                "(allow network*)\n(allow system-socket)\n\
                 (allow mach-lookup (global-name \"com.apple.SystemConfiguration.configd\") \
                 (global-name \"com.apple.trustd\") (global-name \"com.apple.dnssd.service\"))\n"
            }
            false => {
                "(allow network-bind (local ip \"localhost:*\"))\n\
                 (allow network-inbound (local ip \"localhost:*\"))\n\
                 (allow network-outbound (remote ip \"localhost:*\"))\n"
            }
        });
        text
    }
}

/// One rule, with each path on a line of its own. Without paths it would allow everything, so there is none then.
fn rule(text: &mut String, operations: &str, paths: impl Iterator<Item = PathBuf>) {
    let paths: BTreeSet<PathBuf> = paths.collect();
    if paths.is_empty() {
        return;
    }
    let _ = write!(text, "(allow {operations}");
    for path in paths {
        // A path names itself and, where it is a directory, all below it.
        let _ = write!(text, "\n  (subpath {})", quoted(&path));
    }
    text.push_str(")\n");
}

/// A string of that language.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{text}\"")
}

/// The command line that runs a program behind a profile.
#[must_use]
pub fn command_line(profile: &Profile, argv: &[String]) -> Vec<String> {
    let before = [SANDBOX_EXEC.to_owned(), "-p".to_owned(), profile.text()];
    before.into_iter().chain(argv.iter().cloned()).collect()
}

/// The sandbox of partial strength, for macOS.
#[derive(Debug)]
pub struct Seatbelt {
    scratch: Scratch,
    clients: Clients,
    world: World,
}

impl Seatbelt {
    /// Makes the sandbox, and tries it once with a program that does nothing.
    ///
    /// # Errors
    /// [`Refusal`] when this machine does not allow it.
    pub fn new(scratch: &Path, clients: Clients, world: World) -> Result<Self, Refusal> {
        let refused = |why: String| Refusal { strength: Strength::Partial, why, helps: vec![HELP.to_owned()] };
        let scratch = Scratch::new(scratch).map_err(|e| refused(e.to_string()))?;
        let nothing = Profile { readable: [PathBuf::from(TRUE)].into(), ..Profile::default() };
        let argv = command_line(&nothing, &[TRUE.to_owned()]);
        let tried = std::process::Command::new(&argv[0]).args(&argv[1..]).env_clear().output();
        match tried {
            Ok(output) if output.status.success() => Ok(Self { scratch, clients, world }),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let said = said.lines().next().map_or_else(|| output.status.to_string(), str::to_owned);
                Err(refused(format!("`{SANDBOX_EXEC}` does not work: {said}")))
            }
            Err(cause) => Err(refused(format!("`{SANDBOX_EXEC}` can't be started: {cause}"))),
        }
    }

    fn profile(&self, job: &Job<'_>, place: &Place) -> io::Result<Profile> {
        let mut profile = Profile { network: job.network == Network::Allowed, ..Profile::default() };
        profile.writable.extend([place.root.canonicalize()?, place.home.canonicalize()?]);
        for (_, mounted) in job.mounts {
            let beside = mounted.beside.iter().flat_map(|beside| [&beside.at, &beside.from]);
            profile.readable.extend(existing(beside.chain([&mounted.directory])));
        }
        if profile.network {
            profile.readable.extend(existing(&self.clients.readable));
            let private = self.clients.private.iter().filter(|path| path.parent().is_some());
            profile.writable.extend(existing(private.chain(&self.clients.writable)));
        }
        Ok(profile)
    }
}

/// A program that does nothing.
const TRUE: &str = "/usr/bin/true";

/// How to get it.
const HELP: &str = "it can't be had inside another sandbox: build outside of it";

/// Those that there are, without links.
fn existing<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> impl Iterator<Item = PathBuf> {
    paths.into_iter().filter_map(|path| path.canonicalize().ok())
}

impl Sandbox for Seatbelt {
    fn strength(&self) -> Strength {
        Strength::Partial
    }

    fn run(&self, job: &Job<'_>, cancel: &Cancel) -> Result<Execution, SandboxError> {
        let place = Place::make(job, self.scratch.private()?, &self.world)?;
        stage(job, &place, self.world.manner())?;
        let profile = self.profile(job, &place).map_err(|cause| SandboxError::setup("follow", &place.root, cause))?;
        let argv = command_line(&profile, &place.argv(job));
        let child = spawn(&place, &argv, &place.env(job, &self.world, &self.clients))?;
        let (status, stdout, stderr) = finish(child, job.timeout, cancel);
        let outputs = if status.is_success() { collect(job, &place.start)? } else { Ok(Vec::new()) };
        Ok(Execution { status, stdout, stderr, outputs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_names_what_is_allowed_and_denies_the_rest() {
        let profile = Profile {
            readable: ["/opt/rust".into(), "/odd/\"quoted\\name\"".into()].into(),
            writable: ["/private/tmp/run/root".into()].into(),
            network: false,
        };
        assert_eq!(profile.text(), include_str!("seatbelt-offline.sb"));
        let online = Profile { network: true, ..profile }.text();
        assert!(online.contains("(allow network*)") && !online.contains("localhost"), "{online}");
    }

    #[test]
    fn nothing_is_allowed_by_an_empty_list() {
        let text = Profile::default().text();
        assert!(!text.contains("(allow file*)") && !text.contains("(allow file*\n"), "{text}");
        assert!(text.starts_with("(version 1)\n(deny default)\n"), "{text}");
    }

    #[test]
    fn the_program_follows_the_profile() {
        let profile = Profile::default();
        let argv = command_line(&profile, &["/p/bin/tool".to_owned(), "-p".to_owned()]);
        assert_eq!(argv, [SANDBOX_EXEC, "-p", &profile.text(), "/p/bin/tool", "-p"]);
    }
}
