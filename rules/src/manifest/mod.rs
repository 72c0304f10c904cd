//! `run.toml`, checked: [`check()`] turns a text into a [`Manifest`], or into everything that is wrong with it.
//!
//! The line inside: text → `toml`'s spanned document → [`conform`] holds it against the one table of keys in [`schema`]
//! and cuts away what does not fit → [`raw`] mirrors the rest → [`check`](check::check) and [`links`] judge what it
//! means → [`defaults`] completes it. No step stops at the first problem.
//!
//! What is deliberately not here: I/O. Whether a file exists, what a directory's language is and what a WIT package
//! holds is asked where facts are gathered, with the spans that are kept here.

mod ceiling;
mod check;
mod conform;
mod defaults;
mod language;
mod links;
mod pattern;
mod raw;
mod schema;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, Range};
use std::str::FromStr;

use run_engine::digest::DigestFunction;
use run_engine::path::RelPath;

pub use self::language::{Detection, Language, detect};
pub use self::pattern::Pattern;
pub use self::schema::json_schema;
use crate::capability::{Capability, DirGrant};
use crate::diagnostic::{Diagnostic, Refused, Severity};
use crate::name::{EnvName, TargetName, ToolName, WorldName};
use crate::quantity::{Size, Timeout};

/// Checks the text of a manifest; `file` is what the user calls it.
///
/// Returns every problem, in the order of the file, and the manifest unless one of them is an error. Pure: touches no
/// file, clock or environment.
#[must_use]
pub fn check(text: &str, file: &str) -> (Option<Manifest>, Vec<Diagnostic>) {
    let (manifest, mut problems) = check::check(text, file);
    problems.sort_by_key(|problem| problem.labels.first().map_or(0, |label| label.span.start));
    let is_broken = problems.iter().any(|problem| problem.severity == Severity::Error);
    (manifest.filter(|_| !is_broken), problems)
}

/// A value, and the bytes of `run.toml` that it was written in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// The bytes; for something defaulted, those of the table that it belongs to.
    pub span: Range<usize>,
}

impl<T> Spanned<T> {
    /// The same place, with a value made from this one.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned { value: f(self.value), span: self.span }
    }
}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// A checked manifest: every name resolves, every default is filled in.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// What the user calls the file; for labels.
    pub file: String,
    /// `[project]`
    pub project: Project,
    /// `[[component]]`, in the order of the file.
    pub components: Vec<Component>,
    /// `[[compose]]`, in the order of the file.
    pub composes: Vec<Compose>,
    /// `[[command]]`, in the order of the file.
    pub commands: Vec<Command>,
    /// `[[test]]`, in the order of the file. A test of a disabled component is disabled with it, and still listed.
    pub tests: Vec<Test>,
    /// `[build]`
    pub build: Build,
    /// `[cache]`
    pub cache: Cache,
    /// `[toolchain.LANGUAGE]`, where given.
    pub toolchains: BTreeMap<&'static str, Toolchain>,
    digest_function: DigestFunction,
    /// The tests of each target, as places in the list.
    tests_of: BTreeMap<TargetName, Vec<usize>>,
    /// Every target's place in the list of its kind.
    by_name: BTreeMap<TargetName, (TargetKind, usize)>,
    /// Where each line begins, in bytes.
    line_starts: Vec<usize>,
}

impl Manifest {
    /// The hash that names everything in this workspace: decided by `run.toml` alone.
    #[must_use]
    pub const fn digest_function(&self) -> DigestFunction {
        self.digest_function
    }

    /// The line in which a span begins, counted from 1.
    #[must_use]
    pub fn line_of(&self, span: &Range<usize>) -> usize {
        self.line_starts.partition_point(|&start| start <= span.start)
    }

    /// Every target's name, with its kind: components, compositions, commands, each in the order of the file.
    pub fn targets(&self) -> impl Iterator<Item = (TargetKind, &Spanned<TargetName>)> {
        let components = self.components.iter().map(|c| (TargetKind::Component, &c.name));
        let composes = self.composes.iter().map(|c| (TargetKind::Compose, &c.name));
        let commands = self.commands.iter().map(|c| (TargetKind::Command, &c.name));
        components.chain(composes).chain(commands)
    }

