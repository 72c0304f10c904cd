//! [`World`]: where, when and who an action finds itself to be. What it makes should depend on none of that.
//!
//! Every action is run in [`World::USUAL`]. To find out what depends on it all the same, an action is run once more in
//! [`World::UNUSUAL`], and in worlds that differ from the usual one in one [`Aspect`] only.
//!
//! What is deliberately not here: the time of day, which no kernel lets a process have for itself. Two runs are at two
//! moments, and that is all the difference there is.

use std::time::{Duration, SystemTime};

use crate::files::materialize::Manner;
use crate::store::fixed_mtime;
use crate::verdict::Aspect;

/// Where, when and who an action finds itself to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct World {
    /// The input root.
    pub(super) root: &'static str,
    pub(super) home: &'static str,
    pub(super) temporary: &'static str,
    pub(super) user: u32,
    pub(super) user_name: &'static str,
    pub(super) hostname: &'static str,
    /// Variables beside those of the action, whose own come first.
    pub(super) env: &'static [(&'static str, &'static str)],
    /// How much later than usual all files seem to have been made, in seconds.
    pub(super) later_seconds: u64,
    /// Whether directories are listed the other way round.
    pub(super) reversed: bool,
    /// Whether there is only one processor.
    pub(super) one_core: bool,
    /// How many process numbers were taken before the action's.
    pub(super) earlier_processes: u32,
}

impl World {
    /// The one that every action is run in.
    pub const USUAL: Self = Self {
        root: super::INPUT_ROOT,
        home: "/home/run",
        temporary: "/tmp",
        user: 1000,
        user_name: "run",
        hostname: "run",
        env: &[],
        later_seconds: 0,
        reversed: false,
        one_core: false,
        earlier_processes: 0,
    };

    /// One in which nothing is as usual.
    pub const UNUSUAL: Self = Self {
        root: "/srv/another/place/to-build",
        home: "/var/lib/somebody",
        temporary: "/var/scratch",
        user: 4711,
        user_name: "somebody",
        hostname: "elsewhere",
        // The locale that every C library has, and in which no letter has an accent.
        env: &[("LC_ALL", "C"), ("LANGUAGE", "C"), ("LOGNAME", "somebody"), ("USER", "somebody")],
        later_seconds: 11 * 365 * 24 * 60 * 60 + 12_345,
        reversed: true,
        one_core: true,
        earlier_processes: 40,
    };

    /// The usual one but for this.
    #[must_use]
    pub const fn unusual_in(aspect: Aspect) -> Self {
        let (usual, unusual) = (Self::USUAL, Self::UNUSUAL);
        match aspect {
            Aspect::Path => Self { root: unusual.root, ..usual },
            Aspect::Home => Self { home: unusual.home, temporary: unusual.temporary, ..usual },
            Aspect::User => Self { user: unusual.user, user_name: unusual.user_name, ..usual },
            Aspect::Hostname => Self { hostname: unusual.hostname, ..usual },
            Aspect::Variables => Self { env: unusual.env, ..usual },
            Aspect::FileTimes => Self { later_seconds: unusual.later_seconds, ..usual },
            Aspect::DirectoryOrder => Self { reversed: unusual.reversed, ..usual },
            Aspect::Cores => Self { one_core: unusual.one_core, ..usual },
            Aspect::ProcessNumber => Self { earlier_processes: unusual.earlier_processes, ..usual },
        }
    }

    /// How inputs look.
    pub(super) fn manner(&self) -> Manner {
        Manner { time: self.time(), reversed: self.reversed }
    }

    /// The time of all files that were there before the action.
    pub(super) fn time(&self) -> SystemTime {
        fixed_mtime() + Duration::from_secs(self.later_seconds)
    }
}

impl Default for World {
    fn default() -> Self {
        Self::USUAL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_aspect_is_one_and_together_they_are_all() {
        let mut seen = Vec::new();
        for aspect in Aspect::ALL {
            let world = World::unusual_in(aspect);
            assert_ne!(world, World::USUAL, "{aspect}");
            assert!(!seen.contains(&world), "{aspect}");
            seen.push(world);
        }
        // Exhaustive, so that a new field is given an aspect.
        let World {
            root,
            home,
            temporary,
            user,
            user_name,
            hostname,
            env,
            later_seconds,
            reversed,
            one_core,
            earlier_processes,
        } = World::UNUSUAL;
        let usual = World::USUAL;
        assert!(root != usual.root && home != usual.home && temporary != usual.temporary && user != usual.user);
        assert!(user_name != usual.user_name && hostname != usual.hostname && env != usual.env);
        assert!(later_seconds > 0 && reversed && one_core && earlier_processes > 0);
    }
}
