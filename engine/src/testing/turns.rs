//! Turns: several simulated processes of which one runs at a time, and a seed says which.
//!
//! Each is a thread that stops at every step it takes and goes on when it is its turn again, so what they do to each
//! other happens in one order, the same each time the seed is used.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::faults::Rng;

/// Whose turn it is.
#[derive(Debug)]
pub(super) struct Turns {
    state: Mutex<State>,
    woken: Vec<Condvar>,
}

#[derive(Debug)]
struct State {
    switches: usize,
    rng: Rng,
    running: usize,
    /// Those that have not ended.
    open: Vec<usize>,
}

/// How often in a thousand steps somebody else goes on: some processes take turns, some are stopped for long.
const SWITCHES: [usize; 3] = [20, 120, 500];

impl Turns {
    /// For processes 0 to `n`, at least one; which one begins is chosen.
    pub(super) fn new(n: usize, mut rng: Rng) -> Self {
        let running = rng.below(n);
        let switches = SWITCHES[rng.below(SWITCHES.len())];
        let state = State { switches, rng, running, open: (0..n).collect() };
        Self { state: Mutex::new(state), woken: (0..n).map(|_| Condvar::new()).collect() }
    }

    /// Waits for the first turn.
    fn begin(&self, who: usize) {
        drop(self.wait(self.lock(), who));
    }

    /// A step is over: perhaps somebody else goes on. Returns when it is this one's turn again.
    pub(super) fn pass(&self, who: usize) {
        let mut state = self.lock();
        let switches = state.switches;
        if state.rng.chance(switches) {
            let n = state.open.len();
            let next = state.rng.below(n);
            self.give(state, who, next);
        }
    }

    /// Lets somebody else go on, if there is anybody else.
    pub(super) fn pass_on(&self, who: usize) {
        let mut state = self.lock();
        let others = state.open.len() - 1;
        if others > 0 {
            let at = state.open.iter().position(|open| *open == who).expect("who waits has not ended");
            let next = (at + 1 + state.rng.below(others)) % state.open.len();
            self.give(state, who, next);
        }
    }

    fn give(&self, mut state: MutexGuard<'_, State>, who: usize, next: usize) {
        state.running = state.open[next];
        if state.running != who {
            self.woken[state.running].notify_one();
            drop(self.wait(state, who));
        }
    }

    fn end(&self, who: usize) {
        let mut state = self.lock();
        state.open.retain(|open| *open != who);
        if !state.open.is_empty() {
            let n = state.open.len();
            let next = state.rng.below(n);
            state.running = state.open[next];
            self.woken[state.running].notify_one();
        }
    }

    fn wait<'a>(&'a self, mut state: MutexGuard<'a, State>, who: usize) -> MutexGuard<'a, State> {
        while state.running != who {
            state = self.woken[who].wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state
    }

    /// Whole between any two statements.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The threads that simulated processes run on, used again from one simulation to the next.
#[derive(Debug)]
pub struct Stage(Vec<ThreadPool>);

impl Stage {
    /// Threads for up to `n` processes at once.
    ///
    /// # Panics
    /// When the machine has no threads left.
    #[must_use]
    pub fn new(n: usize) -> Self {
        // A pool of one thread: what the engine would do on all threads of a pool happens on this one, in one order.
        let pool = || ThreadPoolBuilder::new().num_threads(1).build().expect("a thread can be started");
        Self((0..n).map(|_| pool()).collect())
    }

    /// Runs one process for each of `turns`, and returns when all have ended.
    pub(super) fn run(&self, turns: &Turns, process: &(dyn Fn(usize) + Sync)) {
        self.run_from(0, turns, process);
    }

    fn run_from(&self, who: usize, turns: &Turns, process: &(dyn Fn(usize) + Sync)) {
        if who < turns.woken.len() {
            self.0[who].in_place_scope(|scope| {
                scope.spawn(move |_| {
                    turns.begin(who);
                    // Also when it panics: the others have to go on.
                    let _ends = Ends { turns, who };
                    process(who);
                });
                self.run_from(who + 1, turns, process);
            });
        }
    }
}

struct Ends<'a> {
    turns: &'a Turns,
    who: usize,
}

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.turns.end(self.who);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(seed: u64) -> Vec<usize> {
        let turns = Turns::new(5, Rng::new(seed));
        let order = Mutex::new(Vec::new());
        Stage::new(5).run(&turns, &|who| {
            for step in 0..40 {
                order.lock().unwrap().push(who);
                if step % 7 == 0 { turns.pass_on(who) } else { turns.pass(who) }
            }
        });
        order.into_inner().unwrap()
    }

    #[test]
    fn one_runs_at_a_time_and_a_seed_says_which() {
        let one = order(1);
        assert_eq!(one.len(), 200);
        assert_eq!(one, order(1));
        assert_ne!(one, order(2));
    }
}
