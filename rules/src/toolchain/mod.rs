//! Toolchains: trees of executables that actions run, identified by their content and never by a version string.
//!
//! A toolchain is part of the input root of every action that uses it. It is digested once and looked at again by the
//! stamps of its files; [`MountedTree`] carries the digest into keys and the directory into sandboxes.

pub mod answers;
pub mod base;
pub mod cc;
pub mod provision;

use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use answers::Answers;
use run_engine::action::{Beside, MountedTree};
use run_engine::digest::DigestFunction;
pub use run_engine::files::links::links_on;
use run_engine::files::stamp::Stamp;
use run_engine::files::stat_cache::{FileState, StatCache, digest_files};
use run_engine::path::RelPath;
use run_engine::sandbox::system;
use run_engine::tree::{Node, Tree};

use crate::diagnostic::Diagnostic;

/// One file of a toolchain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostFile {
    /// Where it stands in the toolchain's tree.
    pub at: RelPath,
    /// Where it is on this machine.
    pub from: PathBuf,
}

/// A toolchain can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolchainError {
    /// Which kind of problem it is; see [`crate::codes`].
    pub code: &'static str,
    /// The file that is at fault and where in it, unless it is this machine.
    pub place: Option<Box<(String, Range<usize>)>>,
    /// What is missing or wrong.
    pub what: String,
    /// What is known of it besides.
    pub notes: Vec<String>,
    /// The exact way to mend it, one each.
    pub helps: Vec<String>,
}

impl ToolchainError {
    /// Something is wrong, and this is the way to mend it.
    #[must_use]
    pub fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        let code = "missing-toolchain";
        Self { code, place: None, what: what.into(), notes: Vec::new(), helps: vec![help.into()] }
    }

    /// The same, as another kind of problem.
    #[must_use]
    pub const fn coded(mut self, code: &'static str) -> Self {
        self.code = code;
        self
    }

    /// The same, with something that is known besides.
    #[must_use]
    pub fn noted(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// The same, with a place in a file of the project.
    #[must_use]
    pub fn at(mut self, file: &str, span: Range<usize>) -> Self {
        self.place = Some(Box::new((file.to_owned(), span)));
        self
    }

    /// As a diagnostic, with its own place where it has one.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        let mut diagnostic = Diagnostic::error(self.code, &self.what);
        diagnostic.notes.clone_from(&self.notes);
        diagnostic.helps.clone_from(&self.helps);
        match self.place.as_deref() {
            Some((file, span)) => diagnostic.at(file, span.clone(), ""),
            None => diagnostic,
        }
    }
}

/// The toolchains of this machine, as far as a store remembers them.
#[derive(Debug)]
pub struct Toolchains {
    /// Where copies and what is remembered lie.
    directory: PathBuf,
    function: DigestFunction,
    /// Digests of files all over the machine; its root is `/`.
    cache: StatCache,
    /// Every file that was digested, with its stamp.
    watched: Vec<(PathBuf, Stamp)>,
    /// What tools said about themselves.
    answers: Answers,
}

/// The name of the file that what is remembered of the machine's files lies in.
fn cache_name(function: DigestFunction) -> String {
    format!("stamps-{function}")
}

impl Toolchains {
    /// Opens what `store` remembers. `looked` is a moment before the first file is looked at.
    #[must_use]
    pub fn open(store: &Path, function: DigestFunction, looked: SystemTime) -> Self {
        let directory = store.join("toolchains");
        let cache = match fs::read(directory.join(cache_name(function))) {
            Ok(bytes) => StatCache::from_bytes(&bytes, function, looked),
            // Nothing remembered costs one more reading of the files.
            Err(_) => StatCache::new(function, looked),
        };
        let answers = Answers::open(&directory, looked);
        Self { directory, function, cache, watched: Vec::new(), answers }
    }

    /// Remembers what was learnt. What can't be written is learnt again the next time.
    pub fn save(&self) {
        let target = self.directory.join(cache_name(self.function));
        let write = || -> io::Result<()> {
            fs::create_dir_all(&self.directory)?;
            let temporary = tempfile::NamedTempFile::new_in(&self.directory)?;
            fs::write(temporary.path(), self.cache.to_bytes())?;
            temporary.persist(&target)?;
            Ok(())
        };
        let _ = write();
    }

    /// What tools said about themselves.
    #[must_use]
    pub const fn answers(&self) -> &Answers {
        &self.answers
    }

    /// Every file whose stamp was relied on.
    #[must_use]
    pub fn into_watched(self) -> Vec<(PathBuf, Stamp)> {
        self.watched
    }

    /// A toolchain that is used where it is: `files` are the part of `directory` that an action can see, and `libraries`
    /// what its programs load from elsewhere.
    ///
    /// # Errors
    /// [`ToolchainError`] for a file that can't be read.
    pub fn in_place(
        &mut self,
        name: &str,
        directory: &Path,
        files: &[RelPath],
        libraries: &[HostFile],
    ) -> Result<Arc<MountedTree>, ToolchainError> {
        let mut files: Vec<HostFile> =
            files.iter().map(|at| HostFile { at: at.clone(), from: directory.join(at) }).collect();
        files.extend(libraries.iter().cloned());
        let tree = self.digest(&files)?;
        let found_in = system::library_directory();
        let beside = libraries
            .iter()
            .map(|library| Beside { at: found_in.join(library.at.file_name()), from: library.from.clone() });
        let beside = beside.collect();
        Ok(Arc::new(MountedTree { name: name.to_owned(), tree, directory: directory.to_owned(), beside }))
    }

