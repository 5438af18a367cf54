//! Which of a queue's messages are on disk only, and how they come back.
//!
//! While all queues together have more in memory than the budget, a queue sends every chunk to
//! disk that is full and not about to be delivered. The first chunks stay, or are read ahead when
//! there are consumers. A disk that does not take a page is left alone for a while.

use super::chunks::page::{Job, PageAt, PageFree};
use super::chunks::{Loss, Slot, Written};
use super::tally::Tally;
use super::{Effects, Life, Queue};
use crate::defects::{Defect, is_planted};
use crate::host::Lsn;
use crate::message::Records;

/// Chunks that are kept in memory, or read ahead, for the consumers of a queue: 1 MiB.
pub(super) const CHUNKS_AHEAD: usize = 4;

impl Queue {
    /// Sends to disk what does not fit memory, and reads what is needed next.
    pub(super) fn page(&mut self, effects: &mut Effects) {
        self.go_on_releasing(effects);
        let is_consumed = !self.consumers.is_empty();
        if is_consumed && self.chunks.has_away() {
            for slot in self.ready.next_slots(CHUNKS_AHEAD) {
                self.chunks.want(slot);
            }
        }
        if self.report_memory() {
            self.page_closed(effects);
            self.report_memory();
        }
    }

    /// Tells the budget what is in memory. Whether there is too much of all.
    pub(super) fn report_memory(&mut self) -> bool {
        let is_consumed = !self.consumers.is_empty();
        self.share.report(self.chunks.memory_bytes(), is_consumed)
    }

    fn page_closed(&mut self, effects: &mut Effects) {
        let closed = self.chunks.take_closed();
        if closed.is_empty() {
            return;
        }
        let near = self.near();
        for slot in closed {
            match near.contains(&slot) {
                true => self.chunks.note_closed(slot),
                false => self.send_away(slot, effects),
            }
        }
    }

    /// The chunks that stay in memory: those that are wanted at once must not be sent away, or
    /// they would come and go for ever.
    fn near(&self) -> Vec<Slot> {
        let ahead = match self.consumers.is_empty() {
            true => 1,
            false => CHUNKS_AHEAD,
        };
        let mut near = self.ready.next_slots(ahead);
        near.extend(self.ready.heads().map(|place| place.slot));
        near.extend(self.dead.next_slot());
        near
    }

    /// A chunk is to leave memory: at once when its page is as it is, else once it is written.
    fn send_away(&mut self, slot: Slot, effects: &mut Effects) {
        if self.chunks.is_worth_paging(slot) && !self.leave(slot) {
            self.write_page(slot, effects);
        }
    }

    fn leave(&mut self, slot: Slot) -> bool {
        self.chunks.has_exact_page(slot) && {
            let ready = self.ready_in(slot);
            self.chunks.leave(slot, ready)
        }
    }

    /// Begins to write a chunk; later, when the disk did not take a page just now.
    pub(super) fn write_page(&mut self, slot: Slot, effects: &mut Effects) {
        if self.is_disk_left_alone() {
            return self.chunks.note_closed(slot);
        }
        if self.chunks.has_removed(slot) {
            self.compact_chunk(slot);
        }
        effects.pages_out.extend(self.chunks.begin_page(slot));
    }

    /// What of a chunk in memory is ready.
    fn ready_in(&self, slot: Slot) -> Tally {
        let mut ready = Tally::default();
        if self.life == Life::Failed {
            return ready;
        }
        for record in self.chunks.alive_in(slot) {
            let ordinal = record.ordinal();
            if !self.unacked.contains(ordinal) && !self.dead.contains(ordinal) {
                ready.add(record);
            }
        }
        ready
    }

    /// A page was written (and, if `durable`, synced), or could not be.
    pub(super) fn page_written(
        &mut self,
        job: Job,
        at: Option<PageAt>,
        durable: bool,
        effects: &mut Effects,
    ) {
        let level = self.level_of(job);
        match self.chunks.page_written(job, at, level, durable) {
            Written::Late => {}
            Written::Done(slot) => {
                let is_full = self.report_memory();
                if !is_full || self.near().contains(&slot) || !self.leave(slot) {
                    self.chunks.note_closed(slot);
                }
            }
            Written::Stale(slot) => {
                self.chunks.note_closed(slot);
                self.release_chunk(slot, effects);
            }
            Written::Failed(slot) if !is_planted(Defect::FailedWriteForgotten) => {
                self.chunks.note_closed(slot);
                self.leave_disk_alone();
            }
            Written::Failed(_) => {}
        }
    }

    /// The level that all messages of a chunk share.
    fn level_of(&self, job: Job) -> Option<u8> {
        if self.settings.max_priority.is_none() {
            return Some(0);
        }
        let mut levels = self
            .chunks
            .alive_in(self.chunks.slot_of(job)?)
            .map(|record| self.level(record));
        let first = levels.next()?;
        levels.all(|level| level == first).then_some(first)
    }

    /// A page was read; none when it is damaged: its messages are lost.
    pub(super) fn page_read(&mut self, job: Job, records: Option<Records>, effects: &mut Effects) {
        match records {
            Some(records) => self.arrive(job, records, effects),
            None => self.lose_page(job, effects),
        }
        self.dead.arrived();
        if self.life == Life::Running {
            self.remove_arrived();
            self.trim();
        }
    }

    fn arrive(&mut self, job: Job, records: Records, effects: &mut Effects) {
        let Some(arrival) = self.chunks.arrive(job, records) else {
            return;
        };
        let slot = arrival.slot;
        self.ready
            .arrived(slot, arrival.before, arrival.now, &mut self.chunks);
        self.chunks.note_closed(slot);
        self.release_chunk(slot, effects);
    }

    fn lose_page(&mut self, job: Job, effects: &mut Effects) {
        let Some(Loss { slot, alive, ready }) = self.chunks.lose(job) else {
            return;
        };
        // A client has the unacked ones: what it says of them still counts.
        let is_kept = |ordinal: &u64| self.unacked.contains(*ordinal);
        let kept = alive.iter().filter(is_kept).collect();
        let mut lost = alive;
        lost.remove_all(&kept);
        self.ready.lose(slot, ready, &mut self.chunks);
        lost.iter().for_each(|ordinal| self.dead.lose(ordinal));
        self.note_lost(lost.count(), effects);
        self.log.all_gone(&lost);
        self.chunks.retain(slot, &kept);
    }

    /// So many messages cannot be read from disk.
    pub(super) fn note_lost(&mut self, count: u64, effects: &mut Effects) {
        self.totals.dropped += count;
        effects.lost += count;
    }

    /// Everything that is not about to be delivered leaves memory.
    pub(super) fn shrink(&mut self, effects: &mut Effects) {
        let near = match self.consumers.is_empty() {
            true => Vec::new(),
            false => self.near(),
        };
        for slot in self.chunks.slots() {
            if !near.contains(&slot) {
                self.send_away(slot, effects);
            }
        }
    }

    /// Passes on what the command left for the log and the disk.
    pub(super) fn finish_pages(&mut self, effects: &mut Effects) {
        if !self.chunks.has_page_work() {
            return;
        }
        let (changes, freed) = self.chunks.take_page_changes();
        let mut lsn = self.log.change_pages(changes);
        if is_planted(Defect::FreedAtOnce) {
            lsn = Lsn::NONE;
        }
        let freed = freed.into_iter().map(|at| PageFree { at, lsn });
        effects.pages_free.extend(freed);
        effects.pages_in.extend(self.chunks.take_wanted());
    }
}
