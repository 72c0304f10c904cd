//! Several processes, and processes that end early: what they leave behind is right, and enough to go on from.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::support::story::edit;
use super::support::{Ended, Workspace};

/// A project whose one action says that it runs, and then takes its time.
const SLOW: &str = r#"
[project]
name = "slow"
version = "1.0.0"

[[command]]
name = "first"
run = ["sh", "-c", "echo done > first.txt"]
outputs = ["first.txt"]

[[command]]
name = "slow"
run = ["sh", "-c", "sleep ${SECONDS}; cat first.txt > slow.txt"]
depends = ["first"]
outputs = ["slow.txt"]
"#;

fn slow(seconds: &str) -> Workspace {
    let workspace = Workspace::new();
    let manifest = SLOW.replace("${SECONDS}", seconds);
    std::fs::write(workspace.directory().join("run.toml"), manifest).expect("a manifest can be written");
    workspace
}

/// Reads events until one says what is waited for.
fn wait_for(build: &mut Child, event: &str, action: &str) {
    let stdout = build.stdout.as_mut().expect("its output comes here");
    let is_it = |line: &str| line.contains(&format!("\"event\":\"{event}\",\"action\":\"{action}\""));
    let found = BufReader::new(stdout).lines().any(|line| is_it(&line.expect("events are text")));
    assert!(found, "there was no `{event}` of `{action}`");
}

fn signal(build: &Child, signal: Signal) {
    let id = i32::try_from(build.id()).expect("a process id");
    kill_process(Pid::from_raw(id).expect("a process id"), signal).expect("it runs");
}

fn events(ended: &Ended) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(&line.replace("[ELAPSED]", "0")).expect("an event a line");
    ended.stdout.lines().map(parse).collect()
}

/// The actions that events say were executed.
fn built(events: &[Value]) -> Vec<&str> {
    events.iter().filter(|event| event["event"] == "built").filter_map(|event| event["action"].as_str()).collect()
}

/// Whether a process with these words in its command line is there.
fn is_running(words: &str) -> bool {
    let processes = std::fs::read_dir("/proc").expect("processes can be listed");
    processes.filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok()).any(|line| {
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(words)
    })
}

fn wait_until(is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(60), "it never came to be");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn two_builds_at_once_do_each_thing_once() {
    let one = slow("0.51");
    let other = slow("0.51").sharing(&one);
    let running = [&one, &other, &one].map(|workspace| (workspace, workspace.start("build --json")));
    let ended = running.map(|(_, build)| build.wait_with_output().expect("it ends"));
    let all = ended.each_ref().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).concat();
    assert!(ended.iter().all(|output| output.status.success()), "{all}");
    let mut labels: Vec<String> = all
        .lines()
        .map(|line| serde_json::from_str(line).expect("an event a line"))
        .flat_map(|event: Value| built(&[event]).into_iter().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    labels.sort();
    assert_eq!(labels, ["first run", "slow run"]);
    for workspace in [&one, &other] {
        let text = std::fs::read_to_string(workspace.directory().join("slow.txt")).expect("it was written back");
        assert_eq!(text, "done\n");
    }
}

#[test]
fn what_was_killed_goes_on_where_it_was() {
    let workspace = slow("0.52");
    let mut build = workspace.start("build --json");
    wait_for(&mut build, "started", "slow run");
    signal(&build, Signal::KILL);
    build.wait().expect("it was killed");
    let again = workspace.v2("build --json");
    assert_eq!(again.status, 0, "{}", again.stderr);
    assert_eq!(built(&events(&again)), ["slow run"]);
    assert_eq!(workspace.v2("cache verify").status, 0);
    let last = workspace.v2("build");
    assert_eq!(last.stderr, "nothing to do (2 targets up to date) in [ELAPSED]\n");
}

