//! `kill -9` on the real binary at moments that a seed chooses, alone and beside another build on the same store; a
//! store that goes away in the middle of a build; and those who look after a store, `cache verify` and `cache gc`.
//!
//! `RUN_KILLS=500` kills more often than the suite does; `RUN_SEED=17` begins with another seed.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use run_engine::testing::faults::Rng;
use serde_json::Value;

use super::support::{Ended, Workspace, given};

/// How often the suite kills, in each of its loops.
const KILLS: u64 = 15;

/// Steps that take a moment each, one of which leaves a directory and one a large file.
const MANIFEST: &str = r#"
[project]
name = "steps"
version = "1.0.0"

[[command]]
name = "one"
run = ["sh", "-c", "sleep 0.02; cat a.txt a.txt > one.txt"]
inputs = ["a.txt"]
outputs = ["one.txt"]

[[command]]
name = "two"
run = ["sh", "-c", "mkdir two; cp b.txt two/x; sleep 0.01; wc -c < b.txt > two/n"]
inputs = ["b.txt"]
outputs = ["two"]

[[command]]
name = "large"
run = ["sh", "-c", "yes $(cat b.txt) | head -c 3000000 > large.txt"]
inputs = ["b.txt"]
outputs = ["large.txt"]

[[command]]
name = "three"
run = ["sh", "-c", "sleep ${SECONDS}; cat one.txt two/x two/n > three.txt"]
depends = ["one", "two"]
outputs = ["three.txt"]

[[command]]
name = "four"
run = ["sh", "-c", "tr a-z A-Z < three.txt > four.txt; head -c 9 large.txt >> four.txt"]
depends = ["three", "large"]
outputs = ["four.txt"]
"#;

/// A project, what its sources are, and what a clean build leaves of them.
struct Steps {
    workspace: Workspace,
    a: String,
    b: String,
    n_edits: usize,
}

impl Steps {
    fn new(seconds: &str) -> Self {
        Self::at(Workspace::new(), seconds)
    }

    fn at(mut workspace: Workspace, seconds: &str) -> Self {
        let temporary = workspace.directory().with_file_name("temporary");
        fs::create_dir(&temporary).expect("a directory");
        workspace.env.insert("TMPDIR".into(), temporary.display().to_string());
        let mut steps = Self { workspace, a: String::new(), b: String::new(), n_edits: 0 };
        steps.write("run.toml", &MANIFEST.replace("${SECONDS}", seconds));
        steps.edit(0);
        steps
    }

    fn edit(&mut self, n: usize) {
        (self.a, self.b) = (format!("apple {n}\n"), format!("pear {}\n", n / 2));
        self.write("a.txt", &self.a);
        self.write("b.txt", &self.b);
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.workspace.directory().join(name), text).expect("a source can be written");
    }

    /// The oracle.
    fn clean(&self) -> BTreeMap<&'static str, Vec<u8>> {
        let Self { a, b, .. } = self;
        let large: Vec<u8> = b.bytes().cycle().take(3_000_000).collect();
        let three = format!("{a}{a}{b}{}\n", b.len());
        let four = [three.to_uppercase().as_bytes(), &large[..9]].concat();
        BTreeMap::from([
            ("one.txt", format!("{a}{a}").into_bytes()),
            ("two/x", b.clone().into_bytes()),
            ("two/n", format!("{}\n", b.len()).into_bytes()),
            ("large.txt", large),
            ("three.txt", three.into_bytes()),
            ("four.txt", four),
        ])
    }

    #[track_caller]
    fn check_clean(&self) {
        for (name, bytes) in self.clean() {
            let there = fs::read(self.workspace.directory().join(name)).unwrap_or_default();
            assert!(there == bytes, "{name} is not what a clean build leaves: {}", String::from_utf8_lossy(&there));
        }
    }

    #[track_caller]
    fn v2(&self, line: &str) -> Ended {
        let ended = self.workspace.v2(line);
        assert_eq!(ended.status, 0, "run v2 {line}\n{}{}", ended.stdout, ended.stderr);
        ended
    }

    #[track_caller]
    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.v2(line).stdout).expect("a document")
    }

    /// Builds and compares, and looks at what is left where nobody is told of it.
    #[track_caller]
    fn check_whole(&mut self) {
        self.v2("build");
        self.check_clean();
        let found = self.json("cache verify --json");
        assert_eq!((&found["damaged_blobs"], &found["dangling_results"]), (&0.into(), &0.into()), "{found}");
        let again = self.v2("build");
        assert!(again.stderr.starts_with("nothing to do"), "{}", again.stderr);
        // Whoever runs an action sweeps up after those who died at it.
        self.n_edits += 1;
        self.edit(1000 + self.n_edits);
        self.v2("build");
        self.check_clean();
        self.v2("cache gc");
        let place = |name: &str| self.workspace.directory().with_file_name(name);
        // One directory for each user, in which each process has its own.
        let scratches = entries(&place("temporary")).into_iter().flat_map(|user| entries(&user));
        let left: Vec<PathBuf> = scratches.chain(entries(&self.workspace.store().join("leases"))).collect();
        assert_eq!(left, [] as [PathBuf; 0]);
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Every file below a directory, with its size.
fn files(directory: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    // Others may be tidying up.
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => found.extend(files(&entry.path())),
            Ok(meta) => drop(found.insert(entry.path(), meta.len())),
            Err(_) => {}
        }
    }
    found
}

