//! `Diagnostic`: what is wrong, where, and what to do about it, as data. Drawing one is the command line's business.

use std::fmt;
use std::ops::Range;

/// One problem with what the user wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether it stops the build.
    pub severity: Severity,
    /// The name of this kind of problem, in words joined by `-`; its paragraph is in [`crate::codes`].
    pub code: &'static str,
    /// What is wrong, in the user's words: lowercase, no full stop, facts in backticks.
    pub message: String,
    /// Where: the first label is the place itself, the others say what it clashes with.
    pub labels: Vec<Label>,
    /// What we know that the user may not.
    pub notes: Vec<String>,
    /// Ways out, one each.
    pub helps: Vec<String>,
}

/// How bad a [`Diagnostic`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; the build goes on.
    Warning,
    /// The build can't start.
    Error,
}

/// A piece of a text, with what there is to say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The file, as the user would name it from the project's directory.
    pub file: String,
    /// The bytes meant; an empty range points between two characters.
    pub span: Range<usize>,
    /// A few words, or nothing when the message says it all.
    pub text: String,
}

impl Diagnostic {
    /// An error of this kind.
    #[must_use]
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            labels: Vec::new(),
            notes: Vec::new(),
            helps: Vec::new(),
        }
    }

    /// A warning of this kind.
    #[must_use]
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// Adds a place.
    #[must_use]
    pub fn at(mut self, file: &str, span: Range<usize>, text: impl Into<String>) -> Self {
        self.labels.push(Label { file: file.to_owned(), span, text: text.into() });
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    /// Adds a way out.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.helps.push(text.into());
        self
    }
}

/// Why a parser refuses a text, before anyone knows where the text stands.
///
/// Displays as a message: `size `20XB` has the unknown unit `XB``.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What the text should have been, as a noun: `size`.
    pub what: &'static str,
    /// The text as it was given.
    pub text: String,
    /// What is wrong with it, as a clause that fits after the text.
    pub why: String,
    /// What to write instead, as a whole sentence in lowercase.
    pub help: String,
}

impl Refused {
    /// This refusal as an error at a place.
    #[must_use]
    pub fn at(&self, code: &'static str, file: &str, span: Range<usize>) -> Diagnostic {
        Diagnostic::error(code, self.to_string()).at(file, span, "").help(&self.help)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}` {}", self.what, self.text.escape_debug(), self.why)
    }
}

impl std::error::Error for Refused {}

/// The candidate closest to what was written, if any is close enough to be what was meant.
#[must_use]
pub fn suggest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(written, c), c))
        .filter(|(distance, c)| *distance <= c.len().max(written.len()).div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c)
}
