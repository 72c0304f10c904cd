//! Key records in a file: what `why --export` writes on one machine and `why --against` reads on another.
//!
//! JSON in a fixed order, described in `cli/docs/keys.md`. Nothing in it depends on where the project lies, who built it or
//! when: the records are those that keys are made of.

use std::collections::{BTreeMap, BTreeSet};

use run_engine::explain::compare::Side;
use run_engine::key::{Field, InputLine, KeyRecord, Origin};
use serde::{Deserialize, Serialize};

use crate::report::json::field_name;

/// What every such file says it is.
const FORMAT: &str = "run key records";

/// Raised when a field changes its meaning or goes away; new fields do not raise it.
const VERSION: u32 = 1;

/// The key records of a target's actions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Records {
    format: String,
    version: u32,
    /// The version of the program that wrote it.
    pub(crate) run: String,
    /// The function that names bytes in that workspace.
    pub(crate) digest: String,
    /// What was asked about.
    pub(crate) target: String,
    actions: Vec<ActionRecord>,
    /// The actions whose keys are not known there, because they depend on what others leave that have yet to run.
    #[serde(default)]
    pub(crate) unknown: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ActionRecord {
    action: String,
    key: String,
    fields: Vec<FieldRecord>,
    inputs: Vec<InputRecord>,
    input_root: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    outputs: Vec<OutputRecord>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct FieldRecord {
    what: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    name: String,
    value: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct InputRecord {
    path: String,
    value: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    made_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tools: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct OutputRecord {
    path: String,
    value: String,
}

/// Why a text is not such a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It is something else.
    Foreign,
    /// It begins like one, and ends before its end, or is damaged.
    Broken(String),
    /// It is of another version of the format.
    Version(u64),
}

impl Records {
    /// The records of a target.
    pub(crate) fn new(digest: &str, target: &str, sides: &BTreeMap<String, Side>, unknown: BTreeSet<String>) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            run: env!("CARGO_PKG_VERSION").to_owned(),
            digest: digest.to_owned(),
            target: target.to_owned(),
            actions: sides.iter().map(|(label, side)| ActionRecord::of(label, side)).collect(),
            unknown,
        }
    }

    /// The text of the file.
    pub(crate) fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("these structs have no maps with other keys");
        text.push('\n');
        text
    }

    /// Reads the text of a file.
    pub(crate) fn from_text(text: &[u8]) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct Header {
            format: String,
            version: u64,
        }
        match serde_json::from_slice::<Header>(text) {
            Ok(Header { format, .. }) if format != FORMAT => Err(Unreadable::Foreign),
            Ok(Header { version, .. }) if version != u64::from(VERSION) => Err(Unreadable::Version(version)),
            Ok(_) => serde_json::from_slice(text).map_err(|error| Unreadable::Broken(error.to_string())),
            Err(error) if text.windows(FORMAT.len()).take(64).any(|part| part == FORMAT.as_bytes()) => {
                Err(Unreadable::Broken(error.to_string()))
            }
            Err(_) => Err(Unreadable::Foreign),
        }
    }

    /// What the machine that wrote it knows, by action.
    pub(crate) fn sides(&self) -> Result<BTreeMap<String, Side>, Unreadable> {
        self.actions.iter().map(|action| Ok((action.action.clone(), action.side()?))).collect()
    }
}

impl ActionRecord {
    fn of(label: &str, side: &Side) -> Self {
        let input = |(path, line): (&String, &InputLine)| {
            let (made_by, tools) = match &line.from {
                Origin::Source => (None, None),
                Origin::Action(label) => (Some(label.clone()), None),
                Origin::Mounted(name) => (None, Some(name.clone())),
            };
            InputRecord { path: path.clone(), value: line.value.clone(), made_by, tools }
        };
        let KeyRecord { key, fields, inputs, input_root } = &side.record;
        let field = |(field, name, value): &(Field, String, String)| FieldRecord {
            what: field_name(*field).to_owned(),
            name: name.clone(),
            value: value.clone(),
        };
        let output = |(path, value): (&String, &String)| OutputRecord { path: path.clone(), value: value.clone() };
        Self {
            action: label.to_owned(),
            key: key.clone(),
            fields: fields.iter().map(field).collect(),
            inputs: inputs.iter().map(input).collect(),
            input_root: input_root.clone(),
            outputs: side.outputs.iter().map(output).collect(),
        }
    }

