//! `wasi:io/poll` with virtual timers: what is ready, and when time moves.

use std::time::{Duration, Instant};

use wasmtime::component::Resource;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock::Host as Clock;
use wasmtime_wasi::p2::bindings::sync::io::poll::{Host as Poll, HostPollable};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use super::super::limits::Patience;
use super::super::state::State;
use super::*;

const HOUR_NS: u64 = 3_600_000_000_000;

fn state(grants: &Grants, limits: &Limits) -> State {
    let patience = Patience::new(limits.timeout, None);
    State::new(grants, limits, &Streams::default(), &[], patience).unwrap()
}

fn closed_world() -> State {
    state(&Grants::default(), &Limits::default())
}

/// Something that is not a timer: ready at once, or never.
struct Other {
    is_ready: bool,
}

#[async_trait]
impl Pollable for Other {
    async fn ready(&mut self) {
        if !self.is_ready {
            std::future::pending::<()>().await;
        }
    }
}

fn other(state: &mut State, is_ready: bool) -> Resource<DynPollable> {
    let other = state.table.push(Other { is_ready }).unwrap();
    subscribe(&mut state.table, other).unwrap()
}

fn timer(state: &mut State, ns: u64) -> Resource<DynPollable> {
    state.subscribe_duration(ns).unwrap()
}

fn borrowed(pollables: &[&Resource<DynPollable>]) -> Vec<Resource<DynPollable>> {
    pollables.iter().map(|p| Resource::new_borrow(p.rep())).collect()
}

#[test]
fn time_jumps_to_the_earliest_timer() {
    let mut state = closed_world();
    let (late, early, also) = (timer(&mut state, 3), timer(&mut state, 2), timer(&mut state, 2));
    assert_eq!(state.poll(borrowed(&[&late, &early, &also])).unwrap(), [1, 2]);
    assert_eq!(Clock::now(&mut state).unwrap(), 3);
    assert_eq!(state.poll(borrowed(&[&late])).unwrap(), [0]);
    assert_eq!(Clock::now(&mut state).unwrap(), 4);
}

#[test]
fn time_stands_still_while_something_else_is_ready() {
    let mut state = closed_world();
    let (hour, ready) = (timer(&mut state, HOUR_NS), other(&mut state, true));
    assert_eq!(state.poll(borrowed(&[&hour, &ready])).unwrap(), [1]);
    assert_eq!(Clock::now(&mut state).unwrap(), 1);
}

#[test]
fn a_timer_that_is_due_is_told_beside_what_else_is_ready() {
    let mut state = closed_world();
    let (due, ready) = (timer(&mut state, 0), other(&mut state, true));
    assert_eq!(state.poll(borrowed(&[&due, &ready])).unwrap(), [0, 1]);
    let never = other(&mut state, false);
    assert_eq!(state.poll(borrowed(&[&never, &due])).unwrap(), [1]);
}

#[test]
fn beside_a_live_outside_a_timer_takes_its_real_time() {
    let grants = Grants { network: Network::Open, ..Grants::default() };
    let mut state = state(&grants, &Limits::default());
    let (timer, never) = (timer(&mut state, 20_000_000), other(&mut state, false));
    let start = Instant::now();
    assert_eq!(state.poll(borrowed(&[&never, &timer])).unwrap(), [1]);
    assert!(start.elapsed() >= Duration::from_millis(20));
    assert_eq!(Clock::now(&mut state).unwrap(), 20_000_001);
}

#[test]
fn waiting_ends_with_the_runs_own_time() {
    let limits = Limits { timeout: Some(Duration::from_millis(20)), ..Limits::default() };
    let mut state = state(&Grants::default(), &limits);
    let never = other(&mut state, false);
    let error = state.block(never).unwrap_err();
    assert_eq!(error.to_string(), "the time limit ran out");
}

#[test]
fn a_dropped_timers_place_may_be_taken_by_something_else() {
    let mut state = closed_world();
    let dropped = timer(&mut state, HOUR_NS);
    HostPollable::drop(&mut state, dropped).unwrap();
    let ready = other(&mut state, true);
    let hour = timer(&mut state, HOUR_NS);
    assert_eq!(state.poll(borrowed(&[&ready, &hour])).unwrap(), [0]);
}

#[test]
fn an_empty_list_is_a_trap() {
    assert!(closed_world().poll(Vec::new()).is_err());
}
