//! Toolchains that are fetched instead of installed: exact versions from the registries that the user's own clients reach,
//! kept in the store as trees, known by their digest and used offline from then on.
//!
//! ```text
//! toolchains/go-1.27.3-<hash>/tree/…     the files, read-only, all of one time
//! toolchains/go-1.27.3-<hash>/sha256     the tree as the Remote Execution API writes it, behind its own hash
//! toolchains/go-1.27.3-<hash>/blake3     the same, for workspaces that use this function
//! toolchains/.installing-…/              what is being fetched; swept by the next who fetches
//! ```
//!
//! A build looks at one stamp of each toolchain; `run v2 toolchain verify` reads every byte.

mod choice;
mod client;
mod lock;
mod packages;
mod pep508;
mod pin;
mod pip;
mod requirements;
mod unpack;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use run_engine::action::MountedTree;
use run_engine::digest::{Blob, Digest, DigestFunction};
use run_engine::files::stamp::Stamp;
use run_engine::files::stat_cache::{FileState, StatCache, digest_files};
use run_engine::path::RelPath;
use run_engine::tree::{Node, Tree};

use super::{ToolchainError, Toolchains};
use crate::session::Environment;

pub use choice::{Choice, choose};
pub use client::PIPS;
pub use lock::{FILE as LOCKFILE, Lock, Locked, parse_digest};
pub use packages::Packages;
pub use pin::{PINS, Pin, find as find_pin, platform};
pub use requirements::{Requirements, check_requirement};

/// The functions that every toolchain's tree is kept in.
const FUNCTIONS: [DigestFunction; 2] = [DigestFunction::Sha256, DigestFunction::Blake3];

/// What the directory of something that is being fetched is called at first.
const UNFINISHED: &str = ".installing-";

/// Something is fetched now, which takes a while: for whoever waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The toolchain.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The registry and the package.
    pub from: String,
}

/// How sound an installed toolchain is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Soundness {
    /// Every byte is what it should be.
    Sound,
    /// It is not here.
    Absent,
    /// It is not what its digest says; with the digest of what is there, if it can be read at all.
    Damaged(Option<String>),
}

impl Toolchains {
    /// An installed toolchain, if it is there and whole as far as its record tells.
    pub fn installed(&mut self, name: &str, version: &str, digest: &str) -> Option<Arc<MountedTree>> {
        let directory = self.place(name, version, digest)?;
        let (record, content) = (directory.join(self.function.name()), directory.join("tree"));
        // From before they are read, so that a change in between is seen the next time.
        let stamps = [(record.clone(), Stamp::of(&record).ok()?), (content.clone(), Stamp::of(&content).ok()?)];
        let tree = read_record(&record, self.function)?;
        if digest != shown(&tree, self.function) && self.function == DigestFunction::Sha256 {
            return None;
        }
        self.watched.extend(stamps);
        Some(Arc::new(MountedTree { name: name.to_owned(), tree, directory: content, beside: Vec::new() }))
    }

    /// Fetches a toolchain and keeps it; returns the digest of its tree. Nothing is kept of one that is not what `digest`
    /// says, or whose fetching is cut short.
    ///
    /// # Errors
    /// [`ToolchainError`] when it can't be fetched or kept, or is something else than was wanted.
    pub fn install(
        &self,
        pin: &Pin,
        version: &str,
        digest: Option<&str>,
        environment: &Environment,
    ) -> Result<String, ToolchainError> {
        let _lock = self.lock()?;
        // A second process that wants the same one finds it done.
        if let Some(digest) = digest
            && let Some(there) = self.place(pin.name, version, digest)
            && digest_of(&there.join("tree")).is_ok_and(|found| found == digest)
            && FUNCTIONS.iter().all(|function| read_record(&there.join(function.name()), *function).is_some())
        {
            return Ok(digest.to_owned());
        }
        let bring = |into: &Path| client::fetch(&pin.source, version, into, environment);
        self.keep(pin.name, version, pin.source.registry(), digest, &bring)
    }

