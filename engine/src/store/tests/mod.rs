//! Tests of the stores: against the contract, against each other, against processes that die.

mod collect;
mod contract;
mod damage;
mod processes;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::disk::DiskStore;
use super::*;

/// A store in a directory of its own.
fn disk() -> (tempfile::TempDir, DiskStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = DiskStore::open(dir.path(), DigestFunction::Blake3).unwrap();
    (dir, store)
}

fn key(text: &str) -> ActionKey {
    DigestFunction::Blake3.digest(text.as_bytes())
}

/// A result with one output file.
fn result(output: BlobDigest, strength: Strength) -> ActionResult {
    let node = OutputNode::File { digest: output, executable: false };
    ActionResult {
        outputs: vec![Output { path: RelPath::new("out").unwrap(), node }],
        stdout: output,
        stderr: output,
        took: Duration::from_millis(3),
        strength,
    }
}

/// The files that hold a blob.
fn files_of(store: &DiskStore, digest: BlobDigest) -> Vec<PathBuf> {
    let files = [false, true].map(|executable| store.layout.blob(store.function(), digest, executable));
    files.into_iter().filter(|path| path.exists()).collect()
}

/// Overwrites a file of the store in place, as nothing but a failing disk should.
fn overwrite(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    let mode = fs::metadata(path).unwrap().permissions();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    let mut file = fs::File::options().write(true).truncate(true).open(path).unwrap();
    file.write_all(&bytes).unwrap();
    fs::set_permissions(path, mode).unwrap();
}
