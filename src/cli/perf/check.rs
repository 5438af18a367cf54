//! What a body says of itself, and whether all of them came once, whole and in order.
//!
//! ```text
//! body   stamp 8 (with --latency) | publisher 2, sequence 6 | crc32c 4 | filling
//! ```
//!
//! The checksum is over everything before and behind it. Owns the layout, the account each consumer
//! keeps, and the verdict over all accounts; never touches a socket.

use std::fmt;
use std::sync::atomic::Ordering::Acquire;

use crc32c::{crc32c, crc32c_append};
use serde::Serialize;

use super::tally::Tally;
use super::walk::STAMP_BYTES;

/// Publisher and sequence.
const ORIGIN_BYTES: usize = 8;
const CHECKSUM_BYTES: usize = 4;
const HEAD_MAX: usize = STAMP_BYTES + ORIGIN_BYTES + CHECKSUM_BYTES;
const SEQUENCE_BITS: u32 = 48;

/// Bytes before the filling; the smallest body that can be checked.
pub(super) fn head_bytes(stamped: bool) -> usize {
    usize::from(stamped) * STAMP_BYTES + ORIGIN_BYTES + CHECKSUM_BYTES
}

/// What one publisher writes into its bodies.
pub(super) struct Seal {
    publisher: u64,
    head_bytes: usize,
    filling: Vec<u8>,
}

impl Seal {
    /// For bodies of one size, which are filled with one byte.
    pub(super) fn new(publisher: u64, stamped: bool, body_bytes: usize, filling: u8) -> Self {
        let head_bytes = head_bytes(stamped);
        Seal {
            publisher,
            head_bytes,
            filling: vec![filling; body_bytes.saturating_sub(head_bytes)],
        }
    }

    /// Seals the body that begins with `head` as message `sequence` of its publisher.
    pub(super) fn put(&self, head: &mut [u8], sequence: u64) {
        let (origin_at, checksum_at) = (
            self.head_bytes - CHECKSUM_BYTES - ORIGIN_BYTES,
            self.head_bytes - CHECKSUM_BYTES,
        );
        let origin = self.publisher << SEQUENCE_BITS | sequence;
        head[origin_at..checksum_at].copy_from_slice(&origin.to_be_bytes());
        let checksum = crc32c_append(crc32c(&head[..checksum_at]), &self.filling);
        head[checksum_at..self.head_bytes].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// The account of one consumer.
pub(super) struct Checker<'a> {
    publishers: &'a [Tally],
    head_bytes: usize,
    head: [u8; HEAD_MAX],
    have: usize,
    checksum: u32,
    seen: Vec<Seen>,
    received: u64,
    duplicated: u64,
    reordered: u64,
    corrupted: u64,
}

/// Which messages of one publisher have come.
#[derive(Clone, Default)]
struct Seen {
    bits: Vec<u64>,
    /// One more than the last sequence.
    next: u64,
}

impl Seen {
    /// Notes a message; false when it has come before.
    fn note(&mut self, sequence: u64) -> bool {
        let (word, bit) = ((sequence / 64) as usize, 1 << (sequence % 64));
        if word >= self.bits.len() {
            self.bits.resize(word + 1, 0);
        }
        let is_new = self.bits[word] & bit == 0;
        self.bits[word] |= bit;
        is_new
    }

    /// Takes in what another consumer has seen; returns how many both have.
    fn merge(&mut self, other: &Seen) -> u64 {
        if other.bits.len() > self.bits.len() {
            self.bits.resize(other.bits.len(), 0);
        }
        let mut both = 0;
        for (own, other) in self.bits.iter_mut().zip(&other.bits) {
            both += u64::from((*own & other).count_ones());
            *own |= other;
        }
        both
    }

    fn count(&self) -> u64 {
        self.bits
            .iter()
            .map(|word| u64::from(word.count_ones()))
            .sum()
    }
}

impl<'a> Checker<'a> {
    /// An empty account of messages of these publishers.
    pub(super) fn new(publishers: &'a [Tally], stamped: bool) -> Self {
        Checker {
            publishers,
            head_bytes: head_bytes(stamped),
            head: [0; HEAD_MAX],
            have: 0,
            checksum: 0,
            seen: vec![Seen::default(); publishers.len()],
            received: 0,
            duplicated: 0,
            reordered: 0,
            corrupted: 0,
        }
    }

