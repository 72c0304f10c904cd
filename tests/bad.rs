//! Every `fixtures/bad/<code>` is a workspace with one thing wrong: what is said of it is in its `expected.stderr`.
//!
//! `run v2 build -j 1` is run in a copy, or the line in the fixture's `command` file where another command is what meets the
//! problem. A `setup` file is run by `sh` before: it makes what can't be checked in everywhere. An `env` file has lines
//! `NAME=VALUE`, in which `[ROOT]` is the copy: it shows what is wrong with a machine. The first line of
//! `expected.stderr` is the exit status, `exit: N`; what went to standard output comes next, if anything did.
//! `UPDATE_EXPECT=1` writes it anew; the difference is then read as what it is, a change to what users are told.

use std::fs;
use std::path::{Path, PathBuf};

use super::support::{Workspace, is_updating, repository, words};

/// Where the fixtures are.
pub(crate) const BAD: &str = "fixtures/bad";

/// The fixtures, by the code that each is about.
pub(crate) fn fixtures() -> Vec<(String, PathBuf)> {
    let directory = repository().join(BAD);
    let Ok(entries) = fs::read_dir(&directory) else { return Vec::new() };
    let mut fixtures: Vec<(String, PathBuf)> = entries
        .map(|entry| entry.expect("a directory can be listed"))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
        .collect();
    fixtures.sort();
    fixtures
}

#[test]
fn every_mistake_is_explained() {
    let wrong: Vec<String> = fixtures().iter().filter_map(|(code, fixture)| check(code, fixture).err()).collect();
    assert!(wrong.is_empty(), "{}\nUPDATE_EXPECT=1 writes them anew", wrong.join("\n"));
}

fn check(code: &str, fixture: &Path) -> Result<(), String> {
    let told = told(fixture);
    let expected = fixture.join("expected.stderr");
    if is_updating() {
        fs::write(&expected, &told).expect("the expected text can be written");
    }
    let written = fs::read_to_string(&expected).unwrap_or_default();
    if written != told {
        return Err(format!("{BAD}/{code}\n--- written\n{written}--- now\n{told}---"));
    }
    // A fixture that is about something else than its name would go unnoticed.
    let says_code = ["error", "warning"].iter().any(|severity| told.contains(&format!("{severity}[{code}]")));
    if says_code { Ok(()) } else { Err(format!("{BAD}/{code} is not told of as `{code}`\n{told}")) }
}

fn told(fixture: &Path) -> String {
    let mut workspace = Workspace::of(fixture.strip_prefix(repository()).expect("a fixture of this repository"));
    let directory = workspace.directory();
    if fixture.join("setup").exists() {
        let prepared = workspace.run(&directory, "sh", &["-e".to_owned(), "setup".to_owned()]);
        assert_eq!(prepared.status, 0, "{}: {}", fixture.join("setup").display(), prepared.stderr);
    }
    let env = fs::read_to_string(fixture.join("env")).unwrap_or_default();
    for (name, value) in env.lines().filter_map(|line| line.split_once('=')) {
        workspace.env.insert(name.to_owned(), value.replace("[ROOT]", &directory.display().to_string()));
    }
    let command = fs::read_to_string(fixture.join("command")).unwrap_or_else(|_| "run v2 build -j 1".to_owned());
    let words = words(command.trim());
    let ended = workspace.run(&directory, &words[0], &words[1..]);
    format!("exit: {}\n{}{}", ended.status, ended.stdout, ended.stderr)
}
