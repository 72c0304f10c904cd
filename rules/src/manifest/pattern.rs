//! [`Pattern`]: which files are meant, as in `src/**/*.rs`.

use std::fmt;
use std::str::FromStr;

use run_engine::path::RelPath;

use crate::diagnostic::Refused;

/// The characters by which a pattern says more than a path.
const SPECIAL: [char; 5] = ['*', '?', '[', '{', '\\'];

/// A glob that is known to parse and to stay in the directory it is relative to.
///
/// `*` stops at a `/`; `**` crosses it. Compared and shown as its text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The pattern, ready to be matched against paths relative to its directory.
    #[must_use]
    pub fn glob(&self) -> globset::Glob {
        compile(&self.0).expect("a Pattern was compiled once when it was made")
    }

    /// Whether it names one file, so that the file's absence is worth an error.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        !self.0.contains(SPECIAL)
    }

    /// The directory that everything it matches lies below, as far as the text says; `None` is its own.
    #[must_use]
    pub fn directory(&self) -> Option<RelPath> {
        let literal = self.0.split(SPECIAL).next()?;
        RelPath::new(literal.rsplit_once('/')?.0).ok()
    }
}

impl FromStr for Pattern {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let refuse = |why: String, help: &str| {
            Err(Refused { what: "pattern", text: text.to_owned(), why, help: help.to_owned() })
        };
        let text = text.strip_prefix("./").unwrap_or(text);
        if text.starts_with('!') {
            return refuse(
                "begins with `!`".to_owned(),
                "list the files that are meant; files that git ignores never are",
            );
        }
        if text.split('/').any(|part| part == "..") || text.starts_with('/') {
            return refuse("leaves the project".to_owned(), "write a pattern inside the directory, as in `src/**`");
        }
        // What holds for a path holds for the text of a pattern, except for the characters that globs use.
        if let Err(bad) = RelPath::new(&text.replace('\\', "")) {
            return refuse(bad.why.to_owned(), "write a pattern such as `src/**`");
        }
        match compile(text) {
            Ok(_) => Ok(Self(text.into())),
            Err(e) => refuse(
                format!("is no glob: {}", e.kind()),
                "`*` stands for part of a name, `**` for any directories; quote special characters with `\\`",
            ),
        }
    }
}

fn compile(text: &str) -> Result<globset::Glob, globset::Error> {
    globset::GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build()
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, String> {
        text.parse::<Pattern>().map(|p| p.to_string()).map_err(|e| e.to_string())
    }

    #[test]
    fn patterns_stay_inside_and_parse() {
        assert_eq!(parse("src/**/*.rs"), Ok("src/**/*.rs".into()));
        assert_eq!(parse("./a.txt"), Ok("a.txt".into()));
        assert_eq!(parse("../x/**"), Err("pattern `../x/**` leaves the project".into()));
        assert_eq!(parse("/etc/*"), Err("pattern `/etc/*` leaves the project".into()));
        assert_eq!(parse(""), Err("pattern `` is empty".into()));
        assert_eq!(parse("!x"), Err("pattern `!x` begins with `!`".into()));
        assert_eq!(parse("a[").unwrap_err().split(':').next(), Some("pattern `a[` is no glob"));
    }

    #[test]
    fn the_directory_is_what_stands_before_the_first_special_character() {
        let directory = |pattern: &str| pattern.parse::<Pattern>().unwrap().directory().map(|dir| dir.to_string());
        assert_eq!(directory("src/a/*.rs").as_deref(), Some("src/a"));
        assert_eq!(directory("src/a*/b").as_deref(), Some("src"));
        assert_eq!(directory("**/src/b"), None);
        assert_eq!(directory("{a,b}/c"), None);
    }

    #[test]
    fn one_star_stops_at_a_slash() {
        let matches = |pattern: &str, path| pattern.parse::<Pattern>().unwrap().glob().compile_matcher().is_match(path);
        assert!(matches("src/*.rs", "src/lib.rs"));
        assert!(!matches("src/*.rs", "src/a/b.rs"));
        assert!(matches("src/**", "src/a/b.rs"));
    }
}