    /// The tests of a target, in the order of the file.
    pub fn tests_of(&self, target: &str) -> impl Iterator<Item = &Test> {
        self.tests_of.get(target).into_iter().flatten().map(|i| &self.tests[*i])
    }

    /// The kind of the target of this name.
    #[must_use]
    pub fn find_kind(&self, name: &str) -> Option<TargetKind> {
        self.by_name.get(name).map(|(kind, _)| *kind)
    }

    /// The component of this name.
    #[must_use]
    pub fn find_component(&self, name: &str) -> Option<&Component> {
        self.find(TargetKind::Component, name).map(|i| &self.components[i])
    }

    /// The composition of this name.
    #[must_use]
    pub fn find_compose(&self, name: &str) -> Option<&Compose> {
        self.find(TargetKind::Compose, name).map(|i| &self.composes[i])
    }

    /// The command of this name.
    #[must_use]
    pub fn find_command(&self, name: &str) -> Option<&Command> {
        self.find(TargetKind::Command, name).map(|i| &self.commands[i])
    }

    fn find(&self, wanted: TargetKind, name: &str) -> Option<usize> {
        self.by_name.get(name).filter(|(kind, _)| *kind == wanted).map(|(_, i)| *i)
    }
}

/// The kinds of target that a manifest declares by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TargetKind {
    /// `[[component]]`
    Component,
    /// `[[compose]]`
    Compose,
    /// `[[command]]`
    Command,
}

impl fmt::Display for TargetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Component => "component",
            Self::Compose => "composition",
            Self::Command => "command",
        })
    }
}

/// `[project]`: what the project is called.
#[derive(Debug, Clone)]
pub struct Project {
    /// The project's name.
    pub name: Spanned<TargetName>,
    /// The project's version.
    pub version: semver::Version,
    /// What the project is.
    pub description: Option<String>,
    /// Who wrote it.
    pub authors: Vec<String>,
    /// Its licence, as an SPDX expression.
    pub license: Option<String>,
    /// Where its sources are.
    pub repository: Option<String>,
}

/// `[[component]]`: a WebAssembly component.
#[derive(Debug, Clone)]
pub struct Component {
    /// The target's name.
    pub name: Spanned<TargetName>,
    /// Where its bytes come from.
    pub origin: Origin,
    /// The most that it will ever be granted.
    pub capabilities: Vec<Spanned<Capability>>,
    /// Targets whose exports satisfy its imports, or whose outputs it reads. Each exists.
    pub depends: Vec<Spanned<TargetName>>,
    /// Whether it is part of the project. Nothing that is enabled depends on a component that is not.
    pub enabled: bool,
    /// The guest's variables at run time.
    pub env: BTreeMap<EnvName, String>,
}

/// Where a component's bytes come from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// They are built.
    Source(Box<Source>),
    /// They are in this file of the project.
    Prebuilt(Spanned<RelPath>),
}

/// How a component is built.
#[derive(Debug, Clone)]
pub struct Source {
    /// The directory or file it is built from; `None` is the project's directory.
    pub path: Spanned<Option<RelPath>>,
    /// What it is written in.
    pub language: LanguageChoice,
    /// What it imports and exports.
    pub interface: Interface,
    /// Which files matter.
    pub sources: Sources,
    /// What Rust compiles for; [`RustTarget::Wasip2`] unless given.
    pub rust_target: RustTarget,
    /// The cargo features to enable.
    pub features: Vec<Spanned<String>>,
    /// The engine that runs JavaScript, where one is named.
    pub engine: Option<Spanned<String>>,
    /// Whether TypeScript is checked.
    pub typecheck: bool,
    /// What compiles Go; [`GoCompiler::Go`] unless given.
    pub go_compiler: Spanned<GoCompiler>,
    /// The keys given that only some languages have; see [`Source::problems_in`].
    language_keys: Vec<Spanned<&'static str>>,
}

/// What a component is written in, as far as `run.toml` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LanguageChoice {
    /// Said by `language`.
    Given(Spanned<Language>),
    /// Plain from the extension of `source`.
    Named(Language),
    /// To be found out by [`detect`] from the files in the source directory.
    Detect,
}

