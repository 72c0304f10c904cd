//! The project's files as lowering may know them: one walk, and a memory of everything that was looked at.
//!
//! What is remembered is what an up-to-date check has to compare: it must be all that a lowered graph depends on, so
//! nothing else in this crate reads the project.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use globset::GlobSet;
use ignore::WalkBuilder;
use run_engine::files::stamp::Stamp;
use run_engine::path::RelPath;

use crate::cargo::Files;
use crate::manifest::Pattern;

/// Directories that never hold sources, whatever git thinks of them.
const NEVER: &[&str] = &[".git", ".run"];

/// The mark that tools put into directories that only hold what they can make again.
const CACHE_MARK: &str = "CACHEDIR.TAG";

/// The files of a project that git does not ignore.
///
/// Only `.gitignore` files inside the project count: what else a person's git ignores would make two machines see
/// different projects.
#[derive(Debug)]
pub struct ProjectFiles {
    root: PathBuf,
    files: Vec<RelPath>,
    directories: Vec<(Option<RelPath>, Stamp)>,
    /// Names that can't be part of a path here: not UTF-8, or with a backslash. Paths as well as they can be shown.
    unfit: Vec<String>,
    looked: RefCell<Looked>,
}

/// Everything that was looked at, with its stamp from before it was.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Looked {
    /// Files whose content matters.
    pub files: BTreeMap<RelPath, Stamp>,
    /// Places where nothing was found.
    pub absent: BTreeSet<RelPath>,
}

impl ProjectFiles {
    /// Walks the project in `root`, leaving out `output_dir`.
    ///
    /// # Errors
    /// A directory that can't be listed.
    pub fn walk(root: &Path, output_dir: &RelPath) -> io::Result<Self> {
        let mut walked = Self {
            root: root.to_owned(),
            files: Vec::new(),
            directories: vec![(None, Stamp::of(root)?)],
            unfit: Vec::new(),
            looked: RefCell::default(),
        };
        let output = root.join(output_dir);
        let stamps: Arc<Mutex<HashMap<PathBuf, Stamp>>> = Arc::default();
        let stamps_of = Arc::clone(&stamps);
        // A directory is left out because of its mark, so whether the mark is there is looked at the next time too.
        let marks: Arc<Mutex<Vec<PathBuf>>> = Arc::default();
        let marks_of = Arc::clone(&marks);
        let walk = WalkBuilder::new(root)
            .hidden(false)
            .parents(false)
            .ignore(false)
            .git_global(false)
            .git_exclude(false)
            .require_git(false)
            // Asked before a directory is entered, so its stamp is from before its entries are read.
            .filter_entry(move |entry| {
                let is_dir = entry.file_type().is_some_and(|t| t.is_dir());
                entry.depth() == 0
                    || !is_dir
                    || !(NEVER.iter().any(|n| entry.file_name() == *n)
                        || entry.path() == output
                        || is_marked(&marks_of, entry.path()))
                        && note(&stamps_of, entry.path())
            })
            .build();
        for entry in walk {
            let entry = entry.map_err(|e| e.into_io_error().unwrap_or_else(|| io::Error::other("unreadable")))?;
            if entry.depth() > 0 {
                let is_dir = entry.file_type().is_some_and(|t| t.is_dir());
                let stamp = is_dir.then(|| stamps.lock().expect("held briefly").remove(entry.path())).flatten();
                walked.add(entry.path(), stamp)?;
            }
        }
        for mark in marks.lock().expect("held briefly").iter() {
            let below = mark.strip_prefix(&walked.root).ok().and_then(|path| RelPath::new(path.to_str()?).ok());
            if let (Some(path), Ok(stamp)) = (below, Stamp::of(mark)) {
                walked.note(path, stamp);
            }
        }
        walked.files.sort_unstable();
        walked.directories.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(walked)
    }

    /// Takes one entry of the walk; a directory comes with its stamp.
    fn add(&mut self, path: &Path, directory: Option<Stamp>) -> io::Result<()> {
        let below = path.strip_prefix(&self.root).expect("a walk stays below where it began");
        match (below.to_str().map(RelPath::new), directory) {
            (Some(Ok(path)), Some(stamp)) => self.directories.push((Some(path), stamp)),
            (Some(Ok(path)), None) => {
                if path.file_name() == ".gitignore" {
                    self.note_with_target(&path)?;
                }
                self.files.push(path);
            }
            _ => self.unfit.push(below.to_string_lossy().into_owned()),
        }
        Ok(())
    }

    /// Notes a file, and what it leads to where it is a link.
    fn note_with_target(&self, path: &RelPath) -> io::Result<()> {
        let place = self.root.join(path);
        self.note(path.clone(), Stamp::of(&place)?);
        let target = place.canonicalize().ok();
        let inside = target.as_deref().and_then(|t| t.strip_prefix(&self.root).ok()?.to_str()).map(RelPath::new);
        if let Some(Ok(target)) = inside {
            let stamp = Stamp::of(&self.root.join(&target))?;
            self.note(target, stamp);
        }
        Ok(())
    }

