//! Two machines' key records of the same actions → where the two part, and what only follows from that.

use std::collections::{BTreeMap, BTreeSet};

use super::{Change, Changed, diff};
use crate::key::{KeyRecord, Origin};

/// What one machine knows of an action.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Side {
    /// What its key is made of.
    pub record: KeyRecord,
    /// What it left, by path; empty where that is not known.
    pub outputs: BTreeMap<String, String>,
}

/// How the two machines stand to an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The keys are the same, and so is what it left as far as both know.
    Same,
    /// The keys differ in these, which do not follow from any other difference. The most telling first; empty when nothing
    /// that is recorded differs.
    Differs(Vec<Change>),
    /// The keys differ only because of what these actions left.
    Follows(BTreeSet<String>),
    /// The keys are the same and what it left is not: it can't be reproduced. Where, as it was there and as it is here.
    Varies(Vec<Change>),
    /// Only the other machine knows it.
    OnlyThere,
    /// Only this machine knows it.
    OnlyHere,
}

/// Compares what the other machine knows with what this one does, action by action.
#[must_use]
pub fn compare(theirs: &BTreeMap<String, Side>, ours: &BTreeMap<String, Side>) -> BTreeMap<String, Verdict> {
    let varying = varying(theirs, ours);
    let labels: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
    let verdict = |label: &String| match (theirs.get(label), ours.get(label)) {
        (Some(theirs), Some(ours)) if theirs.record.key == ours.record.key => match varying.get(label.as_str()) {
            None => Verdict::Same,
            Some(changes) => Verdict::Varies(changes.clone()),
        },
        (Some(theirs_of_it), Some(ours_of_it)) => {
            let explains = |by: &str| {
                let (Some(a), Some(b)) = (theirs.get(by), ours.get(by)) else { return false };
                a.record.key != b.record.key || varying.contains_key(by)
            };
            differs(&theirs_of_it.record, &ours_of_it.record, explains)
        }
        (Some(_), None) => Verdict::OnlyThere,
        _ => Verdict::OnlyHere,
    };
    labels.into_iter().map(|label| (label.clone(), verdict(label))).collect()
}

fn differs(theirs: &KeyRecord, ours: &KeyRecord, explains: impl Fn(&str) -> bool) -> Verdict {
    let is_same_maker = |path: &str, by: &str| {
        let line = theirs.inputs.get(path);
        line.is_some_and(|line| line.from == Origin::Action(by.to_owned()))
    };
    let mut makers = BTreeSet::new();
    let mut own = Vec::new();
    for change in diff(theirs, ours) {
        match &change.what {
            Changed::Made { path, by } if change.new.is_some() && is_same_maker(path, by) && explains(by) => {
                makers.insert(by.clone());
            }
            _ => own.push(change),
        }
    }
    if own.is_empty() && !makers.is_empty() { Verdict::Follows(makers) } else { Verdict::Differs(own) }
}

/// The actions that left something else under the same key, as they say themselves or as their consumers' inputs show.
fn varying<'a>(theirs: &'a BTreeMap<String, Side>, ours: &'a BTreeMap<String, Side>) -> BTreeMap<&'a str, Vec<Change>> {
    let mut varying: BTreeMap<&str, Vec<Change>> = BTreeMap::new();
    let has_same_key = |label: &str| matches!((theirs.get(label), ours.get(label)), (Some(a), Some(b)) if a.record.key == b.record.key);
    let change = |path: &str, by: &str, old: &str, new: &str| Change {
        what: Changed::Made { path: path.to_owned(), by: by.to_owned() },
        old: Some(old.to_owned()),
        new: Some(new.to_owned()),
        roots: vec![],
    };
    for (label, there) in theirs {
        let Some(here) = ours.get(label) else { continue };
        if there.record.key == here.record.key {
            for (path, old) in &there.outputs {
                if let Some(new) = here.outputs.get(path).filter(|new| *new != old) {
                    varying.entry(label).or_default().push(change(path, label, old, new));
                }
            }
        }
    }
    let shown: BTreeSet<&str> = varying.keys().copied().collect();
    for (label, there) in theirs {
        let Some(here) = ours.get(label) else { continue };
        for (path, old) in &there.record.inputs {
            let Origin::Action(by) = &old.from else { continue };
            let new = here.record.inputs.get(path).filter(|new| new.from == old.from && new.value != old.value);
            if let Some(new) = new
                && has_same_key(by)
                && !shown.contains(by.as_str())
            {
                let change = change(path, by, &old.value, &new.value);
                let known = varying.entry(by).or_default();
                if !known.contains(&change) {
                    known.push(change);
                }
            }
        }
    }
    varying
}

