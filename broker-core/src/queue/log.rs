//! What a durable queue tells the log: its persistent messages, and what becomes of them.
//!
//! Everything is appended while the queue is locked, so that the log has it in the order in which
//! it happened here: a message before its settlement, and lower ordinals first. What a command
//! settles is collected and appended once, at the command's end, behind what it published.

use std::sync::Arc;

use super::command::InTurn;
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
    /// (ascending); of those that are in the log as part of a turn, where they were placed.
    pub(super) fn publish(
        &mut self,
        records: &Records,
        refused: &[usize],
        in_turn: Option<&InTurn>,
    ) -> Logged {
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
        let mut logged = Logged::NOTHING;
        if let Some(placing) = placing {
            let last = journal.append_placed(self.id.0, &placing.placements);
            logged = Logged {
                first: placing.turn,
                last,
            };
        }
        logged.then(journal.append_batch(self.id.0, &block))
    }

    /// Appends messages whose pages are to go.
    pub(super) fn publish_again(&self, records: &Records) -> Lsn {
        match &self.journal {
            Some(journal) => journal.append_again(self.id.0, records),
            None => Lsn::NONE,
        }
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

/// The places that a batch's messages of a turn get.
struct Placing<'a> {
    turn: Lsn,
    runs: std::iter::Peekable<std::iter::Copied<std::slice::Iter<'a, (u32, u32)>>>,
    /// How many of the turn's messages of this queue came before.
    index: u32,
    placements: Vec<Placement>,
}

impl<'a> Placing<'a> {
    fn new(in_turn: &'a InTurn) -> Placing<'a> {
        Placing {
            turn: in_turn.turn.lsn(),
            runs: in_turn.runs.iter().copied().peekable(),
            index: 0,
            placements: Vec::new(),
        }
    }

    /// The record at `at` in the batch got this ordinal (0: it was refused). Whether it is one of
    /// the turn.
    fn next(&mut self, at: u32, ordinal: u64) -> bool {
        while self
            .runs
            .next_if(|(first, count)| first + count <= at)
            .is_some()
        {}
        if !self.runs.peek().is_some_and(|(first, _)| *first <= at) {
            return false;
        }
        let index = self.index;
        self.index += 1;
        match self.placements.last_mut() {
            Some(last) if last.is_followed_by(ordinal) => last.count += 1,
            _ => self.placements.push(Placement {
                turn: self.turn,
                index,
                count: 1,
                ordinal,
            }),
        }
        true
    }
}
