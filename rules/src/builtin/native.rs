//! Native code: component → `.cwasm`, and the engines that make and run it.

use std::path::Path;
use std::sync::OnceLock;

use run_engine::sandbox::builtin::{Call, CallError, Returned};
use wasmtime::component::Component;

use super::{Named, Table, component, native_code};
use crate::host::{LoadError, OptLevel, Runtime};
use crate::manifest::Profile;

/// One engine for each level, made on first use and shared by every thread.
#[derive(Default)]
pub struct Runtimes {
    speed: OnceLock<Result<Runtime, LoadError>>,
    none: OnceLock<Result<Runtime, LoadError>>,
}

impl Runtimes {
    /// The engine of a level.
    ///
    /// # Errors
    /// [`LoadError`] when this machine can't run it.
    pub fn get(&self, level: OptLevel) -> Result<&Runtime, LoadError> {
        let slot = match level {
            OptLevel::Speed => &self.speed,
            OptLevel::None => &self.none,
        };
        slot.get_or_init(|| Runtime::new(level)).as_ref().map_err(Clone::clone)
    }
}

/// How native code is optimised in a profile.
#[must_use]
pub const fn level(profile: Profile) -> OptLevel {
    match profile {
        Profile::Release => OptLevel::Speed,
        Profile::Debug => OptLevel::None,
    }
}

/// The word for a level, in arguments.
#[must_use]
pub const fn level_name(level: OptLevel) -> &'static str {
    match level {
        OptLevel::Speed => "speed",
        OptLevel::None => "none",
    }
}

pub(super) fn level_of(named: &Named<'_>) -> Result<OptLevel, CallError> {
    match named.get("level")? {
        "speed" => Ok(OptLevel::Speed),
        "none" => Ok(OptLevel::None),
        other => Err(CallError::Bug(format!("there is no level called `{other}`"))),
    }
}

/// Component → native code for this machine. `level=` says how hard to optimise.
pub(super) fn precompile(table: &Table, call: &Call<'_>) -> Result<Returned, CallError> {
    let level = level_of(&Named::parse(call.args)?)?;
    let runtime = table.runtimes.get(level).map_err(|e| CallError::Machine(e.to_string()))?;
    match runtime.precompile(&call.read(&component())?) {
        Ok(bytes) => Ok(Returned::files(vec![(native_code(), bytes)])),
        Err(e) => Ok(Returned::failure(format!("{e}\n"))),
    }
}

/// Loads native code that an action of ours left in the local store.
///
/// # Errors
/// [`LoadError`] when the file can't be used by this engine.
#[expect(unsafe_code, reason = "native code can't be checked; this one comes from our own store, by its digest")]
pub fn load(runtime: &Runtime, file: &Path) -> Result<Component, LoadError> {
    // SAFETY: the file is lent by the local store, which verified its digest against the result of a `native` action.
    unsafe { runtime.load_native_file(file) }
}
