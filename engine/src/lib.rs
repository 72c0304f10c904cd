//! The build engine: actions in, trees out.

pub mod action;
pub mod digest;
pub mod path;
pub mod store;
pub mod tree;
pub mod wire;
