//! Where a queue's messages lie: chunks of records, addressed by [`Place`].
//!
//! A chunk is filled from the front and never in the middle. It grows with the queue, 512 bytes
//! first and 256 KiB at most (shared bodies included), and its memory is freed when nothing in it
//! is alive. When less than a quarter of it is, the rest is copied together; the queue is told the
//! new places. This file knows nothing of order: who is next is decided in `ready`.
//!
//! What a chunk is to the disk stands in the files below: `page` has the words, `writing` and
//! `reading` the way there and back, `away` what is known of a chunk meanwhile, `home` its page
//! and the page's entry in the map, `logging` what of the log it needs.

mod away;
mod chunk;
mod home;
mod logging;
pub(super) mod page;
mod reading;
mod tidying;
mod writing;

#[cfg(test)]
pub(super) use chunk::with_chunks_of;
pub(super) use home::FoundPage;
pub(super) use reading::Loss;
pub(super) use writing::Written;

use smallvec::SmallVec;

use super::handle::QueueId;
use crate::message::{HeadMut, Position, RecordRef};
use crate::spare;
use chunk::{CHUNK_BYTES_MIN, Chunk, chunk_bytes_max};
use page::Paging;

/// An empty queue keeps the table of so many chunks.
const SLOTS_KEPT: usize = 8;

/// Names a chunk. Used again once the chunk is freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(u32);

/// Where a record lies. Holds until the record is removed or its chunk compacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) slot: Slot,
    pub(super) position: Position,
}

impl Place {
    /// No record lies here.
    pub(super) const NOWHERE: Place = Place {
        slot: Slot(u32::MAX),
        position: Position(u32::MAX),
    };

    /// Where no chunk is.
    #[cfg(test)]
    pub(super) const fn outside_for_tests() -> Place {
        Place {
            slot: Slot(1_000_000),
            position: Position(0),
        }
    }
}

/// All chunks of one queue.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    chunks: Vec<Chunk>,
    free: Vec<Slot>,
    /// The chunk that takes records which stand in no FIFO.
    aside: Option<Slot>,
    /// Chunks that may be worth compacting.
    sparse: Vec<Slot>,
    /// Chunks in memory that are full, or left their line with messages in them.
    closed: Vec<Slot>,
    /// Chunks with logged records whose LSN is not known before the command has logged them.
    logging: SmallVec<[Slot; 2]>,
    memory_bytes: usize,
    queue: QueueId,
    away_count: usize,
    /// None before the first page.
    paging: Option<Box<Paging>>,
}

impl Chunks {
    /// None yet, of this queue.
    pub(super) fn new(queue: QueueId) -> Chunks {
        Chunks {
            queue,
            ..Chunks::default()
        }
    }

