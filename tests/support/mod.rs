//! `Workspace`: a directory of its own, a home of its own and a store of its own, in which the real binary runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

pub(crate) mod bindings;
pub(crate) mod serve;
pub(crate) mod story;

/// The binary.
pub(crate) const RUN: &str = env!("CARGO_BIN_EXE_run");

/// The root of this repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository")
}

/// Whether expected texts are to be written instead of compared with.
pub(crate) fn is_updating() -> bool {
    given("UPDATE_EXPECT").is_some()
}

/// What the process that runs the tests was given: what a compiler behind the binary needs to be found.
#[expect(clippy::disallowed_methods, reason = "tests have a door of their own")]
pub(crate) fn given(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A place to run the binary in; gone when dropped.
pub(crate) struct Workspace {
    root: TempDir,
    store: PathBuf,
    /// Further variables.
    pub(crate) env: BTreeMap<String, String>,
}

/// How a run of the binary ended, with what differs from run to run made the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// 128 + the signal for one that was killed, as shells have it.
    pub(crate) status: i32,
}

impl Workspace {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let root = TempDir::with_prefix("run-test-").expect("a temporary directory");
        for directory in ["work", "home"] {
            fs::create_dir(root.path().join(directory)).expect("a directory");
        }
        let mut env = BTreeMap::new();
        let homes = [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")];
        for (name, beside) in homes {
            // The tools' own homes stay where they are: they are what a test can't bring along.
            let home = given(name).or_else(|| Some(format!("{}/{beside}", given("HOME")?)));
            env.extend(home.map(|home| (name.to_owned(), home)));
        }
        // A shell in a story finds `run` too.
        let ours = Path::new(RUN).parent().expect("a program lies in a directory");
        env.extend(given("PATH").map(|path| ("PATH".to_owned(), format!("{}:{path}", ours.display()))));
        let store = root.path().join("store");
        Self { root, store, env }
    }

    /// The same with another's store.
    pub(crate) fn sharing(mut self, other: &Self) -> Self {
        self.store.clone_from(&other.store);
        self
    }

    /// A copy of a directory of this repository.
    pub(crate) fn of(fixture: &Path) -> Self {
        let workspace = Self::new();
        copy(&repository().join(fixture), &workspace.directory());
        workspace
    }

    /// Brings toolchains that are fetched, from the user's own store: they are fetched there once.
    pub(crate) fn bring(&self, names: &[String]) {
        let home = given("HOME").expect("users have a home");
        let caches = given("XDG_CACHE_HOME").unwrap_or_else(|| format!("{home}/.cache"));
        let theirs = given("RUN_CACHE_DIR").map_or_else(|| Path::new(&caches).join("run"), PathBuf::from);
        let mut command = self.program(self.root.path(), "run");
        // Clients of registries are configured by where the user is at home.
        command.env("HOME", home).env("RUN_CACHE_DIR", &theirs);
        let installed = command.args(["v2", "toolchain", "install"]).args(names).output().expect("the program ends");
        assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
        let ours = self.store.join("toolchains");
        fs::create_dir_all(&ours).expect("a directory");
        for entry in fs::read_dir(theirs.join("toolchains")).expect("they are installed there") {
            let entry = entry.expect("a directory can be listed");
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_version =
                |rest: &str| rest.strip_prefix('-').is_some_and(|r| r.starts_with(|c: char| c.is_ascii_digit()));
            if names.iter().any(|wanted| name.strip_prefix(wanted.as_str()).is_some_and(is_version)) {
                std::os::unix::fs::symlink(entry.path(), ours.join(name)).expect("a link can be made");
            }
        }
    }

    /// Where the user stands at first.
    pub(crate) fn directory(&self) -> PathBuf {
        self.root.path().join("work")
    }

    /// A program that would run in `directory`, with nothing of what this process was given but the way to compilers.
    pub(crate) fn program(&self, directory: &Path, program: &str) -> Command {
        let mut command = Command::new(if program == "run" { RUN } else { program });
        command
            .current_dir(directory)
            .stdin(Stdio::null())
            .env_clear()
            .env("HOME", self.root.path().join("home"))
            .env("RUN_CACHE_DIR", &self.store)
            .envs(&self.env);
        command
    }

    /// Starts `run v2 LINE` in the workspace, and does not wait for it.
    pub(crate) fn start(&self, line: &str) -> Child {
        let mut command = self.program(&self.directory(), "run");
        command.arg("v2").args(words(line)).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the program can be started")
    }

    /// Runs `run v2 LINE` in the workspace.
    pub(crate) fn v2(&self, line: &str) -> Ended {
        self.ended(&self.start(line).wait_with_output().expect("the program ends"))
    }

    /// Runs a program, in `directory`.
    pub(crate) fn run(&self, directory: &Path, program: &str, args: &[String]) -> Ended {
        self.ended(&self.program(directory, program).args(args).output().expect("the program can be started"))
    }

    /// Its store.
    pub(crate) fn store(&self) -> PathBuf {
        self.store.clone()
    }

    /// How a run ended.
    pub(crate) fn ended(&self, output: &Output) -> Ended {
        Ended {
            stdout: self.redact(&String::from_utf8_lossy(&output.stdout)),
            stderr: self.redact(&String::from_utf8_lossy(&output.stderr)),
            status: status(output.status),
        }
    }

    /// Makes the same what differs from run to run: this place, durations and digests.
    fn redact(&self, text: &str) -> String {
        let root = self.root.path().display().to_string();
        let text = text.replace(&format!("{root}/work"), "[ROOT]").replace(&root, "[PLACE]");
        redact_digests(&redact_keys(&redact_moments(&redact_durations(&text))))
    }
}

