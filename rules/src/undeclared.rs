//! What a failed action had looked for and did not declare: read from what it said, or from what the engine saw it look for
//! where it said nothing, because the one line that is missing in `run.toml` is what its author wants to know.
//!
//! Most tools name the path they did not find. Where that path exists, in the project or on the machine, it was the
//! sandbox that hid it. Nothing is inferred from a path that exists nowhere: that is an ordinary mistake, told by the tool.

use std::path::{Component, Path, PathBuf};

use run_engine::path::RelPath;

use crate::manifest::TargetKind;

/// Something outside of an action's inputs that it looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undeclared {
    /// What, as a fragment that fits after "it looked for".
    pub what: String,
    /// What to do about it, as a sentence.
    pub help: String,
}

/// Who looked.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    /// The name of its target.
    pub name: &'a str,
    /// What kind of target that is.
    pub kind: TargetKind,
    /// The project's directory.
    pub project: &'a Path,
    /// Where the project stands in the sandbox, which is where the action started too.
    pub inside: &'a str,
    /// Where executables are looked for on this machine.
    pub path: &'a [PathBuf],
    /// Whether a path of the project is among its inputs: what it has, it was not denied.
    pub has: &'a dyn Fn(&RelPath) -> bool,
    /// Whether a path of the project is one that it leaves: that it is not there yet is no news.
    pub leaves: &'a dyn Fn(&RelPath) -> bool,
}

/// The most things that are told: the first one missing is usually the reason for the others.
const N_TOLD_MAX: usize = 3;

/// Reads what an action said before it failed.
#[must_use]
pub fn look(said: &str, asker: &Asker<'_>) -> Vec<Undeclared> {
    let mut found = Vec::new();
    for line in said.lines() {
        let lower = line.to_lowercase();
        let has = |phrases: &[&str]| phrases.iter().any(|phrase| lower.contains(phrase));
        let told = if has(NO_NETWORK) {
            Some(network(asker))
        } else if has(NO_VARIABLE) {
            word_before(line, NO_VARIABLE).map(variable)
        } else if let Some(tool) = missing_tool(line, asker) {
            Some(tool)
        } else if has(NO_FILE) {
            words(line).find_map(|word| file(word, asker))
        } else {
            None
        };
        if let Some(told) = told.filter(|told| !found.contains(told)) {
            found.push(told);
            if found.len() == N_TOLD_MAX {
                break;
            }
        }
    }
    found
}

/// Reads what an action was seen to look for in vain: absolute paths, in order. Programs look for much that they can do
/// without, so what the machine has is told only where nothing of the project was missed.
#[must_use]
pub fn of_lookups(lookups: &[String], asker: &Asker<'_>) -> Vec<Undeclared> {
    let is_noise = |path: &&String| {
        let path = Path::new(path);
        EVERYBODYS.iter().any(|there| path.starts_with(there))
            || path.components().any(|part| HIDDEN.iter().any(|name| part.as_os_str() == *name))
    };
    let told = |of_the_project: bool| {
        let mut found = Vec::new();
        for path in lookups.iter().filter(|path| !is_noise(path)) {
            let is_inside = Path::new(path).starts_with(asker.inside);
            let path_inside = || RelPath::new(path.strip_prefix(asker.inside)?.strip_prefix('/')?).ok();
            if is_inside != of_the_project || path_inside().is_some_and(|path| (asker.leaves)(&path)) {
                continue;
            }
            let told = program(path, asker).or_else(|| file(path, asker));
            found.extend(told.filter(|told| !found.contains(told)));
        }
        found.truncate(N_TOLD_MAX);
        found
    };
    let of_the_project = told(true);
    if of_the_project.is_empty() { told(false) } else { of_the_project }
}

/// Where the loader, the C library and nearly every program look, and manage without.
const EVERYBODYS: &[&str] = &[
    "/dev",
    "/etc/host.conf",
    "/etc/inputrc",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/localtime",
    "/etc/locale.alias",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/etc/terminfo",
    "/lib",
    "/lib64",
    "/proc",
    "/run",
    "/sys",
    "/tmp",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/share/locale",
    "/usr/share/terminfo",
    "/usr/share/zoneinfo",
    "/var/run",
];

/// What tools look for in every directory above the one they are in, and nobody declares.
const HIDDEN: &[&str] = &[".git", ".hg", ".jj", ".svn", ".run"];

/// An executable of the machine, looked for where the machine has it.
fn program(path: &str, asker: &Asker<'_>) -> Option<Undeclared> {
    let path = Path::new(path);
    let is_there = asker.path.iter().any(|directory| path.parent() == Some(directory.as_path())) && path.is_file();
    let name = path.file_name()?.to_str().filter(|_| is_there && asker.kind == TargetKind::Command)?;
    Some(tool(name, asker))
}

