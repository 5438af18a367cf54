//! The pages of a queue, and which page has which ordinal: a map of disjoint intervals.
//!
//! An ordinal that two pages name was moved from one to the other; the page with the higher
//! number is the newer one and has it.

use std::collections::BTreeMap;

use super::restored::StalePage;
use crate::host::Lsn;
use crate::journal::{PageEntry, Run, Runs};

#[derive(Debug)]
struct Page {
    /// As it was put, but for its runs, which are in [`Pages::alive`].
    entry: PageEntry,
    /// Between which ordinals its intervals lie.
    first: u64,
    last: u64,
    /// Since when its entry in the map names what is not alive in it.
    stale_since: Option<Lsn>,
}

/// Ordinals from the key of the map onwards that are alive in a page.
#[derive(Clone, Copy, Debug)]
struct Interval {
    count: u32,
    /// Index in [`Pages::pages`].
    page: u32,
}

impl Interval {
    fn last(&self, first: u64) -> u64 {
        let Interval { count, .. } = *self;
        Run { first, count }.last()
    }
}

/// All pages.
#[derive(Debug, Default)]
pub(super) struct Pages {
    pages: Vec<Option<Page>>,
    free: Vec<u32>,
    by_number: BTreeMap<u64, u32>,
    alive: BTreeMap<u64, Interval>,
    /// No page ever named a higher ordinal.
    highest: u64,
}

impl Pages {
    pub(super) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.by_number.keys().copied()
    }

    #[inline]
    pub(super) fn contains(&self, ordinal: u64) -> bool {
        ordinal <= self.highest && self.interval_at_or_below(ordinal, ordinal).is_some()
    }

    /// The page is so from now on. What it had before goes to `left`.
    pub(super) fn put(&mut self, mut entry: PageEntry, lsn: Lsn, left: &mut Runs) {
        let mut runs = std::mem::take(&mut entry.runs);
        let (first, last) = (runs.first().unwrap_or(0), runs.last().unwrap_or(0));
        self.highest = self.highest.max(last);
        let number = entry.number;
        let page = Page {
            entry,
            first,
            last,
            stale_since: None,
        };
        let at = self.set(number, page, left);
        for run in runs.clone().runs() {
            self.claim(at, number, *run, &mut runs, lsn);
        }
        for &Run { first, count } in runs.runs() {
            self.alive.insert(first, Interval { count, page: at });
        }
    }

    /// There is no such page any more. What it had goes to `left`.
    pub(super) fn drop_page(&mut self, number: u64, left: &mut Runs) {
        if let Some(at) = self.by_number.remove(&number) {
            self.forget_intervals(at, left);
            self.pages[at as usize] = None;
            self.free.push(at);
        }
    }

    /// Takes these ordinals out of all pages, which become stale by it.
    pub(super) fn settle_between(&mut self, first: u64, last: u64, lsn: Lsn) {
        while let Some((start, interval)) = self.interval_at_or_below(last, first) {
            self.alive.remove(&start);
            let end = interval.last(start);
            if start < first {
                self.keep(start, first - 1, interval.page);
            }
            if end > last {
                self.keep(last + 1, end, interval.page);
            }
            self.note_stale(interval.page, lsn);
        }
    }

    /// The pages by their first ordinal, those without messages, and those that are stale.
    pub(super) fn finish(mut self) -> (Vec<PageEntry>, Vec<PageEntry>, Vec<StalePage>) {
        for (first, interval) in self.alive {
            if let Some(page) = &mut self.pages[interval.page as usize] {
                page.entry.runs.insert_between(first, interval.last(first));
            }
        }
        let pages = self.pages.into_iter().flatten();
        let mut stale = Vec::new();
        let (mut dead, mut live) = (Vec::new(), Vec::new());
        for page in pages {
            let number = page.entry.number;
            stale.extend(page.stale_since.map(|since| StalePage { number, since }));
            let of_its_sort = if page.entry.runs.is_empty() {
                &mut dead
            } else {
                &mut live
            };
            of_its_sort.push(page.entry);
        }
        live.sort_unstable_by_key(|entry| entry.runs.first());
        dead.sort_unstable_by_key(|entry| entry.number);
        stale.sort_unstable_by_key(|page| page.number);
        (live, dead, stale)
    }

    fn set(&mut self, number: u64, page: Page, left: &mut Runs) -> u32 {
        if let Some(&at) = self.by_number.get(&number) {
            self.forget_intervals(at, left);
            self.pages[at as usize] = Some(page);
            return at;
        }
        let at = self.free.pop().unwrap_or_else(|| {
            self.pages.push(None);
            self.pages.len() as u32 - 1
        });
        self.pages[at as usize] = Some(page);
        self.by_number.insert(number, at);
        at
    }

    /// Settles who has the ordinals of `run`: what a newer page has is taken out of `wanted`,
    /// what an older one has is taken from it.
    fn claim(&mut self, at: u32, number: u64, run: Run, wanted: &mut Runs, lsn: Lsn) {
        let mut beyond = run.last();
        while let Some((start, interval)) = self.interval_at_or_below(beyond, run.first) {
            let (low, high) = (start.max(run.first), interval.last(start).min(beyond));
            if self.number(interval.page) > number {
                wanted.remove_between(low, high);
                self.note_stale(at, lsn);
            } else {
                self.settle_between(low, high, lsn);
            }
            if low <= run.first {
                return;
            }
            beyond = low - 1;
        }
    }

    fn number(&self, at: u32) -> u64 {
        let page = self.pages[at as usize].as_ref();
        page.map_or(0, |page| page.entry.number)
    }

    fn note_stale(&mut self, at: u32, lsn: Lsn) {
        if let Some(page) = &mut self.pages[at as usize] {
            page.stale_since = Some(page.stale_since.map_or(lsn, |since| since.min(lsn)));
        }
    }

    fn forget_intervals(&mut self, at: u32, left: &mut Runs) {
        let Some(page) = &self.pages[at as usize] else {
            return;
        };
        let span = self.alive.range(page.first..=page.last);
        let of_page = span.filter(|(_, interval)| interval.page == at);
        let starts: Vec<u64> = of_page.map(|(&start, _)| start).collect();
        for start in starts {
            if let Some(interval) = self.alive.remove(&start) {
                left.insert_between(start, interval.last(start));
            }
        }
    }

    fn keep(&mut self, first: u64, last: u64, page: u32) {
        let interval = Interval {
            count: (last - first) as u32 + 1,
            page,
        };
        self.alive.insert(first, interval);
    }

    /// The last interval that begins at or below `high`, if it reaches up to `low`.
    #[inline]
    fn interval_at_or_below(&self, high: u64, low: u64) -> Option<(u64, Interval)> {
        let (&start, &interval) = self.alive.range(..=high).next_back()?;
        (interval.last(start) >= low).then_some((start, interval))
    }
}