    /// A toolchain gathered from all over the machine and copied to a place of its own, so that what runs is what was
    /// digested, whatever the machine's package manager does meanwhile.
    ///
    /// # Errors
    /// [`ToolchainError`] for a file that can't be read or copied.
    pub fn copied(&mut self, name: &str, files: &[HostFile]) -> Result<Arc<MountedTree>, ToolchainError> {
        let tree = self.digest(files)?;
        let directory = self.directory.join(format!("{name}-{}", tree.digest(self.function).hex()));
        let copies: Vec<HostFile> =
            files.iter().map(|file| HostFile { at: file.at.clone(), from: directory.join(&file.at) }).collect();
        // The copy is looked at like any other file: one that was changed, or cut short by a crash, is made again.
        let is_right = directory.is_dir() && self.digest(&copies).is_ok_and(|copied| copied == tree);
        if !is_right {
            remove_copy(&directory);
            self.copy(files, &directory).map_err(|e| {
                ToolchainError::new(
                    format!("the tools can't be copied to `{}`: {e}", directory.display()),
                    "make sure that the cache directory can be written and has room",
                )
            })?;
            // What was copied is what was digested, or the files changed in between.
            if self.digest(&copies)? != tree {
                remove_copy(&directory);
                return Err(ToolchainError::new(
                    "the tools of this machine changed while they were copied",
                    "run it again once they are installed",
                ));
            }
        }
        let beside = base::beside(files, &directory);
        Ok(Arc::new(MountedTree { name: name.to_owned(), tree, directory, beside }))
    }

    /// A toolchain that finds its own parts by where it is installed: a directory of links to its executables, with the
    /// digest of every file that `files` names. `beside` is where those files are looked for.
    ///
    /// # Errors
    /// [`ToolchainError`] for a file that can't be read, or a link that can't be made.
    pub fn linked(
        &mut self,
        name: &str,
        files: &[HostFile],
        links: &[HostFile],
        beside: Vec<Beside>,
    ) -> Result<Arc<MountedTree>, ToolchainError> {
        let tree = self.digest(files)?;
        let directory = self.directory.join(format!("{name}-{}", tree.digest(self.function).hex()));
        for link in links {
            let at = directory.join(&link.at);
            let make = || -> io::Result<()> {
                fs::create_dir_all(at.parent().unwrap_or(&directory))?;
                match std::os::unix::fs::symlink(&link.from, &at) {
                    Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                    made => made,
                }
            };
            make().map_err(|e| {
                ToolchainError::new(
                    format!("the link `{}` can't be made: {e}", at.display()),
                    "make sure that the cache directory can be written and has room",
                )
            })?;
        }
        Ok(Arc::new(MountedTree { name: name.to_owned(), tree, directory, beside }))
    }

    fn digest(&mut self, files: &[HostFile]) -> Result<Tree, ToolchainError> {
        let bad = |file: &HostFile, why: &dyn std::fmt::Display| {
            ToolchainError::new(
                format!("`{}`, part of a toolchain, {why}", file.from.display()),
                "install the tool again, or point `run` to another one",
            )
        };
        let mut absolute = Vec::with_capacity(files.len());
        for file in files {
            let text = file.from.to_str().and_then(|text| RelPath::new(text.trim_start_matches('/')).ok());
            absolute.push(text.ok_or_else(|| bad(file, &"has a name that can't be part of a path"))?);
        }
        let mut tree = Tree::new();
        for (file, state) in files.iter().zip(digest_files(Path::new("/"), &absolute, &mut self.cache)) {
            let state = state.map_err(|e| bad(file, &e))?;
            self.watched.push((file.from.clone(), state.stamp()));
            let node = match state {
                FileState::File { digest, stamp } => Node::File { digest, executable: stamp.is_executable() },
                FileState::Symlink { target, .. } => Node::Symlink { target: target.into() },
            };
            tree.insert(&file.at, node).map_err(|e| bad(file, &e.why))?;
        }
        Ok(tree)
    }

    /// Copies into a directory beside the final one and renames it, so that nobody sees half of it.
    fn copy(&self, files: &[HostFile], to: &Path) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        let temporary = tempfile::tempdir_in(&self.directory)?;
        for file in files {
            let target = temporary.path().join(&file.at);
            for above in ancestors_below(&target, temporary.path()) {
                fs::create_dir_all(above)?;
            }
            fs::copy(&file.from, &target)?;
            let mode = fs::metadata(&target)?.permissions().mode();
            fs::set_permissions(&target, fs::Permissions::from_mode(if mode & 0o111 == 0 { 0o444 } else { 0o555 }))?;
        }
        // Whatever the umask: what runs the tools may be another user than who copied them.
        for file in files {
            for above in ancestors_below(&temporary.path().join(&file.at), temporary.path()) {
                fs::set_permissions(above, fs::Permissions::from_mode(0o755))?;
            }
        }
        let made = temporary.keep();
        match fs::rename(&made, to) {
            Ok(()) => Ok(()),
            // Another process was first; its copy is as good as ours.
            Err(_) if to.is_dir() => fs::remove_dir_all(&made),
            Err(e) => {
                let _ = fs::remove_dir_all(&made);
                Err(e)
            }
        }
    }
}

/// The directories above a file, from `root` on.
fn ancestors_below<'p>(file: &'p Path, root: &'p Path) -> impl Iterator<Item = &'p Path> {
    file.ancestors().skip(1).take_while(move |above| above.starts_with(root))
}

/// Removes a copy that is not what it should be. What can't be removed is found out by whoever writes in its place.
fn remove_copy(directory: &Path) {
    let _ = fs::remove_dir_all(directory);
}

/// The first executable file called `name` in these directories.
#[must_use]
pub fn find_in(path: &[PathBuf], name: &str) -> Option<PathBuf> {
    let is_executable =
        |file: &Path| fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
    path.iter().filter(|dir| dir.is_absolute()).map(|dir| dir.join(name)).find(|file| is_executable(file))
}
