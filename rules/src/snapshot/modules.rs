//! Where JavaScript's imports lead: from the importing file to another file of the program.
//!
//! The rules are those of Node.js and of bundlers, as far as they are the same: relative paths with or without an ending,
//! directories by their `index`, packages in `node_modules` by their `package.json`. Nothing outside the program's own
//! files is ever found.

use std::collections::BTreeMap;

use serde_json::Value;

/// Endings that may be left out, in the order in which they are tried.
const ENDINGS: [&str; 3] = [".js", ".mjs", ".json"];

/// Conditions of a package's `exports` that hold here.
const CONDITIONS: [&str; 3] = ["import", "module", "default"];

/// The files of a program, by path.
#[derive(Debug, Clone, Default)]
pub struct Modules {
    files: BTreeMap<String, Vec<u8>>,
}

impl Modules {
    /// A program made of these files.
    #[must_use]
    pub fn new(files: BTreeMap<String, Vec<u8>>) -> Self {
        Self { files }
    }

    /// The file that `specifier` means in the file `referrer`.
    ///
    /// # Errors
    ///
    /// Why nothing is meant by it, with what to do.
    pub fn resolve(&self, referrer: &str, specifier: &str) -> Result<String, String> {
        let directory = referrer.rsplit_once('/').map_or("", |(directory, _)| directory);
        if specifier.starts_with("./") || specifier.starts_with("../") || matches!(specifier, "." | "..") {
            return match joined(directory, specifier) {
                Some(path) => self.file(&path).ok_or_else(|| no_file(referrer, specifier, &path)),
                None => Err(format!("`{referrer}` imports `{specifier}`, which is outside the project")),
            };
        }
        if let Some(path) = specifier.strip_prefix('/') {
            return self.file(path).ok_or_else(|| no_file(referrer, specifier, path));
        }
        self.package(directory, specifier).ok_or_else(|| no_package(referrer, specifier))
    }

    /// The text of a module.
    ///
    /// # Errors
    ///
    /// Why it is not one.
    pub fn text(&self, path: &str) -> Result<String, String> {
        let bytes = self.files.get(path).ok_or_else(|| format!("there is no file `{path}`"))?;
        let text = std::str::from_utf8(bytes).map_err(|_| format!("`{path}` is not UTF-8"))?;
        match ending(path) {
            "json" => Ok(format!("export default {text};\n")),
            "ts" | "mts" | "tsx" => Err(format!("`{path}` is TypeScript: compile it to JavaScript first")),
            _ => Ok(text.to_owned()),
        }
    }

    /// The texts of all files that are modules, by path.
    pub fn texts(&self) -> impl Iterator<Item = (&str, String)> {
        self.files.keys().filter_map(|path| Some((path.as_str(), self.text(path).ok()?)))
    }

    fn file(&self, path: &str) -> Option<String> {
        let whole = [String::new()].into_iter().chain(ENDINGS.map(str::to_owned));
        let index = ENDINGS.map(|ending| format!("/index{ending}"));
        let mut candidates = whole.chain(index).map(|ending| format!("{path}{ending}"));
        candidates.find(|candidate| self.files.contains_key(candidate))
    }

    /// Looks in `node_modules` of the directory and of each above it.
    fn package(&self, directory: &str, specifier: &str) -> Option<String> {
        let (name, inner) = split_package(specifier);
        let mut above = Some(directory);
        while let Some(directory) = above {
            let separator = if directory.is_empty() { "" } else { "/" };
            let package = format!("{directory}{separator}node_modules/{name}");
            if let Some(found) = self.in_package(&package, inner) {
                return Some(found);
            }
            above = match directory.rsplit_once('/') {
                Some((up, _)) => Some(up),
                None if directory.is_empty() => None,
                None => Some(""),
            };
        }
        None
    }

    fn in_package(&self, package: &str, inner: &str) -> Option<String> {
        let description = self.files.get(&format!("{package}/package.json"));
        let description: Value = description.and_then(|text| serde_json::from_slice(text).ok()).unwrap_or(Value::Null);
        let at = |target: &str| joined(package, target).and_then(|path| self.file(&path));
        let exports = &description["exports"];
        if !exports.is_null() {
            return exported(exports, inner).and_then(|target| at(&target));
        }
        if inner != "." {
            return at(inner);
        }
        let main = ["module", "main"].into_iter().find_map(|field| description[field].as_str());
        main.and_then(at).or_else(|| self.file(package))
    }
}

/// `@scope/name/inner` → (`@scope/name`, `./inner`); without an inner path, `.`.
fn split_package(specifier: &str) -> (&str, &str) {
    let skip = if specifier.starts_with('@') { specifier.find('/').map_or(0, |at| at + 1) } else { 0 };
    match specifier[skip..].find('/') {
        Some(at) => (&specifier[..skip + at], &specifier[skip + at + 1..]),
        None => (specifier, "."),
    }
}

