//! Messages coming in: each gets its ordinal and goes to a consumer, into line, or is refused.
//!
//! Two ways in. When the queue is empty and its only consumer has room for all, the whole batch
//! moves into the consumer's inbox as it is. Otherwise each message finds its own way.

use super::handle::{Batch, InTurn};
use super::{Effects, Queue};
use crate::host::Lsn;
use crate::inbox::Event;
use crate::message::{Position, RecordRef, Records};

/// A batch of at most so many bytes moves as a whole; it may exceed what the connection has room
/// for by as much.
const WHOLE_BYTES_MAX: usize = 128 * 1024;

impl Queue {
    /// Takes all messages of a batch and leaves it empty.
    pub(super) fn take_batch(&mut self, batch: &mut Batch, effects: &mut Effects) {
        self.active_at = Some(self.now);
        let mut refused = Vec::new();
        let in_turn = batch.in_turn.take();
        let lsn = match self.pass_whole(&mut batch.records, in_turn.as_ref(), effects) {
            Some(lsn) => lsn,
            None => {
                let records = &mut batch.records;
                self.take_each(records, in_turn.as_ref(), &mut refused, effects)
            }
        };
        if lsn != Lsn::NONE
            && let Some(origin) = &batch.origin
        {
            origin.note_logged(lsn);
        }
        confirm(batch, &refused, lsn, effects);
        self.pace(batch.origin.as_ref());
    }

    /// The fast way: the batch becomes the delivery. Where the log has it; none when it does not
    /// fit the moment: then nothing has happened.
    fn pass_whole(
        &mut self,
        records: &mut Records,
        in_turn: Option<&InTurn>,
        effects: &mut Effects,
    ) -> Option<Lsn> {
        if !self.ready.is_empty()
            || records.record_bytes() > WHOLE_BYTES_MAX
            || self.refuses_overflow()
        {
            return None;
        }
        let bytes = self
            .stamp_all(records)
            .filter(|&bytes| bytes <= WHOLE_BYTES_MAX)?;
        let count = records.len() as u32;
        let key = self.consumers.claim_all(count)?;
        self.hand_over_all(key, records, in_turn, bytes, effects)
    }

    /// Gives all of them their ordinals and times without taking them in yet. The sum of their
    /// bytes, or none if one of them has expired on its way.
    fn stamp_all(&self, records: &mut Records) -> Option<usize> {
        let mut bytes = 0;
        let mut ordinal = self.next_ordinal;
        let mut next = records.first();
        while let Some(position) = next {
            self.stamp(records, position, ordinal);
            let record = records.at(position);
            bytes += record.memory_bytes();
            if record.expires_at().is_some_and(|at| at < self.now) {
                return None;
            }
            ordinal += 1;
            next = records.next(position);
        }
        Some(bytes)
    }

    /// Each message finds its own way. A full queue may refuse it; as in RabbitMQ that is asked
    /// first, so a message larger than the whole queue may hold is refused even if a consumer
    /// waits for it; without reject-publish it passes.
    fn take_each(
        &mut self,
        records: &mut Records,
        in_turn: Option<&InTurn>,
        refused: &mut Vec<usize>,
        effects: &mut Effects,
    ) -> Lsn {
        let mut next = records.first();
        let mut index = 0;
        while let Some(position) = next {
            self.stamp(records, position, self.next_ordinal);
            next = records.next(position);
            let ahead = records.record_bytes() - position.0 as usize;
            if self.refuses_overflow() && self.would_overflow(records.at(position)) {
                self.refuse(records, position);
                refused.push(index);
            } else {
                self.take_one(records.at(position), ahead, effects);
            }
            index += 1;
        }
        let logged = self.log.publish(records, refused, in_turn);
        self.chunks.logged_at(logged.first);
        if let Some(releasing) = &mut self.releasing {
            releasing.note_needed(logged.first);
        }
        records.clear();
        self.flush(effects);
        logged.last
    }

    /// Delivers the message if it is first and somebody takes it now; puts it in line otherwise.
    fn take_one(&mut self, record: RecordRef<'_>, ahead: usize, effects: &mut Effects) {
        self.next_ordinal += 1;
        self.totals.publish += 1;
        if self.ready.is_empty()
            && !self.is_overdue(record)
            && let Some(key) = self.consumers.choose(effects)
        {
            self.hand_over_new(key, record, ahead);
        } else {
            let priority = self.level(record);
            self.ready.push(priority, record, &mut self.chunks, ahead);
            self.trim();
        }
    }

    /// The priority the message has here: what exceeds x-max-priority counts as it.
    pub(super) fn level(&self, record: RecordRef<'_>) -> u8 {
        let max = self.settings.max_priority;
        max.map_or(0, |max| record.priority().min(max))
    }

    #[inline]
    fn stamp(&self, records: &mut Records, position: Position, ordinal: u64) {
        let mut head = records.head_mut(position);
        head.set_ordinal(ordinal);
        head.set_enqueued_at(self.now);
        head.set_logged(self.log.is_on());
    }
}

/// Tells the publisher, if it waits for confirms. `refused` are indexes in the batch, ascending.
/// The confirms wait until the log is durable to `lsn`.
pub(super) fn confirm(batch: &mut Batch, refused: &[usize], lsn: Lsn, effects: &mut Effects) {
    if batch.confirms.is_empty() {
        return;
    }
    let confirms = std::mem::take(&mut batch.confirms);
    let Some(origin) = &batch.origin else { return };
    let mut rejected = Vec::with_capacity(refused.len());
    let mut before = 0;
    let mut left = refused.iter().copied().peekable();
    for run in &confirms {
        let behind = before + run.count as usize;
        while let Some(index) = left.next_if(|&index| index < behind) {
            rejected.push((run.channel, run.first + (index - before) as u64));
        }
        before = behind;
    }
    let event = Event::Published {
        confirms,
        rejected,
        lsn,
    };
    effects.pushed(origin.push_event(event, None));
}
