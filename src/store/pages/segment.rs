//! The account of one segment: which pages live in it, where the next one goes, and which whole
//! blocks nobody needs any more. Pure bookkeeping; the file is touched by others.

use std::collections::BTreeMap;

use crate::store::group::BLOCK_BYTES;

/// Where the first page begins: the block before it holds the file's header.
pub(super) const FIRST_PAGE_AT: u64 = BLOCK;

const BLOCK: u64 = BLOCK_BYTES as u64;

fn block_floor(offset: u64) -> u64 {
    offset / BLOCK * BLOCK
}

fn block_ceil(offset: u64) -> u64 {
    block_floor(offset.saturating_add(BLOCK - 1))
}

/// Whole blocks whose space can be given back: starts and ends, in order, no two touching.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Blocks {
    ranges: BTreeMap<u64, u64>,
    bytes: u64,
}

impl Blocks {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.ranges.iter().map(|(start, end)| (*start, *end))
    }

    /// Adds blocks that are not among these yet; nothing if `start` is not before `end`.
    pub(super) fn add(&mut self, mut start: u64, mut end: u64) {
        if start >= end {
            return;
        }
        self.bytes += end - start;
        if let Some((&before, _)) = self
            .ranges
            .range(..start)
            .next_back()
            .filter(|(_, before_end)| **before_end == start)
        {
            self.ranges.remove(&before);
            start = before;
        }
        if let Some(behind_end) = self.ranges.remove(&end) {
            end = behind_end;
        }
        self.ranges.insert(start, end);
    }
}

/// The account of one segment.
#[derive(Debug)]
pub(super) struct Segment {
    /// Live pages: where each begins and ends.
    live: BTreeMap<u64, u64>,
    live_bytes: u64,
    /// Where the next page goes.
    end: u64,
    /// Up to where bytes may have been written.
    reach: u64,
    /// No page is added any more.
    sealed: bool,
    /// Free blocks that still take space.
    owed: Blocks,
    punched_bytes: u64,
    /// What the file takes, where that was asked for.
    measured: Option<u64>,
}

impl Segment {
    /// An empty segment to add pages to.
    pub(super) fn begun() -> Segment {
        Segment {
            live: BTreeMap::new(),
            live_bytes: 0,
            end: FIRST_PAGE_AT,
            reach: FIRST_PAGE_AT,
            sealed: false,
            owed: Blocks::default(),
            punched_bytes: 0,
            measured: None,
        }
    }

    /// A segment with one page that takes `bytes`, and no room for another.
    pub(super) fn holding(bytes: u64) -> Segment {
        let mut segment = Segment::begun();
        segment.place(bytes, u64::MAX);
        segment.seal();
        segment
    }

    /// A segment of an earlier run with the pages that begin and end at `live`. Everything between
    /// them counts as owed: whether it was given back before, nobody knows.
    pub(super) fn found(live: BTreeMap<u64, u64>, size: u64, allocated: u64) -> Segment {
        let mut owed = Blocks::default();
        let mut free_from = FIRST_PAGE_AT;
        for (start, end) in &live {
            owed.add(block_ceil(free_from), block_floor(*start));
            free_from = free_from.max(*end);
        }
        let end = size.max(free_from);
        owed.add(block_ceil(free_from), block_ceil(end));
        Segment {
            live_bytes: live.iter().map(|(start, end)| end - start).sum(),
            live,
            end,
            reach: end,
            sealed: true,
            owed,
            punched_bytes: 0,
            measured: Some(allocated),
        }
    }

    pub(super) fn pages(&self) -> usize {
        self.live.len()
    }

    pub(super) fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    pub(super) fn owed_bytes(&self) -> u64 {
        self.owed.bytes()
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.sealed
    }

    pub(super) fn size(&self) -> u64 {
        self.reach
    }

    /// What the file takes on the disk.
    pub(super) fn disk_bytes(&self) -> u64 {
        let counted = block_ceil(self.reach).saturating_sub(self.punched_bytes);
        self.measured.unwrap_or(counted)
    }

    /// Whether nobody needs the file any more.
    pub(super) fn is_over(&self) -> bool {
        self.sealed && self.live.is_empty()
    }

    /// Whether the page that begins at `offset` and takes `bytes` is live.
    pub(super) fn has(&self, offset: u64, bytes: u64) -> bool {
        self.live.get(&offset) == Some(&offset.saturating_add(bytes))
    }

    /// The place of a page that takes `bytes`, if it ends before `limit`.
    pub(super) fn place(&mut self, bytes: u64, limit: u64) -> Option<u64> {
        let (offset, end) = (self.end, self.end.checked_add(bytes)?);
        if self.sealed || end > limit {
            return None;
        }
        self.live.insert(offset, end);
        self.live_bytes += bytes;
        self.end = end;
        self.reach = self.reach.max(end);
        Some(offset)
    }

    /// The page at `offset` could not be written: its place is free, and used again if it is the last.
    pub(super) fn cancel(&mut self, offset: u64) {
        if !self.sealed && self.live.get(&offset) == Some(&self.end) {
            self.live.remove(&offset);
            self.live_bytes -= self.end - offset;
            self.end = offset;
        } else {
            self.free(offset);
        }
    }

    /// The page at `offset` is not needed any more.
    pub(super) fn free(&mut self, offset: u64) {
        let Some(end) = self.live.remove(&offset) else {
            return;
        };
        self.live_bytes -= end - offset;
        let gap_start = self.live_end_before(offset);
        let behind = self.live.range(offset..).next();
        let gap_end = match behind {
            Some((start, _)) => *start,
            None if self.sealed => block_ceil(self.reach),
            None => self.end,
        };
        // The blocks of this page that no live page has a part of: what else lies in the gap was
        // owed when its own pages went.
        let first = block_ceil(gap_start).max(block_floor(offset));
        let last = block_floor(gap_end).min(block_ceil(end));
        self.owed.add(first, last);
    }

    /// Where the last live page before `offset` ends.
    fn live_end_before(&self, offset: u64) -> u64 {
        let before = self.live.range(..offset).next_back();
        before.map_or(FIRST_PAGE_AT, |(_, end)| *end)
    }

    /// Nothing is added from now on: what lies behind the last page is free.
    pub(super) fn seal(&mut self) {
        if self.sealed {
            return;
        }
        self.sealed = true;
        self.leave(block_ceil(self.reach));
    }

    /// The next page goes into another block than the pages so far, so that none of theirs is ever
    /// written again.
    pub(super) fn end_block(&mut self) {
        let end = block_ceil(self.end);
        self.leave(end);
        self.end = end;
    }

    /// Owes what lies behind the last page up to `end`, in which no page will be.
    fn leave(&mut self, end: u64) {
        let first = block_ceil(self.live_end_before(self.end)).max(block_floor(self.end));
        self.owed.add(first, end);
    }

    /// Hands out what is owed, to be punched now.
    pub(super) fn take_owed(&mut self) -> Blocks {
        std::mem::take(&mut self.owed)
    }

    /// What was taken could not be punched.
    pub(super) fn put_back(&mut self, blocks: &Blocks) {
        for (start, end) in blocks.iter() {
            self.owed.add(start, end);
        }
    }

    /// `bytes` were given back; the file takes `measured` now, if that is known.
    pub(super) fn punched(&mut self, bytes: u64, measured: Option<u64>) {
        self.punched_bytes += bytes;
        if self.sealed {
            self.measured = measured;
        }
    }
}
