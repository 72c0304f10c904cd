//! `Reason` → the smallest true sentence.

use run_engine::explain::{Change, Changed, Reason, Root, user_path};
use run_engine::key::{Field, KeyRecord};
use run_engine::path::RelPath;
use run_rules::rule::WORK;

use super::amount::plural;
use crate::put::put;

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

    /// What the record after a change held, less what was not there before, and more what is gone.
    pub(crate) fn before(record: &KeyRecord, reason: &Reason) -> Self {
        let mut totals = Self::of(record);
        let Reason::Changed(changes) = reason else { return totals };
        for change in changes {
            match (&change.old, &change.new, totals.of_its_kind(change)) {
                (None, Some(_), Some(n)) => *n = n.saturating_sub(1),
                (Some(_), None, Some(n)) => *n += 1,
                _ => {}
            }
        }
        totals
    }

    /// Those of them that are as they were.
    fn without(mut self, changes: &[Change]) -> Self {
        for change in changes.iter().filter(|change| change.old.is_some()) {
            if let Some(n) = self.of_its_kind(change) {
                *n = n.saturating_sub(1);
            }
        }
        self
    }

    const fn of_its_kind(&mut self, change: &Change) -> Option<&mut usize> {
        match &change.what {
            Changed::Source { .. } | Changed::Made { .. } | Changed::Mounted { .. } => Some(&mut self.inputs),
            Changed::Field { field: Field::Argument, .. } => Some(&mut self.arguments),
            Changed::Field { field: Field::Variable, .. } => Some(&mut self.variables),
            Changed::Field { .. } => None,
        }
    }
}

/// Whether an action ran, or would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tense {
    /// It did.
    Ran,
    /// It did not, because a store had its result.
    Reused,
    /// It would, if it were asked for.
    Would,
}

