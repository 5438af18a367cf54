//! One consumer of a queue: what it may take and what it owes. What is chosen for it is staged at
//! its outlet, not here.

use super::command::ConsumerSpec;
use super::consumers::OutletKey;
use super::effects::Effects;
use crate::inbox::{ConsumerId, Event, INBOX_BYTES_MAX};

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
    /// Where its messages leave the queue.
    pub(super) outlet: OutletKey,
}

impl Consumer {
    pub(super) fn new(spec: ConsumerSpec, outlet: OutletKey) -> Consumer {
        Consumer {
            spec,
            unacked: 0,
            seat: Seat::InTurn,
            outlet,
        }
    }

    /// Takes the credit for one message, if it can take one now ([`Seat::InTurn`]).
    /// `unreserved` bytes are staged for its connection without being counted there.
    #[inline]
    pub(super) fn claim(&self, unreserved: usize) -> Seat {
        let spec = &self.spec;
        if !spec.no_ack && spec.prefetch != 0 && self.unacked >= u32::from(spec.prefetch) {
            return Seat::Full;
        }
        if spec.inbox.bytes() + unreserved >= INBOX_BYTES_MAX {
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

    /// Tells the consumer that its queue is gone.
    pub(super) fn dismiss(&self, effects: &mut Effects) {
        let event = Event::ConsumerCancelled {
            channel: self.spec.channel,
            consumer: self.spec.id,
        };
        effects.pushed(self.spec.inbox.push_event(event, None));
    }
}
