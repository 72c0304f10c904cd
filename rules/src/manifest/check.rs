//! What a manifest means: judges the mirror of the file, all of it, before [`super::defaults`] completes it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use run_engine::digest::DigestFunction;
use run_engine::path::RelPath;
use serde::Deserialize as _;
use toml::de::DeTable;

use super::ceiling;
use super::conform::{Findings, conform};
use super::defaults::{language_choice, language_keys, manifest, noted, test_name};
use super::links::{Link, Target, Targets};
use super::raw::{FilePath, Raw, RawCommand, RawComponent, RawTest};
use super::{DigestChoice, Language, LanguageChoice, Manifest, Source, Spanned, StandardWorld, TargetKind};
use crate::diagnostic::Diagnostic;
use crate::name::TargetName;

/// What a command may not write: the places that are ours, git's or cargo's.
const RESERVED: &[&str] = &["target", ".run", ".git", "run.toml", "run.lock.toml"];

/// Where components may never be put.
const NEVER_OUTPUT: &[&str] = &[".run", ".git", "run.toml", "run.lock.toml"];

/// The keys that only some languages have.
const LANGUAGE_KEYS: &[(&str, &[Language])] = &[
    ("target", &[Language::Rust]),
    ("features", &[Language::Rust]),
    ("compiler", &[Language::Go]),
    ("engine", &[Language::JavaScript, Language::TypeScript]),
    ("typecheck", &[Language::TypeScript]),
];

/// Checks a text. The problems are in no order; the manifest may be there although some of them are errors.
pub(super) fn check(text: &str, file: &str) -> (Option<Manifest>, Vec<Diagnostic>) {
    let mut document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => return (None, vec![malformed(&error, text, file)]),
    };
    let has_remote = document.get_ref().contains_key("remote");
    let Findings { mut problems, damaged } = conform(document.get_mut(), file);
    let raw = match Raw::deserialize(toml::de::Deserializer::from(document)) {
        Ok(raw) => raw,
        // What conforms deserialises (a test holds the two together); should it ever not, this at least says where.
        Err(error) => {
            problems.push(malformed(&error, text, file));
            return (None, problems);
        }
    };
    judge(&raw, file, &damaged, &mut problems);
    let digest_function = match raw.cache.digest.unwrap_or(DigestChoice::Auto) {
        DigestChoice::Auto if has_remote => DigestFunction::Sha256,
        DigestChoice::Auto | DigestChoice::Blake3 => DigestFunction::Blake3,
        DigestChoice::Sha256 => DigestFunction::Sha256,
    };
    (manifest(raw, text, file, digest_function), problems)
}

fn malformed(error: &toml::de::Error, text: &str, file: &str) -> Diagnostic {
    let what = match error.message().lines().next() {
        Some("invalid basic string, expected `\"`") => "a text lacks its closing quote",
        Some(what) => what,
        None => "it can't be read",
    };
    let help = if what.starts_with("duplicate key") {
        "keep one of them; a table may be written only once, and an entry of a list needs double brackets"
    } else {
        "mend this place first; the rest is checked when the file can be read"
    };
    let span = error.span().unwrap_or(0..text.len());
    Diagnostic::error("malformed", format!("{file} is not TOML: {what}")).at(file, span, "").help(help)
}

/// Reports everything that is wrong with what is written, taken together.
fn judge(raw: &Raw, file: &str, damaged: &BTreeSet<usize>, problems: &mut Vec<Diagnostic>) {
    let targets = Targets::new(file, targets(raw), problems);
    targets.check(problems);
    let mut judge = Judge { file, targets: &targets, damaged, problems };
    for component in &raw.component {
        judge.component(&component.value, &component.span);
    }
    judge.commands(raw);
    judge.tests(&raw.test);
    ceiling::judge(raw, file, damaged, problems);
}

/// Every target that has a name, with whom it names.
fn targets(raw: &Raw) -> Vec<Target<'_>> {
    let to = |to, takes_commands| Link { to, takes_commands };
    let components = raw.component.iter().filter_map(|component| {
        Some(Target {
            name: component.name.as_ref()?,
            kind: TargetKind::Component,
            enabled: component.enabled.unwrap_or(true),
            links: component.depends.iter().map(|name| to(name, true)).collect(),
        })
    });
    let composes = raw.compose.iter().filter_map(|compose| {
        Some(Target {
            name: compose.name.as_ref()?,
            kind: TargetKind::Compose,
            enabled: true,
            links: compose.root.iter().chain(&compose.with).map(|name| to(name, false)).collect(),
        })
    });
    let commands = raw.command.iter().filter_map(|command| {
        Some(Target {
            name: command.name.as_ref()?,
            kind: TargetKind::Command,
            enabled: true,
            links: command.depends.iter().map(|name| to(name, true)).collect(),
        })
    });
    components.chain(composes).chain(commands).collect()
}

