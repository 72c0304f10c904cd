//! [`Requirements`]: a `requirements.txt` that says exactly which bytes it means: each package in one version, with the digests
//! that its archives may have. Anything pip would take beyond that is refused.

use std::ops::Range;

use pep440_rs::{Operator, Version};

use super::pep508::{Requirement, normal};
use crate::diagnostic::Diagnostic;

/// How a file that is refused comes about anew.
const REMEDY: &str =
    "write it by `uv pip compile --generate-hashes --python-version 3.14`, or by `pip-compile --generate-hashes`";

/// What a `requirements.txt` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirements {
    /// The file, for messages.
    file: String,
    /// In the file's order; those whose markers say that they are for another Python are left out.
    pinned: Vec<Pinned>,
    /// What says which registries are asked, as it is written. It decides nothing: what comes is held to its digest.
    registries: Vec<String>,
}

/// One package in one version.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pinned {
    name: String,
    extras: Vec<String>,
    version: Version,
    /// `sha256:…`, sorted.
    hashes: Vec<String>,
    span: Range<usize>,
}

impl Requirements {
    /// Reads the text of `file`.
    ///
    /// # Errors
    /// `unpinned-requirement` for each line that does not say which bytes it means.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<Diagnostic>> {
        let mut found = Self { file: file.to_owned(), pinned: vec![], registries: vec![] };
        let mut problems = Vec::new();
        for (line, span) in lines(text) {
            let told = match line.starts_with('-') {
                true => found.option(&line),
                false => pinned(&line, span.clone()).map(|pinned| found.pinned.extend(pinned)),
            };
            problems.extend(told.err().map(|refused| refused.at(file, span, "").help(REMEDY)));
        }
        for (at, pinned) in found.pinned.iter().enumerate() {
            if let Some(first) = found.pinned[..at].iter().find(|other| other.name == pinned.name) {
                problems.push(
                    unpinned(format!("`{}` is named twice", pinned.name))
                        .at(file, pinned.span.clone(), "")
                        .at(file, first.span.clone(), "the first time")
                        .help("name each package once"),
                );
            }
        }
        if problems.is_empty() { Ok(found) } else { Err(problems) }
    }

    /// Whether it names nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.pinned.is_empty()
    }

    /// What it says, in one form: all that decides which bytes are meant.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines: Vec<String> = self.pinned.iter().map(Pinned::line).collect();
        lines.sort();
        lines.concat()
    }

    /// The same for pip, which also has to know whom to ask.
    pub(super) fn for_pip(&self) -> String {
        self.registries.iter().map(|line| format!("{line}\n")).collect::<String>() + &self.text()
    }

    /// The file, and where it names a package.
    pub(super) fn place(&self, package: &str) -> Option<(&str, Range<usize>)> {
        let name = normal(package);
        let pinned = self.pinned.iter().find(|pinned| pinned.name == name)?;
        Some((&self.file, pinned.span.clone()))
    }

    /// The first of these, other people's requirements, that is not met: as a clause about the file. `extras` are what is
    /// asked for besides of whoever requires it.
    #[must_use]
    pub fn unmet<'r>(&self, required: impl IntoIterator<Item = &'r str>, extras: &[String]) -> Option<String> {
        required.into_iter().find_map(|text| {
            // What others wrote wrongly is theirs, and would not be followed by pip either.
            let required = Requirement::parse(text).ok().filter(|required| required.applies(extras))?;
            match self.pinned.iter().find(|pinned| pinned.name == required.name) {
                None => Some(format!("`{}`, which {} does not name", required.shown(), self.file)),
                Some(pinned) if required.takes(&pinned.version) => None,
                Some(pinned) => Some(format!("`{}`, and {} has {}", required.shown(), self.file, pinned.version)),
            }
        })
    }

    /// What is asked for of a package besides itself, by this file.
    pub(super) fn extras_of(&self, package: &str) -> Vec<String> {
        let name = normal(package);
        let named = self.pinned.iter().find(|pinned| pinned.name == name);
        named.map(|pinned| pinned.extras.clone()).unwrap_or_default()
    }

    /// Takes a line that is no package.
    fn option(&mut self, line: &str) -> Result<(), Diagnostic> {
        let name = line.split([' ', '=']).next().unwrap_or(line);
        match name {
            "-i" | "--index-url" | "--extra-index-url" | "--trusted-host" => self.registries.push(line.to_owned()),
            // What they ask for is done anyway.
            "--require-hashes" | "--only-binary" | "--prefer-binary" => {}
            _ => return Err(unpinned(format!("`{name}` does not say which bytes are meant"))),
        }
        Ok(())
    }
}

