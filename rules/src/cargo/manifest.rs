//! Reads one `Cargo.toml` into the facts that decide what is built from what. Everything else in it is cargo's business.

use std::ops::Range;

use run_engine::path::RelPath;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::Diagnostic;

/// What one `Cargo.toml` says.
#[derive(Debug)]
pub(super) struct Manifest {
    /// Where it is.
    pub file: RelPath,
    /// What it says, word for word.
    pub text: String,
    /// Its `[package]`, if it has one.
    pub package: Option<Package>,
    /// Its `[workspace]`, if it has one.
    pub workspace: Option<Workspace>,
    /// Dependencies that may be path dependencies: those with a `path`, and those inherited from the workspace.
    pub dependencies: Vec<Dependency>,
    /// Paths in `[patch]` and `[replace]`.
    pub patches: Vec<Written>,
}

/// The part of `[package]`, `[lib]` and `[[bin]]` that decides what cargo compiles.
#[derive(Debug)]
pub(super) struct Package {
    pub name: String,
    /// `package.workspace`, a directory.
    pub workspace: Option<Written>,
    pub default_run: Option<String>,
    pub build: BuildScript,
    pub lib: Option<LibTable>,
    /// The names in `[[bin]]`, each with its path if it has one.
    pub bins: Vec<String>,
    pub autolib: bool,
    pub autobins: bool,
}

/// What `package.build` says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BuildScript {
    /// Nothing: there is one if `build.rs` exists.
    IfPresent,
    /// `false`.
    None,
    /// There is one.
    Some,
}

/// `[lib]`.
#[derive(Debug)]
pub(super) struct LibTable {
    pub name: Option<String>,
    pub crate_types: Vec<String>,
    pub proc_macro: bool,
}

/// `[workspace]`.
#[derive(Debug)]
pub(super) struct Workspace {
    pub members: Vec<Written>,
    pub exclude: Vec<Written>,
    /// `[workspace.dependencies]` that have a `path`.
    pub dependencies: Vec<Dependency>,
}

/// A text with its place.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub text: String,
    pub span: Range<usize>,
}

/// A dependency that is, or may turn out to be, a directory.
#[derive(Debug, Clone)]
pub(super) struct Dependency {
    pub name: String,
    pub kind: Kind,
    pub origin: Origin,
}

/// What a dependency is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The build: `dependencies` and `build-dependencies`.
    Build,
    /// Tests and examples only.
    Dev,
}

/// Where a dependency comes from.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// `path = "…"`.
    Path(Written),
    /// `workspace = true`.
    Workspace(Range<usize>),
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// `bad-cargo-manifest` where it is not TOML, or one of the values used here has another type than cargo gives it.
    pub(super) fn parse(file: &RelPath, text: String) -> Result<Self, Diagnostic> {
        let bad = |span, what: String| Diagnostic::error("bad-cargo-manifest", what).at(file.as_str(), span, "");
        let root = DeTable::parse(&text)
            .map_err(|e| bad(e.span().unwrap_or(0..0), format!("`{file}` is not TOML: {}", e.message())))?;
        let reader = Reader { file };
        let root = root.get_ref();
        let package = reader.table(root, "package")?.map(|table| reader.package(root, table)).transpose()?;
        let workspace = reader.table(root, "workspace")?.map(|table| reader.workspace(table)).transpose()?;
        if package.is_none() && workspace.is_none() {
            return Err(bad(0..0, format!("`{file}` has neither a `[package]` nor a `[workspace]`")));
        }
        let mut dependencies = reader.dependencies(root)?;
        for table in reader.tables_in(root, "target")? {
            dependencies.extend(reader.dependencies(table)?);
        }
        let mut patches = Vec::new();
        for table in reader.tables_in(root, "patch")? {
            patches.extend(paths(&reader.entries(table, Kind::Build)?));
        }
        if let Some(replace) = reader.table(root, "replace")? {
            patches.extend(paths(&reader.entries(replace, Kind::Build)?));
        }
        Ok(Self { file: file.clone(), package, workspace, dependencies, patches, text })
    }
}

fn paths(dependencies: &[Dependency]) -> Vec<Written> {
    dependencies
        .iter()
        .filter_map(|d| match &d.origin {
            Origin::Path(path) => Some(path.clone()),
            Origin::Workspace(_) => None,
        })
        .collect()
}

/// Takes values out of tables, and says which file has the wrong kind of value where.
struct Reader<'a> {
    file: &'a RelPath,
}

type Value<'t> = Spanned<DeValue<'t>>;

