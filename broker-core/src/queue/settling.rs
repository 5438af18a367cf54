//! What becomes of deliveries: acked, put back, or dead.

use super::Queue;
use super::handle::Reason;
use super::unacked::Entry;
use crate::defects::{Defect, is_planted};
use crate::inbox::ConsumerId;
use crate::message::Records;

impl Queue {
    /// What nobody acks has been encoded.
    pub(super) fn sent(&mut self, ordinals: &[u64]) {
        for &ordinal in ordinals {
            if let Some(entry) = self.unacked.take(ordinal) {
                self.consumers.settled(entry.consumer, 1);
                self.end(&entry);
            }
        }
    }

    /// Acks come in runs of one consumer, which is told once per run.
    pub(super) fn ack(&mut self, ordinals: &[u64]) {
        let mut run = (ConsumerId(0), 0);
        for &ordinal in ordinals {
            let Some(entry) = self.unacked.take(ordinal) else {
                continue;
            };
            self.end(&entry);
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
            let Some(mut entry) = self.unack(ordinal) else {
                continue;
            };
            entry.deliveries = entry.deliveries.saturating_add(1);
            let deliveries = u32::from(entry.deliveries);
            if entry.is_logged() {
                self.log.returned(ordinal, deliveries);
            }
            self.chunks.come_back(entry.place, ordinal, deliveries);
            self.put_back(&entry);
        }
        self.trim();
    }

    /// Back to their places as if never delivered. Of `records` the queue kept nothing.
    pub(super) fn put_back_unseen(&mut self, ordinals: &[u64], records: &Records) {
        for &ordinal in ordinals {
            if let Some(entry) = self.unack(ordinal) {
                self.totals.returned += u64::from(entry.consumer == ConsumerId::NOBODY);
                self.put_back(&entry);
            }
        }
        for record in records.iter() {
            self.totals.returned += 1;
            let place = self.chunks.keep(record, records.record_bytes());
            let level = self.level(record);
            let entry = Entry::new(place, record, level, ConsumerId::NOBODY);
            self.put_back(&entry);
        }
        self.trim();
    }

    pub(super) fn reject(&mut self, ordinals: &[u64]) {
        for &ordinal in ordinals {
            if let Some(entry) = self.unack(ordinal) {
                self.die(&entry, Reason::Rejected);
            }
        }
    }

    /// The head of a line, which is in memory, dies.
    pub(super) fn lose_head(&mut self, line: usize, reason: Reason) {
        if let Some(place) = self.ready.head_of(line) {
            let record = self.chunks.record(place);
            let level = self.level(record);
            let entry = Entry::new(place, record, level, ConsumerId::NOBODY);
            self.ready.take_head_of(line, &mut self.chunks);
            self.die(&entry, reason);
        }
    }

    /// A message that is neither ready nor unacked any more is kept for its dead-letter exchange,
    /// or dropped without one.
    fn die(&mut self, entry: &Entry, reason: Reason) {
        self.totals.dropped += 1;
        if self.settings.dead_letter.is_some() {
            let is_logged = entry.is_logged();
            self.dead.add(entry.ordinal, entry.place, is_logged, reason);
        } else {
            self.end(entry);
        }
    }

    /// The message is over and done with.
    #[inline]
    fn end(&mut self, entry: &Entry) {
        let is_hidden =
            is_planted(Defect::SettledAwayNotLogged) && !self.chunks.is_here(entry.place.slot);
        self.log
            .gone(entry.ordinal, entry.is_logged() && !is_hidden);
        self.chunks.end(entry.place, entry.ordinal);
    }

    /// Ends the wait for an ack, if there is one. The record stays where it lies.
    #[inline]
    pub(super) fn unack(&mut self, ordinal: u64) -> Option<Entry> {
        let entry = self.unacked.take(ordinal)?;
        self.consumers.settled(entry.consumer, 1);
        Some(entry)
    }

    /// A message that was taken out of line returns to its place.
    pub(super) fn put_back(&mut self, entry: &Entry) {
        let tally = entry.tally();
        self.chunks.ready_away(entry.place.slot, tally);
        self.ready
            .put_back(entry.level, entry.ordinal, entry.place, tally);
    }
}
