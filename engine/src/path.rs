//! `RelPath`: the only kind of path that may enter a tree, an action or a key.

use std::fmt;

/// A path inside a tree: relative, `/`-separated, UTF-8, without `.`, `..` or empty parts.
///
/// Invariant: one file has exactly one `RelPath`, on every platform, so two equal trees have equal bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(Box<str>);

/// Why a text is not a [`RelPath`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadPath {
    /// The text as it was given.
    pub text: String,
    /// What is wrong with it, as a clause that fits after the text.
    pub why: &'static str,
}

impl RelPath {
    /// Parses a path.
    ///
    /// # Errors
    /// [`BadPath`] when the text is empty, absolute, uses `\`, holds a NUL, or has a `.`, `..` or empty part.
    pub fn new(text: &str) -> Result<Self, BadPath> {
        let why = if text.is_empty() {
            "is empty"
        } else if text.starts_with('/') {
            "is absolute"
        } else if text.contains('\\') {
            "uses `\\`; write `/`"
        } else if text.contains('\0') {
            "holds a NUL character"
        } else if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
            "has a `.`, `..` or empty part"
        } else {
            return Ok(Self(text.into()));
        };
        Err(BadPath { text: text.to_owned(), why })
    }

    /// Parses a path as people write it in files, dropping `./`, a trailing `/` and inner `.` parts, and resolving `..`
    /// as long as it stays inside.
    ///
    /// Returns `Ok(None)` for the root itself (`.`, `./`).
    ///
    /// # Errors
    /// [`BadPath`] when the path is absolute, leaves the root, or holds what [`RelPath::new`] refuses.
    pub fn normalize(text: &str) -> Result<Option<Self>, BadPath> {
        let bad = |why| Err(BadPath { text: text.to_owned(), why });
        if text.is_empty() {
            return bad("is empty");
        }
        if text.starts_with('/') {
            return bad("is absolute");
        }
        let mut parts: Vec<&str> = Vec::new();
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    if parts.pop().is_none() {
                        return bad("leaves the directory it is relative to");
                    }
                }
                part => parts.push(part),
            }
        }
        if parts.is_empty() {
            return Ok(None);
        }
        Self::new(&parts.join("/")).map(Some).map_err(|e| BadPath { text: text.to_owned(), ..e })
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The parts between the slashes, from the outside in. Never empty.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The last part.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The directory this path lies in; `None` at the top.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.into()))
    }

    /// This path with `below` after it.
    #[must_use]
    pub fn join(&self, below: &Self) -> Self {
        Self(format!("{}/{}", self.0, below.0).into())
    }

    /// This path with one or more parts after it.
    ///
    /// # Errors
    /// [`BadPath`] when `below` is not a [`RelPath`].
    pub fn push(&self, below: &str) -> Result<Self, BadPath> {
        Self::new(below).map(|below| self.join(&below))
    }

    /// What remains after `base`; `None` unless `self` lies strictly below it.
    #[must_use]
    pub fn strip_prefix(&self, base: &Self) -> Option<Self> {
        self.0.strip_prefix(&*base.0)?.strip_prefix('/').map(|rest| Self(rest.into()))
    }

    /// Whether `self` is `base` or lies below it.
    #[must_use]
    pub fn starts_with(&self, base: &Self) -> bool {
        self == base || self.strip_prefix(base).is_some()
    }
}

/// `below`, under `base` when there is one: the usual way to place a path in a tree whose root has no name.
#[must_use]
pub fn under(base: Option<&RelPath>, below: &RelPath) -> RelPath {
    base.map_or_else(|| below.clone(), |base| base.join(below))
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl AsRef<str> for RelPath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl AsRef<std::path::Path> for RelPath {
    fn as_ref(&self) -> &std::path::Path {
        std::path::Path::new(&*self.0)
    }
}

impl std::str::FromStr for RelPath {
    type Err = BadPath;
    fn from_str(text: &str) -> Result<Self, BadPath> {
        Self::new(text)
    }
}

impl fmt::Display for BadPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "path `{}` {}", self.text.escape_debug(), self.why)
    }
}

impl std::error::Error for BadPath {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_relative_paths_are_paths() {
        for bad in ["", "/a", "a//b", "a/", ".", "a/./b", "a/../b", "a\\b", "a\0b"] {
            assert!(RelPath::new(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "a/b", ".hidden/x", "a b/ü"] {
            assert_eq!(RelPath::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn normalize_accepts_what_people_write_and_refuses_what_leaves() {
        let normal = |t: &str| RelPath::normalize(t).map(|p| p.map(|p| p.to_string()));
        assert_eq!(normal("./a/../b/"), Ok(Some("b".into())));
        assert_eq!(normal("."), Ok(None));
        assert_eq!(normal("../a").unwrap_err().why, "leaves the directory it is relative to");
        assert_eq!(normal("a/../../b").unwrap_err().why, "leaves the directory it is relative to");
        assert_eq!(normal("/etc/passwd").unwrap_err().why, "is absolute");
    }

    #[test]
    fn prefixes_end_at_a_slash() {
        let path = RelPath::new("ab/c").unwrap();
        assert!(path.starts_with(&RelPath::new("ab").unwrap()));
        assert!(!path.starts_with(&RelPath::new("a").unwrap()));
        assert!(path.starts_with(&path));
        assert_eq!(path.strip_prefix(&path), None);
    }
}
