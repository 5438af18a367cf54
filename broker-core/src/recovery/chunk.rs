//! Records side by side, and how many of them are alive.

use crate::host::Lsn;
use crate::message::{Position, RecordRef, Records};

/// A chunk takes no more records beyond this.
pub(super) const CHUNK_BYTES_MAX: usize = 256 * 1024;

/// Records less than this are not worth compacting.
const COMPACTED_BYTES_MIN: usize = 1024;

/// Records, some of them removed.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) records: Records,
    live: u32,
    live_bytes: usize,
    /// None of them came with an entry that is older.
    pub(super) first_lsn: Lsn,
}

impl Chunk {
    pub(super) fn with_capacity(bytes: usize) -> Chunk {
        Chunk {
            records: Records::with_capacity(bytes),
            ..Chunk::default()
        }
    }

    /// Bytes of memory of records and shared bodies.
    pub(super) fn memory_bytes(&self) -> usize {
        let shared = self.records.shared_bodies();
        let bodies: usize = shared.iter().map(|body| body.len()).sum();
        self.records.capacity() + size_of_val(shared) + bodies
    }

    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.records.record_bytes() + bytes <= CHUNK_BYTES_MAX
    }

    pub(super) fn is_dead(&self) -> bool {
        self.live == 0
    }

    #[inline]
    pub(super) fn push(&mut self, ordinal: u64, record: RecordRef<'_>, lsn: Lsn) -> Position {
        if self.is_dead() || lsn < self.first_lsn {
            self.first_lsn = lsn;
        }
        let position = self.records.push_record(record);
        let mut head = self.records.head_mut(position);
        head.set_ordinal(ordinal);
        // A turn's record does not say so yet.
        head.set_logged(true);
        self.live += 1;
        self.live_bytes += record.record_len();
        position
    }

    #[inline]
    pub(super) fn record(&self, position: Position) -> RecordRef<'_> {
        self.records.at(position)
    }

    /// Removes a record that is alive.
    #[inline]
    pub(super) fn remove(&mut self, position: Position) {
        self.live -= 1;
        self.live_bytes -= self.records.at(position).record_len();
        self.records.remove(position);
    }

    pub(super) fn is_sparse(&self) -> bool {
        let filled = self.records.record_bytes();
        filled >= COMPACTED_BYTES_MIN && self.live_bytes < filled / 4
    }

    /// Copies what is alive together and tells where each ordinal lies now.
    pub(super) fn compact(&mut self, mut moved: impl FnMut(u64, Position)) {
        let mut together = Records::with_capacity(self.live_bytes);
        for record in self.records.iter().filter(|record| !record.is_removed()) {
            moved(record.ordinal(), together.push_record(record));
        }
        self.records = together;
    }
}
