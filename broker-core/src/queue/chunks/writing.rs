//! From a chunk to its page.

use crate::defects::{Defect, is_planted};
use crate::journal::Block;

use super::home::Home;
use super::page::{Job, PageAt, PageOut};
use super::{Chunks, Slot};

/// What became of a page that was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::queue) enum Written {
    /// The chunk has it.
    Done(Slot),
    /// The chunk has changed meanwhile: what was written is of no use.
    Stale(Slot),
    /// It could not be written.
    Failed(Slot),
    /// The chunk is gone.
    Late,
}

impl Chunks {
    /// Whether the chunk could leave memory after it was written, or now.
    pub(in crate::queue) fn is_worth_paging(&self, slot: Slot) -> bool {
        let chunk = self.chunk(slot);
        chunk.live > 0 && chunk.away.is_none() && chunk.job == 0
    }

    /// Begins to write a chunk, which takes no more records from now on. `None` when it is being
    /// written, or nothing is alive in it. The caller has compacted it.
    pub(in crate::queue) fn begin_page(&mut self, slot: Slot) -> Option<PageOut> {
        if !self.is_worth_paging(slot) {
            return None;
        }
        let number = self.paging().next_job();
        if self.aside == Some(slot) {
            self.aside = None;
            self.chunk_mut(slot).is_listed = false;
        }
        let chunk = self.chunk_mut(slot);
        debug_assert!(!chunk.records.has_removed(), "places hold in the page too");
        chunk.is_sealed = true;
        chunk.job = number;
        chunk.is_changed = false;
        chunk.is_moved = false;
        let block = Block::of(&chunk.records);
        let mut bytes = Vec::with_capacity(block.byte_len());
        for part in block.parts() {
            bytes.extend_from_slice(part);
        }
        let slot = slot.0;
        Some(PageOut {
            job: Job { slot, number },
            bytes,
            durable: chunk.logged > 0 && !is_planted(Defect::EntryBeforeSync),
        })
    }

    /// A chunk was written, or (none) could not be. `level` is what all its messages share.
    pub(in crate::queue) fn page_written(
        &mut self,
        job: Job,
        at: Option<PageAt>,
        level: Option<u8>,
        durable: bool,
    ) -> Written {
        let Some(slot) = self.slot_of(job) else {
            self.paging().freed.extend(at);
            return Written::Late;
        };
        let chunk = self.chunk_mut(slot);
        chunk.job = 0;
        let is_stale = chunk.is_changed && !is_planted(Defect::StalePageTaken);
        let Some(at) = at else {
            return Written::Failed(slot);
        };
        if is_stale {
            self.paging().freed.push(at);
            return Written::Stale(slot);
        }
        self.move_home(slot, at, level, durable);
        Written::Done(slot)
    }

    /// The chunk has a new page, which is as the chunk is. What of it is logged was synced: or
    /// all that was logged has died since, and only what needs no entry is left.
    fn move_home(&mut self, slot: Slot, at: PageAt, level: Option<u8>, durable: bool) {
        let mut home = Home::written(self.paging().next_page(), at, level);
        let chunk = self.chunk_mut(slot);
        home.may_expire = chunk.records.iter().any(|r| r.expires_at().is_some());
        if chunk.is_moved {
            home.places_changed();
        }
        let former = chunk.home.replace(Box::new(home));
        chunk.first_lsn = 0;
        if durable || is_planted(Defect::EntryBeforeSync) {
            self.put_entry(slot);
        }
        if let Some(former) = former {
            self.forget_home(*former);
        }
    }
}
