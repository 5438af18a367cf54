//! Publishers do not run ahead of consumers that take what they can.
//!
//! A message that waits is copied twice more, and many of them lie in memory that no cache holds.
//! So connections that publish here are paced while the consumers have no room: they are read
//! again when the consumers have taken everything and have room, or at the next tick of the
//! process, whichever comes first. Where it is a prefetch that stops the consumers, some messages
//! may wait, so that acks find the next ones at once: between [`PACE_FROM_BYTES`] and
//! [`RESUME_BELOW_BYTES`].
//!
//! Nobody is ever stopped. From [`BACKLOG_FROM_BYTES`] on the queue is a store and takes what
//! comes. Who consumes from the queue is never paced by it: its acks travel behind its publishes.
//! A queue without consumers, or whose consumers have taken nothing for a while, paces nobody.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::Queue;
use super::consumer::Consumer;
use super::effects::Effects;
use super::tally::Tally;
use crate::inbox::Inbox;
use crate::time::Timestamp;

/// From here on publishers wait, whatever stops the consumers.
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

/// What the decision depends on.
#[derive(Clone, Copy, Debug)]
struct Demand {
    /// Roughly the memory of the ready messages.
    ready_bytes: u64,
    /// The connection of a consumer that could have the next message has no room for it.
    lacks_room: bool,
    /// When the consumers last took something.
    idle_ms: u64,
}

impl Demand {
    /// Whether who publishes now waits for the consumers.
    fn paces(self) -> bool {
        let is_enough = self.lacks_room || self.ready_bytes >= PACE_FROM_BYTES;
        is_enough && self.ready_bytes < BACKLOG_FROM_BYTES && self.idle_ms <= TAKING_MS
    }

    /// Whether those that wait go on.
    fn resumes(self) -> bool {
        let is_little = !self.lacks_room && self.ready_bytes < RESUME_BELOW_BYTES;
        is_little || self.ready_bytes >= BACKLOG_FROM_BYTES
    }
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
        let Some(publisher) = publisher else { return };
        if self.consumers.is_empty()
            || !self.demand().paces()
            || self.consumers.has_connection(publisher)
        {
            return;
        }
        self.pacing.add(publisher);
    }

    /// Sees whether the consumers take, and lets publishers go on when it is time.
    pub(super) fn unpace(&mut self, effects: &mut Effects) {
        let taken = self.totals.deliver + self.totals.deliver_no_ack;
        if taken != self.pacing.taken {
            self.pacing.taken = taken;
            self.pacing.taken_at = Some(self.now);
        }
        if self.pacing.paced.is_empty() {
            return;
        }
        if self.consumers.is_empty() || self.demand().resumes() {
            self.pacing.let_go(effects);
        } else if let Some(full) = self.full_consumer() {
            // No message has passed it over: it would not tell us that it has room again.
            effects.skip(&full.spec.inbox, &full.spec.credit);
        }
    }

    fn demand(&self) -> Demand {
        let Tally { count, bytes, .. } = self.ready.tally();
        let lacks_room = match count {
            0 => self.full_consumer().is_some(),
            _ => self.consumers.lack_room(),
        };
        let idle_ms = self.pacing.taken_at.map(|at| self.now.since(at));
        Demand {
            ready_bytes: bytes + count * MESSAGE_BYTES,
            lacks_room,
            idle_ms: idle_ms.unwrap_or(u64::MAX),
        }
    }

    /// The only consumer, if nothing waits but its connection has no room for more.
    fn full_consumer(&self) -> Option<&Consumer> {
        let only = self.consumers.only().filter(|_| self.ready.is_empty());
        only.filter(|consumer| !consumer.spec.inbox.is_ready())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(ready_bytes: u64, lacks_room: bool) -> Demand {
        Demand {
            ready_bytes,
            lacks_room,
            idle_ms: 0,
        }
    }

    #[test]
    fn with_room_pacing_begins_at_its_limit() {
        assert!(!demand(PACE_FROM_BYTES - 1, false).paces());
        assert!(demand(PACE_FROM_BYTES, false).paces());
        assert!(demand(PACE_FROM_BYTES + 1, false).paces());
    }

    #[test]
    fn without_room_pacing_begins_at_once() {
        assert!(demand(0, true).paces());
        assert!(demand(1, true).paces());
    }

    #[test]
    fn a_backlog_paces_nobody() {
        for lacks_room in [false, true] {
            assert!(demand(BACKLOG_FROM_BYTES - 1, lacks_room).paces());
            assert!(!demand(BACKLOG_FROM_BYTES, lacks_room).paces());
            assert!(!demand(BACKLOG_FROM_BYTES + 1, lacks_room).paces());
        }
    }

    #[test]
    fn consumers_that_stopped_pace_nobody() {
        let idle = |idle_ms| Demand {
            idle_ms,
            ..demand(PACE_FROM_BYTES, true)
        };
        assert!(idle(TAKING_MS - 1).paces());
        assert!(idle(TAKING_MS).paces());
        assert!(!idle(TAKING_MS + 1).paces());
    }

    #[test]
    fn the_paced_go_on_when_there_is_room_and_little_waits() {
        assert!(demand(RESUME_BELOW_BYTES - 1, false).resumes());
        assert!(!demand(RESUME_BELOW_BYTES, false).resumes());
        assert!(!demand(PACE_FROM_BYTES, false).resumes());
        assert!(!demand(0, true).resumes());
    }

    #[test]
    fn the_paced_go_on_at_a_backlog() {
        for lacks_room in [false, true] {
            assert!(!demand(BACKLOG_FROM_BYTES - 1, lacks_room).resumes());
            assert!(demand(BACKLOG_FROM_BYTES, lacks_room).resumes());
        }
    }

    #[test]
    fn closed_connections_are_not_held_for_ever() {
        let mut pacing = Pacing::default();
        for _ in 0..1_000 {
            let publisher = Inbox::new();
            pacing.add(&publisher);
            publisher.close();
        }
        let held = pacing.paced.len();
        assert!(held <= 2 * PACED_KEPT, "{held}");
    }
}
