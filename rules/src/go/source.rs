//! [`Head`]: what stands at the head of a `.go` file, and whether the file takes others into the program.

use std::collections::BTreeSet;

/// What a file says before its first declaration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Head {
    /// What its package is called; nothing where it is not Go.
    pub package: String,
    /// The packages it imports, whatever build tags it has.
    pub imports: BTreeSet<String>,
    /// What the names of files begin with that become part of the program, from the file's directory on.
    pub embeds: BTreeSet<String>,
    /// As much of it as go reads to know what the package is made of: up to its last import, and what it embeds; all of it where
    /// that can't be told apart.
    pub text: String,
}

impl Head {
    /// Reads a file. Text that is not Go imports nothing: go will say what is wrong with it.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut imports = BTreeSet::new();
        let mut words = Words(text);
        let mut rest = "";
        let mut package = "";
        if words.next() == Some("package")
            && let Some(name) = words.next()
        {
            (package, rest) = (name, words.0);
            while words.after_semicolons() == Some("import") {
                rest = if words.import(&mut imports).is_some() { words.0 } else { "" };
            }
        }
        let is_embedding = |line: &&str| line.trim_start().starts_with("//go:embed");
        let embeds: BTreeSet<String> = text.lines().filter(is_embedding).flat_map(embedded).collect();
        let is_open = |line: &str| line.contains('`') || line.contains("/*");
        let mut head = text[..text.len() - rest.len()].to_owned();
        if !embeds.is_empty() && rest.lines().filter(|line| !is_embedding(line)).any(is_open) {
            // It may only look as if it did, in a string or a comment of many lines.
            head += rest;
        } else if !embeds.is_empty() {
            // Lines keep their numbers.
            let line = |line: &str| if is_embedding(&line) { line.to_owned() } else { String::new() };
            head += &rest.lines().map(line).collect::<Vec<_>>().join("\n");
        }
        Self { package: package.to_owned(), imports, embeds, text: head }
    }
}

/// What the names begin with that the patterns of a line may mean: as much of each as stands for itself.
fn embedded(line: &str) -> impl Iterator<Item = String> {
    line.split_whitespace().skip(1).map(|pattern| {
        let pattern = pattern.trim_start_matches(['"', '`']);
        let pattern = pattern.strip_prefix("all:").unwrap_or(pattern);
        let end = pattern.find(['*', '?', '[', '\\', '"', '`']).unwrap_or(pattern.len());
        pattern[..end].to_owned()
    })
}

/// Words, strings and signs, without comments.
struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    /// Takes what follows `import`; nothing where the text ends before that does.
    fn import(&mut self, imports: &mut BTreeSet<String>) -> Option<()> {
        let mut is_list = false;
        loop {
            let word = self.next()?;
            match word {
                "(" => is_list = true,
                ")" => return Some(()),
                _ if word.starts_with(['"', '`']) => {
                    imports.insert(word.trim_matches(['"', '`']).to_owned());
                    if !is_list {
                        return Some(());
                    }
                }
                // The name that the package has in this file.
                _ => {}
            }
        }
    }

    fn after_semicolons(&mut self) -> Option<&'a str> {
        self.find(|word| *word != ";")
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let mut rest = self.0.trim_start_matches('\u{feff}').trim_start();
        loop {
            let end = if let Some(text) = rest.strip_prefix("/*") {
                text.find("*/").map_or(rest.len(), |end| end + "/**/".len())
            } else if rest.starts_with("//") {
                rest.find('\n').unwrap_or(rest.len())
            } else {
                break;
            };
            rest = rest[end..].trim_start();
        }
        let first = rest.chars().next()?;
        let end = match first {
            '"' | '`' => rest[1..].find(first).map_or(rest.len(), |end| end + 2),
            _ if first.is_alphanumeric() || first == '_' => {
                rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
            }
            _ => first.len_utf8(),
        };
        let (word, rest) = rest.split_at(end);
        self.0 = rest;
        Some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, imports: &[&str], embeds: &[&str]) {
        let head = Head::of(text);
        assert_eq!(head.imports.iter().map(String::as_str).collect::<Vec<_>>(), imports, "{text}");
        assert_eq!(head.embeds.iter().map(String::as_str).collect::<Vec<_>>(), embeds, "{text}");
    }

    #[test]
    fn the_head_ends_where_declarations_begin() {
        let check = |text: &str, head: &str| assert_eq!(Head::of(text).text, head, "{text}");
        check("package a\n\nfunc f() {}\n", "package a");
        check("// a\npackage a; import \"b\"; // b\nvar x = 1\n", "// a\npackage a; import \"b\"");
        check("package a\nimport (\n\"b\"\n)\n// f does.\nfunc f() {}", "package a\nimport (\n\"b\"\n)");
        check("package a\nimport \"b\"", "package a\nimport \"b\"");
        let whole = ["", "package", "func f() {}", "package a\nimport (\"b\"", "package a\nimport \"b\nfunc f() {}"];
        for text in whole {
            check(text, text);
        }
        let embeds = "package a\nimport _ \"embed\"\n\n//go:embed x\nvar s string\n  //go:embed y\nvar t string\n";
        check(embeds, "package a\nimport _ \"embed\"\n\n//go:embed x\n\n  //go:embed y\n");
        let pointers = embeds.replace("var t string", "func (s *S) f() int { return 2 * 3 }");
        assert_eq!(Head::of(&pointers), Head::of(embeds));
        for whole in [embeds.replace("string\n", "string // `\n"), embeds.replace("var t", "/* */ var t")] {
            check(&whole, &whole);
        }
    }

    #[test]
    fn imports_are_found_wherever_they_may_stand() {
        check("package a\n", &[], &[]);
        check("/*/ a */ package a; import \"fmt\"", &["fmt"], &[]);
        check("// a\n/* b\n*/ package a; import \"fmt\"; func f() {}", &["fmt"], &[]);
        check(
            "package a\nimport (\n\t\"fmt\"\n\t. \"b.c/d\" // no\n\t_ `e`; f \"g\"\n)\nimport \"h\"\n",
            &["b.c/d", "e", "fmt", "g", "h"],
            &[],
        );
        check("package a\nimport ()\nvar s = \"import\"\nimport \"late\"\n", &[], &[]);
        check("package a\nimport _ \"embed\"\n//go:embed x.txt\nvar s string\n", &["embed"], &["x.txt"]);
        check("nothing of the sort \"", &[], &[]);
        check("package a\nimport \"open", &["open"], &[]);
    }
    #[test]
    fn what_is_embedded_begins_as_its_pattern_does() {
        let embeds = |line: &str| embedded(line).collect::<Vec<_>>();
        assert_eq!(embeds("//go:embed static all:more/*.html"), ["static", "more/"]);
        assert_eq!(embeds("\t//go:embed \"a b\" `c`"), ["a", "b", "c"]);
        assert_eq!(embeds("//go:embed *"), [""]);
    }
}
