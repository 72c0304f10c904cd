//! The scripts that drive go, the packages of its library that every build begins with, and what both rely on.
//!
//! | step | sees | leaves behind |
//! |---|---|---|
//! | `fetch` | `go.mod`, `go.sum` | the modules of others, unpacked, as far as `go.sum` knows them |
//! | `std` | nothing of the project | the compiled packages of [`STD`], the same for every project |
//! | `deps` | manifests, bindings, other people's modules, the names of imported packages | those compiled |
//! | `list` | manifests, the heads of the sources | what go would do |
//! | `plan` | the above | what it would do for each package, and what of that is compiled already |
//! | `compile`, for a package | its sources, its part of the plan, what the packages it imports export | what it exports itself, and its code |
//! | `link` | the plan's last part, the code of all packages | a core module |
//!
//! So an edit of a body compiles its package and links, one of what a package exports compiles those that import it, and what is
//! imported by whom is asked anew when the head of a file changes. Modules of which go has to assemble parts, and some others that nobody
//! can plan (`lang/go/packages.rs`), are compiled by go itself, in one step `compile`, as all are by TinyGo.
//!
//! What we found out about Go 1.27, and rely on; `tests/toolchains/go.md` holds it to that:
//!
//! - With `-trimpath`, neither the module's directory nor Go's own is part of what it makes or of the names under which it
//!   keeps that. Its index of packages (`GODEBUG=goindex=0` turns it off) would be.
//! - An entry of its build cache holds a time, in twenty characters at the end. Nothing is decided by it.
//! - It sets the times of what it uses: it must be given a copy, for these are inputs.
//! - A profile, `default.pgo`, would compile the whole library anew for its program: it is left out.
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

/// The module that [`STD`] is compiled in. Its version is older than every Go that can build components.
pub const STD_MODULE: &str = "module std_packages\n\ngo 1.20\n";

/// The packages that bindings import.
pub const RUNTIME_PACKAGES: [&str; 3] = [
    "go.bytecodealliance.org/pkg/wit/async",
    "go.bytecodealliance.org/pkg/wit/runtime",
    "go.bytecodealliance.org/pkg/wit/types",
];

/// The scripts. Their text is in the key, so they need no revision.
pub const FETCH: &str = concat!(include_str!("module.sh"), include_str!("fetch.sh"));
/// Compiles packages and keeps them.
pub const CACHE: &str = concat!(include_str!("module.sh"), include_str!("cache.sh"));
/// Says what go would do.
pub const ASK: &str = concat!(include_str!("module.sh"), include_str!("list.sh"));
/// Compiles packages by a plan.
pub const PACKAGE: &str = concat!(include_str!("module.sh"), include_str!("package.sh"));
/// Links them by it.
pub const LINK: &str = include_str!("link.sh");
/// Compiles a module.
pub const COMPILE: &str = concat!(include_str!("module.sh"), include_str!("compile.sh"));
/// Compiles a module with TinyGo.
pub const TINYGO: &str = concat!(include_str!("module.sh"), include_str!("tinygo.sh"));

/// The directory that [`FETCH`] and [`CACHE`] leave behind.
pub const OUT: &str = ".run/out";
/// Where Go has its compiler and its linker, in a directory for the machine that they run on.
pub const TOOLS: &str = "pkg/tool";
/// The directory that [`ASK`] leaves behind.
pub const LIST: &str = ".run/list";
/// The names of the packages that [`ASK`] is not to compile.
pub const OWN: &str = ".run/own";
/// The directory of plans: for the package `a/b` the directory `a/b/=`, and `=` for the program.
pub const PLAN: &str = ".run/plan";
/// The directory of what was compiled by other steps: for the package `a/b` the file `a/b/=`.
pub const ARCHIVES: &str = ".run/archives";
/// The directory of the project's packages: for `a/b` the files `a/b/=/export` and `a/b/=/object`.
pub const PACKAGES: &str = ".run/packages";
/// Where earlier steps have left what is in the cache that go is asked with.
pub const LAYERS: &[&str] = &[".run/std", ".run/deps", ".run/list/cache"];
/// The core module that [`COMPILE`] and [`LINK`] leave behind.
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
