//! What is known of a Go module: its files, and the packages that connect it to its world.

use std::collections::BTreeMap;

use run_engine::path::{RelPath, under};

use super::{Gatherer, Gathers};
use crate::cargo::Content;
use crate::facts::files::Standing;
use crate::go::{self, GoModule, bindings};
use crate::lang::Asked;
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
    pub fn go_bindings(&self, asked: &Asked<'_>, module: &GoModule) -> Gathers<BTreeMap<RelPath, Content>> {
        let span = &asked.source.path.span;
        let Some(world) = asked.world else { return Ok(BTreeMap::new()) };
        let generated = world
            .encoded()
            .and_then(|encoded| World::from_encoded(&encoded))
            .and_then(|world| bindings::generate(&world, &module.path))
            .map_err(|e| self.at(e.diagnostics, span))?;
        let placed = |(name, bytes): (String, Vec<u8>)| {
            let at = under(module.dir.as_ref(), &RelPath::new(&name).expect("generated names are plain"));
            (at, Content::Text(String::from_utf8_lossy(&bytes).into_owned()))
        };
        Ok(generated.into_iter().map(placed).collect())
    }
}
