//! Every diagnostic code with its paragraph; `run v2 help CODE` prints it.

use crate::diagnostic::Diagnostic;

/// One kind of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// The code: words joined by `-`.
    pub name: &'static str,
    /// What it means, in a line.
    pub summary: &'static str,
    /// Why it is a problem and what to do, as plain sentences without line breaks.
    pub paragraph: &'static str,
}

/// The code of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Code> {
    CODES.binary_search_by_key(&name, |code| code.name).ok().map(|i| &CODES[i])
}

/// The problem of a file that was to be compared with. The command line reads such files, and has no codes of its own.
#[must_use]
pub fn bad_key_records(message: String) -> Diagnostic {
    Diagnostic::error("bad-key-records", message)
}

/// Every code, sorted by name.
pub const CODES: &[Code] = &[
    Code {
        name: "ambiguous-function",
        summary: "a function name that several interfaces export",
        paragraph: "Two interfaces of one component may export functions of the same name. Write the interface \
                    as well, as in `math.add`, `demo:calc/math#add` or, where two versions are exported, \
                    `demo:calc/math@1.0.0#add`; the message lists the full names. A function of the world itself \
                    comes before those of interfaces.",
    },
    Code {
        name: "ambiguous-import",
        summary: "an import that several dependencies satisfy",
        paragraph: "Where two of the targets that a component depends on export the same interface, either could \
                    be meant, and choosing by the order of a list would let a change of that order change the \
                    program. Depend on one of them only, or say which is meant in a `.wac` script.",
    },
    Code {
        name: "ambiguous-world",
        summary: "a package with several worlds, of which none is chosen",
        paragraph: "A component implements one world. Where the WIT package of `wit` has more than one, `world` \
                    says which. A package that is there in two versions is chosen by its version: `world = \
                    \"demo:calc/calc@1.0.0\"`.",
    },
    Code {
        name: "bad-argument",
        summary: "an argument that is no value of its parameter's type",
        paragraph: "The function's own WIT decides the type of each argument, and the message shows it. Values \
                    are written in WAVE (`42`, `\"text\"`, `{x: 1, y: 2}`, `[1, 2]`, `some(3)`, `ok(4)`) or, for \
                    primitive types, with the type in front: `s32:42`. In `--args \"s32:3,s32:4\"` every part \
                    needs its type.",
    },
    Code {
        name: "bad-call",
        summary: "a text that is no call",
        paragraph: "`--invoke` takes one call as WAVE writes it: a function and its arguments in parentheses, as \
                    in `add(3, 4)` or `math.norm({x: 3, y: 4})`. In a shell, quote all of it, since parentheses \
                    and braces mean something there.",
    },
    Code {
        name: "bad-capability",
        summary: "a capability that does not exist, or lacks what follows its colon",
        paragraph: "Capabilities are a closed list: `clock`, `random`, `env`, `stdin`, `http-client[:HOST]`, \
                    `http-server`, `net-connect:HOST[:PORT]`, `net-listen:PORT`, `fs-read:PATH`, `fs-write:PATH`, \
                    `config`, `keyvalue` and `logging`. Those with a part after the colon say how far they reach, and \
                    a path always lies in the project. What is not on the list is never granted, so a misspelt \
                    capability is an error instead of a program that fails later.",
    },
    Code {
        name: "bad-cargo-manifest",
        summary: "a Cargo.toml, lockfile or cargo configuration that cargo would not take",
        paragraph: "The manifests of cargo are read to find out which files a crate is made of, so that an edit \
                    to any other file compiles nothing. Only what is needed for that is looked at; what cargo \
                    itself refuses is told in the same place that cargo would tell it. `cargo metadata` shows \
                    whether cargo agrees.",
    },
    Code {
        name: "bad-component",
        summary: "a component that breaks the rules of the component model",
        paragraph: "The bytes have the form of a component, and validation failed: types that do not fit, an \
                    index that leads nowhere, or a part of the component model that is newer than WASI 0.2. It \
                    is also a component that WIT has no words for, such as one that imports a core module. What \
                    made the component is at fault; a newer version of that compiler may not be.",
    },
    Code {
        name: "bad-duration",
        summary: "a duration without a known unit",
        paragraph: "A duration is a whole number and one of the units `ms`, `s`, `m` and `h`, as in `500ms` or `2s`. A \
                    bare number is refused because seconds and milliseconds are too easily confused.",
    },
    Code {
        name: "bad-expectation",
        summary: "an expectation that no result could meet",
        paragraph: "The `expected` of a test is read as a value of the type that the function returns, and \
                    `expected_error` as the value of its `err(…)`. A text that is no such value would make the \
                    test fail whatever the function does, so it is told apart from a wrong result.",
    },
    Code {
        name: "bad-file-name",
        summary: "a file whose name can't be part of a path",
        paragraph: "Paths are keyed, stored and shared between machines as UTF-8 with `/` between names. A name \
                    in another encoding, or with a `\\` in it, has no such form, and leaving the file out would \
                    build something else than what is there. Rename it, or have git ignore it.",
    },
    Code {
        name: "bad-go-module",
        summary: "a `go.mod` that does not name its module, or a program without a package `main`",
        paragraph: "The packages of a Go module are imported by its path, which is the first thing that `go.mod` says: \
                    `module example.com/shop`. `go mod init` writes one. A component that exports `wasi:cli/run` is a \
                    program: its `source` is the directory of a package `main`. Everything else is judged by Go itself, \
                    in its own words.",
    },
    Code {
        name: "bad-key-records",
        summary: "a file that holds no key records",
        paragraph: "`run v2 why TARGET --against FILE` compares the keys of this machine with those of another, which \
                    that one writes with `run v2 why TARGET --export FILE`. The file is JSON, and says of itself what \
                    it is and in which version. One that was cut off on its way, or is of another version of `run`, is \
                    refused as a whole, because half a comparison would be taken for a whole one.",
    },
    Code {
        name: "bad-lockfile",
        summary: "a run.lock.toml that can't be read",
        paragraph: "`run.lock.toml` is written by `run v2 toolchain sync` and committed, so that everyone builds with \
                    the same bytes. One that can't be read might have said anything, so nothing is built until it is \
                    written anew, or the committed one is taken back.",
    },
    Code {
        name: "bad-name",
        summary: "a name with characters that it can't have",
        paragraph: "A target's name becomes a file name and is typed on command lines, so it is made of ASCII letters, \
                    digits, `-` and `_`, and begins with a letter or a digit. Packages and worlds have the names that \
                    WIT gives them: words in kebab case, as in `demo:calc/api@1.0.0`. An executable in `tools` is \
                    named, not located: the name has no `/`.",
    },
    Code {
        name: "bad-package-manifest",
        summary: "a package.json or pyproject.toml that names its dependencies in a way that can't be read",
        paragraph: "What a component of JavaScript, TypeScript or Python depends on is read from these files, and \
                    held against the lockfile beside them. One that can't be read would otherwise pass for one \
                    without dependencies. `npm install` and `pip install` refuse it as well.",
    },
    Code {
        name: "bad-path",
        summary: "a path that leaves the project",
        paragraph: "Every path in run.toml is relative to the directory of run.toml, uses `/`, and stays inside: a \
                    project that reads its neighbours can't be built on another machine, and its results can't be \
                    shared. Copy or link what is needed into the project, or make the project larger by moving run.toml \
                    up.",
    },
    Code {
        name: "bad-pattern",
        summary: "a pattern that is no glob, or leaves the project",
        paragraph: "A pattern names files: `*` stands for part of a name, `**` for any number of directories, `?` for one \
                    character, `[a-z]` for one of several, `{a,b}` for either. It is relative to its directory and \
                    can't leave it. There is no way to exclude files by pattern; what git ignores is left out already.",
    },
    Code {
        name: "bad-size",
        summary: "a size without a known unit",
        paragraph: "A size is a whole number and a unit: `B`, `kB`, `MB`, `GB` and `TB` count in thousands, `KiB`, `MiB`, \
                    `GiB` and `TiB` in 1024s.",
    },
    Code {
        name: "bad-source-file",
        summary: "a source that is not a readable file of the project",
        paragraph: "What a target reads has to be a file inside the project: no device, no directory in a file's \
                    place, and no symbolic link that leads out of the project or is absolute, since the next \
                    machine has something else there. Links between files of the project are fine.",
    },
    Code {
        name: "bad-text",
        summary: "a text that is empty or has several lines where it must have one",
        paragraph: "Names of tests and functions, versions of tools and the like are shown inside other lines, so they \
                    are texts of one line without control characters, and are never empty.",
    },
    Code {
        name: "bad-url",
        summary: "a URL of the wrong kind",
        paragraph: "A remote cache is reached by `grpc://`, `grpcs://`, `http://` or `https://`, a registry by `https://` \
                    or `http://`. A URL holds no user name and no password: credentials in a committed file are \
                    public.",
    },
    Code {
        name: "bad-version",
        summary: "a version that is not a semantic version",
        paragraph: "The project's version has three numbers, as in `1.0.0`, and perhaps a pre-release: `1.0.0-rc.1`. A \
                    dependency's requirement may leave numbers out and use `^`, `~`, `=`, `<` and `>`, as cargo's do.",
    },
    Code {
        name: "bad-wac",
        summary: "a `.wac` script that can't be carried out",
        paragraph: "The script does not follow the grammar of WAC, names something that is not there, or joins \
                    what does not fit. A target of this project is written `PROJECT:TARGET`, with the project's \
                    name of run.toml. Mistakes of grammar are told before anything is built; what depends on the \
                    components' types is told by the step that runs the script.",
    },
    Code {
        name: "bad-wat",
        summary: "a `.wat` file that is not WebAssembly text",
        paragraph: "The text does not follow the grammar of WebAssembly text, of modules or of components; the \
                    caret stands where reading ended. A word that is expected often belongs to a newer proposal \
                    than the text was written for, or the other way round.",
    },
    Code {
        name: "bad-wit",
        summary: "WIT that can't be read, or refers to what is not there",
        paragraph: "A file in the package of `wit` does not follow the grammar of WIT, or uses a package, \
                    interface or type that is not there. Packages of WASI are built in and are named with their \
                    version; any other package belongs in `deps/` beside the files that use it.",
    },
    Code {
        name: "beyond-capabilities",
        summary: "a test that is granted more than its component may have",
        paragraph: "The `capabilities` of a component are the most that it will ever be granted, in tests as elsewhere. A \
                    test that needs more would test something that can't happen. Add the capability to the component, \
                    or remove it from the test: `allow` takes what it names, `env` takes `env`, `stdin` takes `stdin`, \
                    and `dirs` takes `fs-read:DIR` or `fs-write:DIR`. A composition has the capabilities of its root.",
    },
    Code {
        name: "conflicting-keys",
        summary: "two keys that exclude each other",
        paragraph: "Some keys are two ways to say the same thing: a component has `source` or `path`, a composition has \
                    `root` or `wac`, a toolchain has `version` or `path`, and a test calls a `function` or runs a \
                    program. Guessing which one was meant would make the other silently inert.",
    },
    Code {
        name: "cycle",
        summary: "targets that need each other",
        paragraph: "A target is built after all that it names in `depends`, `root` or `with`. Where that leads back to \
                    itself there is no order to build in. The message lists the way round; remove one step, or move what \
                    both sides need into a target of its own.",
    },
    Code {
        name: "cyclic-wiring",
        summary: "components that need each other's exports",
        paragraph: "Every component of a composition is instantiated once, after those whose exports it imports, \
                    so two that import from each other can't both be first. Move what both need into a third \
                    component, or hand one of them what it needs as an argument of a call.",
    },
    Code {
        name: "disabled-target",
        summary: "a target that needs a disabled one",
        paragraph: "A component with `enabled = false` is not part of the project, so nothing that is may depend on it. \
                    Its tests are disabled along with it.",
    },
    Code {
        name: "duplicate-output",
        summary: "two outputs with the same place",
        paragraph: "An output of a command is written back into the project, so only one command can own a path, and none \
                    can own a directory above it. Let one command write all of it, or give each a place of its own.",
    },
    Code {
        name: "duplicate-target",
        summary: "two targets with the same name",
        paragraph: "Components, compositions and commands share one set of names: `run v2 build NAME` means one thing. \
                    Names that differ only in case count as the same, because some file systems can't tell their outputs \
                    apart.",
    },
    Code {
        name: "duplicate-test",
        summary: "two tests of one target with the same name",
        paragraph: "A test without `name` is called after its function and arguments, as in `greet_42`. Two tests of one \
                    target that come out the same could not be told apart in a report; give one of them a `name`.",
    },
    Code {
        name: "empty-command",
        summary: "a command that runs nothing",
        paragraph: "`run` is a list: the program, then its arguments, each as one text. There is no shell in between; ask \
                    for one with `run = [\"sh\", \"-c\", \"…\"]`.",
    },
    Code {
        name: "fixed-toolchain",
        summary: "a version of a tool that this version of run can't drive",
        paragraph: "Some tools are not run but driven: their parts are linked together by `run` itself, which has to know \
                    them exactly. Those come in the one version that this version of `run` was made for; another one \
                    comes with another version of `run`.",
    },
    Code {
        name: "hidden-resource",
        summary: "a function whose type names a resource that nobody outside can name",
        paragraph: "A function of the world that takes or returns a resource is only of use to who knows the \
                    resource. Here the resource comes from a dependency and stays inside. Export an interface \
                    that uses the resource and holds the function: an interface carries the types that it uses \
                    with it.",
    },
    Code {
        name: "inapplicable-key",
        summary: "a key that means nothing here",
        paragraph: "The key exists, and this table may not have it: `features` and `target` are for Rust, `compiler` for \
                    Go, `engine` for JavaScript and TypeScript, `typecheck` for Python and TypeScript; a pre-built \
                    component has no sources or interface to describe, and a test of a command target describes no guest. A \
                    key that would do nothing is refused, so that every key that is there works.",
    },
    Code {
        name: "incompatible-interface",
        summary: "an import and an export of one name and different types",
        paragraph: "What one component imports and what another exports under that name must have the same \
                    types; versions that are compatible by semantic versioning may stand in for each other. The \
                    message shows both sides as WIT. Give both the same WIT package, most simply by one `wit` \
                    directory for both.",
    },
    Code {
        name: "interface-mismatch",
        summary: "a component that is not what its world declares",
        paragraph: "Other targets are wired against the world in `wit` before the component exists, so that \
                    promise is checked when it does. The message lists what is missing or of another type. \
                    Change the source, or the world: the one that is wrong.",
    },
    Code {
        name: "malformed",
        summary: "a file that is not TOML",
        paragraph: "run.toml could not be read as TOML, so nothing else was checked. Frequent causes are a text without \
                    its closing quote, a table written twice, and `[component]` where a list of tables needs \
                    `[[component]]`.",
    },
    Code {
        name: "missing-file",
        summary: "a file or directory that is not there",
        paragraph: "Paths in run.toml are relative to the directory of run.toml. What git ignores can be named, \
                    but is not found by a pattern. A file that a command makes exists only for targets that have \
                    the command in their `depends`.",
    },
    Code {
        name: "missing-key",
        summary: "a key that has to be there",
        paragraph: "The table can't mean anything without this key, or another of its keys can't. The message names what \
                    is missing and the help shows an example to start from. `run v2 schema` prints all keys in a form \
                    that editors understand.",
    },
    Code {
        name: "missing-lockfile",
        summary: "dependencies without a lockfile",
        paragraph: "A build fetches and compiles exactly what the lockfile says, and never writes one: without \
                    it, what is built would depend on the day it is built. `cargo generate-lockfile` makes that of \
                    cargo, `npm install --package-lock-only` that of npm, `uv pip compile --generate-hashes` a \
                    `requirements.txt`; commit it.",
    },
    Code {
        name: "missing-toolchain",
        summary: "a compiler or a tool that this machine does not have",
        paragraph: "Building this target takes an executable that is not in `PATH`, or not in the version that \
                    `[toolchain]` in run.toml asks for. It is this machine that lacks something, not the \
                    project, and the exit status, 36, says so. `run v2 doctor` checks for everything at once.",
    },
    Code {
        name: "missing-wasm-target",
        summary: "a Rust without the standard library for WebAssembly",
        paragraph: "Rust compiles for WebAssembly with a standard library that is installed apart from the \
                    compiler: `rustup target add wasm32-wasip2`, or the target that the message names. A Rust \
                    that is not from rustup gets it from where it was got itself.",
    },
    Code {
        name: "missing-world",
        summary: "a core module that does not say what it implements",
        paragraph: "A component carries its interface in its own bytes; a core module does not. Give its `wit`, \
                    and `world` where the package has several. Modules made by bindings generators carry a world \
                    with them, and need neither.",
    },
    Code {
        name: "native-package",
        summary: "a Python package with native code",
        paragraph: "A component holds an interpreter and pure Python; code that was compiled for some machine can't be \
                    loaded into it. The message names the package, or the file in it. Many such packages have a twin of \
                    pure Python, or work without the part that is native; what can't do without belongs in a component \
                    of another language, which Python can import from.",
    },
    Code {
        name: "no-wasm-target",
        summary: "a cargo package with nothing that becomes a component, or too much",
        paragraph: "A library becomes a component when its `crate-type` has `cdylib`; a program becomes one by \
                    being a binary. Where there are several binaries, `default-run` in the package says which is \
                    meant.",
    },
    Code {
        name: "not-a-component",
        summary: "WebAssembly that is something else than a component",
        paragraph: "A core module has no interface that others could be joined to, and a WIT package in binary \
                    form holds no code. A module becomes a component with the `wit` it implements: `wasm-tools \
                    component new` does it to a file, and a `source` in text form has it done.",
    },
    Code {
        name: "not-wasm",
        summary: "bytes that are no WebAssembly, or no longer",
        paragraph: "Every WebAssembly binary begins with the bytes `00 61 73 6d`, and tells the length of each \
                    of its parts. The file begins otherwise or ends too early: perhaps it is a page that says \
                    that a download failed, a pointer of Git LFS, or half of a copy.",
    },
    Code {
        name: "not-yet",
        summary: "a key that serves something this version lacks",
        paragraph: "The key is known, and its value was checked, but the command that reads it is not part of this \
                    version. It is a warning, so that one run.toml can serve several versions.",
    },
    Code {
        name: "opaque-composition",
        summary: "a composition made by a script, used as a part",
        paragraph: "What a `.wac` script exports is known when it has run, and wiring is decided before anything \
                    runs. So such a composition can be built, run and tested, but no other target can be wired \
                    to it. Name its components instead, or extend the script.",
    },
    Code {
        name: "opaque-parameter",
        summary: "a function that can't be called from a command line",
        paragraph: "Resources are handles to what lives inside a component; they have no text form, so there is \
                    nothing to write in their place. Call the function from another component, such as a small \
                    one made to test it.",
    },
    Code {
        name: "other-bytes",
        summary: "something that has other bytes than are locked",
        paragraph: "What is fetched, and each compiler that is locked, is known by a digest. The message shows the one that \
                    was wanted and the one that was found; nothing of what was found is kept. Published versions of \
                    packages never change, so a mirror or a cache on the way is at fault, or the lockfile; a compiler of \
                    the same version may have been built by someone else. The exit status is 36.",
    },
    Code {
        name: "out-of-range",
        summary: "a number that is too small or too large",
        paragraph: "The message gives the range. Ports go from 1 to 65535, exit statuses from 0 to 255, and fuel begins at \
                    1.",
    },
    Code {
        name: "path-outside-project",
        summary: "a cargo path dependency outside of the project",
        paragraph: "A build sees the files of the project and nothing else: that is why its result can be reused \
                    by another machine, where other things stand beside the project. Move the crate into the \
                    project, make the project larger by moving run.toml up, or depend on the crate by `version` \
                    or `git`.",
    },
    Code {
        name: "repeated-target",
        summary: "a name that one target gives twice",
        paragraph: "Every target takes part once in what depends on it: a composition has one instance of each component, \
                    and `root` is not also one of `with`. Remove the second mention.",
    },
    Code {
        name: "reserved-output",
        summary: "an output in a place that is not the project's own",
        paragraph: "`target/` belongs to the build tools, `.run/` to `run`, `.git/` to git, and the output directory to \
                    the targets; run.toml and run.lock.toml are read to decide what to build. A command that writes there \
                    would change its own build. Write generated files somewhere else, as in `gen/`.",
    },
    Code {
        name: "split-resource",
        summary: "a resource that reaches a component from two places",
        paragraph: "A resource belongs to the instance that defines it: two instances of one interface make two \
                    types, although they have one name. A component that takes the resource from one and a \
                    function on it from another could never pass one to the other. Let both take it from the \
                    same target.",
    },
    Code {
        name: "stale-lockfile",
        summary: "a lockfile that says something else than what it was written for",
        paragraph: "run.lock.toml names the exact version and digest of each compiler that is fetched. Where run.toml, \
                    or this version of `run`, has come to want another one, the file is brought up to date by `run v2 \
                    toolchain sync`, and the difference is committed like any other change. In the same way \
                    `requirements.txt` has to name all that `pyproject.toml` and the packages in it require, in versions \
                    that meet it and that there still are; the tool that wrote it writes it anew.",
    },
    Code {
        name: "token-in-manifest",
        summary: "a secret in run.toml",
        paragraph: "run.toml is committed, so a token in it is known to everyone who can read the repository, now and in \
                    its history. Remove it, revoke it, and set the variable `RUN_AUTH_TOKEN` to a new one.",
    },
    Code {
        name: "undeclared-import",
        summary: "an import that the component's world does not have",
        paragraph: "The built component imports something that its declared world leaves out, so nobody who \
                    wired it knew to provide it. Add the import to the world, or remove its use from the source. \
                    Imports of WASI are exempt: language runtimes have more of them than programs use, and what \
                    counts is what is granted.",
    },
    Code {
        name: "undeclared-producer",
        summary: "a file that a command makes, read without saying so",
        paragraph: "An output of a command is written back into the project, and may be there from an earlier \
                    build, or not, or be old. Whoever reads it names the command in `depends`, and then gets it \
                    from the command itself, always current.",
    },
    Code {
        name: "unfetched-packages",
        summary: "packages of a lockfile that can't be got",
        paragraph: "Packages are fetched once, by the client of their ecosystem (pip, npm) as the user has configured it, \
                    and are known by their digests from then on: no later build needs the network for them. The message \
                    shows what the client said. The exit status, 36, says that it is not the project that is at fault.",
    },
    Code {
        name: "ungranted-import",
        summary: "an import that will never be granted",
        paragraph: "The world of the component asks for something of the host, and its `capabilities`, the most \
                    it will ever be granted, do not have it. It is a warning, since a component may import what \
                    it does not use. Add the capability, or remove the import from the world.",
    },
    Code {
        name: "unknown-function",
        summary: "a function that the component does not export",
        paragraph: "The functions of a component are those of its world, and those of the interfaces it exports, \
                    written `interface.function` or `ns:package/interface#function`. Methods of resources are \
                    left out: without a resource to call them on they are of no use. `run v2 info` shows them \
                    all.",
    },
    Code {
        name: "unknown-key",
        summary: "a key that does not exist",
        paragraph: "A misspelt key that is ignored is a setting that silently does nothing, so it is an error. The help \
                    names the closest key, the table it belongs in, or all keys of the table.",
    },
    Code {
        name: "unknown-language",
        summary: "a source in a language that nothing tells",
        paragraph: "The language follows from the file's ending, or from what stands in the directory: \
                    `Cargo.toml`, `go.mod`, `package.json` and the like. Where there is none of these, or more \
                    than one, `language` says it.",
    },
    Code {
        name: "unknown-target",
        summary: "a name that no target has",
        paragraph: "`depends`, `root`, `with` and a test's `component` name targets declared in the same run.toml as \
                    `[[component]]`, `[[compose]]` or `[[command]]`. The help names the closest one.",
    },
    Code {
        name: "unknown-tool",
        summary: "a program that is not among a command's tools",
        paragraph: "A command finds one named set of tools, the same everywhere: `sh`, `bash`, the core \
                    utilities, `sed`, `grep`, `awk`, `find`, `xargs`, `tar` and `gzip`. Anything else is named \
                    in `tools`, and is then taken from this machine and identified by its content. A program of \
                    the project is run by its path, as in `./scripts/gen.sh`.",
    },
    Code {
        name: "unknown-toolchain",
        summary: "a name that is neither a toolchain nor a language",
        paragraph: "`run v2 toolchain` knows the compilers that can be fetched, by their own names and by the \
                    languages that need them; `run v2 toolchain list` shows them. Rust is installed by rustup, and \
                    other tools of this machine are named in `tools`.",
    },
    Code {
        name: "unknown-value",
        summary: "a word that is not on the key's list",
        paragraph: "Some keys take one of a few words, and the help names them or the closest one.",
    },
    Code {
        name: "unknown-world",
        summary: "a world that is not there",
        paragraph: "The name in `world` is that of a world in the package of `wit`, or a full one, as in \
                    `demo:calc/calc` or `wasi:http/proxy@0.2.3`. Without `wit` only the worlds of WASI are \
                    known. A package that has interfaces and no world needs one: `world app { export math; }`.",
    },
    Code {
        name: "unlocked-toolchain",
        summary: "a compiler whose exact bytes nobody has said",
        paragraph: "What is fetched from a registry is checked against a digest: that of run.lock.toml, or the one \
                    this version of `run` knows for the version it was tried with. For any other version `run v2 \
                    toolchain sync` fetches it once, and writes what it got into run.lock.toml, for everyone to be \
                    held to.",
    },
    Code {
        name: "unpinned-requirement",
        summary: "a line of requirements.txt that does not say which bytes it means",
        paragraph: "The packages of a component in Python are named by the `requirements.txt` beside its sources, in the form \
                    that pip calls hash-checking: each in one version, `==`, with the digests that its archives may have, \
                    `--hash=sha256:…`. Other files, directories, addresses and repositories have no such digest. `uv pip \
                    compile --generate-hashes --python-version 3.14` and `pip-compile --generate-hashes` write it from a \
                    list of what is really wanted.",
    },
    Code {
        name: "unsatisfied-import",
        summary: "an import that nothing satisfies",
        paragraph: "A component imports an interface that none of the targets it depends on exports, and that is \
                    not WASI, which the host provides. Name a target that exports it in `depends` (or, for a \
                    composition, in `with`), at a version that is compatible with the one imported.",
    },
    Code {
        name: "unsupported-type",
        summary: "a type or function in WIT that a language has no bindings for",
        paragraph: "Asynchronous functions, streams, futures and error contexts belong to versions of WASI after 0.2, and the \
                    language of this component has no bindings for them yet, nor for maps and lists of fixed length; Go has \
                    none for tuples of more than sixteen members and more than thirty-two flags. Say the same by other \
                    types, leave the function out of the component's world, or write the component in a language that has it.",
    },
    Code {
        name: "unused-dependency",
        summary: "a dependency that nothing is taken from",
        paragraph: "The target is named in `depends`, and none of its exports is an import of the component, so \
                    it would be left out of the composition. It is a warning, since an import may be on its way; \
                    a misspelt interface name on either side looks just like this.",
    },
    Code {
        name: "wrong-argument-count",
        summary: "more or fewer arguments than parameters",
        paragraph: "Every parameter takes one value; those of an option type may be left out at the end. In \
                    `--args`, several typed literals can stand in one text, as in `\"s32:3,s32:4\"`; a comma \
                    inside a string, a list or a record separates nothing there.",
    },
    Code {
        name: "wrong-kind",
        summary: "a target of a kind that can't be used here",
        paragraph: "Only components and compositions can be composed; a command's outputs are files. A component that \
                    needs those files names the command in its `depends`.",
    },
    Code {
        name: "wrong-type",
        summary: "a value of the wrong type",
        paragraph: "The value is a text where a list is wanted, or the like. The help shows the key as it should be \
                    written.",
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn codes_are_sorted_and_found() {
        assert!(CODES.is_sorted_by(|a, b| a.name < b.name), "sort CODES by name");
        assert_eq!(find("cycle").map(|code| code.summary), Some("targets that need each other"));
        assert_eq!(find("cycles"), None);
    }

    #[test]
    fn codes_in_use_are_the_codes_with_a_paragraph() {
        let mut used = BTreeSet::new();
        collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut used);
        let explained: BTreeSet<String> = CODES.iter().map(|code| code.name.to_owned()).collect();
        let lacking: Vec<_> = used.difference(&explained).collect();
        let unused: Vec<_> = explained.difference(&used).collect();
        assert!(lacking.is_empty(), "give these codes a paragraph in rules/src/codes.rs: {lacking:?}");
        assert!(unused.is_empty(), "nothing uses these codes; remove them from rules/src/codes.rs: {unused:?}");
    }

    /// Collects the texts that stand where diagnostics take their code.
    fn collect(dir: &Path, used: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, used);
            } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
                let source = std::fs::read_to_string(&path).unwrap();
                let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or(&source);
                for opener in ["Diagnostic::error(", "Diagnostic::warning(", "self.error(", ".discouraged(", ".coded("]
                {
                    used.extend(code.split(opener).skip(1).filter_map(first_literal));
                }
                // A form's code is its second argument.
                used.extend(code.split("= form(").skip(1).filter_map(|rest| first_literal(rest.split_once(',')?.1)));
            }
        }
    }

    /// The literal that a list of arguments begins with, if it is one.
    fn first_literal(arguments: &str) -> Option<String> {
        let (literal, _) = arguments.trim_start().strip_prefix('"')?.split_once('"')?;
        Some(literal.to_owned())
    }
}
