//! Actions that are functions of ours: the table the engine calls by name, and the revision of each.
//!
//! A key holds a builtin's name, its revision, and the locked versions of the crates that decide what it writes. A
//! golden test digests what each writes for a fixed input: when those bytes change and the revision does not, it fails.

pub mod archive;
pub mod bindings;
pub mod go;
#[cfg(test)]
mod golden;
pub mod join;
pub mod native;
pub mod shape;
pub mod snapshot;
pub mod test;

use std::collections::BTreeMap;

use run_engine::path::RelPath;
use run_engine::sandbox::builtin::{Builtins, Call, CallError, Returned};

use crate::step::StepError;

/// One function.
pub struct Builtin {
    /// Its name in keys.
    pub name: &'static str,
    /// Raised when it writes other bytes for the same input.
    pub revision: u32,
    /// The crates that decide what it writes.
    pub crates: &'static [&'static str],
    run: fn(&Table, &Call<'_>) -> Result<Returned, CallError>,
}

/// A component that is a file of the project, as it is.
pub const READ: Builtin = Builtin { name: "read", revision: 1, crates: &[], run: |_, call| shape::read(call) };

/// Text form → binary form.
pub const TEXT: Builtin = Builtin { name: "text", revision: 1, crates: &["wat"], run: |_, call| shape::text(call) };

/// Core module → component.
pub const COMPONENTIZE: Builtin = Builtin {
    name: "componentize",
    revision: 1,
    crates: &["wit-component", "wit-parser", "wasi-preview1-component-adapter-provider"],
    run: |_, call| shape::componentize(call),
};

/// Proof that a component implements its world.
pub const VALIDATE: Builtin = Builtin {
    name: "validate",
    revision: 1,
    crates: &["wit-component", "wit-parser", "wasmparser"],
    run: |_, call| shape::validate(call),
};

/// Components → one component, by a wiring.
pub const COMPOSE: Builtin =
    Builtin { name: "compose", revision: 1, crates: &["wac-graph", "wac-types"], run: |_, call| join::compose(call) };

/// Components → one component, by a script.
pub const SCRIPT: Builtin = Builtin {
    name: "compose-script",
    revision: 1,
    crates: &["wac-graph", "wac-types", "wac-parser"],
    run: |_, call| join::script(call),
};

/// Component → native code.
pub const NATIVE: Builtin =
    Builtin { name: "native", revision: 3, crates: &["wasmtime", "wasm-encoder"], run: native::precompile };

/// One test.
pub const TEST: Builtin = Builtin { name: "test", revision: 3, crates: &["wasmtime", "wasmtime-wasi"], run: test::run };

/// Component → archive.
pub const PACKAGE: Builtin =
    Builtin { name: "package", revision: 1, crates: &["tar", "zstd"], run: |_, call| archive::package(call) };

/// World → C bindings.
pub const C_BINDINGS: Builtin = Builtin {
    name: "c-bindings",
    revision: 1,
    crates: &["wit-bindgen-c", "wit-bindgen-core", "wit-component", "wit-parser"],
    run: |_, call| bindings::c(call),
};

/// World → Zig bindings.
pub const ZIG_BINDINGS: Builtin = Builtin {
    name: "zig-bindings",
    revision: 1,
    crates: &["wit-component", "wit-parser"],
    run: |_, call| bindings::zig(call),
};

/// What go would do → what each package is made by.
pub const GO_PLAN: Builtin = Builtin { name: "go-plan", revision: 2, crates: &[], run: |_, call| go::plan(call) };

/// World → TypeScript declarations.
pub const TYPESCRIPT_TYPES: Builtin = Builtin {
    name: "typescript-types",
    revision: 1,
    crates: &["wit-component", "wit-parser"],
    run: |_, call| bindings::typescript(call),
};

/// QuickJS → what of it is in every engine.
pub const QUICKJS: Builtin = Builtin {
    name: "quickjs",
    revision: 1,
    crates: &["wasm-encoder", "wasmparser"],
    run: |_, call| snapshot::quickjs(call),
};

/// CPython → what of it is in every engine.
pub const PYTHON: Builtin = Builtin {
    name: "python",
    revision: 1,
    crates: &["wasm-encoder", "wasmparser", "zstd"],
    run: |_, call| snapshot::python(call),
};

