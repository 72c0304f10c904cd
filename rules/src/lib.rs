//! Turns `run.toml` into build actions for WebAssembly components. Builds nothing itself and prints nothing.
//!
//! One pass down a straight line; start reading at [`session::Session::open`], which walks it:
//!
//! 1. [`manifest`]: text → what is meant, or everything that is wrong with it. Pure.
//! 2. [`plan`]: the requested names → the targets they need, in order. Pure.
//! 3. [`facts`]: what must be known of the outside: files, interfaces, toolchains. The only place that looks.
//! 4. [`lower`]: targets → actions, each by its [`rule`]; a language is a row of [`lang`]. Pure.
//!
//! Beside the line: [`step`], [`wiring`] and [`value`] know WebAssembly's interfaces, [`host`] runs components,
//! [`builtin`] are the actions that are functions of ours, [`cargo`], [`go`], [`zig`] and [`toolchain`] know other people's
//! tools, [`snapshot`] interpreters, and [`difference`] says where two artifacts part that should be the same.
//!
//! What is deliberately not here: printing, flags, the environment of the process (it arrives as
//! [`session::Environment`]), and how an action is scheduled, cached or run.

pub mod builtin;
pub mod capability;
pub mod cargo;
pub mod codes;
pub mod diagnostic;
pub mod difference;
pub mod facts;
pub mod go;
pub mod host;
pub mod lang;
pub mod loose;
pub mod lower;
pub mod manifest;
pub mod name;
pub mod plan;
pub mod quantity;
pub mod rule;
pub mod sections;
pub mod session;
pub mod snapshot;
pub mod step;
pub mod target;
#[cfg(test)]
mod testing;
pub mod toolchain;
pub mod undeclared;
pub mod value;
pub mod versions;
pub mod wiring;
pub mod zig;
