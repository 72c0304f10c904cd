//! Holds a parsed document against the table of keys: reports everything that does not fit, and cuts it away.
//!
//! What remains is known to deserialise into [`super::raw::Raw`], so one mistake never hides another: an entry with a
//! bad key still takes part in every later check.

use std::collections::BTreeSet;
use std::mem;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeInteger, DeTable, DeValue};

use super::listed;
use super::schema::{self, Form, Key, Shape, Standing, Table};
use crate::diagnostic::{Diagnostic, suggest};

/// What did not fit.
pub(super) struct Findings {
    pub(super) problems: Vec<Diagnostic>,
    /// Where each table begins that has a problem: what such a table lacks was perhaps cut away.
    pub(super) damaged: BTreeSet<usize>,
}

/// Cuts away all of a document that does not fit, and says what it was.
pub(super) fn conform(document: &mut DeTable<'_>, file: &str) -> Findings {
    let findings = Findings { problems: Vec::new(), damaged: BTreeSet::new() };
    let mut conform = Conform { file, findings };
    conform.table(&schema::ROOT, 0..0, document);
    conform.findings
}

struct Conform<'a> {
    file: &'a str,
    findings: Findings,
}

type Value<'i> = Spanned<DeValue<'i>>;

impl Conform<'_> {
    fn error(&mut self, code: &'static str, message: String, span: Range<usize>, help: String) {
        self.findings.problems.push(Diagnostic::error(code, message).at(self.file, span, "").help(help));
    }

    fn table(&mut self, table: &'static Table, span: Range<usize>, entries: &mut DeTable<'_>) {
        let n_problems_before = self.findings.problems.len();
        self.keys_together(table, &span, entries);
        *entries = mem::take(entries)
            .into_iter()
            .filter_map(|(name, mut value)| {
                let keep = match table.find(name.get_ref()) {
                    Some(key) => self.key(table, key, name.span(), &mut value),
                    None => {
                        self.unknown_key(table, name.get_ref(), name.span());
                        false
                    }
                };
                keep.then_some((name, value))
            })
            .collect();
        if self.findings.problems.len() > n_problems_before {
            self.findings.damaged.insert(span.start);
        }
    }

    /// Checks which keys are there, before any is cut away for its value.
    fn keys_together(&mut self, table: &Table, span: &Range<usize>, entries: &DeTable<'_>) {
        for key in table.keys.iter().filter(|key| key.is_required && !entries.contains_key(key.name)) {
            let message = format!("{} lacks `{}`", in_code(table.title), label(table, key));
            self.error("missing-key", message, span.clone(), format!("add {}", example(table, key)));
        }
        let given: Vec<_> = table.exactly_one.iter().filter_map(|name| entries.get_key_value(*name)).collect();
        if let ([], [first, ..]) = (&given[..], table.exactly_one) {
            let message = format!("{} has no {}", in_code(table.title), listed_code(table.exactly_one, "or"));
            let example = table.find(first).map(|key| example(table, key)).unwrap_or_default();
            self.error("missing-key", message, span.clone(), format!("add one of them, for example {example}"));
        }
        if let [(first, _), rest @ ..] = &given[..] {
            for (other, _) in rest {
                let message =
                    format!("{} has both `{}` and `{}`", in_code(table.title), first.get_ref(), other.get_ref());
                self.findings.problems.push(
                    Diagnostic::error("conflicting-keys", message)
                        .at(self.file, other.span(), "")
                        .at(self.file, first.span(), "given here too")
                        .help("keep the one that is meant"),
                );
            }
        }
        for (key, needed) in table.needs {
            let Some((name, _)) = entries.get_key_value(*key).filter(|_| !entries.contains_key(*needed)) else {
                continue;
            };
            let example = table.find(needed).map(|key| example(table, key)).unwrap_or_default();
            let message = format!("`{key}` means nothing without `{needed}`");
            self.error("missing-key", message, name.span(), format!("add {example}, or remove `{key}`"));
        }
    }

    fn unknown_key(&mut self, table: &Table, name: &str, span: Range<usize>) {
        let message = format!("{} has no key `{}`", in_code(table.title), name.escape_debug());
        let known = || table.keys.iter().map(|key| key.name);
        let elsewhere = || {
            let tables = schema::ROOT.keys.iter().filter_map(|key| match &key.shape {
                Shape::Table(inner) | Shape::Tables(inner) => Some(*inner),
                _ => None,
            });
            tables.into_iter().find(|inner| inner.find(name).is_some())
        };
        let help = if let Some(near) = suggest(name, known()) {
            format!("did you mean `{near}`?")
        } else if let Some(inner) = elsewhere() {
            format!("`{name}` belongs in `{}`", inner.title)
        } else {
            format!("its keys are {}", listed_code(&known().collect::<Vec<_>>(), "and"))
        };
        self.error("unknown-key", message, span, help);
    }

    /// Returns whether the key's value is to be kept.
    fn key(&mut self, table: &Table, key: &'static Key, span: Range<usize>, value: &mut Value<'_>) -> bool {
        // An empty table asks for nothing, and neither does `false`.
        let asks_for_something = match value.get_ref() {
            DeValue::Table(table) => !table.is_empty(),
            DeValue::Boolean(is_on) => *is_on,
            _ => true,
        };
        let remedy = match key.example {
            "" => format!("write `{}`", label(table, key)),
            example => format!("write `{} = {example}`", key.name),
        };
        let fits = self.value(&remedy, &format!("`{}`", key.name), &key.shape, value);
        match key.standing {
            Standing::Works => fits,
            Standing::NotYet { lacking } => {
                if fits && asks_for_something {
                    let message = format!("`{}` serves {lacking}, which this version does not have", label(table, key));
                    let diagnostic = Diagnostic::warning("not-yet", message).at(self.file, span, "has no effect");
                    self.findings.problems.push(diagnostic.help("remove it, or keep it for a version that has"));
                }
                false
            }
            Standing::Discouraged { code, why, instead } => {
                let message = format!("`{}` {why}", key.name);
                self.findings.problems.push(Diagnostic::warning(code, message).at(self.file, span, "").help(instead));
                fits
            }
        }
    }

    /// Returns whether the value is to be kept; `subject` says what it is the value of, `remedy` how to write that.
    fn value(&mut self, remedy: &str, subject: &str, shape: &Shape, value: &mut Value<'_>) -> bool {
        let span = value.span();
        match (shape, value.get_mut()) {
            (Shape::Anything, _) | (Shape::Bool, DeValue::Boolean(_)) => true,
            (Shape::Integer { min, max }, DeValue::Integer(n)) => self.integer(subject, *min, *max, n, span),
            (Shape::Text(form) | Shape::TextOrTable(form, _), DeValue::String(text)) => self.text(form, text, span),
            (Shape::Word(words), DeValue::String(word)) => self.word(subject, words, word, span),
            (Shape::List(item), DeValue::Array(items)) => {
                let subject = format!("an entry of {subject}");
                *items = mem::replace(items, DeArray::new())
                    .into_iter()
                    .filter_map(|mut value| self.value(remedy, &subject, item, &mut value).then_some(value))
                    .collect();
                true
            }
            (Shape::Tables(table), DeValue::Array(items)) => {
                *items = mem::replace(items, DeArray::new())
                    .into_iter()
                    .filter_map(|mut value| {
                        self.value(remedy, subject, &Shape::Table(table), &mut value).then_some(value)
                    })
                    .collect();
                true
            }
            (Shape::Map { keys, values }, DeValue::Table(entries)) => {
                *entries = mem::take(entries)
                    .into_iter()
                    .filter_map(|(name, mut value)| {
                        let named = self.text(keys, name.get_ref(), name.span());
                        let subject = format!("`{}`", name.get_ref().escape_debug());
                        (self.value(remedy, &subject, values, &mut value) && named).then_some((name, value))
                    })
                    .collect();
                true
            }
            (Shape::Table(table) | Shape::TextOrTable(_, table), DeValue::Table(entries)) => {
                self.table(table, span, entries);
                true
            }
            (shape, other) => {
                let message = format!("{subject} is {}; it takes {}", kind(other), takes(shape));
                self.error("wrong-type", message, span, remedy.to_owned());
                false
            }
        }
    }

    fn integer(&mut self, subject: &str, min: i64, max: i64, n: &DeInteger<'_>, span: Range<usize>) -> bool {
        let fits = i64::from_str_radix(n.as_str(), n.radix()).is_ok_and(|n| (min..=max).contains(&n));
        if !fits {
            let message = format!("{subject} is out of range");
            let help = if max == i64::MAX {
                format!("write a whole number of at least {min}")
            } else {
                format!("write a whole number from {min} to {max}")
            };
            self.error("out-of-range", message, span, help);
        }
        fits
    }

    fn text(&mut self, form: &Form, text: &str, span: Range<usize>) -> bool {
        match (form.refuse)(text) {
            Ok(()) => true,
            Err(refused) => {
                self.findings.problems.push(refused.at(form.code, self.file, span));
                false
            }
        }
    }

    fn word(&mut self, subject: &str, words: &[&str], word: &str, span: Range<usize>) -> bool {
        let fits = words.contains(&word);
        if !fits {
            let message = format!("{subject} can't be `{}`", word.escape_debug());
            let help = suggest(word, words.iter().copied()).map_or_else(
                || format!("it takes {}", listed_code(words, "or")),
                |near| format!("did you mean `{near}`?"),
            );
            self.error("unknown-value", message, span, help);
        }
        fits
    }
}

