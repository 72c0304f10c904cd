//! What `run` knows of a cargo workspace: enough to build one of its packages as cached, sandboxed actions.
//!
//! The tour: [`workspace::find`] reads manifests (and never spawns cargo) into a [`CargoPackage`]; it [`walk`]s those
//! that cargo would, finds what stands beside them, and has [`package`] say what each is; [`skeleton`] makes manifests
//! that say only what cargo's resolver asks, for packages that are not to be compiled; [`layers::plan`] turns
//! the package into a few cargo invocations, each starting from what the one before left; [`toolchain`] names the files
//! that make up cargo and rustc.
//!
//! What is deliberately not here: actions, digests and trees. A [`Layer`] is plain data; the Rust row makes actions.

mod files;
pub mod layers;
mod manifest;
mod package;
#[cfg(test)]
mod proof;
pub mod skeleton;
pub mod toolchain;
mod walk;
pub mod workspace;

pub use files::Files;
pub use layers::{Content, HostCompiler, Layer, LayerName, Profile, WasmTarget, plan};
pub use package::{CargoPackage, Lib, PathCrate, Shape, StandIn, Target};
pub use toolchain::RustToolchain;
pub use workspace::find;
