//! What a durable queue tells the log: its persistent messages, and what becomes of them.
//!
//! Everything is appended while the queue is locked, so that the log has it in the order in which
//! it happened here: a message before its settlement, and lower ordinals first. What a command
//! settles is collected and appended once, at the command's end, behind what it published.

mod placing;

use std::sync::Arc;

use super::command::InTurn;
use super::handle::QueueId;
use crate::defects::{Defect, is_planted};
use crate::host::Lsn;
use crate::journal::{Block, Journal, Placement, RawChange, Runs};
use crate::message::Records;
use placing::Placing;

/// Changes of the map in one record.
pub(super) const CHANGES_MAX: usize = 1_000;

/// Bytes of changes in one record; it may exceed them by one change.
pub(super) const CHANGES_BYTES_MAX: usize = 1024 * 1024;

/// A queue's end of the log. Off for queues that do not survive a restart.
#[derive(Debug)]
pub(super) struct QueueLog {
    id: QueueId,
    journal: Option<Arc<dyn Journal>>,
    /// Logged messages that went in this command.
    gone: Runs,
    /// Logged messages that came back in this command, with their delivery counts.
    returned: Vec<(u64, u32)>,
    /// The last record with page entries.
    pages_at: Lsn,
}

impl QueueLog {
    pub(super) fn new(id: QueueId, journal: Option<Arc<dyn Journal>>) -> QueueLog {
        QueueLog {
            id,
            journal,
            gone: Runs::default(),
            returned: Vec::new(),
            pages_at: Lsn::NONE,
        }
    }

    /// Whether persistent messages are logged.
    #[inline]
    pub(super) fn is_on(&self) -> bool {
        self.journal.is_some()
    }

    /// Takes the log with all that is still to be said to it.
    pub(super) fn taken(&mut self) -> QueueLog {
        std::mem::replace(self, QueueLog::new(self.id, None))
    }

    /// Appends the logged ones among `records`, but not those at the indexes in `refused`
    /// (ascending); of those that are in the log as part of a turn, where they were placed.
    pub(super) fn publish(
        &mut self,
        records: &Records,
        refused: &[usize],
        in_turn: Option<&InTurn>,
    ) -> Logged {
        if is_planted(Defect::SettledBeforePublished) {
            self.finish();
        }
        let Some(journal) = &self.journal else {
            return Logged::NOTHING;
        };
        let is_whole = refused.is_empty() && in_turn.is_none();
        if is_whole && records.iter().all(|record| record.is_logged()) {
            return Logged::at(journal.append_batch(self.id.0, &Block::of(records)));
        }
        let mut refused = refused.iter().copied().peekable();
        let mut placing = in_turn.map(Placing::new);
        let mut index = 0;
        let block = Block::of_some(records, |record| {
            let is_refused = refused.next_if_eq(&index).is_some();
            index += 1;
            let ordinal = if is_refused { 0 } else { record.ordinal() };
            let is_placed = placing
                .as_mut()
                .is_some_and(|placing| placing.next(index as u32 - 1, ordinal));
            record.is_logged() && !is_refused && !is_placed
        });
        let placed = placing.map_or(Logged::NOTHING, |placing| placing.append(self.id, journal));
        placed.then(journal.append_batch(self.id.0, &block))
    }

    /// Appends that the queue took none of the messages that are in the log as part of a turn.
    pub(super) fn refuse(&self, in_turn: &InTurn) {
        if let Some(journal) = &self.journal {
            let mut placing = Placing::new(in_turn);
            let last = in_turn
                .runs
                .last()
                .map_or(0, |(first, count)| first + count);
            for index in 0..last {
                placing.next(index, 0);
            }
            placing.append(self.id, journal);
        }
    }

    /// Appends which ordinals messages of turns got.
    pub(super) fn placed(&self, placements: &[Placement]) {
        if let Some(journal) = &self.journal {
            journal.append_placed(self.id.0, placements);
        }
    }

    /// Appends messages again whose page is to go. The first record that is needed for them.
    pub(super) fn again(&self, records: &Records) -> Lsn {
        let journal = self.journal.as_ref();
        journal.map_or(Lsn::NONE, |journal| {
            journal.append_again(self.id.0, records)
        })
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
        if !is_planted(Defect::ReturnedNotLogged) {
            self.returned.push((ordinal, deliveries));
        }
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
        let (returned, gone) = (
            std::mem::take(&mut self.returned),
            std::mem::take(&mut self.gone),
        );
        let Some(journal) = &self.journal else {
            return Lsn::NONE;
        };
        let returned = journal.append_returned(self.id.0, &returned);
        let gone = journal.append_settled(self.id.0, &gone);
        match returned {
            Lsn::NONE => gone,
            first => first,
        }
    }

    /// Appends page entries that come and go. The last record with page entries, now or before:
    /// when it is durable, no entry is left of a page that is of no use.
    pub(super) fn change_pages(&mut self, changes: Vec<RawChange>) -> Lsn {
        let Some(journal) = &self.journal else {
            return Lsn::NONE;
        };
        let mut record = Vec::new();
        let mut bytes = 0;
        for change in changes {
            bytes += change.key.len() + change.value.as_ref().map_or(0, Vec::len);
            record.push(change);
            if record.len() == CHANGES_MAX || bytes >= CHANGES_BYTES_MAX {
                self.pages_at = journal.append_changes(std::mem::take(&mut record));
                bytes = 0;
            }
        }
        if !record.is_empty() {
            self.pages_at = journal.append_changes(record);
        }
        self.pages_at
    }
}

/// Where the log has the messages of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Logged {
    /// The first record that is needed for them.
    pub(super) first: Lsn,
    /// When the log is durable up to here, they are.
    pub(super) last: Lsn,
}

impl Logged {
    const NOTHING: Logged = Logged {
        first: Lsn::NONE,
        last: Lsn::NONE,
    };

    fn at(lsn: Lsn) -> Logged {
        Logged {
            first: lsn,
            last: lsn,
        }
    }

    fn then(self, lsn: Lsn) -> Logged {
        match (self.first, lsn) {
            (_, Lsn::NONE) => self,
            (Lsn::NONE, lsn) => Logged::at(lsn),
            (first, last) => Logged { first, last },
        }
    }
}
