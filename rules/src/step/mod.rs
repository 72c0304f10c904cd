//! The steps between a compiler's output and a finished component: pure functions from bytes to bytes.
//!
//! In reading order: [`wit`] turns sources into a [`wit::World`]; [`kind`] says what some bytes are; [`componentize`] makes a
//! component of a core module; [`validate`] proves that a component implements its world; [`interface`] reads what a component
//! imports and exports; [`inspect`] tells it of any file; [`compose`] and [`script`] join components into one;
//! [`bindings`] is source text for guests.
//!
//! What is deliberately not here: files, processes, the order of things. Sources arrive as maps from path to bytes, and
//! which step feeds which is decided by whoever lowers a target.

use std::fmt;

use crate::diagnostic::{Diagnostic, Label};

pub mod bindings;
mod canonical;
pub mod compare;
pub mod componentize;
pub mod compose;
pub mod inspect;
pub mod interface;
pub mod kind;
mod render;
pub mod script;
pub mod stand_in;
mod unmet;
pub mod validate;
pub mod wasi;
pub mod wit;

#[cfg(test)]
pub(crate) mod testing;

/// Why a step could not produce its output: every problem it found, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepError {
    /// In the order of the input.
    pub diagnostics: Vec<Diagnostic>,
}

impl From<Diagnostic> for StepError {
    fn from(diagnostic: Diagnostic) -> Self {
        Self { diagnostics: vec![diagnostic] }
    }
}

impl From<Vec<Diagnostic>> for StepError {
    fn from(diagnostics: Vec<Diagnostic>) -> Self {
        assert!(!diagnostics.is_empty(), "a step that fails says why");
        Self { diagnostics }
    }
}

impl StepError {
    /// Plain text as [`fmt::Display`] gives it, but with lines and columns in `file`, whose text is `source`.
    #[must_use]
    pub fn told_of(&self, file: &str, source: &str) -> String {
        let place = |label: &Label| (label.file == file).then(|| line_and_column(source, label.span.start));
        Told { error: self, place: &place }.to_string()
    }
}

/// Counts from one, and characters rather than bytes.
fn line_and_column(source: &str, at: usize) -> (usize, usize) {
    let before = source.get(..at).unwrap_or(source);
    let line = before.rsplit('\n').next().unwrap_or(before);
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

/// Plain text, for logs and for the captured output of an action; the command line draws the diagnostics instead.
impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Told { error: self, place: &|_| None }.fmt(f)
    }
}

/// An error with a way to turn places into lines and columns.
struct Told<'a> {
    error: &'a StepError,
    place: &'a dyn Fn(&Label) -> Option<(usize, usize)>,
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.error.diagnostics.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "error[{}]: {}", diagnostic.code, diagnostic.message)?;
            for label in &diagnostic.labels {
                match (self.place)(label) {
                    Some((line, column)) => write!(f, "\n  --> {}:{line}:{column}", label.file)?,
                    None => write!(f, "\n  at {}, byte {}", label.file, label.span.start)?,
                }
                if !label.text.is_empty() {
                    write!(f, ": {}", label.text)?;
                }
            }
            for note in &diagnostic.notes {
                write!(f, "\nnote: {note}")?;
            }
            for help in &diagnostic.helps {
                write!(f, "\nhelp: {help}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for StepError {}

/// What a library said, cause by cause, without repeating itself.
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        let text = cause.to_string();
        if lines.last() != Some(&text) {
            lines.push(text);
        }
        next = cause.source();
    }
    lines
}
