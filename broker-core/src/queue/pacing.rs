//! Publishers do not run ahead of consumers that take what they can.
//!
//! A message that waits is copied, and many of them lie in memory that no cache holds. So while
//! [`PACE_FROM_BYTES`] or more are ready and the consumers go on taking, connections that publish
//! here are paced: they are read again when fewer than [`RESUME_BELOW_BYTES`] are left, or at the
//! next tick of the process, whichever comes first. Nobody is ever stopped. From
//! [`BACKLOG_FROM_BYTES`] on the queue is a store and takes what comes.
//!
//! Who consumes from the queue is never paced by it: its acks travel behind its publishes. A queue
//! without consumers, or whose consumers have taken nothing for a while, paces nobody.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::Queue;
use super::effects::Effects;
use super::tally::Tally;
use crate::inbox::Inbox;
use crate::time::Timestamp;

/// From here on publishers wait for the consumers.
const PACE_FROM_BYTES: u64 = 128 * 1024;

/// Below this they go on.
const RESUME_BELOW_BYTES: u64 = 64 * 1024;

/// From here on the consumers cannot be expected to catch up soon.
const BACKLOG_FROM_BYTES: u64 = 64 * 1024 * 1024;

/// Consumers that took nothing for longer have stopped.
const TAKING_MS: u64 = 50;

/// What a ready message counts beside its body: head, names and properties.
const MESSAGE_BYTES: u64 = 64;

/// Room for so many paced connections is kept; with more, closed ones are looked for.
const PACED_KEPT: usize = 16;

/// Whether who publishes now waits for the consumers, who last took something `idle_ms` ago.
fn paces(ready_bytes: u64, idle_ms: u64) -> bool {
    (PACE_FROM_BYTES..BACKLOG_FROM_BYTES).contains(&ready_bytes) && idle_ms <= TAKING_MS
}

/// Whether those that wait go on.
fn resumes(ready_bytes: u64) -> bool {
    !(RESUME_BELOW_BYTES..BACKLOG_FROM_BYTES).contains(&ready_bytes)
}

/// Roughly the memory of ready messages.
fn ready_bytes(ready: Tally) -> u64 {
    ready.bytes + ready.count * MESSAGE_BYTES
}

/// Whom the queue paces, and whether its consumers take.
#[derive(Debug, Default)]
pub(super) struct Pacing {
    /// Deliveries so far.
    taken: u64,
    /// When there were last more of them than before.
    taken_at: Option<Timestamp>,
    /// By address, which stays taken as long as the inbox is held. The tick may have let some of
    /// them go meanwhile.
    paced: FxHashMap<usize, Arc<Inbox>>,
}

impl Pacing {
    fn add(&mut self, publisher: &Arc<Inbox>) {
        if self.paced.len() >= PACED_KEPT && self.paced.len() == self.paced.capacity() {
            self.paced.retain(|_, inbox| !inbox.is_closed());
        }
        self.paced
            .entry(Arc::as_ptr(publisher).addr())
            .or_insert_with(|| Arc::clone(publisher));
        publisher.pace();
    }

    fn let_go(&mut self, effects: &mut Effects) {
        effects
            .unpaced
            .extend(self.paced.drain().map(|(_, inbox)| inbox));
        self.paced.shrink_to(PACED_KEPT);
    }
}

impl Queue {
    /// A batch of `publisher` was taken: has it wait if it runs ahead.
    pub(super) fn pace(&mut self, publisher: Option<&Arc<Inbox>>) {
        let (Some(publisher), Some(taken_at)) = (publisher, self.pacing.taken_at) else {
            return;
        };
        if paces(ready_bytes(self.ready.tally()), self.now.since(taken_at))
            && !self.consumers.is_empty()
            && !self.consumers.has_connection(publisher)
        {
            self.pacing.add(publisher);
        }
    }

    /// Sees whether the consumers take, and lets publishers go on when it is time.
    pub(super) fn unpace(&mut self, effects: &mut Effects) {
        let taken = self.totals.deliver + self.totals.deliver_no_ack;
        if taken != self.pacing.taken {
            self.pacing.taken = taken;
            self.pacing.taken_at = Some(self.now);
        }
        if !self.pacing.paced.is_empty()
            && (self.consumers.is_empty() || resumes(ready_bytes(self.ready.tally())))
        {
            self.pacing.let_go(effects);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pacing_begins_at_its_limit_and_ends_at_a_backlog() {
        assert!(!paces(PACE_FROM_BYTES - 1, 0));
        assert!(paces(PACE_FROM_BYTES, 0));
        assert!(paces(PACE_FROM_BYTES + 1, 0));
        assert!(paces(BACKLOG_FROM_BYTES - 1, 0));
        assert!(!paces(BACKLOG_FROM_BYTES, 0));
        assert!(!paces(BACKLOG_FROM_BYTES + 1, 0));
    }

    #[test]
    fn consumers_that_stopped_pace_nobody() {
        assert!(paces(PACE_FROM_BYTES, TAKING_MS - 1));
        assert!(paces(PACE_FROM_BYTES, TAKING_MS));
        assert!(!paces(PACE_FROM_BYTES, TAKING_MS + 1));
    }

    #[test]
    fn the_paced_go_on_below_the_low_mark_and_at_a_backlog() {
        assert!(resumes(RESUME_BELOW_BYTES - 1));
        assert!(!resumes(RESUME_BELOW_BYTES));
        assert!(!resumes(PACE_FROM_BYTES));
        assert!(!resumes(BACKLOG_FROM_BYTES - 1));
        assert!(resumes(BACKLOG_FROM_BYTES));
    }

    #[test]
    fn closed_connections_are_not_held_for_ever() {
        let mut pacing = Pacing::default();
        for _ in 0..1_000 {
            let publisher = Inbox::new();
            pacing.add(&publisher);
            publisher.close();
        }
        assert!(
            pacing.paced.len() <= 2 * PACED_KEPT,
            "{}",
            pacing.paced.len()
        );
    }
}
