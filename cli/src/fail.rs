//! `Failure`: why a command ended without what was asked for; how that is told, and which exit status it is.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use run_rules::diagnostic::{Diagnostic, Severity};
use serde_json::json;

use crate::env::Env;
use crate::exit::Exit;
use crate::put::put;
use crate::render::render;
use crate::report::console::Console;

/// Where a bug is reported.
const REPORTS: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/issues");

/// Diagnostics that another machine would not give.
const OF_THE_MACHINE: &[&str] = &["missing-toolchain", "missing-wasm-target", "other-bytes", "unfetched-packages"];

/// Whose move it is. `match` on it only where behaviour differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The user's: the manifest, the flags or the sources.
    Yours,
    /// The user's too, but the build ran: a compiler failed, or a guest.
    Build,
    /// Everything was built, and tests failed.
    Tests,
    /// There was nothing to test.
    NoTests,
    /// Disk, network, permissions, a missing sandbox feature.
    Machine,
    /// Nobody's: the user asked for an end.
    Interrupted,
    /// Nobody's: whoever read our output has gone, and that is how they say they have enough.
    ReaderGone,
    /// Ours. To be reported.
    Bug,
    /// A guest ended with a status of its own.
    Guest(u8),
}

/// A command that did not do what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Whose move it is.
    pub(crate) kind: Kind,
    told: Told,
}

/// How the user learns of it.
#[derive(Debug)]
enum Told {
    /// By a sentence, and ways out.
    Sentence { message: String, helps: Vec<String> },
    /// By these, whose files are named from this directory.
    Diagnostics { diagnostics: Vec<Diagnostic>, root: PathBuf },
    /// They have: a report, or the guest itself, said everything.
    Already,
}

impl Failure {
    /// A sentence: lowercase, no full stop, facts in backticks.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        let helps = match kind {
            Kind::Bug => vec![format!("this is a bug in `run`: report it at {REPORTS}")],
            _ => Vec::new(),
        };
        Self { kind, told: Told::Sentence { message: message.into(), helps } }
    }

    /// Something the user wrote, or asked for, can't be.
    pub(crate) fn yours(message: impl Into<String>) -> Self {
        Self::new(Kind::Yours, message)
    }

    /// This machine could not do something, and said why.
    pub(crate) fn machine(what: impl std::fmt::Display, why: impl std::fmt::Display) -> Self {
        Self::new(Kind::Machine, format!("{what}: {why}"))
    }

    /// Problems with what the user wrote, or with nothing but what this machine has.
    pub(crate) fn diagnostics(diagnostics: Vec<Diagnostic>, root: PathBuf) -> Self {
        let is_machines = |d: &Diagnostic| d.severity == Severity::Warning || OF_THE_MACHINE.contains(&d.code);
        let kind = if diagnostics.iter().all(is_machines) { Kind::Machine } else { Kind::Yours };
        Self { kind, told: Told::Diagnostics { diagnostics, root } }
    }

    /// Everything has been said.
    pub(crate) const fn told(kind: Kind) -> Self {
        Self { kind, told: Told::Already }
    }

    /// Our output could not be written.
    pub(crate) fn of_output(error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::told(Kind::ReaderGone),
            _ => Self::machine("can't write to standard output", error),
        }
    }

    /// Adds a way out.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        if let Told::Sentence { helps, .. } = &mut self.told {
            helps.push(help.into());
        }
        self
    }

    /// The exit status.
    pub(crate) const fn status(&self) -> u8 {
        match self.kind {
            Kind::Yours => Exit::Yours.code(),
            Kind::Build => Exit::Build.code(),
            Kind::Tests => Exit::Tests.code(),
            Kind::NoTests => Exit::NoTests.code(),
            Kind::Machine => Exit::Machine.code(),
            Kind::Interrupted => Exit::Interrupted.code(),
            Kind::Bug => Exit::Bug.code(),
            Kind::ReaderGone => Exit::Done.code(),
            Kind::Guest(status) => status,
        }
    }

    /// Tells the user, on standard error; under `--json`, standard output gets a document as well.
    pub(crate) fn tell(&self, console: &mut Console) {
        let text = self.text(console.has_colour());
        console.complain(&text);
        if console.is_json()
            && let Some(document) = self.document()
        {
            // The reader may be gone too, and then there is no one left to tell.
            let _ = console.data(&format!("{document}\n"));
        }
    }

    fn text(&self, colour: bool) -> String {
        match &self.told {
            Told::Already => String::new(),
            Told::Sentence { message, helps } => sentence(message, helps, colour),
            Told::Diagnostics { diagnostics, root } => render_all(diagnostics, root, colour),
        }
    }

    /// The public shape of an error; described in `cli/docs/json.md`.
    fn document(&self) -> Option<serde_json::Value> {
        let error = match &self.told {
            Told::Already => return None,
            Told::Sentence { message, helps } => {
                json!({ "code": self.code(), "message": message, "helps": helps, "exit_status": self.status() })
            }
            Told::Diagnostics { diagnostics, .. } => {
                let first = diagnostics.iter().find(|d| d.severity == Severity::Error).or(diagnostics.first());
                json!({
                    "code": first.map_or(self.code(), |d| d.code),
                    "message": first.map_or("", |d| d.message.as_str()),
                    "helps": first.map_or(&[][..], |d| &d.helps),
                    "exit_status": self.status(),
                    "diagnostics": diagnostics.iter().map(diagnostic_document).collect::<Vec<_>>(),
                })
            }
        };
        Some(json!({ "error": error }))
    }

    const fn code(&self) -> &'static str {
        match self.kind {
            Kind::Yours => "usage",
            Kind::Build => "failed",
            Kind::Tests => "tests-failed",
            Kind::NoTests => "no-tests",
            Kind::Machine => "machine",
            Kind::Interrupted => "interrupted",
            Kind::Bug => "bug",
            Kind::ReaderGone | Kind::Guest(_) => "ended",
        }
    }
}

