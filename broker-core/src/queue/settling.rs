//! What becomes of deliveries: acked, put back, or dead.

use super::Queue;
use super::chunks::Place;
use super::handle::Reason;
use crate::inbox::ConsumerId;
use crate::message::Records;

impl Queue {
    /// Acks come in runs of one consumer, which is told once per run.
    pub(super) fn ack(&mut self, ordinals: &[u64]) {
        let mut run = (ConsumerId(0), 0);
        for &ordinal in ordinals {
            let Some(entry) = self.unacked.take(ordinal) else {
                continue;
            };
            self.unacked.subtract(self.chunks.record(entry.place));
            self.chunks.remove(entry.place);
            self.totals.ack += 1;
            if entry.consumer != run.0 && run.1 > 0 {
                self.consumers.settled(run.0, run.1);
                run.1 = 0;
            }
            run = (entry.consumer, run.1 + 1);
        }
        if run.1 > 0 {
            self.consumers.settled(run.0, run.1);
        }
    }

    /// Back to their places, marked as possibly seen.
    pub(super) fn requeue(&mut self, ordinals: &[u64]) {
        for &ordinal in ordinals {
            let Some(place) = self.unack(ordinal) else {
                continue;
            };
            let deliveries = self.chunks.record(place).delivery_count();
            let mut head = self.chunks.head_mut(place);
            head.set_redelivered(true);
            head.set_delivery_count(deliveries.saturating_add(1));
            self.put_back(place);
        }
        self.trim();
    }

    /// Back to their places as if never delivered. Of `records` the queue kept nothing.
    pub(super) fn put_back_unseen(&mut self, ordinals: &[u64], records: &Records) {
        for &ordinal in ordinals {
            if let Some(place) = self.unack(ordinal) {
                self.put_back(place);
            }
        }
        for record in records.iter() {
            self.totals.returned += 1;
            let place = self.chunks.keep(record, records.record_bytes());
            self.put_back(place);
        }
        self.trim();
    }

    pub(super) fn reject(&mut self, ordinals: &[u64]) {
        for &ordinal in ordinals {
            if let Some(place) = self.unack(ordinal) {
                self.die(place, Reason::Rejected);
            }
        }
    }

    /// The head of a line dies.
    pub(super) fn lose_head(&mut self, line: usize, reason: Reason) {
        if let Some(place) = self.ready.head_of(line) {
            self.ready.take_head_of(line, &mut self.chunks);
            self.die(place, reason);
        }
    }

    /// A message that is neither ready nor unacked any more is kept for its dead-letter exchange,
    /// or dropped without one.
    fn die(&mut self, place: Place, reason: Reason) {
        self.totals.dropped += 1;
        if self.settings.dead_letter.is_some() {
            let ordinal = self.chunks.record(place).ordinal();
            self.dead.add(ordinal, place, reason);
        } else {
            self.chunks.remove(place);
        }
    }

    /// Ends the wait for an ack, if there is one. The record stays where it lies.
    #[inline]
    pub(super) fn unack(&mut self, ordinal: u64) -> Option<Place> {
        let entry = self.unacked.take(ordinal)?;
        self.unacked.subtract(self.chunks.record(entry.place));
        self.consumers.settled(entry.consumer, 1);
        Some(entry.place)
    }

    /// A message that was taken out of line returns to its place.
    pub(super) fn put_back(&mut self, place: Place) {
        let priority = self.level(self.chunks.record(place));
        self.ready.put_back(priority, place, &self.chunks);
    }
}
