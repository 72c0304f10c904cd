//! What of the machine a sandbox shows: the part of a toolchain that its digest covers, and the loader with the C library.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::message::{Bind, Link};
use crate::action::{Beside, MountedTree};
use crate::files::links::links_on;
use crate::sandbox::system;
use crate::tree::{Node, Tree};

/// Parts of the machine, and where they stand inside.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    pub(super) binds: Vec<Bind>,
    pub(super) links: Vec<Link>,
}

impl Shown {
    /// Adds what is not there yet.
    pub(super) fn add(&mut self, other: &Self) {
        let binds: HashSet<String> = self.binds.iter().map(|bind| bind.at.clone()).collect();
        self.binds.extend(other.binds.iter().filter(|bind| !binds.contains(&bind.at)).cloned());
        let links: HashSet<String> = self.links.iter().map(|link| link.at.clone()).collect();
        self.links.extend(other.links.iter().filter(|link| !links.contains(&link.at)).cloned());
    }

    /// A toolchain, at a path from inside: exactly what its tree lists, with as few mounts as that takes. A directory
    /// that holds nothing else is shown whole.
    ///
    /// # Errors
    /// When its directory can't be read.
    pub(super) fn toolchain(mounted: &MountedTree, at: &str) -> io::Result<Self> {
        let mut shown = Self::default();
        shown.cover(&mounted.tree, &mounted.directory, at)?;
        for Beside { at, from } in &mounted.beside {
            shown.in_place(at, from);
        }
        Ok(shown)
    }

    fn cover(&mut self, tree: &Tree, directory: &Path, at: &str) -> io::Result<()> {
        if is_whole(tree, directory)? {
            self.binds.push(bind(directory, at, true)?);
            return Ok(());
        }
        for (name, node) in tree.entries() {
            let (from, at) = (directory.join(name), format!("{at}/{name}"));
            let meta = match fs::symlink_metadata(&from) {
                // What is known by its content only, because the tools look for it elsewhere.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                meta => meta?,
            };
            match node {
                _ if meta.is_symlink() => {
                    self.links.push(Link { at, target: text(&fs::read_link(&from)?)?.to_owned() });
                }
                Node::Directory(below) => self.cover(below, &from, &at)?,
                _ => self.binds.push(bind(&from, &at, false)?),
            }
        }
        Ok(())
    }

    /// `from` at a path of the machine, with every link that leads there. What does not exist is not shown.
    fn in_place(&mut self, at: &Path, from: &Path) {
        let mut way = links_on(at);
        let Some(end) = way.pop() else { return };
        let Ok(meta) = fs::metadata(from) else { return };
        for link in way {
            if let (Ok(target), Ok(at)) = (fs::read_link(&link), text(&link))
                && let Ok(target) = text(&target)
            {
                let link = Link { at: at.to_owned(), target: target.to_owned() };
                if !self.links.contains(&link) {
                    self.links.push(link);
                }
            }
        }
        if let Ok(at) = text(&end)
            && let Ok(bind) = bind(from, at, meta.is_dir())
            && !self.binds.contains(&bind)
        {
            self.binds.push(bind);
        }
    }

    /// A file or directory, at the name it is asked for by, wherever links lead.
    pub(super) fn at_its_name(&mut self, path: &Path) {
        if let (Ok(from), Ok(at)) = (fs::canonicalize(path), text(path))
            && let Ok(bind) = bind(&from, at, from.is_dir())
        {
            self.binds.push(bind);
        }
    }

    /// What the machine's C library consists of: the least that a program needs to be loaded.
    pub(super) fn system() -> Self {
        let mut shown = Self::default();
        for file in system::files() {
            shown.in_place(&file, &file);
        }
        for device in DEVICES {
            let device = Path::new("/dev").join(device);
            shown.in_place(&device, &device);
        }
        for bind in shown.binds.iter_mut().filter(|bind| bind.at.starts_with("/dev/")) {
            bind.writable = true;
        }
        shown
    }
}

/// The first file or directory at or below `path` that only its owner may read: root, who is nobody in the sandbox.
///
/// # Errors
/// When a directory can't be read.
pub(super) fn first_private(path: &Path) -> io::Result<Option<PathBuf>> {
    let meta = fs::symlink_metadata(path)?;
    if is_private(&meta) {
        return Ok(Some(path.to_owned()));
    }
    if meta.is_dir() { first_private_in(path) } else { Ok(None) }
}

/// The same below a directory. Toolchains have tens of thousands of files, so each is looked at from where it is listed and not
/// by its whole path.
fn first_private_in(directory: &Path) -> io::Result<Option<PathBuf>> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        if is_private(&meta) {
            return Ok(Some(entry.path()));
        }
        if meta.is_dir()
            && let Some(found) = first_private_in(&entry.path())?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn is_private(meta: &fs::Metadata) -> bool {
    let needed = if meta.is_dir() { 0o005 } else { 0o004 };
    !meta.is_symlink() && meta.mode() & needed != needed
}

/// Whether a directory holds exactly what its tree lists, as far as names go.
fn is_whole(tree: &Tree, directory: &Path) -> io::Result<bool> {
    let mut n_found = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(node) = name.to_str().and_then(|name| tree.get(name)) else { return Ok(false) };
        let fits = match node {
            Node::Directory(below) => entry.file_type()?.is_dir() && is_whole(below, &entry.path())?,
            Node::File { .. } => entry.file_type()?.is_file(),
            Node::Symlink { .. } => entry.file_type()?.is_symlink(),
        };
        if !fits {
            return Ok(false);
        }
        n_found += 1;
    }
    Ok(n_found == tree.len())
}

fn bind(from: &Path, at: &str, directory: bool) -> io::Result<Bind> {
    Ok(Bind { from: text(from)?.to_owned(), at: at.to_owned(), directory, writable: false })
}

pub(super) fn text(path: &Path) -> io::Result<&str> {
    path.to_str().ok_or_else(|| io::Error::other(format!("`{}` is not UTF-8", path.display())))
}

/// The devices that every program may expect.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom"];

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn what_only_its_owner_may_read_is_found() {
        let root = tempfile::tempdir().unwrap();
        let (directory, file) = (root.path().join("bin"), root.path().join("bin/tool"));
        fs::create_dir(&directory).unwrap();
        fs::write(&file, "").unwrap();
        symlink("nowhere", directory.join("link")).unwrap();
        let found = |directory_mode, file_mode| {
            for (path, mode) in [(&directory, directory_mode), (&file, file_mode)] {
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            }
            first_private(&directory).unwrap()
        };
        assert_eq!(found(0o755, 0o644), None);
        assert_eq!(found(0o755, 0o600), Some(file.clone()));
        assert_eq!(found(0o700, 0o644), Some(directory.clone()));
    }
}