impl Pinned {
    fn line(&self) -> String {
        let extras = if self.extras.is_empty() { String::new() } else { format!("[{}]", self.extras.join(",")) };
        let hashes: String = self.hashes.iter().map(|hash| format!(" --hash={hash}")).collect();
        format!("{}{extras}=={}{hashes}\n", self.name, self.version)
    }
}

/// A package of one line; nothing when it is for another Python.
fn pinned(line: &str, span: Range<usize>) -> Result<Option<Pinned>, Diagnostic> {
    let (package, options) = line.split_once(" --").unwrap_or((line, ""));
    let (package, shown) = (package.trim(), package.trim().escape_debug());
    let requirement =
        Requirement::parse(package).map_err(|e| unpinned(format!("`{shown}` names no package")).note(e))?;
    if !requirement.applies(&[]) {
        return Ok(None);
    }
    let exact = requirement.versions.as_ref().and_then(|wanted| match &wanted[..] {
        [one] if matches!(one.operator(), Operator::Equal | Operator::ExactEqual) => Some(one.version().clone()),
        _ => None,
    });
    let name = &requirement.name;
    let version = exact.ok_or_else(|| unpinned(format!("`{name}` has no exact version: `{name}==VERSION`")))?;
    let mut hashes = Vec::new();
    for option in format!("--{options}").split_whitespace().collect::<Vec<_>>().join(" ").split("--").skip(1) {
        match option.trim().split_once(['=', ' ']) {
            Some(("hash", hash)) if is_digest(hash.trim()) => hashes.push(hash.trim().to_ascii_lowercase()),
            Some(("hash", hash)) => {
                return Err(unpinned(format!("`{}` is no digest that bytes are held to", hash.escape_debug())));
            }
            None if option.trim().is_empty() => {}
            _ => {
                return Err(unpinned(format!(
                    "`--{}` does not say which bytes are meant",
                    option.trim().escape_debug()
                )));
            }
        }
    }
    if hashes.is_empty() {
        return Err(unpinned(format!("`{name}` has no digest: `--hash=sha256:…`")));
    }
    hashes.sort();
    hashes.dedup();
    Ok(Some(Pinned { name: name.clone(), extras: requirement.extras, version, hashes, span }))
}

/// Whether this is a digest of a function that nobody can cheat.
fn is_digest(text: &str) -> bool {
    let length = |function: &str| match function {
        "sha256" => Some(64),
        "sha384" => Some(96),
        "sha512" => Some(128),
        _ => None,
    };
    let Some((function, hex)) = text.split_once(':') else { return false };
    length(function) == Some(hex.len()) && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The lines as pip reads them: without comments, those that end in `\` joined; and where each is.
fn lines(text: &str) -> Vec<(String, Range<usize>)> {
    let (mut found, mut at) = (Vec::new(), 0);
    let mut open: Option<(String, Range<usize>)> = None;
    for line in text.split_inclusive('\n') {
        let (start, content) = (at, line.trim_end());
        at += line.len();
        let content = match content.find('#') {
            // A `#` inside a word, as in an address, is none.
            Some(hash) if content[..hash].is_empty() || content[..hash].ends_with(char::is_whitespace) => {
                &content[..hash]
            }
            _ => content,
        };
        let (part, goes_on) = match content.strip_suffix('\\') {
            Some(part) => (part, true),
            None => (content, false),
        };
        let part = part.trim();
        let indent = content.len() - content.trim_start().len();
        let (mut joined, span) =
            open.take().unwrap_or_else(|| (String::new(), start + indent..start + indent + part.len()));
        if !joined.is_empty() && !part.is_empty() {
            joined.push(' ');
        }
        joined.push_str(part);
        match goes_on {
            true => open = Some((joined, span)),
            false if joined.is_empty() => {}
            false => found.push((joined, span)),
        }
    }
    found.extend(open.filter(|(joined, _)| !joined.is_empty()));
    found
}