#[test]
fn a_compiler_that_was_killed_leaves_nothing_half_done() {
    let workspace = Workspace::of(Path::new("fixtures/calculator"));
    let mut build = workspace.start("build calc --json");
    wait_for(&mut build, "started", "calc compile");
    signal(&build, Signal::KILL);
    build.wait().expect("it was killed");
    let again = workspace.v2("build calc --json");
    assert_eq!(again.status, 0, "{}", again.stderr);
    assert_eq!(built(&events(&again)), ["calc compile", "calc validate"]);
}

#[test]
fn ctrl_c_ends_a_build_and_all_it_started() {
    let workspace = slow("61.5");
    let mut build = workspace.start("build");
    wait_until(|| is_running("sleep 61.5"));
    let pressed = Instant::now();
    signal(&build, Signal::INT);
    let status = build.wait().expect("it ends");
    assert!(pressed.elapsed() < Duration::from_secs(1), "it took {:?}", pressed.elapsed());
    assert_eq!(status.code(), Some(8));
    assert!(!is_running("sleep 61.5"), "the action's process lives on");
    let mut said = String::new();
    build.stderr.take().expect("its errors come here").read_to_string(&mut said).expect("they are text");
    assert!(said.contains("\ninterrupted: "), "{said}");
    // What was done before is kept.
    edit(&workspace.directory().join("run.toml"), "61.5", "0.1");
    assert_eq!(built(&events(&workspace.v2("build --json"))), ["slow run"]);
}

/// A test of a guest that spins, and one of a guest that sleeps by a real clock.
const RESTLESS: &str = r#"
[project]
name = "restless"
version = "1.0.0"

[[component]]
name = "guest"
source = "guest.wat"
wit = "guest.wit"
capabilities = ["clock"]

[[test]]
component = "guest"
function = "spin"
expected = "()"

[[test]]
component = "guest"
function = "sleep"
expected = "()"
allow = ["clock"]
"#;

#[test]
fn the_first_ctrl_c_ends_a_test_that_never_would() {
    for test in ["spin", "sleep"] {
        let workspace = Workspace::new();
        let guest = r#"(module
            (import "wasi:clocks/monotonic-clock@0.2.12" "subscribe-duration" (func $timer (param i64) (result i32)))
            (import "wasi:io/poll@0.2.12" "[method]pollable.block" (func $block (param i32)))
            (func (export "spin") (loop br 0))
            (func (export "sleep") (call $block (call $timer (i64.const 3600000000000)))))"#;
        let wit = "package demo:guest;\nworld guest {\n  import wasi:clocks/monotonic-clock@0.2.12;\n  \
            import wasi:io/poll@0.2.12;\n  export spin: func();\n  export sleep: func();\n}\n";
        for (name, text) in [("run.toml", RESTLESS), ("guest.wat", guest), ("guest.wit", wit)] {
            std::fs::write(workspace.directory().join(name), text).expect("the project can be written");
        }
        let mut testing = workspace.start(&format!("test {test} -v"));
        let mut said = BufReader::new(testing.stderr.take().expect("its errors come here"));
        let mut line = String::new();
        // Native code is made last before the test; what comes after it takes milliseconds.
        while !line.contains("guest native") {
            line.clear();
            assert_ne!(said.read_line(&mut line).expect("it is text"), 0, "it ended before the test began");
        }
        std::thread::sleep(Duration::from_millis(300));
        let pressed = Instant::now();
        signal(&testing, Signal::INT);
        let status = testing.wait().expect("it ends");
        assert!(pressed.elapsed() < Duration::from_secs(2), "`{test}` took {:?}", pressed.elapsed());
        assert_eq!(status.code(), Some(8), "{test}");
        let mut rest = String::new();
        said.read_to_string(&mut rest).expect("it is text");
        assert!(rest.contains("interrupted: "), "{test}\n{rest}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let workspace = slow("0.53");
    let mut build = workspace.start("build --json");
    drop(build.stdout.take());
    let status = build.wait().expect("it ends");
    assert_eq!(status.code(), Some(0));
    let mut said = String::new();
    build.stderr.take().expect("its errors come here").read_to_string(&mut said).expect("they are text");
    assert_eq!(said, "");
    assert!(!is_running("sleep 0.53"));
}
