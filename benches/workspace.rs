//! Synthetic projects, the same for one seed and size: for `run`, and for the peer it is compared with.
//!
//! The graph has five layers. An action of the first strips comments from a source; one of the others sums a source and
//! what one or two actions of the layer before it left, chosen by the seed.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

const SEED: u64 = 0x5eed;

const LAYERS: usize = 5;

/// How many files a directory holds.
const IN_DIRECTORY: usize = 100;

/// A directory with a project, a store and a home, gone when dropped.
pub(crate) struct Workspace {
    root: TempDir,
}

impl Workspace {
    fn empty() -> Self {
        let root = temporary();
        for directory in ["work", "home", "store"] {
            fs::create_dir(root.path().join(directory)).expect("a directory");
        }
        Self { root }
    }

    /// A project of `n` commands, in `run.toml` and in `build.ninja`.
    pub(crate) fn synthetic(n: usize) -> Self {
        let workspace = Self::empty();
        let graph = graph(n);
        let directory = workspace.directory();
        for i in 0..n {
            let file = directory.join(source(i));
            fs::create_dir_all(file.parent().expect("it lies in `src`")).expect("a directory");
            fs::write(file, format!("# source {i}\nline of {i}\n").repeat(20)).expect("a file");
        }
        fs::write(directory.join("run.toml"), run_toml(&graph)).expect("a file");
        fs::write(directory.join("build.ninja"), build_ninja(&graph)).expect("a file");
        workspace
    }

    /// A copy of a project of this repository.
    pub(crate) fn of(fixture: &str) -> Self {
        let workspace = Self::empty();
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository");
        copy(&repository.join(fixture), &workspace.directory());
        workspace
    }

    /// A project of these files.
    pub(crate) fn with(files: &[(String, String)]) -> Self {
        let workspace = Self::empty();
        for (name, text) in files {
            let file = workspace.directory().join(name);
            fs::create_dir_all(file.parent().expect("it lies in the project")).expect("a directory");
            fs::write(file, text).expect("a file");
        }
        workspace
    }

    /// The project's directory.
    pub(crate) fn directory(&self) -> PathBuf {
        self.root.path().join("work")
    }

    /// `run` with these arguments, in the project.
    pub(crate) fn run(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_run"));
        command.args(args).current_dir(self.directory()).env("RUN_CACHE_DIR", self.root.path().join("store"));
        command
    }

    /// Gives the store the fetched compilers of these languages: the user's own, fetched if need be.
    pub(crate) fn bring(&self, languages: &[&str]) {
        let output = |args: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_run"));
            let output = command.arg("v2").args(args).current_dir(self.root.path()).output();
            let output = output.expect("the program can be started");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        };
        output(&[&["toolchain", "install"], languages].concat());
        let stats: serde_json::Value =
            serde_json::from_slice(&output(&["cache", "stats", "--json"])).expect("figures are JSON");
        let theirs = Path::new(stats["store"].as_str().expect("a store has a place")).join("toolchains");
        let ours = self.root.path().join("store/toolchains");
        fs::create_dir_all(&ours).expect("a directory");
        for entry in fs::read_dir(theirs).expect("they are installed there") {
            let entry = entry.expect("a directory can be listed");
            // A digest at its end is what a fetched one is known by.
            let is_fetched = entry.file_name().to_str().is_some_and(|name| name.contains('.') && name.len() > 64);
            if is_fetched {
                let link = std::os::unix::fs::symlink(entry.path(), ours.join(entry.file_name()));
                link.expect("a link can be made");
            }
        }
    }

    /// Where a fetched compiler is whose name begins so, once it was brought.
    pub(crate) fn toolchain(&self, name: &str) -> PathBuf {
        let ours = fs::read_dir(self.root.path().join("store/toolchains")).expect("some were brought");
        let mut found = ours.map(|entry| entry.expect("a directory can be listed").path());
        let is_called = |path: &PathBuf| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(name));
        found.find(is_called).expect("it was brought")
    }

    /// Another program, in the project.
    pub(crate) fn other(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.directory());
        command
    }
}

/// A directory for a bench: in memory where that is possible, because a disk's file system answers according to its
/// history. (ext4 takes twenty times as long to make a file for half a minute after many were removed.)
pub(crate) fn temporary() -> TempDir {
    const MEMORY: &str = "/dev/shm";
    /// What the largest bench needs, with room.
    const BYTES_MIN: u64 = 2 * 1024 * 1024 * 1024;
    let fits = rustix::fs::statvfs(MEMORY).is_ok_and(|fs| {
        fs.f_bavail * fs.f_frsize >= BYTES_MIN && !fs.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC)
    });
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("run-bench-");
    let made = if fits { builder.tempdir_in(MEMORY) } else { builder.tempdir() };
    made.expect("a temporary directory")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a fixture") {
        let from = entry.expect("a directory can be listed").path();
        let to = to.join(from.file_name().expect("an entry has a name"));
        match from.is_dir() {
            true => copy(&from, &to),
            false => drop(fs::copy(&from, &to).expect("a file can be copied")),
        }
    }
}

/// For each action, those whose outputs it reads.
pub(crate) fn graph(n: usize) -> Vec<Vec<usize>> {
    let mut state = SEED;
    let mut below = |n: usize| {
        // The constants of Knuth's MMIX; the high bits are the good ones.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    let width = n.div_ceil(LAYERS);
    let needs = |i: usize| {
        let Some(layer) = (i / width).checked_sub(1) else { return vec![] };
        let mut needs: Vec<usize> = (0..=below(2)).map(|_| layer * width + below(width)).collect();
        needs.sort_unstable();
        needs.dedup();
        needs
    };
    (0..n).map(needs).collect()
}

fn source(i: usize) -> String {
    format!("src/{}/{i}.txt", i / IN_DIRECTORY)
}

fn output(i: usize) -> String {
    format!("out/{}/{i}.txt", i / IN_DIRECTORY)
}

fn script(i: usize, needs: &[usize]) -> String {
    match needs {
        [] => format!("sed /^#/d {} > {}", source(i), output(i)),
        needs => {
            let read: Vec<String> = std::iter::once(source(i)).chain(needs.iter().map(|n| output(*n))).collect();
            format!("cksum {} > {}", read.join(" "), output(i))
        }
    }
}

fn run_toml(graph: &[Vec<usize>]) -> String {
    let mut text = "[project]\nname = \"synthetic\"\nversion = \"1.0.0\"\n".to_owned();
    for (i, needs) in graph.iter().enumerate() {
        let depends: Vec<String> = needs.iter().map(|need| format!("\"c{need}\"")).collect();
        let (source, output, script, depends) = (source(i), output(i), script(i, needs), depends.join(", "));
        write!(
            text,
            "\n[[command]]\nname = \"c{i}\"\nrun = [\"sh\", \"-c\", \"{script}\"]\ninputs = [\"{source}\"]\n\
             outputs = [\"{output}\"]\ndepends = [{depends}]\n"
        )
        .expect("text can always be added to text");
    }
    text
}

fn build_ninja(graph: &[Vec<usize>]) -> String {
    let mut text = "rule sh\n  command = $cmd\n".to_owned();
    for (i, needs) in graph.iter().enumerate() {
        let read: Vec<String> = std::iter::once(source(i)).chain(needs.iter().map(|n| output(*n))).collect();
        let (output, read, script) = (output(i), read.join(" "), script(i, needs));
        write!(text, "build {output}: sh {read}\n  cmd = {script}\n").expect("text can always be added to text");
    }
    text
}
