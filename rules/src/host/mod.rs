//! Runs components: `exec` and `test` are both a [`Program`] that is asked for an [`Outcome`].
//!
//! The default is a closed world in which the same component with the same arguments does the same everywhere:
//! virtual clocks, seeded random numbers, files that differ in nothing but content, no network, floating point without
//! machine-dependent NaNs, and [`Limits`] that count work instead of seconds. [`Grants`] open doors one by one.
//!
//! What is deliberately not here: printing, reading this process's environment, and `async`. Wasmtime-wasi runs its
//! own small runtime when a guest does something that may wait.

mod apart;
mod clock;
mod component;
mod disk;
mod engine;
mod files;
mod grants;
mod limits;
mod link;
mod network;
mod outcome;
mod program;
mod random;
mod rehearsal;
mod state;
mod stdio;
mod strict;

#[cfg(test)]
mod tests;

pub use component::Component;
pub use disk::Disk;
pub use engine::{LoadError, OptLevel, Runtime, STACK_BYTES, Stopped};
pub use grants::{Access, Dir, Grants, HostPort, Limits, Network, Output, Stdin, Streams};
pub use outcome::{Ending, Frame, Limit, LimitHit, MissingImport, Outcome, SourceLine, Trap};
pub use program::{HostError, Program};
pub use rehearsal::{Answer, Rehearsal, Rehearsed, Stage};
