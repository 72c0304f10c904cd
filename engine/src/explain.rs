//! Two key records → the smallest true reason an action ran.

use std::collections::BTreeMap;

use crate::key::{Field, InputLine, KeyRecord};
use crate::path::RelPath;

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
}

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

fn diff_inputs(old: &BTreeMap<String, InputLine>, new: &BTreeMap<String, InputLine>) -> Vec<Change> {
    let what = |path: &str, line: &InputLine| {
        let path = path.to_owned();
        match line.from.as_str() {
            "" => Changed::Source { path },
            by => Changed::Made { path, by: by.to_owned() },
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
            }),
        }
    }
    for (path, line) in old.iter().filter(|(path, _)| !new.contains_key(*path)) {
        changes.push(Change { what: what(path, line), old: Some(line.value.clone()), new: None });
    }
    changes
}

fn diff_fields(old: &KeyRecord, new: &KeyRecord) -> Vec<Change> {
    let (old, new) = (named_fields(old), named_fields(new));
    let keys: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
    keys.into_iter()
        .filter(|key| old.get(*key) != new.get(*key))
        .map(|(field, name)| Change {
            what: Changed::Field { field: *field, name: name.clone() },
            old: old.get(&(*field, name.clone())).cloned(),
            new: new.get(&(*field, name.clone())).cloned(),
        })
        .collect()
}

/// Fields by kind and name; where a kind is a list, the position is the name.
fn named_fields(record: &KeyRecord) -> BTreeMap<(Field, String), String> {
    let mut fields = BTreeMap::new();
    let mut position = 0;
    for (field, name, value) in &record.fields {
        let name = match field {
            Field::Argument => {
                position += 1;
                format!("{position:03}")
            }
            // Outputs are a set: each is its own name.
            Field::Output => value.clone(),
            _ => name.clone(),
        };
        fields.insert((*field, name), value.clone());
    }
    fields
}

/// Where an input stands as its owner would say it: without the directory that every workspace file lies in.
#[must_use]
pub fn user_path<'a>(path: &'a str, workspace: &RelPath) -> &'a str {
    path.strip_prefix(workspace.as_str()).and_then(|rest| rest.strip_prefix('/')).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, fields: &[(Field, &str, &str)], inputs: &[(&str, &str, &str)]) -> KeyRecord {
        KeyRecord {
            key: key.into(),
            fields: fields.iter().map(|(f, n, v)| (*f, (*n).into(), (*v).into())).collect(),
            inputs: inputs
                .iter()
                .map(|(p, v, from)| ((*p).into(), InputLine { value: (*v).into(), from: (*from).into() }))
                .collect(),
            input_root: String::new(),
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
}
