//! A mirror of `run.toml` as it was written, after what does not fit was cut away. Knows no defaults and no meaning.
//!
//! Its fields are exactly the keys of [`super::schema`] that work, and a test holds the two together; a field that
//! nothing reads is a compiler warning, so no key can be silently inert.

use std::collections::BTreeMap;
use std::str::FromStr;

use run_engine::path::RelPath;
use serde::de::{Deserialize, Deserializer, Error as _};

use super::language::Language;
use super::pattern::Pattern;
use super::{DigestChoice, GoCompiler, Profile, RustTarget, Spanned};
use crate::capability::{Capability, DirGrant};
use crate::diagnostic::Refused;
use crate::name::{EnvName, TargetName, ToolName, WorldName};
use crate::quantity::{Size, Timeout};

/// Declares the mirror of one table: every key may be absent, and none is unknown.
macro_rules! mirror {
    ($(#[$doc:meta])* $name:ident { $($key:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Default, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(super) struct $name { $(pub(super) $key: $type,)* }
    };
}

mirror! {
    /// The file.
    Raw {
        project: RawProject,
        component: Vec<Spanned<RawComponent>>,
        compose: Vec<Spanned<RawCompose>>,
        command: Vec<Spanned<RawCommand>>,
        test: Vec<Spanned<RawTest>>,
        build: RawBuild,
        cache: RawCache,
        toolchain: RawToolchains,
    }
}

mirror! {
    /// `[project]`
    RawProject {
        name: Option<Spanned<TargetName>>,
        version: Option<ProjectVersion>,
        description: Option<String>,
        authors: Vec<String>,
        license: Option<String>,
        repository: Option<String>,
    }
}

mirror! {
    /// `[[component]]`
    RawComponent {
        name: Option<Spanned<TargetName>>,
        source: Option<Spanned<DirPath>>,
        path: Option<Spanned<FilePath>>,
        language: Option<Spanned<Language>>,
        wit: Option<Spanned<FilePath>>,
        world: Option<Spanned<WorldName>>,
        sources: Option<Spanned<Vec<Spanned<Pattern>>>>,
        target: Option<Spanned<RustTarget>>,
        features: Option<Spanned<Vec<Spanned<String>>>>,
        compiler: Option<Spanned<GoCompiler>>,
        engine: Option<Spanned<String>>,
        typecheck: Option<Spanned<bool>>,
        capabilities: Vec<Spanned<Capability>>,
        depends: Vec<Spanned<TargetName>>,
        enabled: Option<bool>,
        env: BTreeMap<EnvName, String>,
    }
}

mirror! {
    /// `[[compose]]`
    RawCompose {
        name: Option<Spanned<TargetName>>,
        root: Option<Spanned<TargetName>>,
        with: Vec<Spanned<TargetName>>,
        wac: Option<Spanned<FilePath>>,
    }
}

mirror! {
    /// `[[command]]`
    RawCommand {
        name: Option<Spanned<TargetName>>,
        run: Option<Spanned<Vec<Spanned<String>>>>,
        inputs: Vec<Spanned<Pattern>>,
        outputs: Vec<Spanned<FilePath>>,
        depends: Vec<Spanned<TargetName>>,
        tools: Vec<Spanned<ToolName>>,
    }
}

mirror! {
    /// `[[test]]`
    RawTest {
        component: Option<Spanned<TargetName>>,
        name: Option<Spanned<String>>,
        function: Option<Spanned<String>>,
        args: Vec<Spanned<String>>,
        expected: Option<Spanned<String>>,
        expected_error: Option<Spanned<String>>,
        expected_stdout: Option<Spanned<String>>,
        expected_exit: Option<Spanned<u8>>,
        argv: Option<Spanned<Vec<Spanned<String>>>>,
        stdin: Option<Spanned<String>>,
        env: Option<Spanned<BTreeMap<EnvName, String>>>,
        dirs: Option<Spanned<Vec<Spanned<DirGrant>>>>,
        allow: Option<Spanned<Vec<Spanned<Capability>>>>,
        fuel: Option<Spanned<u64>>,
        memory: Option<Spanned<Size>>,
        timeout: Option<Spanned<Timeout>>,
    }
}

mirror! {
    /// `[build]`
    RawBuild {
        output_dir: Option<Spanned<FilePath>>,
        opt_level: Option<Profile>,
        reproducible: Option<bool>,
    }
}

mirror! {
    /// `[cache]`
    RawCache {
        dir: Option<Spanned<String>>,
        max_size: Option<Size>,
        digest: Option<DigestChoice>,
    }
}

mirror! {
    /// `[toolchain]`
    RawToolchains {
        rust: Option<RawToolchain>,
        go: Option<RawToolchain>,
        python: Option<RawToolchain>,
        javascript: Option<RawToolchain>,
        typescript: Option<RawToolchain>,
        zig: Option<RawToolchain>,
        c: Option<RawToolchain>,
        esbuild: Option<RawToolchain>,
    }
}

mirror! {
    /// `[toolchain.LANGUAGE]`
    RawToolchain {
        version: Option<Spanned<String>>,
        path: Option<Spanned<String>>,
    }
}

/// A path below the project's directory.
#[derive(Debug, Clone)]
pub(super) struct FilePath(pub(super) RelPath);

/// A path in the project; `None` is the project's directory itself.
#[derive(Debug, Clone)]
pub(super) struct DirPath(pub(super) Option<RelPath>);

/// A semantic version.
#[derive(Debug, Clone)]
pub(super) struct ProjectVersion(pub(super) semver::Version);

impl FromStr for DirPath {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        RelPath::normalize(text).map(Self).map_err(|bad| Refused {
            what: "path",
            text: bad.text,
            why: bad.why.replace("the directory it is relative to", "the project"),
            help: "write a path inside the project, relative to the directory of run.toml".to_owned(),
        })
    }
}

impl FromStr for FilePath {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        match text.parse()? {
            DirPath(Some(path)) => Ok(Self(path)),
            DirPath(None) => Err(Refused {
                what: "path",
                text: text.to_owned(),
                why: "is the project's own directory".to_owned(),
                help: "write the path of something in it".to_owned(),
            }),
        }
    }
}

impl FromStr for ProjectVersion {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        semver::Version::parse(text).map(Self).map_err(|e| Refused {
            what: "version",
            text: text.to_owned(),
            why: format!("is not a semantic version: {e}"),
            help: "write three numbers, as in `1.0.0`".to_owned(),
        })
    }
}

/// Reads a type by the parser that checked the text before.
macro_rules! read_by_parsing {
    ($($type:ty),* $(,)?) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    )*};
}

read_by_parsing!(
    TargetName,
    WorldName,
    ToolName,
    EnvName,
    Capability,
    DirGrant,
    Size,
    Timeout,
    Pattern,
    Language,
    RustTarget,
    GoCompiler,
    Profile,
    DigestChoice,
    FilePath,
    DirPath,
    ProjectVersion,
);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Spanned<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = toml::Spanned::<T>::deserialize(deserializer)?;
        Ok(Self { span: spanned.span(), value: spanned.into_inner() })
    }
}
