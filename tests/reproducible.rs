//! `--verify-reproducible` and `--reproducible`: what depends on when, where and by whom it is run is caught and explained,
//! and what we build ourselves is not among it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::support::Workspace;

/// What each command of `fixtures/varying` depends on, and something that is said of where it shows.
const TOLD: &str = r"
chance | differs | it differs each time it is run: it depends on the time or on chance | this looks like a hash or a random number
cores | differs | it depends on the number of processors | differs in line 1
date | differs | it differs each time it is run: it depends on the time or on chance | this looks like a time
fails | fails | it depends on the path of the home or of the temporary directory | exit status 1
file-time | differs | it depends on the times of its input files | this looks like a time
home | differs | it depends on the path of the home or of the temporary directory | this looks like a user's own directory
host | differs | it depends on the host name | and elsewhere
locale | differs | it depends on the locale (LC_ALL) or the user's name (USER, LOGNAME) | C.UTF-8 and C
order | differs | it depends on the order in which directories are listed | these are the same in another order
path | differs | it depends on the path of its working directory | this looks like an absolute path
process | differs | it depends on its process number | 2 and 42
steady | same | |
tar | differs | it depends on the times of its input files | parts.tar / `parts/a.txt`
user | differs | it depends on the user | run and somebody
";

/// An event; durations were made the same.
fn read(line: &str) -> Value {
    serde_json::from_str(&line.replace("[ELAPSED]", "0")).expect("each line is JSON")
}

/// The events that tell of comparisons, by the target that they are about.
fn compared(json: &str) -> BTreeMap<String, Value> {
    let events = json.lines().map(read);
    let told = events.filter(|event| event["event"] == "compared");
    told.map(|event| (event["action"].as_str().unwrap_or_default().trim_end_matches(" run").to_owned(), event))
        .collect()
}

#[test]
fn each_way_to_vary_is_caught_and_told() {
    let here = Workspace::of(Path::new("fixtures/varying"));
    let ended = here.v2("build --verify-reproducible --json");
    assert_eq!(ended.status, 1, "{}", ended.stderr);
    let events = compared(&ended.stdout);
    for row in TOLD.trim().lines() {
        let [name, verdict, cause, shown] = row.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("{row}");
        };
        let event = &events[name];
        assert_eq!(event["verdict"], verdict, "{event:#}");
        assert_eq!(event["cause"].as_str().unwrap_or_default(), cause, "{event:#}");
        // As a person would read it: without the signs of JSON and of quotations.
        let all: String = event.to_string().replace(['"', '\\'], "");
        assert!(all.contains(shown), "{shown}: {event:#}");
    }
    let last = read(ended.stdout.lines().last().expect("an event"));
    assert_eq!(
        (&last["ok"], &last["compared"]["same"], &last["compared"]["varying"]),
        (&false.into(), &1.into(), &13.into())
    );
}

/// An action that was seen to vary is marked until it is seen not to.
#[test]
fn what_varies_is_marked_everywhere_it_is_spoken_of() {
    let here = Workspace::of(Path::new("fixtures/varying"));
    let graph = |here: &Workspace| here.v2("graph path").stdout;
    assert_eq!(here.v2("build path").status, 0);
    assert_eq!(graph(&here), "path run → path.txt\n");
    let ended = here.v2("build path --verify-reproducible");
    assert_eq!(
        (ended.status, ended.stderr.as_str()),
        (
            1,
            "varies: path run; it depends on the path of its working directory\n  \
             path.txt: differs in line 1: \"/build/work\" and \"/srv/another/place/to-build/work\"\n    \
             this looks like an absolute path: have the tool write paths from the project's directory (`--remap-path-prefix` of \
             rustc, `-ffile-prefix-map` of C compilers, `-trimpath` of Go), or leave debug information out\n\
             sandbox: full\n\
             0 built, 1 reused (1 local, 0 remote) in [ELAPSED]\n\
             0 actions are reproducible, 1 is not\n"
        )
    );
    assert_eq!(graph(&here), "path run → path.txt (not reproducible)\n");
    assert!(here.v2("why path").stdout.ends_with("known not to be reproducible: path run\n"));
    let info = here.v2("info").stdout;
    assert_eq!(info.matches("(not reproducible)").count(), 1, "{info}");
    // It goes on standing there, and is built as ever.
    assert_eq!(here.v2("build path").stderr, "nothing to do (1 target up to date) in [ELAPSED]\n");
    let manifest = here.directory().join("run.toml");
    let text = fs::read_to_string(&manifest).expect("a manifest").replace("pwd >", "echo here >");
    fs::write(&manifest, text).expect("it can be written");
    let ended = here.v2("build path --verify-reproducible");
    assert!(ended.stderr.ends_with("\n1 action is reproducible\n"), "{}", ended.stderr);
    assert_eq!((ended.status, graph(&here).as_str()), (0, "path run → path.txt\n"));
}

