//! What a run is given: doors into this machine ([`Grants`]), how much it may use ([`Limits`]), and where its standard
//! streams go ([`Streams`]). Plain data with closed defaults; nothing here opens anything.

use std::path::PathBuf;
use std::time::Duration;

/// What a guest may see of this machine. The default is nothing: virtual time, seeded random, no files, no network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Seconds since 1970 at which virtual time starts, usually `SOURCE_DATE_EPOCH`.
    pub epoch_seconds: u64,
    /// The machine's own clocks and file times, instead of virtual ones.
    pub allow_clock: bool,
    /// The machine's own random numbers, instead of seeded ones.
    pub allow_random: bool,
    /// Which hosts may be resolved and connected to.
    pub network: Network,
    /// Directories, in the order in which the guest is told of them.
    pub dirs: Vec<Dir>,
    /// Environment variables, in the order in which the guest is told of them.
    pub env: Vec<(String, String)>,
    /// Use of a clock or of random numbers that were not granted is a trap that names the import.
    pub strict: bool,
}

/// A directory of this machine, visible to the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dir {
    /// Where it is here.
    pub host: PathBuf,
    /// What the guest calls it.
    pub guest: String,
    /// Whether the guest may change what is in it.
    pub access: Access,
}

/// What may be done with a granted directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read files, list directories.
    ReadOnly,
    /// Create, change and delete as well.
    ReadWrite,
}

/// Which part of the network a guest may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Network {
    /// None of it.
    #[default]
    Closed,
    /// Outgoing traffic to these hosts only.
    Hosts(Vec<HostPort>),
    /// All of it, listening included.
    Open,
}

/// A host a guest may connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// A domain name, or an IP address without brackets.
    pub host: String,
    /// One port, or any.
    pub port: Option<u16>,
}

/// How much a run may use before it is stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all linear memories and tables together.
    pub memory_bytes: u64,
    /// Units of work; roughly one per WebAssembly instruction. Equal on every machine.
    pub fuel: u64,
    /// Real time. Depends on the machine, so it is only there when asked for.
    pub timeout: Option<Duration>,
    /// Bytes kept of each captured stream.
    pub output_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_bytes: 1 << 30, fuel: 1_000_000_000_000, timeout: None, output_bytes: 16 << 20 }
    }
}

/// Where standard input, output and error lead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Streams {
    /// What the guest reads.
    pub stdin: Stdin,
    /// Where its output goes.
    pub stdout: Output,
    /// Where its complaints go.
    pub stderr: Output,
}

/// What a guest reads from standard input.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Stdin {
    /// Nothing: the first read is the end.
    #[default]
    Empty,
    /// Nothing, and [`Outcome`](super::Outcome) says whether the guest would have liked to read.
    Withheld,
    /// These bytes.
    Bytes(Vec<u8>),
    /// Whatever this process is given.
    Inherit,
}

/// Where an output stream goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Output {
    /// Into the [`Outcome`](super::Outcome), up to [`Limits::output_bytes`].
    #[default]
    Capture,
    /// To the same stream of this process.
    Inherit,
}
