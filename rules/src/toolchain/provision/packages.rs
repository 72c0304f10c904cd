//! [`Packages`]: what a lockfile of the user's names, fetched by the ecosystem's own client and kept like a toolchain.
//!
//! The lockfile says what every package has to be, and the client checks it; so what is fetched is known by the lockfile
//! before it is here, and by the digest of its tree from then on. Where a tree is lost and fetched anew it may be laid out
//! otherwise, by another version of the client: it is made of the same packages, and known by its new digest.

use std::fs;

use run_engine::digest::{Blob, Digest, DigestFunction};
use serde_json::Value;

use super::pin::platform;
use super::requirements::Requirements;
use crate::toolchain::ToolchainError;

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
    /// The packages of a `requirements.txt`, as a `site-packages` of pure Python.
    Pip(Requirements),
}

impl Packages {
    /// What people call it, and its tree.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Npm { .. } => "node_modules",
            Self::Pip(_) => "site-packages",
        }
    }

    /// The registry, as people call it.
    #[must_use]
    pub const fn registry(&self) -> &'static str {
        match self {
            Self::Npm { .. } => "npm",
            Self::Pip(_) => "PyPI",
        }
    }

    /// The lockfile, as people call it.
    #[must_use]
    pub const fn lockfile(&self) -> &'static str {
        match self {
            Self::Npm { .. } => "package-lock.json",
            Self::Pip(_) => "requirements.txt",
        }
    }

    /// Which of them, on which kind of machine: stands for a version.
    #[must_use]
    pub fn id(&self) -> String {
        let function = DigestFunction::Sha256;
        let hex = |part: &[u8]| function.digest::<Blob>(part).hex();
        let said = match self {
            Self::Npm { manifest, lock } => format!("{}\n{}\n{}", platform(), hex(manifest), hex(lock)),
            // Pure Python is the same everywhere.
            Self::Pip(requirements) => requirements.text(),
        };
        let whole: Digest<Blob> = function.digest(said.as_bytes());
        whole.hex()[..16].to_owned()
    }

    /// The first thing that nobody could check, as a clause about the lockfile.
    #[must_use]
    pub fn unchecked(&self) -> Option<String> {
        match self {
            Self::Npm { lock, .. } => unchecked_npm(lock),
            // What was read has a digest for everything.
            Self::Pip(_) => None,
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

/// What npm says when a package is not what the lockfile has.
pub(super) fn mismatch_of_npm(lines: &[String], lock: &[u8]) -> Option<ToolchainError> {
    let line = lines.iter().find(|line| line.to_ascii_lowercase().contains("integrity checksum failed"))?;
    let (wanted, found) = line.split_once(": wanted ")?.1.split_once(" but got ")?;
    let found = found.split(['.', ' ']).next().unwrap_or(found);
    let lock: Value = serde_json::from_slice(lock).unwrap_or_default();
    let is_it = |package: &&Value| package["integrity"].as_str().is_some_and(|digests| digests.contains(wanted));
    let named = lock["packages"].as_object().and_then(|packages| {
        let (path, package) = packages.iter().find(|(_, package)| is_it(package))?;
        Some(format!("`{}` {}", path.trim_start_matches("node_modules/"), package["version"].as_str()?))
    });
    let error = ToolchainError::new(
        format!("npm gives other bytes as {} than package-lock.json has", named.as_deref().unwrap_or("a package")),
        "if a mirror is in between, ask it for another copy: a published version never changes",
    );
    let mut error = error.coded("other-bytes").noted(format!("wanted {wanted}")).noted(format!(" found {found}"));
    error.helps.push(
        "if it is package-lock.json that is wrong, remove the package's `integrity` and run `npm install --package-lock-only`"
            .to_owned(),
    );
    Some(error)
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
    fn npm_names_no_package_and_we_do() {
        let lock = br#"{"packages": {"node_modules/left-pad": {"version": "1.3.0", "integrity": "sha512-ZI=="}}}"#;
        let said = "npm error Integrity checksum failed when using sha512: wanted sha512-ZI== but got sha512-XI==.";
        let error = mismatch_of_npm(&["npm error code EINTEGRITY".to_owned(), said.to_owned()], lock).unwrap();
        assert_eq!(error.what, "npm gives other bytes as `left-pad` 1.3.0 than package-lock.json has");
        assert_eq!(error.notes, ["wanted sha512-ZI==", " found sha512-XI=="]);
        assert_eq!(mismatch_of_npm(&["npm error code E404".to_owned()], lock), None);
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
