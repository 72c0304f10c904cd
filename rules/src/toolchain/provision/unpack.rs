//! What clients bring → a directory of plain files that look the same wherever they were unpacked.

use std::fs::{self, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use flate2::read::GzDecoder;
use run_engine::path::RelPath;
use run_engine::store::fixed_mtime;

use super::client::Fetched;

/// More than any toolchain holds, unpacked: an archive that says otherwise is not one of ours.
const BYTES_MAX: u64 = 4 << 30;

/// Unpacks into `to`, which must not exist yet. Returns the paths of the files and links, sorted.
///
/// # Errors
/// When the archive is damaged, holds what can't be part of a tree, or there is no room.
pub(super) fn unpack(fetched: &Fetched, to: &Path) -> io::Result<Vec<RelPath>> {
    match fetched {
        Fetched::Tar(file, keep) => untar(file, keep, to)?,
        Fetched::Directory(from) => fs::rename(from, to)?,
    }
    let mut files = Vec::new();
    seal(to, None, &mut files)?;
    files.sort_unstable();
    match files.is_empty() {
        true => Err(io::Error::other("nothing of what is wanted is in it")),
        false => Ok(files),
    }
}

fn untar(file: &Path, keep: &[&str], to: &Path) -> io::Result<()> {
    let mut archive = tar::Archive::new(GzDecoder::new(io::BufReader::new(fs::File::open(file)?)));
    let mut left = BYTES_MAX;
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let below: std::path::PathBuf = path.components().skip(1).collect();
        let name = below.to_str().ok_or_else(|| io::Error::other("a name in it is not UTF-8"))?.to_owned();
        let is_wanted = keep.is_empty() || keep.iter().any(|prefix| name.starts_with(prefix));
        let kind = entry.header().entry_type();
        if name.is_empty() || !is_wanted || kind.is_dir() {
            continue;
        }
        if !kind.is_file() {
            return Err(io::Error::other(format!("`{}` is neither a file nor a directory", path.display())));
        }
        let executable = entry.header().mode()? & 0o111 != 0;
        left = put(&mut entry, &plain(&name)?, executable, to, left)?;
    }
    Ok(())
}

/// A name from an archive, if it stays where it is unpacked.
fn plain(name: &str) -> io::Result<RelPath> {
    RelPath::new(name).map_err(|e| io::Error::other(e.to_string()))
}

/// Writes one file; returns how many more bytes may come.
fn put(content: &mut dyn Read, at: &RelPath, executable: bool, to: &Path, left: u64) -> io::Result<u64> {
    let path = to.join(at);
    fs::create_dir_all(path.parent().unwrap_or(to))?;
    let mut file = fs::File::options().write(true).create_new(true).open(&path)?;
    let written = io::copy(&mut content.take(left + 1), &mut file)?;
    file.set_permissions(Permissions::from_mode(if executable { 0o755 } else { 0o644 }))?;
    left.checked_sub(written).ok_or_else(|| io::Error::other(format!("it holds more than {BYTES_MAX} bytes")))
}

/// Gives everything one mode and one time, and lists it. Whatever the umask: what runs the tools may be another user.
fn seal(directory: &Path, at: Option<&RelPath>, files: &mut Vec<RelPath>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| io::Error::other("a name in it is not UTF-8"))?;
        let here = run_engine::path::under(at, &plain(name)?);
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            seal(&path, Some(&here), files)?;
            continue;
        }
        if kind.is_file() {
            let file = fs::File::open(&path)?;
            let executable = file.metadata()?.permissions().mode() & 0o100 != 0;
            file.set_permissions(Permissions::from_mode(if executable { 0o555 } else { 0o444 }))?;
            file.set_modified(fixed_mtime())?;
        }
        files.push(here);
    }
    let own = fs::File::open(directory)?;
    own.set_permissions(Permissions::from_mode(0o755))?;
    own.set_modified(fixed_mtime())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tarred(entries: &[(&str, &str, u32)]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let gzip = flate2::write::GzEncoder::new(file.reopen().unwrap(), flate2::Compression::fast());
        let mut tar = tar::Builder::new(gzip);
        for (name, text, mode) in entries {
            let mut header = tar::Header::new_ustar();
            // As a hostile archive has it: the crate itself refuses such names.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(text.len() as u64);
            header.set_mode(*mode);
            header.set_cksum();
            tar.append(&header, text.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap();
        file
    }

    #[track_caller]
    fn check(fetched: &Fetched, expected: Result<&[(&str, &str, u32)], &str>) {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("to");
        match (unpack(fetched, &to), expected) {
            (Ok(files), Ok(expected)) => {
                let found: Vec<(String, String, u32)> = files
                    .iter()
                    .map(|file| {
                        let path = to.join(file);
                        let meta = fs::metadata(&path).unwrap();
                        assert_eq!(meta.modified().unwrap(), fixed_mtime());
                        (file.to_string(), fs::read_to_string(path).unwrap(), meta.permissions().mode() & 0o777)
                    })
                    .collect();
                let found: Vec<_> = found.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), *c)).collect();
                assert_eq!(found, expected);
            }
            (Err(e), Err(expected)) => assert_eq!(e.to_string(), expected),
            (found, expected) => panic!("{found:?} instead of {expected:?}"),
        }
        assert!(!dir.path().join("evil").exists());
    }

    #[test]
    fn a_directory_is_taken_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("from/bin")).unwrap();
        fs::write(dir.path().join("from/bin/go"), "go").unwrap();
        fs::set_permissions(dir.path().join("from/bin/go"), Permissions::from_mode(0o700)).unwrap();
        check(&Fetched::Directory(dir.path().join("from")), Ok(&[("bin/go", "go", 0o555)]));
        fs::create_dir(dir.path().join("empty")).unwrap();
        let why = "nothing of what is wanted is in it";
        check(&Fetched::Directory(dir.path().join("empty")), Err(why));
    }

    #[test]
    fn a_package_gives_what_is_wanted_of_it() {
        let file = tarred(&[("package/bin/x", "x", 0o755), ("package/README", "r", 0o644)]);
        let all: &[(&str, &str, u32)] = &[("README", "r", 0o444), ("bin/x", "x", 0o555)];
        check(&Fetched::Tar(file.path().to_owned(), &[]), Ok(all));
        check(&Fetched::Tar(file.path().to_owned(), &["bin/"]), Ok(&all[1..]));
    }

    #[test]
    fn an_archive_can_not_write_elsewhere() {
        let file = tarred(&[("package/../../evil", "e", 0o644)]);
        let why = plain("../../evil").unwrap_err().to_string();
        check(&Fetched::Tar(file.path().to_owned(), &[]), Err(&why));
    }
}
