//! The build engine: actions in, trees out.

pub mod action;
pub mod cancel;
pub mod clock;
pub mod digest;
pub mod event;
pub mod explain;
pub mod graph;
pub mod key;
pub mod path;
pub mod schedule;
pub mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tree;
pub mod wire;