fn number(name: &str) -> Option<u64> {
    given(name).map(|text| text.parse().expect("a number"))
}

fn pause(rng: &mut Rng, ms: usize) {
    std::thread::sleep(Duration::from_micros(rng.below(ms * 1000) as u64));
}

fn kill(mut build: Child) {
    // It may have ended by itself: then there is nothing to kill.
    let _ = build.kill();
    build.wait().expect("it can be waited for");
}

/// The rounds of a loop, each with a seed that is told when the round fails: what follows from it is the same again,
/// what the machine makes of it need not be.
fn rounds(loop_: u64) -> impl Iterator<Item = (Round, Rng)> {
    let first = number("RUN_SEED").unwrap_or(0);
    (first..first + number("RUN_KILLS").unwrap_or(KILLS)).map(move |seed| (Round(seed), Rng::new(seed << 8 | loop_)))
}

struct Round(u64);

impl Drop for Round {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr(), "begin with it by RUN_SEED={}", self.0);
        }
    }
}

#[test]
fn builds_killed_at_any_moment_leave_what_the_next_one_needs() {
    let mut steps = Steps::new("0.02");
    for (_round, mut rng) in rounds(1) {
        steps.edit(rng.below(5));
        let build = steps.workspace.start("build");
        pause(&mut rng, 220);
        kill(build);
        if rng.chance(250) {
            steps.check_whole();
        }
    }
    steps.check_whole();
}

#[test]
fn a_build_beside_one_that_is_killed_takes_no_harm() {
    let mut steps = Steps::new("0.02");
    let mut other = Steps::at(Workspace::new().sharing(&steps.workspace), "0.02");
    for (_round, mut rng) in rounds(2) {
        steps.edit(rng.below(5));
        other.edit(if rng.chance(700) { rng.below(5) } else { 0 });
        let build = steps.workspace.start("build");
        let beside = other.workspace.start("build");
        pause(&mut rng, 220);
        kill(build);
        let ended = other.workspace.ended(&beside.wait_with_output().expect("it ends"));
        assert_eq!(ended.status, 0, "{}", ended.stderr);
        other.check_clean();
    }
    steps.check_whole();
    other.check_whole();
}

#[test]
fn a_collector_and_a_verifier_killed_beside_a_build_take_nothing_from_it() {
    let mut steps = Steps::new("0.02");
    for (_round, mut rng) in rounds(3) {
        steps.edit(rng.below(5));
        let beside = steps.workspace.start("build");
        pause(&mut rng, 100);
        let caretaker = steps.workspace.start(["cache gc --max-size 1B", "cache verify"][rng.below(2)]);
        pause(&mut rng, 20);
        kill(caretaker);
        let ended = steps.workspace.ended(&beside.wait_with_output().expect("it ends"));
        assert_eq!(ended.status, 0, "{}", ended.stderr);
        steps.check_clean();
    }
    steps.check_whole();
}

