//! Golden command lines: every `tests/commands/*.md` is a story of what is typed and what comes back, and so is README.md.

use std::fs;

use super::support::story::{Story, check_all};
use super::support::{Ended, repository, words};

#[test]
fn the_stories_are_true() {
    check_all("tests/commands");
}

/// README.md is written for people: under a command it shows what a reader should look at, which is all of standard output,
/// or all that a terminal shows. What is no `console` block that begins with `$ run` is not run.
#[test]
fn the_readme_is_true() {
    let text = fs::read_to_string(repository().join("README.md")).expect("README.md is here");
    let blocks: Vec<&str> = text.split("```console\n").skip(1).filter(|block| block.starts_with("$ run")).collect();
    assert!(!blocks.is_empty(), "README.md shows no command");
    for block in blocks {
        let (block, _) = block.split_once("```").expect("a fence ends");
        let mut story = Story::default();
        story.begin("console");
        for shown in block.split("$ ").skip(1) {
            check_shown(&mut story, shown);
        }
    }
}

/// Runs a line that README.md shows, and compares what stands below it.
fn check_shown(story: &mut Story, shown: &str) {
    let (line, answer) = shown.split_once('\n').unwrap_or((shown, ""));
    let (line, _) = line.split_once("  #").unwrap_or((line, ""));
    let mut all = Ended::default();
    for command in line.split(" && ") {
        let ended = story.command(&words(command.trim()));
        assert_eq!(ended.status, 0, "README.md: $ {line}\n{}", ended.stderr);
        all.stdout += &ended.stdout;
        all.stderr += &ended.stderr;
    }
    let on_a_terminal = format!("{}{}", all.stderr, all.stdout);
    let is_shown = answer == all.stdout || answer == on_a_terminal;
    assert!(is_shown, "README.md: $ {line}\nshown:\n{answer}\nnow:\n{on_a_terminal}");
}
