//! `History`: what earlier builds of a workspace taught us. Disposable: without it, builds are as right and less
//! well explained.

use std::collections::BTreeMap;
use std::time::Duration;

use prost::Message as _;

use crate::digest::DigestFunction;
use crate::explain::{Change, Changed, Reason};
use crate::key::{Field, InputLine, KeyRecord};
use crate::sealed::Seal;
use crate::store::ActionResult;

/// What is remembered of each action, by its label.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct History {
    entries: BTreeMap<String, Remembered>,
}

/// What is remembered of one action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// What its key was made of.
    pub record: KeyRecord,
    /// How long it took when it was last run; zero when it never was.
    pub took: Duration,
    /// Whether it failed the last time.
    pub failed: bool,
    /// The digest of what it left, for noticing that a run changed nothing.
    pub left: String,
    /// Why it ran, when it was last run here.
    pub because: Option<Reason>,
}

impl History {
    /// What is remembered under a label.
    #[must_use]
    pub fn find(&self, label: &str) -> Option<&Remembered> {
        self.entries.get(label)
    }

    /// Remembers an action.
    pub fn remember(&mut self, label: &str, remembered: Remembered) {
        self.entries.insert(label.to_owned(), remembered);
    }

    /// Forgets every action whose label `keep` refuses: those of targets that no longer exist.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.entries.retain(|label, _| keep(label));
    }

    /// The bytes to keep.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let entries = self.entries.iter().map(|(label, r)| EntryMessage::from_parts(label, r)).collect();
        SEAL.close(&HistoryMessage { entries }.encode_to_vec())
    }

    /// Reads what [`History::encode`] wrote. Anything else, an older version included, is an empty history.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        Self::try_decode(bytes).unwrap_or_default()
    }

    fn try_decode(bytes: &[u8]) -> Option<Self> {
        let message = HistoryMessage::decode(SEAL.open(bytes)?).ok()?;
        let entries = message.entries.into_iter().map(EntryMessage::into_parts).collect::<Option<_>>()?;
        Some(Self { entries })
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

const SEAL: Seal = Seal { kind: *b"HIST", version: 1 };

#[derive(Clone, PartialEq, prost::Message)]
struct HistoryMessage {
    #[prost(message, repeated, tag = "1")]
    entries: Vec<EntryMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct EntryMessage {
    #[prost(string, tag = "1")]
    label: String,
    #[prost(message, optional, tag = "2")]
    record: Option<RecordMessage>,
    #[prost(uint64, tag = "3")]
    took_us: u64,
    #[prost(bool, tag = "4")]
    failed: bool,
    #[prost(string, tag = "5")]
    left: String,
    #[prost(message, optional, tag = "6")]
    because: Option<ReasonMessage>,
}

/// A key record in bytes. Also the body of an exported one.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RecordMessage {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, repeated, tag = "2")]
    fields: Vec<FieldMessage>,
    #[prost(message, repeated, tag = "3")]
    inputs: Vec<InputMessage>,
    #[prost(string, tag = "4")]
    input_root: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct FieldMessage {
    #[prost(uint32, tag = "1")]
    field: u32,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct InputMessage {
    #[prost(string, tag = "1")]
    path: String,
    #[prost(string, tag = "2")]
    value: String,
    #[prost(string, tag = "3")]
    from: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ReasonMessage {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(message, repeated, tag = "2")]
    changes: Vec<ChangeMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ChangeMessage {
    /// Set for inputs.
    #[prost(string, optional, tag = "1")]
    path: Option<String>,
    /// Set for inputs that another action made.
    #[prost(string, optional, tag = "2")]
    by: Option<String>,
    /// Set for everything else.
    #[prost(message, optional, tag = "3")]
    field: Option<FieldMessage>,
    #[prost(string, optional, tag = "4")]
    old: Option<String>,
    #[prost(string, optional, tag = "5")]
    new: Option<String>,
}

/// The numbers of reasons on disk: added to, never reused. `Changed` is 0, whose changes say the rest.
const REASONS: [(Reason, u32); 7] = [
    (Reason::New, 1),
    (Reason::ResultLost, 2),
    (Reason::FailedBefore, 3),
    (Reason::WeakerSandbox, 4),
    (Reason::Forced, 5),
    (Reason::Rewound, 6),
    (Reason::Unexplained, 7),
];

impl ReasonMessage {
    fn from_reason(reason: &Reason) -> Self {
        let changes = match reason {
            Reason::Changed(changes) => changes.iter().map(ChangeMessage::from_change).collect(),
            _ => Vec::new(),
        };
        Self { kind: REASONS.iter().find(|(r, _)| r == reason).map_or(0, |(_, n)| *n), changes }
    }

    fn into_reason(self) -> Option<Reason> {
        match self.kind {
            0 => self.changes.into_iter().map(ChangeMessage::into_change).collect::<Option<_>>().map(Reason::Changed),
            kind => REASONS.iter().find(|(_, n)| *n == kind).map(|(r, _)| r.clone()),
        }
    }
}

impl ChangeMessage {
    fn from_change(change: &Change) -> Self {
        let (path, by, field) = match &change.what {
            Changed::Source { path } => (Some(path.clone()), None, None),
            Changed::Made { path, by } => (Some(path.clone()), Some(by.clone()), None),
            Changed::Field { field, name } => {
                (None, None, Some(FieldMessage { field: number_of(*field), name: name.clone(), value: String::new() }))
            }
        };
        Self { path, by, field, old: change.old.clone(), new: change.new.clone() }
    }

    fn into_change(self) -> Option<Change> {
        let what = match (self.path, self.by, self.field) {
            (Some(path), None, None) => Changed::Source { path },
            (Some(path), Some(by), None) => Changed::Made { path, by },
            (None, None, Some(f)) => Changed::Field { field: field_of(f.field)?, name: f.name },
            _ => return None,
        };
        Some(Change { what, old: self.old, new: self.new })
    }
}

fn number_of(field: Field) -> u32 {
    FIELDS.iter().find(|(f, _)| *f == field).map_or(0, |(_, n)| *n)
}

fn field_of(number: u32) -> Option<Field> {
    FIELDS.iter().find(|(_, n)| *n == number).map(|(f, _)| *f)
}

/// The numbers of fields on disk: added to, never reused.
const FIELDS: [(Field, u32); 8] = [
    (Field::Argument, 1),
    (Field::Variable, 2),
    (Field::Output, 3),
    (Field::Directory, 4),
    (Field::Property, 5),
    (Field::Timeout, 6),
    (Field::Salt, 7),
    (Field::InputRoot, 8),
];

impl RecordMessage {
    fn from_record(record: &KeyRecord) -> Self {
        Self {
            key: record.key.clone(),
            fields: record
                .fields
                .iter()
                .map(|(f, name, value)| FieldMessage { field: number_of(*f), name: name.clone(), value: value.clone() })
                .collect(),
            inputs: record
                .inputs
                .iter()
                .map(|(path, l)| InputMessage { path: path.clone(), value: l.value.clone(), from: l.from.clone() })
                .collect(),
            input_root: record.input_root.clone(),
        }
    }

    fn into_record(self) -> Option<KeyRecord> {
        Some(KeyRecord {
            key: self.key,
            fields: self
                .fields
                .into_iter()
                .map(|f| Some((field_of(f.field)?, f.name, f.value)))
                .collect::<Option<_>>()?,
            inputs: self.inputs.into_iter().map(|i| (i.path, InputLine { value: i.value, from: i.from })).collect(),
            input_root: self.input_root,
        })
    }
}

impl EntryMessage {
    fn from_parts(label: &str, remembered: &Remembered) -> Self {
        Self {
            label: label.to_owned(),
            record: Some(RecordMessage::from_record(&remembered.record)),
            took_us: u64::try_from(remembered.took.as_micros()).unwrap_or(u64::MAX),
            failed: remembered.failed,
            left: remembered.left.clone(),
            because: remembered.because.as_ref().map(ReasonMessage::from_reason),
        }
    }

    fn into_parts(self) -> Option<(String, Remembered)> {
        let remembered = Remembered {
            record: self.record?.into_record()?,
            took: Duration::from_micros(self.took_us),
            failed: self.failed,
            left: self.left,
            because: self.because.and_then(ReasonMessage::into_reason),
        };
        Some((self.label, remembered))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> History {
        let mut history = History::default();
        let record = KeyRecord {
            key: "k".into(),
            fields: FIELDS[..7].iter().map(|(f, n)| (*f, n.to_string(), "v".into())).collect(),
            inputs: [("a".to_owned(), InputLine { value: "1".into(), from: "lib".into() })].into(),
            input_root: "r".into(),
        };
        history.remember(
            "app compile",
            Remembered {
                record,
                took: Duration::from_millis(1500),
                failed: true,
                left: "l".into(),
                because: Some(Reason::Changed(vec![
                    Change { what: Changed::Source { path: "a".into() }, old: None, new: Some("1".into()) },
                    Change {
                        what: Changed::Made { path: "a".into(), by: "b".into() },
                        old: Some("1".into()),
                        new: None,
                    },
                    Change {
                        what: Changed::Field { field: Field::Salt, name: "s".into() },
                        old: Some("1".into()),
                        new: Some("2".into()),
                    },
                ])),
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
}