#[cfg(test)]
mod tests {
    use super::super::tests::record;
    use super::*;

    /// A label, a key, inputs by path, value and maker, and what was left.
    type Known<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str, &'a str)], &'a str);

    fn sides(of: &[Known<'_>]) -> BTreeMap<String, Side> {
        let side = |(label, key, inputs, left): &Known<'_>| {
            let outputs = if left.is_empty() { BTreeMap::new() } else { [("o".into(), (*left).into())].into() };
            ((*label).to_owned(), Side { record: record(key, &[], inputs), outputs })
        };
        of.iter().map(side).collect()
    }

    fn check(theirs: &[Known<'_>], ours: &[Known<'_>], expected: &str) {
        let told: Vec<String> = compare(&sides(theirs), &sides(ours))
            .into_iter()
            .map(|(label, verdict)| match verdict {
                Verdict::Differs(changes) => {
                    format!("{label} differs in {:?}", changes.iter().map(|c| &c.what).collect::<Vec<_>>())
                }
                Verdict::Varies(changes) => {
                    format!("{label} varies in {:?}", changes.iter().map(|c| &c.what).collect::<Vec<_>>())
                }
                verdict => format!("{label} {verdict:?}"),
            })
            .collect();
        assert_eq!(told.join("\n"), expected);
    }

    #[test]
    fn what_follows_from_another_difference_is_told_apart() {
        check(
            &[("gen", "1", &[("a", "1", "")], "1"), ("app", "1", &[("g", "1", "gen")], ""), ("z", "1", &[], "1")],
            &[("gen", "2", &[("a", "2", "")], "2"), ("app", "2", &[("g", "2", "gen")], ""), ("z", "1", &[], "1")],
            "app Follows({\"gen\"})\ngen differs in [Source { path: \"a\" }]\nz Same",
        );
    }

    #[test]
    fn other_bytes_under_one_key_are_the_action_that_can_not_be_reproduced() {
        check(
            &[("gen", "1", &[("a", "1", "")], "1"), ("app", "1", &[("g", "1", "gen")], "")],
            &[("gen", "1", &[("a", "1", "")], "2"), ("app", "2", &[("g", "2", "gen")], "")],
            "app Follows({\"gen\"})\ngen varies in [Made { path: \"o\", by: \"gen\" }]",
        );
        // What it left is known from nothing but what its consumer read.
        check(
            &[("gen", "1", &[], ""), ("app", "1", &[("g", "1", "gen")], "")],
            &[("gen", "1", &[], ""), ("app", "2", &[("g", "2", "gen")], "")],
            "app Follows({\"gen\"})\ngen varies in [Made { path: \"g\", by: \"gen\" }]",
        );
    }

    #[test]
    fn what_no_other_difference_explains_is_its_own() {
        check(
            &[("app", "1", &[("g", "1", "gen")], ""), ("old", "1", &[], "")],
            &[("app", "2", &[("g", "2", "gen")], ""), ("new", "1", &[], "")],
            "app differs in [Made { path: \"g\", by: \"gen\" }]\nnew OnlyHere\nold OnlyThere",
        );
        check(&[("app", "1", &[], "")], &[("app", "2", &[], "")], "app differs in []");
    }
}
