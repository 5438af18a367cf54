//! Messages that go to the log once for several queues, or together or not at all: a fan-out, a
//! transaction. They are one record; the queues log only where they put them.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::routes::Target;
use crate::defects::{Defect, is_planted};
use crate::host::Host;
use crate::journal::{Block, Runs, Section};
use crate::message::{Message, Records};
use crate::queue::handle::{InTurn, QueueHandle};
use crate::time::Timestamp;
use crate::turns::OpenTurn;

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

    /// Appends what was collected; none if there is nothing.
    pub(super) fn append(&mut self, host: &dyn Host) -> Option<LoggedTurn> {
        self.is_transaction = false;
        if self.sections.is_empty() && self.settles.is_empty() {
            return None;
        }
        let collected = std::mem::take(self);
        let sections: Vec<Section<'_>> = collected.sections.iter().map(as_section).collect();
        let mut settles: Vec<(u64, Runs)> = collected.settles.into_iter().collect();
        if is_planted(Defect::TurnWithoutSettles) {
            settles.clear();
        }
        let journal = host.journal();
        let turn = host
            .turns()
            .begin(|| journal.append_turn(&sections, &settles));
        Some(LoggedTurn {
            turn,
            has_settles: !settles.is_empty(),
            runs: collected.runs,
        })
    }
}

/// A turn that is in the log. It is under way until this and all its batches are gone.
#[derive(Debug)]
pub(super) struct LoggedTurn {
    turn: Arc<OpenTurn>,
    /// The queues must have its settlements before it is over.
    pub(super) has_settles: bool,
    runs: FxHashMap<u32, Vec<(u32, u32)>>,
}

impl LoggedTurn {
    /// Which records of the batch with this index are in the turn.
    pub(super) fn part_of(&mut self, batch: u32) -> Option<InTurn> {
        let turn = Arc::clone(&self.turn);
        let runs = self.runs.remove(&batch)?;
        Some(InTurn { turn, runs })
    }
}

fn as_section(section: &SharedSection) -> Section<'_> {
    Section {
        queues: &section.queues,
        block: Block::of(&section.records),
    }
}
