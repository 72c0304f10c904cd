//! Where bindings are written for editors, and for whatever else looks at a project besides its builds.
//!
//! A component's own directory is `.run/bindings/NAME`, and settings of the project's tell each language's tools to look
//! there. Where these can't be told, because a language finds a file by where it stands, it is written beside the sources:
//! if git ignores it there, so that it is nobody's file.

use run_engine::path::{RelPath, under};

use super::Gatherer;
use crate::cargo::Files as _;
use crate::facts::ignored::Ignored;
use crate::lang::{Asked, Shown};
use crate::manifest::{Component, Origin};
use crate::step::StepError;
use crate::step::bindings::Files;

/// The directory of everything that is written so.
pub const DIRECTORY: &str = ".run/bindings";

/// The directory of a component.
#[must_use]
pub fn directory(asked: &Asked<'_>) -> RelPath {
    let directory = RelPath::new(DIRECTORY).expect("a constant that is a path");
    directory.push(asked.component.name.as_str()).expect("a target's name is a plain name")
}

impl Gatherer<'_> {
    /// Bindings in the component's own directory. A world that has none is refused by the step that needs them.
    #[must_use]
    pub fn shown(&self, asked: &Asked<'_>, written: Result<Files, StepError>) -> Shown {
        let directory = directory(asked);
        let place = |(file, bytes): (String, Vec<u8>)| (directory.join(&plain(&file)), bytes);
        written.unwrap_or_default().into_iter().map(place).collect()
    }

    /// The same beside the sources in `beside`, as far as nobody else has a file there; the rest in its own directory.
    #[must_use]
    pub fn shown_beside(
        &self,
        asked: &Asked<'_>,
        beside: Option<&RelPath>,
        written: Result<Files, StepError>,
    ) -> Shown {
        let directory = directory(asked);
        let mut ignored = Ignored::by(self.files);
        let is_shared = self.shares_directory(asked.component);
        let mut place = |(file, bytes): (String, Vec<u8>)| {
            let file = plain(&file);
            let wanted = under(beside, &file);
            let is_free = !is_shared && self.makers.find(&wanted).is_none() && ignored.covers(&wanted);
            (if is_free { wanted } else { directory.join(&file) }, bytes)
        };
        written.unwrap_or_default().into_iter().map(&mut place).collect()
    }

    /// The nearest file of a name, in a directory or in those above it.
    #[must_use]
    pub fn nearest(&self, directory: Option<&RelPath>, name: &str) -> Option<RelPath> {
        let mut directory = directory.cloned();
        loop {
            let file = under(directory.as_ref(), &plain(name));
            if self.files.list().binary_search(&file).is_ok() {
                return Some(file);
            }
            directory = directory?.parent();
        }
    }

    /// Whether the sources of another component stand in the same directory.
    fn shares_directory(&self, component: &Component) -> bool {
        let directory_of = |component: &Component| match &component.origin {
            Origin::Source(source) => Some(match &source.path.value {
                Some(file) if self.files.list().binary_search(file).is_ok() => file.parent(),
                directory => directory.clone(),
            }),
            Origin::Prebuilt(_) => None,
        };
        let own = directory_of(component);
        self.manifest.components.iter().filter(|other| directory_of(other) == own).count() > 1
    }
}

fn plain(name: &str) -> RelPath {
    RelPath::new(name).expect("the names of bindings are plain")
}
