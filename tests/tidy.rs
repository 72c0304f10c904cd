//! Hygiene, with messages that say what to do: layers, charters, forgotten files, unused fixtures, undocumented codes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::bad;
use super::support::repository;

/// Modules of `engine` from the bottom up. A module may use those above it in this list, and those beside it.
const ENGINE_LAYERS: &[&[&str]] = &[
    &["path", "digest", "cancel", "clock", "wire"],
    &["tree", "action"],
    &["graph", "key", "explain"],
    &["schedule", "event", "verdict"],
    &["files", "store", "sandbox", "history", "witness", "sealed"],
    &["build"],
];

/// What a crate may use of the others.
const CRATES: &[(&str, &[&str])] =
    &[("engine", &[]), ("rules", &["run_engine"]), ("cli", &["run_engine", "run_rules"])];

/// Where waiting may be asynchronous: the remote store owns its runtime, and clocks and streams implement traits of wasmtime's that are.
const ASYNC: &[&str] = &["engine/src/remote", "rules/src/host/clock.rs", "rules/src/host/stdio.rs"];

/// Where printing is somebody's job: the one writer, what runs before or without it, and a guest's own streams.
const PRINTERS: &[&str] = &["cli/src/report/", "cli/src/commands/", "cli/src/fail.rs", "rules/src/host/stdio.rs"];

/// A source file, by its path from the root of the repository.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The lines of code that ship: without comments, and without the tests at the end.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = self.text.find("#[cfg(test)]\nmod tests {").unwrap_or(self.text.len());
        let lines = self.text[..end].lines().enumerate().map(|(n, line)| (n + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// What is wrong in this file, at these lines.
    fn at<'a>(&'a self, bad: impl Fn(&str) -> Option<String> + 'a) -> impl Iterator<Item = String> + 'a {
        self.lines().filter_map(move |(n, line)| Some(format!("{}:{n}: {}", self.path, bad(line)?)))
    }
}

fn files(directory: &str, extension: &str) -> Vec<PathBuf> {
    fn walk(directory: &Path, files: &mut Vec<PathBuf>) {
        let Ok(entries) = fs::read_dir(directory) else { return };
        for entry in entries.map(|entry| entry.expect("a directory can be listed").path()) {
            match entry.is_dir() {
                true if entry.ends_with("target") => {}
                true => walk(&entry, files),
                false => files.push(entry),
            }
        }
    }
    let mut found = Vec::new();
    walk(&repository().join(directory), &mut found);
    found.retain(|file| file.extension().is_some_and(|e| e == extension));
    found.sort();
    found
}

fn sources(directory: &str) -> Vec<Source> {
    let shown = |file: &Path| file.strip_prefix(repository()).expect("a file of ours").display().to_string();
    files(directory, "rs")
        .into_iter()
        .map(|file| Source { path: shown(&file), text: fs::read_to_string(&file).expect("source is UTF-8") })
        .collect()
}

/// The sources that ship: without modules that are only there for tests.
fn shipped(directory: &str) -> Vec<Source> {
    let all = sources(directory);
    let tests: Vec<String> = all.iter().flat_map(test_modules).collect();
    all.into_iter().filter(|source| !tests.iter().any(|test| source.path.starts_with(test))).collect()
}

/// Where the modules that a file declares for tests only are, without what follows their names.
fn test_modules(source: &Source) -> Vec<String> {
    let own = ["/mod.rs", "/lib.rs", "/main.rs", ".rs"].into_iter().find_map(|end| source.path.strip_suffix(end));
    let own = own.expect("a source file ends so");
    let pairs = source.text.lines().zip(source.text.lines().skip(1));
    let declared = pairs.filter(|(before, _)| before.starts_with("#[cfg(") && before.contains("test"));
    let names =
        declared.filter_map(|(_, line)| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'));
    names.flat_map(|name| [format!("{own}/{name}.rs"), format!("{own}/{name}/")]).collect()
}

#[track_caller]
fn none(wrong: impl IntoIterator<Item = String>, rule: &str) {
    let wrong: Vec<String> = wrong.into_iter().collect();
    assert!(wrong.is_empty(), "{rule}\n{}", wrong.join("\n"));
}

/// The name that follows `prefix`, wherever that stands in a line.
fn names_after<'a>(line: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    line.match_indices(prefix).filter_map(|(start, _)| {
        let before = line[..start].chars().next_back();
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let rest = &line[start + prefix.len()..];
        let name = &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())];
        (!before.is_some_and(is_word) && !name.is_empty()).then_some(name)
    })
}