/// The target of an entry of a package's `exports`.
fn exported(exports: &Value, inner: &str) -> Option<String> {
    let is_map_of_paths = exports.as_object().is_some_and(|map| map.keys().any(|key| key.starts_with('.')));
    let key = if inner == "." { ".".to_owned() } else { format!("./{inner}") };
    match (is_map_of_paths, key.as_str()) {
        (false, ".") => target(exports).map(str::to_owned),
        (false, _) => None,
        (true, key) => {
            let map = exports.as_object()?;
            if let Some(entry) = map.get(key) {
                return target(entry).map(str::to_owned);
            }
            map.iter().find_map(|(pattern, entry)| {
                let (before, after) = pattern.split_once('*')?;
                let middle = key.strip_prefix(before)?.strip_suffix(after)?;
                Some(target(entry)?.replace('*', middle))
            })
        }
    }
}

fn target(entry: &Value) -> Option<&str> {
    match entry {
        Value::String(path) => Some(path),
        // The order of the conditions is the package's own.
        Value::Object(conditions) => {
            conditions.iter().filter(|(name, _)| CONDITIONS.contains(&name.as_str())).find_map(|(_, e)| target(e))
        }
        Value::Array(entries) => entries.iter().find_map(target),
        _ => None,
    }
}

/// `relative` seen from `directory`, without `.` and `..`; nothing where it leads outside.
fn joined(directory: &str, relative: &str) -> Option<String> {
    let mut parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn ending(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(_, ending)| ending)
}

fn no_file(referrer: &str, specifier: &str, path: &str) -> String {
    format!("`{referrer}` imports `{specifier}`, but there is no file `{path}` among the component's sources")
}

fn no_package(referrer: &str, specifier: &str) -> String {
    let (name, _) = split_package(specifier);
    let what_to_do = if specifier.starts_with("node:") {
        "a component has no modules of Node.js: use WASI's interfaces instead, such as `wasi:filesystem/types`"
            .to_owned()
    } else if specifier.contains(':') {
        "an interface can be imported when the component's world imports it".to_owned()
    } else {
        format!(
            "install it into `node_modules/{name}` and make that part of the component's sources, or write `./{specifier}` for a file"
        )
    };
    format!("`{referrer}` imports `{specifier}`, which is not found; {what_to_do}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(files: &[(&str, &str)]) -> Modules {
        Modules::new(files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect())
    }

    #[test]
    fn relative_paths_lead_to_files() {
        let modules = program(&[("src/a.js", ""), ("src/lib/index.mjs", ""), ("b.js", ""), ("src/data.json", "1")]);
        let from = |specifier| modules.resolve("src/a.js", specifier).unwrap();
        assert_eq!(from("./a.js"), "src/a.js");
        assert_eq!(from("./lib"), "src/lib/index.mjs");
        assert_eq!(from("../b"), "b.js");
        assert_eq!(from("./data"), "src/data.json");
        assert_eq!(modules.text("src/data.json").unwrap(), "export default 1;\n");
    }

    #[test]
    fn nothing_outside_is_found() {
        let modules = program(&[("src/a.js", "")]);
        let error = modules.resolve("src/a.js", "../../etc/passwd").unwrap_err();
        assert_eq!(error, "`src/a.js` imports `../../etc/passwd`, which is outside the project");
        let error = modules.resolve("src/a.js", "./c").unwrap_err();
        assert!(error.contains("no file `src/c`"), "{error}");
    }

    #[test]
    fn packages_are_found_by_what_they_say_of_themselves() {
        let modules = program(&[
            ("node_modules/plain/index.js", ""),
            ("node_modules/main/package.json", r#"{"main": "lib/m.js"}"#),
            ("node_modules/main/lib/m.js", ""),
            (
                "node_modules/@s/full/package.json",
                r#"{"exports": {".": {"require": "./c.cjs", "import": "./e.mjs"}, "./x/*": "./inner/*.js"}}"#,
            ),
            ("node_modules/@s/full/e.mjs", ""),
            ("node_modules/@s/full/inner/y.js", ""),
            ("node_modules/@s/full/hidden.js", ""),
            ("src/node_modules/near/index.js", ""),
        ]);
        let from = |specifier: &str| modules.resolve("src/deep/a.js", specifier);
        assert_eq!(from("plain").unwrap(), "node_modules/plain/index.js");
        assert_eq!(from("main").unwrap(), "node_modules/main/lib/m.js");
        assert_eq!(from("@s/full").unwrap(), "node_modules/@s/full/e.mjs");
        assert_eq!(from("@s/full/x/y").unwrap(), "node_modules/@s/full/inner/y.js");
        assert_eq!(from("near").unwrap(), "src/node_modules/near/index.js");
        assert!(from("@s/full/hidden.js").unwrap_err().contains("node_modules/@s/full"));
    }

    #[test]
    fn what_is_not_found_comes_with_a_remedy() {
        let modules = program(&[]);
        let error = modules.resolve("a.js", "node:fs").unwrap_err();
        assert!(error.contains("`node:fs`") && error.contains("wasi:filesystem"), "{error}");
        let error = modules.resolve("a.js", "demo:calc/math").unwrap_err();
        assert!(error.contains("world imports it"), "{error}");
    }
}