fn diagnostic_document(diagnostic: &Diagnostic) -> serde_json::Value {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let labels: Vec<_> = diagnostic
        .labels
        .iter()
        .map(|l| json!({ "file": l.file, "start": l.span.start, "end": l.span.end, "text": l.text }))
        .collect();
    json!({
        "severity": severity,
        "code": diagnostic.code,
        "message": diagnostic.message,
        "labels": labels,
        "notes": diagnostic.notes,
        "helps": diagnostic.helps,
    })
}

/// Diagnostics as text, with the lines they speak of read from `root`.
pub(crate) fn render_all(diagnostics: &[Diagnostic], root: &Path, colour: bool) -> String {
    let source_of = |file: &str| std::fs::read_to_string(root.join(file)).ok();
    diagnostics.iter().map(|diagnostic| render(diagnostic, &source_of, colour)).collect::<Vec<_>>().join("\n")
}

fn sentence(message: &str, helps: &[String], colour: bool) -> String {
    let (red, cyan, plain) = if colour { ("\x1b[1;31m", "\x1b[1;36m", "\x1b[0m") } else { ("", "", "") };
    let mut text = format!("{red}error{plain}: {message}\n");
    for help in helps {
        put!(text, "{cyan}help{plain}: {help}\n");
    }
    text
}

/// Runs all of the program. A panic becomes what it is, a bug of ours, said in one place.
pub(crate) fn guard(program: impl FnOnce() -> ExitCode) -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        let _ = writeln!(
            std::io::stderr().lock(),
            "error: this is a bug in `run`: {panic}\nhelp: report it, with what you did, at {REPORTS}"
        );
    }));
    catch_unwind(AssertUnwindSafe(program)).unwrap_or_else(|_| ExitCode::from(Exit::Bug.code()))
}

/// Tells somebody who typed `run build` what they meant.
pub(crate) fn usage(env: &Env, command: &str) -> ExitCode {
    let failure = Failure::yours(format!("`run {command}` needs the version of the project format"))
        .help(format!("did you mean `run v2 {command}`?"));
    tell_unparsed(env, &failure)
}

/// Tells about a command line that can't be understood, or shows the help or version that was asked for.
pub(crate) fn unparsed(env: &Env, error: &clap::Error) -> ExitCode {
    if wants_json(env) && error.use_stderr() {
        let message = error.to_string();
        let mut lines = message.lines().map(str::trim).filter(|line| !line.is_empty());
        let what = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let tips = lines.filter_map(|line| line.strip_prefix("tip: ")).map(str::to_owned);
        return tell_unparsed(env, &tips.fold(Failure::yours(what), Failure::help));
    }
    // Nothing sensible can be done when even this can't be written.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { Exit::Yours.code() } else { Exit::Done.code() })
}

fn tell_unparsed(env: &Env, failure: &Failure) -> ExitCode {
    failure.tell(&mut Console::before_arguments(env, wants_json(env)));
    ExitCode::from(failure.status())
}

/// Whether `--json` is there to be seen on a command line that could not be parsed.
fn wants_json(env: &Env) -> bool {
    env.args.iter().take_while(|arg| *arg != "--").any(|arg| arg == "--json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_a_sentence_and_ways_out() {
        let failure = Failure::yours("no target is called `pakage`").help("did you mean `package`?");
        assert_eq!(failure.text(false), "error: no target is called `pakage`\nhelp: did you mean `package`?\n");
        assert_eq!(
            failure.document().unwrap().to_string(),
            r#"{"error":{"code":"usage","message":"no target is called `pakage`","helps":["did you mean `package`?"],"exit_status":2}}"#
        );
        assert_eq!(failure.status(), 2);
    }

    #[test]
    fn a_panic_is_a_bug_with_a_status_of_its_own() {
        let status = guard(|| panic!("something that can't be"));
        assert_eq!(format!("{status:?}"), format!("{:?}", ExitCode::from(37)));
        let status = guard(|| ExitCode::from(3));
        assert_eq!(format!("{status:?}"), format!("{:?}", ExitCode::from(3)));
    }

    #[test]
    fn what_only_this_machine_lacks_is_not_the_manifests_fault() {
        let missing = Diagnostic::error("missing-toolchain", "there is no `rustc` in `PATH`");
        let cycle = Diagnostic::error("cycle", "these targets need each other");
        let status = |diagnostics: &[Diagnostic]| Failure::diagnostics(diagnostics.to_vec(), PathBuf::new()).status();
        assert_eq!(status(std::slice::from_ref(&missing)), 36);
        assert_eq!(status(&[missing, cycle]), 2);
    }

    #[test]
    fn a_reader_who_leaves_is_no_failure() {
        let gone = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert_eq!(Failure::of_output(&gone).status(), 0);
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        assert_eq!(Failure::of_output(&full).status(), 36);
    }
}
