//! How a run ended, as data: values, an exit status, a trap with its frames, a limit with its remedy. Printing it is
//! the command line's business.

use wasmtime::component::Val;

use super::engine::STACK_BYTES;

/// What a run left behind.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// What the guest wrote to standard output, where that was captured.
    pub stdout: Vec<u8>,
    /// What the guest wrote to standard error, where that was captured.
    pub stderr: Vec<u8>,
    /// Units of work used; the same on every machine for the same run, unless a clock, random numbers, the network or
    /// a live standard input was granted.
    pub fuel_used: u64,
    /// The guest read from standard input that was [withheld](super::Stdin::Withheld).
    pub missed_input: bool,
}

/// The closed list of ways in which a run ends.
#[derive(Debug, Clone)]
pub enum Ending {
    /// The function returned; `None` where it has no result.
    Returned(Option<Val>),
    /// The function returned an `err(…)`; this is its payload.
    ReturnedErr(Option<Val>),
    /// The guest ended itself through `wasi:cli/exit`, or a command's `run` returned: 0 for ok, 1 for err.
    Exited(i32),
    /// The guest broke a rule, its own or the host's.
    Trapped(Trap),
    /// The guest was stopped for using too much.
    LimitHit(LimitHit),
    /// The component can't be started here: nothing provides what it imports.
    MissingImports(Vec<MissingImport>),
}

impl Ending {
    /// The status a process should exit with to say the same.
    #[must_use]
    pub fn exit_status(&self) -> i32 {
        match self {
            Self::Returned(_) => 0,
            Self::Exited(status) => *status,
            Self::ReturnedErr(_) | Self::Trapped(_) | Self::LimitHit(_) | Self::MissingImports(_) => 1,
        }
    }

    /// Whether another machine would have ended the same way. What is not so must not be cached.
    #[must_use]
    pub fn is_reproducible(&self) -> bool {
        !matches!(self, Self::LimitHit(LimitHit { limit: Limit::Stack | Limit::Time(_), .. }))
    }
}

/// A trap: what happened and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trap {
    /// What happened, such as `integer divide by zero`.
    pub message: String,
    /// The exported function that was called, in WIT terms.
    pub function: String,
    /// The guest's stack, innermost first.
    pub frames: Vec<Frame>,
}

/// One function on the guest's stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The core module's name, where its name section has one.
    pub module: Option<String>,
    /// The function's name, where the name section has one; linkers write it there demangled.
    pub function: Option<String>,
    /// The function's index in its module.
    pub index: u32,
    /// The byte in the module's code.
    pub offset: Option<u64>,
    /// The source line, where the component carries DWARF and was compiled with [`OptLevel::None`](super::OptLevel).
    pub source: Option<SourceLine>,
}

/// A line of the guest's source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceLine {
    /// The path as the guest's compiler recorded it.
    pub file: String,
    /// Counted from 1.
    pub line: u32,
}

/// A limit was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitHit {
    /// Which one.
    pub limit: Limit,
    /// Where the guest was when it was stopped.
    pub trap: Trap,
}

impl std::fmt::Display for LimitHit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.limit {
            // Memory is refused, not the guest ended: how it ended is its own story, and may be another.
            Limit::Memory { .. } => write!(f, "{}, after {}", self.trap.message, self.limit),
            limit => limit.fmt(f),
        }
    }
}

/// Which limit, and where it stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Units of work.
    Fuel(u64),
    /// Bytes of memories and tables.
    Memory {
        /// Where the limit stood.
        limit_bytes: u64,
        /// What the refused growth would have come to.
        wanted_bytes: u64,
    },
    /// Bytes of stack; always [`STACK_BYTES`].
    Stack,
    /// Real time, in milliseconds.
    Time(u64),
    /// Bytes of one captured stream.
    Output(u64),
    /// A number of things, the same for every run.
    Count {
        /// Of what, in the plural.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fuel(fuel) => write!(f, "the fuel limit of {fuel} units was used up"),
            Self::Memory { limit_bytes, wanted_bytes } => {
                write!(f, "the memory limit of {limit_bytes} bytes was hit: {wanted_bytes} bytes were asked for")
            }
            Self::Stack => write!(f, "the stack limit of {STACK_BYTES} bytes was hit"),
            Self::Time(ms) => write!(f, "the time limit of {ms} ms ran out"),
            Self::Output(bytes) => write!(f, "the output limit of {bytes} bytes was hit"),
            Self::Count { what, limit } => write!(f, "the limit of {limit} {what} was hit"),
        }
    }
}

impl Limit {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Fuel(_) => "if the guest is not in an endless loop, allow more with `--fuel`",
            Self::Memory { .. } => "allow more with `--memory`",
            Self::Stack => "look for a recursion without an end; the stack's size is fixed",
            Self::Time(_) => "allow more with `--timeout`",
            Self::Count { .. } => "have the guest use fewer at a time; the number is fixed",
            Self::Output(_) => "have the guest write less, or write to a file in a directory granted with `--dir`",
        }
    }
}

/// An import nobody provides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingImport {
    /// The interface, or the function of the world.
    pub name: String,
    /// What is wanted of it: signatures in WIT, resources, or what does not fit.
    pub wanted: Vec<String>,
}

impl std::fmt::Display for MissingImport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "nothing provides the import `{}`", self.name)?;
        match self.wanted.as_slice() {
            [] => Ok(()),
            wanted => write!(f, " ({})", wanted.join("; ")),
        }
    }
}
