//! Which ordinals the messages of a turn got in a queue.

use std::sync::Arc;

use super::Logged;
use crate::defects::{Defect, is_planted};
use crate::host::Lsn;
use crate::journal::{Journal, Placement};
use crate::queue::command::InTurn;
use crate::queue::handle::QueueId;

/// Collects them while a batch is walked through.
pub(super) struct Placing<'a> {
    turn: Lsn,
    runs: std::iter::Peekable<std::iter::Copied<std::slice::Iter<'a, (u32, u32)>>>,
    /// How many of the turn's messages of this queue came before.
    index: u32,
    placements: Vec<Placement>,
}

impl<'a> Placing<'a> {
    pub(super) fn new(in_turn: &'a InTurn) -> Placing<'a> {
        Placing {
            turn: in_turn.turn.lsn(),
            runs: in_turn.runs.iter().copied().peekable(),
            index: 0,
            placements: Vec::new(),
        }
    }

    /// The record at `at` in the batch got this ordinal (0: it was refused). Whether it is one of
    /// the turn.
    pub(super) fn next(&mut self, at: u32, ordinal: u64) -> bool {
        while self
            .runs
            .next_if(|(first, count)| first + count <= at)
            .is_some()
        {}
        if self.runs.peek().is_none_or(|(first, _)| *first > at) {
            return false;
        }
        let index = match is_planted(Defect::PlacedOffByOne) {
            true => self.index.saturating_sub(1),
            false => self.index,
        };
        self.index += 1;
        let ordinal = match is_planted(Defect::RefusedPlaced) {
            true => ordinal.max(1),
            false => ordinal,
        };
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

    /// Appends them. The log is needed from the turn on.
    pub(super) fn append(self, queue: QueueId, journal: &Arc<dyn Journal>) -> Logged {
        match journal.append_placed(queue.0, &self.placements) {
            Lsn::NONE => Logged::NOTHING,
            last => Logged {
                first: self.turn,
                last,
            },
        }
    }
}
