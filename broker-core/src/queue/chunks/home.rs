//! The page of a chunk, and its entry in the map.
//!
//! An entry is put when the page is written and synced, with the ordinals that are alive then. It
//! is put again, with fewer, before the log loses the settlements that it does not know of, and
//! deleted with the page. A new page has its entry before that of the former one goes, so that a
//! message is never in neither.

use crate::defects::{Defect, is_planted};
use crate::host::Lsn;
use crate::journal::{MeanLength, PageEntry, PageKey, Runs};

use super::page::PageAt;
use super::{Chunks, Slot};

/// An LSN that is not known before the end of the command.
pub(super) const SOON: u64 = u64::MAX;

/// The page of a chunk.
#[derive(Debug)]
pub(super) struct Home {
    number: u64,
    pub(super) at: PageAt,
    /// The level that all its messages share.
    level: Option<u8>,
    /// The map names it.
    has_entry: bool,
    /// Places in memory are places in the page.
    is_exact: bool,
    /// Heads in memory are as they stand in the page.
    is_current: bool,
    /// Everything in it may have been delivered before the start, whatever its heads say.
    pub(super) is_redelivered: bool,
    /// Its entry says so.
    is_known_redelivered: bool,
    /// One of its messages may have a time to live of its own.
    pub(super) may_expire: bool,
    /// Of the logged ones among its messages, when they were seen last.
    body_length: MeanLength,
    /// The first settlement that its entry lacks; 0 for none.
    settled_from: u64,
}

/// A page as a start has found it.
#[derive(Debug)]
pub(in crate::queue) struct FoundPage {
    pub(in crate::queue) entry: PageEntry,
    /// It may have been delivered, which its entry does not say.
    pub(in crate::queue) is_redelivered: bool,
    /// Delivery counts of what came back since it was written, which the caller logs again.
    pub(in crate::queue) heads: Vec<(u64, u32)>,
    /// The first settlement that the entry lacks.
    pub(in crate::queue) settled_from: Option<Lsn>,
}

impl Home {
    /// A page that was written just now.
    pub(super) fn written(number: u64, at: PageAt, level: Option<u8>) -> Home {
        Home {
            number,
            at,
            level,
            has_entry: false,
            is_exact: true,
            is_current: true,
            is_redelivered: false,
            is_known_redelivered: false,
            may_expire: false,
            body_length: MeanLength::default(),
            settled_from: 0,
        }
    }

    /// A page that a start has found.
    pub(super) fn found(found: &FoundPage) -> Home {
        let entry = &found.entry;
        Home {
            has_entry: true,
            is_current: found.heads.is_empty(),
            is_redelivered: found.is_redelivered || entry.is_redelivered,
            is_known_redelivered: entry.is_redelivered,
            may_expire: entry.may_expire,
            body_length: entry.body_length,
            settled_from: found.settled_from.map_or(0, |lsn| lsn.0),
            ..Home::written(entry.number, page_at(entry), entry.level)
        }
    }

    /// The chunk was compacted: places in memory are not those in the page any more.
    pub(super) fn places_changed(&mut self) {
        self.is_exact = false;
    }

    /// A head in memory is not as it stands in the page any more.
    pub(super) fn head_changed(&mut self) {
        self.is_current = false;
    }

    /// Whether the page can stand for the records in memory.
    pub(super) fn is_as_memory(&self) -> bool {
        (self.is_exact || is_planted(Defect::MovedChunkLeaves)) && self.is_current
    }

    /// A message that the entry names died. True when the LSN of that is to be told.
    pub(super) fn note_settled(&mut self) -> bool {
        let is_first = self.has_entry && self.settled_from == 0;
        if is_first {
            self.settled_from = SOON;
        }
        is_first
    }

    pub(super) fn settled_at(&mut self, lsn: Lsn) {
        if self.settled_from == SOON {
            self.settled_from = lsn.0;
        }
    }

    pub(super) fn settled_from(&self) -> Option<u64> {
        Some(self.settled_from).filter(|&lsn| lsn != 0)
    }

    /// Whether the entry lacks what only the log up to `upto` says.
    fn is_behind(&self, upto: u64) -> bool {
        let lacks_settles = self.settled_from != 0 && self.settled_from <= upto;
        self.has_entry && lacks_settles || self.owes_redelivered()
    }

    /// Whether the entry lacks that everything in the page may have been delivered, which a start
    /// after a stop in good order would not know.
    fn owes_redelivered(&self) -> bool {
        self.has_entry && self.is_redelivered && !self.is_known_redelivered
    }

