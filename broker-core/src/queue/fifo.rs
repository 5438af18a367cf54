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
use crate::message::{Position, RecordRef};

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
    pub(super) fn push(&mut self, chunks: &mut Chunks, record: RecordRef<'_>, expected: usize) {
        let back = self.slots.back().copied();
        let place = chunks.append(back, record, expected);
        if back != Some(place.slot) {
            if back.is_none() {
                self.cursor = place.position;
            }
            self.slots.push_back(place.slot);
        }
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
                    if !chunks.record(Place { slot, position }).is_removed() {
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
    pub(super) fn find(&self, chunks: &Chunks, ordinal: u64) -> Option<Place> {
        let behind = self
            .slots
            .partition_point(|&slot| chunks.first_ordinal(slot) <= ordinal);
        let index = behind.checked_sub(1)?;
        let slot = self.slots[index];
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

    /// Drops all of it.
    pub(super) fn clear(&mut self, chunks: &mut Chunks) {
        while self.slots.len() > 1 {
            if let Some(slot) = self.slots.pop_back() {
                chunks.discard(slot);
            }
        }
        while let Some(head) = self.head() {
            chunks.remove(head);
            self.advance(chunks);
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
