//! Whether map, log and pages of a store that nobody uses agree, for the offline checker. Reads
//! what a start reads, and more closely; changes nothing.
//!
//! What a crash or a deleted queue leaves behind is counted; what no writer leaves is a
//! [`Problem`].

use std::collections::BTreeMap;

use thiserror::Error;

use super::{Damaged, Recovery, Restored};
use crate::host::Lsn;
use crate::journal::{Entry, EntryKind, Malformed, PageEntry, PageKey, Placement, Turn};
use crate::message::Records;

/// Problems beyond this are only counted.
pub const PROBLEMS_MAX: usize = 1000;

/// Something that no writer leaves.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// An entry of the log cannot be read.
    #[error("{0}")]
    Entry(Damaged),
    /// An entry of a page cannot be read.
    #[error("page {} of queue {}: its entry: {why}", page.number, page.queue)]
    PageEntry {
        /// Which.
        page: PageKey,
        /// What is wrong.
        why: Malformed,
    },
    /// An LSN is not above the one before it.
    #[error("entry {} comes behind entry {}", .0.0, .1.0)]
    Order(Lsn, Lsn),
    /// A queue placed messages that the turn does not have for it.
    #[error("entry {}: turn {} has {has} messages for queue {queue}, not number {}",
        lsn.0, placement.turn.0, placement.index + placement.count)]
    Placement {
        /// Where that stands.
        lsn: Lsn,
        /// The queue.
        queue: u64,
        /// What it placed.
        placement: Placement,
        /// How many messages the turn has for it.
        has: u32,
    },
    /// Messages left their pages for nowhere.
    #[error("{0} messages left their pages without a settlement")]
    Vanished(u64),
    /// A page is not what its entry says.
    #[error("page {} of queue {}: {why}", page.number, page.queue)]
    Page {
        /// Which.
        page: PageKey,
        /// What is wrong.
        why: PageProblem,
    },
}

/// How a page differs from its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PageProblem {
    /// It cannot be read as messages.
    #[error("{0}")]
    Block(Malformed),
    /// It has another length.
    #[error("it has {0} bytes")]
    Length(usize),
    /// Messages that are alive are not in it.
    #[error("{count} of its messages are missing, the first has ordinal {first}")]
    Missing {
        /// How many.
        count: u64,
        /// The lowest ordinal.
        first: u64,
    },
    /// A message that is alive is in it twice.
    #[error("ordinal {0} is in it twice")]
    Twice(u64),
    /// A message that is alive is not persistent.
    #[error("ordinal {0} is alive in it and not persistent")]
    Transient(u64),
    /// A message that is alive has a lower priority than the page's level.
    #[error("ordinal {0} is below the page's level")]
    Level(u64),
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Entries by kind: batches, turns, placed, settled, returned.
    pub entries: [u64; EntryKind::ALL.len()],
    /// Messages in batches and turns; one for several queues counts once.
    pub messages: u64,
    /// Ordinals that were settled, there or not.
    pub settled: u64,
    /// What entries say of queues that the map does not name in the end: what is left of deleted
    /// ones.
    pub of_gone_queues: u64,
    /// Placements of turns that begin before the first entry that was read.
    pub of_unread_turns: u64,
}

/// All that was found.
#[derive(Debug)]
pub struct Checked {
    /// What a start would find.
    pub restored: Restored,
    /// What was read.
    pub counts: Counts,
    /// The first [`PROBLEMS_MAX`] of them.
    pub problems: Vec<Problem>,
    /// All of them.
    pub problem_count: u64,
}

/// A check under way; fed like a [`Recovery`].
#[derive(Debug, Default)]
pub struct Check {
    recovery: Recovery,
    counts: Counts,
    problems: Vec<Problem>,
    problem_count: u64,
    lsn: Lsn,
    /// How often entries speak of each queue.
    mentions: BTreeMap<u64, u64>,
    /// How many messages each turn has for each queue.
    turns: BTreeMap<(Lsn, u64), u32>,
}

impl Check {
    /// Nothing was read yet.
    pub fn new() -> Check {
        Check::default()
    }

    /// [`Recovery::map_is_older`].
    pub fn map_is_older(&mut self) {
        self.recovery.map_is_older();
    }

    /// [`Recovery::queue_exists`].
    pub fn queue_exists(&mut self, id: u64) {
        self.recovery.queue_exists(id);
    }

    /// [`Recovery::queue_gone`].
    pub fn queue_gone(&mut self, id: u64) {
        self.recovery.queue_gone(id);
    }

    /// [`Recovery::page`].
    pub fn page(&mut self, key: &[u8], value: &[u8]) {
        let (Err(why), Some(page)) = (self.recovery.page(key, value), PageKey::parse(key)) else {
            return;
        };
        self.note(Problem::PageEntry { page, why });
    }

