//! Counting what syncs cost: plain counters that one thread writes and everybody may read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the classes sync durations are counted in; one more class is above all.
pub const SYNC_TIME_BOUNDS: [Duration; 16] = [
    Duration::from_micros(100),
    Duration::from_micros(200),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

/// The syncs of this run so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Syncs {
    /// How many there were.
    pub count: u64,
    /// The bytes of log written for them.
    pub bytes: u64,
    /// How long they took together.
    pub time: Duration,
    /// How many took up to each of [`SYNC_TIME_BOUNDS`] and longer than the bound before it; the
    /// last one counts those above all bounds.
    pub times: [u64; SYNC_TIME_BOUNDS.len() + 1],
}

/// The counters behind [`Syncs`].
#[derive(Debug, Default)]
pub(super) struct SyncCounters {
    count: AtomicU64,
    bytes: AtomicU64,
    nanos: AtomicU64,
    times: [AtomicU64; SYNC_TIME_BOUNDS.len() + 1],
}

impl SyncCounters {
    pub(super) fn add(&self, bytes: u64, took: Duration) {
        let class = SYNC_TIME_BOUNDS.partition_point(|bound| *bound < took);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.times[class].fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Syncs {
        Syncs {
            count: self.count.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            time: Duration::from_nanos(self.nanos.load(Ordering::Relaxed)),
            times: std::array::from_fn(|class| self.times[class].load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_counts_in_the_first_class_whose_bound_it_does_not_exceed() {
        let counters = SyncCounters::default();
        let nano = Duration::from_nanos(1);
        for (class, bound) in SYNC_TIME_BOUNDS.into_iter().enumerate() {
            counters.add(4096, bound);
            counters.add(4096, bound + nano);
            let times = counters.read().times;
            let expected = if class == 0 { 1 } else { 2 };
            assert_eq!((times[class], times[class + 1]), (expected, 1), "{bound:?}");
        }
        let syncs = counters.read();
        assert_eq!(syncs.count, 32);
        assert_eq!(syncs.bytes, 32 * 4096);
        assert_eq!(syncs.times.iter().sum::<u64>(), 32);
        let bounds: Duration = SYNC_TIME_BOUNDS.iter().sum();
        assert_eq!(syncs.time, bounds * 2 + nano * 16);
    }
}
