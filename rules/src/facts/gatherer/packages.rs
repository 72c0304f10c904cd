//! Packages that other people wrote, as the lockfiles of their ecosystems name them: found beside the sources of a component.

use std::ops::Range;
use std::sync::Arc;

use run_engine::action::MountedTree;
use run_engine::path::{RelPath, under};
use run_engine::tree::Tree;

use super::{Gatherer, Gathers};
use crate::diagnostic::Diagnostic;
use crate::lang::Asked;
use crate::toolchain::provision::{Packages, Requirements, check_requirement};

impl Gatherer<'_> {
    /// The `node_modules` that the lockfile of a component names; nothing where it has no lockfile.
    ///
    /// # Errors
    /// They can't be had; or there are dependencies, and no lockfile.
    pub fn node_modules(&mut self, asked: &Asked<'_>) -> Gathers<Option<Arc<MountedTree>>> {
        let directory = self.source_directory(asked)?;
        let span = &asked.source.path.span;
        let (manifest, lock) = (
            self.beside(directory.as_ref(), "package.json", span)?,
            self.beside(directory.as_ref(), "package-lock.json", span)?,
        );
        let Some((file, manifest)) = manifest else { return Ok(None) };
        if !has_dependencies(&file, &manifest).map_err(|problem| vec![problem])? {
            return Ok(None);
        }
        match lock {
            Some((_, lock)) => self.tools.packages(&Packages::Npm { manifest, lock }, span).map(Some),
            None => {
                let problem = Diagnostic::error("missing-lockfile", format!("there is no lockfile beside `{file}`"));
                let help = "run `npm install --package-lock-only` there, and commit package-lock.json";
                Err(vec![self.placed(problem, span).help(help)])
            }
        }
    }

    /// The packages of Python that the `requirements.txt` of a component names, as one directory; nothing where it has none.
    ///
    /// # Errors
    /// They can't be had, or the file does not say which bytes they are; or it names less than `pyproject.toml`.
    pub fn site_packages(&mut self, asked: &Asked<'_>) -> Gathers<Option<Tree>> {
        let directory = self.source_directory(asked)?;
        let span = &asked.source.path.span;
        let wanted = self.beside(directory.as_ref(), "pyproject.toml", span)?;
        let wanted = match wanted {
            None => None,
            Some((file, bytes)) => {
                let dependencies = dependencies(&file, &String::from_utf8_lossy(&bytes));
                Some((file, dependencies.map_err(|problem| vec![problem])?))
            }
        };
        let wanted = wanted.filter(|(_, dependencies)| !dependencies.is_empty());
        let Some((file, bytes)) = self.beside(directory.as_ref(), "requirements.txt", span)? else {
            let Some((file, _)) = wanted else { return Ok(None) };
            let problem =
                Diagnostic::error("missing-lockfile", format!("there is no `requirements.txt` beside `{file}`"));
            let help = "run `uv pip compile --generate-hashes --python-version 3.14 pyproject.toml -o requirements.txt` there, \
                        or `pip-compile --generate-hashes`, and commit what it writes";
            return Err(vec![self.placed(problem, span).help(help)]);
        };
        let requirements = Requirements::parse(file.as_str(), &String::from_utf8_lossy(&bytes))?;
        if let Some((manifest, dependencies)) = wanted {
            let texts = dependencies.iter().map(|(text, _)| text.as_str());
            if let Some(unmet) = requirements.unmet(texts, &[]) {
                let place = dependencies.iter().find(|(text, _)| requirements.unmet([text.as_str()], &[]).is_some());
                let problem = Diagnostic::error("stale-lockfile", format!("`{manifest}` requires {unmet}"));
                let problem = problem
                    .help(format!("write `{file}` anew: `uv pip compile --generate-hashes --python-version 3.14`"));
                let place = place.and_then(|(_, span)| span.clone());
                return Err(vec![
                    place.into_iter().fold(problem, |problem, span| problem.at(manifest.as_str(), span, "")),
                ]);
            }
        }
        if requirements.is_empty() {
            return Ok(None);
        }
        let mounted = self.tools.packages(&Packages::Pip(requirements), span)?;
        self.sources.lies_in(&mounted.tree, &mounted.directory);
        Ok(Some(mounted.tree.clone()))
    }

    /// A file in a directory, and its bytes; nothing where there is none.
    fn beside(
        &self,
        directory: Option<&RelPath>,
        name: &str,
        span: &Range<usize>,
    ) -> Gathers<Option<(RelPath, Vec<u8>)>> {
        let file = under(directory, &RelPath::new(name).expect("a plain name"));
        let found = self.files.bytes(&file).map_err(|e| vec![self.unreadable(&file, span, &e)])?;
        Ok(found.map(|bytes| (file, bytes)))
    }
}

/// Whether a `package.json` names packages that the program is made with.
fn has_dependencies(file: &RelPath, text: &[u8]) -> Result<bool, Diagnostic> {
    let manifest: serde_json::Value = serde_json::from_slice(text).map_err(|e| {
        let lines = text.split_inclusive(|byte| *byte == b'\n').take(e.line().saturating_sub(1));
        // Of the end of a text, the column is one past its last byte.
        let at = (lines.map(<[u8]>::len).sum::<usize>() + e.column().saturating_sub(1)).min(text.len());
        misread(format!("`{file}` is not JSON: {e}")).at(file.as_str(), at..at, "")
    })?;
    let dependencies = &manifest["dependencies"];
    match dependencies.as_object() {
        Some(dependencies) => Ok(!dependencies.is_empty()),
        None if dependencies.is_null() => Ok(false),
        None => Err(misread(format!("`dependencies` of `{file}` is no object of names and versions")).at(
            file.as_str(),
            0..0,
            "",
        )),
    }
}

/// A package as it is required, and where.
type Required = (String, Option<Range<usize>>);

/// What a `pyproject.toml` says that the project requires.
fn dependencies(file: &RelPath, text: &str) -> Result<Vec<Required>, Diagnostic> {
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| {
        misread(format!("`{file}` is not TOML: {}", e.message())).at(file.as_str(), e.span().unwrap_or(0..0), "")
    })?;
    let Some(listed) = table.get("project").and_then(|project| project.get("dependencies")) else {
        return Ok(vec![]);
    };
    let texts = listed.as_array().and_then(|listed| listed.iter().map(toml::Value::as_str).collect::<Option<Vec<_>>>());
    let Some(texts) = texts else {
        return Err(misread(format!("`project.dependencies` of `{file}` is no array of texts")).at(
            file.as_str(),
            0..0,
            "",
        ));
    };
    let place = |one: &str| text.find(one).map(|at| at..at + one.len());
    for one in &texts {
        if let Err(why) = check_requirement(one) {
            let problem = misread(format!("`{}` in `{file}` names no package", one.escape_debug())).note(why);
            return Err(problem.at(file.as_str(), place(one).unwrap_or(0..0), ""));
        }
    }
    Ok(texts.into_iter().map(|one| (one.to_owned(), place(one))).collect())
}

fn misread(message: String) -> Diagnostic {
    Diagnostic::error("bad-package-manifest", message)
}
