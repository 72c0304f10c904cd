//! Turns `run.toml` into build actions for WebAssembly components. Builds nothing itself and prints nothing.

pub mod cargo;
pub mod diagnostic;
