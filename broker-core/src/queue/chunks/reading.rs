//! From a page back to its chunk.

use crate::journal::Runs;
use crate::message::{Position, Records};
use crate::queue::tally::Tally;

use super::away::Away;
use super::page::{Job, PageIn};
use super::{Chunk, Chunks, Slot};

/// A chunk is in memory again.
#[derive(Debug)]
pub(in crate::queue) struct Arrival {
    pub(in crate::queue) slot: Slot,
    /// What of it was taken for ready.
    pub(in crate::queue) before: Tally,
    /// What of it is; may differ after a start, when the bytes were a mean.
    pub(in crate::queue) now: Tally,
}

/// A chunk whose page cannot be read.
#[derive(Debug)]
pub(in crate::queue) struct Loss {
    pub(in crate::queue) slot: Slot,
    /// What was alive in it.
    pub(in crate::queue) alive: Runs,
    /// What of it was ready.
    pub(in crate::queue) ready: Tally,
}

impl Chunks {
    /// The chunk is needed in memory.
    pub(in crate::queue) fn want(&mut self, slot: Slot) {
        if let Some(away) = &mut self.chunks[slot.0 as usize].away
            && !away.is_wanted
        {
            away.is_wanted = true;
            self.paging().wanted.push(slot);
        }
    }

    /// Chunks to be read.
    pub(in crate::queue) fn take_wanted(&mut self) -> Vec<PageIn> {
        let wanted = std::mem::take(&mut self.paging().wanted);
        let mut pages = Vec::with_capacity(wanted.len());
        for slot in wanted {
            let number = self.paging().next_job();
            let chunk = self.chunk_mut(slot);
            // Another chunk may have the slot by now, or none.
            if !chunk.away.as_ref().is_some_and(|away| away.is_wanted) || chunk.job != 0 {
                continue;
            }
            let Some(home) = &chunk.home else { continue };
            let at = home.at;
            chunk.job = number;
            let slot = slot.0;
            pages.push(PageIn {
                job: Job { slot, number },
                at,
            });
        }
        pages
    }

    /// A chunk was read; none when nobody waits for it any more.
    pub(in crate::queue) fn arrive(&mut self, job: Job, records: Records) -> Option<Arrival> {
        let slot = self.slot_of(job)?;
        let chunk = &mut self.chunks[slot.0 as usize];
        let away = chunk.away.take()?;
        self.away_count -= 1;
        chunk.job = 0;
        chunk.records = records;
        let found = chunk.refresh(&away);
        self.memory_bytes += chunk.records.capacity() + chunk.shared_bytes;
        let before = away.ready;
        let now = if away.is_estimated { found } else { before };
        Some(Arrival { slot, before, now })
    }

    /// A chunk cannot be read. It stays away until the caller has said what is kept of it.
    pub(in crate::queue) fn lose(&mut self, job: Job) -> Option<Loss> {
        let slot = self.slot_of(job)?;
        let chunk = self.chunk_mut(slot);
        let away = chunk.away.as_mut()?;
        chunk.job = 0;
        away.is_wanted = false;
        Some(Loss {
            slot,
            alive: away.alive.runs(),
            ready: std::mem::take(&mut away.ready),
        })
    }
}

impl Chunk {
    /// The records were read: they are brought up to what happened meanwhile. Counts those that
    /// are alive.
    fn refresh(&mut self, away: &Away) -> Tally {
        let mut found = Tally::default();
        (self.live, self.logged) = (0, 0);
        (self.live_bytes, self.shared_bytes) = (0, 0);
        let mut next = self.records.first();
        while let Some(position) = next {
            next = self.records.next(position);
            if !away.alive.contains(self.records.at(position).ordinal()) {
                self.records.remove(position);
                continue;
            }
            self.refresh_head(position, away);
            let record = self.records.at(position);
            found.add(record);
            self.live += 1;
            self.logged += u32::from(record.is_logged());
            self.live_bytes += record.record_len();
            self.shared_bytes += record.memory_bytes() - record.record_len();
        }
        found
    }

    fn refresh_head(&mut self, position: Position, away: &Away) {
        let is_redelivered = self.home.as_ref().is_some_and(|home| home.is_redelivered);
        let ordinal = self.records.at(position).ordinal();
        let mut head = self.records.head_mut(position);
        if is_redelivered {
            head.set_redelivered(true);
        }
        if let Some(deliveries) = away.heads.get(&ordinal) {
            head.set_redelivered(true);
            head.set_delivery_count(*deliveries);
        }
    }
}
