//! One queue while the log is read.

use std::collections::BTreeMap;

use super::held::Held;
use super::pages::Pages;
use super::restored::RestoredQueue;
use crate::defects::{Defect, is_planted};
use crate::host::Lsn;
use crate::journal::{PageEntry, PageKey, Placement, Runs};
use crate::message::{RecordRef, Records};

/// What a queue has so far.
#[derive(Debug)]
pub(super) struct QueueState {
    pages: Pages,
    held: Held,
    /// Delivery counts of what lies in pages, and perhaps of what does not.
    counts: BTreeMap<u64, u32>,
    placements: Vec<Placement>,
    /// What its page does not have any more though nothing settled it.
    adrift: Runs,
    /// Messages of pages that were logged again, for when these go.
    spare: Held,
    /// No entry with one of those is older.
    spare_lsn: Lsn,
    /// What transactions have settled and the queue has not said itself: it may not know yet, and
    /// write a page that names them.
    doomed: Runs,
    /// No turn that settled one of those is older.
    doomed_lsn: Lsn,
    next_ordinal: u64,
}

impl Default for QueueState {
    fn default() -> QueueState {
        QueueState {
            pages: Pages::default(),
            held: Held::default(),
            counts: BTreeMap::new(),
            placements: Vec::new(),
            adrift: Runs::new(),
            spare: Held::default(),
            spare_lsn: Lsn::NONE,
            doomed: Runs::new(),
            doomed_lsn: Lsn::NONE,
            next_ordinal: 1,
        }
    }
}

impl QueueState {
    pub(super) fn memory_bytes(&self) -> usize {
        self.held.memory_bytes() + self.spare.memory_bytes()
    }

    pub(super) fn page_keys(&self, queue: u64) -> impl Iterator<Item = PageKey> {
        let numbers = self.pages.numbers();
        numbers.map(move |number| PageKey { queue, number })
    }

    /// A page has its messages; memory gives them back. The page may be older than a delivery
    /// count that was known here.
    pub(super) fn put_page(&mut self, page: PageEntry, lsn: Lsn) {
        for run in page.runs.runs() {
            self.held.remove_between(run.first, run.last(), |record| {
                if record.delivery_count() > 0 {
                    self.counts
                        .insert(record.ordinal(), record.delivery_count());
                }
            });
            self.spare.remove_between(run.first, run.last(), |_| ());
            self.see_ordinal(run.last());
        }
        let runs = page.runs.clone();
        self.pages.put(page, lsn, &mut self.adrift);
        self.adrift.remove_all(&runs);
        if let (Some(first), Some(last)) = (runs.first(), runs.last()) {
            self.doom_between(first, last);
        }
        self.use_spare();
    }

    /// What is doomed between these ordinals is in no page.
    fn doom_between(&mut self, first: u64, last: u64) {
        for run in self.doomed.runs() {
            let (first, last) = (run.first.max(first), run.last().min(last));
            if first <= last {
                self.pages.settle_between(first, last, self.doomed_lsn);
            }
        }
    }

    pub(super) fn drop_page(&mut self, number: u64) {
        self.pages.drop_page(number, &mut self.adrift);
        self.use_spare();
    }

    /// What is adrift and was logged again is in the log.
    fn use_spare(&mut self) {
        let mut found = Records::new();
        for run in self.adrift.runs() {
            self.spare.remove_between(run.first, run.last(), |record| {
                found.push_record(record);
            });
        }
        for record in found.iter() {
            let ordinal = record.ordinal();
            self.adrift.remove(ordinal);
            self.held.insert(ordinal, record, self.spare_lsn);
            if let Some(count) = self.counts.remove(&ordinal) {
                self.held.set_delivery_count(ordinal, count);
            }
        }
    }

    /// How many messages left their pages for nowhere.
    pub(super) fn vanished(&self) -> u64 {
        self.adrift.count()
    }

