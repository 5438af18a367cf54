//! A queue's messages as a start has found them.

use crate::host::Lsn;
use crate::journal::{PageEntry, Placement};
use crate::message::{RecordRef, Records};

use super::Queue;
use super::chunks::page::Restored;

/// What a start has found of a queue. Pages and messages do not overlap: between the first and
/// the last ordinal of a page lies no message that is not in it.
#[derive(Debug, Default)]
pub struct Found {
    /// Pages with messages of one level, by their first ordinals.
    pub pages: Vec<PageEntry>,
    /// Messages in memory, by ordinal, with the log record before which none of them is.
    pub messages: Vec<(Records, Lsn)>,
    /// Messages that were in pages which stand in `obsolete`: they are logged again.
    pub unhoused: Records,
    /// Pages whose entries are to go.
    pub obsolete: Vec<PageEntry>,
    /// Pages whose entries name messages that were settled, and the first such settlement.
    pub stale: Vec<(u64, Lsn)>,
    /// Delivery counts of messages in `pages`, by ordinal.
    pub returned: Vec<(u64, u32)>,
    /// Messages of turns that got their ordinals now.
    pub placements: Vec<Placement>,
    /// Above every ordinal that was ever seen.
    pub next_ordinal: u64,
    /// The broker did not stop in good order: what is here may have been delivered.
    pub is_redelivered: bool,
}

impl Queue {
    /// Takes in what a start has found. The queue is empty before.
    pub(super) fn restore(&mut self, found: Found) {
        self.next_ordinal = self.next_ordinal.max(found.next_ordinal);
        self.log.placed(&found.placements);
        let unhoused = self.log.publish_again(&found.unhoused);
        let mut messages = found.messages;
        messages.push((found.unhoused, unhoused));
        let mut waiting: Vec<(RecordRef<'_>, Lsn)> = messages
            .iter()
            .flat_map(|(records, lsn)| records.iter().map(|record| (record, *lsn)))
            .collect();
        waiting.sort_by_key(|(record, _)| record.ordinal());
        let mut waiting = waiting.into_iter().peekable();
        for entry in found.pages {
            let first = entry.runs.first().unwrap_or_default();
            while let Some((record, lsn)) = waiting.next_if(|(r, _)| r.ordinal() < first) {
                self.restore_message(record, lsn, found.is_redelivered);
            }
            self.restore_page(entry, &found.returned, found.is_redelivered);
        }
        for (record, lsn) in waiting {
            self.restore_message(record, lsn, found.is_redelivered);
        }
        for entry in found.obsolete {
            self.chunks.delete_entry(&entry);
        }
        self.chunks.set_stale(&found.stale);
    }

    fn restore_message(&mut self, record: RecordRef<'_>, lsn: Lsn, is_redelivered: bool) {
        let level = self.level(record);
        self.chunks.expect_earlier_records();
        let place = self.ready.push(level, record, &mut self.chunks, 0);
        if is_redelivered {
            self.chunks.head_mut(place).set_redelivered(true);
        }
        self.chunks.logged_at(lsn);
    }

    fn restore_page(&mut self, entry: PageEntry, returned: &[(u64, u32)], is_redelivered: bool) {
        let level = entry.level.unwrap_or_default();
        let is_in = |(ordinal, _): &&(u64, u32)| entry.runs.contains(*ordinal);
        let heads = returned.iter().filter(is_in).copied().collect();
        let restored = Restored {
            entry,
            is_redelivered,
            heads,
        };
        let (slot, tally) = self.chunks.restore(restored);
        self.ready.push_chunk(level, slot, tally);
    }
}