/// Whether a text says what is required of a package.
///
/// # Errors
/// Why it does not, as a clause.
pub fn check_requirement(text: &str) -> Result<(), String> {
    Requirement::parse(text).map(drop)
}

fn unpinned(message: String) -> Diagnostic {
    Diagnostic::error("unpinned-requirement", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "sha256:f38b2b640938a4f35ade69ac3d053042959b62a0f1076a5bbaa1b9526605a8a2";

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let text = text.replace("HASH", HASH);
        let found = Requirements::parse("requirements.txt", &text)
            .map(|found| found.text())
            .map_err(|problems| problems.into_iter().map(|p| p.message).collect::<Vec<_>>().join("\n"));
        let expected = expected.map(|text| text.replace("HASH", HASH)).map_err(str::to_owned);
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn what_is_pinned_has_one_form() {
        let one = Ok("inflection==0.5.1 --hash=HASH\n");
        check("# by hand\n\ninflection==0.5.1 --hash=HASH # said once\n", one);
        check("--only-binary :all:\nInflection == 0.5.1 \\\n    --hash=HASH \\\n    --hash HASH\n    # via app\n", one);
        check("-i https://mirror.example.org/simple\ninflection===0.5.1 --hash=HASH", one);
        check("", Ok(""));
    }

    #[test]
    fn markers_are_asked_of_the_python_in_the_component() {
        check(
            "a==1 ; sys_platform == 'win32' --hash=HASH\nb==1 ; python_version >= '3.9' --hash=HASH",
            Ok("b==1 --hash=HASH\n"),
        );
        check("typing-extensions==4 ; python_version < '3.11'", Ok(""));
    }

    #[test]
    fn what_does_not_say_which_bytes_is_refused() {
        check("inflection==0.5.1", Err("`inflection` has no digest: `--hash=sha256:…`"));
        check("inflection --hash=HASH", Err("`inflection` has no exact version: `inflection==VERSION`"));
        check("inflection>=0.5 --hash=HASH", Err("`inflection` has no exact version: `inflection==VERSION`"));
        check("inflection==0.5.* --hash=HASH", Err("`inflection` has no exact version: `inflection==VERSION`"));
        check("a @ https://example.org/a.whl --hash=HASH", Err("`a` has no exact version: `a==VERSION`"));
        check("a==1 --hash=md5:00", Err("`md5:00` is no digest that bytes are held to"));
        check("a==1 --hash=HASH --config-settings x", Err("`--config-settings x` does not say which bytes are meant"));
        check("-r other.txt", Err("`-r` does not say which bytes are meant"));
        check("./lib", Err("`./lib` names no package"));
        check("a==1 --hash=HASH\nA==2 --hash=HASH", Err("`a` is named twice"));
    }

    #[test]
    fn a_problem_is_where_its_line_is() {
        let text = "# a\n  inflection==0.5.1 \\\n  # via x\n";
        let problems = Requirements::parse("requirements.txt", text).unwrap_err();
        assert_eq!(&text[problems[0].labels[0].span.clone()], "inflection==0.5.1");
    }

    #[test]
    fn what_others_require_is_met_or_told() {
        let text = "text-unidecode==1.3 --hash=HASH\n".replace("HASH", HASH);
        let found = Requirements::parse("requirements.txt", &text).unwrap();
        let unmet = |required: &str| found.unmet([required], &[]);
        assert_eq!(unmet("text-unidecode>=1.3"), None);
        assert_eq!(unmet("Unidecode>=1.1.1; extra == \"unidecode\""), None);
        assert_eq!(unmet("text_unidecode>=2").unwrap(), "`text-unidecode>=2`, and requirements.txt has 1.3");
        assert_eq!(unmet("anyascii").unwrap(), "`anyascii`, which requirements.txt does not name");
    }
}
