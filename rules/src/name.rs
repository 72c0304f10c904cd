//! Names as users write them, one parser each: [`TargetName`], [`PackageName`], [`WorldName`], [`ToolName`], [`EnvName`].

use std::fmt;
use std::str::FromStr;

use crate::diagnostic::Refused;

/// The longest name of a target, in bytes: it becomes a file name with `.wasm` after it.
const TARGET_NAME_BYTES_MAX: usize = 100;

/// Gives a newtype over checked text what every name needs.
macro_rules! checked_text {
    ($name:ident) => {
        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

/// The name of a target, or of the project: ASCII letters, digits, `-` and `_`, a letter or a digit first.
///
/// Holds no dot and no slash, so a target can't be mistaken for a file, and `NAME.wasm` is always a plain file name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetName(Box<str>);

checked_text!(TargetName);

impl TargetName {
    /// The name as a file system sees it that does not tell `A` from `a`: two targets may not share it.
    #[must_use]
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl FromStr for TargetName {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let why = if text.is_empty() {
            "is empty".to_owned()
        } else if let Some(c) = text.chars().find(|&c| !allowed(c)) {
            if c == ' ' { "holds a space".to_owned() } else { format!("holds `{}`", c.escape_debug()) }
        } else if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            "starts with a mark".to_owned()
        } else if text.len() > TARGET_NAME_BYTES_MAX {
            format!("is longer than {TARGET_NAME_BYTES_MAX} characters")
        } else {
            return Ok(Self(text.into()));
        };
        let help = "use ASCII letters, digits, `-` and `_`, with a letter or a digit first";
        Err(Refused { what: "name", text: text.to_owned(), why, help: help.to_owned() })
    }
}

/// The name of a package in a registry or in WIT: `namespace:name`, both in kebab case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageName(Box<str>);

checked_text!(PackageName);

impl FromStr for PackageName {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        match text.split_once(':') {
            Some((namespace, name)) if is_kebab(namespace) && is_kebab(name) => Ok(Self(text.into())),
            _ => Err(Refused {
                what: "package name",
                text: text.to_owned(),
                why: "is not `namespace:name` in kebab case".to_owned(),
                help: "write it as in `demo:calc`".to_owned(),
            }),
        }
    }
}

/// The name of a WIT world: `api`, or in full `demo:calc/api@1.0.0`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorldName(Box<str>);

checked_text!(WorldName);

impl FromStr for WorldName {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        if is_world(text) {
            return Ok(Self(text.into()));
        }
        Err(Refused {
            what: "world",
            text: text.to_owned(),
            why: "is not the name of a WIT world".to_owned(),
            help: "write a name in kebab case, as in `api`, or with its package, as in `demo:calc/api@1.0.0`"
                .to_owned(),
        })
    }
}

/// The name of an executable, to be looked up: never a path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ToolName(Box<str>);

checked_text!(ToolName);

impl FromStr for ToolName {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let why = if text.is_empty() {
            "is empty"
        } else if text.contains(['/', '\\']) {
            "is a path"
        } else if text == "." || text == ".." || text.contains(|c: char| c.is_control()) {
            "can't be the name of an executable"
        } else {
            return Ok(Self(text.into()));
        };
        let help = "write the bare name of the executable, as in `jq`";
        Err(Refused { what: "tool", text: text.to_owned(), why: why.to_owned(), help: help.to_owned() })
    }
}

/// The name of an environment variable.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvName(Box<str>);

checked_text!(EnvName);

impl FromStr for EnvName {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        if !text.is_empty() && !text.contains(['=', '\0']) {
            return Ok(Self(text.into()));
        }
        let why = if text.is_empty() { "is empty" } else { "holds `=` or a NUL character" };
        let help = "no program could read such a variable; use letters, digits and `_`";
        Err(Refused { what: "variable", text: text.to_owned(), why: why.to_owned(), help: help.to_owned() })
    }
}

/// Whether a text is one identifier of WIT: words joined by `-`, each of one case and starting with a letter.
fn is_kebab(text: &str) -> bool {
    text.split('-').all(|word| {
        word.starts_with(|c: char| c.is_ascii_alphabetic())
            && word.chars().all(|c| c.is_ascii_alphanumeric())
            && !(word.contains(|c: char| c.is_ascii_lowercase()) && word.contains(|c: char| c.is_ascii_uppercase()))
    })
}

fn is_world(text: &str) -> bool {
    let Some((package, rest)) = text.split_once('/') else { return is_kebab(text) };
    let (world, version) = rest.split_once('@').map_or((rest, None), |(world, version)| (world, Some(version)));
    package.parse::<PackageName>().is_ok()
        && is_kebab(world)
        && version.is_none_or(|v| semver::Version::parse(v).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks which texts a parser takes, and what it says of the first that it refuses.
    #[track_caller]
    fn check<T: FromStr<Err = Refused>>(good: &[&str], bad: &[&str], message: &str) {
        for text in good {
            assert!(text.parse::<T>().is_ok(), "{text:?}");
        }
        for text in bad {
            assert!(text.parse::<T>().is_err(), "{text:?}");
        }
        assert_eq!(bad[0].parse::<T>().err().map(|e| e.to_string()).as_deref(), Some(message));
    }

    #[test]
    fn target_names_are_plain_words() {
        let long = "a".repeat(101);
        check::<TargetName>(
            &["api", "hello-world", "A_1", "3d"],
            &["a b", "", "-a", "_a", "a.wasm", "a/b", "ü", &long],
            "name `a b` holds a space",
        );
    }

    #[test]
    fn package_names_have_a_namespace() {
        check::<PackageName>(
            &["demo:calc", "a-b:c-d2", "HTTP:x"],
            &["calc", "demo:", ":calc", "demo:Calc", "a:b:c", "a:2b"],
            "package name `calc` is not `namespace:name` in kebab case",
        );
    }

    #[test]
    fn worlds_may_carry_package_and_version() {
        check::<WorldName>(
            &["api", "wasi:cli/command", "demo:calc/api@1.0.0"],
            &["my world", "", "demo:calc", "demo:calc/api@1", "a/b"],
            "world `my world` is not the name of a WIT world",
        );
    }

    #[test]
    fn tools_are_names_not_paths() {
        check::<ToolName>(&["jq", "g++", "clang-18"], &["bin/jq", "", "..", "a\0"], "tool `bin/jq` is a path");
    }

    #[test]
    fn variables_hold_no_equals_sign() {
        check::<EnvName>(&["LOG", "a b"], &["A=B", ""], "variable `A=B` holds `=` or a NUL character");
    }
}
