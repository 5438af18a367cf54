//! First in, first out: a line of messages that costs no entry per message.
//!
//! ```text
//!   slots   [ chunk ][ chunk ][ chunk ]
//!               ^ cursor: the head      ^ back: appended here
//! ```
//!
//! The cursor walks the records of the first chunk. What lies before it is no longer in line
//! (though it may be unacked); everything alive behind it is ready. Records removed from the
//! middle are stepped over.

use std::collections::VecDeque;

use super::chunks::{Chunks, Place, Slot};
use crate::journal::Runs;
use crate::message::{Position, RecordRef};

/// Where a message is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Find {
    At(Place),
    Nowhere,
    /// In this chunk, which must be read first.
    OnDisk(Slot),
}

#[derive(Debug)]
pub(super) struct Fifo {
    slots: VecDeque<Slot>,
    /// A record that is alive, in the first chunk; meaningless without chunks.
    cursor: Position,
}

impl Default for Fifo {
    fn default() -> Self {
        Fifo {
            slots: VecDeque::new(),
            cursor: Position(0),
        }
    }
}

impl Fifo {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    #[inline]
    pub(super) fn head(&self) -> Option<Place> {
        self.slots.front().map(|&slot| Place {
            slot,
            position: self.cursor,
        })
    }

    #[inline]
    pub(super) fn push(
        &mut self,
        chunks: &mut Chunks,
        record: RecordRef<'_>,
        expected: usize,
    ) -> Place {
        let back = self.slots.back().copied();
        let place = chunks.append(back, record, expected);
        if back != Some(place.slot) {
            if back.is_none() {
                self.cursor = place.position;
            }
            self.slots.push_back(place.slot);
        }
        place
    }

    /// A chunk that was found at the start joins the end of the line.
    pub(super) fn push_chunk(&mut self, slot: Slot) {
        if self.slots.is_empty() {
            self.cursor = Position(0);
        }
        self.slots.push_back(slot);
    }

    /// The first chunks of the line, at most `max`.
    pub(super) fn first_slots(&self, max: usize) -> impl Iterator<Item = Slot> {
        self.slots.iter().copied().take(max)
    }

    /// The first chunk was read: the cursor goes to the first record in it that is in line.
    pub(super) fn arrived(&mut self, slot: Slot, chunks: &mut Chunks) {
        let Some(head) = self.head().filter(|head| head.slot == slot) else {
            return;
        };
        if chunks.is_here(slot) && !chunks.is_alive_at(head) {
            self.advance(chunks);
        }
    }

    /// The chunk is lost: the line goes on without it. False if it is not in this line.
    pub(super) fn lose(&mut self, slot: Slot, chunks: &mut Chunks) -> bool {
        let Some(index) = self.slots.iter().position(|&other| other == slot) else {
            return false;
        };
        self.slots.remove(index);
        if index == 0
            && let Some(&next) = self.slots.front()
        {
            self.cursor = Position(0);
            self.arrived(next, chunks);
        }
        true
    }

    /// Steps behind the head, which stays alive or was removed.
    #[inline]
    pub(super) fn advance(&mut self, chunks: &mut Chunks) {
        let Some(&slot) = self.slots.front() else {
            return;
        };
        let mut next = chunks.next(slot, Some(self.cursor));
        loop {
            match (next, self.slots.front()) {
                (_, None) => return,
                (Some(position), Some(&slot)) => {
                    // What is alive in a chunk that is away is known when it is read.
                    if !chunks.is_here(slot) || chunks.is_alive_at(Place { slot, position }) {
                        self.cursor = position;
                        return;
                    }
                    next = chunks.next(slot, Some(position));
                }
                (None, Some(_)) => next = self.leave_chunk(chunks),
            }
        }
    }

    /// Where a message lies, if it stands in line here.
    pub(super) fn find(&self, chunks: &Chunks, ordinal: u64) -> Find {
        match self.find_slot(chunks, ordinal) {
            Some((_, slot)) if !chunks.is_here(slot) && chunks.has_away_in(slot, ordinal) => {
                Find::OnDisk(slot)
            }
            Some((index, slot)) if chunks.is_here(slot) => self
                .find_in(index, slot, chunks, ordinal)
                .map_or(Find::Nowhere, Find::At),
            _ => Find::Nowhere,
        }
    }

    fn find_slot(&self, chunks: &Chunks, ordinal: u64) -> Option<(usize, Slot)> {
        let behind = self
            .slots
            .partition_point(|&slot| chunks.first_ordinal(slot) <= ordinal);
        let index = behind.checked_sub(1)?;
        Some((index, self.slots[index]))
    }

    fn find_in(&self, index: usize, slot: Slot, chunks: &Chunks, ordinal: u64) -> Option<Place> {
        let mut next = match index {
            0 => Some(self.cursor),
            _ => chunks.next(slot, None),
        };
        while let Some(position) = next {
            let place = Place { slot, position };
            let record = chunks.record(place);
            if record.ordinal() >= ordinal {
                let is_here = record.ordinal() == ordinal && !record.is_removed();
                return is_here.then_some(place);
            }
            next = chunks.next(slot, Some(position));
        }
        None
    }

    /// Drops all of it; what is not in line is in `kept`.
    pub(super) fn clear(&mut self, kept: &Runs, chunks: &mut Chunks) {
        for slot in std::mem::take(&mut self.slots) {
            chunks.retain(slot, kept);
        }
    }

    /// A chunk was compacted: the record at `old` lies at `new`.
    pub(super) fn moved(&mut self, old: Place, new: Place) {
        if self.head() == Some(old) {
            self.cursor = new.position;
        }
    }

    /// Goes on to the next chunk and gives its first position.
    fn leave_chunk(&mut self, chunks: &mut Chunks) -> Option<Position> {
        if let Some(slot) = self.slots.pop_front() {
            chunks.release(slot);
        }
        match self.slots.front() {
            Some(&slot) => chunks.next(slot, None),
            None => {
                self.slots = VecDeque::new();
                None
            }
        }
    }
}
