//! Deterministic runs, proven: two guests that print all they can find out (`fixtures/oracle`) print the same bytes
//! whoever runs them, where, when, from what, into what, and however their code was compiled.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::support::{RUN, Workspace, words};

/// What both guests are asked with, wherever they run.
const QUESTION: &str = "--env COLOUR=blue --env EMPTY= --dir box::/box --dir box::relative:ro";
const INPUT: &str = "one line\nand another, without an end";

/// The files that a guest is shown: their paths and what is in them.
const FILES: [(&str, &str); 6] =
    [("b", "two"), ("a", "three"), ("Z", ""), ("é", "accent"), ("below/c", "deep"), ("below/deeper/d", "deepest")];

/// How a directory came to be what it is.
struct Past {
    backwards: bool,
    modified: SystemTime,
    mode: u32,
    links: bool,
}

/// Makes `box` in the project anew: the same files, another past.
fn furnish(project: &Path, past: &Past) {
    let directory = project.join("box");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(directory.join("below/deeper")).expect("a directory");
    let mut files = FILES;
    if past.backwards {
        files.reverse();
        symlink("below/c", directory.join("link")).expect("a link");
        // Names that were and are no more leave holes in a directory, and its size.
        for n in 0..300 {
            fs::write(directory.join(format!("gone {n}")), "").expect("a file");
        }
    }
    for (name, text) in files {
        let file = directory.join(name);
        fs::write(&file, text).expect("a file");
        if past.links {
            let other = project.join(name.replace('/', "-"));
            let _ = fs::remove_file(&other);
            fs::hard_link(&file, other).expect("a second name");
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(past.mode)).expect("a mode");
        let times = fs::FileTimes::new().set_modified(past.modified).set_accessed(past.modified);
        fs::File::open(&file).and_then(|file| file.set_times(times)).expect("a time");
    }
    for n in 0..300 {
        let _ = fs::remove_file(directory.join(format!("gone {n}")));
    }
    if !past.backwards {
        symlink("below/c", directory.join("link")).expect("a link");
    }
}

fn long_ago() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)
}

/// The fixture, built, and beside it, in `built/`, a project that has the finished components as they are.
fn oracle() -> Workspace {
    let workspace = Workspace::of(Path::new("fixtures/oracle"));
    furnish(&workspace.directory(), &Past { backwards: false, modified: SystemTime::now(), mode: 0o644, links: false });
    let ended = workspace.v2("build");
    assert_eq!(ended.status, 0, "{}", ended.stderr);
    let finished = workspace.directory().join("built");
    fs::create_dir(&finished).expect("a directory");
    let mut manifest = fs::read_to_string(workspace.directory().join("run.toml")).expect("the manifest is there");
    for (name, source) in [("program", "program"), ("raw", "components/raw.wat")] {
        let (from, to) = (format!("target/wasm/{name}.wasm"), format!("{name}.wasm"));
        fs::copy(workspace.directory().join(from), finished.join(&to)).expect("it was built");
        manifest = manifest.replace(&format!("source = \"{source}\""), &format!("path = \"{to}\""));
    }
    let of_source = |line: &&str| !line.starts_with("wit = ") && !line.starts_with("world = ");
    let manifest: Vec<&str> = manifest.lines().filter(of_source).collect();
    fs::write(finished.join("run.toml"), manifest.join("\n")).expect("a manifest");
    workspace
}

/// One way to run a guest.
struct Way<'a> {
    /// The flags and the target, without what is asked.
    line: &'a str,
    /// From where, in the workspace.
    from: &'a str,
    /// The way from there to the granted directory.
    to_box: &'a str,
    env: &'a [(&'a str, &'a str)],
    /// The input comes from a slow writer instead of a file.
    slow: bool,
}

const PLAIN: Way<'_> = Way { line: "", from: "", to_box: "box", env: &[], slow: false };

