//! What a start has found: the state of each queue, as data.

use crate::host::Lsn;
use crate::journal::{PageEntry, PageKey, Placement};
use crate::message::Records;

/// What there is after a start.
#[derive(Debug, Default)]
pub struct Restored {
    /// Queues that have or had messages, by id. A queue that is not among them has none.
    pub queues: Vec<RestoredQueue>,
    /// Pages whose queue is gone: their entries are to be deleted.
    pub orphans: Vec<PageKey>,
    /// What was read.
    pub tally: Tally,
}

/// Counts of what was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Entries of the log, damaged ones included.
    pub entries: u64,
    /// Entries of pages.
    pub pages: u64,
    /// What could not be read and was passed over.
    pub damaged: u64,
    /// Messages that left their page while nothing had settled them and no other page had them:
    /// lost, if whoever wrote the log broke its rules or a settle is among what is damaged.
    pub vanished: u64,
}

/// A queue's messages.
#[derive(Debug, Default)]
pub struct RestoredQueue {
    /// Its id.
    pub queue: u64,
    /// Pages with messages that are alive, by the first of those; `runs` says which are.
    pub pages: Vec<PageEntry>,
    /// Pages without any: their entries are to be deleted.
    pub dead_pages: Vec<PageEntry>,
    /// Pages of both sorts whose entries in the map name messages that are not alive in them.
    /// Until such an entry is put again or deleted, the settles are needed.
    pub stale_pages: Vec<StalePage>,
    /// Delivery counts of messages in pages, by ordinal; they replace those in the page.
    pub returned: Vec<(u64, u32)>,
    /// Messages that are only in the log, by ordinal, each alive and with its delivery count.
    pub chunks: Vec<RestoredChunk>,
    /// Messages of turns that had no ordinals when the log ended. They are the last ones in
    /// `chunks`; what stands here is to be logged as placed.
    pub placements: Vec<Placement>,
    /// Above every ordinal that was ever seen.
    pub next_ordinal: u64,
    /// The oldest entry of the log that is still needed: for `chunks` or `stale_pages`. May lie
    /// below the first one that was read.
    pub first_lsn: Option<Lsn>,
}

/// Messages that are only in the log.
#[derive(Debug, Default)]
pub struct RestoredChunk {
    /// The messages; none of them is removed.
    pub records: Records,
    /// No entry with one of them is older.
    pub first_lsn: Lsn,
}

/// A page whose entry in the map is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StalePage {
    /// The number of the page.
    pub number: u64,
    /// The first settle that its entry does not show.
    pub since: Lsn,
}
