//! The one engine configuration behind `exec`, `test` and the `native` action, and what compiles and loads with it.
//!
//! Fuel, epochs and NaN canonicalisation are baked into compiled code, so a `.cwasm` can only be shared between
//! those three because nothing else in the program builds a [`wasmtime::Config`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use run_engine::cancel::Cancel;
use run_engine::digest::{Blob, Digest, DigestFunction};
use wasmtime::component::types::ComponentItem;
use wasmtime::{CacheStore, Config, Engine, Module, WasmBacktraceDetails};

use super::apart::{Apart, is_taken, take_apart};
use super::component::Component;

/// Bytes of stack a guest may use. Depends on the machine's frame sizes, so running out of it is never cached.
pub const STACK_BYTES: usize = 1 << 20;

/// How much work the compiler puts into native code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OptLevel {
    /// Fast code; the default.
    #[default]
    Speed,
    /// Fast compiles, and source lines in traps where the component carries DWARF.
    None,
}

/// Compiles components and loads what it compiled before. Cheap to clone, shared between threads.
#[derive(Clone)]
pub struct Runtime {
    engine: Engine,
    level: OptLevel,
}

/// A component could not be compiled or loaded.
#[derive(Debug, Clone)]
pub struct LoadError {
    /// The file, where there is one.
    pub path: Option<PathBuf>,
    /// What the engine said, outermost context first.
    pub message: String,
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.path {
            Some(path) => write!(f, "`{}`: {}", path.display(), self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for LoadError {}

impl Runtime {
    /// An engine for this machine.
    ///
    /// # Errors
    ///
    /// The machine lacks something the compiled code needs, such as a supported processor.
    pub fn new(level: OptLevel) -> Result<Self, LoadError> {
        Ok(Self { engine: Engine::new(&config(level)).map_err(|e| failed(None, &e))?, level })
    }

    /// The wasmtime engine, for callers that inspect components.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Compiles a component, in binary form, for use in this process.
    ///
    /// # Errors
    ///
    /// The bytes are not a valid component.
    pub fn compile(&self, component: &[u8]) -> Result<Component, LoadError> {
        let Apart { rest, modules } = take_apart(component).map_err(|e| invalid(&e))?;
        let compile = |(name, module): (String, &[u8])| Ok((name, Module::new(&self.engine, module)?));
        let modules =
            modules.into_iter().map(compile).collect::<wasmtime::Result<_>>().map_err(|e| failed(None, &e))?;
        let rest = wasmtime::component::Component::new(&self.engine, rest).map_err(|e| failed(None, &e))?;
        Ok(Component { rest, modules })
    }

    /// Compiles a component to files, to be loaded by [`Runtime::load_native`]. Modules that `known` has the native code of
    /// are not compiled again. Once `cancel` is set, the compiler is unwound out of with [`Stopped`].
    ///
    /// # Errors
    ///
    /// The bytes are not a valid component.
    pub fn precompile(
        &self,
        component: &[u8],
        known: &dyn Fn(&str) -> Option<Vec<u8>>,
        cancel: &Cancel,
    ) -> Result<BTreeMap<String, Vec<u8>>, LoadError> {
        let Apart { rest, modules } = take_apart(component).map_err(|e| invalid(&e))?;
        let engine = self.cancelled_by(cancel)?;
        let mut files = BTreeMap::new();
        for (name, module) in modules {
            let name = file_name(&name);
            let code = known(&name).map_or_else(|| engine.precompile_module(module), Ok);
            files.insert(name, code.map_err(|e| failed(None, &e))?);
        }
        let rest = engine.precompile_component(&rest).map_err(|e| failed(None, &e))?;
        files.insert(file_name(WHOLE), rest);
        Ok(files)
    }

    /// An engine like this one whose compiler stops once `cancel` is set.
    fn cancelled_by(&self, cancel: &Cancel) -> Result<Engine, LoadError> {
        let mut config = config(self.level);
        config.enable_incremental_compilation(Arc::new(Stop(cancel.clone()))).map_err(|e| failed(None, &e))?;
        Engine::new(&config).map_err(|e| failed(None, &e))
    }

    /// Maps files of native code and uses them as they are; no compiler runs. `find` is asked for each by its name.
    ///
    /// # Safety
    ///
    /// The files are executable code. They must be the unmodified output of [`Runtime::precompile`], which in practice
    /// means: read from the local store by the digests that `native` recorded, or from a remote that is trusted.
    ///
    /// # Errors
    ///
    /// A file is missing, can't be read, or was made by another version or configuration of the engine.
    #[expect(unsafe_code, reason = "native code can't be checked; the caller vouches for where it came from")]
    pub unsafe fn load_native(&self, find: &dyn Fn(&str) -> Option<PathBuf>) -> Result<Component, LoadError> {
        let find = |name: &str| {
            let name = file_name(name);
            find(&name)
                .ok_or_else(|| LoadError { path: Some(name.into()), message: "there is no such file".to_owned() })
        };
        let file = find(WHOLE)?;
        // SAFETY: passed on to our caller, in the same words.
        let rest = unsafe { wasmtime::component::Component::deserialize_file(&self.engine, &file) };
        let rest = rest.map_err(|e| failed(Some(&file), &e))?;
        let mut modules = Vec::new();
        for (name, import) in rest.component_type().imports(&self.engine) {
            // It may import others, which are its own affair.
            if matches!(import.ty, ComponentItem::Module(_)) && is_taken(name) {
                let file = find(name)?;
                // SAFETY: as above.
                let module = unsafe { Module::deserialize_file(&self.engine, &file) };
                modules.push((name.to_owned(), module.map_err(|e| failed(Some(&file), &e))?));
            }
        }
        Ok(Component { rest, modules })
    }

    /// 64 hexadecimal digits, equal for two engines only when each can load what the other precompiled: the engine's
    /// version and configuration, the processor's architecture and features.
    ///
    /// Wasmtime offers this as a [`Hash`], of which only the byte stream is of use between processes; it is digested
    /// here with BLAKE3 by way of the engine crate.
    #[must_use]
    pub fn compatibility_hash(&self) -> String {
        let mut stream = ByteStream(Vec::new());
        self.engine.precompile_compatibility_hash().hash(&mut stream);
        let digest: Digest<Blob> = DigestFunction::Blake3.digest(&stream.0);
        digest.hex()
    }
}

/// Everything that shapes compiled code or a run, in one place. Set even where it equals wasmtime's default today:
/// a change of default would change results or retire every `.cwasm` silently.
fn config(level: OptLevel) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .consume_fuel(true)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .max_wasm_stack(STACK_BYTES)
        .memory_reservation(4 << 30)
        .memory_guard_size(32 << 20)
        .memory_may_move(true)
        .memory_init_cow(true)
        // Registering unwind tables costs time at every start; only Windows can't do without.
        .native_unwind_info(cfg!(windows));
    match level {
        OptLevel::Speed => {
            config.cranelift_opt_level(wasmtime::OptLevel::Speed).wasm_backtrace_details(WasmBacktraceDetails::Disable)
        }
        OptLevel::None => {
            config.cranelift_opt_level(wasmtime::OptLevel::None).wasm_backtrace_details(WasmBacktraceDetails::Enable)
        }
    };
    config
}

/// What is left of a component, among the files that it is compiled to.
const WHOLE: &str = "component";

fn file_name(name: &str) -> String {
    format!("{name}.cwasm")
}

/// What the compiler is unwound with: it can't be told to stop.
#[derive(Debug)]
pub struct Stopped;

/// A store of compiled functions in which nothing is ever found: the compiler asks it between any two of them.
#[derive(Debug)]
struct Stop(Cancel);

impl CacheStore for Stop {
    fn get(&self, _: &[u8]) -> Option<Cow<'_, [u8]>> {
        if self.0.is_cancelled() {
            // Not a bug, so it is not told as one.
            resume_unwind(Box::new(Stopped));
        }
        None
    }

    fn insert(&self, _: &[u8], _: Vec<u8>) -> bool {
        false
    }
}

fn invalid(error: &wasmparser::BinaryReaderError) -> LoadError {
    LoadError { path: None, message: error.to_string() }
}

fn failed(path: Option<&Path>, error: &wasmtime::Error) -> LoadError {
    LoadError { path: path.map(Path::to_owned), message: format!("{error:#}") }
}

/// A hasher that keeps what it is fed, so that another function may digest it.
struct ByteStream(Vec<u8>);

impl Hasher for ByteStream {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        unreachable!("only the byte stream is read")
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn component() -> Vec<u8> {
        let module = format!("(core module (func (export \"f\") {}))", "nop ".repeat(1 << 15));
        wat::parse_str(format!("(component {module})")).unwrap()
    }

    #[test]
    fn a_known_module_is_not_compiled_and_changes_nothing() {
        for level in [OptLevel::Speed, OptLevel::None] {
            let runtime = Runtime::new(level).unwrap();
            let files = runtime.precompile(&component(), &|_| None, &Cancel::new()).unwrap();
            assert_eq!(files.len(), 2, "the module, and what is left");
            let known = runtime.precompile(&component(), &|name| files.get(name).cloned(), &Cancel::new()).unwrap();
            assert_eq!(known, files);
            let taken = runtime.precompile(&component(), &|name| Some(name.into()), &Cancel::new()).unwrap();
            let module = files.keys().find(|name| *name != "component.cwasm").expect("a module");
            assert_eq!(taken[module], module.as_bytes(), "what is known is taken as it is");
        }
    }

    #[test]
    fn the_compiler_can_be_stopped() {
        let cancel = Cancel::new();
        let runtime = Runtime::new(OptLevel::None).unwrap();
        cancel.cancel();
        let stopped = catch_unwind(AssertUnwindSafe(|| runtime.precompile(&component(), &|_| None, &cancel)));
        assert!(stopped.unwrap_err().is::<Stopped>());
    }
}
