//! [`Language`]: the languages of the manifest, and which one a source is in, judged by names alone.

use std::fmt;
use std::str::FromStr;

use run_engine::path::RelPath;

use crate::diagnostic::{Refused, suggest};

/// A language that a component can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Language {
    /// Rust, by cargo.
    Rust,
    /// Go, by its own compiler or by TinyGo.
    Go,
    /// Python.
    Python,
    /// JavaScript.
    JavaScript,
    /// TypeScript.
    TypeScript,
    /// Zig.
    Zig,
    /// C.
    C,
    /// WebAssembly in text form.
    Wat,
}

impl Language {
    /// Every language, in the order of the documentation.
    pub const ALL: &[Self] =
        &[Self::Rust, Self::Go, Self::Python, Self::JavaScript, Self::TypeScript, Self::Zig, Self::C, Self::Wat];

    /// The names of [`Language::ALL`], in its order.
    pub const NAMES: &[&str] = &["rust", "go", "python", "javascript", "typescript", "zig", "c", "wat"];

    /// The name, as in `run.toml`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// The extensions of its source files.
    const fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Rust => &["rs"],
            Self::Go => &["go"],
            Self::Python => &["py"],
            Self::JavaScript => &["js", "mjs"],
            Self::TypeScript => &["ts", "mts"],
            Self::Zig => &["zig"],
            Self::C => &["c"],
            Self::Wat => &["wat"],
        }
    }

    /// The files that mark a directory as a project in this language.
    const fn markers(self) -> &'static [&'static str] {
        match self {
            Self::Rust => &["Cargo.toml"],
            Self::Go => &["go.mod"],
            Self::Python => &["pyproject.toml", "requirements.txt", "setup.py"],
            Self::JavaScript => &["package.json"],
            Self::TypeScript => &["tsconfig.json"],
            Self::Zig => &["build.zig"],
            Self::C | Self::Wat => &[],
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Language {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        Self::ALL.iter().copied().find(|l| l.name() == text).ok_or_else(|| Refused {
            what: "language",
            text: text.to_owned(),
            why: "is not known".to_owned(),
            help: suggest(text, Self::NAMES.iter().copied()).map_or_else(
                || format!("the languages are `{}`", Self::NAMES.join("`, `")),
                |near| format!("did you mean `{near}`?"),
            ),
        })
    }
}

/// What the names of files say about a language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detection {
    /// One language.
    Found(Language),
    /// Several, each for a reason as good as the others'; the user has to say.
    Ambiguous(Vec<Language>),
    /// None that we know.
    Nothing,
}

/// Judges a source by its name, and where that says nothing by the names of the files in it.
///
/// `source` is the component's `source` (`None` for the project's own directory); `present_file_names` are the plain
/// names of the files directly in it, and is empty when it is a file. A project's own file (`Cargo.toml`) outranks
/// loose sources; TypeScript outranks JavaScript, whose `package.json` it also has.
#[must_use]
pub fn detect(source: Option<&RelPath>, present_file_names: &[&str]) -> Detection {
    if let Some(language) = source.and_then(|path| by_extension(path.file_name())) {
        return Detection::Found(language);
    }
    let marked = |language: &Language| language.markers().iter().any(|marker| present_file_names.contains(marker));
    let loose = |language: &Language| present_file_names.iter().any(|name| by_extension(name) == Some(*language));
    match one_of(Language::ALL.iter().copied().filter(marked).collect()) {
        Detection::Nothing => one_of(Language::ALL.iter().copied().filter(loose).collect()),
        marked => marked,
    }
}

fn by_extension(file_name: &str) -> Option<Language> {
    let (_, extension) = file_name.rsplit_once('.')?;
    Language::ALL.iter().copied().find(|language| language.extensions().contains(&extension))
}

fn one_of(mut found: Vec<Language>) -> Detection {
    if found.contains(&Language::TypeScript) {
        found.retain(|&language| language != Language::JavaScript);
    }
    match found[..] {
        [] => Detection::Nothing,
        [only] => Detection::Found(only),
        _ => Detection::Ambiguous(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_manifest() {
        for (language, name) in Language::ALL.iter().zip(Language::NAMES) {
            assert_eq!(language.name(), *name);
            assert_eq!(name.parse(), Ok(*language));
        }
        assert_eq!("pyhton".parse::<Language>().map_err(|e| e.help), Err("did you mean `python`?".to_owned()));
    }

    #[test]
    fn files_are_judged_by_extension_and_directories_by_content() {
        let check = |source: &str, present: &[&str], expected: Detection| {
            let source = RelPath::new(source).unwrap();
            assert_eq!(detect(Some(&source), present), expected, "{source} with {present:?}");
        };
        check("components/hello.wat", &[], Detection::Found(Language::Wat));
        check("services/api/src/lib.rs", &[], Detection::Found(Language::Rust));
        check("services/api", &["Cargo.toml", "build.py"], Detection::Found(Language::Rust));
        check("services/web", &["package.json", "tsconfig.json"], Detection::Found(Language::TypeScript));
        check("services/web", &["index.js"], Detection::Found(Language::JavaScript));
        check("both", &["Cargo.toml", "go.mod"], Detection::Ambiguous(vec![Language::Rust, Language::Go]));
        check("docs", &["README.md"], Detection::Nothing);
        assert_eq!(detect(None, &["main.zig"]), Detection::Found(Language::Zig));
    }
}
