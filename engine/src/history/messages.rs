//! A history as bytes: sealed protocol-buffers messages of our own, which nobody else reads.

use std::time::Duration;

use prost::Message as _;

use super::{History, Remembered, Shift};
use crate::explain::{Change, Changed, Reason, Root};
use crate::key::{Field, InputLine, KeyRecord, Origin};
use crate::sealed::Seal;

impl History {
    /// The bytes to keep.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let entries = self.entries.iter().map(|(label, r)| EntryMessage::from_parts(label, r)).collect();
        SEAL.close(&HistoryMessage { entries, builds: self.builds }.encode_to_vec())
    }

    /// Reads what [`History::encode`] wrote. Anything else, an older version included, is an empty history.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        Self::try_decode(bytes).unwrap_or_default()
    }

    fn try_decode(bytes: &[u8]) -> Option<Self> {
        let message = HistoryMessage::decode(SEAL.open(bytes)?).ok()?;
        let entries = message.entries.into_iter().map(EntryMessage::into_parts).collect::<Option<_>>()?;
        Some(Self { entries, builds: message.builds, now: 0 })
    }
}

const SEAL: Seal = Seal { kind: *b"HIST", version: 2 };

#[derive(Clone, PartialEq, prost::Message)]
struct HistoryMessage {
    #[prost(message, repeated, tag = "1")]
    entries: Vec<EntryMessage>,
    #[prost(uint64, tag = "2")]
    builds: u64,
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
    #[prost(bool, tag = "7")]
    reused: bool,
    #[prost(uint64, tag = "8")]
    at: u64,
    #[prost(uint64, tag = "9")]
    seen: u64,
    #[prost(message, optional, tag = "10")]
    shift: Option<ShiftMessage>,
    #[prost(bool, tag = "11")]
    varies: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ShiftMessage {
    #[prost(uint64, tag = "1")]
    build: u64,
    #[prost(uint64, tag = "2")]
    earlier: u64,
    #[prost(message, optional, tag = "3")]
    because: Option<ReasonMessage>,
}

/// A key record in bytes.
#[derive(Clone, PartialEq, prost::Message)]
struct RecordMessage {
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
    /// Empty for sources.
    #[prost(string, tag = "3")]
    from: String,
    /// Whether `from` is a mounted tree and not an action.
    #[prost(bool, tag = "4")]
    mounted: bool,
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
    /// Set for inputs that another action made, and for mounted trees.
    #[prost(string, optional, tag = "2")]
    by: Option<String>,
    /// Whether `by` is a mounted tree.
    #[prost(bool, tag = "6")]
    mounted: bool,
    #[prost(message, repeated, tag = "7")]
    roots: Vec<RootMessage>,
    /// Set for everything else.
    #[prost(message, optional, tag = "3")]
    field: Option<FieldMessage>,
    #[prost(string, optional, tag = "4")]
    old: Option<String>,
    #[prost(string, optional, tag = "5")]
    new: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RootMessage {
    #[prost(string, repeated, tag = "1")]
    through: Vec<String>,
    #[prost(message, optional, tag = "2")]
    because: Option<ReasonMessage>,
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
            Changed::Made { path, by } | Changed::Mounted { path, name: by } => {
                (Some(path.clone()), Some(by.clone()), None)
            }
            Changed::Field { field, name } => {
                (None, None, Some(FieldMessage { field: number_of(*field), name: name.clone(), value: String::new() }))
            }
        };
        Self {
            path,
            by,
            field,
            mounted: matches!(change.what, Changed::Mounted { .. }),
            old: change.old.clone(),
            new: change.new.clone(),
            roots: change.roots.iter().map(RootMessage::from_root).collect(),
        }
    }

    fn into_change(self) -> Option<Change> {
        let what = match (self.path, self.by, self.field) {
            (Some(path), None, None) => Changed::Source { path },
            (Some(path), Some(name), None) if self.mounted => Changed::Mounted { path, name },
            (Some(path), Some(by), None) => Changed::Made { path, by },
            (None, None, Some(f)) => Changed::Field { field: field_of(f.field)?, name: f.name },
            _ => return None,
        };
        let roots = self.roots.into_iter().map(RootMessage::into_root).collect::<Option<_>>()?;
        Some(Change { what, old: self.old, new: self.new, roots })
    }
}

impl RootMessage {
    fn from_root(root: &Root) -> Self {
        Self { through: root.through.clone(), because: Some(ReasonMessage::from_reason(&root.because)) }
    }

    fn into_root(self) -> Option<Root> {
        Some(Root { through: self.through, because: self.because?.into_reason()? })
    }
}

fn number_of(field: Field) -> u32 {
    FIELDS.iter().find(|(f, _)| *f == field).map_or(0, |(_, n)| *n)
}

fn field_of(number: u32) -> Option<Field> {
    FIELDS.iter().find(|(_, n)| *n == number).map(|(f, _)| *f)
}

/// The numbers of fields on disk: added to, never reused.
pub(super) const FIELDS: [(Field, u32); 8] = [
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
            inputs: record.inputs.iter().map(|(path, line)| InputMessage::from_parts(path, line)).collect(),
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
            inputs: self.inputs.into_iter().map(InputMessage::into_parts).collect(),
            input_root: self.input_root,
        })
    }
}

impl InputMessage {
    fn from_parts(path: &str, line: &InputLine) -> Self {
        let (from, mounted) = match &line.from {
            Origin::Source => (String::new(), false),
            Origin::Action(label) => (label.clone(), false),
            Origin::Mounted(name) => (name.clone(), true),
        };
        Self { path: path.to_owned(), value: line.value.clone(), from, mounted }
    }

    fn into_parts(self) -> (String, InputLine) {
        let from = match (self.mounted, self.from.is_empty()) {
            (true, _) => Origin::Mounted(self.from),
            (false, true) => Origin::Source,
            (false, false) => Origin::Action(self.from),
        };
        (self.path, InputLine { value: self.value, from })
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
            reused: remembered.reused,
            at: remembered.at,
            seen: remembered.seen,
            shift: remembered.shift.as_ref().map(|shift| ShiftMessage {
                build: shift.build,
                earlier: shift.earlier,
                because: shift.because.as_ref().map(ReasonMessage::from_reason),
            }),
            varies: remembered.varies,
        }
    }

    fn into_parts(self) -> Option<(String, Remembered)> {
        let remembered = Remembered {
            record: self.record?.into_record()?,
            took: Duration::from_micros(self.took_us),
            failed: self.failed,
            left: self.left,
            because: self.because.and_then(ReasonMessage::into_reason),
            reused: self.reused,
            at: self.at,
            seen: self.seen,
            shift: self.shift.map(|shift| {
                let because = shift.because.and_then(ReasonMessage::into_reason);
                Shift { build: shift.build, earlier: shift.earlier, because }
            }),
            varies: self.varies,
        };
        Some((self.label, remembered))
    }
}