impl Reader<'_> {
    fn package(&self, root: &DeTable<'_>, table: &DeTable<'_>) -> Result<Package, Diagnostic> {
        let Some(name) = self.text(table, "name")? else {
            let span = root.get_key_value("package").map_or(0..0, |(key, _)| key.span());
            return Err(self.bad(span, "this package has no `name`"));
        };
        let build = match table.get("build").map(|v| v.get_ref()) {
            None => BuildScript::IfPresent,
            Some(DeValue::Boolean(false)) => BuildScript::None,
            Some(_) => BuildScript::Some,
        };
        let lib = self.table(root, "lib")?.map(|lib| self.lib(lib)).transpose()?;
        let mut bins = Vec::new();
        for bin in root.get("bin").and_then(|v| v.get_ref().as_array()).into_iter().flatten() {
            let Some(bin_table) = bin.get_ref().as_table() else {
                return Err(self.bad(bin.span(), "`bin` is a list of tables, written `[[bin]]`"));
            };
            bins.extend(self.text(bin_table, "name")?.map(|name| name.text));
        }
        Ok(Package {
            name: name.text,
            workspace: self.text(table, "workspace")?,
            default_run: self.text(table, "default-run")?.map(|t| t.text),
            build,
            lib,
            bins,
            autolib: self.flag(table, "autolib")?.unwrap_or(true),
            autobins: self.flag(table, "autobins")?.unwrap_or(true),
        })
    }

    fn lib(&self, table: &DeTable<'_>) -> Result<LibTable, Diagnostic> {
        let either = |a, b| if table.contains_key(a) { a } else { b };
        let types = self.texts(table, either("crate-type", "crate_type"))?;
        let proc_macro = self.flag(table, either("proc-macro", "proc_macro"))?.unwrap_or(false);
        Ok(LibTable {
            name: self.text(table, "name")?.map(|t| t.text),
            proc_macro: proc_macro || types.iter().any(|t| t.text == "proc-macro"),
            crate_types: types.into_iter().map(|t| t.text).collect(),
        })
    }

    fn workspace(&self, table: &DeTable<'_>) -> Result<Workspace, Diagnostic> {
        let dependencies = match self.table(table, "dependencies")? {
            Some(entries) => self.entries(entries, Kind::Build)?,
            None => Vec::new(),
        };
        Ok(Workspace { members: self.texts(table, "members")?, exclude: self.texts(table, "exclude")?, dependencies })
    }

    /// The three dependency tables of a package or of one of its `[target.…]`s, in both of their spellings.
    fn dependencies(&self, table: &DeTable<'_>) -> Result<Vec<Dependency>, Diagnostic> {
        let mut found = Vec::new();
        for (key, kind) in [
            ("dependencies", Kind::Build),
            ("build-dependencies", Kind::Build),
            ("build_dependencies", Kind::Build),
            ("dev-dependencies", Kind::Dev),
            ("dev_dependencies", Kind::Dev),
        ] {
            if let Some(entries) = self.table(table, key)? {
                found.extend(self.entries(entries, kind)?);
            }
        }
        Ok(found)
    }

    fn entries(&self, table: &DeTable<'_>, kind: Kind) -> Result<Vec<Dependency>, Diagnostic> {
        let mut found = Vec::new();
        for (name, value) in table {
            let Some(entry) = value.get_ref().as_table() else { continue };
            let origin = if let Some(path) = self.text(entry, "path")? {
                Origin::Path(path)
            } else if self.flag(entry, "workspace")?.unwrap_or(false) {
                Origin::Workspace(value.span())
            } else {
                continue;
            };
            found.push(Dependency { name: name.get_ref().to_string(), kind, origin });
        }
        Ok(found)
    }

    fn table<'t>(&self, table: &'t DeTable<'t>, key: &str) -> Result<Option<&'t DeTable<'t>>, Diagnostic> {
        self.typed(table, key, "a table", DeValue::as_table)
    }

    /// The tables in the table called `key`: `[target.*]`, `[patch.*]`.
    fn tables_in<'t>(&self, table: &'t DeTable<'t>, key: &str) -> Result<Vec<&'t DeTable<'t>>, Diagnostic> {
        let tables = self.table(table, key)?;
        Ok(tables.into_iter().flat_map(|t| t.values()).filter_map(|v| v.get_ref().as_table()).collect())
    }

    fn text(&self, table: &DeTable<'_>, key: &str) -> Result<Option<Written>, Diagnostic> {
        table.get(key).map(|value| self.as_text(key, value)).transpose()
    }

    fn texts(&self, table: &DeTable<'_>, key: &str) -> Result<Vec<Written>, Diagnostic> {
        match self.typed(table, key, "a list of strings", |v| v.as_array())? {
            Some(values) => values.iter().map(|value| self.as_text(key, value)).collect(),
            None => Ok(Vec::new()),
        }
    }

    fn as_text(&self, key: &str, value: &Value<'_>) -> Result<Written, Diagnostic> {
        match value.get_ref().as_str() {
            Some(text) => Ok(Written { text: text.to_owned(), span: value.span() }),
            None => Err(self.bad(value.span(), &format!("`{key}` is a string"))),
        }
    }

    fn flag(&self, table: &DeTable<'_>, key: &str) -> Result<Option<bool>, Diagnostic> {
        self.typed(table, key, "`true` or `false`", DeValue::as_bool)
    }

    fn typed<'t, T>(
        &self,
        table: &'t DeTable<'t>,
        key: &str,
        what: &str,
        take: impl FnOnce(&'t DeValue<'t>) -> Option<T>,
    ) -> Result<Option<T>, Diagnostic> {
        let Some(value) = table.get(key) else { return Ok(None) };
        match take(value.get_ref()) {
            Some(taken) => Ok(Some(taken)),
            None => Err(self.bad(value.span(), &format!("`{key}` is {what}"))),
        }
    }

    fn bad(&self, span: Range<usize>, what: &str) -> Diagnostic {
        Diagnostic::error("bad-cargo-manifest", what)
            .at(self.file.as_str(), span, "")
            .help("`cargo metadata` says what cargo thinks of this manifest")
    }
}