struct Judge<'a> {
    file: &'a str,
    targets: &'a Targets<'a>,
    /// Where the tables begin whose gaps were perhaps cut by [`conform`]; of these only what is there is judged.
    damaged: &'a BTreeSet<usize>,
    problems: &'a mut Vec<Diagnostic>,
}

impl Judge<'_> {
    fn error(&mut self, code: &'static str, message: String, span: &Range<usize>, help: impl Into<String>) {
        self.problems.push(Diagnostic::error(code, message).at(self.file, span.clone(), "").help(help));
    }

    fn is_whole(&self, table: &Range<usize>) -> bool {
        !self.damaged.contains(&table.start)
    }

    fn component(&mut self, component: &RawComponent, table: &Range<usize>) {
        match (&component.source, &component.path) {
            (Some(source), None) => {
                let language = language_choice(component.language.as_ref(), &source.value.0);
                let keys = language_keys(component);
                self.problems.extend(language_problems(&language, None, &keys, self.file));
                if self.is_whole(table) {
                    self.world(component);
                }
            }
            (None, Some(_)) => self.prebuilt(component),
            // Neither or both was reported by the table of keys.
            _ => {}
        }
    }

    /// Without `wit`, only the standard worlds are known.
    fn world(&mut self, component: &RawComponent) {
        if let (Some(world), None) = (&component.world, &component.wit)
            && world.value.as_str().parse::<StandardWorld>().is_err()
        {
            let message = format!("world `{}` is described nowhere", world.value);
            let help = "add `wit`, the file or directory that describes it; without it there are \
                        `wasi:cli/command` and `wasi:http/proxy`";
            self.error("missing-key", message, &world.span, help);
        }
    }

    fn prebuilt(&mut self, component: &RawComponent) {
        let mut keys = language_keys(component);
        let mut note = |key, span: Option<&Range<usize>>| {
            keys.extend(span.map(|span| Spanned { value: key, span: span.clone() }));
        };
        note("language", component.language.as_ref().map(|s| &s.span));
        note("wit", component.wit.as_ref().map(|s| &s.span));
        note("world", component.world.as_ref().map(|s| &s.span));
        note("sources", component.sources.as_ref().map(|s| &s.span));
        for key in keys {
            let message = format!("`{}` does not apply to a pre-built component", key.value);
            let help = "remove it; a pre-built component is complete, and carries its own interface";
            self.error("inapplicable-key", message, &key.span, help);
        }
    }

    fn commands(&mut self, raw: &Raw) {
        for command in &raw.command {
            if let Some(run) = command.run.as_ref().filter(|run| run.value.first().is_none_or(|p| p.value.is_empty())) {
                let message = "`run` names no program".to_owned();
                self.error(
                    "empty-command",
                    message,
                    &run.span,
                    "write the program and its arguments, as in `run = [\"jq\", \".\"]`",
                );
            }
            self.program(command.run.iter().flat_map(|run| &run.value));
        }
        let output_dir = raw.build.output_dir.as_ref().map(|dir| dir.value.0.clone());
        if let Some(dir) = &raw.build.output_dir
            && let Some(place) = NEVER_OUTPUT.iter().find(|place| dir.value.0.parts().next() == Some(**place))
        {
            let message = format!("`{}` is not a place for outputs", dir.value.0);
            let help = format!("choose another directory; `{place}` is not yours to fill");
            self.error("reserved-output", message, &dir.span, help);
        }
        for output in raw.command.iter().flat_map(|command| &command.outputs) {
            let path = &output.value.0;
            let reserved = RESERVED.iter().filter_map(|place| RelPath::new(place).ok()).chain(output_dir.clone());
            for place in reserved.filter(|place| path.starts_with(place)).take(1) {
                let message = format!("`{path}` is not a place for a command's output");
                let help =
                    format!("write it elsewhere, as in `gen/{}`; `{place}` belongs to the tools", path.file_name());
                self.error("reserved-output", message, &output.span, help);
            }
        }
        self.outputs_apart(&raw.command);
    }

    /// A program is a tool's name or a file of the project; no word of a command line holds a NUL.
    fn program<'w>(&mut self, words: impl Iterator<Item = &'w Spanned<String>>) {
        for (position, word) in words.enumerate() {
            if word.value.contains('\0') {
                let message = "a word of a command line can't hold a NUL character".to_owned();
                self.error("bad-text", message, &word.span, "remove it");
            } else if position == 0
                && word.value.contains('/')
                && !matches!(RelPath::normalize(&word.value), Ok(Some(_)))
            {
                let message = format!("`{}` is no file of the project", word.value.escape_debug());
                let help = "write the bare name of a tool and list it in `tools`, or a path inside the project";
                self.error("bad-path", message, &word.span, help);
            }
        }
    }

    /// No output may be another, or lie inside another: whose would the bytes be?
    fn outputs_apart(&mut self, commands: &[Spanned<RawCommand>]) {
        let mut writers: BTreeMap<&RelPath, &Spanned<FilePath>> = BTreeMap::new();
        let outputs = || commands.iter().flat_map(|command| &command.outputs);
        for output in outputs() {
            match writers.entry(&output.value.0) {
                Entry::Vacant(free) => {
                    free.insert(output);
                }
                Entry::Occupied(first) => {
                    let message = format!("`{}` is written twice", output.value.0);
                    self.clash(message, output, first.get());
                }
            }
        }
        for output in outputs() {
            let path = &output.value.0;
            let ancestors = std::iter::successors(path.parent(), RelPath::parent);
            if let Some(outer) = ancestors.into_iter().find_map(|ancestor| writers.get(&ancestor)) {
                self.clash(format!("`{path}` lies inside `{}`, another output", outer.value.0), output, outer);
            }
        }
    }

    fn clash(&mut self, message: String, output: &Spanned<FilePath>, other: &Spanned<FilePath>) {
        self.problems.push(
            Diagnostic::error("duplicate-output", message)
                .at(self.file, output.span.clone(), "")
                .at(self.file, other.span.clone(), "written here too")
                .help("let one command write it, and the others name that command in `depends`"),
        );
    }

    fn tests(&mut self, tests: &[Spanned<RawTest>]) {
        let mut first_of: BTreeMap<(&str, String), Range<usize>> = BTreeMap::new();
        for test in tests {
            let Some(component) = &test.value.component else { continue };
            self.test(&test.value, component, &test.span);
            if test.value.name.is_none() && !self.is_whole(&test.span) {
                continue;
            }
            let name = test_name(&test.value, component, &test.span);
            match first_of.entry((component.value.as_str(), name.value)) {
                Entry::Vacant(free) => {
                    free.insert(name.span);
                }
                Entry::Occupied(first) => {
                    let (component, test) = first.key();
                    self.problems.push(
                        Diagnostic::error("duplicate-test", format!("two tests of `{component}` are called `{test}`"))
                            .at(self.file, name.span, "")
                            .at(self.file, first.get().clone(), "first used here")
                            .help("give one of them another `name`"),
                    );
                }
            }
        }
    }

    fn test(&mut self, test: &RawTest, component: &Spanned<TargetName>, span: &Range<usize>) {
        let Some(target) = self.targets.find(component.as_str()) else {
            self.problems.push(self.targets.unknown(component));
            return;
        };
        match (target.kind, &test.function) {
            (TargetKind::Command, _) => self.test_of_command(test, component, span),
            (_, Some(function)) => self.test_of_function(test, function, span),
            (_, None) => self.test_of_program(test, span),
        }
    }

    /// A test of a command target only says how that command exits and what it prints.
    fn test_of_command(&mut self, test: &RawTest, component: &Spanned<TargetName>, table: &Range<usize>) {
        let name = &component.value;
        if self.is_whole(table) && test.expected_exit.is_none() && test.expected_stdout.is_none() {
            let message = format!("this test of the command `{name}` does not say how it exits or what it prints");
            self.error("missing-key", message, &component.span, "add `expected_exit = 0`, or `expected_stdout`");
        }
        for key in guest_keys(test) {
            let message = format!("`{}` does not apply to a command, and `{name}` is one", key.value);
            self.error("inapplicable-key", message, &key.span, "remove it; a command runs as its own table says");
        }
    }

    fn test_of_function(&mut self, test: &RawTest, function: &Spanned<String>, table: &Range<usize>) {
        for key in program_keys(test) {
            let message =
                format!("a test calls a function or runs a program, not both: `{}` is for programs", key.value);
            self.problems.push(
                Diagnostic::error("conflicting-keys", message)
                    .at(self.file, key.span, "")
                    .at(self.file, function.span.clone(), "calls a function")
                    .help(format!("remove `{}` or `function`", key.value)),
            );
        }
        match (&test.expected, &test.expected_error) {
            (Some(value), Some(error)) => self.problems.push(
                Diagnostic::error("conflicting-keys", "a function returns a value or an error, not both")
                    .at(self.file, error.span.clone(), "")
                    .at(self.file, value.span.clone(), "the value")
                    .help("keep the one that is meant"),
            ),
            (None, None) if self.is_whole(table) => {
                let message = format!("this test of `{}` expects nothing", function.value.escape_debug());
                let help = "add `expected` or `expected_error`; a function without a result returns `()`";
                self.error("missing-key", message, &function.span, help);
            }
            _ => {}
        }
    }

    fn test_of_program(&mut self, test: &RawTest, table: &Range<usize>) {
        let expects = test.expected_stdout.is_some() || test.expected_exit.is_some();
        if !expects && self.is_whole(table) {
            let help = "add `function` and `expected`, or for a program `expected_exit` or `expected_stdout`";
            self.error("missing-key", "this test expects nothing".to_owned(), table, help);
        }
    }
}

