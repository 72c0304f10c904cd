//! `run v2 doctor`: one line for each thing that must work here, with its remedy.

use std::path::Path;
use std::process::{Command, Stdio};

use run_engine::sandbox::Sandbox as _;
use run_engine::sandbox::World;
use run_engine::sandbox::ladder::{self, Strongest};
use run_engine::store::Strength;
use run_rules::session::Environment;
use run_rules::toolchain::provision::PIPS;
use serde_json::json;

use crate::context::Context;
use crate::fail::{Failure, Kind};
use crate::report::bytes;
use crate::report::line::name_of;

/// Check what this machine has to offer
///
/// One line for each thing that builds rely on. Only what is marked `FAIL` stops something; its remedy follows.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// One thing to check.
struct Check {
    name: &'static str,
    /// What does not work without it.
    needed_for: &'static str,
    /// Whether nothing at all works without it.
    vital: bool,
    probe: fn(&Context) -> Finding,
}

/// What was found: that, and how to get it where it is missing.
enum Finding {
    Fine(String),
    Missing { found: String, remedy: String },
}

const CHECKS: &[Check] = &[
    Check { name: "store", needed_for: "everything", vital: true, probe: store },
    Check { name: "sandbox", needed_for: "results that others may reuse", vital: false, probe: sandbox },
    Check {
        name: "git",
        needed_for: "dependencies from git",
        vital: false,
        probe: |c| version(c, "git", "install git"),
    },
    Check { name: "cargo", needed_for: "Rust components", vital: false, probe: |c| version(c, "cargo", RUSTUP) },
    Check { name: "rustc", needed_for: "Rust components", vital: false, probe: |c| version(c, "rustc", RUSTUP) },
    Check { name: "wasm32-wasip2", needed_for: "Rust components", vital: false, probe: |c| target(c, "wasm32-wasip2") },
    Check {
        name: "wasm32-wasip1",
        needed_for: "Rust components with `target = \"wasip1\"`",
        vital: false,
        probe: |c| target(c, "wasm32-wasip1"),
    },
    Check {
        name: "wasm32-unknown-unknown",
        needed_for: "Rust components with `target = \"unknown\"`",
        vital: false,
        probe: |c| target(c, "wasm32-unknown-unknown"),
    },
    Check { name: "pip", needed_for: "fetching the toolchains of Go, Python, Zig and C", vital: false, probe: pip },
    Check {
        name: "npm",
        needed_for: "fetching the toolchains of JavaScript and TypeScript",
        vital: false,
        probe: |c| version(c, "npm", "install Node, which brings npm; what was fetched once does not need it"),
    },
    Check { name: "cc", needed_for: "Rust build scripts and proc macros", vital: false, probe: linker },
];

const RUSTUP: &str = "install Rust from https://rustup.rs";

/// Free space below which a build is likely to fail.
const LITTLE_SPACE: u64 = 1 << 30;

/// Checks.
pub(crate) fn run(_args: &Args, context: &mut Context) -> Result<(), Failure> {
    let findings: Vec<(&Check, Finding)> = CHECKS.iter().map(|check| (check, (check.probe)(context))).collect();
    if context.console.is_json() {
        let checks: Vec<_> = findings.iter().map(|(check, finding)| document(check, finding)).collect();
        context.console.document(&json!({ "checks": checks }))?;
    } else {
        context.console.data(&findings.iter().map(|(check, finding)| line(check, finding)).collect::<String>())?;
    }
    let is_stuck = |(check, finding): &(&Check, Finding)| check.vital && matches!(finding, Finding::Missing { .. });
    if findings.iter().any(is_stuck) { Err(Failure::told(Kind::Machine)) } else { Ok(()) }
}

fn line(check: &Check, finding: &Finding) -> String {
    let Check { name, needed_for, vital, .. } = check;
    match finding {
        Finding::Fine(found) => format!("ok    {name}: {found}\n"),
        Finding::Missing { found, remedy } => {
            let mark = if *vital { "FAIL" } else { "lack" };
            format!("{mark}  {name}: {found} (needed for {needed_for})\n      help: {remedy}\n")
        }
    }
}

fn document(check: &Check, finding: &Finding) -> serde_json::Value {
    let (ok, found, remedy) = match finding {
        Finding::Fine(found) => (true, found, None),
        Finding::Missing { found, remedy } => (false, found, Some(remedy)),
    };
    json!({
        "name": check.name, "ok": ok, "found": found, "needed_for": check.needed_for, "vital": check.vital,
        "remedy": remedy,
    })
}

/// The store can be written, and there is room.
fn store(context: &Context) -> Finding {
    let Ok(directory) = context.store() else {
        let remedy = "set `RUN_CACHE_DIR` to a directory of yours".to_owned();
        return Finding::Missing { found: "there is no home directory".to_owned(), remedy };
    };
    let shown = directory.display();
    if let Err(error) = try_writing(&directory) {
        let remedy = format!("make `{shown}` writable, or set `RUN_CACHE_DIR` to a directory that is");
        return Finding::Missing { found: format!("`{shown}` can't be written: {error}"), remedy };
    }
    match rustix::fs::statvfs(&directory).map(|disk| disk.f_bavail * disk.f_frsize) {
        Ok(free) if free < LITTLE_SPACE => Finding::Missing {
            found: format!("`{shown}` has {} free", bytes(free)),
            remedy: "free some space, or set `RUN_CACHE_DIR` to a disk that has it".to_owned(),
        },
        Ok(free) => Finding::Fine(format!("`{shown}`, {} free", bytes(free))),
        Err(error) => Finding::Fine(format!("`{shown}`, free space unknown: {error}")),
    }
}

