//! The scripts that drive go, the packages of its library that every build begins with, and what both rely on.
//!
//! | step | sees | leaves behind |
//! |---|---|---|
//! | `fetch` | `go.mod`, `go.sum` | the modules of others, unpacked, as far as `go.sum` knows them |
//! | `std` | nothing of the project | the compiled packages of [`STD`], the same for every project |
//! | `deps` | manifests, bindings, other people's modules, the names of imported packages | those compiled |
//! | `compile` | sources | a core module |
//!
//! What we found out about Go 1.27, and rely on; `tests/toolchains/go.md` holds it to that:
//!
//! - With `-trimpath`, neither the module's directory nor Go's own is part of what it makes or of the names under which it
//!   keeps that. Its index of packages (`GODEBUG=goindex=0` turns it off) would be.
//! - An entry of its build cache holds a time, in twenty characters at the end. Nothing is decided by it.
//! - It sets the times of what it uses: it must be given a copy, for these are inputs.
//! - `c-shared` changes nothing in how a package is compiled for wasip1, only how it is linked.

/// The packages of the standard library that are compiled before anything of a project is: those that most components
/// use, with what they use themselves. The others are compiled with a project's dependencies.
pub const STD: &[&str] = &[
    "bufio",
    "bytes",
    "cmp",
    "context",
    "encoding/base64",
    "encoding/binary",
    "encoding/hex",
    "encoding/json",
    "errors",
    "flag",
    "fmt",
    "io",
    "iter",
    "log",
    "maps",
    "math",
    "math/bits",
    "math/rand",
    "math/rand/v2",
    "net/url",
    "os",
    "path",
    "path/filepath",
    "regexp",
    "runtime",
    "slices",
    "sort",
    "strconv",
    "strings",
    "sync",
    "sync/atomic",
    "time",
    "unicode",
    "unicode/utf8",
    "unsafe",
];

/// The module that [`STD`] is compiled in.
pub const STD_MODULE: &str = "module std_packages\n\ngo 1.27\n";

/// The packages that bindings import.
pub const RUNTIME_PACKAGES: &[&str] = &[
    "go.bytecodealliance.org/pkg/wit/async",
    "go.bytecodealliance.org/pkg/wit/runtime",
    "go.bytecodealliance.org/pkg/wit/types",
];

/// The scripts. Their text is in the key, so they need no revision.
pub const FETCH: &str = concat!(include_str!("module.sh"), include_str!("fetch.sh"));
/// Compiles packages and keeps them.
pub const CACHE: &str = concat!(include_str!("module.sh"), include_str!("cache.sh"));
/// Compiles a module.
pub const COMPILE: &str = concat!(include_str!("module.sh"), include_str!("compile.sh"));
/// Compiles a module with TinyGo.
pub const TINYGO: &str = concat!(include_str!("module.sh"), include_str!("tinygo.sh"));

/// The directory that [`FETCH`] and [`CACHE`] leave behind.
pub const OUT: &str = ".run/out";
/// The core module that [`COMPILE`] leaves behind.
pub const MODULE: &str = ".run/out/module.wasm";

/// The environment of go, besides where it is: nothing of the machine's, and WebAssembly.
pub const ENVIRONMENT: &[(&str, &str)] = &[
    ("CGO_ENABLED", "0"),
    ("GO111MODULE", "on"),
    ("GOARCH", "wasm"),
    ("GODEBUG", "goindex=0"),
    ("GOFLAGS", "-modcacherw"),
    // Its processes are short, and collecting garbage is much of what they do.
    ("GOGC", "400"),
    ("GOOS", "wasip1"),
    ("GOTELEMETRY", "off"),
    ("GOTOOLCHAIN", "local"),
    ("GOWORK", "off"),
];

/// What keeps it from the network, and from the user's configuration.
pub const OFFLINE: &[(&str, &str)] = &[("GOENV", "off"), ("GOPROXY", "off"), ("GOSUMDB", "off")];
