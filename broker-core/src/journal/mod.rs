//! What queues write to the log: the kinds of entries, their bytes, and the [`Journal`] that
//! takes them. No I/O, and nothing here knows what a queue does.
//!
//! ```text
//! 2 batch     queue u64, block
//! 3 turn      sections u32, each: n u32, n × queue u64, block;
//!             settles u32, each: queue u64, runs u32, runs × (first u64, count u32)
//! 4 placed    queue u64, n × (turn u64, index u32, count u32, first ordinal u64)
//! 5 settled   queue u64, n × (first u64, count u32)
//! 6 returned  queue u64, n × (ordinal u64, delivery count u32)
//! ```
//!
//! Numbers are little-endian; a block is `message::Block`. A message is (queue id, ordinal); each
//! entry says how things are, never how they change, so an entry read twice does no harm. Pages,
//! which are how messages leave the log, have entries in the map ([`page`]).

pub mod decode;
pub mod describe;
pub mod encode;
pub mod page;
mod reader;
pub mod runs;
#[cfg(test)]
mod tests;

pub use crate::message::{Block, Malformed, Parts};
pub use decode::{Entry, Placement, Turn};
pub use describe::Described;
pub use encode::{Payload, Section};
pub use page::{MeanLength, PageEntry, PageKey};
pub use runs::{Run, Runs};

use std::fmt::Debug;

use crate::host::Lsn;

/// What an entry of the log says. Kind 1, changes of the map, is the store's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum EntryKind {
    /// Messages of one queue, with their ordinals.
    Batch = 2,
    /// Messages that come all or none, their ordinals unknown as yet; and settles with them.
    Turn = 3,
    /// Messages of turns got their ordinals in a queue, or were refused by it.
    Placed = 4,
    /// Ordinals of a queue that are gone.
    Settled = 5,
    /// Messages that came back to their queue.
    Returned = 6,
}

impl EntryKind {
    /// All of them.
    pub const ALL: [EntryKind; 5] = [
        EntryKind::Batch,
        EntryKind::Turn,
        EntryKind::Placed,
        EntryKind::Settled,
        EntryKind::Returned,
    ];
}

impl TryFrom<u8> for EntryKind {
    type Error = Malformed;

    fn try_from(kind: u8) -> Result<EntryKind, Malformed> {
        let mut kinds = EntryKind::ALL.into_iter();
        kinds
            .find(|&known| known as u8 == kind)
            .ok_or(Malformed("unknown kind of entry"))
    }
}

/// A change of the map that stands beside the entries; without a value the key goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawChange {
    /// The key.
    pub key: Vec<u8>,
    /// Its value from now on.
    pub value: Option<Vec<u8>>,
}

/// The log as queues see it.
///
/// A leaf: it may be called with a queue's lock held, and takes no lock but its own. It never
/// blocks, never fails and never calls back. LSNs are given in the order of the calls. After the
/// log has failed nothing that is appended becomes durable any more; who waits for an LSN learns
/// it there.
pub trait Journal: Send + Sync + Debug {
    /// Appends an entry whose payload is `parts`, one after the other.
    fn append(&self, kind: EntryKind, parts: &[&[u8]]) -> Lsn;

    /// As [`Self::append`], for an entry that lets space be freed (settles): it may use what is
    /// kept in reserve for a full disk.
    fn append_freeing(&self, kind: EntryKind, parts: &[&[u8]]) -> Lsn;

    /// Appends changes of the map as one record: after a crash all of them are there or none.
    fn append_changes(&self, changes: Vec<RawChange>) -> Lsn;
}
