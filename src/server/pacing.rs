//! How long a connection that publishes faster than consumers take waits with its next read.
//!
//! A queue paces a connection (`broker_core::queue`) and lets it go on when its consumers have
//! caught up. Should they not, the connection is read all the same at the next tick, a little at a
//! time, so that nobody is stopped because a queue is long, and no method waits longer than a
//! tick. One tick serves all connections, and without paced ones nothing ticks.

use std::sync::Arc;
use std::time::Duration;

use broker_core::inbox::Inbox;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The longest that a paced connection waits; the runtime's timer may add a millisecond.
const TICK: Duration = Duration::from_millis(1);

/// Bytes read from a paced connection before it waits: who publishes little never does.
const PACED_BYTES: usize = 64 * 1024;

/// How far one connection has run ahead.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Bytes read since the connection last waited or was not paced.
    ahead: usize,
}

impl Pace {
    /// Bytes came from the socket.
    pub(super) fn read(&mut self, bytes: usize) {
        self.ahead += bytes;
    }

    /// Whether the next read must wait.
    pub(super) fn must_wait(&mut self, is_paced: bool) -> bool {
        if !is_paced {
            self.ahead = 0;
        }
        self.ahead >= PACED_BYTES
    }
}

/// Connections that wait for the next tick.
#[derive(Debug, Default)]
pub(crate) struct PacingTick {
    waiting: Mutex<Vec<Arc<Inbox>>>,
    first: Notify,
}

impl PacingTick {
    /// The connection goes on at the next tick, if nothing lets it go on before.
    pub(super) fn join(&self, inbox: &Arc<Inbox>) {
        if !inbox.join_tick() {
            return;
        }
        let mut waiting = self.waiting.lock();
        waiting.push(Arc::clone(inbox));
        let is_first = waiting.len() == 1;
        drop(waiting);
        if is_first {
            self.first.notify_one();
        }
    }

    /// Ticks while somebody waits, for ever.
    pub(crate) async fn run(self: Arc<PacingTick>) {
        loop {
            self.first.notified().await;
            tokio::time::sleep(TICK).await;
            let waiting = std::mem::take(&mut *self.waiting.lock());
            for inbox in waiting {
                inbox.tick();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;

    #[test]
    fn a_paced_connection_waits_after_its_share_and_not_a_byte_before() {
        let mut pace = Pace::default();
        pace.read(PACED_BYTES - 1);
        assert!(!pace.must_wait(true));
        pace.read(1);
        assert!(pace.must_wait(true));
        pace.read(1);
        assert!(pace.must_wait(true));
    }

    #[test]
    fn who_is_not_paced_never_waits_and_begins_anew() {
        let mut pace = Pace::default();
        pace.read(10 * PACED_BYTES);
        assert!(!pace.must_wait(false));
        pace.read(PACED_BYTES - 1);
        assert!(!pace.must_wait(true));
    }

    #[tokio::test]
    async fn the_tick_wakes_everyone_who_joined_again_and_again() {
        let ticks = Arc::<PacingTick>::default();
        let running = tokio::spawn(Arc::clone(&ticks).run());
        let inboxes = [Inbox::new(), Inbox::new()];
        for _ in 0..3 {
            for inbox in &inboxes {
                inbox.pace();
                ticks.join(inbox);
                ticks.join(inbox);
            }
            assert_eq!(ticks.waiting.lock().len(), 2, "each once");
            for inbox in &inboxes {
                // Pending for ever if the tick did not wake.
                poll_fn(|cx| {
                    inbox.look_up(cx.waker());
                    match inbox.is_paced() {
                        true => Poll::Pending,
                        false => Poll::Ready(()),
                    }
                })
                .await;
            }
        }
        running.abort();
    }
}
