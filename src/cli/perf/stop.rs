//! When a run ends: by its own clock, by a signal, or by the first thing that goes wrong.
//! Owns the flags every worker looks at and the error that is reported; never touches sockets.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Poll;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::signal::unix::{SignalKind, signal};

use super::error::PerfError;

/// Shared by all threads of a run.
#[derive(Default)]
pub(super) struct Stop {
    publishing_over: AtomicBool,
    over: AtomicBool,
    interrupted: AtomicBool,
    failure: Mutex<Option<PerfError>>,
    changed: Condvar,
}

impl Stop {
    /// No more publishes; consumers go on.
    pub(super) fn end_publishing(&self) {
        self.publishing_over.store(true, Relaxed);
    }

    /// Everything ends now.
    pub(super) fn end(&self) {
        let _guard = self.failure.lock();
        self.publishing_over.store(true, Relaxed);
        self.over.store(true, Relaxed);
        self.changed.notify_all();
    }

    /// Everything ends because of `error`, unless a better explanation is known already.
    pub(super) fn fail(&self, error: PerfError) {
        let mut failure = self.failure.lock();
        if failure.as_ref().is_none_or(|known| error.outranks(known)) {
            *failure = Some(error);
        }
        drop(failure);
        self.end();
    }

    /// Takes a worker's outcome; its error ends the run.
    pub(super) fn judge<T>(&self, outcome: Result<T, PerfError>) -> Option<T> {
        outcome.map_err(|error| self.fail(error)).ok()
    }

    /// What went wrong, if anything did.
    pub(super) fn take_failure(&self) -> Option<PerfError> {
        self.failure.lock().take()
    }

    pub(super) fn is_publishing_over(&self) -> bool {
        self.publishing_over.load(Relaxed)
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Relaxed)
    }

    /// Whether a signal asked for the end.
    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Relaxed)
    }

    /// Waits for the end, at most `time`; true when it has come.
    pub(super) fn wait(&self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        let mut guard = self.failure.lock();
        while !self.is_over() {
            if self.changed.wait_until(&mut guard, deadline).timed_out() {
                break;
            }
        }
        self.is_over()
    }

    fn interrupt(&self) {
        self.interrupted.store(true, Relaxed);
        self.end();
    }
}

/// Makes SIGINT and SIGTERM end the run in good order; a second one ends the process.
pub(super) fn end_on_signals(stop: Arc<Stop>) -> Result<(), PerfError> {
    let failed = |source| PerfError::Local {
        during: "watching for signals",
        source,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(failed)?;
    let (mut interrupt, mut terminate) = {
        let _context = runtime.enter();
        let open = || -> io::Result<_> {
            Ok((
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
            ))
        };
        open().map_err(failed)?
    };
    let watch = async move {
        for first in [true, false] {
            poll_fn(|context| {
                let interrupted = interrupt.poll_recv(context).is_ready();
                if interrupted | terminate.poll_recv(context).is_ready() {
                    return Poll::Ready(());
                }
                Poll::Pending
            })
            .await;
            if first {
                stop.interrupt();
            }
        }
        std::process::exit(INTERRUPTED_TWICE);
    };
    std::thread::Builder::new()
        .name("perf-signals".to_owned())
        .spawn(move || runtime.block_on(watch))
        .map_err(failed)?;
    Ok(())
}

/// What a shell reports for a process ended by SIGINT.
const INTERRUPTED_TWICE: i32 = 130;
