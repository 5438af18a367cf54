//! Deliveries and answers that arrived for a channel whose reply gate is closed.
//!
//! They stay un-encoded: their bytes count in the inbox, so that the queues stop at its limit.

use std::collections::VecDeque;

use crate::inbox::{Answer, ConsumerId, RecordIter, RecordList};
use crate::message::{RecordRef, Records};

/// One thing that waits.
#[derive(Debug)]
pub(super) enum HeldItem {
    /// Deliveries to a consumer.
    Deliveries(ConsumerId, Records),
    /// The answer to a token, with its record if it has one.
    Answer(u32, Answer, Records),
    /// The broker cancelled a consumer.
    Cancelled(ConsumerId),
}

/// What waits behind a channel's gate, in the order it came.
#[derive(Debug, Default)]
pub(super) struct Held {
    items: VecDeque<HeldItem>,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn push(&mut self, item: HeldItem) {
        self.items.push_back(item);
    }

    pub(super) fn pop(&mut self) -> Option<HeldItem> {
        self.items.pop_front()
    }

    /// Where the answer to `token` stands.
    pub(super) fn answer_index(&self, token: u32) -> Option<usize> {
        self.items
            .iter()
            .position(|item| matches!(item, HeldItem::Answer(other, ..) if *other == token))
    }

    /// How many items wait.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Takes the first of the first `end` items that `wanted` accepts.
    pub(super) fn take_before(
        &mut self,
        end: usize,
        wanted: impl FnMut(&HeldItem) -> bool,
    ) -> Option<HeldItem> {
        let index = self.items.iter().take(end).position(wanted)?;
        self.items.remove(index)
    }
}

/// A walk over the records of a mail, in step with its items.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    records: RecordIter<'a>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(records: &'a RecordList) -> Cursor<'a> {
        Cursor {
            records: records.iter(),
        }
    }

    /// The next record.
    #[inline]
    pub(super) fn next(&mut self) -> Option<RecordRef<'a>> {
        self.records.next()
    }

    /// The next `count` records as a copy.
    pub(super) fn copy(&mut self, count: u32) -> Records {
        let mut copy = Records::new();
        for record in self.records.by_ref().take(count as usize) {
            copy.push_record(record);
        }
        copy
    }
}
