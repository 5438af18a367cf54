//! Messages that go to the log once for several queues, or together or not at all: a fan-out, a
//! transaction. They are one record; the queues log only where they put them.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::routes::Target;
use crate::host::Host;
use crate::journal::{Block, Runs, Section};
use crate::message::{Message, Records};
use crate::queue::handle::{InTurn, QueueHandle};
use crate::time::Timestamp;

/// Messages for the same queues.
#[derive(Debug)]
struct SharedSection {
    queues: SmallVec<[u64; 4]>,
    records: Records,
}

/// What is collected for one record of the log.
#[derive(Debug, Default)]
pub(super) struct SharedTurn {
    /// Everything persistent belongs to it, settlements too.
    pub(super) is_transaction: bool,
    sections: Vec<SharedSection>,
    settles: FxHashMap<u64, Runs>,
    /// For each batch, by its index, which of its records are in the turn.
    runs: FxHashMap<u32, Vec<(u32, u32)>>,
}

impl SharedTurn {
    /// Adds a message for those of the targets that survive a restart. False when it is logged
    /// better by each of them.
    pub(super) fn add(
        &mut self,
        targets: &[Target],
        message: &Message<'_>,
        is_large: bool,
        now: Timestamp,
    ) -> bool {
        let is_durable = |target: &&Target| target.queue.identity().durable;
        let durable = targets.iter().filter(is_durable);
        let queues: SmallVec<[u64; 4]> =
            durable.map(|target| target.queue.identity().id.0).collect();
        let is_worth_it = self.is_transaction || (is_large && queues.len() > 1);
        if queues.is_empty() || !message.persistent || !is_worth_it {
            return false;
        }
        if self
            .sections
            .last()
            .is_none_or(|last| last.queues != queues)
        {
            let records = Records::new();
            self.sections.push(SharedSection { queues, records });
        }
        if let Some(section) = self.sections.last_mut() {
            let position = section.records.push(message.clone());
            // The queues' own times to live are counted from here if the record is all that is
            // found of it.
            section.records.head_mut(position).set_enqueued_at(now);
        }
        true
    }

    /// A record of a batch is one that was added.
    pub(super) fn note(&mut self, batch: u32, record: u32) {
        let runs = self.runs.entry(batch).or_default();
        match runs.last_mut() {
            Some((first, count)) if *first + *count == record => *count += 1,
            _ => runs.push((record, 1)),
        }
    }

    /// An ack that belongs to the transaction.
    pub(super) fn ack(&mut self, queue: &Arc<QueueHandle>, ordinal: u64) {
        let identity = queue.identity();
        if self.is_transaction && identity.durable {
            self.settles
                .entry(identity.id.0)
                .or_default()
                .insert(ordinal);
        }
    }

    /// Appends what was collected, and tells of each batch which of its records are in the log.
    pub(super) fn append(&mut self, host: &dyn Host) -> FxHashMap<u32, InTurn> {
        self.is_transaction = false;
        if self.sections.is_empty() && self.settles.is_empty() {
            return FxHashMap::default();
        }
        let collected = std::mem::take(self);
        let sections: Vec<Section<'_>> = collected.sections.iter().map(as_section).collect();
        let settles: Vec<(u64, Runs)> = collected.settles.into_iter().collect();
        let journal = host.journal();
        let turn = host
            .turns()
            .begin(|| journal.append_turn(&sections, &settles));
        let in_turn = |(batch, runs)| {
            let turn = Arc::clone(&turn);
            (batch, InTurn { turn, runs })
        };
        collected.runs.into_iter().map(in_turn).collect()
    }
}

fn as_section(section: &SharedSection) -> Section<'_> {
    Section {
        queues: &section.queues,
        block: Block::of(&section.records),
    }
}
