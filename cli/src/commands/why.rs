//! `run v2 why`: why a target was built, or would be, here or compared with another machine.

use std::path::{Path, PathBuf};

use run_engine::action::ActionId;
use run_engine::event::{Event, Layer};
use run_engine::explain::{self, Reason};
use run_engine::history::History;
use run_rules::session::{Ask, BuildOptions, Goal, Session};
use serde_json::json;

use crate::context::{Context, open_failed, select};
use crate::fail::Failure;
use crate::put::put;
use crate::report::json;
use crate::report::reason::{Tense, Totals, paragraph};

/// Say why a target was built, or would be
///
/// The smallest true reason: what is different in the key of each action, from what to what. With `--against`, what
/// another machine keyed differently, from a file that it wrote with `--export`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The target
    target: String,
    /// Compare with the key records in FILE
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Write the key records of this target to FILE
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
}

/// What there is to say of one action.
struct Finding {
    label: String,
    reason: Option<Reason>,
    totals: Option<Totals>,
    tense: Tense,
}

/// Says it.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let ask = Ask { targets: vec![args.target.clone()], goal: Goal::Outputs };
    let options = context.options(ask, None)?;
    let mut session = context.open(options)?;
    let selection = select(&session)?;
    let labels: Vec<String> = session
        .graph()
        .closure(&selection.wanted)
        .into_iter()
        .map(|id| session.graph().action(id).label.clone())
        .collect();
    if let Some(file) = &args.export {
        return export(&context.env.directory.join(file), session.history(), &labels);
    }
    let findings = match &args.against {
        Some(file) => {
            let theirs = read(&context.env.directory.join(file))?;
            compare(&theirs, session.history(), &labels)
        }
        None => {
            let mut pending = Vec::new();
            let mut note = |event: Event<'_>| note(&event, &mut pending);
            let dry = BuildOptions { keep_going: true, dry_run: true, ..context.build_options() };
            let root = session.root().to_owned();
            let built = session.build(&selection, dry, &context.cancel, &mut note);
            built.map_err(|error| open_failed(error, &root))?;
            explain_here(&session, pending, &labels)
        }
    };
    tell(&args.target, &findings, args.against.is_some(), context)
}

/// Remembers what would run, and why.
fn note(event: &Event<'_>, pending: &mut Vec<(ActionId, Option<Reason>)>) {
    match event {
        Event::Started { action, because } => pending.push((*action, Some((*because).clone()))),
        Event::Hit { action, from: Layer::Local | Layer::Remote } => pending.push((*action, None)),
        _ => {}
    }
}

/// What would run says why it would; what is up to date says why it ran.
fn explain_here(session: &Session, pending: Vec<(ActionId, Option<Reason>)>, labels: &[String]) -> Vec<Finding> {
    let history = session.history();
    let mut findings: Vec<Finding> = Vec::new();
    for (action, would) in pending {
        let label = session.graph().action(action).label.clone();
        let remembered = history.find(&label);
        let (reason, tense) = match would {
            Some(reason) => (Some(reason), Tense::Would),
            None => (remembered.and_then(|r| r.because.clone()), Tense::Ran),
        };
        findings.push(Finding { totals: remembered.map(|r| Totals::of(&r.record)), label, reason, tense });
    }
    findings.sort_by_key(|finding| labels.iter().position(|label| *label == finding.label));
    findings
}

/// What is keyed differently there and here.
fn compare(theirs: &History, ours: &History, labels: &[String]) -> Vec<Finding> {
    let both = labels.iter().filter_map(|label| Some((label, theirs.find(label)?, ours.find(label)?)));
    both.map(|(label, theirs, ours)| {
        let changes = explain::diff(&theirs.record, &ours.record);
        let reason = match (changes.is_empty(), theirs.record.key == ours.record.key) {
            (_, true) => None,
            (true, false) => Some(Reason::Unexplained),
            (false, false) => Some(Reason::Changed(changes)),
        };
        Finding { label: label.clone(), reason, totals: Some(Totals::of(&theirs.record)), tense: Tense::Would }
    })
    .collect()
}

