//! The limits that need a hand of ours: memory, counted over everything a store holds, the number of things in it, and
//! real time. Fuel and stack are the engine's own.

use std::fmt;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use run_engine::cancel::Cancel;
use wasmtime::{Engine, ResourceLimiter, Store, UpdateDeadline};

/// Core instances of one run. What an instance costs beside its memories is not metered, so they are counted.
pub(super) const INSTANCES_MAX: usize = 10_000;

/// Memories of one run. Each takes 4 GiB of address space, however small it is.
pub(super) const MEMORIES_MAX: usize = 1_000;

/// Tables of one run.
pub(super) const TABLES_MAX: usize = 10_000;

/// Handles of one run: streams, files, timers and what else the host keeps for a guest at a time.
pub(super) const HANDLES_MAX: usize = 100_000;

/// Bytes that a guest may hand to the host in one call.
pub(super) const CALL_BYTES_MAX: usize = 128 << 20;

/// What a table element is counted as: a pointer on a 64-bit machine, on every machine.
const TABLE_ELEMENT_BYTES: u64 = 8;

/// Counts memories and tables, and remembers the first growth it refused.
pub(super) struct Meter {
    limit_bytes: u64,
    used_bytes: u64,
    refused_bytes: Option<u64>,
}

impl Meter {
    pub(super) fn new(limit_bytes: u64) -> Self {
        Self { limit_bytes, used_bytes: 0, refused_bytes: None }
    }

    /// What all memories and tables would have come to, had the first refused growth been allowed.
    pub(super) fn refused_bytes(&self) -> Option<u64> {
        self.refused_bytes
    }

    fn grow(&mut self, current_bytes: u64, desired_bytes: u64) -> bool {
        let wanted = self.used_bytes.saturating_sub(current_bytes).saturating_add(desired_bytes);
        if wanted > self.limit_bytes {
            self.refused_bytes.get_or_insert(wanted);
            return false;
        }
        self.used_bytes = wanted;
        true
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        // Beyond its own maximum a memory may never grow: that is the guest's rule, not our limit.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        Ok(self.grow(current as u64, desired as u64))
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        // To a guest, a machine that is out of memory must not look like one with a limit: it would answer otherwise.
        if is_of_the_machine(&error) { Err(error) } else { Ok(()) }
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        Ok(self.grow(current as u64 * TABLE_ELEMENT_BYTES, desired as u64 * TABLE_ELEMENT_BYTES))
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }
}

/// Whether the engine could not get from the operating system what a guest was allowed to have.
pub(super) fn is_of_the_machine(error: &wasmtime::Error) -> bool {
    error.root_cause().is::<rustix::io::Errno>() || error.root_cause().is::<std::io::Error>()
}

/// The error that ends a run that wrote more than is captured.
#[derive(Debug)]
pub(super) struct OutputIsFull;

impl fmt::Display for OutputIsFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too much output")
    }
}

impl std::error::Error for OutputIsFull {}

/// The error that ends a run whose time is over.
#[derive(Debug)]
pub(super) struct TimeIsUp;

impl fmt::Display for TimeIsUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time limit ran out")
    }
}

impl std::error::Error for TimeIsUp {}

/// The error that ends a run because somebody asked for an end.
#[derive(Debug)]
pub(super) struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// How long a run may go on: until a moment of real time, and until somebody asks for an end.
#[derive(Debug, Clone)]
pub(super) struct Patience {
    deadline: Option<Instant>,
    cancel: Option<Cancel>,
}

impl Patience {
    /// How long it may take until a run hears that it is over.
    pub(super) const TICK: Duration = Duration::from_millis(10);

    /// Patience that begins now.
    pub(super) fn new(timeout: Option<Duration>, cancel: Option<Cancel>) -> Self {
        Self { deadline: timeout.and_then(|timeout| Instant::now().checked_add(timeout)), cancel }
    }

    /// Whether nothing will ever end it.
    pub(super) fn is_endless(&self) -> bool {
        self.deadline.is_none() && self.cancel.is_none()
    }

    /// An error when it is over.
    pub(super) fn check(&self) -> wasmtime::Result<()> {
        if self.cancel.as_ref().is_some_and(Cancel::is_cancelled) {
            return Err(Interrupted.into());
        }
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(TimeIsUp.into()),
            _ => Ok(()),
        }
    }

    /// How long to wait before the next [`Self::check`]; `None` where none is needed.
    pub(super) fn pause(&self) -> Option<Duration> {
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        match (&self.cancel, left) {
            (None, left) => left,
            (Some(_), None) => Some(Self::TICK),
            (Some(_), Some(left)) => Some(left.min(Self::TICK)),
        }
    }
}

/// Ends a run whose patience is over. Has a thread of its own, and only where there is something to watch.
pub(super) struct Watchdog {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Arms `store` to stop when `patience` is over.
    ///
    /// The epoch belongs to the engine and so to every store in it: each store therefore looks at its own patience when
    /// the epoch moves, instead of taking a move for its own end.
    pub(super) fn start<T>(engine: &Engine, store: &mut Store<T>, patience: Patience) -> Self {
        if patience.is_endless() {
            // Another store's watchdog may still move the epoch.
            store.set_epoch_deadline(u64::MAX / 2);
            store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Continue(u64::MAX / 2)));
            return Self { stop: None, thread: None };
        }
        store.set_epoch_deadline(1);
        let guests = patience.clone();
        store.epoch_deadline_callback(move |_| guests.check().map(|()| UpdateDeadline::Continue(1)));
        let (stop, stopped) = mpsc::channel();
        let engine = engine.clone();
        let thread = std::thread::spawn(move || {
            while let Some(pause) = patience.pause() {
                if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                if patience.check().is_err() {
                    engine.increment_epoch();
                    // The guest may have been in a host call and start anew with a deadline one move ahead.
                    if stopped.recv_timeout(Patience::TICK) != Err(RecvTimeoutError::Timeout) {
                        return;
                    }
                }
            }
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It does nothing that can panic, and there is nobody to tell.
            let _ = thread.join();
        }
    }
}
