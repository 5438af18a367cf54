//! max-length and max-length-bytes: what happens with one message too many.
//!
//! Only ready messages count, and of them only the bodies. The head makes room by default: the
//! oldest message, in a queue with priorities the oldest of the highest.

use super::Queue;
use super::handle::{Overflow, Reason};
use crate::message::{Position, RecordRef, Records};

impl Queue {
    /// With drop-head, drops messages from the head until the queue is within its limits.
    pub(super) fn trim(&mut self) {
        if self.refuses_overflow() {
            return;
        }
        while self.exceeds(0, 0)
            && let Some(head) = self.ready.head()
        {
            if !self.chunks.is_here(head.slot) {
                // It goes on when the head has been read.
                return self.chunks.want(head.slot);
            }
            self.lose_head(0, Reason::MaxLen);
        }
    }

    /// Whether new messages are refused instead, when there are too many.
    pub(super) fn refuses_overflow(&self) -> bool {
        match self.settings.overflow {
            Overflow::DropHead => false,
            Overflow::RejectPublish | Overflow::RejectPublishDlx => {
                self.settings.max_length.is_some() || self.settings.max_length_bytes.is_some()
            }
        }
    }

    /// Whether the message would be one too many.
    pub(super) fn would_overflow(&self, record: RecordRef<'_>) -> bool {
        self.exceeds(1, record.body_len() as u64)
    }

    /// Refuses a message at the door; reject-publish-dlx makes a dead letter of it, which the log
    /// never has: its publisher knows that it was refused.
    pub(super) fn refuse(&mut self, records: &mut Records, position: Position) {
        self.totals.refused += 1;
        if self.settings.overflow == Overflow::RejectPublishDlx
            && self.settings.dead_letter.is_some()
        {
            self.next_ordinal += 1;
            records.head_mut(position).set_logged(false);
            let record = records.at(position);
            let place = self.chunks.keep(record, 0);
            self.dead
                .add(record.ordinal(), place, false, Reason::MaxLen);
        }
    }

    #[inline]
    fn exceeds(&self, more: u64, more_bytes: u64) -> bool {
        let tally = self.ready.tally();
        let settings = &self.settings;
        settings
            .max_length
            .is_some_and(|max| tally.count + more > max)
            || settings
                .max_length_bytes
                .is_some_and(|max| tally.bytes + more_bytes > max)
    }
}
