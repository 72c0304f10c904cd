//! A component with what it is given, ready to run any number of times; each run is a fresh instance.

use std::path::PathBuf;
use std::time::Duration;

use run_engine::cancel::Cancel;
use wasmtime::component::{ComponentExportIndex, Func, Linker, ResourceTableError, Val};
use wasmtime::{Engine, Store, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::component::Component;
use super::grants::{Grants, Limits, Streams};
use super::limits::{
    CALL_BYTES_MAX, HANDLES_MAX, INSTANCES_MAX, Interrupted, MEMORIES_MAX, OutputIsFull, Patience, TABLES_MAX,
    TimeIsUp, Watchdog, is_of_the_machine,
};
use super::link::link;
use super::outcome::{Ending, Frame, Limit, LimitHit, MissingImport, Outcome, SourceLine, Trap};
use super::state::State;
use crate::value::Function;

/// A component and everything a run of it depends on.
#[derive(Clone)]
pub struct Program {
    /// What to run.
    pub component: Component,
    /// What it may see of this machine.
    pub grants: Grants,
    /// How much it may use.
    pub limits: Limits,
    /// Where its streams lead.
    pub streams: Streams,
    /// Ends a run when it is set; `None` where nobody will.
    pub cancel: Option<Cancel>,
}

/// A run could not be started, for a reason that is not the guest's.
#[derive(Debug)]
pub enum HostError {
    /// A granted directory can't be opened.
    OpenDir {
        /// The directory on this machine.
        dir: PathBuf,
        /// Why not.
        message: String,
    },
    /// The component exports no `wasi:cli/run`.
    NotACommand,
    /// The function is not exported by this component: it was looked up in another.
    NoSuchFunction(String),
    /// This machine has not the memory that the limits allow.
    NoMemory(String),
    /// Somebody asked for an end.
    Interrupted,
    /// The engine refused something it never should.
    Bug(String),
}

impl std::fmt::Display for HostError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OpenDir { dir, message } => write!(f, "can't open the directory `{}`: {message}", dir.display()),
            Self::NotACommand => f.write_str("the component is not a command: it does not export `wasi:cli/run`"),
            Self::NoSuchFunction(name) => write!(f, "the component does not export `{name}`"),
            Self::NoMemory(message) => write!(f, "this machine has no memory for the component: {message}"),
            Self::Interrupted => f.write_str("interrupted"),
            Self::Bug(message) => write!(f, "the engine failed: {message}"),
        }
    }
}

impl std::error::Error for HostError {}

impl HostError {
    #[expect(clippy::needless_pass_by_value, reason = "the shape `map_err` wants")]
    pub(super) fn bug(error: wasmtime::Error) -> Self {
        Self::Bug(format!("{error:#}"))
    }
}

impl Program {
    /// A program with nothing granted, the default limits and captured streams.
    #[must_use]
    pub fn new(component: Component) -> Self {
        Self {
            component,
            grants: Grants::default(),
            limits: Limits::default(),
            streams: Streams::default(),
            cancel: None,
        }
    }

    /// Whether the component is a command: exports `wasi:cli/run` of WASI 0.2.
    #[must_use]
    pub fn is_command(&self) -> bool {
        self.run_export().is_some()
    }

    /// Calls an exported function in a fresh instance, with arguments made by [`crate::value`] for this function.
    ///
    /// # Errors
    ///
    /// Only what the guest has no part in; whatever the guest does is an [`Outcome`].
    pub fn call(&self, function: &Function, arguments: &[Val]) -> Result<Outcome, HostError> {
        let name = function.to_string();
        let index = self.find_export(function).ok_or_else(|| HostError::NoSuchFunction(name.clone()))?;
        self.run(&name, &index, arguments, &[], |values| match values.pop() {
            Some(Val::Result(Err(payload))) => Ending::ReturnedErr(payload.map(|payload| *payload)),
            value => Ending::Returned(value),
        })
    }

    /// Runs a command: `wasi:cli/run` with these arguments, the first of which is the program's name.
    ///
    /// # Errors
    ///
    /// The component is no command, or what the guest has no part in.
    pub fn run_command(&self, argv: &[String]) -> Result<Outcome, HostError> {
        let (name, index) = self.run_export().ok_or(HostError::NotACommand)?;
        self.run(&name, &index, &[], argv, |values| match values.pop() {
            Some(Val::Result(Err(_))) => Ending::Exited(1),
            _ => Ending::Exited(0),
        })
    }

    fn find_export(&self, function: &Function) -> Option<ComponentExportIndex> {
        let instance = match function.interface() {
            Some(interface) => Some(self.component.get_export_index(None, interface)?),
            None => None,
        };
        self.component.get_export_index(instance.as_ref(), function.name())
    }

    fn run_export(&self) -> Option<(String, ComponentExportIndex)> {
        let ty = self.component.component_type();
        let interface = ty.exports(self.component.engine()).find(|(name, _)| name.starts_with("wasi:cli/run@0.2."))?.0;
        let instance = self.component.get_export_index(None, interface)?;
        Some((format!("{interface}#run"), self.component.get_export_index(Some(&instance), "run")?))
    }