/// World and QuickJS → engine.
pub const QUICKJS_ENGINE: Builtin = Builtin {
    name: "quickjs-engine",
    revision: 4,
    crates: &[
        "wit-dylib",
        "wit-component",
        "wit-parser",
        "wasi-preview1-component-adapter-provider",
        "wasmtime-wizer",
        "wasm-encoder",
        "wasmparser",
        "wat",
    ],
    run: |_, call| snapshot::quickjs_engine(call),
};

/// Engine and JavaScript → component.
pub const QUICKJS_SNAPSHOT: Builtin = Builtin {
    name: "quickjs-snapshot",
    revision: 2,
    crates: &["wasmtime", "wasmtime-wasi", "wasmtime-wizer", "wasm-encoder"],
    run: snapshot::quickjs_snapshot,
};

/// StarlingMonkey's splicer → component.
pub const STARLINGMONKEY_SPLICER: Builtin = Builtin {
    name: "starlingmonkey-splicer",
    revision: 1,
    crates: &["wit-component", "wit-parser", "wasi-preview1-component-adapter-provider"],
    run: |_, call| snapshot::starlingmonkey_splicer(call),
};

/// World, StarlingMonkey and its splicer → engine.
pub const STARLINGMONKEY_ENGINE: Builtin = Builtin {
    name: "starlingmonkey-engine",
    revision: 1,
    crates: &[
        "wasmtime",
        "wasmtime-wasi",
        "wasmtime-wizer",
        "wit-component",
        "wit-parser",
        "wasi-preview1-component-adapter-provider",
        "wasm-encoder",
    ],
    run: snapshot::starlingmonkey_engine,
};

/// StarlingMonkey's engine and JavaScript → component.
pub const STARLINGMONKEY_SNAPSHOT: Builtin = Builtin {
    name: "starlingmonkey-snapshot",
    revision: 1,
    crates: &[
        "wasmtime",
        "wasmtime-wasi",
        "wasmtime-wizer",
        "wit-component",
        "wit-parser",
        "wasi-preview1-component-adapter-provider",
        "wasm-encoder",
    ],
    run: snapshot::starlingmonkey_snapshot,
};

/// World and CPython → engine.
pub const PYTHON_ENGINE: Builtin = Builtin {
    name: "python-engine",
    revision: 3,
    crates: &[
        "wit-dylib",
        "wit-component",
        "wit-parser",
        "wasi-preview1-component-adapter-provider",
        "wasmtime-wizer",
        "wasm-encoder",
        "wasmparser",
        "zstd",
        "tar",
        "flate2",
        "miniz_oxide",
        "zlib-rs",
    ],
    run: |_, call| snapshot::python_engine(call),
};

/// Engine and Python → component.
pub const PYTHON_SNAPSHOT: Builtin = Builtin {
    name: "python-snapshot",
    revision: 2,
    crates: &[
        "wasmtime",
        "wasmtime-wasi",
        "wasmtime-wizer",
        "wasm-encoder",
        "zstd",
        "tar",
        "flate2",
        "miniz_oxide",
        "zlib-rs",
    ],
    run: snapshot::python_snapshot,
};

/// Every builtin.
pub const ALL: &[&Builtin] = &[
    &READ,
    &TEXT,
    &COMPONENTIZE,
    &VALIDATE,
    &COMPOSE,
    &SCRIPT,
    &NATIVE,
    &TEST,
    &PACKAGE,
    &C_BINDINGS,
    &ZIG_BINDINGS,
    &GO_PLAN,
    &TYPESCRIPT_TYPES,
    &QUICKJS,
    &QUICKJS_ENGINE,
    &QUICKJS_SNAPSHOT,
    &STARLINGMONKEY_SPLICER,
    &STARLINGMONKEY_ENGINE,
    &STARLINGMONKEY_SNAPSHOT,
    &PYTHON,
    &PYTHON_ENGINE,
    &PYTHON_SNAPSHOT,
];

impl std::fmt::Debug for Builtin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (revision {})", self.name, self.revision)
    }
}

