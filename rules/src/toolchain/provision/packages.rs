//! [`Packages`]: what a lockfile of the user's names, fetched by the ecosystem's own client and kept like a toolchain.
//!
//! The lockfile says what every package has to be, and the client checks it; so what is fetched is known by the lockfile
//! before it is here, and by the digest of its tree from then on: the first tree that a lockfile gave on a kind of machine
//! is the one it gives there for ever.

use std::fs;

use run_engine::digest::{Blob, Digest, DigestFunction};
use serde_json::Value;

use super::pin::platform;

/// What a lockfile names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packages {
    /// The packages of a `package-lock.json`, as a `node_modules`.
    Npm {
        /// The `package.json`.
        manifest: Vec<u8>,
        /// The `package-lock.json`.
        lock: Vec<u8>,
    },
}

impl Packages {
    /// What people call it, and its tree.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Npm { .. } => "node_modules",
        }
    }

    /// The registry, as people call it.
    #[must_use]
    pub const fn registry(&self) -> &'static str {
        match self {
            Self::Npm { .. } => "npm",
        }
    }

    /// Which of them, on which kind of machine: stands for a version.
    #[must_use]
    pub fn id(&self) -> String {
        let function = DigestFunction::Sha256;
        let parts: [&[u8]; 2] = match self {
            Self::Npm { manifest, lock } => [manifest, lock],
        };
        let digests = parts.map(|part| function.digest::<Blob>(part).hex());
        let whole: Digest<Blob> = function.digest(format!("{}\n{}\n{}", platform(), digests[0], digests[1]).as_bytes());
        whole.hex()[..16].to_owned()
    }

    /// The first thing that nobody could check, as a clause about the lockfile.
    #[must_use]
    pub fn unchecked(&self) -> Option<String> {
        match self {
            Self::Npm { lock, .. } => unchecked_npm(lock),
        }
    }
}

/// Packages of the project itself are links, and have no digest; all others must.
fn unchecked_npm(lock: &[u8]) -> Option<String> {
    let lock: Value = match serde_json::from_slice(lock) {
        Ok(lock) => lock,
        Err(e) => return Some(format!("can't be read: {e}")),
    };
    let Some(packages) = lock["packages"].as_object() else {
        return Some("is of a version that has no digests".to_owned());
    };
    let is_own =
        |path: &str, package: &Value| path.is_empty() || package["link"] == true || !path.contains("node_modules/");
    let unchecked = packages.iter().find(|(path, package)| !is_own(path, package) && !package["integrity"].is_string());
    unchecked.map(|(path, _)| format!("has no digest of `{path}`"))
}

/// Where the digest of what a lockfile gave is remembered.
pub(super) fn record(directory: &std::path::Path, packages: &Packages) -> std::path::PathBuf {
    directory.join(format!("{}-{}", packages.name(), packages.id()))
}

/// The digest that is remembered.
pub(super) fn remembered(directory: &std::path::Path, packages: &Packages) -> Option<String> {
    fs::read_to_string(record(directory, packages)).ok().map(|text| text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lockfile_is_known_by_all_of_it() {
        let npm = |manifest: &str, lock: &str| Packages::Npm { manifest: manifest.into(), lock: lock.into() };
        assert_eq!(npm("{}", "{}").id(), npm("{}", "{}").id());
        assert_ne!(npm("{}", "{}").id(), npm("{ }", "{}").id());
        assert_ne!(npm("ab", "c").id(), npm("a", "bc").id());
    }

    #[test]
    fn what_nobody_could_check_is_named() {
        let check = |lock: &str, expected: Option<&str>| {
            let packages = Packages::Npm { manifest: vec![], lock: lock.into() };
            assert_eq!(packages.unchecked().as_deref(), expected);
        };
        check(r#"{"packages": {"": {}, "node_modules/a": {"integrity": "sha512-x"}}}"#, None);
        check(r#"{"packages": {"": {}, "lib": {}, "node_modules/lib": {"link": true}}}"#, None);
        let what = "has no digest of `node_modules/a`";
        check(r#"{"packages": {"": {}, "node_modules/a": {"resolved": "x"}}}"#, Some(what));
        check(r#"{"dependencies": {}}"#, Some("is of a version that has no digests"));
    }
}
