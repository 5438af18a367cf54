//! What a start makes of map and log: for each queue its pages and the messages that are only in
//! the log. A pure machine: it is fed and asked, and never reads a file.
//!
//! ```text
//! base map      page, queue_exists …                 as of the checkpoint
//! log           page, page_gone, queue_exists, queue_gone, entry …   in the order of LSNs
//! finish    ──▶ Restored
//! ```
//!
//! The map may be newer than the first entries that are read, so an entry meets a state that has
//! seen it already; each says how things are, and what comes later in the log says it again. If the
//! map is *older* than the state in which the floor, where entries begin, was told, a settle may be
//! missing for a page that the map still has: the changes then end that page, or put it again.
//!
//! The rules: a message that is alive (in a page or here) is not taken twice; a settle ends a message
//! wherever it lies; a message that comes again after its settle is new; a page that names a
//! message has it, and it leaves memory at once, so a start needs no more memory for messages
//! than the run before it did. Only what a turn settles and has too, because its page is to go, is
//! kept beside the page until that goes: the page may as well be a later one, which stays. What a
//! transaction settles is gone from then on, although its queue, which hears of it a moment later,
//! may write pages that name it. Whoever writes the log keeps to this: a page's entry goes, or names
//! fewer messages, only after these were settled or in the record in which another page has them
//! (or later).

pub mod check;
mod chunk;
mod held;
mod line;
mod pages;
mod queue;
mod restored;
#[cfg(test)]
mod tests;
mod turns;

pub use restored::{Restored, RestoredChunk, RestoredQueue, StalePage, Tally};

use std::collections::BTreeSet;

use rustc_hash::{FxHashMap, FxHashSet};
use thiserror::Error;

use crate::defects::{Defect, is_planted};
use crate::host::Lsn;
use crate::journal::decode::{read_batch, read_placed, read_returned, read_settled};
use crate::journal::{EntryKind, Malformed, PageEntry, PageKey, Placement, Runs, Turn};
use crate::message::Records;
use queue::QueueState;
use turns::Turns;

/// An entry that cannot be read. What it said is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("entry {} of kind {kind}: {why}", lsn.0)]
pub struct Damaged {
    /// Its place in the log.
    pub lsn: Lsn,
    /// Its kind as it stands there.
    pub kind: u8,
    /// What is wrong.
    pub why: Malformed,
}

/// The state of a start.
#[derive(Debug, Default)]
pub struct Recovery {
    queues: FxHashMap<u64, QueueState>,
    existing: FxHashSet<u64>,
    gone: FxHashSet<u64>,
    /// Pages of queues that are gone.
    orphans: BTreeSet<PageKey>,
    turns: Turns,
    tally: Tally,
    /// The last LSN of an entry.
    lsn: Lsn,
    /// Entries may be missing that settled messages of the map's pages.
    is_map_older: bool,
    /// Read into, again and again.
    scratch: Records,
}

impl Recovery {
    /// Nothing was read yet.
    pub fn new() -> Recovery {
        Recovery::default()
    }

    /// What was read so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Bytes of memory of the messages that are only in the log, as far as it was read.
    pub fn memory_bytes(&self) -> usize {
        let queues = self.queues.values().map(QueueState::memory_bytes);
        queues.sum::<usize>() + self.turns.memory_bytes()
    }

    /// The map is older than the state in which the floor was told. What it lacks comes with the
    /// changes; that messages leave their pages without a settlement means nothing then.
    pub fn map_is_older(&mut self) {
        self.is_map_older = true;
    }

    /// The map names the queue. May be said at any time before the end, and again.
    pub fn queue_exists(&mut self, id: u64) {
        self.gone.remove(&id);
        self.existing.insert(id);
    }

    /// The map names the queue no more. What it had is dropped.
    pub fn queue_gone(&mut self, id: u64) {
        self.existing.remove(&id);
        self.gone.insert(id);
        if let Some(queue) = self.queues.remove(&id) {
            self.orphans.extend(queue.page_keys(id));
        }
    }

    /// The map has this entry of a page from now on.
    pub fn page(&mut self, key: &[u8], value: &[u8]) -> Result<(), Malformed> {
        let page = PageEntry::decode(key, value).inspect_err(|_| self.tally.damaged += 1)?;
        self.tally.pages += 1;
        if self.gone.contains(&page.queue) {
            self.orphans.insert(page.page_key());
            return Ok(());
        }
        let queue = self.queues.entry(page.queue).or_default();
        queue.put_page(page, self.lsn.max(Lsn(1)));
        Ok(())
    }

