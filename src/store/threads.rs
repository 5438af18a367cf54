//! The two threads of a store: the log thread, which commits one group after the other, and
//! upkeep. A panic in either stops the store; neither decides anything here.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::StoreError;
use super::core::Core;
use super::error::panic_message;
use super::requests::Round;
use super::upkeep::Upkeep;
use super::writer::Writer;

const LOG_THREAD: &str = "leveret-log";
const UPKEEP_THREAD: &str = "leveret-upkeep";

/// Starts the log thread; it ends when the store drains, stops or fails.
pub(super) fn spawn_log(core: Arc<Core>, mut writer: Writer) -> Result<JoinHandle<()>, StoreError> {
    spawn(LOG_THREAD, move || {
        let commit_all = || {
            while let Some(group) = core.next_group() {
                if !core.commit(&mut writer, group) {
                    break;
                }
            }
        };
        guard(&core, LOG_THREAD, commit_all);
    })
}

/// Starts upkeep; it ends when asked to and gives itself back, unless it panicked.
pub(super) fn spawn_upkeep(mut upkeep: Upkeep) -> Result<JoinHandle<Option<Upkeep>>, StoreError> {
    spawn(UPKEEP_THREAD, move || {
        let core = Arc::clone(&upkeep.core);
        guard(&core, UPKEEP_THREAD, || {
            while let Some(round) = core.requests.next_round(upkeep.patience()) {
                upkeep.prepare();
                let done = upkeep.round(matches!(round, Round::Asked(_)));
                core.requests.finish_round(round, done.err());
            }
            upkeep
        })
    })
}

fn spawn<T: Send + 'static>(
    name: &'static str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, StoreError> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(body);
    spawned.map_err(StoreError::io("start the thread", Path::new(name)))
}

fn guard<T>(core: &Core, thread: &'static str, body: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => Some(value),
        Err(panic) => {
            let message = panic_message(&*panic);
            // The panic may have come from `notify`, which must not take the report down too.
            let fail = || core.fail(StoreError::Panicked { thread, message });
            if catch_unwind(AssertUnwindSafe(fail)).is_err() {
                tracing::error!(thread, "announcing the panic panicked");
            }
            None
        }
    }
}

/// Waits for a thread to end, unless it is this one: `notify` may drop the last store.
pub(super) fn join<T>(handle: JoinHandle<T>) -> Option<T> {
    if handle.thread().id() == thread::current().id() {
        return None;
    }
    handle.join().ok()
}