/// Makes a file there and removes it again.
fn try_writing(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let probe = directory.join(format!(".doctor-{}", std::process::id()));
    std::fs::write(&probe, b"")?;
    std::fs::remove_file(&probe)
}

/// The sandbox, tried as a build would.
fn sandbox(context: &Context) -> Finding {
    let Ok(Environment { program, scratch, clients, .. }) = context.env.for_rules() else {
        let remedy = "set `SOURCE_DATE_EPOCH` to a number, or unset it".to_owned();
        return Finding::Missing { found: "can't be tried in this environment".to_owned(), remedy };
    };
    let n_cores = context.env.cores.get() as usize;
    let sandbox =
        Strongest::new(ladder::Options { program, scratch, clients, n_cores, world: World::USUAL, offline: false });
    let (strength, refusals) = (sandbox.strength(), sandbox.refusals());
    let (name, sees, locks) = (name_of(strength), ladder::sees(strength), locks(strength));
    if refusals.is_empty() {
        return Finding::Fine(format!("{name}: {sees}{locks}"));
    }
    let why: Vec<&str> = refusals.iter().map(|refusal| refusal.why.as_str()).collect();
    let helps: Vec<&str> = refusals.iter().flat_map(|refusal| &refusal.helps).map(String::as_str).collect();
    Finding::Missing {
        found: format!("{name} only, because {}: {sees}{locks}", why.join(", and ")),
        remedy: helps.join("\n            "),
    }
}

/// What of the kernel's locks a sandbox has, where it has any.
#[cfg(target_os = "linux")]
fn locks(strength: Strength) -> String {
    use run_engine::sandbox::linux::Locks;

    if strength == Strength::Bare {
        return String::new();
    }
    let Locks { landlock, seccomp } = Locks::of_this_machine();
    let landlock = match landlock {
        0 => "no Landlock".to_owned(),
        abi => format!("Landlock holds (ABI {abi})"),
    };
    format!("; {landlock}, {}", if seccomp { "seccomp holds" } else { "no seccomp" })
}

#[cfg(not(target_os = "linux"))]
fn locks(_: Strength) -> String {
    String::new()
}

/// A program that can say its version.
fn version(context: &Context, program: &str, remedy: &str) -> Finding {
    let missing = |found| Finding::Missing { found, remedy: remedy.to_owned() };
    match context.env.find_program(program) {
        None => missing("not on `PATH`".to_owned()),
        Some(file) => match said(Command::new(&file).arg("--version")) {
            Ok(text) => Finding::Fine(format!("{}, `{}`", text.lines().next().unwrap_or_default(), file.display())),
            Err(why) => missing(format!("`{}` does not work: {why}", file.display())),
        },
    }
}

/// The first pip that works, as fetching looks for it.
fn pip(context: &Context) -> Finding {
    let found = PIPS.iter().find_map(|(program, args)| {
        let file = context.env.find_program(program)?;
        let text = said(Command::new(&file).args(*args).arg("--version")).ok()?;
        Some(format!("{}, `{}`", text.split(" from ").next().unwrap_or(&text), file.display()))
    });
    found.map_or_else(
        || Finding::Missing {
            found: "no Python on `PATH` has it".to_owned(),
            remedy: "install Python with pip (`apt-get install python3-pip`); what was fetched once does not need it"
                .to_owned(),
        },
        Finding::Fine,
    )
}

/// A standard library for guests, beside the compiler.
fn target(context: &Context, name: &str) -> Finding {
    let missing =
        |found: &str| Finding::Missing { found: found.to_owned(), remedy: format!("run `rustup target add {name}`") };
    let Some(rustc) = context.env.find_program("rustc") else { return missing("there is no `rustc`") };
    match said(Command::new(rustc).args(["--print", "target-libdir", "--target", name])) {
        Ok(directory) if Path::new(directory.trim()).is_dir() => Finding::Fine("installed".to_owned()),
        Ok(_) => missing("not installed"),
        Err(why) => missing(&why),
    }
}

/// A linker for programs of this machine.
fn linker(context: &Context) -> Finding {
    match ["cc", "gcc", "clang"].into_iter().find_map(|name| context.env.find_program(name)) {
        Some(file) => Finding::Fine(format!("`{}`", file.display())),
        None => Finding::Missing {
            found: "no `cc`, `gcc` or `clang` on `PATH`".to_owned(),
            remedy: "install a C compiler (`apt-get install gcc libc6-dev`, `xcode-select --install`)".to_owned(),
        },
    }
}

/// What a program writes, or the first line of what it complains about.
fn said(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(stderr.lines().next().map_or_else(|| output.status.to_string(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_missing_and_how_to_get_it() {
        let finding = Finding::Missing { found: "not on `PATH`".into(), remedy: "install git".into() };
        assert_eq!(
            line(&CHECKS[2], &finding),
            "lack  git: not on `PATH` (needed for dependencies from git)\n      help: install git\n"
        );
        assert_eq!(line(&CHECKS[2], &Finding::Fine("2.50".into())), "ok    git: 2.50\n");
    }
}
