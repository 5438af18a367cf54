//! What is known of a chunk whose records are only on disk.
//!
//! What dies there is taken out of the runs of what is alive; what comes back gets its delivery
//! count beside them, until the page is read.

use rustc_hash::FxHashMap;

use crate::journal::Runs;
use crate::message::{RecordRef, Records};
use crate::queue::tally::Tally;

use super::home::{FoundPage, Home};
use super::ordinals::Ordinals;
use super::{Chunk, Chunks, Place, Slot};
use crate::spare;

/// Stands for the records of a chunk.
#[derive(Debug, Default)]
pub(super) struct Away {
    pub(super) alive: Ordinals,
    /// Those of them that are not logged.
    pub(super) unlogged: Ordinals,
    /// Those of them that are ready.
    pub(super) ready: Tally,
    /// Messages that came back meanwhile, with their delivery counts.
    pub(super) heads: FxHashMap<u64, u32>,
    /// `ready` counts all that is alive, and its bytes are what the entry makes of them.
    pub(super) is_estimated: bool,
    pub(super) is_wanted: bool,
}

impl Chunks {
    /// Whether the chunk's records can be read.
    #[inline]
    pub(in crate::queue) fn is_here(&self, slot: Slot) -> bool {
        self.chunk(slot).away.is_none()
    }

    /// Whether any chunk is on disk only.
    #[inline]
    pub(in crate::queue) fn has_away(&self) -> bool {
        self.away_count > 0
    }

    /// What is ready in chunks that are on disk only.
    pub(in crate::queue) fn ready_on_disk(&self) -> Tally {
        let mut ready = Tally::default();
        let away = self.chunks.iter().filter_map(|chunk| chunk.away.as_ref());
        away.for_each(|away| ready.add_all(away.ready));
        ready
    }

    /// How many chunks are on disk only.
    #[cfg(test)]
    pub(in crate::queue) fn away_count(&self) -> usize {
        self.away_count
    }

    /// Whether the message is alive in a chunk that is away.
    pub(in crate::queue) fn has_away_in(&self, slot: Slot, ordinal: u64) -> bool {
        let away = self.chunk(slot).away.as_ref();
        away.is_some_and(|away| away.alive.contains(ordinal))
    }

    /// Whether one of the messages of a chunk that is away may have a time to live of its own.
    pub(in crate::queue) fn may_expire(&self, slot: Slot) -> bool {
        let home = self.chunk(slot).home.as_ref();
        home.is_some_and(|home| home.may_expire)
    }

    /// The ordinals of the chunk that are in the log.
    pub(in crate::queue) fn logged_runs(&self, slot: Slot) -> Runs {
        let chunk = self.chunk(slot);
        if let Some(away) = &chunk.away {
            let mut runs = away.alive.runs();
            runs.remove_all(&away.unlogged.runs());
            return runs;
        }
        runs_of(&chunk.records, |record| record.is_logged())
    }

    /// Gives the memory of a chunk up that its page has as it is. `ready` counts those of its
    /// messages that are ready. False when it has to be written first.
    pub(in crate::queue) fn leave(&mut self, slot: Slot, ready: Tally) -> bool {
        if !self.has_exact_page(slot) {
            return false;
        }
        let chunk = &mut self.chunks[slot.0 as usize];
        let records = std::mem::take(&mut chunk.records);
        let away = Away {
            alive: runs_of(&records, |_| true).into(),
            unlogged: runs_of(&records, |record| !record.is_logged()).into(),
            ready,
            ..Away::default()
        };
        chunk.away = Some(Box::new(away));
        chunk.is_leaving = false;
        self.away_count += 1;
        self.memory_bytes -= records.capacity() + chunk.shared_bytes;
        chunk.shared_bytes = 0;
        chunk.live_bytes = 0;
        spare::give(records);
        true
    }

