//! The build engine: actions in, trees out.

pub mod action;
pub mod digest;
pub mod files;
pub mod path;
mod sealed;
pub mod store;
pub mod tree;
pub mod wire;
pub mod witness;
