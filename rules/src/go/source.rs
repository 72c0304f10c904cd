//! [`Head`]: what stands at the head of a `.go` file, and whether the file takes others into the program.

use std::collections::BTreeSet;

/// What a file says before its first declaration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Head {
    /// The packages it imports, whatever build tags it has.
    pub imports: BTreeSet<String>,
    /// Whether it names files that become part of the program.
    pub embeds: bool,
}

impl Head {
    /// Reads a file. Text that is not Go has an empty head: go will say what is wrong with it.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let embeds =
            text.lines().any(|line| line.starts_with("//go:embed") || line.trim_start().starts_with("//go:embed"));
        let mut imports = BTreeSet::new();
        let mut words = Words(text);
        if words.next() == Some("package") {
            words.next();
            let mut word = words.next();
            while word == Some(";") {
                word = words.next();
            }
            while word == Some("import") {
                word = words.import(&mut imports);
            }
        }
        Self { imports, embeds }
    }
}

/// Words, strings and signs, without comments.
struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    /// Takes what follows `import`; gives the first word after it.
    fn import(&mut self, imports: &mut BTreeSet<String>) -> Option<&'a str> {
        let mut is_list = false;
        loop {
            let word = self.next()?;
            match word {
                "(" => is_list = true,
                ")" => break,
                _ if word.starts_with(['"', '`']) => {
                    imports.insert(word.trim_matches(['"', '`']).to_owned());
                    if !is_list {
                        break;
                    }
                }
                // The name that the package has in this file.
                _ => {}
            }
        }
        let mut word = self.next();
        while word == Some(";") {
            word = self.next();
        }
        word
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let mut rest = self.0.trim_start_matches('\u{feff}').trim_start();
        loop {
            let end = if rest.starts_with("//") {
                rest.find('\n').unwrap_or(rest.len())
            } else if rest.starts_with("/*") {
                rest.find("*/").map_or(rest.len(), |end| end + 2)
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
    fn check(text: &str, imports: &[&str], embeds: bool) {
        let head = Head::of(text);
        assert_eq!(head.imports.iter().map(String::as_str).collect::<Vec<_>>(), imports, "{text}");
        assert_eq!(head.embeds, embeds, "{text}");
    }

    #[test]
    fn imports_are_found_wherever_they_may_stand() {
        check("package a\n", &[], false);
        check("// a\n/* b\n*/ package a; import \"fmt\"; func f() {}", &["fmt"], false);
        check(
            "package a\nimport (\n\t\"fmt\"\n\t. \"b.c/d\" // no\n\t_ `e`; f \"g\"\n)\nimport \"h\"\n",
            &["b.c/d", "e", "fmt", "g", "h"],
            false,
        );
        check("package a\nimport ()\nvar s = \"import\"\nimport \"late\"\n", &[], false);
        check("package a\nimport _ \"embed\"\n//go:embed x.txt\nvar s string\n", &["embed"], true);
        check("nothing of the sort \"", &[], false);
        check("package a\nimport \"open", &["open"], false);
    }
}