#[test]
fn crates_point_one_way() {
    let wrong = CRATES.iter().flat_map(|(name, allowed)| {
        shipped(&format!("{name}/src")).into_iter().flat_map(move |source| {
            let others = ["run_engine", "run_rules", "run_cli"].into_iter().filter(|other| !allowed.contains(other));
            let others: Vec<&str> = others.collect();
            source
                .at(|line| {
                    let used = others.iter().find(|other| line.contains(&format!("{other}::")))?;
                    Some(format!("`{name}` may not use `{used}`"))
                })
                .collect::<Vec<_>>()
        })
    });
    none(wrong, "cli → rules → engine, and nothing the other way; pass what is needed as data");
}

#[test]
fn engine_modules_point_down() {
    let layer = |module: &str| ENGINE_LAYERS.iter().position(|layer| layer.contains(&module));
    let mut wrong = Vec::new();
    for source in shipped("engine/src") {
        let inside = source.path.trim_start_matches("engine/src/");
        let module = inside.split(['/', '.']).next().expect("split gives something");
        if matches!(module, "lib" | "testing") {
            continue;
        }
        let Some(own) = layer(module) else {
            wrong.push(format!("{}:1: `{module}` has no layer in tests/tidy.rs", source.path));
            continue;
        };
        wrong.extend(source.at(|line| {
            let used = names_after(line, "crate::").find(|used| layer(used).is_some_and(|other| other > own))?;
            Some(format!("`{module}` may not use `{used}`"))
        }));
    }
    none(wrong, "dependencies point down the list in tests/tidy.rs");
}

#[test]
fn commands_are_strangers() {
    let files = sources("cli/src/commands");
    let wrong = files.iter().filter(|source| !source.path.ends_with("/mod.rs")).flat_map(|source| {
        source.at(|line| {
            let reaches = line.contains("crate::commands") || (line.contains("super::") && !line.contains("super::*"));
            reaches.then(|| "a command may not use another".to_owned())
        })
    });
    none(wrong, "what two commands share is a noun: give it a name and a test in `rules` or `engine`");
}

#[test]
fn reports_know_no_command() {
    let files = sources("cli/src/report");
    let wrong = files.iter().flat_map(|source| {
        source.at(|line| line.contains("crate::commands").then(|| "a report may not know a command".to_owned()))
    });
    none(wrong, "a report consumes events; pass what it needs to know as data");
}

#[test]
fn every_file_opens_with_its_charter() {
    let all = ["engine/src", "rules/src", "cli/src", "tests", "benches"].into_iter().flat_map(sources);
    let wrong = all.filter(|source| !source.text.starts_with("//! ")).map(|source| format!("{}:1", source.path));
    none(wrong, "the first line of a file is `//!` and one sentence that says what the file is for");
}

#[test]
fn every_test_file_is_declared() {
    let read = |file: &str| fs::read_to_string(repository().join(file)).expect("a file of ours");
    let main = read("tests/main.rs");
    let declared = main.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    let declared: BTreeSet<&str> = declared.collect();
    let manifests: String = CRATES.iter().map(|(name, _)| read(&format!("{name}/Cargo.toml"))).collect();
    let entries = fs::read_dir(repository().join("tests")).expect("the tests are here");
    let wrong = entries.filter_map(|entry| {
        let path = entry.expect("a directory can be listed").path();
        let name = path.file_stem()?.to_str()?.to_owned();
        let is_module = path.extension().is_some_and(|e| e == "rs") || path.join("mod.rs").is_file();
        let is_target = manifests.contains(&format!("path = \"../tests/{name}.rs\""));
        (is_module && !is_target && !declared.contains(name.as_str())).then(|| format!("tests/{name}"))
    });
    none(wrong, "a test file that neither tests/main.rs nor a manifest declares is never run");
}

