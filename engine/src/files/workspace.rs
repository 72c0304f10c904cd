//! Writing into the workspace: never through a link that leads out of it, and nothing that is there already.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use super::materialize::Written;
use super::stamp::{Kind, Stamp};
use crate::path::RelPath;
use crate::store::{StoreError, failed};

/// Refuses to write through a link that leads out of the workspace, as sources are refused to be read through one.
///
/// # Errors
/// [`StoreError`] where the path leaves `workspace`, or can't be followed.
pub fn stays_inside(workspace: &Path, path: &RelPath) -> Result<(), StoreError> {
    let failed = |at: &Path, cause| StoreError { what: "write an output to", path: at.to_owned(), cause };
    let root = workspace.canonicalize().map_err(|cause| failed(workspace, cause))?;
    let mut directory = workspace.join(path);
    while directory.pop() {
        match directory.canonicalize() {
            Ok(real) if real.starts_with(&root) => return Ok(()),
            Ok(_) => {
                let why = "a symbolic link on the way leads out of the project";
                return Err(failed(&workspace.join(path), std::io::Error::other(why)));
            }
            // What is not there yet will be made, below what is.
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(cause) => return Err(failed(&directory, cause)),
        }
    }
    Ok(())
}

/// Makes a file of the workspace hold these bytes, at once for everyone who looks. One that holds them already is not
/// touched, so that nothing that watches it stirs. The directories above are made.
///
/// # Errors
/// [`StoreError`]; the old file is then still there, whole.
pub fn write_if_changed(workspace: &Path, path: &RelPath, bytes: &[u8]) -> Result<Written, StoreError> {
    let to = workspace.join(path);
    if holds(&to, bytes) {
        return Ok(Written::Unchanged);
    }
    stays_inside(workspace, path)?;
    let parent = to.parent().unwrap_or(workspace);
    fs::create_dir_all(parent).map_err(failed("create the directory", parent))?;
    let create = |temporary: &Path| File::create_new(temporary);
    let made = tempfile::Builder::new().prefix(".run-").make_in(parent, create);
    let mut file = made.map_err(failed("create a file in", parent))?;
    file.as_file_mut().write_all(bytes).map_err(failed("write", &to))?;
    file.persist(&to).map_err(|e| failed("replace", &to)(e.error))?;
    Ok(Written::Replaced)
}

/// Whether a file holds these bytes, and is no link and no program.
fn holds(path: &Path, bytes: &[u8]) -> bool {
    let may = Stamp::of(path).is_ok_and(|stamp| {
        stamp.kind() == Kind::File && !stamp.is_executable() && stamp.size_bytes == bytes.len() as u64
    });
    may && fs::read(path).is_ok_and(|there| there == bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_when_it_is_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = RelPath::new("a/b/c.txt").unwrap();
        let write = |text: &str| write_if_changed(dir.path(), &path, text.as_bytes()).unwrap();
        assert_eq!(write("one"), Written::Replaced);
        let stamp = Stamp::of(&dir.path().join(&path)).unwrap();
        assert_eq!(write("one"), Written::Unchanged);
        assert_eq!(Stamp::of(&dir.path().join(&path)).unwrap(), stamp);
        assert_eq!(write("two"), Written::Replaced);
        assert_eq!(fs::read(dir.path().join(&path)).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path().join("a/b")).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_link_that_leads_out_is_not_followed() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(outside.path(), dir.path().join("out")).unwrap();
        let error = write_if_changed(dir.path(), &RelPath::new("out/x").unwrap(), b"x").unwrap_err();
        assert!(error.to_string().contains("leads out of the project"), "{error}");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
