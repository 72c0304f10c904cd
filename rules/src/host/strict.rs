//! `--strict`: use of a clock or of random numbers is a trap that names the import.

use std::fmt;

/// The error that becomes the trap. Its text is the whole message a user sees.
#[derive(Debug)]
pub(super) struct Forbidden {
    import: &'static str,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` was called under `--strict`", self.import)
    }
}

impl std::error::Error for Forbidden {}

/// Fails with the import's name under `--strict`.
pub(super) fn forbid(strict: bool, import: &'static str) -> wasmtime::Result<()> {
    if strict { Err(Forbidden { import }.into()) } else { Ok(()) }
}