impl Builtin {
    /// The locked versions of the crates that decide what it writes, as a key holds them: all of them, where a crate is locked
    /// in several.
    #[must_use]
    pub fn versions(&self) -> String {
        let versions = |name: &str| {
            let locked = LOCKED.iter().filter(|(other, _)| *other == name).map(|(_, version)| *version);
            let locked: Vec<&str> = locked.collect();
            if locked.is_empty() { "unknown".to_owned() } else { locked.join("+") }
        };
        self.crates.iter().map(|name| format!("{name} {}", versions(name))).collect::<Vec<_>>().join(", ")
    }
}

/// Name and version of every crate in the lockfile this program was built from.
const LOCKED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/locked.rs"));

/// The version of a crate that is part of this program.
#[must_use]
pub fn version_of(name: &str) -> Option<&'static str> {
    LOCKED.iter().find(|(n, _)| *n == name).map(|(_, version)| *version)
}

/// The table, with the engines that are made once and shared.
#[derive(Default)]
pub struct Table {
    runtimes: native::Runtimes,
}

impl Table {
    /// A table with nothing made yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The engines.
    #[must_use]
    pub fn runtimes(&self) -> &native::Runtimes {
        &self.runtimes
    }
}

impl Builtins for Table {
    fn call(&self, call: &Call<'_>) -> Result<Returned, CallError> {
        match ALL.iter().find(|builtin| builtin.name == call.name) {
            Some(builtin) => (builtin.run)(self, call),
            None => Err(CallError::Bug(format!("there is no builtin called `{}`", call.name))),
        }
    }
}

fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("a constant that is a path")
}

/// Where a step leaves bytes that are not a checked component yet.
#[must_use]
pub fn raw() -> RelPath {
    path("raw.wasm")
}

/// Where a builtin finds, or leaves, a component.
#[must_use]
pub fn component() -> RelPath {
    path("component.wasm")
}

/// Where a builtin finds the encoded world that a component must implement.
#[must_use]
pub fn world() -> RelPath {
    path("world")
}

/// What [`VALIDATE`] is told of a component that holds only functions that were checked before.
pub const BODIES_CHECKED: &str = "bodies=checked";

/// Where [`VALIDATE`] leaves the component's interface as WIT text.
#[must_use]
pub fn interface() -> RelPath {
    path("interface.wit")
}

/// Where [`COMPOSE`] and [`SCRIPT`] find the component of a target or package.
#[must_use]
pub fn part(name: &str) -> RelPath {
    path(&format!("parts/{}.wasm", name.replace([':', '/', '@'], "_")))
}

/// The directory in which [`NATIVE`] leaves native code.
#[must_use]
pub fn native_code() -> RelPath {
    path(NATIVE_CODE)
}

/// What native code is called: the directory that [`NATIVE`] leaves, and the accelerator of whatever runs it.
pub const NATIVE_CODE: &str = "native";

/// Where [`TEST`] leaves what happened.
#[must_use]
pub fn report() -> RelPath {
    path("report.json")
}

/// Where [`PACKAGE`] leaves the archive.
#[must_use]
pub fn archive_file() -> RelPath {
    path("package.tar.zst")
}

/// A step's error is an answer, not a failure to answer.
fn refused(error: &StepError) -> Returned {
    Returned::failure(format!("{error}\n"))
}

/// Arguments of the form `name=value`; a name may come more than once.
struct Named<'a>(BTreeMap<&'a str, Vec<&'a str>>);

impl<'a> Named<'a> {
    fn parse(args: &'a [String]) -> Result<Self, CallError> {
        let mut named: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for arg in args {
            let (name, value) =
                arg.split_once('=').ok_or_else(|| CallError::Bug(format!("the argument `{arg}` has no name")))?;
            named.entry(name).or_default().push(value);
        }
        Ok(Self(named))
    }

    fn all(&self, name: &str) -> &[&'a str] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    fn find(&self, name: &str) -> Option<&'a str> {
        self.all(name).first().copied()
    }

    fn get(&self, name: &str) -> Result<&'a str, CallError> {
        self.find(name).ok_or_else(|| CallError::Bug(format!("the argument `{name}` is missing")))
    }
}
