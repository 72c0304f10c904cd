//! [`Tools`]: the toolchains that targets are made with, each looked for on this machine once.

mod fetched;
pub mod rust;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use run_engine::action::{Beside, MountedTree};
use run_engine::files::stamp::Stamp;
use run_engine::path::RelPath;

use super::Surroundings;
use super::gatherer::Gathers;
use crate::diagnostic::Diagnostic;
use crate::manifest::{Command, Manifest};
use crate::session::Environment;
use crate::toolchain::provision::{Lock, Notice};
use crate::toolchain::{HostFile, ToolchainError, Toolchains, answers, base, cc, find_in, links_on};

pub use fetched::needed;

/// A path of the machine and its stamp; `None` where nothing was.
pub type Watched = (PathBuf, Option<Stamp>);

/// The toolchains of this machine.
pub struct Tools<'a> {
    manifest: &'a Manifest,
    /// The project's directory: what stands in it and above it decides which Rust there is.
    root: &'a Path,
    environment: &'a Environment,
    /// What the project has locked.
    lock: &'a Lock,
    /// Whether the network is not to be used.
    offline: bool,
    /// Told of what takes a while.
    tell: &'a dyn Fn(&Notice),
    /// What the store remembers.
    toolchains: Toolchains,
    /// By what was asked for beyond the tools that every command finds.
    base: BTreeMap<Vec<String>, Arc<MountedTree>>,
    /// By the triple it compiles for.
    rust: BTreeMap<&'static str, Arc<MountedTree>>,
    cc: Option<Arc<MountedTree>>,
    /// By name.
    fetched: BTreeMap<&'static str, Arc<MountedTree>>,
    /// What decides which tools are found.
    watched: Vec<Watched>,
}

impl<'a> Tools<'a> {
    /// For a project in `root`. Looks at nothing of the machine yet.
    #[must_use]
    pub fn open(manifest: &'a Manifest, root: &'a Path, surroundings: &Surroundings<'a>, lock: &'a Lock) -> Self {
        Self {
            manifest,
            root,
            environment: surroundings.environment,
            lock,
            offline: surroundings.offline,
            tell: surroundings.tell,
            toolchains: Toolchains::open(surroundings.store, manifest.digest_function(), surroundings.looked),
            base: BTreeMap::new(),
            rust: BTreeMap::new(),
            cc: None,
            fetched: BTreeMap::new(),
            watched: Vec::new(),
        }
    }

    /// Remembers what was learnt, and says which paths of the machine it depends on.
    #[must_use]
    pub fn finish(self) -> Vec<Watched> {
        self.toolchains.save();
        let mut watched = self.watched;
        watched.extend(self.toolchains.into_watched().into_iter().map(|(path, stamp)| (path, Some(stamp))));
        watched
    }

    /// The tools that every command finds.
    ///
    /// # Errors
    /// This machine lacks one.
    pub fn base(&mut self) -> Gathers<Arc<MountedTree>> {
        self.find(&[]).map_err(|e| self.problem(&e, None))
    }

    /// The path that a program of this name has in a tree of tools.
    ///
    /// # Errors
    /// It can't be part of a path.
    pub fn program(name: &str) -> Gathers<RelPath> {
        let program = RelPath::new(&format!("{}/{name}", base::BIN));
        program.map_err(|e| vec![Diagnostic::error("unknown-tool", e.to_string())])
    }

    /// The tools that one command finds: those that every command does, and those it asks for.
    ///
    /// # Errors
    /// This machine lacks one.
    pub fn of_command(&mut self, command: &Command) -> Gathers<Arc<MountedTree>> {
        let extra: Vec<String> = command.tools.iter().map(|tool| tool.value.as_str().to_owned()).collect();
        self.find(&extra).map_err(|e| self.problem(&e, Some(&command.name.span)))
    }

