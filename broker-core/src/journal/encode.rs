//! Entries as bytes. Records and bodies are never copied: a payload is a list of slices.
//!
//! The methods on `dyn Journal` are how a queue appends; each is one entry, or none where there
//! is nothing to say.

use smallvec::SmallVec;

use super::decode::Placement;
use super::{EntryKind, Journal, Runs};
use crate::host::Lsn;
use crate::message::{Block, Parts, Records};

/// A short payload.
pub type Payload = SmallVec<[u8; 128]>;

/// Messages of a turn that go to the same queues.
#[derive(Clone, Debug)]
pub struct Section<'a> {
    /// Ids of the queues; each gets all the messages.
    pub queues: &'a [u64],
    /// The messages. Their ordinals have no meaning, but for those that the turn settles too:
    /// these are there again, under them.
    pub block: Block<'a>,
}

impl dyn Journal + '_ {
    /// Messages of a queue that have their ordinals.
    pub fn append_batch(&self, queue: u64, block: &Block<'_>) -> Lsn {
        if block.is_empty() {
            return Lsn::NONE;
        }
        let queue = queue.to_le_bytes();
        let mut parts = Parts::new();
        parts.push(&queue);
        block.append_to(&mut parts);
        self.append(EntryKind::Batch, &parts)
    }

    /// Messages and settles that are one: after a crash all of it holds or nothing.
    pub fn append_turn(&self, sections: &[Section<'_>], settles: &[(u64, Runs)]) -> Lsn {
        if sections.is_empty() && settles.is_empty() {
            return Lsn::NONE;
        }
        let heads = turn_heads(sections, settles);
        self.append(EntryKind::Turn, &turn_parts(&heads, sections))
    }

    /// Messages of a queue that lie in pages are in the log again, under their ordinals, so that
    /// the pages may go. A batch would not do: it counts for nothing while a page has them. So a
    /// turn settles them and has them anew. Gives the LSN from which on the log is needed for them.
    pub fn append_again(&self, queue: u64, records: &Records) -> Lsn {
        let there = records.iter().filter(|record| !record.is_removed());
        let runs = there.map(|record| record.ordinal()).collect();
        let section = Section {
            queues: &[queue],
            block: Block::of(records),
        };
        if section.block.is_empty() {
            return Lsn::NONE;
        }
        self.append_turn(&[section], &[(queue, runs)])
    }

    /// Messages of turns have their ordinals in `queue`.
    pub fn append_placed(&self, queue: u64, placements: &[Placement]) -> Lsn {
        if placements.is_empty() {
            return Lsn::NONE;
        }
        self.append(EntryKind::Placed, &[&placed(queue, placements)])
    }

    /// Messages are gone.
    pub fn append_settled(&self, queue: u64, runs: &Runs) -> Lsn {
        if runs.is_empty() {
            return Lsn::NONE;
        }
        self.append_freeing(EntryKind::Settled, &[&settled(queue, runs)])
    }

    /// Messages came back; each with its delivery count as it is now.
    pub fn append_returned(&self, queue: u64, counts: &[(u64, u32)]) -> Lsn {
        if counts.is_empty() {
            return Lsn::NONE;
        }
        self.append(EntryKind::Returned, &[&returned(queue, counts)])
    }
}

/// The payload of [`EntryKind::Placed`].
pub fn placed(queue: u64, placements: &[Placement]) -> Payload {
    let mut payload = with_queue(queue);
    for placement in placements {
        payload.extend_from_slice(&placement.turn.0.to_le_bytes());
        payload.extend_from_slice(&placement.index.to_le_bytes());
        payload.extend_from_slice(&placement.count.to_le_bytes());
        payload.extend_from_slice(&placement.ordinal.to_le_bytes());
    }
    payload
}

/// The payload of [`EntryKind::Settled`].
pub fn settled(queue: u64, runs: &Runs) -> Payload {
    let mut payload = with_queue(queue);
    push_runs(&mut payload, runs);
    payload
}

/// The payload of [`EntryKind::Returned`].
pub fn returned(queue: u64, counts: &[(u64, u32)]) -> Payload {
    let mut payload = with_queue(queue);
    for (ordinal, count) in counts {
        payload.extend_from_slice(&ordinal.to_le_bytes());
        payload.extend_from_slice(&count.to_le_bytes());
    }
    payload
}

fn with_queue(queue: u64) -> Payload {
    Payload::from_slice(&queue.to_le_bytes())
}

pub(super) fn push_runs(payload: &mut impl Extend<u8>, runs: &Runs) {
    for run in runs.runs() {
        payload.extend(run.first.to_le_bytes());
        payload.extend(run.count.to_le_bytes());
    }
}

/// What of a turn are not blocks, and where each section's share of it ends.
struct TurnHeads {
    bytes: Vec<u8>,
    ends: SmallVec<[usize; 8]>,
}

fn turn_heads(sections: &[Section<'_>], settles: &[(u64, Runs)]) -> TurnHeads {
    let mut bytes = Vec::new();
    let mut ends = SmallVec::new();
    push_count(&mut bytes, sections.len());
    for section in sections {
        push_count(&mut bytes, section.queues.len());
        for queue in section.queues {
            bytes.extend_from_slice(&queue.to_le_bytes());
        }
        ends.push(bytes.len());
    }
    push_count(&mut bytes, settles.len());
    for (queue, runs) in settles {
        bytes.extend_from_slice(&queue.to_le_bytes());
        push_count(&mut bytes, runs.runs().len());
        push_runs(&mut bytes, runs);
    }
    TurnHeads { bytes, ends }
}

fn turn_parts<'a>(heads: &'a TurnHeads, sections: &'a [Section<'_>]) -> Parts<'a> {
    let mut parts = Parts::new();
    let mut start = 0;
    for (section, &end) in sections.iter().zip(&heads.ends) {
        parts.push(&heads.bytes[start..end]);
        section.block.append_to(&mut parts);
        start = end;
    }
    parts.push(&heads.bytes[start..]);
    parts
}

fn push_count(bytes: &mut Vec<u8>, count: usize) {
    bytes.extend_from_slice(&(count as u32).to_le_bytes());
}
