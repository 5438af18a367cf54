//! What a durable queue tells the log: its persistent messages, and what becomes of them.
//!
//! Everything is appended while the queue is locked, so that the log has it in the order in which
//! it happened here: a message before its settlement, and lower ordinals first. What a command
//! settles is collected and appended once, at the command's end, behind what it published.

use std::sync::Arc;

use super::handle::QueueId;
use crate::host::Lsn;
use crate::journal::{Block, Journal, Placement, RawChange, Runs};
use crate::message::Records;

/// Changes of the map in one record.
const CHANGES_MAX: usize = 1_000;

/// A queue's end of the log. Off for queues that do not survive a restart.
#[derive(Debug)]
pub(super) struct QueueLog {
    id: QueueId,
    journal: Option<Arc<dyn Journal>>,
    /// Logged messages that went in this command.
    gone: Runs,
    /// Logged messages that came back in this command, with their delivery counts.
    returned: Vec<(u64, u32)>,
}

impl QueueLog {
    pub(super) fn new(id: QueueId, journal: Option<Arc<dyn Journal>>) -> QueueLog {
        QueueLog {
            id,
            journal,
            gone: Runs::default(),
            returned: Vec::new(),
        }
    }

    /// Whether persistent messages are logged.
    #[inline]
    pub(super) fn is_on(&self) -> bool {
        self.journal.is_some()
    }

    /// The log itself.
    pub(super) fn journal(&self) -> Option<Arc<dyn Journal>> {
        self.journal.clone()
    }

    /// Appends the logged ones among `records`, but not those at the indexes in `refused`
    /// (ascending). [`Lsn::NONE`] when there is none.
    pub(super) fn publish(&mut self, records: &Records, refused: &[usize]) -> Lsn {
        let Some(journal) = &self.journal else {
            return Lsn::NONE;
        };
        if refused.is_empty() && records.iter().all(|record| record.is_logged()) {
            return journal.append_batch(self.id.0, &Block::of(records));
        }
        let mut refused = refused.iter().copied().peekable();
        let mut index = 0;
        let block = Block::of_some(records, |record| {
            let is_refused = refused.next_if_eq(&index).is_some();
            index += 1;
            record.is_logged() && !is_refused
        });
        journal.append_batch(self.id.0, &block)
    }

    /// Appends which ordinals messages of turns got.
    pub(super) fn placed(&self, placements: &[Placement]) {
        if let Some(journal) = &self.journal {
            journal.append_placed(self.id.0, placements);
        }
    }

    /// The message is acked, dropped, expired or was dead-lettered: it does not come back.
    #[inline]
    pub(super) fn gone(&mut self, ordinal: u64, is_logged: bool) {
        if is_logged {
            self.gone.insert(ordinal);
        }
    }

    /// All of these went, as far as they were here.
    pub(super) fn all_gone(&mut self, runs: &Runs) {
        if self.is_on() {
            runs.runs()
                .iter()
                .for_each(|run| self.gone.insert_run(*run));
        }
    }

    /// A client gave the message back.
    pub(super) fn returned(&mut self, ordinal: u64, deliveries: u32) {
        self.returned.push((ordinal, deliveries));
    }

    /// The command is over: appends what became of messages. The first record of it, or
    /// [`Lsn::NONE`].
    #[inline]
    pub(super) fn finish(&mut self) -> Lsn {
        match self.gone.is_empty() && self.returned.is_empty() {
            true => Lsn::NONE,
            false => self.append(),
        }
    }

    fn append(&mut self) -> Lsn {
        let Some(journal) = &self.journal else {
            return Lsn::NONE;
        };
        let returned = journal.append_returned(self.id.0, &self.returned);
        let gone = journal.append_settled(self.id.0, &self.gone);
        self.returned = Vec::new();
        self.gone = Runs::new();
        match returned {
            Lsn::NONE => gone,
            first => first,
        }
    }

    /// Appends page entries that come and go. The last record of it.
    pub(super) fn change_pages(&self, changes: Vec<RawChange>) -> Lsn {
        let Some(journal) = &self.journal else {
            return Lsn::NONE;
        };
        let mut lsn = Lsn::NONE;
        let mut changes = changes.into_iter().peekable();
        while changes.peek().is_some() {
            let some = changes.by_ref().take(CHANGES_MAX).collect();
            lsn = journal.append_changes(some);
        }
        lsn
    }
}
