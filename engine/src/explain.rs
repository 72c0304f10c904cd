//! Two key records → the smallest true reason an action ran.

use std::collections::{BTreeMap, BTreeSet};

use crate::key::{Field, InputLine, KeyRecord, Origin};
use crate::path::RelPath;

pub mod compare;

/// Why an action ran, or would. A fact, not a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Nothing is remembered under its name: it is new here, or the workspace's state was deleted.
    New,
    /// The key changed; these are the differences, the most telling first. Never empty.
    Changed(Vec<Change>),
    /// The key is that of last time, but the store no longer has the result, or part of it.
    ResultLost,
    /// It failed last time, and failures are not kept.
    FailedBefore,
    /// The only result was made in a weaker sandbox than there is now.
    WeakerSandbox,
    /// The user asked for it.
    Forced,
    /// What it had made was needed again and had been lost from the store while the build ran.
    Rewound,
    /// The key differs and every field we recorded is the same. Said plainly, because guessing would be worse.
    Unexplained,
}

/// One difference between two key records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What differs.
    pub what: Changed,
    /// How it was; `None` when it was not there.
    pub old: Option<String>,
    /// How it is; `None` when it is gone.
    pub new: Option<String>,
    /// For an input that another action made: where that began, as far as it is known.
    pub roots: Vec<Root>,
}

/// Where the change of a made input began: the smallest true reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The actions it came through, from the one that moved first to the one whose output is read.
    pub through: Vec<String>,
    /// What moved the first of them: one change that has no roots itself, or another reason.
    pub because: Reason,
}

/// How many roots of one change are kept.
const ROOTS_MAX: usize = 5;

/// What kind of thing a [`Change`] is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Changed {
    /// A file of the user's.
    Source {
        /// Where it stands in the input root.
        path: String,
    },
    /// The output of another action.
    Made {
        /// Where it stands in the input root.
        path: String,
        /// The label of the action that made it.
        by: String,
    },
    /// A tree of this machine's: a toolchain.
    Mounted {
        /// Where it stands in the input root.
        path: String,
        /// What people call it.
        name: String,
    },
    /// A keyed field.
    Field {
        /// Which kind.
        field: Field,
        /// The name of the variable or property, the position of the argument, or nothing.
        name: String,
    },
}

/// The differences between two records, the most telling first: the user's own files, then what was made from them,
/// then the command itself.
#[must_use]
pub fn diff(old: &KeyRecord, new: &KeyRecord) -> Vec<Change> {
    let mut changes = diff_inputs(&old.inputs, &new.inputs);
    changes.extend(diff_fields(old, new));
    changes.sort_by(|a, b| a.what.cmp(&b.what));
    changes
}

/// Why an action whose record is `new` ran, when `old` is what is remembered of the last time.
#[must_use]
pub fn reason(old: Option<&KeyRecord>, new: &KeyRecord) -> Reason {
    let Some(old) = old else { return Reason::New };
    if old.key == new.key {
        return Reason::ResultLost;
    }
    let changes = diff(old, new);
    if changes.is_empty() { Reason::Unexplained } else { Reason::Changed(changes) }
}

/// Adds to each change of an input that the same action had made before where that began. `moved` tells why what an
/// action leaves is not what it was, where that is known.
pub fn lead_back<'a>(reason: &mut Reason, old: &KeyRecord, moved: impl Fn(&str) -> Option<&'a Reason>) {
    let Reason::Changed(changes) = reason else { return };
    for change in changes {
        let Changed::Made { path, by } = &change.what else { continue };
        let is_same_maker = old.inputs.get(path).is_some_and(|line| line.from == Origin::Action(by.clone()));
        if is_same_maker
            && change.new.is_some()
            && let Some(because) = moved(by)
        {
            change.roots = roots(by, because);
        }
    }
}

/// What began what an action left, each once, by the shortest way first found.
fn roots(by: &str, because: &Reason) -> Vec<Root> {
    let own = |because| Root { through: vec![by.to_owned()], because };
    let Reason::Changed(changes) = because else { return vec![own(because.clone())] };
    let mut found: Vec<Root> = Vec::new();
    for change in changes {
        let further = |root: &Root| {
            let through = root.through.iter().cloned().chain([by.to_owned()]).collect();
            Root { through, because: root.because.clone() }
        };
        let roots = match change.roots.as_slice() {
            [] => vec![own(Reason::Changed(vec![change.clone()]))],
            roots => roots.iter().map(further).collect(),
        };
        for root in roots {
            if !found.iter().any(|other| other.because == root.because) && found.len() < ROOTS_MAX {
                found.push(root);
            }
        }
    }
    found
}

