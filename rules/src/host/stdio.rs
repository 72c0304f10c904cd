//! `wasi:cli`'s streams: a guest can't tell where they lead. Input is there whenever it is asked for, as much may be
//! written at once to a file as to a captured stream, and nothing is a terminal.
//!
//! Input that is this process's own is read when the guest reads, and the guest waits: to find out whether something
//! has arrived yet would be to look at a clock. Only a run that was given a clock or the network anyway has input that
//! may be late.

use std::io::{self, Read as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use wasmtime::component::Resource;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::StdinStream as _;
use wasmtime_wasi::p2::bindings::cli::terminal_input::TerminalInput;
use wasmtime_wasi::p2::bindings::cli::terminal_output::TerminalOutput;
use wasmtime_wasi::p2::bindings::cli::{stderr, stdin, stdout, terminal_stderr, terminal_stdin, terminal_stdout};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, Pollable, StreamError, StreamResult,
};

use super::grants::{Output, Stdin, Streams};
use super::limits::{OutputIsFull, Patience};
use super::state::State;

/// Bytes that may be read or written at once, whatever is at the other end; what wasmtime-wasi allows for its own.
const CHUNK_BYTES: usize = 64 << 10;

/// The three streams of a run.
pub(super) struct Stdio {
    stdin: Source,
    stdout: Sink,
    stderr: Sink,
}

impl Stdio {
    /// Streams that lead where `streams` says. `input_is_live`: this process's input may be late.
    pub(super) fn new(streams: &Streams, limit_bytes: usize, input_is_live: bool, patience: &Patience) -> Self {
        let sink = |output, own| match output {
            Output::Capture => Sink::Captured(Arc::new(Mutex::new(Vec::new())), limit_bytes),
            Output::Inherit => own,
        };
        Self {
            stdin: match &streams.stdin {
                Stdin::Empty => Source::Given(Arc::default()),
                Stdin::Withheld => Source::Withheld(Arc::default()),
                Stdin::Bytes(bytes) => Source::Given(Arc::new(Mutex::new(Bytes::from(bytes.clone())))),
                Stdin::Inherit if input_is_live => Source::Live,
                Stdin::Inherit => Source::Own(patience.clone()),
            },
            stdout: sink(streams.stdout, Sink::Stdout),
            stderr: sink(streams.stderr, Sink::Stderr),
        }
    }

    /// What was captured of standard output and standard error.
    pub(super) fn captured(&self) -> (Vec<u8>, Vec<u8>) {
        (self.stdout.captured(), self.stderr.captured())
    }

    /// Whether the guest read from input that was withheld.
    pub(super) fn missed_input(&self) -> bool {
        matches!(&self.stdin, Source::Withheld(was_read) if was_read.load(Ordering::Relaxed))
    }
}

/// Where input comes from.
#[derive(Clone)]
enum Source {
    /// What is left of the bytes that were given.
    Given(Arc<Mutex<Bytes>>),
    /// Nowhere; true once the guest has read.
    Withheld(Arc<AtomicBool>),
    /// This process, and the guest waits for it.
    Own(Patience),
    /// This process, as things are.
    Live,
}

#[async_trait]
impl Pollable for Source {
    async fn ready(&mut self) {}
}

#[async_trait]
impl InputStream for Source {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size == 0 {
            return Ok(Bytes::new());
        }
        match self {
            Self::Given(bytes) => {
                let mut bytes = lock(bytes);
                match bytes.len() {
                    0 => Err(StreamError::Closed),
                    left => Ok(bytes.split_to(size.min(left).min(CHUNK_BYTES))),
                }
            }
            Self::Withheld(was_read) => {
                was_read.store(true, Ordering::Relaxed);
                Err(StreamError::Closed)
            }
            Self::Own(patience) => read_own(size.min(CHUNK_BYTES), patience),
            Self::Live => unreachable!("live input is wasmtime-wasi's"),
        }
    }
}