/// The keys of a test that only a program has.
fn program_keys(test: &RawTest) -> Vec<Spanned<&'static str>> {
    noted([
        ("expected_stdout", test.expected_stdout.as_ref().map(|s| &s.span)),
        ("expected_exit", test.expected_exit.as_ref().map(|s| &s.span)),
        ("argv", test.argv.as_ref().map(|s| &s.span)),
        ("stdin", test.stdin.as_ref().map(|s| &s.span)),
    ])
}

/// The keys of a test that only a WebAssembly guest has.
fn guest_keys(test: &RawTest) -> Vec<Spanned<&'static str>> {
    noted([
        ("function", test.function.as_ref().map(|s| &s.span)),
        ("argv", test.argv.as_ref().map(|s| &s.span)),
        ("stdin", test.stdin.as_ref().map(|s| &s.span)),
        ("env", test.env.as_ref().map(|s| &s.span)),
        ("dirs", test.dirs.as_ref().map(|s| &s.span)),
        ("allow", test.allow.as_ref().map(|s| &s.span)),
        ("fuel", test.fuel.as_ref().map(|s| &s.span)),
        ("memory", test.memory.as_ref().map(|s| &s.span)),
        ("timeout", test.timeout.as_ref().map(|s| &s.span)),
    ])
}