/// Runs a guest, and gives what it wrote to its two streams.
#[track_caller]
fn answer(workspace: &Workspace, way: &Way<'_>) -> (String, String) {
    let directory = workspace.directory().join(way.from);
    let question = QUESTION.replace("box::", &format!("{}::", way.to_box));
    let arguments = words(&format!("v2 exec -q {} {question} -- first 'second one'", way.line));
    let mut command = workspace.program(&directory, "run");
    command.args(arguments).envs(way.env.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let file = directory.join(".input");
    fs::write(&file, INPUT).expect("a file");
    command.stdin(if way.slow { Stdio::piped() } else { fs::File::open(&file).expect("it is there").into() });
    let mut child = command.spawn().expect("the binary starts");
    if let Some(mut stdin) = child.stdin.take() {
        // Bytes that come late and one by one, so that to ask too early would be to find nothing.
        std::thread::sleep(Duration::from_millis(1200));
        for (n, byte) in INPUT.bytes().enumerate() {
            std::thread::sleep(Duration::from_millis(if n < 20 { 10 } else { 0 }));
            stdin.write_all(&[byte]).expect("it is read");
        }
    }
    let output = child.wait_with_output().expect("it ends");
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("text"));
    assert!(output.status.success(), "{}\n{out}{err}", way.line);
    (out, err)
}

#[track_caller]
fn same(name: &str, one: &str, other: &str) {
    let differs = one.lines().zip(other.lines()).find(|(one, other)| one != other);
    assert!(
        differs.is_none(),
        "{name} tells:\n  {}\n  {}",
        differs.unwrap_or_default().0,
        differs.unwrap_or_default().1
    );
    assert_eq!(one.len(), other.len(), "{name}");
}

const STRANGE: [(&str, &str); 9] = [
    ("TZ", "Pacific/Kiritimati"),
    ("LANG", "tr_TR.UTF-8"),
    ("LC_ALL", "de_DE.UTF-8"),
    ("USER", "somebody-else"),
    ("TERM", "xterm-256color"),
    ("COLOUR", "red"),
    ("RUST_BACKTRACE", "full"),
    ("WASMTIME_BACKTRACE_DETAILS", "1"),
    ("MALLOC_PERTURB_", "165"),
];

#[test]
fn a_guest_can_find_out_nothing() {
    let workspace = oracle();
    let project = workspace.directory();
    for name in ["program", "raw"] {
        let (file, debug) = (format!("target/wasm/{name}.wasm"), format!("--debug {name}"));
        let first = answer(&workspace, &Way { line: name, ..PLAIN });
        assert!(first.0.lines().count() > 40, "{}", first.0);
        let ways = [
            Way { line: name, ..PLAIN },
            Way { line: name, env: &STRANGE, ..PLAIN },
            Way { line: name, from: "program/src", to_box: "../../box", ..PLAIN },
            Way { line: &file, ..PLAIN },
            Way { line: name, from: "built", ..PLAIN },
            Way { line: &debug, from: "built", ..PLAIN },
            Way { line: name, slow: true, ..PLAIN },
        ];
        // A past of its own for each.
        for (n, way) in ways.into_iter().enumerate() {
            let modified = if n % 2 == 0 { SystemTime::now() } else { long_ago() };
            let past = Past { backwards: n % 2 == 1, modified, mode: [0o644, 0o600, 0o755][n % 3], links: n == 3 };
            furnish(&project, &past);
            furnish(&project.join("built"), &past);
            let again = answer(&workspace, &way);
            same(&format!("{name}, way {n}, on stdout"), &first.0, &again.0);
            same(&format!("{name}, way {n}, on stderr"), &first.1, &again.1);
        }
        let captured: Value =
            serde_json::from_str(&answer(&workspace, &Way { line: &format!("--json {name}"), ..PLAIN }).0)
                .expect("a document");
        same(&format!("{name}, captured"), &first.0, captured["stdout"].as_str().expect("text"));
        as_a_test(&workspace, name, &first.0);
    }
}