/// Reads this process's input; a run whose time is over meanwhile does not wait for it.
fn read_own(size: usize, patience: &Patience) -> StreamResult<Bytes> {
    let read = move || {
        let mut bytes = vec![0; size];
        io::stdin().lock().read(&mut bytes).map(|length| {
            bytes.truncate(length);
            bytes
        })
    };
    let read = if patience.is_endless() {
        read()
    } else {
        let (reader, answer) = mpsc::channel();
        // Nobody may be left to hear of it; then the process is about to end as well.
        std::thread::spawn(move || drop(reader.send(read())));
        loop {
            match answer.recv_timeout(Patience::TICK) {
                Ok(read) => break read,
                Err(mpsc::RecvTimeoutError::Timeout) => patience.check().map_err(StreamError::Trap)?,
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err(StreamError::Closed),
            }
        }
    };
    match read {
        Ok(bytes) if bytes.is_empty() => Err(StreamError::Closed),
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => Err(StreamError::LastOperationFailed(error.into())),
    }
}

/// Where output goes.
#[derive(Clone)]
enum Sink {
    /// To be kept, up to so many bytes.
    Captured(Arc<Mutex<Vec<u8>>>, usize),
    Stdout,
    Stderr,
}

impl Sink {
    fn captured(&self) -> Vec<u8> {
        match self {
            Self::Captured(bytes, _) => std::mem::take(&mut *lock(bytes)),
            Self::Stdout | Self::Stderr => Vec::new(),
        }
    }
}

#[async_trait]
impl Pollable for Sink {
    async fn ready(&mut self) {}
}

impl OutputStream for Sink {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        match self {
            Self::Captured(kept, limit) => {
                let mut kept = lock(kept);
                let room = *limit - kept.len();
                kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
                // A stream that merely closed could be ignored, and the guest would write on for ever.
                if bytes.len() > room { Err(StreamError::Trap(OutputIsFull.into())) } else { Ok(()) }
            }
            Self::Stdout => io::stdout().write_all(&bytes).map_err(failed),
            Self::Stderr => io::stderr().write_all(&bytes).map_err(failed),
        }
    }

    fn flush(&mut self) -> StreamResult<()> {
        match self {
            Self::Captured(..) => Ok(()),
            Self::Stdout => io::stdout().flush().map_err(failed),
            Self::Stderr => io::stderr().flush().map_err(failed),
        }
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(CHUNK_BYTES)
    }
}

fn failed(error: io::Error) -> StreamError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => StreamError::Closed,
        _ => StreamError::LastOperationFailed(error.into()),
    }
}

/// Whoever panicked with the lock held left whole bytes behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl stdin::Host for State {
    fn get_stdin(&mut self) -> wasmtime::Result<Resource<DynInputStream>> {
        let stream: DynInputStream = match &self.stdio.stdin {
            Source::Live => wasmtime_wasi::cli::stdin().p2_stream(),
            source => Box::new(source.clone()),
        };
        Ok(self.table.push(stream)?)
    }
}

impl stdout::Host for State {
    fn get_stdout(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        let stream: DynOutputStream = Box::new(self.stdio.stdout.clone());
        Ok(self.table.push(stream)?)
    }
}

impl stderr::Host for State {
    fn get_stderr(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        let stream: DynOutputStream = Box::new(self.stdio.stderr.clone());
        Ok(self.table.push(stream)?)
    }
}

impl terminal_stdin::Host for State {
    fn get_terminal_stdin(&mut self) -> wasmtime::Result<Option<Resource<TerminalInput>>> {
        Ok(None)
    }
}

impl terminal_stdout::Host for State {
    fn get_terminal_stdout(&mut self) -> wasmtime::Result<Option<Resource<TerminalOutput>>> {
        Ok(None)
    }
}

impl terminal_stderr::Host for State {
    fn get_terminal_stderr(&mut self) -> wasmtime::Result<Option<Resource<TerminalOutput>>> {
        Ok(None)
    }
}