    /// A message is there, unless it is known already.
    #[inline]
    pub(super) fn take(&mut self, ordinal: u64, record: RecordRef<'_>, lsn: Lsn) {
        let is_new = ordinal >= self.next_ordinal;
        self.see_ordinal(ordinal);
        if !is_new && (self.pages.contains(ordinal) || self.held.contains(ordinal)) {
            return;
        }
        self.adrift.remove(ordinal);
        self.doomed.remove(ordinal);
        self.held.insert(ordinal, record, lsn);
    }

    /// A message that its page had is in the log too. Its delivery count is newer than that in an
    /// old page, and older than what the log says next of one in a new page.
    pub(super) fn take_again(&mut self, ordinal: u64, record: RecordRef<'_>, lsn: Lsn) {
        if self.doomed.contains(ordinal) {
            return;
        }
        if !self.pages.contains(ordinal) {
            return self.take(ordinal, record, lsn);
        }
        if record.delivery_count() > 0 {
            self.counts.insert(ordinal, record.delivery_count());
        }
        if !self.spare.contains(ordinal) {
            self.spare.insert(ordinal, record, lsn);
            self.spare_lsn = match self.spare_lsn {
                Lsn::NONE => lsn,
                first => first.min(lsn),
            };
        }
    }

    /// A turn settles these, and the queue says so too, later.
    pub(super) fn settle_in_turn(&mut self, runs: &Runs, lsn: Lsn) {
        self.settle(runs, lsn);
        if runs.is_empty() {
            return;
        }
        if self.doomed.is_empty() {
            self.doomed_lsn = lsn;
        }
        runs.runs()
            .iter()
            .for_each(|run| self.doomed.insert_run(*run));
    }

    pub(super) fn settle(&mut self, runs: &Runs, lsn: Lsn) {
        for run in runs.runs() {
            let (first, last) = (run.first, run.last());
            self.see_ordinal(last);
            self.held.remove_between(first, last, |_| ());
            self.spare.remove_between(first, last, |_| ());
            if !is_planted(Defect::SettlePassesPages) {
                self.pages.settle_between(first, last, lsn);
            }
            self.adrift.remove_between(first, last);
            self.doomed.remove_between(first, last);
            while let Some((&ordinal, _)) = self.counts.range(first..=last).next() {
                self.counts.remove(&ordinal);
            }
        }
    }

    pub(super) fn take_back(&mut self, counts: &[(u64, u32)]) {
        for &(ordinal, count) in counts {
            self.see_ordinal(ordinal);
            if !self.held.set_delivery_count(ordinal, count) {
                self.counts.insert(ordinal, count);
            }
        }
    }

    /// Ordinals were given, whatever became of the messages.
    pub(super) fn see(&mut self, placement: &Placement) {
        if placement.ordinal > 0 {
            self.see_ordinal(placement.ordinal + u64::from(placement.count) - 1);
        }
    }

    /// A message of a turn that nobody placed: it goes behind all others.
    pub(super) fn take_unplaced(&mut self, turn: Lsn, index: u32, record: RecordRef<'_>) {
        let ordinal = self.next_ordinal;
        self.take(ordinal, record, turn);
        match self.placements.last_mut() {
            Some(last) if last.turn == turn && last.index + last.count == index => last.count += 1,
            _ => self.placements.push(Placement {
                turn,
                index,
                count: 1,
                ordinal,
            }),
        }
    }

    pub(super) fn finish(self, queue: u64) -> RestoredQueue {
        let counts = self.counts.into_iter();
        let returned = counts.filter(|&(ordinal, _)| self.pages.contains(ordinal));
        let returned = returned.collect();
        let (pages, dead_pages, stale_pages) = self.pages.finish();
        let chunks = self.held.into_chunks();
        let settles = stale_pages.iter().map(|page| page.since);
        let first_lsn = settles
            .chain(chunks.iter().map(|chunk| chunk.first_lsn))
            .min();
        RestoredQueue {
            queue,
            pages,
            dead_pages,
            stale_pages,
            returned,
            chunks,
            placements: self.placements,
            next_ordinal: self.next_ordinal,
            first_lsn,
        }
    }

    #[inline]
    fn see_ordinal(&mut self, ordinal: u64) {
        self.next_ordinal = self.next_ordinal.max(ordinal.saturating_add(1));
    }
}