    /// The project's directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Every directory that was walked; `None` is the project's own. Their stamps stand for the list of files.
    #[must_use]
    pub fn directories(&self) -> &[(Option<RelPath>, Stamp)] {
        &self.directories
    }

    /// The files below `dir` (`None`: of the whole project), sorted. Looks at nothing but those.
    pub fn below<'a>(&'a self, dir: Option<&RelPath>) -> impl Iterator<Item = &'a RelPath> + use<'a> {
        let prefix = dir.map(|dir| format!("{dir}/")).unwrap_or_default();
        // What lies below one directory is one stretch of a sorted list.
        let start = self.files.partition_point(|file| file.as_str() < prefix.as_str());
        self.files[start..].iter().take_while(move |file| file.as_str().starts_with(&prefix))
    }

    /// The files that any of these patterns, which are relative to the project, matches: sorted, each once.
    #[must_use]
    pub fn matching<'a>(&self, patterns: impl IntoIterator<Item = &'a Pattern>) -> Vec<RelPath> {
        let mut found = BTreeSet::new();
        for pattern in patterns {
            if pattern.is_literal() {
                let at = self.files.binary_search_by(|file| file.as_str().cmp(pattern.as_str()));
                found.extend(at.ok().map(|at| &self.files[at]));
            } else {
                let glob = GlobSet::builder().add(pattern.glob()).build();
                let glob = glob.expect("the pattern was compiled when it was checked");
                found.extend(self.below(pattern.directory().as_ref()).filter(|file| glob.is_match(file.as_str())));
            }
        }
        found.into_iter().cloned().collect()
    }

    /// Names below `dir` that can't be part of a path.
    pub fn unfit_below<'a>(&'a self, dir: Option<&'a RelPath>) -> impl Iterator<Item = &'a str> {
        let inside = move |name: &&str| {
            dir.is_none_or(|dir| name.strip_prefix(dir.as_str()).is_some_and(|r| r.starts_with('/')))
        };
        self.unfit.iter().map(String::as_str).filter(inside)
    }

    /// The names of the files that stand directly in `dir`.
    pub fn names_in<'a>(&'a self, dir: Option<&'a RelPath>) -> impl Iterator<Item = &'a str> {
        self.below(dir).filter(move |file| file.parent().as_ref() == dir).map(RelPath::file_name)
    }

    /// The bytes of a file, whether git ignores it or not; `None` when it is not there.
    ///
    /// # Errors
    /// It is there and can't be read.
    pub fn bytes(&self, path: &RelPath) -> io::Result<Option<Vec<u8>>> {
        let place = self.root.join(path);
        match Stamp::of(&place).and_then(|stamp| Ok((stamp, self.read(path, &place)?))) {
            Ok((stamp, bytes)) => {
                self.note(path.clone(), stamp);
                Ok(Some(bytes))
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                self.looked.borrow_mut().absent.insert(path.clone());
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    /// The bytes of what a path leads to, which may be by a link and must be inside.
    fn read(&self, path: &RelPath, place: &Path) -> io::Result<Vec<u8>> {
        let (root, real) = (self.root.canonicalize()?, place.canonicalize()?);
        let real = real.strip_prefix(&root).map_err(|_| io::Error::other("it is a link that leaves the project"))?;
        // A link's own stamp says nothing of the file that it leads to.
        if let Some(Ok(behind)) = real.to_str().map(RelPath::new)
            && behind != *path
        {
            self.note(behind, Stamp::of(&root.join(real))?);
        }
        fs::read(place)
    }

    /// What stands at a path, whether git ignores it or not.
    #[must_use]
    pub fn kind(&self, path: &RelPath) -> Standing {
        match fs::symlink_metadata(self.root.join(path)) {
            Ok(meta) if meta.is_dir() => Standing::Directory,
            Ok(_) => Standing::File,
            Err(_) => {
                self.looked.borrow_mut().absent.insert(path.clone());
                Standing::Nothing
            }
        }
    }

    /// Notes a file whose content matters. Of two stamps the first counts: it is from before both readings.
    pub fn note(&self, file: RelPath, stamp: Stamp) {
        self.looked.borrow_mut().files.entry(file).or_insert(stamp);
    }

    /// Everything that was looked at so far.
    #[must_use]
    pub fn looked(&self) -> Looked {
        self.looked.borrow().clone()
    }

    /// The bytes of every file below `dir` that one of `extensions` ends, by their path in the project.
    ///
    /// # Errors
    /// One of them can't be read.
    pub fn read_below(&self, dir: &RelPath, extensions: &[&str]) -> io::Result<BTreeMap<RelPath, Vec<u8>>> {
        let mut found = BTreeMap::new();
        for file in self.below(Some(dir)) {
            let fits = file.file_name().rsplit_once('.').is_some_and(|(_, e)| extensions.contains(&e));
            if fits && let Some(bytes) = self.bytes(file)? {
                found.insert(file.clone(), bytes);
            }
        }
        Ok(found)
    }
}

/// Whether a tool marked a directory as one that it can make again; remembers the mark.
fn is_marked(marks: &Mutex<Vec<PathBuf>>, directory: &Path) -> bool {
    let mark = directory.join(CACHE_MARK);
    let exists = mark.exists();
    if exists {
        marks.lock().expect("held briefly").push(mark);
    }
    exists
}

/// Remembers the stamp of a directory that is about to be entered; one that can't be looked at is not entered.
fn note(stamps: &Mutex<HashMap<PathBuf, Stamp>>, directory: &Path) -> bool {
    let Ok(stamp) = Stamp::of(directory) else { return false };
    stamps.lock().expect("held briefly").insert(directory.to_owned(), stamp);
    true
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing that can be seen.
    Nothing,
    /// A file, or a link.
    File,
    /// A directory.
    Directory,
}

impl Files for ProjectFiles {
    fn read(&self, path: &RelPath) -> Option<String> {
        // A manifest that can't be read or is not text is as good as none: cargo's own message would say no more.
        self.bytes(path).ok().flatten().and_then(|bytes| String::from_utf8(bytes).ok())
    }

    fn list(&self) -> &[RelPath] {
        &self.files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    fn walk(dir: &tempfile::TempDir) -> ProjectFiles {
        ProjectFiles::walk(dir.path(), &RelPath::new("target/wasm").unwrap()).unwrap()
    }

    #[test]
    fn what_git_ignores_and_what_tools_can_remake_is_left_out() {
        let dir = project(&[
            (".gitignore", "*.log\n/build\n"),
            ("run.toml", ""),
            ("a/b.txt", ""),
            ("a/b.log", ""),
            ("build/x", ""),
            ("target/wasm/x.wasm", ""),
            ("other/CACHEDIR.TAG", ""),
            ("other/x", ""),
            (".run/state", ""),
            (".cargo/config.toml", ""),
        ]);
        let files = walk(&dir);
        let listed: Vec<&str> = files.below(None).map(RelPath::as_str).collect();
        assert_eq!(listed, [".cargo/config.toml", ".gitignore", "a/b.txt", "run.toml"]);
        assert_eq!(files.names_in(None).collect::<Vec<_>>(), [".gitignore", "run.toml"]);
        assert!(files.looked().files.contains_key(&RelPath::new(".gitignore").unwrap()));
    }

    #[test]
    fn patterns_find_what_they_mean_and_nothing_beside_it() {
        let dir = project(&[("a/x.txt", ""), ("a/b/y.txt", ""), ("a-b/x.txt", ""), ("a.txt", ""), ("b/x.md", "")]);
        let files = walk(&dir);
        let matching = |patterns: &[&str]| {
            let patterns: Vec<Pattern> = patterns.iter().map(|pattern| pattern.parse().unwrap()).collect();
            files.matching(&patterns).iter().map(RelPath::as_str).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(matching(&["a/**"]), "a/b/y.txt a/x.txt");
        assert_eq!(matching(&["*/x.*", "a/x.txt"]), "a-b/x.txt a/x.txt b/x.md");
        assert_eq!(matching(&["**/*.txt"]), "a-b/x.txt a.txt a/b/y.txt a/x.txt");
        assert_eq!(matching(&["a.txt", "a", "none"]), "a.txt");
        assert_eq!(matching(&["a/{x,b/y}.txt"]), "a/b/y.txt a/x.txt");
        let below = |dir| files.below(Some(&RelPath::new(dir).unwrap())).count();
        assert_eq!([below("a"), below("a/b"), below("a.txt"), below("z")], [2, 1, 0, 0]);
    }

    #[test]
    fn looking_is_remembered_also_in_vain() {
        let dir = project(&[("a", "x")]);
        let files = walk(&dir);
        let path = |text| RelPath::new(text).unwrap();
        assert_eq!(files.bytes(&path("a")).unwrap().as_deref(), Some(&b"x"[..]));
        assert_eq!(files.bytes(&path("nothing")).unwrap(), None);
        let looked = files.looked();
        assert_eq!(looked.files.keys().collect::<Vec<_>>(), [&path("a")]);
        assert_eq!(looked.absent, [path("nothing")].into());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn names_that_are_not_text_are_reported_where_they_stand() {
        use std::os::unix::ffi::OsStrExt;
        let dir = project(&[("src/a", "")]);
        fs::write(dir.path().join("src").join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
        let files = walk(&dir);
        let src = RelPath::new("src").unwrap();
        assert_eq!(files.unfit_below(Some(&src)).count(), 1);
        assert_eq!(files.unfit_below(Some(&RelPath::new("other").unwrap())).count(), 0);
    }
}
