//! [`Requirement`]: what a package requires of another, as Python's tools write it: `text-unidecode[x]>=1.3; python_version < "4"`.
//!
//! Markers are asked of the Python that is in components, as it describes itself; not of this machine's.

use pep440_rs::{Version, VersionSpecifiers};

/// The Python in components, as `pip` names its version.
pub(super) const PYTHON: &str = "3.14";

/// What it says of itself, by the names that markers have for it.
const GUEST: [(&str, &str); 11] = [
    ("implementation_name", "cpython"),
    ("implementation_version", "3.14.0"),
    ("os_name", "posix"),
    ("platform_machine", "wasm32"),
    ("platform_python_implementation", "CPython"),
    ("platform_release", "0.0.0"),
    ("platform_system", "wasi"),
    ("platform_version", "0.0.0"),
    ("python_full_version", "3.14.0"),
    ("python_version", PYTHON),
    ("sys_platform", "wasi"),
];

/// What is required of one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Requirement {
    /// In the one form that names of packages have: `text-unidecode`.
    pub(super) name: String,
    /// What is asked for besides the package itself, in one form.
    pub(super) extras: Vec<String>,
    /// Which versions; `None` for what is got from an address.
    pub(super) versions: Option<VersionSpecifiers>,
    marker: Marker,
}

/// When it is required.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Marker {
    /// All of these.
    And(Vec<Self>),
    /// Any of these.
    Or(Vec<Self>),
    /// Two values, compared.
    Compare { left: Value, operator: String, right: Value },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    /// In quotes.
    Text(String),
    /// Something that the Python knows of itself, or `extra`.
    Name(String),
}

impl Requirement {
    /// Reads one.
    ///
    /// # Errors
    /// Why it is none, as a clause.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (package, marker) = text.split_once(';').unwrap_or((text, ""));
        let package = package.trim();
        let is_named = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let (name, rest) = package.split_at(package.find(|c| !is_named(c)).unwrap_or(package.len()));
        let is_name = name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.ends_with(|c: char| c.is_ascii_alphanumeric());
        if !is_name {
            return Err(format!("`{}` is no name of a package", package.escape_debug()));
        }
        let (extras, rest) = match rest.trim().strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or("a `]` is missing")?,
            None => ("", rest.trim()),
        };
        let mut extras: Vec<String> = extras.split(',').map(normal).filter(|extra| !extra.is_empty()).collect();
        extras.sort();
        let rest = rest.trim();
        let rest = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).unwrap_or(rest);
        let versions = match rest.starts_with('@') {
            true => None,
            false => Some(
                rest.parse::<VersionSpecifiers>()
                    .map_err(|e| e.to_string().lines().next().unwrap_or_default().to_owned())?,
            ),
        };
        let marker = if marker.trim().is_empty() { Marker::And(vec![]) } else { Words::of(marker)?.whole()? };
        Ok(Self { name: normal(name), extras, versions, marker })
    }

    /// Whether it is required by a component, of a package that is asked for with these extras.
    pub(super) fn applies(&self, extras: &[String]) -> bool {
        self.marker.holds(extras)
    }

    /// Whether a version will do. One that was locked may come before a release.
    pub(super) fn takes(&self, version: &Version) -> bool {
        self.versions.as_ref().is_none_or(|wanted| wanted.iter().all(|one| one.contains(version)))
    }

    /// The package and its versions, without when.
    pub(super) fn shown(&self) -> String {
        let extras = if self.extras.is_empty() { String::new() } else { format!("[{}]", self.extras.join(",")) };
        format!("{}{extras}{}", self.name, self.versions.as_ref().map(ToString::to_string).unwrap_or_default())
    }
}

/// The one form of a name: `Text_Unidecode` is `text-unidecode`.
pub(super) fn normal(name: &str) -> String {
    let parts = name.trim().split(['-', '_', '.']).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-").to_ascii_lowercase()
}

impl Marker {
    fn holds(&self, extras: &[String]) -> bool {
        match self {
            Self::And(all) => all.iter().all(|marker| marker.holds(extras)),
            Self::Or(any) => any.iter().any(|marker| marker.holds(extras)),
            Self::Compare { left, operator, right } => match (left, right) {
                (Value::Name(name), Value::Text(text)) if name == "extra" => {
                    extras.contains(&normal(text)) == (operator == "==")
                }
                _ => compared(&left.known(), operator, &right.known()),
            },
        }
    }
}

impl Value {
    /// Its text; of what the Python does not know of itself, none.
    fn known(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Name(name) => {
                GUEST.iter().find(|(known, _)| known == name).map_or(String::new(), |(_, text)| (*text).to_owned())
            }
        }
    }
}

/// Versions are compared as such, anything else as text.
fn compared(left: &str, operator: &str, right: &str) -> bool {
    match operator {
        "in" => return right.contains(left),
        "not in" => return !right.contains(left),
        _ => {}
    }
    let wanted = format!("{operator}{right}").parse::<VersionSpecifiers>();
    if let (Ok(version), Ok(wanted)) = (left.parse::<Version>(), wanted) {
        return wanted.iter().all(|one| one.contains(&version));
    }
    match operator {
        "==" | "===" => left == right,
        "!=" => left != right,
        "<" => left < right,
        "<=" => left <= right,
        ">" => left > right,
        ">=" => left >= right,
        _ => false,
    }
}

