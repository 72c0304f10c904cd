//! The two limits that need a hand of ours: memory, counted over everything a store holds, and real time. Fuel and
//! stack are the engine's own.

use std::fmt;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use wasmtime::{Engine, ResourceLimiter, Store, UpdateDeadline};

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

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        Ok(self.grow(current as u64 * TABLE_ELEMENT_BYTES, desired as u64 * TABLE_ELEMENT_BYTES))
    }
}

/// The error that ends a run whose time is over.
#[derive(Debug)]
pub(super) struct TimeIsUp;

impl fmt::Display for TimeIsUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time limit ran out")
    }
}

impl std::error::Error for TimeIsUp {}

/// Ends a run at a moment of real time. Runs with a thread of its own, and only where a timeout was given.
pub(super) struct Watchdog {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Arms `store` to stop at `deadline`.
    ///
    /// The epoch belongs to the engine and so to every store in it: each store therefore asks the time when the epoch
    /// moves, instead of taking a move for its own end.
    pub(super) fn start<T>(engine: &Engine, store: &mut Store<T>, deadline: Instant) -> Self {
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| {
            if Instant::now() >= deadline { Err(TimeIsUp.into()) } else { Ok(UpdateDeadline::Continue(1)) }
        });
        let (stop, stopped) = mpsc::channel();
        let engine = engine.clone();
        let thread = std::thread::spawn(move || {
            loop {
                let left = deadline.saturating_duration_since(Instant::now());
                if stopped.recv_timeout(left) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                engine.increment_epoch();
                // The guest may have been in a host call and start anew with a deadline one move ahead.
                if stopped.recv_timeout(Duration::from_millis(10)) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }

    /// Arms `store` never to stop for the time: another store's watchdog may still move the epoch.
    pub(super) fn none<T>(store: &mut Store<T>) {
        store.set_epoch_deadline(u64::MAX / 2);
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Continue(u64::MAX / 2)));
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