/// A key with an example of its value, as the user would write it.
fn example(table: &Table, key: &Key) -> String {
    let (Shape::Table(inner) | Shape::Tables(inner)) = &key.shape else {
        return format!("`{} = {}`", key.name, key.example);
    };
    let required: Vec<_> = inner.keys.iter().filter(|key| key.is_required).map(|key| example(inner, key)).collect();
    format!("`{}` with {}", label(table, key), listed(&required, "and"))
}

/// A key as it looks in the file: tables have brackets, and the name of the table around them.
fn label(table: &Table, key: &Key) -> String {
    if !key.example.is_empty() {
        return key.name.to_owned();
    }
    let path = match table.title.strip_prefix('[').and_then(|title| title.strip_suffix(']')) {
        Some(outer) => format!("{outer}.{}", key.name),
        None => key.name.to_owned(),
    };
    if matches!(key.shape, Shape::Tables(_)) { format!("[[{path}]]") } else { format!("[{path}]") }
}

fn in_code(title: &str) -> String {
    if title.starts_with('[') { format!("`{title}`") } else { title.to_owned() }
}

/// A list for a sentence, each item in backticks.
fn listed_code(items: &[&str], conjunction: &str) -> String {
    let items: Vec<_> = items.iter().map(|item| format!("`{item}`")).collect();
    listed(&items, conjunction)
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(true) => "`true`",
        DeValue::Boolean(false) => "`false`",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn takes(shape: &Shape) -> String {
    match shape {
        Shape::Bool => "`true` or `false`".to_owned(),
        Shape::Integer { .. } => "a whole number".to_owned(),
        Shape::Text(form) => form.noun.to_owned(),
        Shape::Word(words) => listed_code(words, "or"),
        Shape::List(_) => "a list".to_owned(),
        Shape::Map { .. } | Shape::Table(_) => "a table".to_owned(),
        Shape::Tables(_) => "a list of tables".to_owned(),
        Shape::TextOrTable(form, _) => format!("{} or a table", form.noun),
        Shape::Anything => "anything".to_owned(),
    }
}