/// What a component imports and exports, as far as `run.toml` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interface {
    /// Nothing is said: a component in text form carries its own, everything else is a `wasi:cli/command`.
    Unsaid,
    /// A standard world by name, without `wit`.
    Standard(Spanned<StandardWorld>),
    /// A world of a package of the project.
    Wit {
        /// The file or directory of the package.
        path: Spanned<RelPath>,
        /// The world; `None` means the only one that the package has.
        world: Option<Spanned<WorldName>>,
    },
}

/// Which files a component is built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sources {
    /// What the language says: the source directory less what git ignores, or cargo's closure of path dependencies.
    Language,
    /// Those that match, relative to the source directory.
    Matching(Vec<Spanned<Pattern>>),
}

/// `[[compose]]`: components joined into one.
#[derive(Debug, Clone)]
pub struct Compose {
    /// The target's name.
    pub name: Spanned<TargetName>,
    /// How they are joined.
    pub recipe: Recipe,
    /// The targets that take part besides the root. Each exists and is a component or a composition.
    pub with: Vec<Spanned<TargetName>>,
}

/// How components are joined.
#[derive(Debug, Clone)]
pub enum Recipe {
    /// The exports of all others satisfy the imports of this one, whose exports are the composition's.
    Root(Spanned<TargetName>),
    /// A `.wac` script says so.
    Script(Spanned<RelPath>),
}

/// `[[command]]`: any other step.
#[derive(Debug, Clone)]
pub struct Command {
    /// The target's name.
    pub name: Spanned<TargetName>,
    /// The program and its arguments. Never empty.
    pub run: Vec<Spanned<String>>,
    /// The files of the project that it reads, relative to the project's directory.
    pub inputs: Vec<Spanned<Pattern>>,
    /// What it writes. No other command writes the same, nor above it, nor below it.
    pub outputs: Vec<Spanned<RelPath>>,
    /// The targets whose outputs it reads. Each exists.
    pub depends: Vec<Spanned<TargetName>>,
    /// Executables of this machine that it uses.
    pub tools: Vec<Spanned<ToolName>>,
}

/// `[[test]]`: one test of one target.
#[derive(Debug, Clone)]
pub struct Test {
    /// The target. Exists; a command only if the test expects an exit status of it.
    pub component: Spanned<TargetName>,
    /// The name, as given or made by [`default_test_name`]; unlike that of every other test of the same target.
    pub name: Spanned<String>,
    /// What is run, and what is expected of it.
    pub call: Call,
    /// The guest's variables, over those of its component.
    pub env: BTreeMap<EnvName, String>,
    /// The directories that the guest sees.
    pub dirs: Vec<Spanned<DirGrant>>,
    /// What the guest is granted: no more than its component's capabilities.
    pub allow: Vec<Spanned<Capability>>,
    /// How many instructions the guest may execute.
    pub fuel: u64,
    /// How much memory the guest may use.
    pub memory: Size,
    /// How long it may take on the wall clock; `None` is for ever.
    pub timeout: Option<Timeout>,
}

/// What a test runs, and what it expects.
#[derive(Debug, Clone)]
pub enum Call {
    /// A function is called.
    Function {
        /// Its name, as in `run v2 exec --function`.
        function: Spanned<String>,
        /// Its arguments, as typed literals or WAVE.
        args: Vec<Spanned<String>>,
        /// What it should return.
        expected: Expected,
    },
    /// A command component is run, or a command target.
    Command {
        /// Its arguments, after its own name.
        argv: Vec<Spanned<String>>,
        /// What it reads from its input.
        stdin: String,
        /// What it should write to its output, when that matters.
        stdout: Option<Spanned<String>>,
        /// The status it should exit with; 0 unless given.
        exit: Spanned<u8>,
    },
}

/// What a function should return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// This value, as a typed literal or WAVE.
    Value(Spanned<String>),
    /// An error with this text or WAVE value.
    Error(Spanned<String>),
    /// No value at all, written `()`.
    Nothing(Range<usize>),
}

