//! Stories: Markdown files whose fenced commands are run, and whose answers are compared with what is written.
//!
//! In a fence that says `console`, a line `$ COMMAND` is run in a directory of the story's own and what follows is its
//! answer: standard output as it is, lines of standard error after `! `, and a last line `? N` where the exit status is
//! not 0. A fence that says ```` ```console fixture=DIR ```` begins in a copy of that directory; one that says `same-store`
//! besides keeps the store, with the toolchains in it.
//!
//! Beside `run`, a story can use
//!
//! - `cat`, `cp`, `mkdir`, `rm`, `touch`, `mv`, `cmp`, `sh` as they are, `cd DIR`, `ls` (every file below, a line each),
//!   `export K=V`;
//! - `write FILE TEXT`; `edit FILE OLD NEW`, once in the file; `sneak FILE OLD NEW`, which restores the time of the edit;
//! - `bindings CRATE WORLD`, which writes the crate's `src/bindings.rs` for a world of `wit/`, as `wit-bindgen` would;
//! - `toolchains NAME…`, which brings compilers that are fetched, from the user's own store;
//! - `request FILE METHOD PATH [BODY]`, which hands a request to a handler of HTTP and shows the response: its status, its
//!   headers, and after an empty line its body;
//! - `ran COMMAND…`, which is `run v2 COMMAND… --json` told in short: the actions that were executed, in alphabetical order.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::SystemTime;

use serde_json::Value;

use super::serve::Server;
use super::{Ended, Workspace, below, is_updating, words};

/// Runs every story of a directory of this repository, and compares each with itself.
#[track_caller]
pub(crate) fn check_all(directory: &str) {
    let mut stories: Vec<PathBuf> = fs::read_dir(super::repository().join(directory))
        .expect("there are stories")
        .map(|entry| entry.expect("a file").path())
        .collect();
    stories.sort();
    let wrong: Vec<String> = thread::scope(|scope| {
        let running: Vec<_> = stories.iter().map(|story| scope.spawn(|| check(story))).collect();
        running.into_iter().filter_map(|story| story.join().expect("a story comes to its end").err()).collect()
    });
    assert!(wrong.is_empty(), "{}\nUPDATE_EXPECT=1 writes the answers anew", wrong.join("\n"));
}

/// Runs a story and compares it with itself.
fn check(file: &Path) -> Result<(), String> {
    let text = fs::read_to_string(file).expect("a story can be read");
    let told = Story::default().tell(&text);
    if told == text {
        return Ok(());
    }
    if is_updating() {
        fs::write(file, told).expect("a story can be written");
        return Ok(());
    }
    let differs = text.lines().zip(told.lines()).position(|(old, new)| old != new);
    let line = differs.unwrap_or_else(|| text.lines().count().min(told.lines().count()));
    let [old, new] = [&text, &told].map(|text| text.lines().nth(line).unwrap_or("(the end)").to_owned());
    Err(format!("{}:{}\n  written: {old}\n  now:     {new}\n---\n{told}---", file.display(), line + 1))
}

/// Where a story has got to.
#[derive(Default)]
pub(crate) struct Story {
    workspace: Option<Workspace>,
    directory: PathBuf,
    /// Those whose stores are still used.
    earlier: Vec<Workspace>,
    /// The component that was asked last, and what serves it: compiling it is most of the work.
    served: Option<(Vec<u8>, Server)>,
}

const FENCE: &str = "```";

impl Story {
    /// The story as it really goes: its own lines, with each command's answer in place of what stands there.
    fn tell(&mut self, text: &str) -> String {
        let (mut told, mut fenced, mut answered) = (String::new(), false, false);
        for line in text.lines() {
            if let Some(info) = line.strip_prefix(FENCE) {
                fenced = !fenced;
                answered = false;
                if fenced && info.starts_with("console") {
                    self.begin(info);
                }
            } else if fenced && let Some(command) = line.strip_prefix("$ ") {
                answered = true;
                told.extend([line, "\n", &self.answer(command)]);
                continue;
            } else if fenced && answered {
                continue;
            }
            told.extend([line, "\n"]);
        }
        told
    }

    /// A new place, if the fence names one or there is none yet.
    pub(crate) fn begin(&mut self, info: &str) {
        let fixture = info.split(' ').find_map(|word| word.strip_prefix("fixture="));
        if fixture.is_some() || self.workspace.is_none() {
            let mut workspace = fixture.map_or_else(Workspace::new, |fixture| Workspace::of(Path::new(fixture)));
            self.directory = workspace.directory();
            if info.split(' ').any(|word| word == "same-store") {
                let before = self.workspace.take().expect("there was a fence before this one");
                workspace = workspace.sharing(&before);
                self.earlier.push(before);
            }
            self.workspace = Some(workspace);
        }
    }

    fn answer(&mut self, line: &str) -> String {
        let mut answer = String::new();
        for command in line.split(" && ") {
            let ended = self.command(&words(command));
            answer.push_str(&ended.stdout);
            if !ended.stdout.is_empty() && !ended.stdout.ends_with('\n') {
                answer.push('\n');
            }
            answer.extend(ended.stderr.lines().map(|line| format!("! {line}").trim_end().to_owned() + "\n"));
            if ended.status != 0 {
                answer.extend(["? ", &ended.status.to_string(), "\n"]);
                break;
            }
        }
        answer
    }

