//! The build engine: actions in, trees out.
//!
//! Start reading at [`build`]. The one-page tour: an [`action::Action`] plus the digest of its input root gives an
//! [`digest::ActionKey`]; a key either has a result in a [`store`] or the action is run in a [`sandbox`] and its result
//! recorded. Which action may go next is decided by a pure [`schedule`]; everything a person might see is an
//! [`event::Event`].
//!
//! From the ground up; a module may use those of its own layer and of the layers above it in this list, and
//! `tests/tidy.rs` holds the list as data:
//!
//! 0. words: [`path`], [`digest`], [`cancel`], [`clock`], [`wire`], `sealed`
//! 1. values: [`tree`], [`action`]
//! 2. meaning: [`graph`], [`key`], [`explain`]
//! 3. decisions and narration: [`schedule`], [`event`]
//! 4. hands: [`files`], [`store`], [`sandbox`], [`history`], [`witness`]
//! 5. the driver: [`build`]
//!
//! What is deliberately not here:
//!
//! - `run.toml`, languages, WebAssembly. A caller lowers those to actions.
//! - Printing. Everything a person might see is an event.
//! - The environment, the current directory, the time of day. They arrive as arguments, so that two builds given equal
//!   arguments are equal.
//! - `async`.

pub mod action;
pub mod build;
pub mod cancel;
pub mod clock;
pub mod digest;
pub mod event;
pub mod explain;
pub mod files;
pub mod graph;
pub mod history;
pub mod key;
pub mod path;
pub mod sandbox;
pub mod schedule;
mod sealed;
pub mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tree;
pub mod verdict;
pub mod wire;
pub mod witness;
