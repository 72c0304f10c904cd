//! Outputs that people asked for, written into the workspace.

use std::collections::HashSet;
use std::path::Path;

use super::Known;
use crate::files::materialize::{MaterializeError, Written, materialize_file_if_changed};
use crate::files::workspace::stays_inside;
use crate::graph::Export;
use crate::path::{RelPath, under};
use crate::store::{Blobs, StoreError};
use crate::tree::Node;

/// Writes one output where it is wanted. Returns whether anything had to be written: a file that is already right is
/// not touched, so tools that watch times see nothing. `checked` are the directories known to lie in the workspace.
pub(super) fn export(
    known: &Known,
    export: &Export,
    workspace: &Path,
    blobs: &dyn Blobs,
    checked: &mut HashSet<Option<RelPath>>,
) -> Result<bool, MaterializeError> {
    let Some(node) = known.node(&export.output) else {
        // The graph checked that it lies below a declared output; whether it is in there only the action decides.
        let cause = std::io::ErrorKind::NotFound.into();
        return Err(StoreError { what: "find among what was made", path: export.output.as_str().into(), cause }.into());
    };
    let mut files: Vec<(RelPath, Node)> = Vec::new();
    match node {
        Node::Directory(tree) => {
            tree.walk(&mut |path, node| files.push((under(Some(&export.to), path), node.clone())));
        }
        node => files.push((export.to.clone(), node)),
    }
    let mut wrote = false;
    for (path, _) in &files {
        if !checked.contains(&path.parent()) {
            stays_inside(workspace, path)?;
            checked.insert(path.parent());
        }
    }
    for (path, node) in files {
        wrote |= match node {
            Node::File { digest, executable } => {
                materialize_file_if_changed(digest, executable, &workspace.join(&path), blobs)? == Written::Replaced
            }
            Node::Symlink { target } => link(&target, &workspace.join(&path))?,
            Node::Directory(_) => unreachable!("a walk visits no directories"),
        };
    }
    Ok(wrote)
}

fn link(target: &str, at: &Path) -> Result<bool, StoreError> {
    let failed = |cause| StoreError { what: "write the link", path: at.to_owned(), cause };
    if std::fs::read_link(at).is_ok_and(|here| here == Path::new(target)) {
        return Ok(false);
    }
    if let Some(parent) = at.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    match std::fs::remove_file(at) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
        _ => {}
    }
    std::os::unix::fs::symlink(target, at).map_err(failed)?;
    Ok(true)
}