    fn run(
        &self,
        name: &str,
        export: &ComponentExportIndex,
        arguments: &[Val],
        argv: &[String],
        returned: impl FnOnce(&mut Vec<Val>) -> Ending,
    ) -> Result<Outcome, HostError> {
        let linker = match link(&self.component, &self.grants)? {
            Ok(linker) => linker,
            Err(missing) => return Ok(Outcome::missing(missing)),
        };
        let patience = Patience::new(self.limits.timeout, self.cancel.clone());
        let state = State::new(&self.grants, &self.limits, &self.streams, argv, patience.clone())?;
        let mut store = metered(self.component.engine(), state, &self.limits)?;
        let watchdog = Watchdog::start(self.component.engine(), &mut store, patience);
        let result = self.instantiate_and_call(&linker, &mut store, export, arguments);
        drop(watchdog);

        let ending = match result {
            Ok(mut values) => returned(&mut values),
            Err(error) if error.is::<Interrupted>() => return Err(HostError::Interrupted),
            Err(error) if is_of_the_machine(&error) => return Err(HostError::NoMemory(error.root_cause().to_string())),
            Err(error) => ending_of(&error, &store, &self.limits, name),
        };
        let fuel_used = self.limits.fuel - store.get_fuel().map_err(HostError::bug)?;
        let stdio = &store.data().stdio;
        let (stdout, stderr) = stdio.captured();
        Ok(Outcome { ending, stdout, stderr, fuel_used, missed_input: stdio.missed_input() })
    }

    fn instantiate_and_call(
        &self,
        linker: &Linker<State>,
        store: &mut Store<State>,
        export: &ComponentExportIndex,
        arguments: &[Val],
    ) -> wasmtime::Result<Vec<Val>> {
        let instance = linker.instantiate(&mut *store, &self.component)?;
        let function: Func = instance
            .get_func(&mut *store, export)
            .ok_or_else(|| wasmtime::format_err!("the export vanished between lookup and instantiation"))?;
        let mut results = vec![Val::Bool(false); function.ty(&*store).results().len()];
        function.call(store, arguments, &mut results)?;
        Ok(results)
    }
}

impl Outcome {
    fn missing(missing: Vec<MissingImport>) -> Self {
        Self {
            ending: Ending::MissingImports(missing),
            stdout: Vec::new(),
            stderr: Vec::new(),
            fuel_used: 0,
            missed_input: false,
        }
    }
}

/// A store whose guest can use no more than the limits allow.
pub(super) fn metered(engine: &Engine, state: State, limits: &Limits) -> Result<Store<State>, HostError> {
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.meter);
    store.set_hostcall_fuel(CALL_BYTES_MAX);
    store.set_fuel(limits.fuel).map_err(HostError::bug)?;
    Ok(store)
}

/// What an error out of the engine means, the most specific meaning first.
pub(super) fn ending_of(error: &wasmtime::Error, store: &Store<State>, limits: &Limits, function: &str) -> Ending {
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return Ending::Exited(exit.0);
    }
    let trap = trap_of(error, function);
    let limit = match error.downcast_ref::<wasmtime::Trap>() {
        Some(wasmtime::Trap::OutOfFuel) => Some(Limit::Fuel(limits.fuel)),
        Some(wasmtime::Trap::StackOverflow) => Some(Limit::Stack),
        _ if error.is::<TimeIsUp>() => Some(Limit::Time(milliseconds(limits.timeout))),
        _ if error.is::<OutputIsFull>() => Some(Limit::Output(limits.output_bytes as u64)),
        _ => too_many(error).or_else(|| {
            let wanted_bytes = store.data().meter.refused_bytes()?;
            Some(Limit::Memory { limit_bytes: limits.memory_bytes, wanted_bytes })
        }),
    };
    match limit {
        Some(limit) => Ending::LimitHit(LimitHit { limit, trap }),
        None => Ending::Trapped(trap),
    }
}

fn milliseconds(timeout: Option<Duration>) -> u64 {
    u64::try_from(timeout.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// Which things there were too many of, where that is what the engine says.
fn too_many(error: &wasmtime::Error) -> Option<Limit> {
    if matches!(error.downcast_ref::<ResourceTableError>(), Some(ResourceTableError::Full)) {
        return Some(Limit::Count { what: "handles", limit: HANDLES_MAX });
    }
    // The engine has no type for it; a test holds us to its words.
    let message = error.root_cause().to_string();
    let what = message.strip_prefix("resource limit exceeded: ")?.split(' ').next()?;
    let (what, limit) = match what {
        "instance" => ("core instances", INSTANCES_MAX),
        "memory" => ("memories", MEMORIES_MAX),
        "table" => ("tables", TABLES_MAX),
        _ => return None,
    };
    Some(Limit::Count { what, limit })
}

fn trap_of(error: &wasmtime::Error, function: &str) -> Trap {
    let message = match error.downcast_ref::<wasmtime::Trap>() {
        Some(trap) => trap.to_string().trim_start_matches("wasm trap: ").to_owned(),
        None => error.root_cause().to_string(),
    };
    let frames = error.downcast_ref::<WasmBacktrace>().map_or_else(Vec::new, frames_of);
    Trap { message, function: function.to_owned(), frames }
}

fn frames_of(backtrace: &WasmBacktrace) -> Vec<Frame> {
    let frame = |frame: &wasmtime::FrameInfo| {
        let symbol = frame.symbols().first();
        let name = symbol.and_then(|symbol| symbol.name()).or_else(|| frame.func_name());
        let source =
            symbol.and_then(|symbol| Some(SourceLine { file: symbol.file()?.to_owned(), line: symbol.line()? }));
        Frame {
            module: frame.module().name().map(str::to_owned),
            function: name.map(str::to_owned),
            index: frame.func_index(),
            offset: frame.module_offset().map(|offset| offset as u64),
            source,
        }
    };
    backtrace.frames().iter().map(frame).collect()
}