    /// Does what one command says.
    pub(crate) fn command(&mut self, words: &[String]) -> Ended {
        let workspace = self.workspace.as_mut().expect("a story begins with a fence that says `console`");
        let arg = |n: usize| words.get(n).map_or("", String::as_str);
        let file = self.directory.join(arg(1));
        match arg(0) {
            "cd" => self.directory = file,
            "export" => {
                let (name, value) = arg(1).split_once('=').expect("`export K=V`");
                workspace.env.insert(name.to_owned(), value.to_owned());
            }
            "write" => fs::write(file, format!("{}\n", arg(2))).expect("the file can be written"),
            "edit" => edit(&file, arg(2), arg(3)),
            "sneak" => sneak(&file, arg(2), arg(3)),
            "bindings" => super::bindings::write(&self.directory, arg(1), arg(2)),
            "toolchains" => workspace.bring(&words[1..]),
            "ls" => return told(listed(&self.directory)),
            "request" => return self.request(&file, &words[2..]),
            "ran" => return ran(workspace, &self.directory, &words[1..]),
            program @ ("run" | "cat" | "mkdir" | "rm" | "touch" | "cp" | "mv" | "cmp" | "sh") => {
                return workspace.run(&self.directory, program, &words[1..]);
            }
            other => panic!("a story can't use `{other}`"),
        }
        told(String::new())
    }

    /// A response, or on standard error why there is none.
    fn request(&mut self, file: &Path, words: &[String]) -> Ended {
        let component = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        if self.served.as_ref().is_none_or(|(served, _)| *served != component) {
            match Server::new(&component) {
                Ok(server) => self.served = Some((component, server)),
                Err(error) => return Ended { stderr: format!("{error:#}"), status: 1, ..Ended::default() },
            }
        }
        let (_, server) = self.served.as_ref().expect("it was set above");
        let [method, path, body @ ..] = words else { panic!("`request FILE METHOD PATH [BODY]`") };
        match server.respond(method, path, body.first().map_or("", String::as_str)) {
            Ok(response) => told(response.to_string()),
            Err(why) => Ended { stderr: why, status: 1, ..Ended::default() },
        }
    }
}

const fn told(stdout: String) -> Ended {
    Ended { stdout, stderr: String::new(), status: 0 }
}

/// Replaces the one place in a file that says `old`.
pub(crate) fn edit(file: &Path, old: &str, new: &str) {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    assert_eq!(text.matches(old).count(), 1, "`{old}` in {}", file.display());
    fs::write(file, text.replace(old, new)).expect("the file can be written");
}

/// Edits a file so that neither its size nor its time tells.
fn sneak(file: &Path, old: &str, new: &str) {
    assert_eq!(old.len(), new.len(), "the size would tell");
    let modified = fs::metadata(file).and_then(|meta| meta.modified()).expect("a file has a time");
    edit(file, old, new);
    set_time(file, modified);
}

fn set_time(file: &Path, time: SystemTime) {
    let file = fs::File::options().write(true).open(file).expect("the file is there");
    file.set_modified(time).expect("its time can be set");
}

/// What a command executed, as its events tell.
fn ran(workspace: &Workspace, directory: &Path, words: &[String]) -> Ended {
    let words: Vec<String> =
        ["v2".to_owned()].into_iter().chain(words.iter().cloned()).chain(["--json".into()]).collect();
    let ended = workspace.run(directory, "run", &words);
    let events: Vec<Value> = ended.stdout.lines().map(event).collect();
    Ended { stdout: summary(&events), ..ended }
}

/// A line of `--json`, from which durations were taken already.
fn event(line: &str) -> Value {
    let line = line.replace("[ELAPSED]", "0");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// Events in short. Actions run side by side, so their order is no part of it.
pub(crate) fn summary(events: &[Value]) -> String {
    let mut lines: Vec<String> = events.iter().filter_map(executed).collect();
    lines.sort();
    let Some(last) = events.last().filter(|event| event["event"] == "finished") else {
        return "no last event\n".to_owned();
    };
    let reused = &last["reused"]["local"];
    lines.push(format!("{} built, {reused} reused", last["built"]));
    lines.join("\n") + "\n"
}

/// Steps that are the same for several targets: whichever asks first makes what all need.
const SHARED: [&str; 3] = ["interpreter", "interpreter-native", "std"];

fn executed(event: &Value) -> Option<String> {
    let label = event["action"].as_str()?;
    let label = match label.split_once(' ') {
        Some((_, step)) if SHARED.contains(&step) => &format!("some {step}"),
        _ => label,
    };
    match event["event"].as_str()? {
        "built" if event["unchanged"] == true => Some(format!("{label}, output unchanged")),
        "built" => Some(label.to_owned()),
        "failed" => Some(format!("{label} failed")),
        _ => None,
    }
}

/// Every file below a directory, a line each.
fn listed(directory: &Path) -> String {
    below(directory, Path::new("")).iter().map(|file| format!("{}\n", file.display())).collect()
}
