//! `Strongest`: the strongest sandbox that this machine allows, found out when one is first needed.
//!
//! | strength | Linux | macOS |
//! |---|---|---|
//! | full | namespaces ([`Isolated`](super::linux::Isolated)) | |
//! | partial | Landlock ([`Restricted`](super::linux::restricted::Restricted)) | `sandbox-exec` ([`Seatbelt`](super::seatbelt::Seatbelt)) |
//! | bare | a private directory ([`Bare`]) | the same |
//!
//! Nothing falls back silently: what was refused, why, and the exact remedy are kept for whoever asks.

use std::fmt;
use std::path::PathBuf;
use std::sync::OnceLock;

use super::bare::Bare;
use super::{Clients, Execution, Job, Sandbox, SandboxError, World};
use crate::cancel::Cancel;
use crate::store::Strength;

/// How sandboxes are made.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// This very program, which is started once more to fork sandboxes, if it knows how to
    /// ([`spawner`](super::linux::spawner)).
    pub program: Option<PathBuf>,
    /// A directory for private directories.
    pub scratch: PathBuf,
    /// What network clients may see.
    pub clients: Clients,
    /// How many processors there are.
    pub n_cores: usize,
    /// What actions find, as far as a sandbox can decide it.
    pub world: World,
}

/// A sandbox that this machine does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which.
    pub strength: Strength,
    /// What failed, as a sentence without its end.
    pub why: String,
    /// Ways to get it, one each.
    pub helps: Vec<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

/// What an action can see of a machine in a sandbox of some strength, as a sentence without its end.
#[must_use]
pub const fn sees(strength: Strength) -> &'static str {
    match strength {
        Strength::Full => "an action sees what it declares and nothing else",
        Strength::Partial => {
            "an action can read and change what it declares and nothing else, but can see the names of files, the \
             machine's name, its users and its processes"
        }
        Strength::Bare => "an action can see all of this machine",
    }
}

/// The strongest sandbox that there is.
pub struct Strongest {
    options: Options,
    chosen: OnceLock<Chosen>,
}

struct Chosen {
    sandbox: Box<dyn Sandbox>,
    refusals: Vec<Refusal>,
}

impl Strongest {
    /// Makes nothing yet: most builds run nothing.
    #[must_use]
    pub const fn new(options: Options) -> Self {
        Self { options, chosen: OnceLock::new() }
    }

    fn chosen(&self) -> &Chosen {
        self.chosen.get_or_init(|| choose(&self.options))
    }

    /// Tries what this machine allows, if that has not been done: the sandboxes it refuses, strongest first.
    #[must_use]
    pub fn refusals(&self) -> &[Refusal] {
        &self.chosen().refusals
    }

    /// How strong it is and what this machine refuses, if a sandbox was needed at all.
    #[must_use]
    pub fn if_needed(&self) -> Option<(Strength, &[Refusal])> {
        let chosen = self.chosen.get()?;
        Some((chosen.sandbox.strength(), &chosen.refusals))
    }
}

impl Sandbox for Strongest {
    fn strength(&self) -> Strength {
        self.chosen().sandbox.strength()
    }

    fn run(&self, job: &Job<'_>, cancel: &Cancel) -> Result<Execution, SandboxError> {
        self.chosen().sandbox.run(job, cancel)
    }

    fn lookups(&self, job: &Job<'_>, cancel: &Cancel) -> Result<Vec<String>, SandboxError> {
        self.chosen().sandbox.lookups(job, cancel)
    }
}

#[cfg(target_os = "linux")]
fn choose(options: &Options) -> Chosen {
    use super::linux::restricted::Restricted;
    use super::linux::{self, Isolated};
    use super::refusal::{Facts, refusal};

    let Some(program) = &options.program else {
        let why = "this program can't be started once more to fork sandboxes".to_owned();
        return bare(options, vec![Refusal { strength: Strength::Full, why, helps: Vec::new() }]);
    };
    let linux_options = linux::Options {
        program: program.clone(),
        scratch: options.scratch.clone(),
        clients: options.clients.clone(),
        n_cores: options.n_cores,
        world: options.world,
    };
    let facts = Facts::of_this_machine();
    let full = match Isolated::new(linux_options.clone()) {
        Ok(sandbox) => return Chosen { sandbox: Box::new(sandbox), refusals: Vec::new() },
        Err(refused) => refusal(Strength::Full, &refused, &facts),
    };
    match Restricted::new(linux_options) {
        Ok(sandbox) => Chosen { sandbox: Box::new(sandbox), refusals: vec![full] },
        Err(refused) => bare(options, vec![full, refusal(Strength::Partial, &refused, &facts)]),
    }
}

#[cfg(not(target_os = "linux"))]
fn choose(options: &Options) -> Chosen {
    let full = Refusal {
        strength: Strength::Full,
        why: "only Linux has the namespaces it is made of".to_owned(),
        helps: vec!["build on Linux, or in a Linux virtual machine".to_owned()],
    };
    #[cfg(target_os = "macos")]
    {
        match super::seatbelt::Seatbelt::new(&options.scratch, options.clients.clone(), options.world) {
            Ok(sandbox) => Chosen { sandbox: Box::new(sandbox), refusals: vec![full] },
            Err(partial) => bare(options, vec![full, partial]),
        }
    }
    #[cfg(not(target_os = "macos"))]
    bare(options, vec![full])
}

fn bare(options: &Options, refusals: Vec<Refusal>) -> Chosen {
    let sandbox = Bare::new(&options.scratch, options.clients.clone()).in_world(options.world);
    Chosen { sandbox: Box::new(sandbox), refusals }
}