    #[inline]
    pub(super) fn record(&self, place: Place) -> RecordRef<'_> {
        self.chunk(place.slot).records.at(place.position)
    }

    #[inline]
    pub(super) fn head_mut(&mut self, place: Place) -> HeadMut<'_> {
        self.chunk_mut(place.slot).records.head_mut(place.position)
    }

    /// Bytes of buffers and shared bodies.
    pub(super) fn memory_bytes(&self) -> usize {
        self.memory_bytes + self.chunks.capacity() * size_of::<Chunk>()
    }

    /// Whether a record that is alive begins there, in memory.
    pub(super) fn is_alive_at(&self, place: Place) -> bool {
        let records = &self.chunk(place.slot).records;
        (place.position.0 as usize) < records.record_bytes()
            && !records.at(place.position).is_removed()
    }

    /// The ordinal of the first record that was ever in the chunk.
    pub(super) fn first_ordinal(&self, slot: Slot) -> u64 {
        self.chunk(slot).first_ordinal
    }

    /// The first position of the chunk, or the one behind `after`. Of a chunk that is away only
    /// the first one is known.
    #[inline]
    pub(super) fn next(&self, slot: Slot, after: Option<Position>) -> Option<Position> {
        let records = &self.chunk(slot).records;
        if after.is_none() && !self.is_here(slot) {
            return Some(Position(0));
        }
        after.map_or_else(|| records.first(), |position| records.next(position))
    }

    /// Appends to the chunk `back`, or to a new one if there is no room or no `back`. A new one
    /// is listed and has room for `expected` bytes, within reason.
    #[inline]
    pub(super) fn append(
        &mut self,
        back: Option<Slot>,
        record: RecordRef<'_>,
        expected: usize,
    ) -> Place {
        let slot = match back {
            Some(slot) if self.chunk(slot).has_room(record) => slot,
            _ => self.open(back, record, expected),
        };
        let shared_bytes = record.memory_bytes() - record.record_len();
        self.memory_bytes += shared_bytes;
        let chunk = self.chunk_mut(slot);
        chunk.shared_bytes += shared_bytes;
        chunk.live += 1;
        chunk.live_bytes += record.record_len();
        let position = chunk.records.push_record(record);
        if record.is_logged() {
            chunk.logged += 1;
            self.note_logged_in(slot);
        }
        Place { slot, position }
    }

    /// Keeps a record that stands in no FIFO.
    #[inline]
    pub(super) fn keep(&mut self, record: RecordRef<'_>, expected: usize) -> Place {
        let place = self.append(self.aside, record, expected);
        if self.aside != Some(place.slot)
            && let Some(full) = self.aside.replace(place.slot)
        {
            self.release(full);
        }
        place
    }

    /// Ends a record's life. Its bytes go with its chunk.
    #[inline]
    pub(super) fn remove(&mut self, place: Place) {
        let chunk = &mut self.chunks[place.slot.0 as usize];
        let record = chunk.records.at(place.position);
        debug_assert!(!record.is_removed(), "a record dies once");
        let is_logged = record.is_logged();
        let length = record.record_len();
        let shared_bytes = record.memory_bytes() - length;
        self.memory_bytes -= shared_bytes;
        chunk.shared_bytes -= shared_bytes;
        chunk.records.remove(place.position);
        chunk.live -= 1;
        chunk.live_bytes -= length;
        if is_logged {
            chunk.logged -= 1;
            self.note_settled_in(place.slot);
        }
        let chunk = &self.chunks[place.slot.0 as usize];
        if chunk.live == 0 && self.aside == Some(place.slot) {
            self.aside = None;
            self.release(place.slot);
        } else if chunk.live == 0 || chunk.is_sparse() {
            self.tidy(place.slot);
        }
    }

    /// No FIFO names the chunk any more: it goes with its last record.
    pub(super) fn release(&mut self, slot: Slot) {
        self.chunk_mut(slot).is_listed = false;
        self.note_closed(slot);
        self.tidy(slot);
    }

    /// Full chunks in memory since the last call.
    pub(super) fn take_closed(&mut self) -> Vec<Slot> {
        let mut closed = std::mem::take(&mut self.closed);
        for &slot in &closed {
            self.chunk_mut(slot).is_closed = false;
        }
        // A slot may have another chunk by now, which still takes records.
        closed.retain(|&slot| self.chunk(slot).is_full);
        closed
    }

    /// The chunk in memory takes no more records.
    pub(super) fn note_closed(&mut self, slot: Slot) {
        let chunk = &mut self.chunks[slot.0 as usize];
        chunk.is_full = true;
        if !std::mem::replace(&mut chunk.is_closed, true) {
            self.closed.push(slot);
        }
    }

    /// What is alive in a chunk that is in memory.
    pub(super) fn alive_in(&self, slot: Slot) -> impl Iterator<Item = RecordRef<'_>> {
        let records = self.chunk(slot).records.iter();
        records.filter(|record| !record.is_removed())
    }

    /// Whether records of the chunk were removed and still take room.
    pub(super) fn has_removed(&self, slot: Slot) -> bool {
        self.chunk(slot).records.has_removed()
    }

    fn open(&mut self, before: Option<Slot>, record: RecordRef<'_>, expected: usize) -> Slot {
        let doubled = before.map_or(0, |slot| self.chunk(slot).next_capacity());
        let max = chunk_bytes_max();
        let capacity = doubled
            .max(expected)
            .clamp(CHUNK_BYTES_MIN.min(max), max)
            .max(record.record_len());
        let records = spare::take(capacity);
        self.memory_bytes += records.capacity();
        if let Some(full) = before {
            self.note_closed(full);
        }
        let slot = self.take_slot();
        let chunk = self.chunk_mut(slot);
        chunk.records = records;
        chunk.first_ordinal = record.ordinal();
        chunk.is_listed = true;
        slot
    }

    fn take_slot(&mut self) -> Slot {
        self.free.pop().unwrap_or_else(|| {
            if self.chunks.is_empty() {
                // Most queues never have a second one.
                self.chunks.reserve_exact(1);
            }
            self.chunks.push(Chunk::default());
            Slot(self.chunks.len() as u32 - 1)
        })
    }

    #[inline]
    fn chunk(&self, slot: Slot) -> &Chunk {
        &self.chunks[slot.0 as usize]
    }

    #[inline]
    fn chunk_mut(&mut self, slot: Slot) -> &mut Chunk {
        &mut self.chunks[slot.0 as usize]
    }
}
