//! The exit statuses: each says whose move it is.

/// How `run` ends. Where Bazel has a number that scripts already know, it is the same one. `exec` of a command component
/// passes the guest's own status through instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// What was asked for is there.
    Done = 0,
    /// The build failed, or the guest did, or a command.
    Build = 1,
    /// Flags or the manifest need fixing.
    Yours = 2,
    /// Everything was built, and tests failed.
    Tests = 3,
    /// There was nothing to test.
    NoTests = 4,
    /// Somebody asked for an end.
    Interrupted = 8,
    /// This machine: disk, permissions, sandbox, network.
    Machine = 36,
    /// A bug in `run`.
    Bug = 37,
}

impl Exit {
    /// The number.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }
}
