//! `Tree` → directory: private, writable copies with fixed times, so that two directories of one tree are equal in
//! everything a tool can see.

use std::fmt;
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rayon::prelude::*;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};

use super::stamp::{Kind, Stamp, nanos};
use crate::digest::BlobDigest;
use crate::store::{Blobs, StoreError, failed, fixed_mtime};
use crate::tree::{Node, Tree};

/// A tree can't be made to exist.
#[derive(Debug)]
pub enum MaterializeError {
    /// The store lost a blob of it: whoever made the blob is to be asked again.
    Lost {
        /// What is lost.
        digest: BlobDigest,
        /// Where it was to stand.
        path: PathBuf,
    },
    /// The store can't be read, or the directory can't be written.
    Store(StoreError),
}

impl From<StoreError> for MaterializeError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for MaterializeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { digest, path } => write!(f, "the store has lost {digest}, wanted for `{}`", path.display()),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for MaterializeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Lost { .. } => None,
            Self::Store(error) => error.source(),
        }
    }
}

/// What a tool can see of a directory besides what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    /// The time of everything.
    pub time: SystemTime,
    /// Whether the entries of a directory are made from the last to the first. File systems in memory list them in the
    /// order in which they were made, or the other way round; so that order is always one of these two.
    pub reversed: bool,
}

impl Manner {
    /// How trees usually look.
    #[must_use]
    pub fn usual() -> Self {
        Self { time: fixed_mtime(), reversed: false }
    }
}

/// Makes the directory `to`, which must not hold anything in the tree's way, and in it all of `tree`: copies that
/// belong to the caller, directories of mode 0755, files of 0644 or 0755, all with the time [`fixed_mtime`].
///
/// # Errors
/// [`MaterializeError`]; what was made until then stays.
pub fn materialize(tree: &Tree, to: &Path, blobs: &dyn Blobs) -> Result<(), MaterializeError> {
    materialize_as(tree, to, Manner::usual(), &copies(blobs))
}

/// Puts copies.
pub fn copies(blobs: &dyn Blobs) -> impl Fn(BlobDigest, bool, &Path) -> Result<bool, StoreError> + Sync {
    |digest, executable, to| blobs.copy_to(digest, executable, to)
}

/// Makes a file that stands for a blob, executable or not, as [`Blobs::copy_to`] does; false when the blob isn't here.
pub type Put<'a> = dyn Fn(BlobDigest, bool, &Path) -> Result<bool, StoreError> + Sync + 'a;

/// The same, in another manner, with files that are put there in another way.
///
/// # Errors
/// As for [`materialize`].
pub fn materialize_as(tree: &Tree, to: &Path, manner: Manner, put: &Put<'_>) -> Result<(), MaterializeError> {
    make_directory(to).map_err(failed("create the directory", to))?;
    fill(tree, to, manner, put)
}

/// Makes the entries of a directory one after the other, because their order can be seen; what is below them, side by
/// side.
fn fill(tree: &Tree, at: &Path, manner: Manner, put: &Put<'_>) -> Result<(), MaterializeError> {
    let mut entries: Vec<(&str, &Node)> = tree.entries().collect();
    if manner.reversed {
        entries.reverse();
    }
    let mut below = Vec::new();
    for (name, node) in entries {
        let path = at.join(name);
        match node {
            Node::File { digest, executable } => {
                put_file(*digest, *executable, &path, put)?;
                if manner.time != fixed_mtime() {
                    set_time(&path, manner, AtFlags::empty()).map_err(failed("set the time of", &path))?;
                }
            }
            Node::Symlink { target } => {
                let made = symlink(&**target, &path).and_then(|()| set_time(&path, manner, AtFlags::SYMLINK_NOFOLLOW));
                made.map_err(failed("create the symbolic link", &path))?;
            }
            Node::Directory(tree) => {
                make_directory(&path).map_err(failed("create the directory", &path))?;
                below.push((path, tree));
            }
        }
    }
    match &below[..] {
        // Waking another thread for it would cost more than it does.
        [(path, tree)] => fill(tree, path, manner, put)?,
        below => below.par_iter().try_for_each(|(path, tree)| fill(tree, path, manner, put))?,
    }
    // Last: everything that is made in a directory changes its time.
    Ok(set_time(at, manner, AtFlags::empty()).map_err(failed("set the time of", at))?)
}

