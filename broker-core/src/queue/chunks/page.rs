//! The words that chunks and their surroundings share about pages.
//!
//! ```text
//!            begin_page            page_written             leave
//!   in memory ────────▶ being written ────────▶ with a page ──────▶ away
//!       ▲                                            ▲               │ want
//!       └───────── a record's head changes ──────────┘◀── arrive ────┘
//! ```
//!
//! A page is the chunk's block of bytes; places hold in both. A durable queue's page has an entry
//! in the map, which replaces the log records of its messages.

use crate::host::Lsn;
use crate::journal::RawChange;

use super::{Chunks, Slot};

/// Where a page lies on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageAt {
    /// The segment file's number.
    pub segment: u64,
    /// Where in the file.
    pub offset: u64,
    /// Bytes of the block.
    pub length: u32,
    /// CRC32C of the block.
    pub crc: u32,
}

/// Names one page being written or read; an answer to another job is too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Job {
    /// The chunk.
    pub(in crate::queue) slot: u32,
    /// Unique in the queue.
    pub(in crate::queue) number: u32,
}

/// A chunk to be written.
#[derive(Debug)]
pub struct PageOut {
    /// To be named in the answer.
    pub job: Job,
    /// The block.
    pub bytes: Vec<u8>,
    /// Whether it must survive a restart: the answer waits for the sync.
    pub durable: bool,
}

/// A page to be read.
#[derive(Debug)]
pub struct PageIn {
    /// To be named in the answer.
    pub job: Job,
    /// Where it lies.
    pub at: PageAt,
}

/// A page that is not needed any more once the log is durable to the LSN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageFree {
    /// Where it lies.
    pub at: PageAt,
    /// The record that says so.
    pub lsn: Lsn,
}

/// What the pages of a queue need beside its chunks.
#[derive(Debug, Default)]
pub(super) struct Paging {
    next_job: u32,
    /// The last page that was ever named.
    pub(super) last_page: u64,
    /// Chunks whose page entries lack a settlement of this command.
    pub(super) settling: Vec<Slot>,
    /// Chunks to be read.
    pub(super) wanted: Vec<Slot>,
    /// For the log: page entries that come and go.
    pub(super) changes: Vec<RawChange>,
    /// Pages that are not needed once those changes are durable.
    pub(super) freed: Vec<PageAt>,
}

impl Paging {
    /// No chunk is left of those that are named here.
    pub(super) fn forget_slots(&mut self) {
        self.settling.clear();
        self.wanted.clear();
    }

    /// A number that no job had before, and that is not 0.
    pub(super) fn next_job(&mut self) -> u32 {
        self.next_job = self.next_job.wrapping_add(1).max(1);
        self.next_job
    }

    /// A number that no page had before.
    pub(super) fn next_page(&mut self) -> u64 {
        self.last_page += 1;
        self.last_page
    }
}

impl Chunks {
    /// Made with the first page.
    pub(super) fn paging(&mut self) -> &mut Paging {
        self.paging.get_or_insert_default()
    }

    /// The chunk a job is about, while it is.
    pub(in crate::queue) fn slot_of(&self, job: Job) -> Option<Slot> {
        let chunk = self.chunks.get(job.slot as usize)?;
        (chunk.job == job.number).then_some(Slot(job.slot))
    }

    /// Whether there is anything for the log or the disk.
    #[inline]
    pub(in crate::queue) fn has_page_work(&self) -> bool {
        self.paging.as_ref().is_some_and(|paging| {
            !(paging.changes.is_empty() && paging.freed.is_empty() && paging.wanted.is_empty())
        })
    }

    /// Page entries that came and went in this command, for the log, and the pages that are free
    /// once the log has them.
    pub(in crate::queue) fn take_page_changes(&mut self) -> (Vec<RawChange>, Vec<PageAt>) {
        let paging = self.paging();
        (
            std::mem::take(&mut paging.changes),
            std::mem::take(&mut paging.freed),
        )
    }
}
