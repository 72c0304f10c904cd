//! The files of the project that targets are made of: finds them, reads them, puts them in trees, and says what is
//! wrong with one.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use run_engine::files::scan::scan;
use run_engine::path::RelPath;
use run_engine::tree::{Node, Tree};

use super::{Gatherer, Gathers};
use crate::cargo::{self, CargoPackage, Content};
use crate::diagnostic::Diagnostic;
use crate::facts::files::Standing;
use crate::lang::Asked;
use crate::manifest::{Interface, Source};

impl Gatherer<'_> {
    /// The one source file of a component: `source` itself, or the only file with `extension` in the directory.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn source_file(&self, asked: &Asked<'_>, extension: &str) -> Gathers<RelPath> {
        let path = &asked.source.path;
        self.must_exist(path.value.as_ref(), &path.span)?;
        if let Some(file) = &path.value
            && self.files.kind(file) == Standing::File
        {
            return Ok(file.clone());
        }
        let dir = path.value.as_ref();
        let ending = format!(".{extension}");
        let mut found = self.files.below(dir).filter(|f| f.parent().as_ref() == dir && f.as_str().ends_with(&ending));
        match (found.next(), found.next()) {
            (Some(file), None) => Ok(file.clone()),
            (None, _) => Err(vec![
                Diagnostic::error("missing-file", format!("there is no `{ending}` file in the source directory"))
                    .at(&self.manifest.file, path.span.clone(), "")
                    .help("point `source` to the file"),
            ]),
            (Some(_), Some(_)) => Err(vec![
                Diagnostic::error(
                    "missing-file",
                    format!("there are several `{ending}` files in the source directory"),
                )
                .at(&self.manifest.file, path.span.clone(), "")
                .help("point `source` to the one that is meant"),
            ]),
        }
    }

    /// The cargo package of a component, with nothing in it that another target makes.
    ///
    /// # Errors
    /// What is wrong with its manifests.
    pub fn cargo_package(&mut self, asked: &Asked<'_>) -> Gathers<CargoPackage> {
        let path = &asked.source.path;
        self.must_exist(path.value.as_ref(), &path.span)?;
        let unfit: Vec<Diagnostic> = self
            .files
            .unfit_below(path.value.as_ref())
            .map(|name| {
                Diagnostic::error(
                    "bad-file-name",
                    format!("`{}` has a name that can't be part of a path", name.escape_debug()),
                )
                .at(&self.manifest.file, path.span.clone(), "in this directory")
                .help("rename it: names are UTF-8, without `\\`")
            })
            .collect();
        if !unfit.is_empty() {
            return Err(unfit);
        }
        cargo::find(self.files, path.value.as_ref()).map_err(|problems| self.at(problems, &path.span))
    }

    /// The files that macros may read while a component is compiled.
    #[must_use]
    pub fn wit_files(&self, source: &Source) -> Vec<RelPath> {
        let Interface::Wit { path, .. } = &source.interface else { return vec![] };
        let root = match self.files.kind(&path.value) {
            Standing::Directory => Some(path.value.clone()),
            _ => path.value.parent(),
        };
        self.files.below(root.as_ref()).filter(|file| file.as_str().ends_with(".wit")).cloned().collect()
    }

    /// The bytes of a file that must be there.
    ///
    /// # Errors
    /// It is not, or can't be read.
    pub fn read(&self, file: &RelPath, span: &Range<usize>) -> Gathers<Vec<u8>> {
        match self.files.bytes(file) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(vec![self.missing(file, span)]),
            Err(e) => Err(vec![self.unreadable(file, span, &e)]),
        }
    }

    /// A file of the project as a tree, with bytes that were read already: where the file is a link, what it leads to.
    ///
    /// # Panics
    /// Never: one file conflicts with nothing.
    pub fn file_as_read(&mut self, file: &RelPath, bytes: &[u8]) -> Tree {
        let digest = self.sources.made(bytes, self.function);
        let mut tree = Tree::new();
        tree.insert(file, Node::File { digest, executable: false }).expect("a tree with one file");
        tree
    }

    /// Files of the project as a tree, by their paths in the project.
    ///
    /// # Errors
    /// One of them is missing, is not a file, or is a link that leaves the project.
    pub fn tree(&mut self, files: &[RelPath], span: &Range<usize>) -> Gathers<Tree> {
        let scanned = scan(self.files.root(), files, self.stats).map_err(|errors| {
            let told = |e: &run_engine::files::stat_cache::FileError| {
                Diagnostic::error("bad-source-file", e.to_string())
                    .at(&self.manifest.file, span.clone(), "read by this target")
                    .help("put the file itself there, or leave it out of what this target reads")
            };
            errors.iter().map(told).collect::<Vec<_>>()
        })?;
        for (file, stamp) in files.iter().zip(&scanned.stamps) {
            self.files.note(file.clone(), *stamp);
        }
        self.sources.merge(scanned.sources);
        Ok(scanned.tree)
    }

    /// Files of the project, and texts in the place of others, as a tree. What a target makes is left out: it comes
    /// from the target.
    ///
    /// # Errors
    /// As for [`Gatherer::tree`]; and a file that a target makes which it does not depend on.
    pub fn mixed_tree(&mut self, content: &BTreeMap<RelPath, Content>, asked: &Asked<'_>) -> Gathers<Tree> {
        let (produced, span) = (asked.produced, &asked.source.path.span);
        let own = |(path, content): (&RelPath, &Content)| (*content == Content::Project).then(|| path.clone());
        let files: Vec<RelPath> = content.iter().filter_map(own).collect();
        let depends: BTreeSet<&str> = produced.iter().filter_map(|path| self.makers.find(path)).collect();
        let files = self.without_made(files, &depends, asked.component.name.as_str(), span)?;
        let mut tree = self.tree(&files, span)?;
        for (path, content) in content {
            if let Content::Text(text) = content {
                let digest = self.sources.made(text.as_bytes(), self.function);
                let put = tree.insert(path, Node::File { digest, executable: false });
                put.map_err(|e| {
                    vec![Diagnostic::error("bad-source-file", e.to_string()).at(&self.manifest.file, span.clone(), "")]
                })?;
            }
        }
        Ok(tree)
    }

    /// Leaves out files that targets make, which must be among those depended on.
    pub(super) fn without_made(
        &self,
        files: Vec<RelPath>,
        depends: &BTreeSet<&str>,
        who: &str,
        span: &Range<usize>,
    ) -> Gathers<Vec<RelPath>> {
        let mut kept = Vec::new();
        let mut problems = Vec::new();
        for file in files {
            match self.makers.find(&file) {
                None => kept.push(file),
                Some(maker) if depends.contains(maker) || maker == who => {}
                Some(maker) => problems.push(
                    Diagnostic::error(
                        "undeclared-producer",
                        format!("`{file}` is made by `{maker}` and read by `{who}`"),
                    )
                    .at(&self.manifest.file, span.clone(), "")
                    .help(format!("add `depends = [\"{maker}\"]`, or leave the file out of what is read")),
                ),
            }
        }
        if problems.is_empty() { Ok(kept) } else { Err(problems) }
    }

    pub(super) fn must_exist(&self, path: Option<&RelPath>, span: &Range<usize>) -> Gathers<()> {
        match path {
            Some(path) if self.files.kind(path) == Standing::Nothing => Err(vec![self.missing(path, span)]),
            _ => Ok(()),
        }
    }

    pub(super) fn missing(&self, path: &RelPath, span: &Range<usize>) -> Diagnostic {
        let diagnostic = Diagnostic::error("missing-file", format!("`{path}` does not exist")).at(
            &self.manifest.file,
            span.clone(),
            "",
        );
        let parent = path.parent();
        let near = self.files.below(parent.as_ref()).filter(|file| file.parent() == parent);
        match crate::diagnostic::suggest(path.as_str(), near.map(RelPath::as_str)) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic.help("paths are relative to the directory of run.toml"),
        }
    }

    pub(super) fn unreadable(&self, path: &RelPath, span: &Range<usize>, e: &std::io::Error) -> Diagnostic {
        Diagnostic::error("bad-source-file", format!("`{path}` can't be read: {e}")).at(
            &self.manifest.file,
            span.clone(),
            "",
        )
    }
}
