//! The sources of languages whose compilers are told which files there are.

use std::ops::Range;

use run_engine::action::MountedTree;
use run_engine::digest::DigestFunction;
use run_engine::path::{RelPath, under};
use run_engine::tree::{Node, Tree};

use super::{Gatherer, Gathers};
use crate::builtin;
use crate::diagnostic::Diagnostic;
use crate::facts::files::Standing;
use crate::lang::Asked;
use crate::manifest::{Interface, Sources};
use crate::step::bindings;
use crate::step::wit::World;

impl Gatherer<'_> {
    /// The directory of a component's sources: `source`, or the one that it is a file of. `None` is the project's own.
    ///
    /// # Errors
    /// It does not exist.
    pub fn source_directory(&self, asked: &Asked<'_>) -> Gathers<Option<RelPath>> {
        let path = &asked.source.path;
        self.must_exist(path.value.as_ref(), &path.span)?;
        match &path.value {
            Some(file) if self.files.kind(file) != Standing::Directory => Ok(file.parent()),
            directory => Ok(directory.clone()),
        }
    }

    /// The files a component is made of: those that `sources` says; without it, those of the source directory, or where
    /// `source` is a file, those beside and below it that end like one of `extensions`.
    ///
    /// # Errors
    /// The source does not exist, or nothing is there.
    pub fn source_files(&self, asked: &Asked<'_>, extensions: &[&str]) -> Gathers<Vec<RelPath>> {
        let directory = self.source_directory(asked)?;
        // What is installed for an editor is not what is built with: that comes by the lockfile.
        let is_installed = |file: &&RelPath| file.parts().any(|part| part == "node_modules");
        let below = self.files.below(directory.as_ref()).filter(|file| !is_installed(file));
        let is_file = asked.source.path.value != directory;
        let ends = |file: &RelPath| {
            let (_, extension) = file.file_name().rsplit_once('.').unwrap_or_default();
            extensions.contains(&extension)
        };
        let files: Vec<RelPath> = match &asked.source.sources {
            Sources::Language => below.filter(|file| !is_file || ends(file)).cloned().collect(),
            Sources::Matching(patterns) => {
                let globs: Vec<_> = patterns.iter().map(|pattern| pattern.value.glob().compile_matcher()).collect();
                let inside = |file: &RelPath| match &directory {
                    Some(directory) => file.as_str()[directory.as_str().len() + 1..].to_owned(),
                    None => file.to_string(),
                };
                below.filter(|file| globs.iter().any(|glob| glob.is_match(inside(file)))).cloned().collect()
            }
        };
        if files.is_empty() {
            let problem = Diagnostic::error("missing-file", "there are no source files for this component");
            return Err(vec![
                problem
                    .at(&self.manifest.file, asked.source.path.span.clone(), "")
                    .help("point `source` to their directory; files that git ignores do not count"),
            ]);
        }
        Ok(files)
    }

    /// The file that a program starts from: `source` where that is a file, else `name` in the source directory, or the only
    /// one of `files` that ends like it.
    ///
    /// # Errors
    /// None is named so, and there is more than one or none.
    pub fn root_file(&self, asked: &Asked<'_>, files: &[RelPath], name: &str) -> Gathers<RelPath> {
        let directory = self.source_directory(asked)?;
        let path = &asked.source.path;
        if let Some(file) = path.value.as_ref().filter(|file| directory.as_ref() != Some(*file)) {
            return Ok(file.clone());
        }
        let named = under(directory.as_ref(), &RelPath::new(name).expect("a plain name"));
        let ending = &name[name.rfind('.').unwrap_or(0)..];
        let mut fitting = files.iter().filter(|file| file.as_str().ends_with(ending));
        match (files.contains(&named), fitting.next(), fitting.next()) {
            (true, ..) => Ok(named),
            (false, Some(only), None) => Ok(only.clone()),
            (false, first, _) => {
                let what = if first.is_some() { "several" } else { "no" };
                let message =
                    format!("there are {what} `{ending}` files in the source directory, and none is `{name}`");
                Err(vec![
                    Diagnostic::error("missing-file", message)
                        .at(&self.manifest.file, path.span.clone(), "")
                        .help("point `source` to the one that is meant"),
                ])
            }
        }
    }

    /// Files of a fetched toolchain, by their plain names in a tree.
    ///
    /// # Errors
    /// The toolchain can't be had, a file of it can't be read, or two of the files have one name.
    pub fn toolchain_files(
        &mut self,
        toolchain: &str,
        is_wanted: &dyn Fn(&RelPath) -> bool,
        span: &Range<usize>,
    ) -> Gathers<Tree> {
        let mounted = self.tools.fetched(toolchain, span)?;
        let mut tree = Tree::new();
        for (file, node) in mounted.tree.flatten().into_iter().filter(|(file, _)| is_wanted(file)) {
            let bytes = self.installed(&mounted, &file, &node, span)?;
            let name = RelPath::new(file.file_name()).expect("a name of a path");
            tree.merge(None, &self.file_as_read(&name, &bytes)).map_err(|_| {
                let message = format!("`{}` holds two files called `{name}`", mounted.directory.display());
                let help = format!("point to the {toolchain} itself, not to a directory around it");
                vec![self.placed(Diagnostic::error("missing-toolchain", message).help(help), span)]
            })?;
        }
        Ok(tree)
    }

    /// The bytes of a file of a toolchain.
    ///
    /// # Errors
    /// `missing-toolchain`, `other-bytes`.
    pub(super) fn installed(
        &self,
        toolchain: &MountedTree,
        file: &RelPath,
        node: &Node,
        span: &Range<usize>,
    ) -> Gathers<Vec<u8>> {
        as_installed(toolchain, file, node, self.function).map_err(|(code, why)| {
            let name = &toolchain.name;
            let message = format!("`{}`, part of {name}, {why}", toolchain.directory.join(file).display());
            let help = format!("run `run v2 toolchain verify {name}`, and build again");
            vec![self.placed(Diagnostic::error(code, message).help(help), span)]
        })
    }

    /// Refuses a world that a language has no bindings for. `language` is its name as people write it.
    ///
    /// # Errors
    /// `unsupported-type`.
    pub fn check_bindings(&self, asked: &Asked<'_>, language: &str) -> Gathers<()> {
        let Some(world) = asked.world else { return Ok(()) };
        let span = match &asked.source.interface {
            Interface::Wit { path, .. } => &path.span,
            _ => &asked.source.path.span,
        };
        bindings::check(world, language).map_err(|e| self.at(e.diagnostics, span))
    }

    /// A world as a tree of one file, for builtins that write bindings.
    ///
    /// # Errors
    /// It has no binary form.
    pub fn world_tree(&mut self, world: &World) -> Gathers<Tree> {
        let encoded = world.encoded().map_err(|e| e.diagnostics)?;
        Ok(self.file_as_read(&builtin::world(), &encoded))
    }
}