    /// The TinyGo of this machine: the directory that its `bin` is in, known by its content.
    ///
    /// # Errors
    /// There is none.
    pub fn tinygo(&mut self, span: &Range<usize>) -> Gathers<Arc<MountedTree>> {
        let Some(program) = find_in(&self.environment.path, "tinygo") else {
            self.watch(&self.environment.path);
            let problem = ToolchainError::new(
                "this machine has no TinyGo, which `compiler = \"tinygo\"` asks for",
                "install it, so that `PATH` leads to `tinygo`; or leave `compiler` out: Go's own compiler is fetched",
            );
            return Err(self.problem(&problem, Some(span)));
        };
        self.watch(self.environment.path.iter().chain([&program]));
        let real = program.canonicalize().ok();
        let directory =
            real.as_deref().and_then(Path::parent).filter(|bin| bin.ends_with("bin")).and_then(Path::parent);
        let Some(directory) = directory else {
            let message = format!("`{}` is not in the `bin` of a TinyGo", program.display());
            let problem =
                ToolchainError::new(message, "point `PATH` to the `bin` of TinyGo itself, not to a copy of it");
            return Err(self.problem(&problem, Some(span)));
        };
        self.toolchains.at("tinygo", directory).map_err(|e| self.problem(&e, Some(span)))
    }

    /// The C compiler that Rust links programs for this machine with.
    ///
    /// # Errors
    /// There is none.
    pub fn cc(&mut self) -> Gathers<Arc<MountedTree>> {
        if let Some(tree) = &self.cc {
            return Ok(Arc::clone(tree));
        }
        let environment = self.environment;
        let (path, tools) = (&environment.path, &environment.tools);
        let depends = self.watch(path.iter().chain(&find_in(path, "cc")));
        let answer = self.toolchains.answers().get(&cc::question(path, tools), &depends, || {
            let found = cc::find(path, tools)?;
            let pair =
                |kind: &'static str| move |f: &HostFile| (format!("{kind} {}", f.at), f.from.display().to_string());
            let beside = |b: &Beside| (format!("beside {}", b.at.display()), b.from.display().to_string());
            let files = found.files.iter().map(pair("file")).chain(found.links.iter().map(pair("link")));
            Ok(answers::encode(files.chain(found.beside.iter().map(beside))))
        });
        let found = answer
            .and_then(|answer| {
                let named = |kind: &'static str| {
                    answers::decode(&answer).filter_map(move |(n, v)| Some((n.strip_prefix(kind)?.trim_start(), v)))
                };
                let files = |kind| named(kind).filter_map(host_file).collect::<Vec<_>>();
                let beside = named("beside").map(|(at, from)| Beside { at: at.into(), from: from.into() });
                self.toolchains.linked("cc", &files("file"), &files("link"), beside.collect())
            })
            .map_err(|e| self.problem(&e, None))?;
        self.cc = Some(Arc::clone(&found));
        Ok(found)
    }

    /// The tools that every command finds and `extra`, as one tree.
    fn find(&mut self, extra: &[String]) -> Result<Arc<MountedTree>, ToolchainError> {
        if let Some(tools) = self.base.get(extra) {
            return Ok(Arc::clone(tools));
        }
        let path = &self.environment.path;
        let names: Vec<&str> = extra.iter().map(String::as_str).collect();
        let found = base::find(path, &names)?;
        let depends = self.watch(path.iter().chain(found.values()));
        let answer = self.toolchains.answers().get(&format!("libraries of {found:?}"), &depends, || {
            let files = base::files(&found)?;
            Ok(answers::encode(files.iter().map(|f| (f.at.to_string(), f.from.display().to_string()))))
        })?;
        let files: Vec<HostFile> = answers::decode(&answer).filter_map(host_file).collect();
        let tools = self.toolchains.copied("base", &files)?;
        self.base.insert(extra.to_vec(), Arc::clone(&tools));
        Ok(tools)
    }

    /// Notes what decides where these paths lead, and says what that is. A tool may be reached by a chain of links, any of
    /// which may be turned to another one; and where nothing is, something may come to be.
    fn watch<'p>(&mut self, paths: impl IntoIterator<Item = &'p PathBuf>) -> Vec<PathBuf> {
        let mut depends: Vec<PathBuf> = paths.into_iter().flat_map(|path| links_on(path)).collect();
        depends.sort_unstable();
        depends.dedup();
        self.watched.extend(depends.iter().map(|path| (path.clone(), Stamp::of(path).ok())));
        depends
    }

    fn problem(&self, e: &ToolchainError, span: Option<&Range<usize>>) -> Vec<Diagnostic> {
        match span {
            Some(span) => vec![self.placed(e.diagnostic(), span)],
            None => vec![e.diagnostic()],
        }
    }
}

/// A file of a toolchain, as an answer has it.
fn host_file((at, from): (&str, &str)) -> Option<HostFile> {
    Some(HostFile { at: RelPath::new(at).ok()?, from: from.into() })
}
