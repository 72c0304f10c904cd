//! Compositions written by hand, in the WAC language.
//!
//! A script names components as packages. `PROJECT:TARGET`, where `PROJECT` is the project's name in `run.toml`, is the target of
//! that name; any other `ns:name` is the dependency of that name in `run.toml`, with its version where one is written. WASI's own
//! packages are always there.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use semver::Version;
use wac_graph::EncodeOptions;
use wac_parser::Document;
use wac_parser::lexer::{Lexer, Token};
use wac_types::BorrowedPackageKey;
use wit_parser::PackageName;

use super::validate::{self, Bodies};
use super::{StepError, causes, compose, wit};
use crate::diagnostic::Diagnostic;

/// A package that a script refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptPackage {
    /// As written, with the version if there is one: `shop:calc`, `acme:log@1.2.0`.
    pub name: String,
    /// Where it is first written.
    pub span: Range<usize>,
}

impl ScriptPackage {
    /// The name of the target that is meant, if a target of `project` is meant.
    #[must_use]
    pub fn target(&self, project: &str) -> Option<&str> {
        self.name.strip_prefix(project)?.strip_prefix(':').filter(|target| !target.contains('@'))
    }
}

/// The packages a script needs, in the order it first names them, without WASI's.
///
/// # Errors
///
/// `bad-wac`, with the place in `file`.
pub fn script_packages(file: &str, source: &str) -> Result<Vec<ScriptPackage>, StepError> {
    let document = parse(file, source)?;
    let own = document.directive.package.string;
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (name, span) in mentions(source) {
        if name != own && !is_wasi(&name) && seen.insert(name.clone()) {
            found.push(ScriptPackage { name, span });
        }
    }
    Ok(found)
}

/// Runs a script. `packages` holds a component for each package it names, under the name as written.
///
/// # Errors
///
/// `bad-wac` with the place in `file`; `not-wasm`, `not-a-component`, `bad-component` for bytes that are not.
pub fn compose_script(file: &str, source: &str, packages: &BTreeMap<String, Vec<u8>>) -> Result<Vec<u8>, StepError> {
    let document = parse(file, source)?;
    let mut given = Vec::new();
    for (name, bytes) in packages {
        validate::wellformed(bytes, Bodies::Checked)?;
        given.push((Key::of(name), bytes.clone()));
    }
    for name in mentions(source).map(|(name, _)| name).filter(|name| is_wasi(name)).collect::<BTreeSet<_>>() {
        given.extend(wasi_package(&name)?.map(|bytes| (Key::of(&name), bytes)));
    }
    let (keys, bytes): (Vec<Key>, Vec<Vec<u8>>) = given.into_iter().unzip();
    let by_key = keys.iter().map(Key::borrow).zip(bytes).collect();
    let resolution = document.resolve(by_key).map_err(|error| at_labels(file, &error))?;
    let unchecked = EncodeOptions { validate: false, ..EncodeOptions::default() };
    let bytes = resolution.encode(unchecked).map_err(|error| at_labels(file, &error))?;
    match validate::types_of(&bytes, Bodies::Checked) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(compose::not_together(&error)),
    }
}

fn parse<'s>(file: &str, source: &'s str) -> Result<Document<'s>, StepError> {
    Document::parse(source).map_err(|error| at_labels(file, &error))
}

/// A package name as the script's resolver looks it up.
struct Key {
    name: String,
    version: Option<Version>,
}

impl Key {
    fn of(written: &str) -> Self {
        let (name, version) = super::compare::split_version(written);
        Self { name: name.to_owned(), version }
    }

    fn borrow(&self) -> BorrowedPackageKey<'_> {
        BorrowedPackageKey::from_name_and_version(&self.name, self.version.as_ref())
    }
}

/// Every package named in a script that parses, the one it defines included, with its place.
///
/// Tokens say it all: a package name is a token of its own, wherever the grammar allows one.
fn mentions(source: &str) -> impl Iterator<Item = (String, Range<usize>)> {
    let tokens = Lexer::new(source).into_iter().flatten();
    tokens.filter_map(|(token, span)| {
        let range = span.offset()..span.offset() + span.len();
        let text = &source[range.clone()];
        match token {
            Ok(Token::PackageName) => Some((text.to_owned(), range)),
            Ok(Token::PackagePath) => Some((package_of(text), range)),
            _ => None,
        }
    })
}

/// `ns:name/item@1.0.0` is an item of `ns:name@1.0.0`.
fn package_of(path: &str) -> String {
    let (path, version) = path.split_at(path.find('@').unwrap_or(path.len()));
    let package = path.split('/').next().unwrap_or(path);
    format!("{package}{version}")
}

fn is_wasi(name: &str) -> bool {
    name.starts_with("wasi:")
}

/// A built-in package of WASI in binary form, where it is one.
fn wasi_package(written: &str) -> Result<Option<Vec<u8>>, StepError> {
    let Key { name, version } = Key::of(written);
    let Some((namespace, name)) = name.split_once(':') else { return Ok(None) };
    let name = PackageName { namespace: namespace.to_owned(), name: name.to_owned(), version };
    wit::built_in_package(&name).map(|found| {
        found.map(|(resolve, id)| {
            wit_component::encode(&resolve, id, false).expect("a built-in package has a binary form")
        })
    })
}

/// A script's error with every place it speaks of, the main one first.
fn at_labels<E>(file: &str, error: &E) -> StepError
where
    E: miette::Diagnostic + std::error::Error + 'static,
{
    let mut said = causes(error).into_iter();
    let mut diagnostic = Diagnostic::error("bad-wac", said.next().unwrap_or_default());
    diagnostic.notes = said.collect();
    let mut labels: Vec<miette::LabeledSpan> = error.labels().into_iter().flatten().collect();
    labels.sort_by_key(|label| !label.primary());
    for label in labels {
        let span = label.offset()..label.offset() + label.len();
        let text = label.label().filter(|text| *text != diagnostic.message).unwrap_or_default().to_owned();
        diagnostic = diagnostic.at(file, span, text);
    }
    diagnostic.into()
}

#[cfg(test)]
mod tests;
