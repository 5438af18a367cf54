//! Turns of which some messages have no ordinals yet.
//!
//! A turn's messages lie here until each of their queues has said where it put them. The index
//! that a queue says counts the turn's messages of that queue, over all sections.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use crate::host::Lsn;
use crate::journal::decode::TurnSection;
use crate::journal::{Placement, Runs};
use crate::message::{Position, RecordRef, Records};

/// Where a message of a turn lies; none once it is placed.
type Place = Option<(u32, Position)>;

#[derive(Debug)]
struct Share {
    queue: u64,
    messages: SmallVec<[Place; 1]>,
}

#[derive(Debug)]
struct OpenTurn {
    /// One per section.
    records: Vec<Records>,
    /// By queue.
    shares: Vec<Share>,
    /// How many places there are.
    unplaced: usize,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Turns {
    open: BTreeMap<Lsn, OpenTurn>,
}

impl Turns {
    /// Bytes of memory of the messages.
    pub(super) fn memory_bytes(&self) -> usize {
        let records = self.open.values().flat_map(|turn| &turn.records);
        records
            .map(|records| {
                let bodies = records.shared_bodies().iter().map(|body| body.len());
                records.capacity() + bodies.sum::<usize>()
            })
            .sum()
    }

    pub(super) fn add(&mut self, lsn: Lsn, sections: Vec<TurnSection>) {
        let mut places: Vec<(u64, u32, Position)> = Vec::new();
        let mut records = Vec::with_capacity(sections.len());
        for (index, section) in sections.into_iter().enumerate() {
            for &queue in &section.queues {
                let positions = positions(&section.records);
                places.extend(positions.map(|position| (queue, index as u32, position)));
            }
            records.push(section.records);
        }
        if places.is_empty() {
            return;
        }
        places.sort_unstable();
        let shares = places.chunk_by(|one, other| one.0 == other.0);
        let turn = OpenTurn {
            records,
            shares: shares.map(Share::of).collect(),
            unplaced: places.len(),
        };
        self.open.insert(lsn, turn);
    }

    /// A queue put messages of a turn where `placement` says; `place` gets those that it took and
    /// that were not placed before.
    pub(super) fn place(
        &mut self,
        queue: u64,
        placement: &Placement,
        mut place: impl FnMut(u64, RecordRef<'_>),
    ) {
        let Some(turn) = self.open.get_mut(&placement.turn) else {
            return;
        };
        let Ok(share) = turn
            .shares
            .binary_search_by_key(&queue, |share| share.queue)
        else {
            return;
        };
        let (start, count) = (placement.index as usize, placement.count as usize);
        let messages = turn.shares[share].messages.iter_mut();
        for (index, message) in messages.skip(start).take(count).enumerate() {
            let Some((section, position)) = message.take() else {
                continue;
            };
            turn.unplaced -= 1;
            if placement.ordinal > 0 {
                place(
                    placement.ordinal + index as u64,
                    turn.records[section as usize].at(position),
                );
            }
        }
        if turn.unplaced == 0 {
            self.open.remove(&placement.turn);
        }
    }

    /// Messages that their turn has settled too are there again under their ordinals: `place` gets
    /// them.
    pub(super) fn place_again(
        &mut self,
        turn: Lsn,
        queue: u64,
        settled: &Runs,
        mut place: impl FnMut(u64, RecordRef<'_>),
    ) {
        let Some(open) = self.open.get_mut(&turn) else {
            return;
        };
        let Ok(share) = open
            .shares
            .binary_search_by_key(&queue, |share| share.queue)
        else {
            return;
        };
        for message in &mut open.shares[share].messages {
            let Some((section, position)) = *message else {
                continue;
            };
            let record = open.records[section as usize].at(position);
            if settled.contains(record.ordinal()) {
                *message = None;
                open.unplaced -= 1;
                place(record.ordinal(), record);
            }
        }
        if open.unplaced == 0 {
            self.open.remove(&turn);
        }
    }

    /// A queue that is gone placed messages.
    pub(super) fn forget(&mut self, queue: u64, placements: &[Placement]) {
        for placement in placements {
            self.place(queue, placement, |_, _| ());
        }
    }

    /// What was never placed: queue, turn, index and message; in the order of the turns.
    pub(super) fn into_unplaced(self, mut unplaced: impl FnMut(u64, Lsn, u32, RecordRef<'_>)) {
        for (lsn, turn) in self.open {
            for share in turn.shares {
                for (index, place) in share.messages.into_iter().enumerate() {
                    if let Some((section, position)) = place {
                        let record = turn.records[section as usize].at(position);
                        unplaced(share.queue, lsn, index as u32, record);
                    }
                }
            }
        }
    }
}

impl Share {
    /// Of places that are all of one queue.
    fn of(places: &[(u64, u32, Position)]) -> Share {
        Share {
            queue: places[0].0,
            messages: places
                .iter()
                .map(|&(_, section, position)| Some((section, position)))
                .collect(),
        }
    }
}

fn positions(records: &Records) -> impl Iterator<Item = Position> {
    std::iter::successors(records.first(), |&position| records.next(position))
}