    /// A chunk as it was found at the start, away.
    pub(in crate::queue) fn restore(&mut self, found: FoundPage) -> (Slot, Tally) {
        let home = Home::found(&found);
        let FoundPage { entry, heads, .. } = found;
        self.note_page(entry.number);
        let count = entry.runs.count() as u32;
        let bytes = entry.body_length.total(u64::from(count));
        let ready = Tally::of_persistent(u64::from(count), bytes);
        let slot = self.take_slot();
        self.away_count += 1;
        let chunk = self.chunk_mut(slot);
        chunk.live = count;
        chunk.logged = count;
        chunk.first_ordinal = entry.runs.first().unwrap_or_default();
        chunk.is_listed = true;
        chunk.is_sealed = true;
        chunk.home = Some(Box::new(home));
        chunk.away = Some(Box::new(Away {
            alive: entry.runs.into(),
            ready,
            heads: heads.into_iter().collect(),
            is_estimated: true,
            ..Away::default()
        }));
        (slot, ready)
    }

    /// Ends a record's life, wherever it is.
    #[inline]
    pub(in crate::queue) fn end(&mut self, place: Place, ordinal: u64) {
        match self.is_here(place.slot) {
            true => self.remove(place),
            false => self.end_away(place.slot, ordinal),
        }
    }

    fn end_away(&mut self, slot: Slot, ordinal: u64) {
        let chunk = self.chunk_mut(slot);
        let Some(away) = &mut chunk.away else { return };
        if !away.alive.remove(ordinal) {
            return;
        }
        chunk.live -= 1;
        if !away.unlogged.remove(ordinal) {
            chunk.logged -= 1;
            self.note_settled_in(slot);
        }
        self.tidy(slot);
    }

    /// Everything in the chunk but these ordinals goes, and none of them is ready.
    pub(super) fn retain_away(&mut self, slot: Slot, kept: &Runs) {
        let chunk = self.chunk_mut(slot);
        let Some(away) = &mut chunk.away else { return };
        away.alive.retain(kept);
        away.unlogged.retain(kept);
        away.ready = Tally::default();
        away.is_estimated = false;
        let former = chunk.logged;
        chunk.live = away.alive.count() as u32;
        chunk.logged = chunk.live - away.unlogged.count() as u32;
        if chunk.logged < former {
            self.note_settled_in(slot);
        }
        self.tidy(slot);
    }

    /// Nothing in chunks that are away is ready any more.
    pub(in crate::queue) fn none_ready_away(&mut self) {
        for away in self
            .chunks
            .iter_mut()
            .filter_map(|chunk| chunk.away.as_mut())
        {
            away.ready = Tally::default();
            away.is_estimated = false;
        }
    }

    /// Counts a message among the ready ones of a chunk that is away.
    pub(in crate::queue) fn ready_away(&mut self, slot: Slot, one: Tally) {
        if let Some(away) = &mut self.chunk_mut(slot).away {
            away.ready.add_all(one);
        }
    }

    /// A message came back from a client: its head says so, now or when it is read again. The log
    /// is needed for that until the page says it too.
    pub(in crate::queue) fn come_back(&mut self, place: Place, ordinal: u64, deliveries: u32) {
        let chunk = self.chunk_mut(place.slot);
        let is_logged = match &mut chunk.away {
            Some(away) => {
                away.heads.insert(ordinal, deliveries);
                !away.unlogged.contains(ordinal)
            }
            None => {
                let mut head = chunk.records.head_mut(place.position);
                head.set_redelivered(true);
                head.set_delivery_count(deliveries);
                chunk.records.at(place.position).is_logged()
            }
        };
        chunk.is_changed = true;
        if let Some(home) = &mut chunk.home {
            home.head_changed();
        }
        if is_logged {
            self.note_logged_in(place.slot);
        }
    }

    /// Bytes of memory of what is known of pages.
    pub(in crate::queue) fn page_memory_bytes(&self) -> usize {
        let of_chunk = |chunk: &Chunk| {
            let home = chunk.home.as_ref().map_or(0, |_| size_of::<Home>());
            let away = chunk.away.as_ref().map_or(0, |away| {
                let runs = away.alive.heap_bytes() + away.unlogged.heap_bytes();
                let heads = away.heads.capacity() * size_of::<(u64, u32)>();
                size_of::<Away>() + runs + heads
            });
            home + away
        };
        self.chunks.iter().map(of_chunk).sum()
    }
}

fn runs_of(records: &Records, mut wanted: impl FnMut(RecordRef<'_>) -> bool) -> Runs {
    let mut runs = Runs::new();
    for record in records.iter() {
        if !record.is_removed() && wanted(record) {
            runs.insert(record.ordinal());
        }
    }
    runs
}
