//! Time: message TTL and the lease of x-expires.
//!
//! A message's deadline is the earlier of its own and the queue's, counted from when the queue
//! took it; changed settings change it for messages that wait. Only the head of each line
//! expires, but no message is ever delivered after its deadline: whoever becomes the head too
//! late expires then.

use super::handle::{Deletion, Reason};
use super::{Effects, Queue};
use crate::message::RecordRef;
use crate::time::Timestamp;

/// So many messages expire in one go; the rest follows with the next tick, which is due at once.
const EXPIRE_STEP: usize = 10_000;

impl Queue {
    /// Whether it is too late to deliver the message. At its deadline it is not: a TTL of 0 lets
    /// a message through that a consumer takes at once.
    #[inline]
    pub(super) fn is_overdue(&self, record: RecordRef<'_>) -> bool {
        self.deadline(record).is_some_and(|at| at < self.now)
    }

    #[inline]
    fn deadline(&self, record: RecordRef<'_>) -> Option<Timestamp> {
        let own = record.expires_at();
        match self.settings.message_ttl {
            None => own,
            Some(ttl) => {
                let queues = record.enqueued_at().plus_ms(ttl);
                Some(own.map_or(queues, |own| own.min(queues)))
            }
        }
    }

    /// Lets the heads go whose deadline has come and that nobody took.
    pub(super) fn expire(&mut self) {
        let mut left = EXPIRE_STEP;
        let mut line = 0;
        // A line that gets empty is gone, and the next one stands in its place.
        while let Some(place) = self.ready.head_of(line) {
            if !self.chunks.is_here(place.slot) {
                if self.settings.message_ttl.is_some() || self.chunks.may_expire(place.slot) {
                    self.chunks.want(place.slot);
                }
                line += 1;
                continue;
            }
            let deadline = self.deadline(self.chunks.record(place));
            if left == 0 || deadline.is_none_or(|at| at > self.now) {
                line += 1;
                continue;
            }
            left -= 1;
            self.lose_head(line, Reason::Expired);
        }
    }

    pub(super) fn renew_lease(&mut self) {
        self.leased_at = Some(self.now);
    }

    /// A deadline may have come: an unused queue goes, the rest is [`Queue::finish`]'s.
    pub(super) fn tick(&mut self, effects: &mut Effects) {
        self.armed = None;
        if self.lease_end().is_some_and(|end| end <= self.now) {
            self.delete(Deletion::Expired, effects);
        }
    }

    /// When the queue expires if nobody uses it until then.
    fn lease_end(&self) -> Option<Timestamp> {
        let expires = self.settings.expires?;
        let leased_at = self.leased_at.filter(|_| self.consumers.is_empty())?;
        Some(leased_at.plus_ms(expires))
    }

    /// Asks to be woken at the next deadline, unless that will happen anyway.
    pub(super) fn arm(&mut self, effects: &mut Effects) {
        let heads = self.ready.heads();
        let next = heads
            .filter(|place| self.chunks.is_here(place.slot))
            .filter_map(|place| self.deadline(self.chunks.record(place)))
            .chain(self.lease_end())
            .chain(self.page_retry_at())
            .min();
        if let Some(next) = next
            && self.armed.is_none_or(|armed| next < armed)
        {
            self.armed = Some(next);
            effects.arm = Some(next);
        }
    }
}
