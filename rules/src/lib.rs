//! Turns `run.toml` into build actions for WebAssembly components. Builds nothing itself and prints nothing.

pub mod capability;
pub mod codes;
pub mod cargo;
pub mod diagnostic;
pub mod manifest;
pub mod name;
pub mod quantity;
pub mod host;
pub mod inspect;
pub mod value;
pub mod step;
pub mod versions;
pub mod wiring;
