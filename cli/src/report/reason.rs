//! `Reason` → the smallest true sentence.

use run_engine::explain::{Change, Changed, Reason, user_path};
use run_engine::key::{Field, KeyRecord};
use run_engine::path::RelPath;

use super::amount::plural;
use crate::put::put;

/// Where every file of the workspace stands in an input root.
const WORKSPACE: &str = "work";

/// How many changes are told of one by one. The first is the most telling.
const TOLD: usize = 5;

/// How much a key record holds, for saying what did not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    inputs: usize,
    arguments: usize,
    variables: usize,
}

impl Totals {
    /// What the record before a change held.
    pub(crate) fn of(record: &KeyRecord) -> Self {
        let count = |wanted: Field| record.fields.iter().filter(|(field, ..)| *field == wanted).count();
        Self { inputs: record.inputs.len(), arguments: count(Field::Argument), variables: count(Field::Variable) }
    }

    /// Those of them that are as they were.
    fn without(mut self, changes: &[Change]) -> Self {
        for change in changes.iter().filter(|change| change.old.is_some()) {
            let of_its_kind = match &change.what {
                Changed::Source { .. } | Changed::Made { .. } => &mut self.inputs,
                Changed::Field { field: Field::Argument, .. } => &mut self.arguments,
                Changed::Field { field: Field::Variable, .. } => &mut self.variables,
                Changed::Field { .. } => continue,
            };
            *of_its_kind = of_its_kind.saturating_sub(1);
        }
        self
    }
}

/// Whether an action ran, or would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tense {
    /// It did.
    Ran,
    /// It would, if it were asked for.
    Would,
}

/// Why, as a paragraph: what changed from what to what, and what did not.
pub(crate) fn paragraph(label: &str, reason: &Reason, totals: Option<Totals>, tense: Tense) -> String {
    let verb = match tense {
        Tense::Ran => "ran",
        Tense::Would => "would run",
    };
    let Reason::Changed(changes) = reason else {
        return format!("{label} {verb} because {}\n", brief(reason));
    };
    let mut text = format!("{label} {verb} because {}:\n", tally(changes));
    let names: Vec<String> = changes.iter().take(TOLD).map(|change| name(&change.what)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or_default().max(14);
    for (name, change) in names.iter().zip(changes) {
        put!(text, "  {name:width$}  {}\n", from_to(change));
    }
    if changes.len() > TOLD {
        put!(text, "  and {} more\n", changes.len() - TOLD);
    }
    if let Some(totals) = totals {
        let Totals { inputs, arguments, variables } = totals.without(changes);
        let same = [
            plural(inputs as u64, "input"),
            plural(arguments as u64, "argument"),
            plural(variables as u64, "variable"),
        ];
        put!(text, "  everything else in its key is the same ({})\n", same.join(", "));
    }
    text
}

/// Why, in a few words that follow "because".
pub(crate) fn brief(reason: &Reason) -> String {
    match reason {
        Reason::New => "nothing is remembered of it".to_owned(),
        Reason::Changed(changes) => match changes.as_slice() {
            [] => brief(&Reason::Unexplained),
            [only] => event(only),
            [first, rest @ ..] => format!("{}, and {} more", event(first), plural(rest.len() as u64, "change")),
        },
        Reason::ResultLost => "its result is no longer in the store".to_owned(),
        Reason::FailedBefore => "it failed the last time".to_owned(),
        Reason::WeakerSandbox => "its only result was made in a weaker sandbox than there is now".to_owned(),
        Reason::Forced => "you asked for it with `--force`".to_owned(),
        Reason::Rewound => "what it had made was lost from the store during the build".to_owned(),
        Reason::Unexplained => "its key changed, in nothing that is recorded of it".to_owned(),
    }
}

/// `2 inputs and 1 argument changed`.
fn tally(changes: &[Change]) -> String {
    let is_input = |change: &&Change| !matches!(change.what, Changed::Field { .. });
    let n_inputs = changes.iter().filter(is_input).count();
    match (n_inputs, changes.len() - n_inputs) {
        (1, 0) => "one input changed".to_owned(),
        (n, 0) => format!("{} changed", plural(n as u64, "input")),
        (0, 1) => format!("{} changed", kind(&changes[0].what)),
        (0, n) => format!("{n} parts of its command changed"),
        (inputs, 1) => format!("{} and one part of its command changed", plural(inputs as u64, "input")),
        (inputs, n) => format!("{} and {n} parts of its command changed", plural(inputs as u64, "input")),
    }
}

/// `src/lib.rs changed`.
fn event(change: &Change) -> String {
    let verb = match (&change.old, &change.new) {
        (None, _) => "is new",
        (Some(_), None) => "is gone",
        (Some(_), Some(_)) => "changed",
    };
    format!("{} {verb}", name(&change.what))
}

/// What changed, as its owner would say it.
fn name(what: &Changed) -> String {
    match what {
        Changed::Source { path } => shown_path(path).to_owned(),
        Changed::Made { path, by } => format!("{} (made by {by})", shown_path(path)),
        Changed::Field { field: Field::Variable | Field::Property, name } => format!("{} {name}", kind(what)),
        Changed::Field { field: Field::Argument, name } => {
            format!("argument {}", name.trim_start_matches('0'))
        }
        Changed::Field { field: Field::Output, name } => format!("output {name}"),
        Changed::Field { .. } => kind(what).to_owned(),
    }
}

const fn kind(what: &Changed) -> &'static str {
    match what {
        Changed::Source { .. } | Changed::Made { .. } => "input",
        Changed::Field { field, .. } => match field {
            Field::Argument => "one argument",
            Field::Variable => "variable",
            Field::Output => "one declared output",
            Field::Directory => "its directory",
            Field::Property => "property",
            Field::Timeout => "its timeout",
            Field::Salt => "the salt",
            Field::InputRoot => "its input root",
        },
    }
}