    /// The next bytes of a body.
    pub(super) fn piece(&mut self, bytes: &[u8]) {
        let taken = bytes.len().min(self.head_bytes - self.have);
        let (head, filling) = bytes.split_at(taken);
        self.head[self.have..self.have + taken].copy_from_slice(head);
        self.have += taken;
        if taken > 0 && self.have == self.head_bytes {
            self.checksum = crc32c(&self.head[..self.head_bytes - CHECKSUM_BYTES]);
        }
        if !filling.is_empty() {
            self.checksum = crc32c_append(self.checksum, filling);
        }
    }

    /// The body is complete.
    pub(super) fn end(&mut self) {
        self.received += 1;
        match self.origin() {
            Some((publisher, sequence)) => self.note(publisher, sequence),
            None => self.corrupted += 1,
        }
        self.have = 0;
    }

    /// Who published the body, and as which message; none when it is not one of ours.
    fn origin(&self) -> Option<(usize, u64)> {
        let (head, checksum) = self.head[..self.head_bytes].split_last_chunk()?;
        let whole = self.have == self.head_bytes && u32::from_be_bytes(*checksum) == self.checksum;
        let origin = u64::from_be_bytes(*head.last_chunk()?);
        let publisher = (origin >> SEQUENCE_BITS) as usize;
        let sequence = origin & ((1 << SEQUENCE_BITS) - 1);
        let published = self.publishers.get(publisher)?.published.load(Acquire);
        (whole && sequence < published).then_some((publisher, sequence))
    }

    fn note(&mut self, publisher: usize, sequence: u64) {
        let seen = &mut self.seen[publisher];
        if !seen.note(sequence) {
            self.duplicated += 1;
        } else if sequence < seen.next {
            self.reordered += 1;
        } else {
            seen.next = sequence + 1;
        }
    }
}

/// What all accounts say together.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Checks {
    pub(super) received: u64,
    /// Published, not refused and never delivered; none when it is not known where they should be.
    pub(super) lost: Option<u64>,
    pub(super) duplicated: u64,
    /// Behind a later one of the same publisher, at the same consumer.
    pub(super) reordered: u64,
    /// Bodies whose checksum is wrong, or that nobody has published.
    pub(super) corrupted: u64,
}

impl Checks {
    /// Sums up; `queues` has the accounts of each queue's consumers, and `reaches` says whose
    /// messages a queue must have got, if that is known.
    pub(super) fn of(
        queues: Vec<Vec<Checker<'_>>>,
        publishers: &[Tally],
        reaches: Option<&dyn Fn(usize, usize) -> bool>,
    ) -> Self {
        let mut checks = Checks {
            lost: reaches.map(|_| 0),
            ..Checks::default()
        };
        for (queue, accounts) in queues.into_iter().enumerate() {
            let mut seen = vec![Seen::default(); publishers.len()];
            for account in accounts {
                checks.received += account.received;
                checks.duplicated += account.duplicated;
                checks.reordered += account.reordered;
                checks.corrupted += account.corrupted;
                for (all, one) in seen.iter_mut().zip(&account.seen) {
                    checks.duplicated += all.merge(one);
                }
            }
            let (Some(lost), Some(reaches)) = (&mut checks.lost, reaches) else {
                continue;
            };
            for (publisher, seen) in seen.iter().enumerate() {
                if reaches(publisher, queue) {
                    *lost += publishers[publisher].kept().saturating_sub(seen.count());
                }
            }
        }
        checks
    }

    /// Whether every message came once, whole and in order.
    pub(super) fn is_sound(&self) -> bool {
        let wrong = self.duplicated + self.reordered + self.corrupted;
        wrong + self.lost.unwrap_or(0) == 0
    }
}

impl fmt::Display for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lost {
            Some(lost) => write!(f, "{lost} lost, ")?,
            None => write!(f, "lost unknown, ")?,
        }
        write!(
            f,
            "{} duplicated, {} reordered, {} corrupted of {} received",
            self.duplicated, self.reordered, self.corrupted, self.received
        )
    }
}

#[cfg(test)]
mod tests;
