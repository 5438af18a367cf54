//! Letting the log go: what only it has is put into pages.
//!
//! The owner of the log says up to where it is to go, once. The queue keeps to it: what comes to
//! need that part of the log later (a message of an older turn, a page that could not be written
//! or was out of date when it was) is put into pages as well.

use super::chunks::Slot;
use super::{Effects, Queue};
use crate::host::Lsn;
use crate::time::Timestamp;

/// How long a disk is left alone that did not take a page.
pub(super) const PAGE_RETRY_MS: u64 = 1_000;

/// What a queue has promised about the log, and what keeps it from doing so.
#[derive(Debug, Default)]
pub(super) struct Releasing {
    /// The log was asked to go up to here.
    upto: u64,
    /// Something came to need it again.
    is_late: bool,
    /// Until then no page is written.
    retry_at: Option<Timestamp>,
}

impl Releasing {
    /// The log from `lsn` on is needed from now on.
    #[inline]
    pub(super) fn note_needed(&mut self, lsn: Lsn) {
        self.is_late |= lsn != Lsn::NONE && lsn.0 <= self.upto;
    }
}

impl Queue {
    /// The log up to `upto` is to go: what only it has goes into pages.
    pub(super) fn release(&mut self, upto: u64, effects: &mut Effects) {
        let releasing = self.releasing.get_or_insert_default();
        releasing.upto = releasing.upto.max(upto);
        releasing.retry_at = None;
        self.chunks.renew_entries(upto);
        self.release_held_back(effects);
    }

    fn release_held_back(&mut self, effects: &mut Effects) {
        for slot in self.chunks.held_back(self.released_upto()) {
            self.release_chunk(slot, effects);
        }
    }

    /// Writes the chunk if it needs the log that is to go; reads it first if need be.
    pub(super) fn release_chunk(&mut self, slot: Slot, effects: &mut Effects) {
        if !self.chunks.holds_back(slot, self.released_upto()) {
            return;
        }
        match self.chunks.is_here(slot) {
            true => self.write_page(slot, effects),
            false => self.chunks.want(slot),
        }
    }

    /// What could not be done at once.
    #[inline]
    pub(super) fn go_on_releasing(&mut self, effects: &mut Effects) {
        let Some(releasing) = &mut self.releasing else {
            return;
        };
        let is_due = releasing.retry_at.take_if(|at| *at <= self.now).is_some();
        if is_due | std::mem::take(&mut releasing.is_late) {
            self.release_held_back(effects);
        }
    }

    fn released_upto(&self) -> u64 {
        self.releasing
            .as_ref()
            .map_or(0, |releasing| releasing.upto)
    }

    /// A page could not be written.
    pub(super) fn leave_disk_alone(&mut self) {
        let retry_at = self.now.plus_ms(PAGE_RETRY_MS);
        self.releasing.get_or_insert_default().retry_at = Some(retry_at);
    }

    pub(super) fn is_disk_left_alone(&self) -> bool {
        self.page_retry_at().is_some()
    }

    /// When pages that could not be written are tried again.
    pub(super) fn page_retry_at(&self) -> Option<Timestamp> {
        self.releasing.as_ref()?.retry_at
    }

    /// The first record of the log that this queue needs; none when it needs nothing of it.
    pub(super) fn needed_from(&self) -> Option<u64> {
        self.chunks.needed_from()
    }

    /// Whether a page's entry must be put again before a stop in good order.
    pub(super) fn owes_redelivered(&self) -> bool {
        self.chunks.owes_redelivered()
    }
}