    /// What a lockfile of the user's names, fetched if it is not here yet; `tell` is told so.
    ///
    /// # Errors
    /// [`ToolchainError`] when it can't be fetched or kept, or holds what nobody could check.
    pub fn packages(
        &mut self,
        packages: &Packages,
        environment: &Environment,
        offline: bool,
        tell: &dyn Fn(),
    ) -> Result<Arc<MountedTree>, ToolchainError> {
        let (name, id, lockfile) = (packages.name(), packages.id(), packages.lockfile());
        if let Some(tree) = self.remembered(packages) {
            return Ok(tree);
        }
        if let Some(why) = packages.unchecked() {
            return Err(ToolchainError::new(
                format!("{lockfile} {why}"),
                "write it anew with npm 7 or later: `npm install --package-lock-only`",
            ));
        }
        if offline {
            let what = format!("the packages of {lockfile} are not here, and the network is not to be used");
            return Err(ToolchainError::new(what, "build once without `--offline`").coded("unfetched-packages"));
        }
        tell();
        let lock = self.lock()?;
        // A second process that wants the same ones finds them done.
        if let Some(tree) = self.remembered(packages) {
            return Ok(tree);
        }
        let bring = |into: &Path| client::fetch_packages(packages, into, environment);
        let digest = self.keep(name, &id, packages.registry(), None, &bring)?;
        let record = packages::record(&self.directory, packages);
        fs::write(&record, format!("{digest}\n")).map_err(|e| client::unwritable(&self.directory, &e))?;
        drop(lock);
        self.installed(name, &id, &digest).ok_or_else(|| {
            ToolchainError::new("the packages were fetched and are gone", "see what else cleans the cache directory")
        })
    }

    /// What a lockfile's packages are, where they were fetched already.
    fn remembered(&mut self, packages: &Packages) -> Option<Arc<MountedTree>> {
        let digest = packages::remembered(&self.directory, packages)?;
        self.installed(packages.name(), &packages.id(), &digest)
    }

    /// Keeps others from fetching; it ends with its process.
    fn lock(&self) -> Result<fs::File, ToolchainError> {
        let lock = fs::create_dir_all(&self.directory)
            .and_then(|()| fs::File::create(self.directory.join(".installing")))
            .and_then(|file| file.lock().map(|()| file));
        lock.map_err(|e| client::unwritable(&self.directory, &e))
    }

    /// Fetches with `bring`, and keeps what it brings if that is what `digest` says. Only whoever holds the lock may.
    fn keep(
        &self,
        name: &str,
        version: &str,
        registry: &str,
        digest: Option<&str>,
        bring: &dyn Fn(&Path) -> Result<client::Fetched, ToolchainError>,
    ) -> Result<String, ToolchainError> {
        let unwritable = |e: io::Error| client::unwritable(&self.directory, &e);
        sweep(&self.directory);
        let work = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(&self.directory).map_err(unwritable)?;
        let (archive, made) = (work.path().join("archive"), work.path().join("made"));
        fs::create_dir(&archive).and_then(|()| fs::create_dir(&made)).map_err(unwritable)?;
        let fetched = bring(&archive)?;
        let content = made.join("tree");
        let damaged = |e: io::Error| {
            ToolchainError::new(
                format!("what {registry} gave as {name} {version} can't be unpacked: {e}"),
                "try again; if a mirror is in between, ask it for another copy",
            )
        };
        let files = unpack::unpack(&fetched, &content).map_err(damaged)?;
        let mut found = String::new();
        for function in FUNCTIONS {
            let tree = tree_of(&content, &files, function).map_err(damaged)?;
            if function == DigestFunction::Sha256 {
                found = shown(&tree, function);
            }
            write_record(&made.join(function.name()), &tree, function).map_err(unwritable)?;
        }
        if let Some(wanted) = digest.filter(|wanted| *wanted != found) {
            return Err(ToolchainError::new(
                format!("{registry} gives other bytes as {name} {version} than is locked"),
                format!("if they are to be trusted, `run v2 toolchain sync` writes their digest to {LOCKFILE}"),
            )
            .coded("other-bytes")
            .noted(format!("wanted {wanted}"))
            .noted(format!(" found {found}")));
        }
        let place = self.place(name, version, &found).expect("a digest of ours");
        // On disk before it has its name, so that no power cut leaves an empty file under it.
        let synced = fs::File::open(&made).and_then(|dir| rustix::fs::syncfs(dir).map_err(io::Error::from));
        synced.map_err(unwritable)?;
        super::remove_copy(&place);
        fs::rename(&made, &place).map_err(unwritable)?;
        Ok(found)
    }

    /// Reads every byte of an installed toolchain.
    #[must_use]
    pub fn verify(&self, name: &str, version: &str, digest: &str) -> Soundness {
        let Some(directory) = self.place(name, version, digest).filter(|directory| directory.is_dir()) else {
            return Soundness::Absent;
        };
        match digest_of(&directory.join("tree")) {
            Ok(found) if found == digest => Soundness::Sound,
            Ok(found) => Soundness::Damaged(Some(found)),
            Err(_) => Soundness::Damaged(None),
        }
    }

    /// Removes an installed toolchain, so that it is fetched again.
    pub fn discard(&self, name: &str, version: &str, digest: &str) {
        if let Some(place) = self.place(name, version, digest) {
            super::remove_copy(&place);
        }
    }