fn put_file(digest: BlobDigest, executable: bool, to: &Path, put: &Put<'_>) -> Result<(), MaterializeError> {
    match put(digest, executable, to)? {
        true => Ok(()),
        false => Err(MaterializeError::Lost { digest, path: to.to_owned() }),
    }
}

/// The mode is set, not asked for: the umask is the user's, and a tree looks the same to all of them.
fn make_directory(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    fs::set_permissions(dir, Permissions::from_mode(0o755))
}

fn set_time(path: &Path, manner: Manner, flags: AtFlags) -> io::Result<()> {
    let time = Timespec { tv_sec: nanos(manner.time) / 1_000_000_000, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(rustix::fs::utimensat(CWD, path, &times, flags)?)
}

/// What [`materialize_file_if_changed`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// The file had the content already and was not touched.
    Unchanged,
    /// The file is new, or another one than before.
    Replaced,
}

/// Makes the file `to` have this content, at once for everyone who looks: nobody sees half of it. A file that has the
/// content already is not written again, so that nothing that watches it stirs. The directories above are made.
///
/// Unlike the files of a tree, a new file gets the present time: people and programs look at it in a workspace.
///
/// # Errors
/// [`MaterializeError`]; the old file is then still there, whole.
pub fn materialize_file_if_changed(
    digest: BlobDigest,
    executable: bool,
    to: &Path,
    blobs: &dyn Blobs,
) -> Result<Written, MaterializeError> {
    if has_content(digest, executable, to, blobs).map_err(failed("read", to))? {
        return Ok(Written::Unchanged);
    }
    let parent = to.parent().unwrap_or(Path::new(""));
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    fs::create_dir_all(parent).map_err(failed("create the directory", parent))?;
    let mut failure = None;
    let made = tempfile::Builder::new().prefix(".run-").make_in(parent, |temporary| {
        put_file(digest, executable, temporary, &copies(blobs)).map_err(|error| {
            let kind = match &error {
                // The name is taken: another one is tried.
                MaterializeError::Store(error) => error.cause.kind(),
                MaterializeError::Lost { .. } => ErrorKind::Other,
            };
            failure = Some(error);
            kind.into()
        })
    });
    let temporary = match (made, failure) {
        (Ok(made), _) => made.into_temp_path(),
        (Err(_), Some(failure)) => return Err(failure),
        (Err(e), None) => return Err(failed("create a file in", parent)(e).into()),
    };
    touch(&temporary).map_err(failed("set the time of", to))?;
    temporary.persist(to).map_err(|e| failed("replace", to)(e.error))?;
    Ok(Written::Replaced)
}

/// Whether the file is this blob already, executable bit included.
fn has_content(digest: BlobDigest, executable: bool, to: &Path, blobs: &dyn Blobs) -> io::Result<bool> {
    let stamp = match Stamp::of(to) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        stamp => stamp?,
    };
    let may_be =
        stamp.kind() == Kind::File && stamp.is_executable() == executable && stamp.size_bytes == digest.size_bytes();
    if !may_be {
        return Ok(false);
    }
    match File::open(to) {
        // Unreadable to us, so not ours: replaced like any other content.
        Err(e) if e.kind() == ErrorKind::PermissionDenied => Ok(false),
        file => Ok(blobs.function().digest_reader::<crate::digest::Blob>(&mut file?)? == digest),
    }
}

fn touch(path: &Path) -> io::Result<()> {
    let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    Ok(rustix::fs::utimensat(CWD, path, &times, AtFlags::empty())?)
}
