//! Puts the input root into a sandbox, and finds out afterwards whether the action has left it alone.
//!
//! Small files are copied, which is cheaper than to mount them. Large ones are [`Lent`]: the store's own files, mounted
//! read-only. Directories are the action's own, because much writes beside its inputs.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::super::SandboxError;
use super::message::Bind;
use super::shown;
use crate::action::MountedTree;
use crate::digest::BlobDigest;
use crate::files::materialize::{self, Manner, MaterializeError};
use crate::path::{RelPath, under};
use crate::sandbox::Job;
use crate::store::failed;
use crate::tree::{Node, Tree};

/// From what size on a file is mounted. To copy as much costs some 50 us of processor time, to mount a file some 30.
const LENT_BYTES_MIN: u64 = 128 * 1024;

/// How many files are mounted at most: each is an open file of the spawner's for a while.
const N_LENT_MAX: usize = 128;

/// The inputs that are not copied: the store's files, by where they stand.
#[derive(Default)]
pub(super) struct Lent(BTreeMap<PathBuf, PathBuf>);

impl Lent {
    /// Those that can be mounted in a world where inputs look like this: large files, as they are in the store. Not
    /// executable ones, so that it does not matter whether the store's file system lets programs run.
    pub(super) fn of(job: &Job<'_>, manner: Manner) -> Result<Self, SandboxError> {
        let mut large = Vec::new();
        if manner == Manner::usual() {
            job.staged.walk(&mut |at, node| match node {
                Node::File { digest, executable: false } if digest.size_bytes() >= LENT_BYTES_MIN => {
                    large.push((PathBuf::from(at.as_str()), *digest));
                }
                _ => {}
            });
        }
        let mut lent = BTreeMap::new();
        for (at, digest) in large.into_iter().take(N_LENT_MAX) {
            lent.extend(job.blobs.file(digest)?.filter(|path| shown::text(path).is_ok()).map(|path| (at, path)));
        }
        Ok(Self(lent))
    }

    /// What is to be mounted where, in an input root that stands at `root`.
    pub(super) fn binds(&self, root: &str) -> Vec<Bind> {
        let bind = |(at, from): (&PathBuf, &PathBuf)| {
            let (at, from) = (at.to_str()?, from.to_str()?.to_owned());
            Some(Bind { from, at: format!("{root}/{at}"), directory: false, writable: false })
        };
        self.0.iter().filter_map(bind).collect()
    }
}

/// A staged input root.
pub(super) struct Staged {
    tree: Tree,
    lent: Lent,
    /// The time it shows.
    time: SystemTime,
    /// When the last of it was made, in nanoseconds: whatever changed later was changed by the action.
    until: i128,
}

/// Copies the staged part of an input root to `root`, read-only, with empty files for what is lent, and makes the
/// directories in which the action starts and leaves its outputs. `owner` is whom it will belong to, where that is
/// another user than this one.
pub(super) fn stage(
    job: &Job<'_>,
    root: &Path,
    owner: Option<u32>,
    manner: Manner,
    lent: Lent,
) -> Result<Staged, SandboxError> {
    let tree = with_directories(job);
    let copy = materialize::copies(job.blobs);
    let put = |digest: BlobDigest, executable: bool, to: &Path| match to.strip_prefix(root) {
        Ok(at) if lent.0.contains_key(at) => File::create_new(to).map(|_| true).map_err(failed("create", to)),
        _ => copy(digest, executable, to),
    };
    match materialize::materialize_as(&tree, root, manner, &put) {
        Ok(()) => {}
        Err(MaterializeError::Store(e)) => return Err(e.into()),
        Err(MaterializeError::Lost { digest, .. }) => return Err(SandboxError::Lost(digest)),
    }
    let mut until = 0;
    seal(&tree, root, owner, &mut until)
        .map_err(|cause| SandboxError::setup("set the mode of the inputs in", root, cause))?;
    Ok(Staged { tree, lent, time: manner.time, until })
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

fn is_same_file(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
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
            // Nothing can change what is lent, but something else can stand in its place.
            let lent = self.lent.0.get(Path::new(named.as_str()));
            let is_same = match (&meta, node) {
                (Err(_), _) => false,
                (Ok(meta), Node::Directory(below)) => {
                    if meta.is_dir() {
                        return self.first_touched(below, &path, Some(&named));
                    }
                    false
                }
                (Ok(meta), Node::Symlink { .. }) => meta.is_symlink() && changed(meta) <= until,
                (Ok(meta), Node::File { digest, .. }) => match lent {
                    Some(lent) => fs::metadata(lent).is_ok_and(|lent| is_same_file(&lent, meta)),
                    None => {
                        meta.is_file()
                            && meta.len() == digest.size_bytes()
                            && meta.modified().is_ok_and(|modified| modified == time)
                            && changed(meta) <= until
                    }
                },
            };
            (!is_same).then_some(named)
        })
    }
}
