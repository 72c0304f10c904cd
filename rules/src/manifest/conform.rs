//! Holds a parsed document against the table of keys: reports everything that does not fit, and cuts it away.
//!
//! What remains is known to deserialise into [`super::raw::Raw`], so one mistake never hides another: an entry with a
//! bad key still takes part in every later check.

use std::mem;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeInteger, DeTable, DeValue};

use super::listed;
use super::schema::{self, Form, Key, Shape, Standing, Table};
use crate::diagnostic::{Diagnostic, suggest};

/// Cuts away all of a document that does not fit, and says what it was.
pub(super) fn conform(document: &mut DeTable<'_>, file: &str) -> Vec<Diagnostic> {
    let mut conform = Conform { file, problems: Vec::new() };
    conform.table(&schema::ROOT, 0..0, document);
    conform.problems
}

struct Conform<'a> {
    file: &'a str,
    problems: Vec<Diagnostic>,
}

type Value<'i> = Spanned<DeValue<'i>>;

impl Conform<'_> {
    fn error(&mut self, code: &'static str, message: String, span: Range<usize>, label: &str, help: String) {
        self.problems.push(Diagnostic::error(code, message).at(self.file, span, label).help(help));
    }

    fn table(&mut self, table: &'static Table, span: Range<usize>, entries: &mut DeTable<'_>) {
        self.keys_together(table, &span, entries);
        *entries = mem::take(entries)
            .into_iter()
            .filter_map(|(name, mut value)| {
                let keep = match table.find(name.get_ref()) {
                    Some(key) => self.key(key, name.span(), &mut value),
                    None => {
                        self.unknown_key(table, name.get_ref(), name.span());
                        false
                    }
                };
                keep.then_some((name, value))
            })
            .collect();
    }

    /// Checks which keys are there, before any is cut away for its value.
    fn keys_together(&mut self, table: &Table, span: &Range<usize>, entries: &DeTable<'_>) {
        for key in table.keys.iter().filter(|key| key.is_required && !entries.contains_key(key.name)) {
            let message = format!("{} lacks `{}`", in_code(table.title), key.name);
            self.error("missing-key", message, span.clone(), "", format!("add {}", assignment(key)));
        }
        let given: Vec<_> = table.exactly_one.iter().filter_map(|name| entries.get_key_value(*name)).collect();
        if let ([], [first, ..]) = (&given[..], table.exactly_one) {
            let message = format!("{} has no {}", in_code(table.title), listed_code(table.exactly_one));
            let example = table.find(first).map(assignment).unwrap_or_default();
            self.error("missing-key", message, span.clone(), "", format!("add one of them, for example {example}"));
        }
        if let [(first, _), rest @ ..] = &given[..] {
            for (other, _) in rest {
                let message =
                    format!("{} has both `{}` and `{}`", in_code(table.title), first.get_ref(), other.get_ref());
                self.problems.push(
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
            let example = table.find(needed).map(assignment).unwrap_or_default();
            let message = format!("`{key}` means nothing without `{needed}`");
            self.error("missing-key", message, name.span(), "", format!("add {example}, or remove `{key}`"));
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
            format!("its keys are {}", listed_code(&known().collect::<Vec<_>>()))
        };
        self.error("unknown-key", message, span, "", help);
    }

    /// Returns whether the key's value is to be kept.
    fn key(&mut self, key: &'static Key, span: Range<usize>, value: &mut Value<'_>) -> bool {
        let fits = self.value(key, &format!("`{}`", key.name), &key.shape, value);
        match key.standing {
            Standing::Works => fits,
            Standing::NotYet { lacking } => {
                if !value.get_ref().as_table().is_some_and(DeTable::is_empty) {
                    let message = format!("`{}` serves {lacking}, which this version does not have", key.name);
                    let diagnostic = Diagnostic::warning("not-yet", message).at(self.file, span, "has no effect");
                    self.problems.push(diagnostic.help("remove it, or keep it for a version that has"));
                }
                false
            }
            Standing::Discouraged { code, why, instead } => {
                let message = format!("`{}` {why}", key.name);
                self.problems.push(Diagnostic::warning(code, message).at(self.file, span, "").help(instead));
                fits
            }
        }
    }

    /// Returns whether the value is to be kept; `subject` says what it is the value of, and `key` where that began.
    fn value(&mut self, key: &Key, subject: &str, shape: &Shape, value: &mut Value<'_>) -> bool {
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
                    .filter_map(|mut value| self.value(key, &subject, item, &mut value).then_some(value))
                    .collect();
                true
            }
            (Shape::Tables(table), DeValue::Array(items)) => {
                *items = mem::replace(items, DeArray::new())
                    .into_iter()
                    .filter_map(|mut value| self.value(key, subject, &Shape::Table(table), &mut value).then_some(value))
                    .collect();
                true
            }
            (Shape::Map { keys, values }, DeValue::Table(entries)) => {
                *entries = mem::take(entries)
                    .into_iter()
                    .filter_map(|(name, mut value)| {
                        let named = self.text(keys, name.get_ref(), name.span());
                        let subject = format!("`{}`", name.get_ref().escape_debug());
                        (self.value(key, &subject, values, &mut value) && named).then_some((name, value))
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
                self.error("wrong-type", message, span, "", format!("write {}", assignment(key)));
                false
            }
        }
    }

    fn integer(&mut self, subject: &str, min: i64, max: i64, n: &DeInteger<'_>, span: Range<usize>) -> bool {
        let fits = i64::from_str_radix(n.as_str(), n.radix()).is_ok_and(|n| (min..=max).contains(&n));
        if !fits {
            let message = format!("{subject} is out of range");
            self.error("out-of-range", message, span, "", format!("write a whole number from {min} to {max}"));
        }
        fits
    }

    fn text(&mut self, form: &Form, text: &str, span: Range<usize>) -> bool {
        match (form.refuse)(text) {
            Ok(()) => true,
            Err(refused) => {
                self.problems.push(refused.at(form.code, self.file, span));
                false
            }
        }
    }

    fn word(&mut self, subject: &str, words: &[&str], word: &str, span: Range<usize>) -> bool {
        let fits = words.contains(&word);
        if !fits {
            let message = format!("{subject} can't be `{}`", word.escape_debug());
            let help = suggest(word, words.iter().copied())
                .map_or_else(|| format!("it takes {}", listed_code(words)), |near| format!("did you mean `{near}`?"));
            self.error("unknown-value", message, span, "", help);
        }
        fits
    }
}

/// A key with its example, as the user would write it.
fn assignment(key: &Key) -> String {
    match key.shape {
        Shape::Table(_) => format!("a table `[{}]`", key.name),
        Shape::Tables(_) => format!("a table `[[{}]]`", key.name),
        _ if key.example.is_empty() => format!("a table `[{}]`", key.name),
        _ => format!("`{} = {}`", key.name, key.example),
    }
}

fn in_code(title: &str) -> String {
    if title.starts_with('[') || title.contains('.') { format!("`{title}`") } else { title.to_owned() }
}

/// A list for a sentence, each item in backticks.
fn listed_code(items: &[&str]) -> String {
    let items: Vec<_> = items.iter().map(|item| format!("`{item}`")).collect();
    listed(&items, "or")
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
        Shape::Word(words) => listed_code(words),
        Shape::List(_) => "a list".to_owned(),
        Shape::Map { .. } | Shape::Table(_) => "a table".to_owned(),
        Shape::Tables(_) => "a list of tables".to_owned(),
        Shape::TextOrTable(form, _) => format!("{} or a table", form.noun),
        Shape::Anything => "anything".to_owned(),
    }
}