/// The command lines that run on this machine, words separated by blanks (Linux).
#[cfg(target_os = "linux")]
pub(crate) fn running() -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("Linux has processes").flatten();
    // One that has just ended has no command line any more.
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ").trim_end().to_owned()).collect()
}

fn status(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// `38 ms`, `6.1 s`, `2 m 05 s` and `"duration_ms":38` become `[ELAPSED]`.
fn redact_durations(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(|line| redact_line(&line.split(' ').collect::<Vec<_>>())).collect();
    after_each(&lines.join("\n"), "\"duration_ms\":", |c| c.is_ascii_digit(), "[ELAPSED]")
}

fn redact_line(words: &[&str]) -> String {
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let (mut redacted, mut rest): (Vec<String>, _) = (Vec::new(), words);
    while let [first, after @ ..] = rest {
        let (unit, end) = after.first().map_or(("", ""), |word| word.split_at(word.trim_end_matches([',', ')']).len()));
        rest = match (is_number(first), unit, after) {
            (true, "m", [_, seconds, unit, after @ ..]) if is_number(seconds) && unit.starts_with('s') => {
                redacted.push(format!("[ELAPSED]{}", &unit[1..]));
                after
            }
            (true, "ms" | "s", [_, after @ ..]) => {
                redacted.push(format!("[ELAPSED]{end}"));
                after
            }
            _ => {
                redacted.push((*first).to_owned());
                after
            }
        };
    }
    redacted.join(" ")
}

/// `2026-11-22T21:33:50Z` becomes `[TIME]`.
fn redact_moments(text: &str) -> String {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00Z";
    let fits = |part: &[u8]| {
        part.iter().zip(SHAPE).all(|(byte, shape)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == shape })
    };
    let mut redacted = text.to_owned();
    while let Some(at) = redacted.as_bytes().windows(SHAPE.len()).position(fits) {
        redacted.replace_range(at..at + SHAPE.len(), "[TIME]");
    }
    redacted
}

/// `key 1f9c…  bare sandbox` becomes `key [KEY]…  [STRENGTH] sandbox`: keys of commands cover this machine's shell, and its
/// kernel decides what a sandbox can hide.
fn redact_keys(text: &str) -> String {
    let mut text = after_each(text, "  key ", |c| c.is_ascii_hexdigit(), "[KEY]");
    for strength in ["bare", "partial", "full"] {
        text = text.replace(&format!("…  {strength} sandbox"), "…  [STRENGTH] sandbox");
        text = text.replace(&format!("\"sandbox\": \"{strength}\""), "\"sandbox\": \"[STRENGTH]\"");
    }
    text
}

/// 64 hexadecimal digits become `[DIGEST]`.
fn redact_digests(text: &str) -> String {
    let mut redacted = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_hexdigit()) {
        let run = &rest[start..];
        let length = run.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(run.len());
        redacted.push_str(&rest[..start]);
        redacted.push_str(if length == 64 { "[DIGEST]" } else { &run[..length] });
        rest = &run[length..];
    }
    redacted + rest
}

fn after_each(text: &str, mark: &str, goes: impl Fn(char) -> bool, instead: &str) -> String {
    let mut parts = text.split(mark);
    let mut redacted = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        redacted.push_str(mark);
        redacted.push_str(instead);
        redacted.push_str(part.trim_start_matches(&goes));
    }
    redacted
}

/// Every file of a directory that is below `part` of it, in order.
pub(crate) fn below(directory: &Path, part: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory.join(part)).expect("a directory can be listed");
    let mut entries: Vec<_> = entries.map(|entry| part.join(entry.expect("an entry").file_name())).collect();
    entries.sort();
    let files = |entry: PathBuf| match directory.join(&entry).is_dir() {
        true => below(directory, &entry),
        false => vec![entry],
    };
    entries.into_iter().flat_map(files).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let entry = entry.expect("a directory can be listed");
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type().expect("a file has a type") {
            // What a build left in a fixture that somebody ran by hand is no part of it.
            kind if kind.is_dir() && (entry.file_name() == "target" || entry.file_name() == ".run") => {}
            kind if kind.is_dir() => copy(&source, &target),
            kind if kind.is_symlink() => {
                let aim = fs::read_link(&source).expect("a link leads somewhere");
                std::os::unix::fs::symlink(aim, target).expect("a link");
            }
            _ => {
                fs::copy(&source, &target).expect("a copy");
            }
        }
    }
}

/// Splits a line into words as a shell would: blanks separate, `'…'` and `"…"` hold together.
pub(crate) fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), c) if open == c => quote = None,
            (None, ' ') => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn what_differs_is_made_the_same() {
    assert_eq!(redact_durations("in 38 ms"), "in [ELAPSED]");
    assert_eq!(redact_durations("built: a, 2 m 05 s, unchanged"), "built: a, [ELAPSED], unchanged");
    assert_eq!(redact_durations(r#"{"duration_ms":38}"#), r#"{"duration_ms":[ELAPSED]}"#);
    assert_eq!(redact_keys("a  key 1f9c…  full sandbox"), "a  key [KEY]…  [STRENGTH] sandbox");
    assert_eq!(redact_moments("since 2026-11-22T21:33:50Z."), "since [TIME].");
    assert_eq!(redact_digests(&format!("x {} fee", "0a".repeat(32))), "x [DIGEST] fee");
    assert_eq!(words(r#"run v2 exec --args "s32:4 2" '' a"#), ["run", "v2", "exec", "--args", "s32:4 2", "", "a"]);
}
