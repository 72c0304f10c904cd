//! Native code: component → `.cwasm`, and the engines that make and run it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use run_engine::sandbox::builtin::{Call, CallError, Returned};
use wasmtime::CacheStore;
use wasmtime::component::Component;

use super::{Named, Table, component, functions, native_code};
use crate::host::{Functions, LoadError, OptLevel, Runtime, Stopped};
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

/// Component → native code for this machine. `level=` says how hard to optimise, `keep=functions` that each function is
/// kept for other components that have it. Its accelerators, whatever they are called, are functions that were kept.
pub(super) fn precompile(table: &Table, call: &Call<'_>) -> Result<Returned, CallError> {
    let named = Named::parse(call.args)?;
    let runtime = table.runtimes.get(level_of(&named)?).map_err(|e| CallError::Machine(e.to_string()))?;
    let keeps = named.find("keep").is_some();
    let mut known = Functions::new(keeps, call.cancel);
    for file in call.accelerators.values() {
        // One that can't be read is only slower, as one that could not be made.
        let _unread = known.learn(file);
    }
    let known = Arc::new(known);
    let component = call.read(&component())?;
    let compile = || runtime.precompile_with(&component, Arc::clone(&known) as Arc<dyn CacheStore>);
    // The engine that was unwound out of is gone with it.
    match catch_unwind(AssertUnwindSafe(compile)) {
        Ok(Ok(bytes)) => {
            let pack = keeps.then(|| (functions(), known.pack()));
            Ok(Returned::files([(native_code(), bytes)].into_iter().chain(pack).collect()))
        }
        Ok(Err(e)) => Ok(Returned::failure(format!("{e}\n"))),
        Err(unwound) if unwound.is::<Stopped>() => Ok(Returned::failure("")),
        Err(unwound) => resume_unwind(unwound),
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