fn tell(target: &str, findings: &[Finding], compared: bool, context: &mut Context) -> Result<(), Failure> {
    if context.console.is_json() {
        let document = |finding: &Finding| {
            json!({
                "action": finding.label,
                "ran": finding.tense == Tense::Ran,
                "reason": finding.reason.as_ref().map(json::reason),
            })
        };
        let actions: Vec<_> = findings.iter().map(document).collect();
        return context.console.document(&json!({ "schema": 1, "target": target, "actions": actions }));
    }
    context.console.data(&text(target, findings, compared))
}

fn text(target: &str, findings: &[Finding], compared: bool) -> String {
    let mut text = String::new();
    if !compared && !findings.iter().any(|finding| finding.tense == Tense::Would) {
        put!(text, "{target} is up to date, compared with what was last run here:\n");
    }
    let explained: Vec<_> = findings.iter().filter_map(|f| Some((f, f.reason.as_ref()?))).collect();
    let (new, told): (Vec<_>, Vec<_>) =
        explained.iter().partition(|(f, reason)| **reason == Reason::New && f.tense == Tense::Ran);
    text.extend(told.iter().map(|(f, reason)| paragraph(&f.label, reason, f.totals, f.tense)));
    // Most actions of most targets ran once, because they had never been run before; that is one sentence.
    let labels: Vec<&str> = new.iter().map(|(f, _)| f.label.as_str()).collect();
    if !labels.is_empty() {
        put!(text, "nothing was remembered, so these ran: {}\n", labels.join(", "));
    }
    match (explained.is_empty(), compared) {
        (false, _) => text,
        (true, true) if findings.is_empty() => format!("nothing of {target} is known both there and here\n"),
        (true, true) => format!("{target} has the same keys there and here\n"),
        (true, false) => format!("{target} is up to date, and was never run here: its results came from a store\n"),
    }
}

/// Key records are exchanged in the form in which a workspace remembers them.
fn export(file: &Path, history: &History, labels: &[String]) -> Result<(), Failure> {
    let mut known = history.clone();
    known.retain(|label| labels.iter().any(|wanted| wanted == label));
    std::fs::write(file, known.encode())
        .map_err(|error| Failure::machine(format!("can't write `{}`", file.display()), error))
}

fn read(file: &Path) -> Result<History, Failure> {
    let bytes =
        std::fs::read(file).map_err(|error| Failure::yours(format!("can't read `{}`: {error}", file.display())))?;
    let history = History::decode(&bytes);
    if history == History::default() {
        return Err(Failure::yours(format!("`{}` holds no key records of this version of `run`", file.display()))
            .help("write it with `run v2 why TARGET --export FILE`"));
    }
    Ok(history)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use run_engine::history::Remembered;
    use run_engine::key::{InputLine, KeyRecord};

    use super::*;

    fn history(key: &str, input: &str) -> History {
        let line = InputLine { value: input.into(), from: String::new() };
        let record =
            KeyRecord { key: key.into(), inputs: [("work/a.rs".to_owned(), line)].into(), ..KeyRecord::default() };
        let mut history = History::default();
        let remembered = Remembered { record, took: Duration::ZERO, failed: false, left: String::new(), because: None };
        history.remember("app", remembered);
        history
    }

    #[test]
    fn two_machines_are_compared_by_what_they_keyed() {
        let labels = ["app".to_owned(), "unknown".to_owned()];
        let findings = compare(&history("1", "x"), &history("2", "y"), &labels);
        assert_eq!(
            text("app", &findings, true),
            "app would run because one input changed:\n  \
               a.rs            x → y\n  \
               everything else in its key is the same (0 inputs, 0 arguments, 0 variables)\n"
        );
        let findings = compare(&history("1", "x"), &history("1", "x"), &labels);
        assert_eq!(text("app", &findings, true), "app has the same keys there and here\n");
    }

    #[test]
    fn what_is_exported_can_be_read() {
        let here = tempfile::tempdir().expect("a temporary directory");
        let file = here.path().join("records");
        export(&file, &history("1", "x"), &["app".to_owned()]).expect("it can be written");
        assert_eq!(read(&file).expect("it was written"), history("1", "x"));
        std::fs::write(&file, "something else").expect("it can be written");
        assert_eq!(read(&file).expect_err("it is something else").status(), 2);
    }
}
