//! Counters of the workers and what they add up to.
//! Owns one cache line per worker, so that counting costs no traffic between cores; never
//! computes rates.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::Release};

/// What one worker has done so far; only that worker adds to it.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct Tally {
    pub(super) published: AtomicU64,
    /// Publishes the broker has answered, with ack or nack.
    pub(super) settled: AtomicU64,
    pub(super) nacked: AtomicU64,
    /// How often the broker said connection.blocked.
    pub(super) blocked: AtomicU64,
    pub(super) delivered: AtomicU64,
    pub(super) delivered_bytes: AtomicU64,
}

impl Tally {
    pub(super) fn delivered(&self) -> u64 {
        self.delivered.load(Relaxed)
    }

    /// Publishes that the broker has not refused.
    pub(super) fn kept(&self) -> u64 {
        self.published.load(Relaxed) - self.nacked.load(Relaxed)
    }

    /// Counts publishes before their bytes leave: a reader must never see a confirm from the
    /// future.
    pub(super) fn count_published(&self, published: u64) {
        self.published.store(published, Release);
    }
}

/// Sums over workers at one moment.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) published: u64,
    pub(super) settled: u64,
    pub(super) nacked: u64,
    pub(super) blocked: u64,
    pub(super) delivered: u64,
    pub(super) delivered_bytes: u64,
}

impl Totals {
    pub(super) fn of(tallies: &[Tally]) -> Self {
        let sum = |count: fn(&Tally) -> &AtomicU64| -> u64 {
            tallies.iter().map(|tally| count(tally).load(Relaxed)).sum()
        };
        Totals {
            published: sum(|t| &t.published),
            settled: sum(|t| &t.settled),
            nacked: sum(|t| &t.nacked),
            blocked: sum(|t| &t.blocked),
            delivered: sum(|t| &t.delivered),
            delivered_bytes: sum(|t| &t.delivered_bytes),
        }
    }

    /// What happened since `earlier`.
    pub(super) fn since(&self, earlier: &Totals) -> Totals {
        Totals {
            published: self.published - earlier.published,
            settled: self.settled - earlier.settled,
            nacked: self.nacked - earlier.nacked,
            blocked: self.blocked - earlier.blocked,
            delivered: self.delivered - earlier.delivered,
            delivered_bytes: self.delivered_bytes - earlier.delivered_bytes,
        }
    }
}
