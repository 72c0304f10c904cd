//! What is known of a Go module: its files, and the packages that connect it to its world.

use std::collections::BTreeMap;

use run_engine::action::MountedTree;
use run_engine::path::{RelPath, under};

use super::{Gatherer, Gathers, shown};
use crate::cargo::Content;
use crate::diagnostic::Diagnostic;
use crate::facts::files::Standing;
use crate::go::manifest::{RUNTIME, RUNTIME_GO};
use crate::go::source::Head;
use crate::go::{self, GoModule, bindings, workspace};
use crate::lang::{Asked, Shown};
use crate::step::bindings::Files;
use crate::step::interface::Shape;
use crate::step::wit::World;

impl Gatherer<'_> {
    /// The Go module of a component: the one in its source directory, or in that of its source file.
    ///
    /// # Errors
    /// What is wrong with its `go.mod`.
    pub fn go_module(&mut self, asked: &Asked<'_>) -> Gathers<GoModule> {
        let path = &asked.source.path;
        self.must_exist(path.value.as_ref(), &path.span)?;
        let dir = match &path.value {
            Some(file) if self.files.kind(file) == Standing::File => file.parent(),
            dir => dir.clone(),
        };
        go::find(self.files, dir.as_ref()).map_err(|problems| self.at(problems, &path.span))
    }

    /// The generated packages of a module, by their path in the project.
    ///
    /// They are made of the world as it is promised, so that a comment in WIT changes nothing.
    ///
    /// # Errors
    /// The world has something that Go bindings can't express.
    pub fn go_bindings(
        &self,
        asked: &Asked<'_>,
        world: &World,
        shape: Shape,
        module: &GoModule,
    ) -> Gathers<BTreeMap<RelPath, Content>> {
        let span = &asked.source.path.span;
        // A program that imports nothing of it by WIT does not depend on what there would be.
        let is_plain = shape == Shape::Command && module.bindings().next().is_none() && world.exports_only_run();
        let reduced = is_plain.then(|| world.without_imports());
        let world = reduced.as_ref().unwrap_or(world);
        let generated = world
            .encoded()
            .and_then(|encoded| World::from_encoded(&encoded))
            .and_then(|world| bindings::generate(&world, &module.path))
            .map_err(|e| self.at(e.diagnostics, span))?;
        let placed = |(name, bytes): (String, Vec<u8>)| {
            let at = under(module.dir.as_ref(), &RelPath::new(&name).expect("generated names are plain"));
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let is_go = at.as_str().ends_with(".go");
            let text = if is_go { bindings::in_language(text, module.go.as_deref()) } else { text };
            (at, Content::Text(text))
        };
        let generated: BTreeMap<RelPath, Content> = generated.into_iter().map(placed).collect();
        let is_users = |file: &&RelPath| {
            let Some(Content::Text(ours)) = generated.get(*file) else { return false };
            let text = self.files.bytes(file).ok().flatten().unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            text != ours.as_str() && !bindings::is_generated(&text)
        };
        if let Some(file) = module.sources.iter().find(is_users) {
            let problem = Diagnostic::error("bad-source-file", format!("`{file}` is where a generated file belongs"))
                .help("call it something else: every build puts one of its own there");
            return Err(self.at(vec![problem], span));
        }
        Ok(generated)
    }

    /// Sees to it that a module is a program.
    ///
    /// # Errors
    /// None of its files says so, which go would tell of files that nobody wrote.
    pub fn check_go_program(&self, asked: &Asked<'_>, module: &GoModule) -> Gathers<()> {
        let is_main = |(file, head): (&RelPath, &Head)| file.parent() == module.dir && head.package == "main";
        if module.heads.iter().any(is_main) {
            return Ok(());
        }
        let place = module.dir.as_ref().map_or_else(|| ".".to_owned(), ToString::to_string);
        let problem = Diagnostic::error(
            "bad-go-module",
            format!("`{place}` is no program: no file there is of the package `main`"),
        )
        .help("point `source` to the directory that `func main` is in, or name a `world` that exports something else");
        Err(self.at(vec![problem], &asked.source.path.span))
    }

    /// The generated packages where an editor and `go vet` look for them. Those of what is imported are a module by
    /// themselves, so that nobody checks them who checks the user's; a `go.work` in the user's module shows it. What belongs to
    /// a package that the user writes stands beside their files. What is only linked nobody looks for.
    ///
    /// # Errors
    /// A file of the toolchain can't be read.
    pub fn go_shown(
        &self,
        asked: &Asked<'_>,
        module: &GoModule,
        generated: &BTreeMap<RelPath, Content>,
        runtime: &MountedTree,
    ) -> Gathers<Shown> {
        if generated.is_empty() {
            return Ok(Shown::new());
        }
        let below = |file: &RelPath| match &module.dir {
            Some(dir) => file.strip_prefix(dir).expect("packages are below their module").to_string(),
            None => file.to_string(),
        };
        let own = shown::directory(asked);
        let at = |name: &str| own.push(name).expect("a plain name");
        let (mut imports, mut beside) = (Shown::new(), Files::new());
        for (file, content) in generated {
            let (file, Content::Text(text)) = (below(file), content) else { continue };
            if file.starts_with(bindings::IMPORTS) {
                imports.insert(at(&file), text.clone().into_bytes());
            } else if workspace::is_beside_sources(&file) {
                beside.insert(file, text.clone().into_bytes());
            }
        }
        let go = workspace::version(module.go.as_deref());
        let mut used = Vec::new();
        if !imports.is_empty() {
            let path = format!("{}/{}", module.path, bindings::IMPORTS);
            used.push(at(bindings::IMPORTS));
            imports.insert(at(bindings::IMPORTS).join(&plain("go.mod")), workspace::module(&path, go).into_bytes());
        }
        // One that the user has put elsewhere is not shown twice, which Go refuses.
        if !module.replaces_runtime {
            used.push(at(workspace::RUNTIME_DIRECTORY));
            imports.extend(self.go_runtime(asked, runtime, &at(workspace::RUNTIME_DIRECTORY))?);
        }
        let dir = module.dir.as_ref();
        let has_manifest = self.nearest(dir, "go.mod").is_some_and(|file| file.parent() == module.dir);
        if has_manifest && !module.is_vendored() && !self.has_workspace(dir) {
            let workspace = workspace::text(go, dir, &used);
            beside.insert(workspace::FILE.to_owned(), workspace.into_bytes());
        }
        let mut shown = self.shown_beside(asked, dir, Ok(beside));
        // Away from the module it would show nothing.
        shown.remove(&at(workspace::FILE));
        shown.extend(imports);
        Ok(shown)
    }

    /// Whether somebody has a `go.work` in a directory, or above it.
    fn has_workspace(&self, dir: Option<&RelPath>) -> bool {
        let mut directory = dir.cloned();
        loop {
            let file = under(directory.as_ref(), &plain(workspace::FILE));
            let is_free = |text: Option<Vec<u8>>| text.is_none_or(|text| text.starts_with(workspace::MARK.as_bytes()));
            if !self.files.bytes(&file).is_ok_and(is_free) {
                return true;
            }
            match directory {
                None => return false,
                Some(dir) => directory = dir.parent(),
            }
        }
    }

    /// What bindings import, as a module in the directory `at`.
    fn go_runtime(&self, asked: &Asked<'_>, runtime: &MountedTree, at: &RelPath) -> Gathers<Shown> {
        let sources = plain("src/pkg");
        let manifest = workspace::module(RUNTIME, RUNTIME_GO);
        let mut shown = Shown::from([(at.join(&plain("go.mod")), manifest.into_bytes())]);
        for (file, node) in runtime.tree.flatten() {
            let Some(inside) = file.strip_prefix(&sources).filter(|file| file.as_str().starts_with("wit/")) else {
                continue;
            };
            shown.insert(at.join(&inside), self.installed(runtime, &file, &node, &asked.source.path.span)?);
        }
        Ok(shown)
    }
}

fn plain(constant: &str) -> RelPath {
    RelPath::new(constant).expect("a constant that is a path")
}