/// `[build]`: how targets are built.
#[derive(Debug, Clone)]
pub struct Build {
    /// Where components are put; `target/wasm` unless given.
    pub output_dir: RelPath,
    /// Whether outputs are optimised.
    pub profile: Profile,
    /// Whether outputs are not to depend on when and where they are made.
    pub reproducible: bool,
}

/// `[cache]`: the store of results on this machine.
#[derive(Debug, Clone)]
pub struct Cache {
    /// Where it is, relative to the project unless absolute; `None` leaves it to the caller, who knows the user's
    /// directories.
    pub dir: Option<Spanned<String>>,
    /// How large it may grow.
    pub max_size: Size,
}

/// `[toolchain.LANGUAGE]`: which compiler to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Toolchain {
    /// This version.
    Version(Spanned<String>),
    /// The one that is installed here, relative to the project unless absolute.
    Path(Spanned<String>),
}

impl Toolchain {
    /// The version or path, as it is written.
    #[must_use]
    pub const fn said(&self) -> &Spanned<String> {
        match self {
            Self::Version(said) | Self::Path(said) => said,
        }
    }

    /// Whether it asks for the same, wherever that is written.
    #[must_use]
    pub fn means(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other) && self.said().value == other.said().value
    }
}

/// Declares an enum of the words that a key takes.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident ($noun:literal) { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// Every word, in the order of the documentation.
            pub const NAMES: &[&str] = &[$($word,)*];

            /// The word, as in `run.toml`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl FromStr for $name {
            type Err = Refused;

            fn from_str(text: &str) -> Result<Self, Refused> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(Refused {
                        what: $noun,
                        text: text.to_owned(),
                        why: "is not known".to_owned(),
                        help: format!("write {}", listed(Self::NAMES, "or")),
                    }),
                }
            }
        }
    };
}

words! {
    /// What Rust compiles for.
    RustTarget ("target") {
        /// A component by rustc's own linker.
        Wasip2 = "wasip2",
        /// A core module with preview 1 imports, adapted.
        Wasip1 = "wasip1",
        /// A core module without any system.
        Unknown = "unknown",
    }
}

words! {
    /// What compiles Go.
    GoCompiler ("compiler") {
        /// Go's own compiler.
        Go = "go",
        /// TinyGo, which has to be installed.
        TinyGo = "tinygo",
    }
}

words! {
    /// Whether outputs are optimised.
    Profile ("opt_level") {
        /// They are.
        Release = "release",
        /// They are not, and say more when they trap.
        Debug = "debug",
    }
}

words! {
    /// What `[cache] digest` may say.
    DigestChoice ("digest") {
        /// BLAKE3, or SHA-256 where there is a `[remote]` table.
        Auto = "auto",
        /// BLAKE3.
        Blake3 = "blake3",
        /// SHA-256.
        Sha256 = "sha256",
    }
}

words! {
    /// The worlds that need no `wit`.
    StandardWorld ("world") {
        /// A program with arguments, streams and an exit status.
        Command = "wasi:cli/command",
        /// A handler of HTTP requests.
        HttpProxy = "wasi:http/proxy",
    }
}

/// The primitive types whose literals may carry the type's name, as in `s32:42`.
const PRIMITIVES: &[&str] =
    &["bool", "s8", "s16", "s32", "s64", "u8", "u16", "u32", "u64", "f32", "f64", "char", "string"];

/// The name of a test that was given none: what is called and with what, as in `greet_42` for `greet` with `s32:42`.
#[must_use]
pub fn default_test_name<'a>(called: &str, args: impl IntoIterator<Item = &'a str>) -> String {
    let without_type = |arg: &'a str| match arg.split_once(':') {
        Some((prefix, literal)) if PRIMITIVES.contains(&prefix) => literal,
        _ => arg,
    };
    let words: Vec<_> = std::iter::once(called).chain(args.into_iter().map(without_type)).collect();
    words.join("_").chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect()
}

/// A list for a sentence: `a`, `a or b`, `a, b or c`.
fn listed<S: AsRef<str>>(items: &[S], conjunction: &str) -> String {
    let items: Vec<_> = items.iter().map(S::as_ref).collect();
    match &items[..] {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [others @ .., last] => format!("{} {conjunction} {last}", others.join(", ")),
    }
}
