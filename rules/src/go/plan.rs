//! [`Plan`]: what go would do to build a program, read from what it prints under `go build -n`.
//!
//! Go itself decides which files a package is made of, by which flags each is compiled, and what the linker is told; so
//! what is built by its plan is what go builds. From there on it is not needed: a package is compiled, and a program linked, by the
//! compiler and the linker alone, without go looking at everything once more.
//!
//! What we found out about Go 1.27, and rely on; `tests/toolchains/go.md` holds it to that:
//!
//! - The plan is commands of a shell, with `$WORK` for a directory of its own. Files that it would write itself are
//!   here-documents. What it would do in its own process, it prints as a command with a comment behind it.
//! - It tells the compiler a name for what it makes (`-buildid`), which does not decide what comes out and depends on every byte of the
//!   sources: it is left out. So is how many threads to use (`-c`), which depends on the machine.
//! - It gives the compiler whole paths, though it prints short ones. A `//line` in a source is relative to them.
//! - The compiler can leave what importers need (`-o`) apart from what the linker needs (`-linkobj`); the linker makes
//!   the same of the latter as of both in one.
//! - Assembly that says nothing is there for go to accept functions without a body. The compiler accepts them anyway, where it is
//!   not told that a package is complete.

use std::collections::BTreeMap;

use super::steps::TOOLS;

/// Where go keeps what is compiled already, below the input root, while it is asked.
pub const CACHE: &str = ".run/cache/";

/// What go would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The packages that it would compile, each after those it imports.
    pub packages: Vec<Compile>,
    /// How it would link them.
    pub link: Link,
    /// The directory of the compiler and the linker, below [that of Go's tools](super::steps::TOOLS).
    pub tools: String,
}

/// How a package is compiled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compile {
    /// The path by which it is imported.
    pub package: String,
    /// Its directory, below the input root; empty for the root.
    pub dir: String,
    /// What stands in its place in positions.
    pub shown: String,
    /// What the compiler is told besides.
    pub flags: Vec<String>,
    /// Where what it imports is.
    pub imports: Vec<Import>,
    /// The files it embeds, as the compiler wants them.
    pub embeds: Option<String>,
    /// Its files, below the input root.
    pub files: Vec<String>,
}

/// How a program is linked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Link {
    /// What the linker is told besides.
    pub flags: Vec<String>,
    /// Where the packages are.
    pub imports: Vec<Import>,
}

/// A line of the file that says where packages are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Import {
    /// A package that is part of the plan.
    Planned(String),
    /// A package that is compiled already, and its file in [`CACHE`].
    Kept(String, String),
    /// Anything else: it names no file.
    Line(String),
}

/// What [`ASK`](super::steps::ASK) writes for the input root and for Go's own directory.
const ROOT: &str = "/in";
const GOROOT: &str = "/go";

impl Plan {
    /// Reads one, as [`ASK`](super::steps::ASK) leaves it.
    ///
    /// # Errors
    /// It is no such plan: what of it was not understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { written: BTreeMap::new(), names: BTreeMap::new(), plan: Self::default() };
        let mut lines = text.lines();
        let mut package = "";
        while let Some(line) = lines.next() {
            if let Some(name) = line.strip_prefix("# ") {
                package = name;
            } else if let Some(rest) = line.strip_prefix("cat >") {
                let (file, _) = rest.split_once(" << 'EOF'").ok_or_else(|| misread(line))?;
                let mut body = String::new();
                loop {
                    let line = lines.next().ok_or("a file that does not end")?;
                    // A text may end without its last line's end.
                    let Some(last) = line.strip_suffix("EOF") else {
                        body += line;
                        body.push('\n');
                        continue;
                    };
                    body += last;
                    break;
                }
                reader.written.insert(file, body);
            } else if line.contains("/compile -o ") {
                reader.compile(package, line)?;
            } else if line.contains("/link -o ") {
                reader.link(line)?;
            }
        }
        if reader.plan.link.imports.is_empty() {
            return Err("nothing is linked".to_owned());
        }
        Ok(reader.plan)
    }
}

fn misread(line: &str) -> String {
    format!("the line `{line}`")
}

/// A plan that is being read.
struct Reader<'a> {
    /// The files it has written so far.
    written: BTreeMap<&'a str, String>,
    /// The packages so far, by the directory that each has in `$WORK`.
    names: BTreeMap<String, String>,
    plan: Plan,
}

