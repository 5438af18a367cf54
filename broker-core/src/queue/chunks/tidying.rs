//! What becomes of chunks with room to spare: loose ones that are empty are freed, sparse ones
//! copied together.

use super::{Chunk, Chunks, Place, SLOTS_KEPT, Slot};
use crate::journal::Runs;
use crate::message::Records;
use crate::spare;

impl Chunks {
    /// Drops everything in the chunk but what stands in `kept`. No FIFO names it any more.
    pub(in crate::queue) fn retain(&mut self, slot: Slot, kept: &Runs) {
        self.chunk_mut(slot).is_listed = false;
        self.aside = self.aside.filter(|&aside| aside != slot);
        if !self.is_here(slot) {
            return self.retain_away(slot, kept);
        }
        let mut next = self.next(slot, None);
        while let Some(position) = next {
            next = self.next(slot, Some(position));
            let record = self.chunk(slot).records.at(position);
            if record.is_removed() || kept.contains(record.ordinal()) {
                continue;
            }
            let is_last = self.chunk(slot).live == 1;
            self.remove(Place { slot, position });
            if is_last {
                return;
            }
        }
        self.tidy(slot);
    }

    /// Drops everything in all chunks but what stands in `kept`. No FIFO names any of them.
    pub(in crate::queue) fn retain_all(&mut self, kept: &Runs) {
        let mut index = 0;
        // With the last chunk the table may go.
        while index < self.chunks.len() {
            if self.chunks[index].is_used() {
                self.retain(Slot(index as u32), kept);
            }
            index += 1;
        }
    }

    /// Drops everything but what is in the log. No FIFO names any of the chunks.
    pub(in crate::queue) fn retain_logged(&mut self) {
        for slot in self.slots() {
            if self.chunks.get(slot.0 as usize).is_some_and(Chunk::is_used) {
                let logged = self.logged_runs(slot);
                self.retain(slot, &logged);
            }
        }
    }

    /// All chunks that hold anything.
    pub(in crate::queue) fn slots(&self) -> Vec<Slot> {
        let slots = (0..self.chunks.len() as u32).map(Slot);
        slots.filter(|&slot| self.chunk(slot).is_used()).collect()
    }

    /// A chunk that is worth compacting.
    pub(in crate::queue) fn next_sparse(&mut self) -> Option<Slot> {
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
    pub(in crate::queue) fn compact(
        &mut self,
        slot: Slot,
        mut moved: impl FnMut(u64, Place, Place),
    ) {
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
        chunk.is_moved = true;
        if let Some(home) = &mut chunk.home {
            home.places_changed();
        }
        self.memory_bytes += together.capacity();
        let scattered = std::mem::replace(&mut chunk.records, together);
        self.memory_bytes -= scattered.capacity();
        spare::give(scattered);
    }

    /// Frees a loose chunk that is empty, notes one that is sparse.
    pub(super) fn tidy(&mut self, slot: Slot) {
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
        let (is_noted, is_closed) = (chunk.is_noted, chunk.is_closed);
        let freed = std::mem::take(chunk);
        (chunk.is_noted, chunk.is_closed) = (is_noted, is_closed);
        self.away_count -= usize::from(freed.away.is_some());
        self.memory_bytes -= freed.records.capacity() + freed.shared_bytes;
        spare::give(freed.records);
        if let Some(home) = freed.home {
            self.forget_home(*home);
        }
        self.free.push(slot);
        if self.free.len() == self.chunks.len() && self.chunks.len() > SLOTS_KEPT {
            self.forget_slots();
        }
    }

    /// No chunk is left: nor is the table of them.
    fn forget_slots(&mut self) {
        let mut paging = self.paging.take();
        if let Some(paging) = &mut paging {
            paging.forget_slots();
        }
        *self = Chunks {
            queue: self.queue,
            paging,
            ..Chunks::default()
        };
    }
}