    fn key(&self, queue: u64) -> PageKey {
        PageKey {
            queue,
            number: self.number,
        }
    }

    fn entry(&self, queue: u64, runs: Runs) -> PageEntry {
        PageEntry {
            queue,
            number: self.number,
            segment: self.at.segment,
            offset: self.at.offset,
            length: self.at.length,
            crc: self.at.crc,
            level: self.level,
            is_redelivered: self.is_redelivered,
            may_expire: self.may_expire,
            body_length: self.body_length,
            runs,
        }
    }
}

impl Chunks {
    /// Whether the chunk's page is as the chunk is, so that its memory can be given up.
    pub(in crate::queue) fn has_exact_page(&self, slot: Slot) -> bool {
        let chunk = self.chunk(slot);
        let has_page = chunk.home.as_ref().is_some_and(|home| home.is_as_memory());
        has_page && chunk.job == 0 && chunk.away.is_none()
    }

    /// Puts the entries of pages again that lack what only the log up to `upto` says.
    pub(in crate::queue) fn renew_entries(&mut self, upto: u64) {
        for slot in self.slots() {
            let home = self.chunk(slot).home.as_ref();
            if home.is_some_and(|home| home.is_behind(upto)) {
                self.put_entry(slot);
            }
        }
    }

    /// Whether the entry of a page lacks that its messages may have been delivered.
    pub(in crate::queue) fn owes_redelivered(&self) -> bool {
        let mut homes = self.chunks.iter().filter_map(|chunk| chunk.home.as_ref());
        homes.any(|home| home.owes_redelivered())
    }

    /// The map names the chunk's page with what is alive in it now, or not at all.
    pub(super) fn put_entry(&mut self, slot: Slot) {
        let mut runs = self.logged_runs(slot);
        let body_length = self.is_here(slot).then(|| self.logged_body_length(slot));
        let queue = self.queue.0;
        let chunk = self.chunk_mut(slot);
        let Some(home) = &mut chunk.home else { return };
        home.body_length = body_length.unwrap_or(home.body_length);
        if is_planted(Defect::EntryNamesDead) {
            let (first, last) = (runs.first().unwrap_or(1), runs.last().unwrap_or(0));
            runs.insert_between(chunk.first_ordinal.min(first), last);
        }
        let had_entry = std::mem::replace(&mut home.has_entry, !runs.is_empty());
        home.settled_from = 0;
        home.is_known_redelivered = home.is_redelivered;
        let change = match (had_entry, home.has_entry) {
            (_, true) => home.entry(queue, runs).put(),
            (true, false) => home.key(queue).deleted(),
            (false, false) => return,
        };
        self.paging().changes.push(change);
    }

    /// Of the chunk's messages that are in the log. It is in memory.
    fn logged_body_length(&self, slot: Slot) -> MeanLength {
        let logged = self.alive_in(slot).filter(|record| record.is_logged());
        let (bytes, count) = logged.fold((0, 0), |(bytes, count), record| {
            (bytes + record.body_len() as u64, count + 1)
        });
        MeanLength::of(bytes, count)
    }

    /// A page is of no use any more: nor is its entry.
    pub(super) fn forget_home(&mut self, home: Home) {
        let key = home.key(self.queue.0);
        let paging = self.paging();
        if home.has_entry {
            paging.changes.push(key.deleted());
        }
        if !is_planted(Defect::PageLeaks) {
            paging.freed.push(home.at);
        }
    }

    /// An entry of the map that names nothing of use.
    pub(in crate::queue) fn delete_entry(&mut self, entry: &PageEntry) {
        self.note_page(entry.number);
        let paging = self.paging();
        paging.changes.push(entry.page_key().deleted());
        paging.freed.push(page_at(entry));
    }

    /// No new page gets this number.
    pub(super) fn note_page(&mut self, number: u64) {
        let paging = self.paging();
        paging.last_page = paging.last_page.max(number);
    }

    /// Where the pages of all chunks lie.
    #[cfg(test)]
    pub(in crate::queue) fn homes(&self) -> impl Iterator<Item = PageAt> {
        let homes = self.chunks.iter().filter_map(|chunk| chunk.home.as_ref());
        homes.map(|home| home.at)
    }
}

fn page_at(entry: &PageEntry) -> PageAt {
    PageAt {
        segment: entry.segment,
        offset: entry.offset,
        length: entry.length,
        crc: entry.crc,
    }
}