fn diff_inputs(old: &BTreeMap<String, InputLine>, new: &BTreeMap<String, InputLine>) -> Vec<Change> {
    let what = |path: &str, line: &InputLine| {
        let path = path.to_owned();
        match &line.from {
            Origin::Source => Changed::Source { path },
            Origin::Action(by) => Changed::Made { path, by: by.clone() },
            Origin::Mounted(name) => Changed::Mounted { path, name: name.clone() },
        }
    };
    let mut changes = Vec::new();
    for (path, line) in new {
        match old.get(path) {
            Some(before) if before.value == line.value => {}
            before => changes.push(Change {
                what: what(path, line),
                old: before.map(|b| b.value.clone()),
                new: Some(line.value.clone()),
                roots: vec![],
            }),
        }
    }
    for (path, line) in old.iter().filter(|(path, _)| !new.contains_key(*path)) {
        changes.push(Change { what: what(path, line), old: Some(line.value.clone()), new: None, roots: vec![] });
    }
    changes
}

fn diff_fields(old: &KeyRecord, new: &KeyRecord) -> Vec<Change> {
    let (old_named, new_named) = (named_fields(old), named_fields(new));
    let keys: BTreeSet<_> = old_named.keys().chain(new_named.keys()).collect();
    keys.into_iter()
        .filter(|key| old_named.get(*key) != new_named.get(*key))
        .map(|key| field(key.0, key.1, old_named.get(key).copied(), new_named.get(key).copied()))
        .chain(diff_arguments(&arguments(old), &arguments(new)))
        .collect()
}

fn field(field: Field, name: &str, old: Option<&str>, new: Option<&str>) -> Change {
    let what = Changed::Field { field, name: name.to_owned() };
    Change { what, old: old.map(str::to_owned), new: new.map(str::to_owned), roots: vec![] }
}

/// Arguments by position. One that was put in or left out is one change: those behind it moved, and did not change.
fn diff_arguments(old: &[&str], new: &[&str]) -> Vec<Change> {
    let same = |(a, b): &(&&str, &&str)| a == b;
    let front = old.iter().zip(new).take_while(same).count();
    let (old, new) = (&old[front..], &new[front..]);
    let back = old.iter().rev().zip(new.iter().rev()).take_while(same).count();
    let (old, new) = (&old[..old.len() - back], &new[..new.len() - back]);
    (0..old.len().max(new.len()))
        .map(|n| {
            let position = format!("{:03}", front + n + 1);
            field(Field::Argument, &position, old.get(n).copied(), new.get(n).copied())
        })
        .filter(|change| change.old != change.new)
        .collect()
}

fn arguments(record: &KeyRecord) -> Vec<&str> {
    let is_argument = |field: &&(Field, String, String)| field.0 == Field::Argument;
    record.fields.iter().filter(is_argument).map(|(.., value)| value.as_str()).collect()
}

/// Every other field by kind and name. Outputs are a set: each is its own name.
fn named_fields(record: &KeyRecord) -> BTreeMap<(Field, &str), &str> {
    record
        .fields
        .iter()
        .filter(|(field, ..)| *field != Field::Argument)
        .map(|(field, name, value)| match field {
            Field::Output => ((*field, value.as_str()), value.as_str()),
            _ => ((*field, name.as_str()), value.as_str()),
        })
        .collect()
}

