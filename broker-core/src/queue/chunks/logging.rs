//! What of the log the chunks of a durable queue need.
//!
//! A chunk needs it from `first_lsn` on: the first record of a message that stands in no page
//! entry, or stands there as it is no more. A page entry needs it from `settled_from` on: the
//! first settlement that it does not know of. LSNs come at the end of a command, so the chunks
//! they are for are noted until then.

use crate::defects::{Defect, is_planted};
use crate::host::Lsn;

use super::home::SOON;
use super::{Chunk, Chunks, Slot};

impl Chunk {
    /// What is logged in it is needed from this record on.
    fn need_from(&mut self, lsn: Lsn) {
        let is_lower = lsn.0 < self.first_lsn && !is_planted(Defect::TurnDoesNotLowerLsn);
        if self.logged > 0 && (self.first_lsn == 0 || is_lower) {
            self.first_lsn = lsn.0;
        }
    }

    fn needed_from(&self) -> Option<u64> {
        let messages = Some(self.first_lsn).filter(|&lsn| lsn != 0 && self.logged > 0);
        let home = self.home.as_ref().and_then(|home| home.settled_from());
        let settles = home.filter(|_| !is_planted(Defect::SettlesNotNeeded));
        messages.into_iter().chain(settles).min()
    }
}

impl Chunks {
    /// The log gets something of the chunk that it must keep.
    #[inline]
    pub(in crate::queue) fn note_logged_in(&mut self, slot: Slot) {
        if self.logging.last() != Some(&slot) {
            self.logging.push(slot);
        }
    }

    /// It is in the log: its chunks know from where. [`Lsn::NONE`] if it is not.
    #[inline]
    pub(in crate::queue) fn logged_at(&mut self, lsn: Lsn) {
        while let Some(slot) = self.logging.pop() {
            if lsn != Lsn::NONE {
                self.chunk_mut(slot).need_from(lsn);
            }
        }
    }

    /// A logged record of the chunk died.
    #[inline]
    pub(super) fn note_settled_in(&mut self, slot: Slot) {
        let home = self.chunk_mut(slot).home.as_mut();
        if home.is_some_and(|home| home.note_settled()) {
            self.paging().settling.push(slot);
        }
    }

    /// The settlements of a command are in the log.
    pub(in crate::queue) fn settled_at(&mut self, lsn: Lsn) {
        while let Some(slot) = self
            .paging
            .as_mut()
            .and_then(|paging| paging.settling.pop())
        {
            if let Some(home) = &mut self.chunk_mut(slot).home {
                home.settled_at(lsn);
            }
        }
    }

    /// The first record of the log that this queue needs.
    pub(in crate::queue) fn needed_from(&self) -> Option<u64> {
        let needed = self.chunks.iter().filter_map(Chunk::needed_from).min();
        debug_assert_ne!(needed, Some(SOON), "a command ends with its LSNs known");
        needed
    }

    /// Whether the chunk has messages for which the log is needed at or before `upto`, and no job
    /// is about to change that.
    pub(in crate::queue) fn holds_back(&self, slot: Slot, upto: u64) -> bool {
        let chunk = self.chunk(slot);
        chunk.logged > 0 && chunk.first_lsn != 0 && chunk.first_lsn <= upto && chunk.job == 0
    }

    /// Chunks that hold the log back at or before `upto`.
    pub(in crate::queue) fn held_back(&self, upto: u64) -> Vec<Slot> {
        let mut slots = self.slots();
        slots.retain(|&slot| self.holds_back(slot, upto));
        slots
    }
}
