//! One chunk: its records, what of them is alive, and what it is to the disk.

use crate::message::{RecordRef, Records};

use super::away::Away;
use super::home::Home;

/// Capacity of the first chunk of an empty queue.
pub(super) const CHUNK_BYTES_MIN: usize = 512;

/// Chunks do not grow above this, shared bodies included, unless a single message needs more.
const CHUNK_BYTES_MAX: usize = 256 * 1024;

#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) records: Records,
    pub(super) live: u32,
    /// Those of them that are in the log.
    pub(super) logged: u32,
    pub(super) live_bytes: usize,
    /// Bytes of the shared bodies of what is alive.
    pub(super) shared_bytes: usize,
    pub(super) first_ordinal: u64,
    /// A FIFO or [`Chunks::aside`] names its slot, so it stays even when empty.
    pub(super) is_listed: bool,
    /// Stands in [`Chunks::sparse`].
    pub(super) is_noted: bool,
    /// Stands in [`Chunks::closed`].
    pub(super) is_closed: bool,
    /// No list adds to it any more.
    pub(super) is_full: bool,
    /// Takes no more records: it is, or was, written as it is.
    pub(super) is_sealed: bool,
    /// Heads of records changed since the write under way began.
    pub(super) is_changed: bool,
    /// Places changed since the write under way began.
    pub(super) is_moved: bool,
    /// The page that is being written or read; 0 for none.
    pub(super) job: u32,
    /// The log is needed from here on for messages that no page entry has as they are; 0 for not
    /// at all.
    pub(super) first_lsn: u64,
    pub(super) home: Option<Box<Home>>,
    pub(super) away: Option<Box<Away>>,
}

impl Chunk {
    pub(super) fn is_sparse(&self) -> bool {
        let filled = self.records.record_bytes();
        filled >= CHUNK_BYTES_MIN && self.live_bytes < filled / 4
    }

    /// Whether it holds anything, or a list names it.
    pub(super) fn is_used(&self) -> bool {
        self.live > 0 || self.is_listed
    }

    pub(super) fn has_room(&self, record: RecordRef<'_>) -> bool {
        let filled = self.records.record_bytes();
        !self.is_sealed
            && self.records.capacity() - filled >= record.record_len()
            && filled + self.shared_bytes + record.memory_bytes() <= chunk_bytes_max()
    }

    /// The capacity of the chunk behind this one: twice as much, unless this one is full of bodies.
    pub(super) fn next_capacity(&self) -> usize {
        let capacity = self.records.capacity();
        match self.records.record_bytes() < capacity / 2 {
            true => capacity,
            false => capacity * 2,
        }
    }
}

/// What a chunk may hold.
#[cfg(not(test))]
pub(super) const fn chunk_bytes_max() -> usize {
    CHUNK_BYTES_MAX
}

#[cfg(test)]
pub(in crate::queue) use small::{chunk_bytes_max, with_chunks_of};

#[cfg(test)]
mod small {
    use std::cell::Cell;

    thread_local! {
        static MAX: Cell<usize> = const { Cell::new(super::CHUNK_BYTES_MAX) };
    }

    pub(in crate::queue) fn chunk_bytes_max() -> usize {
        MAX.get()
    }

    /// Runs `act` with chunks of at most so many bytes, so that a few messages fill many.
    pub(in crate::queue) fn with_chunks_of<T>(bytes: usize, act: impl FnOnce() -> T) -> T {
        MAX.set(bytes);
        let result = act();
        MAX.set(super::CHUNK_BYTES_MAX);
        result
    }
}
