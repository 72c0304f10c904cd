//! Every diagnostic code with its paragraph; `run v2 help CODE` prints it.

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

/// Every code, sorted by name.
pub const CODES: &[Code] = &[
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
        name: "bad-duration",
        summary: "a duration without a known unit",
        paragraph: "A duration is a whole number and one of the units `ms`, `s`, `m` and `h`, as in `500ms` or `2s`. A \
                    bare number is refused because seconds and milliseconds are too easily confused.",
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
        name: "beyond-capabilities",
        summary: "a test that is granted more than its component may have",
        paragraph: "The `capabilities` of a component are the most that it will ever be granted, in tests as elsewhere. A \
                    test that needs more would test something that can't happen. Add the capability to the component, \
                    or remove it from `allow`.",
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
        name: "inapplicable-key",
        summary: "a key that means nothing here",
        paragraph: "The key exists, and this table may not have it: `features` and `target` are for Rust, `compiler` for \
                    Go, `engine` for JavaScript and TypeScript, `typecheck` for Python and TypeScript; a pre-built \
                    component has no sources or interface to describe, and a test of a command target describes no guest. A \
                    key that would do nothing is refused, so that every key that is there works.",
    },
    Code {
        name: "malformed",
        summary: "a file that is not TOML",
        paragraph: "run.toml could not be read as TOML, so nothing else was checked. Frequent causes are a text without \
                    its closing quote, a table written twice, and `[component]` where a list of tables needs \
                    `[[component]]`.",
    },
    Code {
        name: "missing-key",
        summary: "a key that has to be there",
        paragraph: "The table can't mean anything without this key, or another of its keys can't. The message names what \
                    is missing and the help shows an example to start from. `run v2 schema` prints all keys in a form \
                    that editors understand.",
    },
    Code {
        name: "not-yet",
        summary: "a key that serves something this version lacks",
        paragraph: "The key is known, and its value was checked, but the command that reads it is not part of this \
                    version. It is a warning, so that one run.toml can serve several versions.",
    },
    Code {
        name: "out-of-range",
        summary: "a number that is too small or too large",
        paragraph: "The message gives the range. Ports go from 1 to 65535, exit statuses from 0 to 255, and fuel begins at \
                    1.",
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
        name: "token-in-manifest",
        summary: "a secret in run.toml",
        paragraph: "run.toml is committed, so a token in it is known to everyone who can read the repository, now and in \
                    its history. Remove it, revoke it, and set the variable `RUN_AUTH_TOKEN` to a new one.",
    },
    Code {
        name: "unknown-key",
        summary: "a key that does not exist",
        paragraph: "A misspelt key that is ignored is a setting that silently does nothing, so it is an error. The help \
                    names the closest key, the table it belongs in, or all keys of the table.",
    },
    Code {
        name: "unknown-target",
        summary: "a name that no target has",
        paragraph: "`depends`, `root`, `with` and a test's `component` name targets declared in the same run.toml as \
                    `[[component]]`, `[[compose]]` or `[[command]]`. The help names the closest one.",
    },
    Code {
        name: "unknown-value",
        summary: "a word that is not on the key's list",
        paragraph: "Some keys take one of a few words, and the help names them or the closest one.",
    },
    Code {
        name: "unsupported-language",
        summary: "a language that this version does not compile",
        paragraph: "The language is known, but the rule that compiles it is not part of this version. A component in any \
                    language can still take part: build it with its own tools and give the file as `path`.",
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
                for opener in ["Diagnostic::error(", "Diagnostic::warning(", "self.error(", ".discouraged("] {
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
