//! `run v2 help`: the paragraph behind a diagnostic code, or a command's help.

use run_rules::codes::{self, CODES, Code};
use run_rules::diagnostic::suggest;
use serde_json::json;

use crate::args;
use crate::context::Context;
use crate::fail::Failure;

/// Explain a diagnostic code, or a command
///
/// A code is the word in brackets at the start of a message: `error[unknown-target]`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A code, or a command
    #[arg(value_name = "CODE")]
    topic: Option<String>,
}

/// How wide a paragraph is written.
const WIDTH: usize = 80;

/// Explains.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let mut root = args::command();
    root.build();
    let era = root.find_subcommand_mut("v2").expect("the era that this program is");
    let Some(topic) = args.topic.as_deref() else {
        return context.console.data(&era.render_long_help().to_string());
    };
    if let Some(code) = codes::find(topic) {
        return match context.console.is_json() {
            true => {
                let Code { name, summary, paragraph } = code;
                context.console.document(&json!({ "code": name, "summary": summary, "paragraph": paragraph }))
            }
            false => context.console.data(&format!("{}: {}\n\n{}\n", code.name, code.summary, wrap(code.paragraph))),
        };
    }
    if let Some(command) = era.find_subcommand_mut(topic) {
        return context.console.data(&command.render_long_help().to_string());
    }
    let commands = era.get_subcommands().map(clap::Command::get_name);
    let failure = Failure::yours(format!("no code or command is called `{topic}`"));
    Err(match suggest(topic, CODES.iter().map(|code| code.name).chain(commands)) {
        Some(close) => failure.help(format!("did you mean `{close}`?")),
        None => failure.help("`run v2 help` lists the commands"),
    })
}

/// Breaks a paragraph into lines, between words.
fn wrap(paragraph: &str) -> String {
    let mut lines = vec![String::new()];
    for word in paragraph.split_whitespace() {
        let line = lines.last_mut().expect("never empty");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= WIDTH {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_between_words() {
        assert_eq!(wrap(""), "");
        let wrapped = wrap(&"seven77 ".repeat(30));
        assert!(wrapped.lines().all(|line| line.len() <= WIDTH && line.starts_with('s')), "{wrapped}");
        assert_eq!(wrapped.split_whitespace().count(), 30);
    }
}
