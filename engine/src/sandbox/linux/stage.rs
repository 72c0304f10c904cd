//! Puts the input root into a sandbox, and finds out afterwards whether the action has left it alone.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown};
use std::path::Path;
use std::time::SystemTime;

use super::super::SandboxError;
use crate::action::MountedTree;
use crate::files::materialize::{self, Manner, MaterializeError};
use crate::path::{RelPath, under};
use crate::sandbox::Job;
use crate::tree::{Node, Tree};

/// A staged input root.
pub(super) struct Staged {
    tree: Tree,
    /// The time it shows.
    time: SystemTime,
    /// When the last of it was made, in nanoseconds: whatever changed later was changed by the action.
    until: i128,
}

/// Copies the staged part of an input root to `root`, read-only, and makes the directories in which the action starts
/// and leaves its outputs. `owner` is whom it will belong to, where that is another user than this one.
pub(super) fn stage(job: &Job<'_>, root: &Path, owner: Option<u32>, manner: Manner) -> Result<Staged, SandboxError> {
    let tree = with_directories(job);
    match materialize::materialize_as(&tree, root, job.blobs, manner) {
        Ok(()) => {}
        Err(MaterializeError::Store(e)) => return Err(e.into()),
        Err(MaterializeError::Lost { digest, .. }) => return Err(SandboxError::Lost(digest)),
    }
    let mut until = 0;
    seal(&tree, root, owner, &mut until)
        .map_err(|cause| SandboxError::setup("set the mode of the inputs in", root, cause))?;
    Ok(Staged { tree, time: manner.time, until })
}

/// The staged part, and the directories that have to be there before the action starts.
fn with_directories(job: &Job<'_>) -> Tree {
    let mut tree = job.staged.clone();
    let outputs = job.outputs.iter().map(|output| under(job.directory, output));
    let wanted = job.directory.cloned().into_iter().chain(outputs.filter_map(|output| output.parent()));
    for directory in wanted {
        let is_mounted = |(at, _): &(RelPath, std::sync::Arc<MountedTree>)| directory.starts_with(at);
        if !job.mounts.iter().any(is_mounted) {
            // What stands in its way is the action's own business, and it will hear of it.
            let _ = tree.insert(&directory, Node::Directory(Tree::new()));
        }
    }
    tree
}

/// Gives everything its mode and its owner.
fn seal(tree: &Tree, at: &Path, owner: Option<u32>, until: &mut i128) -> std::io::Result<()> {
    for (name, node) in tree.entries() {
        let path = at.join(name);
        match node {
            Node::Directory(below) => seal(below, &path, owner, until)?,
            Node::Symlink { .. } => {}
            Node::File { executable, .. } => {
                fs::set_permissions(&path, Permissions::from_mode(if *executable { 0o555 } else { 0o444 }))?;
            }
        }
        if owner.is_some() {
            lchown(&path, owner, owner)?;
        }
        *until = (*until).max(changed(&fs::symlink_metadata(&path)?));
    }
    Ok(())
}

fn changed(meta: &fs::Metadata) -> i128 {
    i128::from(meta.ctime()) * 1_000_000_000 + i128::from(meta.ctime_nsec())
}

impl Staged {
    /// The first input that is no longer what it was.
    pub(super) fn touched(&self, root: &Path) -> Option<RelPath> {
        self.first_touched(&self.tree, root, None)
    }

    fn first_touched(&self, tree: &Tree, at: &Path, base: Option<&RelPath>) -> Option<RelPath> {
        let Self { time, until, .. } = *self;
        tree.entries().find_map(|(name, node)| {
            let path = at.join(name);
            let named = under(base, &RelPath::new(name).ok()?);
            let meta = fs::symlink_metadata(&path);
            let is_same = match (&meta, node) {
                (Err(_), _) => false,
                (Ok(meta), Node::Directory(below)) => {
                    if meta.is_dir() {
                        return self.first_touched(below, &path, Some(&named));
                    }
                    false
                }
                (Ok(meta), Node::Symlink { .. }) => meta.is_symlink() && changed(meta) <= until,
                (Ok(meta), Node::File { digest, .. }) => {
                    meta.is_file()
                        && meta.len() == digest.size_bytes()
                        && meta.modified().is_ok_and(|modified| modified == time)
                        && changed(meta) <= until
                }
            };
            (!is_same).then_some(named)
        })
    }
}