fn from_to(change: &Change) -> String {
    let shown = |value: &Option<String>| value.as_deref().map(shown_value);
    match (shown(&change.old), shown(&change.new)) {
        (Some(old), Some(new)) => format!("{old} → {new}"),
        (None, Some(new)) => format!("new: {new}"),
        (Some(old), None) => format!("gone: {old}"),
        (None, None) => "changed".to_owned(),
    }
}

/// A path without the directory that every file of the workspace stands in.
pub(crate) fn shown_path(path: &str) -> &str {
    RelPath::new(WORKSPACE).map_or(path, |workspace| user_path(path, &workspace))
}

/// A digest by its first digits; anything else in full.
fn shown_value(value: &str) -> String {
    let is_digest = |text: &str| {
        text.split_once('/').is_some_and(|(hash, size)| {
            hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()) && size.parse::<u64>().is_ok()
        })
    };
    match value.split_once(' ') {
        None if is_digest(value) => format!("{}…", &value[..4]),
        Some((digest, rest)) if is_digest(digest) => format!("{}… {rest}", &digest[..4]),
        _ if value.is_empty() => "nothing".to_owned(),
        _ => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(first: &str) -> Option<String> {
        Some(format!("{first}{}/12", "0".repeat(60)))
    }

    fn source(path: &str, old: Option<String>, new: Option<String>) -> Change {
        Change { what: Changed::Source { path: path.into() }, old, new }
    }

    fn argument(position: &str, old: &str, new: &str) -> Change {
        let what = Changed::Field { field: Field::Argument, name: position.into() };
        Change { what, old: Some(old.into()), new: Some(new.into()) }
    }

    #[test]
    fn one_changed_input_is_told_with_all_that_did_not_change() {
        let reason = Reason::Changed(vec![source("work/src/lib.rs", digest("1f9c"), digest("77ab"))]);
        let totals = Totals { inputs: 18, arguments: 4, variables: 2 };
        assert_eq!(
            paragraph("app", &reason, Some(totals), Tense::Ran),
            "app ran because one input changed:\n  \
               src/lib.rs      1f9c… → 77ab…\n  \
               everything else in its key is the same (17 inputs, 4 arguments, 2 variables)\n"
        );
        assert_eq!(brief(&reason), "src/lib.rs changed");
    }

    #[test]
    fn many_changes_are_counted_and_the_first_are_told() {
        let mut changes: Vec<Change> = (0..5).map(|n| source(&format!("work/{n}"), None, digest("aaaa"))).collect();
        changes.push(argument("002", "-O", "-Os"));
        assert_eq!(
            paragraph("app", &Reason::Changed(changes.clone()), None, Tense::Would),
            "app would run because 5 inputs and one part of its command changed:\n  \
               0               new: aaaa…\n  \
               1               new: aaaa…\n  \
               2               new: aaaa…\n  \
               3               new: aaaa…\n  \
               4               new: aaaa…\n  \
               and 1 more\n"
        );
        assert_eq!(brief(&Reason::Changed(changes)), "0 is new, and 5 changes more");
    }

    #[test]
    fn a_changed_command_says_from_what_to_what() {
        let reason = Reason::Changed(vec![argument("002", "-O", "-Os")]);
        assert_eq!(
            paragraph("app", &reason, None, Tense::Ran),
            "app ran because one argument changed:\n  argument 2      -O → -Os\n"
        );
    }

    #[test]
    fn what_is_no_change_is_one_line() {
        assert_eq!(paragraph("app", &Reason::New, None, Tense::Ran), "app ran because nothing is remembered of it\n");
    }

    #[test]
    fn an_executable_bit_is_not_hidden_behind_a_digest() {
        let executable = digest("1f9c").map(|d| d + " executable");
        let reason = Reason::Changed(vec![source("work/x", digest("1f9c"), executable)]);
        assert!(paragraph("a", &reason, None, Tense::Ran).contains("1f9c… → 1f9c… executable"));
    }
}
