//! `Place`: the private directory of one action, for sandboxes that leave the machine's root where it is. The input root
//! and a home are in it; toolchains are links.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::scratch::Private;
use super::{Clients, Job, SandboxError, World};
use crate::action::Network;

/// A private directory and what is where in it. Gone when dropped.
#[derive(Debug)]
pub(super) struct Place {
    /// The input root.
    pub(super) root: PathBuf,
    /// The home, which holds temporary files too.
    pub(super) home: PathBuf,
    /// Where the action starts.
    pub(super) start: PathBuf,
    /// The input root, as text.
    root_text: String,
    _private: Private,
}

impl Place {
    /// Makes the input root and the home, both empty.
    pub(super) fn make(job: &Job<'_>, private: Private, world: &World) -> Result<Self, SandboxError> {
        let usual = World::USUAL;
        let root = private.path().join(if world.root == usual.root { "root" } else { "another/place/root" });
        let home = private.path().join(if world.home == usual.home { "home" } else { "somebody" });
        for directory in [&root, &home] {
            make_directory(directory)?;
        }
        let root_text = root.to_str().ok_or_else(|| {
            SandboxError::setup("use the directory", &root, io::Error::other("its name is not UTF-8"))
        })?;
        let start = job.directory.map_or_else(|| root.clone(), |directory| root.join(directory));
        Ok(Self { root_text: root_text.to_owned(), root, home, start, _private: private })
    }

    /// Puts links to toolchains into the input root.
    pub(super) fn link(&self, job: &Job<'_>) -> Result<(), SandboxError> {
        for (at, mounted) in job.mounts {
            let link = self.root.join(at);
            make_directory(link.parent().unwrap_or(&self.root))?;
            std::os::unix::fs::symlink(&mounted.directory, &link)
                .map_err(|cause| SandboxError::setup("link", &link, cause))?;
        }
        Ok(())
    }

    /// Makes the directories in which the action starts and leaves its outputs.
    pub(super) fn make_starts(&self, job: &Job<'_>) -> Result<(), SandboxError> {
        make_directory(&self.start)?;
        let parents = job.outputs.iter().filter_map(|output| Some(self.start.join(output.parent()?)));
        parents.into_iter().try_for_each(|parent| make_directory(&parent))
    }

    /// The program, by its whole path, and its arguments.
    pub(super) fn argv(&self, job: &Job<'_>) -> Vec<String> {
        let mut argv: Vec<String> = job.argv.iter().map(|word| word.render(&self.root_text)).collect();
        if let Some(program) = argv.first_mut().filter(|program| !program.starts_with('/')) {
            let directory = job.directory.map_or_else(String::new, |directory| format!("/{directory}"));
            *program = format!("{}{directory}/{program}", self.root_text);
        }
        argv
    }

    /// The whole environment.
    pub(super) fn env(&self, job: &Job<'_>, world: &World, clients: &Clients) -> BTreeMap<String, String> {
        let owned = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let home = self.home.to_string_lossy();
        let mut env = BTreeMap::from([owned("HOME", &home), owned("TMPDIR", &home)]);
        env.extend(world.env.iter().map(|(name, value)| owned(name, value)));
        if job.network == Network::Allowed {
            env.extend(clients.env.clone());
        }
        env.extend(job.env.iter().map(|(name, value)| (name.clone(), value.render(&self.root_text))));
        env
    }
}

fn make_directory(directory: &Path) -> Result<(), SandboxError> {
    fs::create_dir_all(directory).map_err(|cause| SandboxError::setup("make the directory", directory, cause))
}