/// Rust in both profiles, with dependencies and without, WAT, compositions and packages.
#[test]
fn what_we_build_is_reproducible() {
    let here = Workspace::of(Path::new("fixtures/calculator"));
    for line in ["build", "build --debug", "build app:package calc:wit hello:package"] {
        let ended = here.v2(&format!("{line} --verify-reproducible"));
        assert_eq!(ended.status, 0, "{line}: {}", ended.stderr);
        let last = ended.stderr.lines().last().unwrap_or_default();
        assert!(last.contains(" actions are reproducible; "), "{line}: {last}");
        assert!(!ended.stderr.contains("warning"), "{line}: {}", ended.stderr);
    }
}

/// The paths of the place where it was built are cut off, for a user to whom they would mean nothing.
#[test]
fn debug_information_tells_no_place() {
    let here = Workspace::of(Path::new("fixtures/calculator"));
    let ended = here.v2("build calc --debug --reproducible");
    assert_eq!(ended.status, 0, "{}", ended.stderr);
    let bytes = fs::read(here.directory().join("target/wasm/debug/calc.wasm")).expect("it was built");
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(!holds("/proc/self/fd") && !holds("/build/work"));
    assert!(holds("calc/src/lib.rs") || holds("src/lib.rs"), "files are still named");
}

const TIMED: &str = r#"
[project]
name = "timed"
version = "1.0.0"
[build]
reproducible = true
[[command]]
name = "time"
run = ["sh", "-c", "echo ${SOURCE_DATE_EPOCH-none} > time.txt"]
outputs = ["time.txt"]
"#;

#[test]
fn tools_are_told_the_time_to_take_and_it_is_keyed() {
    let mut here = Workspace::new();
    let manifest = here.directory().join("run.toml");
    fs::write(&manifest, TIMED).expect("a manifest can be written");
    let told = |here: &Workspace, line: &str| {
        let ended = here.v2(line);
        assert_eq!(ended.status, 0, "{}", ended.stderr);
        let text = fs::read_to_string(here.directory().join("time.txt")).expect("it was written back");
        (text.trim_end().to_owned(), ended.stderr.lines().last().unwrap_or_default().starts_with("1 built"))
    };
    assert_eq!(told(&here, "build"), ("0".to_owned(), true));
    here.env.insert("SOURCE_DATE_EPOCH".to_owned(), "86400".to_owned());
    assert_eq!(told(&here, "build"), ("86400".to_owned(), true));
    fs::write(&manifest, TIMED.replace("reproducible = true", "")).expect("a manifest can be written");
    assert_eq!(told(&here, "build"), ("none".to_owned(), true));
    here.env.insert("SOURCE_DATE_EPOCH".to_owned(), "1".to_owned());
    assert_eq!(told(&here, "build").0, "none", "where it is not used it is not keyed");
    assert_eq!(told(&here, "build --reproducible").0, "1");
    assert_eq!(told(&here, "build").0, "none", "the flag is for one build");
}

#[test]
fn what_is_made_of_go_is_the_same_elsewhere() {
    let here = Workspace::of(Path::new("fixtures/greeter"));
    here.bring(&["go".to_owned(), "go-runtime".to_owned()]);
    let ended = here.v2("build --verify-reproducible --json");
    assert_eq!(ended.status, 0, "{}{}", ended.stdout, ended.stderr);
    let events = compared(&ended.stdout);
    for step in ["names deps", "names list", "names compile ./words", "names link", "app compile ."] {
        assert!(events.contains_key(step), "{step}: {events:#?}");
    }
    assert!(events.keys().any(|step| step.ends_with(" std")), "{events:#?}");
    assert!(events.values().all(|event| event["verdict"] == "same"), "{events:#?}");
}

/// Seven languages, each built twice, from nothing.
#[test]
#[ignore = "takes minutes of processor time"]
fn what_is_made_of_seven_languages_is_the_same_elsewhere() {
    let here = Workspace::of(Path::new("fixtures/polyglot"));
    let fetched = ["zig", "go", "go-runtime", "quickjs", "esbuild", "typescript", "componentize-py"];
    here.bring(&fetched.map(str::to_owned));
    let ended = here.v2("build --verify-reproducible --json");
    assert_eq!(ended.status, 0, "{}{}", ended.stdout, ended.stderr);
    let events = compared(&ended.stdout);
    let components = ["parcels", "codes", "routes", "rates", "customs", "labels", "counter", "app"];
    for component in components {
        let step = format!("{component} compile");
        assert!(events.keys().any(|label| label.starts_with(&step)), "{step}: {events:#?}");
    }
    // Zig's standard library, as it parsed it, is known to vary; crates are fetched.
    let is_fine = |event: &Value| ["same", "known", "fetches"].contains(&event["verdict"].as_str().unwrap_or_default());
    assert!(events.values().all(is_fine), "{events:#?}");
}