    /// The map has no entry under this key any more.
    pub fn page_gone(&mut self, key: &[u8]) {
        let Some(key) = PageKey::parse(key) else {
            return;
        };
        self.orphans.remove(&key);
        if let Some(queue) = self.queues.get_mut(&key.queue) {
            queue.drop_page(key.number);
        }
    }

    /// The next entry of the log. After an error it is counted and passed over.
    pub fn entry(&mut self, lsn: Lsn, kind: u8, payload: &[u8]) -> Result<(), Damaged> {
        self.lsn = lsn;
        self.tally.entries += 1;
        let read = EntryKind::try_from(kind).and_then(|kind| self.read(lsn, kind, payload));
        read.map_err(|why| {
            self.tally.damaged += 1;
            Damaged { lsn, kind, why }
        })
    }

    fn read(&mut self, lsn: Lsn, kind: EntryKind, payload: &[u8]) -> Result<(), Malformed> {
        match kind {
            EntryKind::Batch => self.read_batch(lsn, payload)?,
            EntryKind::Turn => self.take_turn(lsn, Turn::decode(payload)?),
            EntryKind::Placed => {
                let (queue, placements) = read_placed(payload)?;
                self.place(queue, &placements);
            }
            EntryKind::Settled => {
                let (queue, runs) = read_settled(payload)?;
                self.settle(lsn, queue, &runs);
            }
            EntryKind::Returned => {
                let (queue, counts) = read_returned(payload)?;
                if let Some(queue) = self.queue(queue) {
                    queue.take_back(&counts);
                }
            }
        }
        Ok(())
    }

    fn read_batch(&mut self, lsn: Lsn, payload: &[u8]) -> Result<(), Malformed> {
        let mut records = std::mem::take(&mut self.scratch);
        let read = read_batch(payload, &mut records);
        if let Ok(queue) = read
            && let Some(queue) = self.queue(queue)
        {
            for record in records.iter() {
                queue.take(record.ordinal(), record, lsn);
            }
        }
        // A body must not outlive its message here.
        records.clear();
        self.scratch = records;
        read.map(|_| ())
    }

    fn take_turn(&mut self, lsn: Lsn, turn: Turn) {
        self.turns.add(lsn, turn.sections);
        for (queue, mut runs) in turn.settles {
            if self.gone.contains(&queue) {
                continue;
            }
            let state = self.queues.entry(queue).or_default();
            let settled = runs.clone();
            self.turns
                .place_again(lsn, queue, &settled, |ordinal, record| {
                    runs.remove(ordinal);
                    state.take_again(ordinal, record, lsn);
                });
            state.settle_in_turn(&runs, lsn);
        }
    }

    fn settle(&mut self, lsn: Lsn, queue: u64, runs: &Runs) {
        if let Some(queue) = self.queue(queue) {
            queue.settle(runs, lsn);
        }
    }

    fn place(&mut self, queue: u64, placements: &[Placement]) {
        if self.gone.contains(&queue) {
            return self.turns.forget(queue, placements);
        }
        let state = self.queues.entry(queue).or_default();
        for placement in placements {
            state.see(placement);
            self.turns.place(queue, placement, |ordinal, record| {
                state.take(ordinal, record, placement.turn);
            });
        }
    }

    /// The state of a queue that is not known to be gone.
    fn queue(&mut self, id: u64) -> Option<&mut QueueState> {
        if self.gone.contains(&id) {
            return None;
        }
        Some(self.queues.entry(id).or_default())
    }

    /// All was read. Queues that the map does not name have nothing any more.
    pub fn finish(mut self) -> Restored {
        let existing = std::mem::take(&mut self.existing);
        let turns = std::mem::take(&mut self.turns);
        turns.into_unplaced(|queue, turn, index, record| {
            if existing.contains(&queue) && !is_planted(Defect::UnplacedDropped) {
                let queue = self.queues.entry(queue).or_default();
                queue.take_unplaced(turn, index, record);
            }
        });
        let mut restored = Restored {
            tally: self.tally,
            ..Restored::default()
        };
        for (id, queue) in self.queues {
            if existing.contains(&id) {
                if !self.is_map_older {
                    restored.tally.vanished += queue.vanished();
                }
                restored.queues.push(queue.finish(id));
            } else {
                self.orphans.extend(queue.page_keys(id));
            }
        }
        restored.queues.sort_unstable_by_key(|queue| queue.queue);
        restored.orphans = self.orphans.into_iter().collect();
        restored
    }
}