    fn side(&self) -> Result<Side, Unreadable> {
        let field = |record: &FieldRecord| {
            let unknown = || Unreadable::Broken(format!("`{}` is no kind of keyed value", record.what.escape_debug()));
            let field = FIELDS.into_iter().find(|field| field_name(*field) == record.what).ok_or_else(unknown)?;
            Ok((field, record.name.clone(), record.value.clone()))
        };
        let input = |record: &InputRecord| {
            let from = match (&record.made_by, &record.tools) {
                (Some(label), _) => Origin::Action(label.clone()),
                (None, Some(name)) => Origin::Mounted(name.clone()),
                (None, None) => Origin::Source,
            };
            (record.path.clone(), InputLine { value: record.value.clone(), from })
        };
        let record = KeyRecord {
            key: self.key.clone(),
            fields: self.fields.iter().map(field).collect::<Result<_, _>>()?,
            inputs: self.inputs.iter().map(input).collect(),
            input_root: self.input_root.clone(),
        };
        let outputs = self.outputs.iter().map(|output| (output.path.clone(), output.value.clone())).collect();
        Ok(Side { record, outputs })
    }
}

/// Every kind of keyed value.
const FIELDS: [Field; 8] = [
    Field::Argument,
    Field::Variable,
    Field::Output,
    Field::Directory,
    Field::Property,
    Field::Timeout,
    Field::Salt,
    Field::InputRoot,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (BTreeMap<String, Side>, Records) {
        let line = |value: &str, from| InputLine { value: value.to_owned(), from };
        let record = KeyRecord {
            key: "k".into(),
            fields: FIELDS[..7].iter().map(|field| (*field, "n".to_owned(), "v".to_owned())).collect(),
            inputs: [
                ("a".to_owned(), line("1", Origin::Source)),
                ("b".to_owned(), line("2", Origin::Action("gen".into()))),
                ("c".to_owned(), line("3", Origin::Mounted("rust".into()))),
            ]
            .into(),
            input_root: "r".into(),
        };
        let side = Side { record, outputs: [("o".to_owned(), "4".to_owned())].into() };
        let sides: BTreeMap<String, Side> = [("app compile".to_owned(), side)].into();
        let records = Records::new("blake3", "app", &sides, ["app validate".to_owned()].into());
        (sides, records)
    }

    #[test]
    fn what_is_written_can_be_read() {
        let (sides, records) = sample();
        let read = Records::from_text(records.to_text().as_bytes()).expect("it was written");
        assert_eq!(read, records);
        assert_eq!(read.sides(), Ok(sides));
    }

    #[test]
    fn anything_else_is_told_apart() {
        let text = sample().1.to_text();
        let read = |text: &str| Records::from_text(text.as_bytes()).expect_err("it is something else");
        assert_eq!(read(""), Unreadable::Foreign);
        assert_eq!(read("{}"), Unreadable::Foreign);
        assert_eq!(read(&text.replace(FORMAT, "recipe")), Unreadable::Foreign);
        assert_eq!(read(&text.replace("\"version\": 1", "\"version\": 7")), Unreadable::Version(7));
        assert!(matches!(read(&text[..text.len() / 2]), Unreadable::Broken(_)));
        assert!(matches!(read(&text.replace("\"inputs\"", "\"outputz\"")), Unreadable::Broken(_)));
        let odd = Records::from_text(text.replace("\"argument\"", "\"colour\"").as_bytes()).expect("it can be read");
        assert!(matches!(odd.sides(), Err(Unreadable::Broken(_))));
    }

    #[test]
    fn no_text_makes_it_panic() {
        let text = sample().1.to_text();
        for cut in 0..text.len() {
            assert!(Records::from_text(&text.as_bytes()[..cut]).is_err() || cut + 1 >= text.len(), "{cut}");
        }
    }
}
