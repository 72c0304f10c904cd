//! What `run` knows of Go modules: enough to build one of them as cached, sandboxed actions.
//!
//! The tour: [`module::find`] reads `go.mod` and the heads of the sources (and never spawns go) into a [`GoModule`]:
//! [`manifest`] understands `go.mod`, [`source`] what stands at the head of a `.go` file. [`bindings`] writes the packages
//! that connect a module to its world, and [`workspace`] what shows an editor the rest. [`packages`] sorts what a program is made
//! of, and [`plan`] reads how go would make it. [`steps`] has the scripts that drive go, and what they rely on.
//!
//! What is deliberately not here: actions, digests and trees. The Go row makes actions.

pub mod bindings;
pub mod manifest;
pub mod module;
pub mod packages;
pub mod plan;
pub mod source;
pub mod steps;
pub mod workspace;

pub use module::{GoModule, Needs, find};
