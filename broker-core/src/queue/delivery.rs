//! Messages going out: to consumers, and to basic.get.
//!
//! Who takes a message is decided before it leaves its line, so that a message never waits for a
//! consumer that is not ready while another one is. What is chosen is staged and pushed once per
//! batch; a connection that turns out to be closed then gives its messages back.

use std::collections::VecDeque;

use super::chunks::Place;
use super::consumers::{Key, Unsent};
use super::handle::{InTurn, Reason, ReplyTo};
use super::unacked::Entry;
use super::{Effects, Queue, saturated};
use crate::defects::{Defect, is_planted};
use crate::error::BrokerError;
use crate::host::Lsn;
use crate::inbox::{Answer, ConsumerId, Event};
use crate::message::{RecordRef, Records};

/// So many bytes are delivered in one go; then others get at the queue before it goes on.
const DELIVER_STEP_BYTES: usize = 1024 * 1024;

impl Queue {
    /// Delivers ready messages as long as somebody takes them.
    pub(super) fn deliver(&mut self, effects: &mut Effects) {
        let mut step = DELIVER_STEP_BYTES;
        while let Some(place) = self.ready.head() {
            if !self.chunks.is_here(place.slot) {
                if !self.consumers.is_empty() {
                    self.chunks.want(place.slot);
                }
                break;
            }
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
                self.owe(place, id);
            }
            None => {
                self.totals.deliver_no_ack += 1;
                self.part_with(place);
            }
        }
    }

    /// A message went to somebody who will not ack it. One that is logged stays until it is
    /// encoded, or a crash in between would lose it.
    fn part_with(&mut self, place: Place) {
        let record = self.chunks.record(place);
        if !record.is_logged() {
            self.chunks.remove(place);
        } else if is_planted(Defect::NoAckSettledEarly) {
            self.log.gone(record.ordinal(), true);
            self.chunks.remove(place);
        } else {
            self.owe(place, ConsumerId::NOBODY);
        }
    }

    /// A message out of line awaits its settlement.
    #[inline]
    fn owe(&mut self, place: Place, consumer: ConsumerId) {
        let record = self.chunks.record(place);
        let level = self.level(record);
        self.unacked.insert(place, record, level, consumer);
    }

    /// A message that was never in line goes to a consumer that was chosen for it.
    pub(super) fn hand_over_new(&mut self, key: Key, record: RecordRef<'_>, ahead: usize) {
        match self.consumers.stage(key, record) {
            Some(id) => {
                self.totals.deliver += 1;
                let place = self.chunks.keep(record, ahead);
                self.owe(place, id);
            }
            None => {
                self.totals.deliver_no_ack += 1;
                if is_planted(Defect::NoAckSettledEarly) {
                    self.log.gone(record.ordinal(), record.is_logged());
                } else if record.is_logged() {
                    let place = self.chunks.keep(record, ahead);
                    self.owe(place, ConsumerId::NOBODY);
                }
            }
        }
    }

    /// All messages of a batch go to one consumer that has room (and, if it acks, credit) for
    /// them. Where the log has them; none when its connection is closed: then nothing has
    /// happened, but for records in the log of messages that are still to come.
    pub(super) fn hand_over_all(
        &mut self,
        key: Key,
        records: &mut Records,
        in_turn: Option<&InTurn>,
        bytes: usize,
        effects: &mut Effects,
    ) -> Option<Lsn> {
        let count = records.len() as u64;
        let consumer = self.consumers.get(key)?;
        let spec = &consumer.spec;
        if !spec.no_ack || self.log.is_on() {
            let owner = if spec.no_ack {
                ConsumerId::NOBODY
            } else {
                consumer.unacked += count as u32;
                spec.id
            };
            let ahead = records.record_bytes();
            let max = self.settings.max_priority;
            for record in records.iter() {
                if !spec.no_ack || record.is_logged() {
                    let place = self.chunks.keep(record, ahead);
                    let level = max.map_or(0, |max| record.priority().min(max));
                    self.unacked.insert(place, record, level, owner);
                }
            }
        }
        let logged = self.log.publish(records, &[], in_turn);
        self.chunks.logged_at(logged.first);
        if let Some(releasing) = &mut self.releasing {
            releasing.note_needed(logged.first);
        }
        spec.inbox.reserve_bytes(bytes);
        if !effects.pushed(spec.inbox.push_deliveries(spec.channel, spec.id, records)) {
            spec.inbox.release_bytes(bytes);
            self.undo_hand_over(key, records);
            return None;
        }
        match spec.no_ack {
            true => self.totals.deliver_no_ack += count,
            false => self.totals.deliver += count,
        }
        self.next_ordinal += count;
        self.totals.publish += count;
        Some(logged.last)
    }

    fn undo_hand_over(&mut self, key: Key, records: &Records) {
        for record in records.iter() {
            if let Some(entry) = self.unack(record.ordinal()) {
                self.chunks.remove(entry.place);
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
                    true if !record.is_logged() => drop(unkept.push_record(record)),
                    _ => ordinals.push(record.ordinal()),
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
        let asked = Asked {
            no_ack,
            reply: reply.clone(),
            consumer,
        };
        self.answer_gets(effects);
        if self.parked.is_some() || !self.answer_get(&asked, effects) {
            self.parked.get_or_insert_default().push_back(asked);
        }
    }

    /// Answers those who wait for the disk, as far as they need not any more.
    pub(super) fn answer_gets(&mut self, effects: &mut Effects) {
        while let Some(parked) = &mut self.parked {
            let Some(asked) = parked.pop_front() else {
                self.parked = None;
                return;
            };
            if !self.answer_get(&asked, effects) {
                self.parked.get_or_insert_default().push_front(asked);
                return;
            }
        }
    }

    /// Answers basic.get. False when the head must be read from disk first.
    fn answer_get(&mut self, asked: &Asked, effects: &mut Effects) -> bool {
        match self.head_in_time() {
            Head::OnDisk => return false,
            Head::None => {
                self.totals.get_empty += 1;
                effects.answer(&asked.reply, Answer::Empty);
            }
            Head::Here(place) => self.give(place, asked, effects),
        }
        true
    }

    /// The queue is gone for those who wait for a message.
    pub(super) fn refuse_gets(&mut self, effects: &mut Effects, why: &BrokerError) {
        for Asked { reply, .. } in self.parked.take().into_iter().flat_map(|parked| *parked) {
            effects.answer(&reply, Answer::Refused(why.clone()));
        }
    }

    fn give(&mut self, place: Place, asked: &Asked, effects: &mut Effects) {
        self.ready.take_head_of(0, &mut self.chunks);
        // What is too late behind it is not counted as left.
        self.expire();
        let record = self.chunks.record(place);
        if !self.answer_with(place, &asked.reply, effects) {
            let level = self.level(record);
            let entry = Entry::new(place, record, level, asked.consumer);
            self.put_back(&entry);
            return;
        }
        self.totals.redeliver += u64::from(record.is_redelivered());
        if asked.no_ack {
            self.totals.get_no_ack += 1;
            self.part_with(place);
        } else {
            self.totals.get += 1;
            self.owe(place, asked.consumer);
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
    fn head_in_time(&mut self) -> Head {
        loop {
            let Some(place) = self.ready.head() else {
                return Head::None;
            };
            if !self.chunks.is_here(place.slot) {
                self.chunks.want(place.slot);
                return Head::OnDisk;
            }
            if !self.is_overdue(self.chunks.record(place)) {
                return Head::Here(place);
            }
            self.lose_head(0, Reason::Expired);
        }
    }
}

/// The message that would be next.
enum Head {
    None,
    Here(Place),
    OnDisk,
}

/// Those who wait for a message that is read from disk, in the order in which they asked. Most
/// queues never have any.
pub(super) type Parked = Option<Box<VecDeque<Asked>>>;

/// A basic.get that is not answered yet.
#[derive(Debug)]
pub(super) struct Asked {
    no_ack: bool,
    reply: ReplyTo,
    consumer: ConsumerId,
}