#[test]
fn a_store_deleted_in_the_middle_of_a_build_costs_at_most_that_build() {
    let mut steps = Steps::new("0.1");
    for (_round, mut rng) in rounds(4) {
        steps.edit(rng.below(5));
        let build = steps.workspace.start("build");
        pause(&mut rng, 250);
        // What the build writes meanwhile may stand in the way.
        let store = steps.workspace.store();
        while store.exists() {
            let _ = fs::remove_dir_all(&store);
        }
        let ended = steps.workspace.ended(&build.wait_with_output().expect("it ends"));
        match ended.status {
            0 => steps.check_clean(),
            // Of what a running action uses in place there is no other copy: it can't be started, or misses a tool.
            1 | 36 => assert!(["failed: ", "error"].iter().any(|says| ended.stderr.contains(says)), "{}", ended.stderr),
            status => panic!("{status}: {}", ended.stderr),
        }
        if rng.chance(400) {
            steps.check_whole();
        }
    }
    steps.check_whole();
}

#[test]
fn the_verifier_finds_and_drops_what_is_damaged() {
    let mut steps = Steps::new("0.02");
    steps.v2("build");
    let blobs: Vec<PathBuf> = files(&steps.workspace.store().join("cas")).into_keys().collect();
    let results: Vec<PathBuf> = files(&steps.workspace.store().join("ac")).into_keys().collect();
    let mut n_damaged = 0;
    for (n, path) in blobs.iter().enumerate() {
        let mut bytes = fs::read(path).expect("a blob can be read");
        match n % 3 {
            0 if !bytes.is_empty() => bytes[0] ^= 1,
            1 => bytes.push(b'!'),
            _ => continue,
        }
        n_damaged += 1;
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("a mode can be set");
        fs::write(path, bytes).expect("a blob can be damaged");
    }
    fs::write(&results[0], "no result").expect("a result can be damaged");
    let found = steps.json("cache verify --json");
    assert_eq!(found["blobs"], blobs.len(), "{found}");
    assert_eq!(found["damaged_blobs"], n_damaged, "{found}");
    assert!(found["dangling_results"].as_u64() >= Some(1), "{found}");
    let left = files(&steps.workspace.store().join("cas"));
    assert_eq!(left.len(), blobs.len() - n_damaged);
    let clean = steps.json("cache verify --json");
    assert_eq!((&clean["damaged_blobs"], &clean["dangling_results"]), (&0.into(), &0.into()), "{clean}");
    fs::remove_dir_all(steps.workspace.directory().join(".run")).expect("the state can be removed");
    steps.check_whole();
}

#[test]
fn the_collector_keeps_to_the_size_and_to_the_leases() {
    let mut steps = Steps::new("2");
    let size = |steps: &Steps| -> u64 {
        ["cas", "ac"].iter().flat_map(|name| files(&steps.workspace.store().join(name)).into_values()).sum()
    };
    let build = steps.workspace.start("build --json");
    let large = 3_000_000;
    while size(&steps) < large {
        std::thread::sleep(Duration::from_millis(5));
    }
    // What the build has made so far is its own, however small the store is to be.
    let collected = steps.json("cache gc --max-size 1KB --json");
    assert!(collected["kept_bytes"].as_u64() >= Some(large), "{collected}");
    assert!(size(&steps) >= large);
    let output = build.wait_with_output().expect("it ends");
    let events = String::from_utf8_lossy(&output.stdout);
    let started = events.lines().filter(|line| line.contains("\"event\":\"started\"")).count();
    assert_eq!((output.status.code(), started), (Some(0), 5), "{events}");
    steps.check_clean();
    // Nobody holds anything any more: it goes by age, to the size.
    let cap_bytes = 100_000;
    let collected = steps.json("cache gc --max-size 100KB --json");
    assert!(size(&steps) <= cap_bytes, "{collected}");
    assert_eq!(collected["kept_bytes"], size(&steps), "{collected}");
    steps.write("run.toml", &MANIFEST.replace("${SECONDS}", "0.02"));
    steps.edit(3);
    steps.check_whole();
}
