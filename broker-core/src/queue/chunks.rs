//! Where a queue's messages lie: chunks of records, addressed by [`Place`].
//!
//! A chunk is filled from the front and never in the middle. It grows with the queue, 512 bytes
//! first and 256 KiB at most, and its memory is freed when nothing in it is alive. When less than
//! a quarter of it is, the rest is copied together; the queue is told the new places. This file
//! knows nothing of order: who is next is decided in `ready`.

use crate::message::{HeadMut, Position, RecordRef, Records};
use crate::spare;

/// Capacity of the first chunk of an empty queue.
const CHUNK_BYTES_MIN: usize = 512;

/// Chunks do not grow above this, unless a single record needs more.
const CHUNK_BYTES_MAX: usize = 256 * 1024;

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

#[derive(Debug, Default)]
struct Chunk {
    records: Records,
    live: u32,
    live_bytes: usize,
    /// Bytes of the shared bodies of what is alive.
    shared_bytes: usize,
    first_ordinal: u64,
    /// A FIFO or [`Chunks::aside`] names its slot, so it stays even when empty.
    is_listed: bool,
    /// Stands in [`Chunks::sparse`].
    is_noted: bool,
}

impl Chunk {
    fn is_sparse(&self) -> bool {
        let filled = self.records.record_bytes();
        filled >= CHUNK_BYTES_MIN && self.live_bytes < filled / 4
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
    memory_bytes: usize,
}

impl Chunks {
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

    /// The ordinal of the first record that was ever in the chunk.
    pub(super) fn first_ordinal(&self, slot: Slot) -> u64 {
        self.chunk(slot).first_ordinal
    }

    /// The first position of the chunk, or the one behind `after`.
    #[inline]
    pub(super) fn next(&self, slot: Slot, after: Option<Position>) -> Option<Position> {
        let records = &self.chunk(slot).records;
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
            Some(slot) if self.has_room(slot, record.record_len()) => slot,
            _ => self.open(back, record, expected),
        };
        let shared_bytes = record.memory_bytes() - record.record_len();
        self.memory_bytes += shared_bytes;
        let chunk = self.chunk_mut(slot);
        chunk.shared_bytes += shared_bytes;
        chunk.live += 1;
        chunk.live_bytes += record.record_len();
        let position = chunk.records.push_record(record);
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
        let length = record.record_len();
        let shared_bytes = record.memory_bytes() - length;
        self.memory_bytes -= shared_bytes;
        chunk.shared_bytes -= shared_bytes;
        chunk.records.remove(place.position);
        chunk.live -= 1;
        chunk.live_bytes -= length;
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
        self.tidy(slot);
    }

    /// Drops a listed chunk with all that is in it.
    pub(super) fn discard(&mut self, slot: Slot) {
        self.free(slot);
    }

    /// A chunk that is worth compacting.
    pub(super) fn next_sparse(&mut self) -> Option<Slot> {
        while let Some(slot) = self.sparse.pop() {
            let chunk = self.chunk_mut(slot);
            chunk.is_noted = false;
            if chunk.is_sparse() {
                return Some(slot);
            }
        }
        None
    }

    /// Copies what is alive in the chunk together and tells of each record where it lay and
    /// where it lies now.
    pub(super) fn compact(&mut self, slot: Slot, mut moved: impl FnMut(u64, Place, Place)) {
        let chunk = &mut self.chunks[slot.0 as usize];
        let mut together = Records::with_capacity(chunk.live_bytes);
        let mut next = chunk.records.first();
        while let Some(old) = next {
            next = chunk.records.next(old);
            let record = chunk.records.at(old);
            if !record.is_removed() {
                let position = together.push_record(record);
                let (old, new) = (
                    Place {
                        slot,
                        position: old,
                    },
                    Place { slot, position },
                );
                moved(record.ordinal(), old, new);
            }
        }
        self.memory_bytes += together.capacity();
        let scattered = std::mem::replace(&mut chunk.records, together);
        self.memory_bytes -= scattered.capacity();
        spare::give(scattered);
    }

    /// Frees a loose chunk that is empty, notes one that is sparse.
    fn tidy(&mut self, slot: Slot) {
        let chunk = self.chunk_mut(slot);
        if chunk.live == 0 && !chunk.is_listed {
            self.free(slot);
        } else if chunk.is_sparse() && !chunk.is_noted {
            chunk.is_noted = true;
            self.sparse.push(slot);
        }
    }

    fn free(&mut self, slot: Slot) {
        let chunk = self.chunk_mut(slot);
        let is_noted = chunk.is_noted;
        let freed = std::mem::take(chunk);
        chunk.is_noted = is_noted;
        self.memory_bytes -= freed.records.capacity() + freed.shared_bytes;
        spare::give(freed.records);
        self.free.push(slot);
        if self.free.len() == self.chunks.len() && self.chunks.len() > SLOTS_KEPT {
            *self = Chunks::default();
        }
    }

    fn has_room(&self, slot: Slot, bytes: usize) -> bool {
        let records = &self.chunk(slot).records;
        records.capacity() - records.record_bytes() >= bytes
    }

    fn open(&mut self, before: Option<Slot>, record: RecordRef<'_>, expected: usize) -> Slot {
        let doubled = before.map_or(0, |slot| self.chunk(slot).records.capacity() * 2);
        let capacity = doubled
            .max(expected)
            .clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX)
            .max(record.record_len());
        let records = spare::take(capacity);
        self.memory_bytes += records.capacity();
        let slot = self.free.pop().unwrap_or_else(|| {
            self.chunks.push(Chunk::default());
            Slot(self.chunks.len() as u32 - 1)
        });
        let chunk = self.chunk_mut(slot);
        chunk.records = records;
        chunk.first_ordinal = record.ordinal();
        chunk.is_listed = true;
        slot
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
