//! Virtual `wasi:clocks`, and the `wasi:io/poll` that moves them.
//!
//! Time starts at the epoch given, stands still while the guest computes, and jumps when the guest waits: to the
//! earliest timer it waits for, and only when nothing else it waits for is ready. So an hour of sleep costs nothing,
//! two runs read the same times, and a timeout never overtakes an answer that was already there.
//!
//! Where the guest was given a live outside, the network, a timer beside such a thing is given its real time before
//! virtual time jumps: else every connection would time out at once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use wasmtime::component::Resource;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::clocks::WasiClocksView;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::sync::io::poll;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use super::state::State;
use super::strict::forbid;

/// What `resolution` answers, for both clocks.
const RESOLUTION_NS: u32 = 1;

/// What the monotonic clock reads at first. Its zero is nobody's promise, and Go's runtime takes a reading of 0 for a clock
/// that does not work.
const FIRST_READING_NS: u64 = 1;

/// Virtual time, and which of the guest's pollables are its timers.
pub(super) struct VirtualClock {
    start: Duration,
    elapsed_ns: u64,
    /// Deadlines in elapsed nanoseconds, by the pollable's place in the resource table.
    timers: HashMap<u32, u64>,
    /// Something outside may yet become ready by itself.
    outside_is_live: bool,
    strict: bool,
}

impl VirtualClock {
    pub(super) fn new(start: Duration, outside_is_live: bool, strict: bool) -> Self {
        Self { start, elapsed_ns: 0, timers: HashMap::new(), outside_is_live, strict }
    }

    fn advance_to(&mut self, deadline: u64) {
        self.elapsed_ns = self.elapsed_ns.max(deadline);
    }
}

/// Stands in the resource table for a virtual timer. Never polled: [`State`] takes timers out of every list first.
struct Timer;

#[async_trait]
impl Pollable for Timer {
    async fn ready(&mut self) {
        std::future::pending::<()>().await;
    }
}

impl wall_clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        forbid(self.clock.strict, "wasi:clocks/wall-clock.now")?;
        let now = self.clock.start.saturating_add(Duration::from_nanos(self.clock.elapsed_ns));
        Ok(wall_clock::Datetime { seconds: now.as_secs(), nanoseconds: now.subsec_nanos() })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        forbid(self.clock.strict, "wasi:clocks/wall-clock.resolution")?;
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: RESOLUTION_NS })
    }
}

impl monotonic_clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<u64> {
        forbid(self.clock.strict, "wasi:clocks/monotonic-clock.now")?;
        Ok(self.clock.elapsed_ns.saturating_add(FIRST_READING_NS))
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        forbid(self.clock.strict, "wasi:clocks/monotonic-clock.resolution")?;
        Ok(u64::from(RESOLUTION_NS))
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        forbid(self.clock.strict, "wasi:clocks/monotonic-clock.subscribe-instant")?;
        self.new_timer(when.saturating_sub(FIRST_READING_NS))
    }

    fn subscribe_duration(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        forbid(self.clock.strict, "wasi:clocks/monotonic-clock.subscribe-duration")?;
        self.new_timer(self.clock.elapsed_ns.saturating_add(when))
    }
}

/// One pollable of a list, with its place in it.
type Listed = (u32, Resource<DynPollable>);

impl poll::Host for State {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        let mut timers = Vec::new();
        let mut others = Vec::new();
        for (place, pollable) in (0..).zip(pollables) {
            match self.clock.timers.get(&pollable.rep()) {
                Some(&deadline) => timers.push((place, deadline)),
                None => others.push((place, pollable)),
            }
        }
        let Some(earliest) = timers.iter().map(|&(_, deadline)| deadline).min() else {
            return self.wait(&others, None);
        };

        let mut ready = self.ready_now(&others)?;
        if ready.is_empty() && !others.is_empty() && earliest > self.clock.elapsed_ns {
            // Files and captured streams are ready in no time at all, counted in virtual time.
            let patience = self.clock.outside_is_live.then(|| earliest - self.clock.elapsed_ns);
            ready = self.wait(&others, patience)?;
        }
        if ready.is_empty() {
            self.clock.advance_to(earliest);
        }
        let now = self.clock.elapsed_ns;
        ready.extend(timers.iter().filter(|(_, deadline)| *deadline <= now).map(|(place, _)| place));
        ready.sort_unstable();
        Ok(ready)
    }
}

impl poll::HostPollable for State {
    fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        match self.clock.timers.get(&pollable.rep()) {
            Some(&deadline) => Ok(deadline <= self.clock.elapsed_ns),
            None => poll::HostPollable::ready(&mut self.table, pollable),
        }
    }

    fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        poll::Host::poll(self, vec![pollable]).map(|_| ())
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.clock.timers.remove(&pollable.rep());
        poll::HostPollable::drop(&mut self.table, pollable)
    }
}

impl State {
    fn new_timer(&mut self, deadline: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let timer = self.table.push(Timer)?;
        let pollable = subscribe(&mut self.table, timer)?;
        self.clock.timers.insert(pollable.rep(), deadline);
        Ok(pollable)
    }

    /// The places of those that are ready without waiting.
    fn ready_now(&mut self, others: &[Listed]) -> wasmtime::Result<Vec<u32>> {
        let mut ready = Vec::new();
        for (place, pollable) in others {
            if poll::HostPollable::ready(&mut self.table, Resource::new_borrow(pollable.rep()))? {
                ready.push(*place);
            }
        }
        Ok(ready)
    }

    /// Waits in real time for one of `others`, at most `patience_ns`: then the answer is empty. Ends the run when its
    /// own patience is over first.
    fn wait(&mut self, others: &[Listed], patience_ns: Option<u64>) -> wasmtime::Result<Vec<u32>> {
        let moment = patience_ns.map(|ns| Instant::now().checked_add(Duration::from_nanos(ns)));
        loop {
            let left = moment
                .map(|moment| moment.map_or(Duration::MAX, |moment| moment.saturating_duration_since(Instant::now())));
            let pause = [left, self.patience.pause()].into_iter().flatten().min();
            let ready = self.wait_once(others, pause)?;
            self.patience.check()?;
            let is_over = left.is_some_and(|left| Some(left) == pause);
            if !ready.is_empty() || pause.is_none() || is_over {
                return Ok(ready);
            }
        }
    }

    fn wait_once(&mut self, others: &[Listed], pause: Option<Duration>) -> wasmtime::Result<Vec<u32>> {
        let mut pollables: Vec<_> = others.iter().map(|(_, p)| Resource::new_borrow(p.rep())).collect();
        let alarm = match pause {
            Some(pause) => {
                let ns = u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX);
                Some(monotonic_clock::Host::subscribe_duration(&mut self.clocks(), ns)?)
            }
            None => None,
        };
        pollables.extend(alarm.iter().map(|alarm| Resource::new_borrow(alarm.rep())));
        let ready = poll::Host::poll(&mut self.table, pollables);
        if let Some(alarm) = alarm {
            poll::HostPollable::drop(&mut self.table, alarm)?;
        }
        // The alarm's own place is beyond the list.
        Ok(ready?.into_iter().filter_map(|i| others.get(i as usize).map(|(place, _)| *place)).collect())
    }
}