/// What tools say of a file that is not there, in lower case.
const NO_FILE: &[&str] = &[
    "no such file",
    "not found",
    "cannot open",
    "can't open",
    "couldn't read",
    "could not read",
    "does not exist",
    "cannot access",
    "cannot find",
    "can't find",
    "permission denied",
    "read-only file system",
    "enoent",
];

/// What they say where there is no network.
const NO_NETWORK: &[&str] = &[
    "network is unreachable",
    "temporary failure in name resolution",
    "could not resolve host",
    "name or service not known",
    "failed to lookup address",
];

/// What shells say of a variable that is not set.
const NO_VARIABLE: &[&str] = &["unbound variable", "parameter not set"];

fn network(asker: &Asker<'_>) -> Undeclared {
    let help = match asker.kind {
        TargetKind::Command => "no command has one: keep what it needs in the project, as one of its `inputs`",
        _ => "nothing is compiled with one: have what it needs fetched by a lockfile, or keep it in the project",
    };
    Undeclared { what: "the network".to_owned(), help: help.to_owned() }
}

fn variable(name: &str) -> Undeclared {
    Undeclared {
        what: format!("the variable `{name}`"),
        help: format!("no variable of yours is passed on; set it in the command: `run = [\"env\", \"{name}=…\", …]`"),
    }
}

/// A program that this machine has and the command did not ask for.
fn missing_tool(line: &str, asker: &Asker<'_>) -> Option<Undeclared> {
    let name = word_before(line, &["command not found", "not found", "no such file or directory"])?;
    let is_name = !name.contains('/') && !name.is_empty();
    let is_there = || asker.path.iter().any(|dir| dir.join(name).is_file());
    (asker.kind == TargetKind::Command && is_name && is_there()).then(|| tool(name, asker))
}

fn tool(name: &str, asker: &Asker<'_>) -> Undeclared {
    Undeclared {
        what: format!("the program `{name}`"),
        help: format!("add `\"{name}\"` to `tools` of the command `{}`", asker.name),
    }
}

/// The word in front of `: PHRASE`.
fn word_before<'a>(line: &'a str, phrases: &[&str]) -> Option<&'a str> {
    let at = phrases.iter().find_map(|phrase| line.to_lowercase().find(&format!(": {phrase}")))?;
    line.get(..at)?.rsplit([' ', ':', '\'', '"', '`', '‘', '’']).find(|word| !word.is_empty())
}

/// What could be a path in what a tool said.
fn words(line: &str) -> impl Iterator<Item = &str> {
    const AROUND: &[char] =
        &[' ', '\t', '\'', '"', '`', '‘', '’', '“', '”', '(', ')', '[', ']', '<', '>', ',', ';', ':', '=', '«', '»'];
    line.split(AROUND).filter(|word| word.chars().any(|c| c.is_alphanumeric()))
}

fn file(word: &str, asker: &Asker<'_>) -> Option<Undeclared> {
    let Asker { name, kind, project, inside, .. } = asker;
    let is_below = |rest: &str| rest.is_empty() || rest.starts_with('/');
    let seen = match word.strip_prefix(inside).filter(|rest| is_below(rest)) {
        Some(below) => project.join(below.trim_start_matches('/')),
        None if word.starts_with('/') => PathBuf::from(word),
        // A plain word may be a word: only what looks like a file is one.
        None if word.contains(['/', '.']) || project.join(word).is_dir() => project.join(word),
        None => return None,
    };
    let seen = without_dots(&seen);
    if !seen.exists() || seen.parent().is_none() {
        return None;
    }
    let list = match kind {
        TargetKind::Command => "inputs",
        _ => "sources",
    };
    Some(match seen.strip_prefix(project) {
        Ok(below) => {
            let path = RelPath::new(below.to_str()?).ok().filter(|path| !(asker.has)(path))?;
            let all = if seen.is_dir() { "/**" } else { "" };
            Undeclared {
                what: format!("`{path}`, which is in the project and not among its inputs"),
                help: format!("add `\"{path}{all}\"` to `{list}` of `{name}`"),
            }
        }
        Err(_) => Undeclared {
            what: format!("`{}`, which is on this machine and outside of the project", seen.display()),
            help: format!("copy what it needs into the project and add that to `{list}` of `{name}`"),
        },
    })
}