    /// [`Recovery::page_gone`].
    pub fn page_gone(&mut self, key: &[u8]) {
        self.recovery.page_gone(key);
    }

    /// [`Recovery::entry`].
    pub fn entry(&mut self, lsn: Lsn, kind: u8, payload: &[u8]) {
        if lsn <= self.lsn {
            self.note(Problem::Order(lsn, self.lsn));
        }
        self.lsn = lsn;
        if let Err(damaged) = self.recovery.entry(lsn, kind, payload) {
            return self.note(Problem::Entry(damaged));
        }
        let Ok(kind) = EntryKind::try_from(kind) else {
            return;
        };
        let index = EntryKind::ALL.iter().position(|&known| known == kind);
        self.counts.entries[index.unwrap_or_default()] += 1;
        if let Ok(entry) = Entry::decode(kind, payload) {
            self.look_at(lsn, &entry);
        }
    }

    fn look_at(&mut self, lsn: Lsn, entry: &Entry) {
        match entry {
            Entry::Batch { queue, records } => {
                self.mention(*queue);
                self.counts.messages += records.len() as u64;
            }
            Entry::Turn(turn) => self.look_at_turn(lsn, turn),
            Entry::Placed { queue, placements } => {
                self.mention(*queue);
                for placement in placements {
                    self.look_at_placement(lsn, *queue, placement);
                }
            }
            Entry::Settled { queue, runs } => {
                self.mention(*queue);
                self.counts.settled += runs.count();
            }
            Entry::Returned { queue, .. } => self.mention(*queue),
        }
    }

    fn look_at_turn(&mut self, lsn: Lsn, turn: &Turn) {
        for section in &turn.sections {
            let count = section.records.len();
            self.counts.messages += count as u64;
            for &queue in &section.queues {
                self.mention(queue);
                *self.turns.entry((lsn, queue)).or_default() += count as u32;
            }
        }
        for (queue, runs) in &turn.settles {
            self.mention(*queue);
            self.counts.settled += runs.count();
        }
    }

    fn look_at_placement(&mut self, lsn: Lsn, queue: u64, placement: &Placement) {
        let mut of_turn = self.turns.range((placement.turn, 0)..);
        let is_read = of_turn
            .next()
            .is_some_and(|(&(turn, _), _)| turn == placement.turn);
        if !is_read {
            self.counts.of_unread_turns += 1;
            return;
        }
        let has = self.turns.get(&(placement.turn, queue));
        let has = has.copied().unwrap_or_default();
        if placement.index + placement.count > has {
            self.note(Problem::Placement {
                lsn,
                queue,
                placement: *placement,
                has,
            });
        }
    }

    fn mention(&mut self, queue: u64) {
        *self.mentions.entry(queue).or_default() += 1;
    }

    fn note(&mut self, problem: Problem) {
        self.problem_count += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }

    /// Map and log were read. What pages hold is checked afterwards, one by one, with
    /// [`Checked::page`].
    pub fn finish(mut self) -> Checked {
        let exists = self.recovery.existing.clone();
        let recovery = std::mem::take(&mut self.recovery);
        let restored = recovery.finish();
        let gone = self.mentions.iter().filter(|(id, _)| !exists.contains(id));
        self.counts.of_gone_queues = gone.map(|(_, count)| count).sum();
        if restored.tally.vanished > 0 {
            self.note(Problem::Vanished(restored.tally.vanished));
        }
        Checked {
            restored,
            counts: self.counts,
            problems: self.problems,
            problem_count: self.problem_count,
        }
    }
}

impl Checked {
    /// Compares a page with its entry.
    pub fn page(&mut self, entry: &PageEntry, block: &[u8]) {
        for why in differences(entry, block) {
            self.problem_count += 1;
            if self.problems.len() < PROBLEMS_MAX {
                let page = entry.page_key();
                self.problems.push(Problem::Page { page, why });
            }
        }
    }
}

fn differences(entry: &PageEntry, block: &[u8]) -> Vec<PageProblem> {
    if block.len() != entry.length as usize {
        return vec![PageProblem::Length(block.len())];
    }
    let records = match Records::decode(block) {
        Ok(records) => records,
        Err(why) => return vec![PageProblem::Block(why)],
    };
    let mut problems = Vec::new();
    let mut missing = entry.runs.clone();
    let alive = records.iter();
    for record in alive.filter(|record| entry.runs.contains(record.ordinal())) {
        let ordinal = record.ordinal();
        if !missing.remove(ordinal) {
            problems.push(PageProblem::Twice(ordinal));
        }
        if !record.is_persistent() {
            problems.push(PageProblem::Transient(ordinal));
        }
        if entry.level.is_some_and(|level| record.priority() < level) {
            problems.push(PageProblem::Level(ordinal));
        }
    }
    let first = missing.first().map(|first| PageProblem::Missing {
        count: missing.count(),
        first,
    });
    problems.extend(first);
    problems
}
