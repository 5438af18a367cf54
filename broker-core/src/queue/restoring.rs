//! A queue's messages as a start has found them.

mod spans;

use crate::defects::{Defect, is_planted};
use crate::host::Lsn;
use crate::journal::{PageEntry, Placement};
use crate::message::{RecordRef, Records};
use crate::recovery::RestoredQueue;

use super::chunks::{FoundPage, Slot};
use super::{Effects, Queue};
use spans::Spans;

/// What a start has found of a queue. Pages and messages of one level do not overlap: between the
/// first and the last ordinal of a page lies no message of its level that is not in it.
#[derive(Debug, Default)]
pub struct Found {
    /// Pages with messages of one level, by their first ordinals.
    pages: Vec<PageEntry>,
    /// Messages in memory, with the log record before which none of them is.
    messages: Vec<(Records, Lsn)>,
    /// Messages of pages which stand in `obsolete`, page by page: they are logged again.
    unhoused: Vec<Records>,
    /// Messages of pages that cannot be read.
    lost: u64,
    /// Pages whose entries are to go.
    obsolete: Vec<PageEntry>,
    /// Pages whose entries name messages that were settled, and the first such settlement, by
    /// their numbers.
    stale: Vec<(u64, Lsn)>,
    /// Delivery counts of messages in pages, by ordinal.
    returned: Vec<(u64, u32)>,
    /// Messages of turns that got their ordinals now.
    placements: Vec<Placement>,
    /// Above every ordinal that was ever seen.
    next_ordinal: u64,
    /// The broker did not stop in good order: what is here may have been delivered.
    is_redelivered: bool,
}

impl Found {
    /// Sorts a queue's pages into those that can stay on disk and those whose messages stand
    /// between others: these are read, and their messages logged again.
    pub(super) fn sort(
        queue: RestoredQueue,
        max_priority: Option<u8>,
        is_clean: bool,
        mut read: impl FnMut(&PageEntry) -> Option<Records>,
    ) -> Found {
        let spans = Spans::of(&queue, max_priority);
        let mut found = Found {
            obsolete: queue.dead_pages,
            stale: queue
                .stale_pages
                .iter()
                .map(|page| (page.number, page.since))
                .collect(),
            returned: queue.returned,
            placements: queue.placements,
            next_ordinal: queue.next_ordinal,
            is_redelivered: !is_clean && !is_planted(Defect::RedeliveredLost),
            ..Found::default()
        };
        found.stale.sort_unstable();
        for page in queue.pages {
            match spans.is_apart(&page) {
                true => found.pages.push(page),
                false => found.unhouse(page, &mut read),
            }
        }
        let chunks = queue.chunks.into_iter();
        found.messages = chunks
            .map(|chunk| (chunk.records, chunk.first_lsn))
            .collect();
        found
    }

    /// Reads the messages of a page that are alive.
    fn unhouse(&mut self, page: PageEntry, read: impl FnOnce(&PageEntry) -> Option<Records>) {
        match read(&page) {
            Some(records) => {
                let mut alive = Records::with_capacity(records.record_bytes());
                for record in records.iter() {
                    if page.runs.contains(record.ordinal()) {
                        let place = alive.push_record(record);
                        let mut head = alive.head_mut(place);
                        if page.is_redelivered {
                            head.set_redelivered(true);
                        }
                        if let Some(deliveries) = self.deliveries(record.ordinal()) {
                            head.set_delivery_count(deliveries);
                        }
                    }
                }
                self.unhoused.push(alive);
            }
            None => self.lost += page.runs.count(),
        }
        self.obsolete.push(page);
    }

    fn deliveries(&self, ordinal: u64) -> Option<u32> {
        let index = self.returned.binary_search_by_key(&ordinal, |(at, _)| *at);
        index.ok().map(|index| self.returned[index].1)
    }

    /// Delivery counts of messages in the page.
    fn heads_in(&self, page: &PageEntry) -> Vec<(u64, u32)> {
        let mut heads = Vec::new();
        for run in page.runs.runs() {
            let start = self.returned.partition_point(|(at, _)| *at < run.first);
            let behind = self.returned[start..].iter();
            heads.extend(behind.take_while(|(at, _)| *at <= run.last()));
        }
        heads
    }

    fn settled_from(&self, page: &PageEntry) -> Option<Lsn> {
        let index = self
            .stale
            .binary_search_by_key(&page.number, |(number, _)| *number);
        index.ok().map(|index| self.stale[index].1)
    }
}

impl Queue {
    /// Takes in what a start has found. The queue is empty before.
    pub(super) fn restore(&mut self, mut found: Found, effects: &mut Effects) {
        self.next_ordinal = self.next_ordinal.max(found.next_ordinal);
        self.log.placed(&found.placements);
        let mut messages = std::mem::take(&mut found.messages);
        for records in std::mem::take(&mut found.unhoused) {
            let lsn = self.log.again(&records);
            messages.push((records, lsn));
        }
        self.restore_all(&found, &messages);
        for entry in &found.obsolete {
            self.chunks.delete_entry(entry);
        }
        self.note_lost(found.lost, effects);
    }

    /// Pages and messages in the order of their ordinals, which in each line is theirs.
    fn restore_all(&mut self, found: &Found, messages: &[(Records, Lsn)]) {
        let mut waiting: Vec<(RecordRef<'_>, Lsn)> = messages
            .iter()
            .flat_map(|(records, lsn)| records.iter().map(|record| (record, *lsn)))
            .collect();
        waiting.sort_by_key(|(record, _)| record.ordinal());
        let mut waiting = waiting.into_iter().peekable();
        let mut returned = Vec::new();
        for entry in &found.pages {
            let first = entry.runs.first().unwrap_or_default();
            while let Some((record, lsn)) = waiting.next_if(|(r, _)| r.ordinal() < first) {
                self.restore_message(record, lsn, found.is_redelivered);
            }
            returned.extend(self.restore_page(entry, found));
        }
        for (record, lsn) in waiting {
            self.restore_message(record, lsn, found.is_redelivered);
        }
        // The log is needed for what their pages do not say: from the end of this command on.
        returned
            .into_iter()
            .for_each(|slot| self.chunks.note_logged_in(slot));
    }

    fn restore_message(&mut self, record: RecordRef<'_>, lsn: Lsn, is_redelivered: bool) {
        let level = self.level(record);
        let place = self.ready.push(level, record, &mut self.chunks, 0);
        if is_redelivered || record.delivery_count() > 0 {
            self.chunks.head_mut(place).set_redelivered(true);
        }
        self.chunks.logged_at(lsn);
    }

    /// The chunk of the page, if some of its messages came back after it was written. Their counts
    /// are logged again, at a place that is known.
    fn restore_page(&mut self, entry: &PageEntry, found: &Found) -> Option<Slot> {
        let heads = found.heads_in(entry);
        for &(ordinal, deliveries) in &heads {
            self.log.returned(ordinal, deliveries);
        }
        let has_returned = !heads.is_empty();
        let level = entry.level.unwrap_or_default();
        let (slot, tally) = self.chunks.restore(FoundPage {
            entry: entry.clone(),
            is_redelivered: found.is_redelivered,
            heads,
            settled_from: found.settled_from(entry),
        });
        self.ready.push_chunk(level, slot, tally);
        has_returned.then_some(slot)
    }

    pub(super) fn max_priority(&self) -> Option<u8> {
        self.settings.max_priority
    }
}
