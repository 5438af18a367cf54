//! What upkeep is asked to do, and how those who asked learn what came of it.
//! Does none of it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::StoreError;

/// The requests of one store.
pub(super) struct Requests {
    state: Mutex<State>,
    wake: Condvar,
    done: Condvar,
}

struct State {
    /// Something may be due.
    look: bool,
    /// Checkpoints asked for so far, and how far they came.
    asked: u64,
    done: u64,
    /// Why the last one that was asked for failed.
    error: Option<Arc<StoreError>>,
    stop: bool,
}

impl Default for Requests {
    /// At the start there may be something to do.
    fn default() -> Self {
        let state = State {
            look: true,
            asked: 0,
            done: 0,
            error: None,
            stop: false,
        };
        Requests {
            state: Mutex::new(state),
            wake: Condvar::new(),
            done: Condvar::new(),
        }
    }
}

/// Why upkeep does a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// Something may be due.
    Look,
    /// So many checkpoints were asked for, counted from the start.
    Asked(u64),
}

impl Requests {
    /// Lets upkeep see what is due.
    pub(super) fn look(&self) {
        self.state.lock().look = true;
        self.wake.notify_one();
    }

    /// Asks for a checkpoint and waits for it.
    pub(super) fn checkpoint(&self) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        state.asked += 1;
        let ours = state.asked;
        self.wake.notify_one();
        while state.done < ours {
            if state.stop {
                return Err(StoreError::Closed);
            }
            self.done.wait(&mut state);
        }
        state
            .error
            .clone()
            .map_or(Ok(()), |error| Err(StoreError::Checkpoint(error)))
    }

    /// Waits for the next round, at most `interval`. `None`: upkeep is to end.
    pub(super) fn next_round(&self, interval: Duration) -> Option<Round> {
        let mut state = self.state.lock();
        loop {
            if state.stop {
                return None;
            }
            if state.asked > state.done {
                return Some(Round::Asked(state.asked));
            }
            if std::mem::take(&mut state.look) {
                return Some(Round::Look);
            }
            if self.wake.wait_for(&mut state, interval).timed_out() {
                state.look = true;
            }
        }
    }

    /// Tells those who asked for a checkpoint what came of it.
    pub(super) fn finish_round(&self, round: Round, error: Option<Arc<StoreError>>) {
        let Round::Asked(asked) = round else { return };
        let mut state = self.state.lock();
        state.done = asked;
        state.error = error;
        self.done.notify_all();
    }

    /// Ends upkeep; whoever waits is told that the store is closed.
    pub(super) fn stop(&self) {
        self.state.lock().stop = true;
        self.wake.notify_all();
        self.done.notify_all();
    }
}
