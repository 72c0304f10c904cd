//! `History`: what earlier builds of a workspace taught us. Disposable: without it, builds are as right and less
//! well explained.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::digest::DigestFunction;
use crate::explain::Reason;
use crate::key::KeyRecord;
use crate::store::ActionResult;
use crate::verdict::Verdict;

mod messages;

/// What is remembered of each action, by its label.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct History {
    entries: BTreeMap<String, Remembered>,
    /// How many builds there were.
    builds: u64,
    /// The time of day of the present one.
    now: u64,
}

/// What is remembered of one action.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// What its key was made of.
    pub record: KeyRecord,
    /// How long it took when it was last run; zero when it never was.
    pub took: Duration,
    /// Whether it failed the last time.
    pub failed: bool,
    /// The digest of what it left, for noticing that a run changed nothing.
    pub left: String,
    /// Why it was run, or looked up under another key, the last time that all was not as before.
    pub because: Option<Reason>,
    /// Whether a store had its result that time.
    pub reused: bool,
    /// When that was, in seconds since 1970.
    pub at: u64,
    /// The number of the build that last settled it.
    pub seen: u64,
    /// Why what it leaves last became what it is.
    pub shift: Option<Shift>,
    /// Whether it was seen to leave something else when it was run again elsewhere, and has not been seen to leave the same
    /// since.
    pub varies: bool,
}

/// How what an action leaves became another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shift {
    /// In which build.
    pub build: u64,
    /// In which build that had happened before; zero where it had not.
    pub earlier: u64,
    /// Why it was run, or looked up, then; `None` where a store had another result under the same key.
    pub because: Option<Reason>,
}

impl History {
    /// What is remembered under a label.
    #[must_use]
    pub fn find(&self, label: &str) -> Option<&Remembered> {
        self.entries.get(label)
    }

    /// Remembers an action, as of the present build.
    pub fn remember(&mut self, label: &str, remembered: Remembered) {
        self.entries.insert(label.to_owned(), Remembered { seen: self.builds, ..remembered });
    }

    /// The time of day of the builds to come, in seconds since 1970: told, because nothing here reads a clock.
    pub const fn set_time(&mut self, now: u64) {
        self.now = now;
    }

    /// The time of day of the present build, in seconds since 1970.
    #[must_use]
    pub const fn time(&self) -> u64 {
        self.now
    }

    /// Another build begins.
    pub(crate) const fn begin(&mut self) {
        self.builds += 1;
    }

    /// The number of the present build.
    pub(crate) const fn build(&self) -> u64 {
        self.builds
    }

    /// Why what `producer` leaves is not what it was when `consumer` last settled; `None` where that is not known, or more
    /// than one thing happened to it since.
    pub(crate) fn why_moved(&self, producer: &str, consumer: &str) -> Option<&Reason> {
        let since = self.find(consumer)?.seen;
        let shift = self.find(producer)?.shift.as_ref()?;
        shift.because.as_ref().filter(|_| shift.build > since && shift.earlier <= since)
    }

    /// Remembers what came of running an action once more. A verdict that says nothing about it changes nothing.
    pub(crate) fn mark(&mut self, label: &str, verdict: &Verdict) {
        if let Some(remembered) = self.entries.get_mut(label) {
            match verdict {
                Verdict::Same => remembered.varies = false,
                Verdict::Differs { .. } | Verdict::Fails { .. } => remembered.varies = true,
                Verdict::Fetches | Verdict::Known | Verdict::Unable { .. } => {}
            }
        }
    }

    /// Whether an action is known to vary.
    #[must_use]
    pub fn varies(&self, label: &str) -> bool {
        self.find(label).is_some_and(|remembered| remembered.varies)
    }

    /// Forgets every action whose label `keep` refuses: those of targets that no longer exist.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.entries.retain(|label, _| keep(label));
    }
}

/// The digest of what an action left, for comparing two runs of it.
#[must_use]
pub fn digest_of_outputs(result: &ActionResult) -> String {
    let mut hasher = DigestFunction::Blake3.hasher();
    for output in &result.outputs {
        hasher.update(format!("{} {:?}\n", output.path, output.node).as_bytes());
    }
    hasher.finish::<crate::digest::Blob>().hex()
}

#[cfg(test)]
mod tests {
    use super::messages::FIELDS;
    use super::*;
    use crate::explain::{Change, Changed, Root};
    use crate::key::{Field, InputLine, Origin};

    fn change(what: Changed, old: Option<&str>, new: Option<&str>) -> Change {
        Change { what, old: old.map(str::to_owned), new: new.map(str::to_owned), roots: vec![] }
    }

    fn sample() -> History {
        let mut history = History::default();
        let record = KeyRecord {
            key: "k".into(),
            fields: FIELDS[..7].iter().map(|(f, n)| (*f, n.to_string(), "v".into())).collect(),
            inputs: [("a".to_owned(), InputLine { value: "1".into(), from: Origin::Action("lib".into()) })].into(),
            input_root: "r".into(),
        };
        history.remember(
            "app compile",
            Remembered {
                record,
                took: Duration::from_millis(1500),
                failed: true,
                left: "l".into(),
                varies: true,
                because: Some(Reason::Changed(vec![
                    change(Changed::Source { path: "a".into() }, None, Some("1")),
                    Change {
                        roots: vec![Root { through: vec!["c".into(), "b".into()], because: Reason::Forced }],
                        ..change(Changed::Made { path: "a".into(), by: "b".into() }, Some("1"), None)
                    },
                    change(Changed::Mounted { path: "t".into(), name: "rust".into() }, Some("1"), Some("2")),
                    change(Changed::Field { field: Field::Salt, name: "s".into() }, Some("1"), Some("2")),
                ])),
                reused: true,
                at: 5,
                seen: 0,
                shift: Some(Shift { build: 2, earlier: 1, because: Some(Reason::New) }),
            },
        );
        history
    }

    #[test]
    fn what_is_remembered_comes_back() {
        let history = sample();
        assert_eq!(History::decode(&history.encode()), history);
    }

    #[test]
    fn anything_else_is_an_empty_history() {
        let bytes = sample().encode();
        for cut in [0, 5, 24, 25, bytes.len() - 1] {
            assert_eq!(History::decode(&bytes[..cut]), History::default(), "{cut}");
        }
        for flip in 0..bytes.len() {
            let mut rotten = bytes.clone();
            rotten[flip] ^= 1;
            assert_eq!(History::decode(&rotten), History::default(), "{flip}");
        }
    }

    #[test]
    fn why_an_output_moved_is_known_only_when_one_thing_happened_to_it() {
        let mut history = History::default();
        let shift = |build, earlier| Some(Shift { build, earlier, because: Some(Reason::Forced) });
        history.begin();
        history.remember("app", Remembered::default());
        let moved = |mut history: History, build, earlier| {
            history.begin();
            history.remember("lib", Remembered { shift: shift(build, earlier), ..Remembered::default() });
            history.why_moved("lib", "app").cloned()
        };
        assert_eq!(moved(history.clone(), 2, 1), Some(Reason::Forced));
        assert_eq!(moved(history.clone(), 1, 0), None, "the consumer has seen that");
        assert_eq!(moved(history.clone(), 3, 2), None, "and something else before");
        assert_eq!(history.why_moved("lib", "app"), None);
    }
}