/// Why, as a paragraph: what changed from what to what, and what did not.
pub(crate) fn paragraph(label: &str, reason: &Reason, totals: Option<Totals>, tense: Tense) -> String {
    let verb = match tense {
        Tense::Ran => "ran",
        Tense::Reused => "was looked up, and a store had it,",
        Tense::Would => "would run",
    };
    let Reason::Changed(changes) = reason else {
        return format!("{label} {verb} because {}\n", brief(reason));
    };
    let mut text = format!("{label} {verb} because {}:\n{}", tally(changes), list(changes));
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

/// What changed from what to what, a line each, and below what another action made where that began.
pub(crate) fn list(changes: &[Change]) -> String {
    let names: Vec<String> = changes.iter().take(TOLD).map(|change| name(&change.what)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or_default().max(14);
    let mut text = String::new();
    for (name, change) in names.iter().zip(changes) {
        put!(text, "  {name:width$}  {}\n", from_to(change));
        for root in &change.roots {
            // The one step that there is has been named above.
            let through = if root.through.len() > 1 { &root.through[..] } else { &[] };
            put!(text, "    because {}\n", began(root, through));
        }
    }
    if changes.len() > TOLD {
        put!(text, "  and {} more\n", changes.len() - TOLD);
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

/// `src/lib.rs changed`; of what another action made, where that began.
fn event(change: &Change) -> String {
    let verb = match (&change.old, &change.new) {
        (None, _) => "is new",
        (Some(_), None) => "is gone",
        (Some(_), Some(_)) => "changed",
    };
    match change.roots.as_slice() {
        [] => format!("{} {verb}", name(&change.what)),
        [root] => began(root, &root.through),
        [root, rest @ ..] => format!("{} (and {} more)", began(root, &root.through), rest.len()),
    }
}

/// Where a change began, and its way from there: that of `through` which is to be told.
fn began(root: &Root, through: &[String]) -> String {
    let first = root.through.first().map_or("it", String::as_str);
    let (what, names_first) = match &root.because {
        Reason::Changed(changes) => (changes.first().map_or_else(|| brief(&Reason::Unexplained), event), false),
        Reason::New => (format!("nothing was remembered of {first}"), true),
        Reason::ResultLost => (format!("the result of {first} was lost, and now it left something else"), true),
        Reason::FailedBefore => (format!("{first} had failed before"), true),
        Reason::WeakerSandbox => (format!("{first} ran in a stronger sandbox, and left something else"), true),
        Reason::Forced => (format!("{first} ran with `--force`, and left something else"), true),
        Reason::Rewound => (format!("what {first} had made was lost, and now it left something else"), true),
        Reason::Unexplained => (format!("the key of {first} changed, in nothing that is recorded of it"), true),
    };
    let through = if names_first { through.get(1..).unwrap_or_default() } else { through };
    if through.is_empty() { what } else { format!("{what}, by way of {}", through.join(" → ")) }
}

/// What changed, as its owner would say it.
fn name(what: &Changed) -> String {
    match what {
        Changed::Source { path } => shown_path(path).to_owned(),
        Changed::Made { path, by } => format!("{} (made by {by})", shown_path(path)),
        Changed::Mounted { path, name } => format!("{path} (the tools `{name}`)"),
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
        Changed::Source { .. } | Changed::Made { .. } | Changed::Mounted { .. } => "input",
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
    match (&change.old, &change.new) {
        (Some(old), Some(new)) => {
            let front = common(old, new);
            format!("{} → {}", shown_value(old, front), shown_value(new, front))
        }
        (None, Some(new)) => format!("new: {}", shown_value(new, 0)),
        (Some(old), None) => format!("gone: {}", shown_value(old, 0)),
        (None, None) => "changed".to_owned(),
    }
}

/// How many characters two values begin with alike.
fn common(old: &str, new: &str) -> usize {
    old.chars().zip(new.chars()).take_while(|(a, b)| a == b).count()
}

/// A path without the directory that every file of the workspace stands in.
pub(crate) fn shown_path(path: &str) -> &str {
    RelPath::new(WORK).map_or(path, |workspace| user_path(path, &workspace))
}

/// How much of a value is shown, in characters. A script can be an argument.
const SHOWN: usize = 60;

/// A digest by its first digits; of anything long, what stands around the character where it differs.
fn shown_value(value: &str, differs: usize) -> String {
    match value.split_once(' ') {
        None if is_digest(value) => return format!("{}…", &value[..4]),
        Some((digest, rest)) if is_digest(digest) => return format!("{}… {rest}", &digest[..4]),
        _ if value.is_empty() => return "nothing".to_owned(),
        _ => {}
    }
    let n_chars = value.chars().count();
    let from = if n_chars <= SHOWN { 0 } else { differs.saturating_sub(SHOWN / 3) };
    let part: String = value.chars().skip(from).take(SHOWN).flat_map(escaped).collect();
    let (before, after) = (if from > 0 { "…" } else { "" }, if from + SHOWN < n_chars { "…" } else { "" });
    format!("{before}{part}{after}")
}

/// Control characters would disturb a line, or the terminal.
fn escaped(c: char) -> impl Iterator<Item = char> {
    let (plain, control) = if c.is_control() { (None, Some(c.escape_default())) } else { (Some(c), None) };
    plain.into_iter().chain(control.into_iter().flatten())
}

fn is_digest(text: &str) -> bool {
    text.split_once('/').is_some_and(|(hash, size)| {
        hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()) && size.parse::<u64>().is_ok()
    })
}

/// A digest by its first digits.
pub(crate) fn short(digest: &str) -> String {
    shown_value(digest, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(first: &str) -> Option<String> {
        Some(format!("{first}{}/12", "0".repeat(60)))
    }

    fn source(path: &str, old: Option<String>, new: Option<String>) -> Change {
        Change { what: Changed::Source { path: path.into() }, old, new, roots: vec![] }
    }

    fn argument(position: &str, old: &str, new: &str) -> Change {
        let what = Changed::Field { field: Field::Argument, name: position.into() };
        Change { what, old: Some(old.into()), new: Some(new.into()), roots: vec![] }
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

    #[test]
    fn what_another_action_made_is_led_back_to_the_file_that_began_it() {
        let root = |through: &[&str]| Root {
            through: through.iter().map(|label| (*label).to_owned()).collect(),
            because: Reason::Changed(vec![source("work/a.txt", digest("1f9c"), digest("77ab"))]),
        };
        let made = |roots| Change {
            what: Changed::Made { path: "work/g".into(), by: "gen".into() },
            old: digest("aaaa"),
            new: digest("bbbb"),
            roots,
        };
        let near = Reason::Changed(vec![made(vec![root(&["gen"])])]);
        assert_eq!(brief(&near), "a.txt changed, by way of gen");
        assert_eq!(
            paragraph("app", &near, None, Tense::Ran),
            "app ran because one input changed:\n  \
               g (made by gen)  aaaa… → bbbb…\n    \
                 because a.txt changed\n"
        );
        let far = Reason::Changed(vec![made(vec![root(&["gen", "lib"])])]);
        assert_eq!(brief(&far), "a.txt changed, by way of gen → lib");
        let forced = Root { through: vec!["gen".into()], because: Reason::Forced };
        let reason = Reason::Changed(vec![made(vec![forced])]);
        assert_eq!(brief(&reason), "gen ran with `--force`, and left something else");
    }

    #[test]
    fn of_a_long_value_the_place_that_differs_is_shown() {
        let script = |word: &str| format!("{}\n{word}{}", "x".repeat(100), "y".repeat(100));
        let reason = Reason::Changed(vec![argument("003", &script("old"), &script("new"))]);
        assert_eq!(
            paragraph("a", &reason, None, Tense::Ran),
            format!(
                "a ran because one argument changed:\n  argument 3      …{x}\\nold{y}… → …{x}\\nnew{y}…\n",
                x = "x".repeat(19),
                y = "y".repeat(37)
            )
        );
    }

    #[test]
    fn what_is_the_same_is_counted_from_either_side() {
        let record = |inputs: &[&str]| KeyRecord {
            inputs: inputs
                .iter()
                .map(|path| {
                    let line =
                        run_engine::key::InputLine { value: String::new(), from: run_engine::key::Origin::Source };
                    ((*path).to_owned(), line)
                })
                .collect(),
            ..KeyRecord::default()
        };
        let (old, new) = (record(&["gone", "gone too", "same"]), record(&["new", "same"]));
        let changes = vec![
            source("gone", digest("aaaa"), None),
            source("gone too", digest("aaaa"), None),
            source("new", None, digest("aaaa")),
        ];
        let reason = Reason::Changed(changes.clone());
        assert_eq!(Totals::before(&new, &reason), Totals::of(&old));
        assert_eq!(Totals::of(&old).without(&changes).inputs, 1);
    }
}