/// The bytes of a toolchain's file. Unpacked trees are known by their stamps; what is taken out of one is looked at.
///
/// # Errors
/// A code and a clause: the file can't be read, or is another than was installed.
fn as_installed(
    toolchain: &MountedTree,
    file: &RelPath,
    node: &Node,
    function: DigestFunction,
) -> Result<Vec<u8>, (&'static str, String)> {
    let read = std::fs::read(toolchain.directory.join(file));
    let bytes = read.map_err(|e| ("missing-toolchain", format!("can't be read: {e}")))?;
    match node {
        Node::File { digest, .. } if *digest == function.digest(&bytes) => Ok(bytes),
        _ => Err(("other-bytes", "is not what was installed".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_toolchain_is_held_to_what_was_installed() {
        let directory = tempfile::tempdir().unwrap();
        let file = RelPath::new("lib.wasm").unwrap();
        let node = Node::File { digest: DigestFunction::Blake3.digest(b"as it was"), executable: false };
        let toolchain = MountedTree {
            name: "quickjs".to_owned(),
            tree: Tree::new(),
            directory: directory.path().to_owned(),
            beside: vec![],
        };
        let read = || as_installed(&toolchain, &file, &node, DigestFunction::Blake3);
        assert_eq!(read().unwrap_err().0, "missing-toolchain");
        std::fs::write(directory.path().join("lib.wasm"), "as it was").unwrap();
        assert_eq!(read().unwrap(), b"as it was");
        std::fs::write(directory.path().join("lib.wasm"), "as it is ").unwrap();
        assert_eq!(read().unwrap_err(), ("other-bytes", "is not what was installed".to_owned()));
    }
}
