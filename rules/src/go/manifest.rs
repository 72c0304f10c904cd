//! [`Manifest`]: what a `go.mod` says, as far as a build's inputs depend on it; and the one that go is given.

/// The module that generated bindings import, and that comes with this program's version of their generator.
pub const RUNTIME: &str = "go.bytecodealliance.org/pkg";

/// Its version, as the generator wants it.
const RUNTIME_VERSION: &str = "v0.4.0";

/// Where the scripts put it, below the directory of the main module.
pub const RUNTIME_AT: &str = ".run/pkg";

/// The oldest Go whose language it is written in.
pub const RUNTIME_GO: &str = "1.20";

/// The module of sources that have no `go.mod`: the one that the generator names where it is not told. Its version is the oldest
/// whose Go builds components.
pub const NAMELESS: &str = "module wit_component\n\ngo 1.24\n";

/// What a `go.mod` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    /// The module's path.
    pub module: String,
    /// The version of Go that it is written in.
    pub go: Option<String>,
    /// The paths of the modules it requires, in the order they are written.
    pub requires: Vec<String>,
    /// Modules that are replaced, and the directory or the module that replaces them.
    pub replaces: Vec<(String, String)>,
}

impl Manifest {
    /// Reads one. What is not understood is left to go; `None` without a `module` line.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut found = Self::default();
        let mut block = None;
        for line in text.lines() {
            let line = line.split("//").next().unwrap_or(line);
            let words: Vec<String> = words(line);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            match (block, &words[..]) {
                (_, []) => {}
                (_, [")", ..]) => block = None,
                (None, ["require", "("]) => block = Some("require"),
                (None, ["replace", "("]) => block = Some("replace"),
                (None, [_, "("]) => block = Some(""),
                (None, [word, rest @ ..]) => found.take(word, rest),
                (Some(word), rest) => found.take(word, rest),
            }
        }
        (!found.module.is_empty()).then_some(found)
    }

    fn take(&mut self, word: &str, rest: &[&str]) {
        match (word, rest) {
            ("module", [path]) => (*path).clone_into(&mut self.module),
            ("go", [version]) => self.go = Some((*version).to_owned()),
            ("require", [path, ..]) => self.requires.push((*path).to_owned()),
            ("replace", [path, rest @ ..]) => {
                if let Some(by) = rest.iter().skip_while(|word| **word != "=>").nth(1) {
                    self.replaces.push(((*path).to_owned(), (*by).to_owned()));
                }
            }
            _ => {}
        }
    }

    /// The modules that are replaced by directories, and these as they are written.
    pub fn directories(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_directory = |by: &str| by.starts_with("./") || by.starts_with("../") || by.starts_with('/');
        self.replaces.iter().map(|(path, by)| (path.as_str(), by.as_str())).filter(move |(_, by)| is_directory(by))
    }

    /// Whether a module that is no directory of the project is required.
    #[must_use]
    pub fn needs_others(&self) -> bool {
        let is_here = |path: &str| {
            path == RUNTIME && !self.replaces_runtime()
                || self
                    .replaces
                    .iter()
                    .any(|(replaced, by)| replaced == path && (by.starts_with('.') || by.starts_with('/')))
        };
        self.requires.iter().any(|path| !is_here(path))
    }

    /// Whether the runtime of bindings is one of the user's.
    #[must_use]
    pub fn replaces_runtime(&self) -> bool {
        self.replaces.iter().any(|(path, _)| path == RUNTIME)
    }

    /// What go is to be told besides the user's own lines: that the runtime of bindings is here. Appended, so that every
    /// line keeps its number in messages.
    #[must_use]
    pub fn amendment(&self) -> String {
        let is_required = self.requires.iter().any(|path| path == RUNTIME);
        let require = (!is_required).then(|| format!("\nrequire {RUNTIME} {RUNTIME_VERSION}\n"));
        let replace = (!self.replaces_runtime()).then(|| format!("\nreplace {RUNTIME} => ./{RUNTIME_AT}\n"));
        [require, replace].into_iter().flatten().collect()
    }
}

/// The same for the list of what is vendored: `text` is the user's `vendor/modules.txt`.
#[must_use]
pub fn vendored(text: &str) -> String {
    let packages = ["async", "runtime", "types"].map(|name| format!("{RUNTIME}/wit/{name}\n")).concat();
    let head = format!("# {RUNTIME} {RUNTIME_VERSION} => ./{RUNTIME_AT}\n## explicit; go {RUNTIME_GO}\n{packages}");
    format!("{}\n{head}# {RUNTIME} => ./{RUNTIME_AT}\n", text.trim_end())
}

/// The words of a line; those in quotes without them.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim();
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '"' | '`' => rest[1..].find(first).map_or(rest.len(), |end| end + 2),
            '(' | ')' => 1,
            _ => rest.find(|c: char| c.is_whitespace() || c == '(' || c == ')').unwrap_or(rest.len()),
        };
        words.push(rest[..end].trim_matches(['"', '`']).to_owned());
        rest = rest[end..].trim_start();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_is_understood() {
        let text = "// ours\nmodule \"example.com/calc\" // here\n\ngo 1.24\n\nrequire example.com/a v1.0.0\n\
                    require (\n\texample.com/b v1.2.3 // indirect\n)\nexclude (\n\texample.com/c v1.0.0\n)\n\
                    replace example.com/b => ../b\nreplace (\n\texample.com/a v1.0.0 => example.com/d v1.1.0\n)\n";
        let found = Manifest::parse(text).unwrap();
        assert_eq!(found.module, "example.com/calc");
        assert_eq!(found.go.as_deref(), Some("1.24"));
        assert_eq!(found.requires, ["example.com/a", "example.com/b"]);
        assert_eq!(found.directories().collect::<Vec<_>>(), [("example.com/b", "../b")]);
        assert!(found.needs_others(), "a module replaced by a module is fetched");
        assert_eq!(Manifest::parse("go 1.24\n"), None);
    }

    #[test]
    fn the_runtime_of_bindings_is_here() {
        let check = |text: &str, needs_others: bool, amendment: &str| {
            let found = Manifest::parse(text).unwrap();
            assert_eq!((found.needs_others(), found.amendment().as_str()), (needs_others, amendment), "{text}");
        };
        let (require, replace) =
            ("\nrequire go.bytecodealliance.org/pkg v0.4.0\n", "\nreplace go.bytecodealliance.org/pkg => ./.run/pkg\n");
        check("module a\n", false, &format!("{require}{replace}"));
        check("module a\nrequire go.bytecodealliance.org/pkg v0.4.0", false, replace);
        check("module a\nreplace go.bytecodealliance.org/pkg => ./mine", false, require);
    }
}