impl<'a> Reader<'a> {
    fn compile(&mut self, package: &str, line: &'a str) -> Result<(), String> {
        let words = words(line);
        let mut made = Compile { package: package.to_owned(), ..Compile::default() };
        let (program, mut rest) = words.split_first().ok_or_else(|| misread(line))?;
        self.plan.tools = tools(program, "/compile").ok_or_else(|| misread(line))?;
        while let Some((word, after)) = rest.split_first() {
            let value = after.first().map_or("", String::as_str);
            rest = after.get(1..).unwrap_or_default();
            match word.as_str() {
                "-o" => {
                    let work = directory(value).ok_or_else(|| misread(line))?;
                    self.names.insert(work.to_owned(), package.to_owned());
                }
                "-trimpath" => {
                    let place = value.split(';').next().and_then(|first| first.split_once("=>"));
                    let (dir, shown) = place.ok_or_else(|| misread(line))?;
                    made.dir = below(dir).ok_or_else(|| misread(line))?.to_owned();
                    shown.clone_into(&mut made.shown);
                }
                "-importcfg" => made.imports = self.imports(value)?,
                "-embedcfg" => {
                    let text = self.written.get(value).ok_or_else(|| misread(line))?;
                    made.embeds = Some(text.replace(&format!(": \"{ROOT}/"), ": \""));
                }
                "-buildid" | "-symabis" | "-asmhdr" => {}
                "-p" | "-goversion" => made.flags.extend([word.clone(), value.to_owned()]),
                // What follows is no value of these.
                _ => {
                    rest = after;
                    if word.starts_with('-') {
                        made.flags.push(word.clone());
                    } else {
                        made.files.push(word.clone());
                    }
                }
            }
        }
        check(&made.flags, line)?;
        made.files = made.files.iter().map(|file| whole(&made.dir, file)).collect();
        self.plan.packages.push(made);
        Ok(())
    }

    fn link(&mut self, line: &'a str) -> Result<(), String> {
        let words = words(line);
        let from = words.iter().position(|word| tools(word, "/link").is_some()).ok_or_else(|| misread(line))?;
        let mut rest = &words[from + 1..];
        while let Some((word, after)) = rest.split_first() {
            let value = after.first().map_or("", String::as_str);
            match word.as_str() {
                "-o" => rest = after.get(1..).unwrap_or_default(),
                "-importcfg" => {
                    self.plan.link.imports = self.imports(value)?;
                    rest = after.get(1..).unwrap_or_default();
                }
                _ => {
                    rest = after;
                    // The one that is not empty tells every byte of the sources; the last one counts.
                    let is_name = word.starts_with("-buildid=") && word != "-buildid=";
                    if word.starts_with('-') && !is_name {
                        self.plan.link.flags.push(word.clone());
                    }
                }
            }
        }
        check(&self.plan.link.flags, line)
    }

    fn imports(&self, file: &str) -> Result<Vec<Import>, String> {
        // Where nothing is imported, the file is a comment, and not written by a here-document.
        let Some(text) = self.written.get(file) else { return Ok(vec![]) };
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        lines.map(|line| self.import(line).ok_or_else(|| misread(line))).collect()
    }

    fn import(&self, line: &str) -> Option<Import> {
        let Some((package, file)) = line.strip_prefix("packagefile ").and_then(|rest| rest.split_once('=')) else {
            return Some(Import::Line(line.to_owned()));
        };
        if file.starts_with("$WORK/") {
            return Some(Import::Planned(self.names.get(directory(file)?)?.clone()));
        }
        let kept = below(file)?.strip_prefix(CACHE)?;
        Some(Import::Kept(package.to_owned(), kept.to_owned()))
    }
}

/// Refuses flags that speak of files which go would make for itself, and which are not here.
fn check(flags: &[String], line: &str) -> Result<(), String> {
    if flags.iter().any(|flag| flag.contains("$WORK")) { Err(misread(line)) } else { Ok(()) }
}

/// A path below the input root; the root's own is empty.
fn below(path: &str) -> Option<&str> {
    let rest = path.strip_prefix(ROOT)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

/// A file of the package in `dir`, below the input root: go names it from where it is called, and others by their whole path.
fn whole(dir: &str, file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
}

/// The directory of Go's tool called `name`.
fn tools(program: &str, name: &str) -> Option<String> {
    let dir = program.strip_suffix(name)?.strip_prefix(GOROOT)?.strip_prefix('/')?;
    Some(dir.strip_prefix(TOOLS)?.strip_prefix('/')?.to_owned())
}

/// The directory in `$WORK` that a file of it is in.
fn directory(file: &str) -> Option<&str> {
    file.strip_prefix("$WORK/")?.split_once('/').map(|(dir, _)| dir)
}

/// The words of a command. Those with signs that a shell would not take for letters are in quotes, as Go writes them.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' => {}
            '"' => {
                let mut word = String::new();
                while let Some(letter) = letters.next().filter(|letter| *letter != '"') {
                    word.push(if letter == '\\' { letters.next().unwrap_or(letter) } else { letter });
                }
                words.push(word);
            }
            _ => {
                let mut word = String::from(letter);
                while let Some(letter) = letters.next_if(|letter| *letter != ' ') {
                    word.push(letter);
                }
                words.push(word);
            }
        }
    }
    words
}

#[cfg(test)]
mod tests;
