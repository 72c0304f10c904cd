//! Packages that other people wrote, as the lockfiles of their ecosystems name them: found beside the sources of a component.

use std::ops::Range;
use std::sync::Arc;

use run_engine::action::MountedTree;
use run_engine::path::{RelPath, under};
use run_engine::tree::Tree;

use super::{Gatherer, Gathers};
use crate::diagnostic::Diagnostic;
use crate::lang::Asked;
use crate::toolchain::provision::{Packages, Requirements, is_requirement};

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
        let wants = |manifest: &[u8]| {
            let manifest: serde_json::Value = serde_json::from_slice(manifest).unwrap_or_default();
            manifest["dependencies"].as_object().is_some_and(|dependencies| !dependencies.is_empty())
        };
        match (manifest, lock) {
            (Some((_, manifest)), Some((_, lock))) if wants(&manifest) => {
                self.tools.packages(&Packages::Npm { manifest, lock }, span).map(Some)
            }
            (Some((file, manifest)), None) if wants(&manifest) => {
                let problem = Diagnostic::error("missing-lockfile", format!("there is no lockfile beside `{file}`"));
                let help = "run `npm install --package-lock-only` there, and commit package-lock.json";
                Err(vec![self.placed(problem, span).help(help)])
            }
            _ => Ok(None),
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
        let wanted = wanted.map(|(file, bytes)| (file, dependencies(&String::from_utf8_lossy(&bytes))));
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

/// What a `pyproject.toml` says that the project requires, and where. One that can't be read is for Python's own tools to
/// judge: nothing is built from it.
fn dependencies(text: &str) -> Vec<(String, Option<Range<usize>>)> {
    let table: toml::Table = text.parse().unwrap_or_default();
    let listed = table.get("project").and_then(|project| project.get("dependencies")).and_then(toml::Value::as_array);
    let texts = listed.into_iter().flatten().filter_map(toml::Value::as_str);
    let known = texts.filter(|text| is_requirement(text));
    known.map(|one| (one.to_owned(), text.find(one).map(|at| at..at + one.len()))).collect()
}
