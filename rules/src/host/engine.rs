//! The one engine configuration behind `exec`, `test` and the `native` action, and what compiles and loads with it.
//!
//! Fuel, epochs and NaN canonicalisation are baked into compiled code, so a `.cwasm` can only be shared between
//! those three because nothing else in the program builds a [`wasmtime::Config`].

use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use run_engine::digest::{Blob, Digest, DigestFunction};
use wasmtime::component::Component;
use wasmtime::{CacheStore, Config, Engine, WasmBacktraceDetails};

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
        Component::new(&self.engine, component).map_err(|e| failed(None, &e))
    }

    /// Compiles a component to the bytes of a `.cwasm`, to be loaded by [`Runtime::load_native_file`].
    ///
    /// # Errors
    ///
    /// The bytes are not a valid component.
    pub fn precompile(&self, component: &[u8]) -> Result<Vec<u8>, LoadError> {
        self.engine.precompile_component(component).map_err(|e| failed(None, &e))
    }

    /// Compiles to the same bytes as [`Runtime::precompile`], by the functions that are known already; those that are not
    /// are told.
    ///
    /// # Errors
    ///
    /// The bytes are not a valid component.
    pub fn precompile_with(&self, component: &[u8], functions: Arc<dyn CacheStore>) -> Result<Vec<u8>, LoadError> {
        // What is known belongs to an engine, and this one's may be asked for other functions at the same time.
        let mut config = config(self.level);
        config.enable_incremental_compilation(functions).map_err(|e| failed(None, &e))?;
        let engine = Engine::new(&config).map_err(|e| failed(None, &e))?;
        engine.precompile_component(component).map_err(|e| failed(None, &e))
    }

    /// Maps a `.cwasm` and uses it as it is; no compiler runs.
    ///
    /// # Safety
    ///
    /// The file is executable code. It must be the unmodified output of [`Runtime::precompile`], which in practice
    /// means: read from the local store by the digest that `native` recorded, or from a remote that is trusted.
    ///
    /// # Errors
    ///
    /// The file can't be read, or was made by another version or configuration of the engine.
    #[expect(unsafe_code, reason = "native code can't be checked; the caller vouches for where it came from")]
    pub unsafe fn load_native_file(&self, path: &Path) -> Result<Component, LoadError> {
        // SAFETY: passed on to our caller, in the same words.
        unsafe { Component::deserialize_file(&self.engine, path) }.map_err(|e| failed(Some(path), &e))
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