#[test]
fn every_fixture_is_used() {
    let Ok(entries) = fs::read_dir(repository().join("fixtures")) else { return };
    let mut users: String = ["tests", "benches", "engine/src", "engine/tests", "rules/src", "rules/tests", "cli/src"]
        .into_iter()
        .flat_map(sources)
        .map(|source| source.text)
        .collect();
    let stories = files("tests", "md").into_iter().chain([repository().join("README.md")]);
    users.extend(stories.filter_map(|story| fs::read_to_string(story).ok()));
    let wrong = entries.filter_map(|entry| {
        let name = entry.expect("a directory can be listed").file_name().to_string_lossy().into_owned();
        (!users.contains(&format!("fixtures/{name}"))).then(|| format!("fixtures/{name}"))
    });
    none(wrong, "a fixture that no test, bench or story names is dead weight");
}

#[test]
fn every_code_has_a_paragraph_and_a_fixture() {
    let documented: BTreeSet<&str> = run_rules::codes::CODES.iter().map(|code| code.name).collect();
    let made: BTreeSet<String> = shipped("rules/src").iter().flat_map(codes_made).collect();
    let shown: BTreeSet<String> = bad::fixtures().into_iter().map(|(code, _)| code).collect();
    let undocumented = made.iter().filter(|code| !documented.contains(code.as_str()));
    none(undocumented.cloned(), "these diagnostics have no paragraph in rules/src/codes.rs");
    let unshown = documented.iter().filter(|code| !shown.contains(**code));
    none(unshown.map(|code| format!("fixtures/bad/{code}")), "these diagnostics have no fixture that shows them");
    let unknown = shown.iter().filter(|code| !documented.contains(code.as_str()));
    none(unknown.map(|code| format!("fixtures/bad/{code}")), "these fixtures are about no diagnostic that there is");
}

/// The codes that a file makes diagnostics of, where they are written in place.
fn codes_made(source: &Source) -> Vec<String> {
    let shipped: String = source.lines().map(|(_, line)| line.trim()).collect();
    let mut codes = Vec::new();
    for call in ["Diagnostic::error(\"", "Diagnostic::warning(\""] {
        codes.extend(shipped.split(call).skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
    }
    codes
}

#[test]
fn waiting_is_synchronous() {
    let all = ["engine/src", "rules/src", "cli/src"].into_iter().flat_map(shipped);
    let wrong: Vec<String> = all
        .filter(|source| !ASYNC.iter().any(|allowed| source.path.starts_with(allowed)))
        .flat_map(|source| {
            source.at(|line| line.contains("async fn").then(|| "`async fn`".to_owned())).collect::<Vec<_>>()
        })
        .collect();
    none(wrong, "our code is synchronous; see ASYNC in tests/tidy.rs");
}

#[test]
fn printing_is_the_reports_job() {
    let all = ["engine/src", "rules/src", "cli/src"].into_iter().flat_map(shipped);
    let wrong: Vec<String> = all
        .filter(|source| !PRINTERS.iter().any(|printer| source.path.starts_with(printer)))
        .flat_map(|source| {
            let prints = |line: &str| {
                let mut writers =
                    ["println!", "eprintln!", "print!(", "eprint!(", "io::stdout()", "io::stderr()"].iter();
                let used = writers.find(|writer| line.contains(**writer))?;
                let asks = line.contains(".is_terminal()");
                (!asks).then(|| format!("`{used}`"))
            };
            source.at(prints).collect::<Vec<_>>()
        })
        .collect();
    none(wrong, "only cli/src/report writes to the terminal; return what there is to say");
}

#[test]
fn names_are_found_where_they_are_used() {
    let names = |line| names_after(line, "crate::").collect::<Vec<_>>();
    assert_eq!(names("use crate::path::RelPath; // crate::key"), ["path", "key"]);
    assert_eq!(names("use run_crate::x;"), Vec::<&str>::new());
}