    /// A tool of this machine as a toolchain: every file below a directory, known by its content.
    ///
    /// # Errors
    /// [`ToolchainError`] when the directory or a file in it can't be read.
    pub fn at(&mut self, name: &str, directory: &Path) -> Result<Arc<MountedTree>, ToolchainError> {
        let files = list(directory, None).map_err(|e| {
            ToolchainError::new(
                format!("`{}`, which holds {name}, can't be read: {e}", directory.display()),
                "name the directory that it is installed in",
            )
        })?;
        self.in_place(name, directory, &files, &[])
    }

    /// The digest of some files of a directory, as `run.lock.toml` has it. It is remembered for as long as none of them
    /// moves.
    ///
    /// # Errors
    /// [`ToolchainError`] for a file that can't be read.
    pub fn digest_in_place(&self, directory: &Path, files: &[RelPath]) -> Result<String, ToolchainError> {
        let depends: Vec<PathBuf> = files.iter().map(|file| directory.join(file)).collect();
        self.answers().get(&format!("digest of {depends:?}"), &depends, || {
            let tree = tree_of(directory, files, DigestFunction::Sha256).map_err(|e| {
                let what = format!("the tools in `{}` can't be read: {e}", directory.display());
                ToolchainError::new(what, "install them again")
            })?;
            Ok(shown(&tree, DigestFunction::Sha256))
        })
    }

    /// Where a toolchain is, or would be; `None` for what is no digest.
    fn place(&self, name: &str, version: &str, digest: &str) -> Option<PathBuf> {
        parse_digest(digest)?;
        let (_, hex) = digest.split_once(':')?;
        // A version is somebody's text, and part of a path here.
        let version: String =
            version.chars().map(|c| if c.is_ascii_alphanumeric() || ".-+".contains(c) { c } else { '_' }).collect();
        Some(self.directory.join(format!("{name}-{version}-{hex}")))
    }
}

/// A digest as `run.lock.toml` has it.
#[must_use]
pub fn shown(tree: &Tree, function: DigestFunction) -> String {
    format!("{}:{}", function.name(), tree.digest(function).hex())
}

/// The digest of the tree that a directory holds, whatever its record says.
fn digest_of(directory: &Path) -> io::Result<String> {
    let files = list(directory, None)?;
    Ok(shown(&tree_of(directory, &files, DigestFunction::Sha256)?, DigestFunction::Sha256))
}

/// These files of a directory as a tree. Every one is read.
fn tree_of(directory: &Path, files: &[RelPath], function: DigestFunction) -> io::Result<Tree> {
    // No file is older than this, so that none is believed unread.
    let mut nothing_known = StatCache::new(function, SystemTime::UNIX_EPOCH);
    let mut tree = Tree::new();
    for (file, state) in files.iter().zip(digest_files(directory, files, &mut nothing_known)) {
        let node = match state.map_err(|e| io::Error::other(e.to_string()))? {
            FileState::File { digest, stamp } => Node::File { digest, executable: stamp.is_executable() },
            FileState::Symlink { target, .. } => Node::Symlink { target: target.into() },
        };
        tree.insert(file, node).map_err(|e| io::Error::other(e.to_string()))?;
    }
    Ok(tree)
}

/// Every file and link below a directory, sorted.
fn list(directory: &Path, at: Option<&RelPath>) -> io::Result<Vec<RelPath>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().and_then(|name| RelPath::new(name).ok());
        let name =
            name.ok_or_else(|| io::Error::other(format!("`{}` can't be part of a path", entry.path().display())))?;
        let here = run_engine::path::under(at, &name);
        match entry.file_type()?.is_dir() {
            true => files.extend(list(&entry.path(), Some(&here))?),
            false => files.push(here),
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn write_record(file: &Path, tree: &Tree, function: DigestFunction) -> io::Result<()> {
    let bytes = tree.encode_whole(function);
    let digest: Digest<Blob> = function.digest(&bytes);
    fs::write(file, [digest.hash().as_slice(), &bytes].concat())
}

/// The tree of a record; nothing where it is torn or not there.
fn read_record(file: &Path, function: DigestFunction) -> Option<Tree> {
    let bytes = fs::read(file).ok()?;
    let (hash, bytes) = bytes.split_at_checked(32)?;
    let digest: Digest<Blob> = function.digest(bytes);
    if digest.hash() != hash {
        return None;
    }
    Tree::decode_whole(bytes, function).ok()
}

/// Removes what processes that were killed have left. Only whoever holds the lock may.
fn sweep(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            super::remove_copy(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests;
