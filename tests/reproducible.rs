//! `--reproducible`: tools are told to leave out when and where they run.

use std::fs;
use std::path::Path;

use super::support::Workspace;

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
