//! Messages going out: to consumers, and to basic.get.
//!
//! Who takes a message is decided before it leaves its line, so that a message never waits for a
//! consumer that is not ready while another one is. What is chosen is staged and pushed once per
//! batch; a connection that turns out to be closed then gives its messages back.

use super::chunks::Place;
use super::consumers::{Key, Unsent};
use super::handle::{Reason, ReplyTo};
use super::{Effects, Queue, saturated};
use crate::inbox::{Answer, ConsumerId, Event};
use crate::message::{RecordRef, Records};

/// So many bytes are delivered in one go; then others get at the queue before it goes on.
const DELIVER_STEP_BYTES: usize = 1024 * 1024;

impl Queue {
    /// Delivers ready messages as long as somebody takes them.
    pub(super) fn deliver(&mut self, effects: &mut Effects) {
        let mut step = DELIVER_STEP_BYTES;
        while let Some(place) = self.ready.head() {
            let record = self.chunks.record(place);
            if self.is_overdue(record) {
                self.lose_head(0, Reason::Expired);
                continue;
            }
            if step == 0 {
                effects.unfinished = true;
                break;
            }
            step = step.saturating_sub(record.memory_bytes());
            let Some(key) = self.consumers.choose(effects) else {
                break;
            };
            self.hand_over_head(key, place);
        }
        self.flush(effects);
    }

    /// The head goes to a consumer that was chosen for it.
    fn hand_over_head(&mut self, key: Key, place: Place) {
        let record = self.chunks.record(place);
        self.totals.redeliver += u64::from(record.is_redelivered());
        let acked = self.consumers.stage(key, record);
        self.ready.take_head_of(0, &mut self.chunks);
        match acked {
            Some(id) => {
                self.totals.deliver += 1;
                self.unacked.insert(place, self.chunks.record(place), id);
            }
            None => {
                self.totals.deliver_no_ack += 1;
                self.chunks.remove(place);
            }
        }
    }

    /// A message that was never in line goes to a consumer that was chosen for it.
    pub(super) fn hand_over_new(&mut self, key: Key, record: RecordRef<'_>, ahead: usize) {
        match self.consumers.stage(key, record) {
            Some(id) => {
                self.totals.deliver += 1;
                let place = self.chunks.keep(record, ahead);
                self.unacked.insert(place, record, id);
            }
            None => self.totals.deliver_no_ack += 1,
        }
    }

    /// All messages of a batch go to one consumer that has room (and, if it acks, credit) for
    /// them. False when its connection is closed; then nothing has happened.
    pub(super) fn hand_over_all(
        &mut self,
        key: Key,
        records: &mut Records,
        bytes: usize,
        effects: &mut Effects,
    ) -> bool {
        let count = records.len() as u64;
        let Some(consumer) = self.consumers.get(key) else {
            return false;
        };
        let spec = &consumer.spec;
        if !spec.no_ack {
            let ahead = records.record_bytes();
            for record in records.iter() {
                let place = self.chunks.keep(record, ahead);
                self.unacked.insert(place, record, spec.id);
            }
            consumer.unacked += count as u32;
        }
        spec.inbox.reserve_bytes(bytes);
        if !effects.pushed(spec.inbox.push_deliveries(spec.channel, spec.id, records)) {
            spec.inbox.release_bytes(bytes);
            self.undo_hand_over(key, records);
            return false;
        }
        match spec.no_ack {
            true => self.totals.deliver_no_ack += count,
            false => self.totals.deliver += count,
        }
        self.next_ordinal += count;
        self.totals.publish += count;
        true
    }

    fn undo_hand_over(&mut self, key: Key, records: &Records) {
        for record in records.iter() {
            if let Some(place) = self.unack(record.ordinal()) {
                self.chunks.remove(place);
            }
        }
        self.consumers.expel(key);
    }

    /// Pushes what is staged. Messages for a connection that is gone return to their places, and
    /// others may have them.
    pub(super) fn flush(&mut self, effects: &mut Effects) {
        for unsent in self.consumers.flush(effects) {
            self.take_back(unsent);
            effects.unfinished = true;
        }
    }

    fn take_back(&mut self, unsent: Unsent) {
        let Unsent { runs, records } = unsent;
        let mut left = records.iter();
        let (mut ordinals, mut unkept) = (Vec::new(), Records::new());
        let mut keys: Vec<Key> = Vec::new();
        for run in runs {
            let key = self.consumers.key_of(run.consumer);
            let consumer = key.and_then(|key| self.consumers.get(key));
            let no_ack = consumer.is_some_and(|consumer| consumer.spec.no_ack);
            for record in left.by_ref().take(run.count as usize) {
                match no_ack {
                    true => drop(unkept.push_record(record)),
                    false => ordinals.push(record.ordinal()),
                }
            }
            keys.extend(key);
        }
        self.put_back_unseen(&ordinals, &unkept);
        for key in keys {
            self.consumers.expel(key);
        }
    }

    /// basic.get: the head, whoever consumes.
    pub(super) fn get(
        &mut self,
        no_ack: bool,
        reply: &ReplyTo,
        consumer: ConsumerId,
        effects: &mut Effects,
    ) {
        self.renew_lease();
        self.active_at = Some(self.now);
        let Some(place) = self.head_in_time() else {
            self.totals.get_empty += 1;
            effects.answer(reply, Answer::Empty);
            return;
        };
        self.ready.take_head_of(0, &mut self.chunks);
        // What is too late behind it is not counted as left.
        self.expire();
        if !self.answer_with(place, reply, effects) {
            self.put_back(place);
            return;
        }
        let record = self.chunks.record(place);
        self.totals.redeliver += u64::from(record.is_redelivered());
        if no_ack {
            self.totals.get_no_ack += 1;
            self.chunks.remove(place);
        } else {
            self.totals.get += 1;
            self.unacked
                .insert(place, self.chunks.record(place), consumer);
        }
    }

    /// Answers basic.get with a message taken out of line. False when nobody is left to read it.
    fn answer_with(&self, place: Place, reply: &ReplyTo, effects: &mut Effects) -> bool {
        let record = self.chunks.record(place);
        let message_count = saturated(self.ready.tally().count);
        let event = Event::Answer {
            channel: reply.channel,
            token: reply.token,
            answer: Answer::Got { message_count },
        };
        let bytes = record.memory_bytes();
        reply.inbox.reserve_bytes(bytes);
        let is_read = effects.pushed(reply.inbox.push_event(event, Some(record)));
        if !is_read {
            reply.inbox.release_bytes(bytes);
        }
        is_read
    }

    /// The head that may still be delivered; those that are too late go.
    fn head_in_time(&mut self) -> Option<Place> {
        loop {
            let place = self.ready.head()?;
            if !self.is_overdue(self.chunks.record(place)) {
                return Some(place);
            }
            self.lose_head(0, Reason::Expired);
        }
    }
}
