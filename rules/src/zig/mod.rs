//! Zig's compiler, which compiles C too: what it is called with.
//!
//! What we found out about Zig 0.17, and rely on:
//!
//! - It makes compiler-rt and, for C, the C library (25 seconds of processor time) when a program is first linked, and
//!   remembers them in a cache that it must be able to write to. They are made in a step of their own, which depends on
//!   the toolchain alone, and given to the linker as files: no cache comes into it, and their bytes are the same everywhere.
//! - It parses all of its standard library for every program (a second), and remembers that in the same cache, by size, time and
//!   inode of each file. Such a cache is good wherever it is copied to, on the machine that made it; elsewhere it is made anew and
//!   costs that second. A few unused bytes in it are whatever memory held, so its bytes vary.
//! - A program whose `main` takes a `std.process.Init`, or that writes by `std.Io`, holds all that an `Io` of the system can do: 40 KB of
//!   code, and a second of LLVM's time for every compilation. Nothing of it can be compiled before: errors are numbered, and types laid
//!   out, for each program anew. The starter asks WASI itself, by its bindings.
//! - `-nostdlib` leaves out the C library's headers as well as its files. They are named instead.

use run_engine::action::{Part, Word};
use run_engine::path::RelPath;

use crate::manifest::Profile;
use crate::rule::{TOOLCHAIN, path};

const STD: &str = include_str!("std.sh");
const COMPILE: &str = include_str!("compile.sh");
const LIBC: &str = include_str!("libc.sh");

/// The toolchain's name.
pub const NAME: &str = "zig";

/// The program, as a path in the toolchain.
pub const PROGRAM: &str = "zig";

/// What [`std()`] leaves behind.
pub const STD_DIRECTORY: &str = ".run/std";

/// What [`libc`] leaves behind.
pub const LIBC_DIRECTORY: &str = ".run/libc";

/// The object that [`object`] leaves behind.
pub const OBJECT: &str = ".run/out/bindings.o";

/// The module that a compilation leaves behind.
pub const MODULE: &str = ".run/out/core.wasm";

/// What Zig compiles for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// No system at all.
    Freestanding,
    /// WASI preview 1.
    Wasi,
}

impl Target {
    const fn triple(self) -> &'static str {
        match self {
            Self::Freestanding => "wasm32-freestanding",
            Self::Wasi => "wasm32-wasi",
        }
    }
}

/// The arguments of `sh` that make what every Zig program needs.
#[must_use]
pub fn std(target: Target) -> Vec<Word> {
    vec!["-c".into(), STD.into(), "std".into(), tool(PROGRAM), target.triple().into()]
}

/// The arguments of `sh` that compile a Zig program, whose root is `root`.
#[must_use]
pub fn compile(root: &RelPath, target: Target, profile: Profile) -> Vec<Word> {
    let optimise: &[&str] = match profile {
        Profile::Release => &["-O", "ReleaseSmall", "-fstrip"],
        Profile::Debug => &["-O", "Debug"],
    };
    let entry: &[&str] = if target == Target::Freestanding { &["-fno-entry"] } else { &[] };
    let mut words = vec!["-c".into(), COMPILE.into(), "compile".into(), tool(PROGRAM)];
    let flags = ["build-exe", "-target", target.triple(), "-fno-compiler-rt", "-rdynamic"];
    words.extend(flags.iter().chain(optimise).chain(entry).map(|flag| Word::from(*flag)));
    words.push(format!("-Mroot={root}").into());
    words.push(format!("{STD_DIRECTORY}/libcompiler_rt.a").into());
    words.push(format!("-femit-bin={MODULE}").into());
    words
}

/// The arguments of `sh` that make the C library.
#[must_use]
pub fn libc() -> Vec<Word> {
    vec!["-c".into(), LIBC.into(), "libc".into(), tool(PROGRAM)]
}

/// The arguments of `zig` that compile one C file to [`OBJECT`].
#[must_use]
pub fn object(file: &RelPath, profile: Profile) -> Vec<Word> {
    let mut words = c(profile);
    words.extend(["-c".into(), file.as_str().into(), "-o".into(), OBJECT.into()]);
    words
}

/// The arguments of `zig` that compile and link a C program or, where it has no `main`, a library.
#[must_use]
pub fn cc(files: &[RelPath], includes: Option<&RelPath>, is_program: bool, profile: Profile) -> Vec<Word> {
    let mut words = c(profile);
    words.extend(["-I".into(), includes.map_or(".", RelPath::as_str).into()]);
    words.extend(files.iter().map(|file| Word::from(file.as_str())));
    let (crt, start): (_, &[&str]) = match is_program {
        true => ("crt1-command.o", &[]),
        false => ("crt1-reactor.o", &["-mexec-model=reactor", "-Wl,--no-entry"]),
    };
    words.extend(start.iter().map(|flag| Word::from(*flag)));
    for file in [crt, "libc.a", "libzigc.a", "libcompiler_rt.a"] {
        words.push(format!("{LIBC_DIRECTORY}/{file}").into());
    }
    words.extend(["-o".into(), MODULE.into()]);
    words
}

/// How C is compiled.
fn c(profile: Profile) -> Vec<Word> {
    /// Where the C library's headers are, the particular ones first.
    const HEADERS: &[&str] =
        &["lib/libc/include/wasm-wasi-musl", "lib/libc/include/generic-musl", "lib/libc/include/any-wasi-any"];
    let optimise: &[&str] = match profile {
        Profile::Release => &["-Oz", "-g0", "-s"],
        Profile::Debug => &["-Og", "-g"],
    };
    let flags = ["cc", "-target", "wasm32-wasi", "-nostdlib", "-fno-sanitize=undefined"];
    let mut words: Vec<Word> = flags.iter().chain(optimise).map(|flag| Word::from(*flag)).collect();
    words.extend(HEADERS.iter().flat_map(|headers| ["-isystem".into(), tool(headers)]));
    words
}

/// The caches of a compilation that finds nothing in them.
pub fn no_caches() -> impl Iterator<Item = (String, Word)> {
    ["ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"].map(|name| (name.to_owned(), ".run/out/cache".into())).into_iter()
}

/// A path of the toolchain.
fn tool(at: &str) -> Word {
    Word::new(vec![Part::Path(path(&format!("{TOOLCHAIN}/{NAME}/{at}")))])
}
