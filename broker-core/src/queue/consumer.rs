//! One consumer of a queue: what it may take, what is staged for it, what it owes.
//!
//! What is chosen for a consumer is staged here and pushed to its inbox once per batch. Its bytes
//! are counted in the inbox in steps, so that a step is all it can take too much.

use super::command::ConsumerSpec;
use super::effects::Effects;
use super::spare;
use crate::inbox::{ConsumerId, Event, INBOX_BYTES_MAX, Pushed};
use crate::message::{RecordRef, Records};

/// Staged bytes are counted in the connection's inbox at the latest when they are this many; so
/// much may each consumer exceed what its connection has room for.
const RESERVE_STEP_BYTES: usize = 4 * 1024;

/// First capacity of a stage.
const STAGE_BYTES: usize = 32 * 1024;

/// Where a consumer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seat {
    /// In the ring of its priority.
    InTurn,
    /// It has as many unacked deliveries as its prefetch allows.
    Full,
    /// Its connection or channel has no room.
    Waiting,
    /// Its connection turned out to be closed.
    Gone,
}

#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) spec: ConsumerSpec,
    /// Deliveries it has not settled, those still in its inbox included.
    pub(super) unacked: u32,
    pub(super) seat: Seat,
    staged: Records,
    /// Staged bytes that its inbox does not count yet.
    unreserved: usize,
}

impl Consumer {
    pub(super) fn new(spec: ConsumerSpec) -> Consumer {
        Consumer {
            spec,
            unacked: 0,
            seat: Seat::InTurn,
            staged: Records::new(),
            unreserved: 0,
        }
    }

    /// Takes the credit for one message, if it can take one now ([`Seat::InTurn`]).
    #[inline]
    pub(super) fn claim(&self) -> Seat {
        let spec = &self.spec;
        if !spec.no_ack && spec.prefetch != 0 && self.unacked >= u32::from(spec.prefetch) {
            return Seat::Full;
        }
        if spec.inbox.bytes() + self.unreserved >= INBOX_BYTES_MAX {
            return match spec.inbox.is_closed() {
                true => Seat::Gone,
                false => Seat::Waiting,
            };
        }
        if !spec.no_ack && !spec.credit.try_reserve() {
            return Seat::Waiting;
        }
        Seat::InTurn
    }

    /// Takes the credit for `count` messages, if it can take all of them now.
    pub(super) fn claim_many(&self, count: u32) -> bool {
        let spec = &self.spec;
        if !spec.inbox.is_ready() {
            return false;
        }
        if spec.no_ack {
            return true;
        }
        let room = match spec.prefetch {
            0 => u32::MAX,
            prefetch => u32::from(prefetch).saturating_sub(self.unacked),
        };
        room >= count && spec.credit.try_reserve_many(count)
    }

    /// Counts a delivery. The consumer's name if it will ack, none if it will not.
    #[inline]
    pub(super) fn count_delivery(&mut self) -> Option<ConsumerId> {
        if self.spec.no_ack {
            return None;
        }
        self.unacked += 1;
        Some(self.spec.id)
    }

    /// Stages a message. True if it is the first one.
    #[inline]
    pub(super) fn stage(&mut self, record: RecordRef<'_>) -> bool {
        let is_first = self.staged.is_empty();
        if is_first && self.staged.capacity() == 0 {
            self.staged = spare::take(STAGE_BYTES);
        }
        self.staged.push_record(record);
        self.unreserved += record.memory_bytes();
        if self.unreserved >= RESERVE_STEP_BYTES {
            let bytes = std::mem::take(&mut self.unreserved);
            self.spec.inbox.reserve_bytes(bytes);
        }
        is_first
    }

    /// Pushes what is staged. If the connection is closed it comes back, and its inbox does not
    /// count it any more.
    pub(super) fn flush(&mut self, effects: &mut Effects) -> Option<Records> {
        let (spec, mut records) = (&self.spec, std::mem::take(&mut self.staged));
        let inbox = &spec.inbox;
        inbox.reserve_bytes(std::mem::take(&mut self.unreserved));
        match inbox.push_deliveries(spec.channel, spec.id, &mut records) {
            pushed @ Pushed::Done(_) => {
                effects.pushed(pushed);
                spare::give(records);
                None
            }
            Pushed::Closed => {
                let bytes = records.iter().map(|record| record.memory_bytes()).sum();
                inbox.release_bytes(bytes);
                Some(records)
            }
        }
    }

    /// Tells the consumer that its queue is gone.
    pub(super) fn dismiss(&self, effects: &mut Effects) {
        let event = Event::ConsumerCancelled {
            channel: self.spec.channel,
            consumer: self.spec.id,
        };
        effects.pushed(self.spec.inbox.push_event(event, None));
    }
}
