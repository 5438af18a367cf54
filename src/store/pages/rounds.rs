//! Callers that want everything so far to be durable share rounds: whoever comes while one runs
//! waits for the next, which one of them runs for all. Does no I/O itself.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::store::StoreError;

/// Why a round did not succeed.
pub(super) enum RoundError {
    /// The next round can make up for it.
    Passing(StoreError),
    /// What the round was to make durable may be lost: no later one is trusted.
    Final(StoreError),
}

#[derive(Default)]
struct State {
    started: u64,
    running: bool,
    waiting: usize,
    /// The last round that succeeded.
    succeeded: u64,
    failed: Option<Arc<StoreError>>,
}

/// The rounds of one `Pages`.
#[derive(Default)]
pub(super) struct Rounds {
    state: Mutex<State>,
    ended: Condvar,
}

impl Rounds {
    /// Returns when a round that began after this call has succeeded.
    pub(super) fn join(
        &self,
        round: impl FnOnce() -> Result<(), RoundError>,
    ) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        let wanted = state.started + 1;
        loop {
            if let Some(failure) = &state.failed {
                return Err(StoreError::SegmentsFailed(Arc::clone(failure)));
            }
            if state.succeeded >= wanted {
                return Ok(());
            }
            if !state.running {
                break;
            }
            state.waiting += 1;
            self.ended.wait(&mut state);
            state.waiting -= 1;
        }
        state.started += 1;
        state.running = true;
        let number = state.started;
        drop(state);
        let result = round();
        self.end(number, result)
    }

    fn end(&self, number: u64, result: Result<(), RoundError>) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        state.running = false;
        self.ended.notify_all();
        match result {
            Ok(()) => {
                state.succeeded = number;
                Ok(())
            }
            Err(RoundError::Passing(error)) => Err(error),
            Err(RoundError::Final(error)) => {
                let failure = Arc::new(error);
                state.failed = Some(Arc::clone(&failure));
                Err(StoreError::SegmentsFailed(failure))
            }
        }
    }

    /// How many callers wait for a round that another one runs.
    pub(super) fn waiting(&self) -> usize {
        self.state.lock().waiting
    }

    /// Why no round succeeds any more.
    pub(super) fn failed(&self) -> Option<Arc<StoreError>> {
        self.state.lock().failed.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn error() -> StoreError {
        let path = Path::new("some/file").to_path_buf();
        StoreError::MissingFile { path }
    }

    #[test]
    fn a_passing_failure_is_told_once_and_the_next_round_runs() {
        let rounds = Rounds::default();
        let failed = rounds.join(|| Err(RoundError::Passing(error())));
        assert!(matches!(failed, Err(StoreError::MissingFile { .. })));
        let mut ran = false;
        let joined = rounds.join(|| {
            ran = true;
            Ok(())
        });
        assert!(joined.is_ok() && ran && rounds.failed().is_none());
    }

    #[test]
    fn after_a_final_failure_no_round_runs() {
        let rounds = Rounds::default();
        let failed = rounds.join(|| Err(RoundError::Final(error())));
        assert!(matches!(failed, Err(StoreError::SegmentsFailed(_))));
        let failed = rounds.join(|| panic!("a round runs"));
        assert!(matches!(failed, Err(StoreError::SegmentsFailed(_))));
        assert!(rounds.failed().is_some());
    }

    #[test]
    fn callers_that_waited_for_a_round_that_failed_in_passing_run_their_own() {
        let rounds = Rounds::default();
        std::thread::scope(|scope| {
            let second = || rounds.join(|| Ok(()));
            let first = rounds.join(|| {
                let waiting = scope.spawn(second);
                while rounds.waiting() == 0 {
                    assert!(!waiting.is_finished(), "it does not wait");
                    std::thread::yield_now();
                }
                Err(RoundError::Passing(error()))
            });
            assert!(first.is_err());
        });
        let state = rounds.state.lock();
        assert_eq!((state.started, state.succeeded), (2, 2));
    }
}