/// Where an input stands as its owner would say it: without the directory that every workspace file lies in.
#[must_use]
pub fn user_path<'a>(path: &'a str, workspace: &RelPath) -> &'a str {
    path.strip_prefix(workspace.as_str()).and_then(|rest| rest.strip_prefix('/')).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn record(key: &str, fields: &[(Field, &str, &str)], inputs: &[(&str, &str, &str)]) -> KeyRecord {
        KeyRecord {
            key: key.into(),
            fields: fields.iter().map(|(f, n, v)| (*f, (*n).into(), (*v).into())).collect(),
            inputs: inputs
                .iter()
                .map(|(p, v, from)| ((*p).into(), InputLine { value: (*v).into(), from: origin(from) }))
                .collect(),
            input_root: String::new(),
        }
    }

    fn origin(from: &str) -> Origin {
        match (from, from.strip_prefix('@')) {
            ("", _) => Origin::Source,
            (_, Some(tree)) => Origin::Mounted(tree.into()),
            (label, None) => Origin::Action(label.into()),
        }
    }

    #[test]
    fn sources_come_before_what_is_made_of_them_and_both_before_the_command() {
        let old = record("1", &[(Field::Argument, "", "cc")], &[("a", "1", ""), ("o", "1", "lib"), ("gone", "1", "")]);
        let new = record(
            "2",
            &[(Field::Argument, "", "cc"), (Field::Argument, "", "-O")],
            &[("a", "2", ""), ("o", "2", "lib"), ("new", "1", "")],
        );
        let Reason::Changed(changes) = reason(Some(&old), &new) else { panic!("the key changed") };
        let told: Vec<String> = changes.iter().map(|c| format!("{:?} {:?} {:?}", c.what, c.old, c.new)).collect();
        assert_eq!(
            told,
            [
                r#"Source { path: "a" } Some("1") Some("2")"#,
                r#"Source { path: "gone" } Some("1") None"#,
                r#"Source { path: "new" } None Some("1")"#,
                r#"Made { path: "o", by: "lib" } Some("1") Some("2")"#,
                r#"Field { field: Argument, name: "002" } None Some("-O")"#,
            ]
        );
    }

    #[test]
    fn what_is_not_known_is_said_plainly() {
        let one = record("1", &[], &[]);
        assert_eq!(reason(None, &one), Reason::New);
        assert_eq!(reason(Some(&one), &one), Reason::ResultLost);
        assert_eq!(reason(Some(&one), &record("2", &[], &[])), Reason::Unexplained);
    }

    /// `gen` reads `a`; `lib` reads what `gen` made, and `b`; `app` reads what both made.
    #[test]
    fn a_change_is_led_back_to_the_sources_that_began_it() {
        let changed = |old: &[(&str, &str, &str)], new: &[(&str, &str, &str)], moved: &BTreeMap<&str, Reason>| {
            let (old, new) = (record("1", &[], old), record("2", &[], new));
            let mut reason = reason(Some(&old), &new);
            lead_back(&mut reason, &old, |label| moved.get(label));
            reason
        };
        let mut moved = BTreeMap::new();
        moved.insert("gen", changed(&[("a", "1", "")], &[("a", "2", "")], &moved));
        let lib = [("g", "1", "gen"), ("b", "1", "")];
        moved.insert("lib", changed(&lib, &[("g", "2", "gen"), ("b", "2", "")], &moved));
        let app = [("g", "1", "gen"), ("l", "1", "lib"), ("o", "1", "other")];
        let told = changed(&app, &[("g", "2", "gen"), ("l", "2", "lib"), ("o", "1", "new")], &moved);
        let Reason::Changed(changes) = told else { panic!("the key changed") };
        let roots: Vec<(Vec<&str>, &Changed)> = changes
            .iter()
            .flat_map(|change| &change.roots)
            .map(|root| {
                let Reason::Changed(changes) = &root.because else { panic!("a change began it") };
                (root.through.iter().map(String::as_str).collect(), &changes[0].what)
            })
            .collect();
        let source = |path: &str| Changed::Source { path: path.into() };
        assert_eq!(
            roots,
            [(vec!["gen"], &source("a")), (vec!["lib"], &source("b")), (vec!["gen", "lib"], &source("a"))]
        );
    }

    #[test]
    fn what_was_not_made_before_or_is_made_by_another_has_no_root() {
        let old = record("1", &[], &[("o", "1", "lib"), ("gone", "1", "lib")]);
        let new = record("2", &[], &[("o", "2", "gen"), ("new", "1", "gen")]);
        let mut told = reason(Some(&old), &new);
        lead_back(&mut told, &old, |_| Some(&Reason::Forced));
        let Reason::Changed(changes) = told else { panic!("the key changed") };
        assert!(changes.iter().all(|change| change.roots.is_empty()), "{changes:?}");
    }

    #[test]
    fn a_toolchain_is_no_output() {
        let (old, new) = (record("1", &[], &[("t", "1", "@rust")]), record("2", &[], &[("t", "2", "@rust")]));
        assert_eq!(diff(&old, &new)[0].what, Changed::Mounted { path: "t".into(), name: "rust".into() });
    }

    #[test]
    fn an_argument_that_was_put_in_is_one_change() {
        let words = |words: &[&str]| {
            let fields: Vec<_> = words.iter().map(|word| (Field::Argument, "", *word)).collect();
            record("", &fields, &[])
        };
        let told = |old: &[&str], new: &[&str]| -> Vec<String> {
            let changes = diff(&words(old), &words(new));
            changes.iter().map(|c| format!("{:?}: {:?} {:?}", c.what, c.old, c.new)).collect()
        };
        let at = |position, rest| format!("Field {{ field: Argument, name: \"{position}\" }}: {rest}");
        assert_eq!(told(&["cc", "a", "b"], &["cc", "-O", "a", "b"]), [at("002", "None Some(\"-O\")")]);
        assert_eq!(told(&["cc", "a", "a"], &["cc", "a"]), [at("003", "Some(\"a\") None")]);
        assert_eq!(told(&["cc", "a", "b"], &["cc", "c", "b"]), [at("002", "Some(\"a\") Some(\"c\")")]);
    }
}
