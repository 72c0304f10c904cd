//! Golden command lines: every `tests/commands/*.md` is a story of what is typed and what comes back.
//!
//! In its indented or fenced blocks, a line `$ COMMAND` is run in a directory of the story's own and what follows is
//! compared: standard output as it is, lines of standard error after `! `, and a last line `? N` where the exit status is
//! not 0. Beside `run`, a story can use `cd`, `cat`, `ls`, `mkdir`, `rm`, `write FILE TEXT` and `export K=V`. A fence that
//! says ```` ```console fixture=DIR ```` begins in a copy of that directory. `UPDATE_EXPECT=1` writes the answers anew.

use std::fs;
use std::path::{Path, PathBuf};

use super::support::{Ended, Workspace, is_updating, repository, words};

#[test]
fn the_stories_are_true() {
    let mut stories: Vec<PathBuf> = fs::read_dir(repository().join("tests/commands"))
        .expect("there are stories")
        .map(|entry| entry.expect("a file").path())
        .collect();
    stories.sort();
    let wrong: Vec<String> = stories.iter().filter_map(|story| check(story).err()).collect();
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
struct Story {
    workspace: Option<Workspace>,
    directory: PathBuf,
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
    fn begin(&mut self, info: &str) {
        let fixture = info.split(' ').find_map(|word| word.strip_prefix("fixture="));
        if fixture.is_some() || self.workspace.is_none() {
            let workspace = fixture.map_or_else(Workspace::new, |fixture| Workspace::of(Path::new(fixture)));
            self.directory = workspace.directory();
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

    fn command(&mut self, words: &[String]) -> Ended {
        let workspace = self.workspace.as_mut().expect("a story begins with a fence that says `console`");
        let arg = |n: usize| words.get(n).map_or("", String::as_str);
        let done = |stdout: String| Ended { stdout, stderr: String::new(), status: 0 };
        match arg(0) {
            "cd" => {
                self.directory = self.directory.join(arg(1));
                done(String::new())
            }
            "export" => {
                let (name, value) = arg(1).split_once('=').expect("`export K=V`");
                workspace.env.insert(name.to_owned(), value.to_owned());
                done(String::new())
            }
            "write" => {
                fs::write(self.directory.join(arg(1)), format!("{}\n", arg(2))).expect("the file can be written");
                done(String::new())
            }
            "ls" => done(tree(&self.directory, Path::new(""))),
            program @ ("run" | "cat" | "mkdir" | "rm" | "touch" | "cp") => {
                workspace.run(&self.directory, program, &words[1..])
            }
            other => panic!("a story can't use `{other}`"),
        }
    }
}

/// Every file below a directory, a line each.
fn tree(directory: &Path, below: &Path) -> String {
    let mut entries: Vec<_> = fs::read_dir(directory.join(below))
        .expect("a directory can be listed")
        .map(|entry| below.join(entry.expect("an entry").file_name()))
        .collect();
    entries.sort();
    entries
        .iter()
        .map(|entry| match directory.join(entry).is_dir() {
            true => tree(directory, entry),
            false => format!("{}\n", entry.display()),
        })
        .collect()
}