/// What is wrong with a component in this language. `detected` stands in where the manifest leaves the choice to it.
fn language_problems(
    choice: &LanguageChoice,
    detected: Option<Language>,
    keys: &[Spanned<&'static str>],
    file: &str,
) -> Vec<Diagnostic> {
    let language = match choice {
        LanguageChoice::Given(given) => given.value,
        LanguageChoice::Named(language) => *language,
        LanguageChoice::Detect => match detected {
            Some(language) => language,
            None => return Vec::new(),
        },
    };
    let mut problems = Vec::new();
    for key in keys {
        let Some((_, languages)) = LANGUAGE_KEYS.iter().find(|(name, _)| *name == key.value) else { continue };
        if !languages.contains(&language) {
            let languages: Vec<_> = languages.iter().map(|language| format!("`{language}`")).collect();
            let only = super::listed(&languages, "and");
            problems.push(
                Diagnostic::error("inapplicable-key", format!("`{}` does not apply to `{language}`", key.value))
                    .at(file, key.span.clone(), "")
                    .help(format!("remove it; it is for {only}")),
            );
        }
    }
    problems
}

impl Source {
    /// What is wrong with this component once its language was detected: a language that this version lacks, keys that
    /// the language does not have. Empty where `run.toml` itself says the language, since [`super::check()`] has judged it.
    #[must_use]
    pub fn problems_in(&self, detected: Language, file: &str) -> Vec<Diagnostic> {
        if self.language != LanguageChoice::Detect {
            return Vec::new();
        }
        language_problems(&self.language, Some(detected), &self.language_keys, file)
    }
}