/// A marker in words, read from the front.
struct Words(Vec<String>, usize);

impl Words {
    fn of(text: &str) -> Result<Self, String> {
        let mut words = Vec::new();
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = match first {
                '(' | ')' => 1,
                '\'' | '"' => rest[1..].find(first).ok_or("a text in it has no closing quote")? + 2,
                '<' | '>' | '=' | '!' | '~' => rest.find(|c| !"<>=!~".contains(c)).unwrap_or(rest.len()),
                c if c.is_ascii_alphabetic() => {
                    rest.find(|c: char| !c.is_ascii_alphanumeric() && !"_.".contains(c)).unwrap_or(rest.len())
                }
                other => return Err(format!("`{}` means nothing in it", other.escape_debug())),
            };
            words.push(rest[..length].to_owned());
            rest = rest[length..].trim_start();
        }
        Ok(Self(words, 0))
    }

    fn next(&mut self) -> Option<&str> {
        self.1 += 1;
        self.0.get(self.1 - 1).map(String::as_str)
    }

    /// Goes past a word, if it comes next.
    fn take(&mut self, word: &str) -> bool {
        let is_next = self.0.get(self.1).is_some_and(|next| next == word);
        self.1 += usize::from(is_next);
        is_next
    }

    fn whole(mut self) -> Result<Marker, String> {
        let marker = self.any()?;
        match self.next() {
            None => Ok(marker),
            Some(word) => Err(format!("`{}` comes too late in it", word.escape_debug())),
        }
    }

    fn any(&mut self) -> Result<Marker, String> {
        let mut any = vec![self.all()?];
        while self.take("or") {
            any.push(self.all()?);
        }
        Ok(Marker::Or(any))
    }

    fn all(&mut self) -> Result<Marker, String> {
        let mut all = vec![self.one()?];
        while self.take("and") {
            all.push(self.one()?);
        }
        Ok(Marker::And(all))
    }

    fn one(&mut self) -> Result<Marker, String> {
        if self.take("(") {
            let inside = self.any()?;
            return if self.take(")") { Ok(inside) } else { Err("a `)` is missing".to_owned()) };
        }
        let left = self.value()?;
        let operator = match self.next().map(str::to_owned).as_deref() {
            Some("not") if self.take("in") => "not in".to_owned(),
            Some(word @ ("in" | "<" | "<=" | "==" | "===" | "!=" | ">" | ">=" | "~=")) => word.to_owned(),
            _ => return Err("a comparison in it is none".to_owned()),
        };
        Ok(Marker::Compare { left, operator, right: self.value()? })
    }

    fn value(&mut self) -> Result<Value, String> {
        let word = self.next().ok_or("it ends too early")?;
        if let Some(text) = word.strip_prefix(['\'', '"']) {
            return Ok(Value::Text(text[..text.len() - 1].to_owned()));
        }
        // As old packages write them.
        let name = word.replace('.', "_");
        match name == "extra" || GUEST.iter().any(|(known, _)| *known == name) {
            true => Ok(Value::Name(name)),
            false => Err(format!("`{}` is nothing that a Python knows of itself", word.escape_debug())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn applies(marker: &str, expected: bool) {
        let found = Requirement::parse(&format!("a ; {marker}")).unwrap_or_else(|e| panic!("{marker}: {e}"));
        assert_eq!(found.applies(&["fast".to_owned()]), expected, "{marker}");
    }

    #[test]
    fn markers_are_asked_of_the_python_in_the_component() {
        applies("python_version >= '3.9'", true);
        applies("python_version < \"3.11\"", false);
        applies("'3.9' <= python_full_version", true);
        applies("sys_platform == 'win32' or os_name=='posix'", true);
        applies("(sys_platform == 'win32' or os_name == 'posix') and platform_system == 'Linux'", false);
        applies("sys_platform in 'linux wasi' and platform_machine not in 'x86_64 amd64'", true);
        applies("extra == 'Fast' and python_version ~= '3.10'", true);
        applies("extra == 'slow'", false);
    }

    #[test]
    fn names_have_one_form() {
        let found = Requirement::parse("Text_Unidecode[B, a] (>=1.3)").unwrap();
        assert_eq!(found.shown(), "text-unidecode[a,b]>=1.3");
        assert!(found.takes(&"1.4".parse().unwrap()) && !found.takes(&"1.2".parse().unwrap()));
        assert!(Requirement::parse("a @ https://example.org/a.whl").unwrap().versions.is_none());
    }

    #[test]
    fn what_is_no_requirement_is_told() {
        let check = |text: &str, expected: &str| assert_eq!(Requirement::parse(text), Err(expected.to_owned()));
        check("./lib", "`./lib` is no name of a package");
        check("a[b", "a `]` is missing");
        check("a; python_version > ", "it ends too early");
        check("a; planet == 'earth'", "`planet` is nothing that a Python knows of itself");
        check("a; (os_name == 'posix'", "a `)` is missing");
        check("a; os_name == 'posix", "a text in it has no closing quote");
        check("a; os_name 'posix'", "a comparison in it is none");
        check("a; os_name == 'posix' b", "`b` comes too late in it");
        check("a; os_name == 'posix' ?", "`?` means nothing in it");
    }
}