/// Takes `.` and `..` away, as text: the links on the way are those of another world.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: TargetKind, said: &str) -> Vec<String> {
        told_by(kind, &|asker| look(said, asker))
    }

    fn seen(lookups: &[&str]) -> Vec<String> {
        let lookups: Vec<String> = lookups.iter().map(|path| (*path).to_owned()).collect();
        told_by(TargetKind::Command, &|asker| {
            let beside = asker.project.parent().unwrap().display().to_string();
            let lookups: Vec<String> = lookups.iter().map(|path| path.replace("[BESIDE]", &beside)).collect();
            of_lookups(&lookups, asker)
        })
    }

    fn told_by(kind: TargetKind, look: &dyn Fn(&Asker<'_>) -> Vec<Undeclared>) -> Vec<String> {
        // Not in `/tmp`, which every sandbox has its own of.
        let project = tempfile::tempdir_in("/var/tmp").unwrap();
        let root = project.path().canonicalize().unwrap().join("project");
        std::fs::create_dir_all(root.join("design")).unwrap();
        std::fs::write(root.join("design/tokens.txt"), "").unwrap();
        std::fs::write(root.parent().unwrap().join("beside.txt"), "").unwrap();
        let bin = root.parent().unwrap().join("bin");
        std::fs::create_dir(&bin).unwrap();
        std::fs::write(bin.join("jq"), "").unwrap();
        let has = |path: &RelPath| path.as_str() == "make.sh";
        std::fs::write(root.join("make.sh"), "").unwrap();
        let leaves = |path: &RelPath| path.as_str() == "out.txt";
        std::fs::write(root.join("out.txt"), "").unwrap();
        let (name, inside, path) = ("tokens", "/build/work", [bin]);
        let asker = Asker { name, kind, project: &root, inside, path: &path, has: &has, leaves: &leaves };
        let place = root.parent().unwrap().display().to_string();
        look(&asker).into_iter().map(|u| format!("{}; {}", u.what, u.help).replace(&place, "…")).collect()
    }

    #[test]
    fn what_is_in_the_project_is_an_input_to_add() {
        let expected = [
            "`design/tokens.txt`, which is in the project and not among its inputs; add `\"design/tokens.txt\"` to `inputs` of `tokens`",
        ];
        for said in [
            "cat: design/tokens.txt: No such file or directory",
            "./make.sh: line 1: design/tokens.txt: No such file or directory",
            "sed: can't read design/tokens.txt: No such file or directory",
            "error: couldn't read `/build/work/design/tokens.txt`: No such file or directory (os error 2)",
            "FileNotFoundError: [Errno 2] No such file or directory: './design/../design/tokens.txt'",
        ] {
            assert_eq!(told(TargetKind::Command, said), expected, "{said}");
        }
        let said = "ls: cannot access 'design': No such file or directory";
        assert!(told(TargetKind::Component, said)[0].ends_with("add `\"design/**\"` to `sources` of `tokens`"));
    }

    #[test]
    fn what_is_outside_is_to_be_copied_and_what_is_nowhere_is_no_news() {
        let outside = told(TargetKind::Command, "cat: ../beside.txt: No such file or directory");
        assert!(outside[0].starts_with("`…/beside.txt`, which is on this machine"), "{outside:?}");
        assert_eq!(told(TargetKind::Command, "cat: ../nowhere.txt: No such file or directory"), [""; 0]);
        assert_eq!(told(TargetKind::Command, "src/lib.rs:3: unknown name `design/tokens.txt`"), [""; 0]);
    }

    #[test]
    fn what_was_seen_is_told_where_it_exists_and_the_project_comes_first() {
        let lookups = ["/etc/ld.so.preload", "[BESIDE]/beside.txt", "/build/work/design/tokens.txt", "/build/work/no"];
        let expected = [
            "`design/tokens.txt`, which is in the project and not among its inputs; add `\"design/tokens.txt\"` to `inputs` of `tokens`",
        ];
        assert_eq!(seen(&lookups), expected);
        let outside = seen(&lookups[..2]);
        assert!(outside[0].starts_with("`…/beside.txt`, which is on this machine"), "{outside:?}");
        let tool = seen(&["[BESIDE]/bin/jq", "[BESIDE]/bin/none"]);
        assert_eq!(tool, ["the program `jq`; add `\"jq\"` to `tools` of the command `tokens`"]);
        let no_news = ["/build/work/make.sh", "/build/work/out.txt", "/build/work/.git/HEAD", "/proc/1/maps", "/build"];
        assert_eq!(seen(&no_news), [""; 0]);
    }

    #[test]
    fn tools_variables_and_the_network() {
        let tool = told(TargetKind::Command, "sh: 1: jq: not found\n");
        assert_eq!(tool, ["the program `jq`; add `\"jq\"` to `tools` of the command `tokens`"]);
        assert_eq!(told(TargetKind::Command, "sh: 1: no-such-tool: not found\n"), [""; 0]);
        let unset = told(TargetKind::Command, "bash: line 1: TOKEN: unbound variable\n");
        assert!(unset[0].starts_with("the variable `TOKEN`; "), "{unset:?}");
        let network = told(TargetKind::Component, "connect: Network is unreachable\nconnect: Network is unreachable");
        assert_eq!(network.len(), 1);
        assert!(network[0].starts_with("the network; "), "{network:?}");
    }
}
