//! `Tree` → a directory that is there already: only what differs is touched.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::materialize::{MaterializeError, Written, materialize_file_if_changed};
use super::stamp::{Kind, Stamp};
use crate::path::RelPath;
use crate::store::{Blobs, StoreError, failed};
use crate::tree::{Node, Tree};

/// Makes the directory `to` hold all of `tree` and nothing else: for a directory output in a workspace. What is right
/// already is left alone, what isn't in the tree is removed, and links are never followed.
///
/// # Errors
/// [`MaterializeError`]; what was done until then stays, and doing it again completes it.
pub fn sync_tree(tree: &Tree, to: &Path, blobs: &dyn Blobs) -> Result<Written, MaterializeError> {
    let mut written = make_room(to, Kind::Directory)?;
    if kind_at(to)?.is_none() {
        fs::create_dir_all(to).map_err(failed("create the directory", to))?;
        written = Written::Replaced;
    }
    for name in names(to)? {
        let wanted = name.to_str().and_then(|name| RelPath::new(name).ok()).and_then(|name| tree.find(&name));
        if wanted.is_none() {
            remove_all(&to.join(name))?;
            written = Written::Replaced;
        }
    }
    for (name, node) in tree.entries() {
        if sync_node(node, &to.join(name), blobs)? == Written::Replaced {
            written = Written::Replaced;
        }
    }
    Ok(written)
}

fn sync_node(node: &Node, to: &Path, blobs: &dyn Blobs) -> Result<Written, MaterializeError> {
    match node {
        Node::Directory(below) => sync_tree(below, to, blobs),
        Node::File { digest, executable } => {
            make_room(to, Kind::File)?;
            materialize_file_if_changed(*digest, *executable, to, blobs)
        }
        Node::Symlink { target } => {
            make_room(to, Kind::Symlink)?;
            if fs::read_link(to).is_ok_and(|found| found == Path::new(&**target)) {
                return Ok(Written::Unchanged);
            }
            remove_all(to)?;
            symlink(&**target, to).map_err(failed("create the symbolic link", to))?;
            Ok(Written::Replaced)
        }
    }
}

/// Removes what stands at `path` unless it is of the wanted kind.
fn make_room(path: &Path, wanted: Kind) -> Result<Written, StoreError> {
    match kind_at(path)? {
        Some(kind) if kind != wanted => remove_all(path).map(|()| Written::Replaced),
        _ => Ok(Written::Unchanged),
    }
}

fn kind_at(path: &Path) -> Result<Option<Kind>, StoreError> {
    match Stamp::of(path) {
        Ok(stamp) => Ok(Some(stamp.kind())),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed("look at", path)(e)),
    }
}

fn names(dir: &Path) -> Result<Vec<OsString>, StoreError> {
    let entries = fs::read_dir(dir).map_err(failed("read", dir))?;
    entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<_, _>>().map_err(failed("read", dir))
}

fn remove_all(path: &Path) -> Result<(), StoreError> {
    let removed = match kind_at(path)? {
        None => Ok(()),
        Some(Kind::Directory) => fs::remove_dir_all(path),
        Some(_) => fs::remove_file(path),
    };
    removed.map_err(failed("remove", path))
}