/// The same question as a test: `run v2 test` must see the very same answer, with native code of both levels.
fn as_a_test(workspace: &Workspace, name: &str, answer: &str) {
    let project = workspace.directory().join("built");
    let texts = [answer, INPUT].map(|text| Value::from(text).to_string());
    let test = format!(
        "\n[[test]]\nname = \"tells_{name}\"\ncomponent = \"{name}\"\nargv = [\"first\", \"second one\"]\nstdin = {}\n\
         dirs = [\"box::/box\", \"box::relative:ro\"]\nenv = {{ COLOUR = \"blue\", EMPTY = \"\" }}\nexpected_stdout = {}\n",
        texts[1], texts[0]
    );
    let file = project.join("run.toml");
    let manifest = fs::read_to_string(&file).expect("the manifest is there") + &test;
    fs::write(&file, manifest).expect("it can be written");
    for line in ["v2 test", "v2 test --force", "v2 test --debug"] {
        let ended = workspace.run(&project, "run", &words(&format!("{line} tells_{name}")));
        assert_eq!(ended.status, 0, "{line} {name}\n{}{}", ended.stdout, ended.stderr);
        assert!(ended.stdout.starts_with(&format!("PASS tells_{name}\n")), "{line}\n{}", ended.stdout);
    }
}

/// A compiler that optimises less lays out code and statics otherwise, and folds other floating point expressions into
/// values; nothing else that a program prints may differ.
#[test]
fn a_debug_build_of_a_guest_tells_the_same() {
    let workspace = oracle();
    let facts = |line: &str| -> BTreeMap<usize, String> {
        let (text, _) = answer(&workspace, &Way { line, ..PLAIN });
        let of_the_compiler = ["address: ", "pages: ", "grown: ", "f32", "f64", "relaxed ", "constant: "];
        let is_fact = |line: &str| !of_the_compiler.iter().any(|prefix| line.starts_with(prefix));
        text.lines().map(str::to_owned).enumerate().filter(|(_, line)| is_fact(line)).collect()
    };
    assert_eq!(facts("program"), facts("--debug program"));
}

/// Where the terminal is, is nobody's business either.
#[test]
fn a_terminal_is_not_seen() {
    let workspace = oracle();
    let plain = answer(&workspace, &Way { line: "raw", ..PLAIN }).0;
    let line = format!("{RUN} v2 exec -q raw {QUESTION} -- first 'second one' < .input");
    let mut script = workspace.program(&workspace.directory(), "script");
    let seen = script.args(["-qec", &line, "/dev/null"]).output().expect("`script` makes a terminal");
    same("raw, in a terminal", &plain, &String::from_utf8_lossy(&seen.stdout).replace('\r', ""));
}

/// Input that never comes is waited for, and the run's own time ends that as well.
#[test]
fn a_guest_that_waits_for_input_runs_out_of_time() {
    let workspace = oracle();
    let mut command = workspace.program(&workspace.directory(), "run");
    command.args(words("v2 exec -q raw --timeout 300ms")).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.stdout(Stdio::null()).spawn().expect("the binary starts");
    let held = child.stdin.take();
    let output = child.wait_with_output().expect("it ends");
    drop(held);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("the time limit of 300 ms ran out"), "{said}");
}

/// Every function that a closed world must answer for itself is asked for by one of the guests.
#[test]
fn nothing_that_wasi_tells_is_left_out() {
    let raw = fs::read_to_string(super::support::repository().join("fixtures/oracle/components/raw.wat"));
    let raw = raw.expect("the fixture is there");
    let wit = |name: &str| -> PathBuf { super::support::repository().join("rules/wit").join(name) };
    for (package, file) in [("clocks", "clocks.wit"), ("random", "random.wit")] {
        for (interface, function) in functions(&fs::read_to_string(wit(file)).expect("WASI's text is built in")) {
            let import = format!("\"wasi:{package}/{interface}@0.2.12\" \"{function}\"");
            assert!(raw.contains(&import), "{import} is not asked");
        }
    }
}

/// The functions of a package that every host has, by interface.
fn functions(wit: &str) -> Vec<(String, String)> {
    let (mut found, mut interface, mut unstable) = (Vec::new(), None::<String>, false);
    for line in wit.lines() {
        if let Some(name) = line.strip_prefix("interface ") {
            interface = (!unstable).then(|| name.trim_end_matches(" {").to_owned());
        } else if line.starts_with('@') {
            unstable = line.starts_with("@unstable");
        } else if let (Some(interface), Some((name, _))) = (&interface, line.split_once(": func(")) {
            found.push((interface.clone(), name.trim().to_owned()));
        }
    }
    found
}
