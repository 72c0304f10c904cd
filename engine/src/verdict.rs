//! [`Verdict`]: what came of running an action once more elsewhere.

use std::fmt;

use crate::event::Failure;

/// What came of running an action once more, elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It left the same.
    Same,
    /// It left something else.
    Differs {
        /// Where, and in what.
        differences: Differences,
        /// What that depends on.
        cause: Cause,
    },
    /// It failed, having succeeded before.
    Fails {
        /// How.
        failure: Failure,
        /// What that depends on.
        cause: Cause,
    },
    /// It uses the network and was not run: what it gets is verified by the digests in a lockfile.
    Fetches,
    /// Its tool is known to leave other bytes each time, so it was not run: what is made with them was.
    Known,
    /// It could not be run, for no fault of its own.
    Unable {
        /// Why not.
        why: String,
    },
}

/// What makes an action leave something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Nothing around it: in the very same world it leaves something else too.
    EachTime,
    /// These, each by itself.
    Surroundings(Vec<Aspect>),
    /// None of what was tried by itself.
    Unknown,
}

/// What worlds differ in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Aspect {
    /// The path of the input root.
    Path,
    /// The paths of the home and of the directory for temporary files.
    Home,
    /// The user's number and name.
    User,
    /// The machine's name.
    Hostname,
    /// Locale and user, as variables tell them.
    Variables,
    /// The times of the inputs.
    FileTimes,
    /// The order in which directories are listed.
    DirectoryOrder,
    /// How many processors there are.
    Cores,
    /// The number of the process.
    ProcessNumber,
}

impl Aspect {
    /// All there are.
    pub const ALL: [Self; 9] = [
        Self::Path,
        Self::Home,
        Self::User,
        Self::Hostname,
        Self::Variables,
        Self::FileTimes,
        Self::DirectoryOrder,
        Self::Cores,
        Self::ProcessNumber,
    ];
}

/// A fragment that fits after "it depends on".
impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Path => "the path of its working directory",
            Self::Home => "the path of the home or of the temporary directory",
            Self::User => "the user",
            Self::Hostname => "the host name",
            Self::Variables => "the locale (LC_ALL) or the user's name (USER, LOGNAME)",
            Self::FileTimes => "the times of its input files",
            Self::DirectoryOrder => "the order in which directories are listed",
            Self::Cores => "the number of processors",
            Self::ProcessNumber => "its process number",
        })
    }
}

/// A sentence without its end, about an action.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EachTime => f.write_str("it differs each time it is run: it depends on the time or on chance"),
            Self::Unknown => f.write_str(
                "it did not differ when one thing at a time was changed: it depends on several, or on chance",
            ),
            Self::Surroundings(aspects) => {
                f.write_str("it depends on ")?;
                for (i, aspect) in aspects.iter().enumerate() {
                    let joint = match i {
                        0 => "",
                        _ if i + 1 == aspects.len() => " and on ",
                        _ => ", on ",
                    };
                    write!(f, "{joint}{aspect}")?;
                }
                Ok(())
            }
        }
    }
}

/// Where two sets of outputs differ: the first few places, and how many there are beyond.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Differences {
    /// Some of them.
    pub told: Vec<Difference>,
    /// How many more there are.
    pub n_more: usize,
}

/// One place where outputs differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where, from the outside in, beginning with the path of the output.
    pub place: String,
    /// In what, as a sentence that shows the usual run's first.
    pub what: String,
    /// What that looks like, and what commonly helps, where that is known.
    pub hint: Option<Hint>,
}

/// What commonly makes outputs differ like that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// What it looks like, as a sentence without its end.
    pub looks_like: String,
    /// What helps, as a sentence without its end.
    pub remedy: String,
}

/// How many verdicts there were of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compared {
    /// Actions that left the same.
    pub same: u32,
    /// Actions that left something else, or failed.
    pub varying: u32,
    /// Actions that use the network and were not run again.
    pub fetches: u32,
    /// Actions that are known to leave other bytes each time and were not run again.
    pub known: u32,
    /// Actions that could not be run again.
    pub unable: u32,
}

impl Compared {
    /// Whether nothing speaks against the build being reproducible.
    #[must_use]
    pub const fn is_success(self) -> bool {
        self.varying == 0 && self.unable == 0
    }

    /// Counts one more.
    pub const fn count(&mut self, verdict: &Verdict) {
        let counter = match verdict {
            Verdict::Same => &mut self.same,
            Verdict::Differs { .. } | Verdict::Fails { .. } => &mut self.varying,
            Verdict::Fetches => &mut self.fetches,
            Verdict::Known => &mut self.known,
            Verdict::Unable { .. } => &mut self.unable,
        };
        *counter += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_sentences() {
        let told = |aspects: &[Aspect]| Cause::Surroundings(aspects.to_vec()).to_string();
        assert_eq!(told(&[Aspect::User]), "it depends on the user");
        assert_eq!(told(&[Aspect::User, Aspect::Hostname]), "it depends on the user and on the host name");
        assert_eq!(
            told(&[Aspect::User, Aspect::Hostname, Aspect::Cores]),
            "it depends on the user, on the host name and on the number of processors"
        );
    }
}
