//! Time stamps in message bodies and the distribution of what they say on arrival.
//! Owns the stamp format and the histogram; a paced run stamps the moment a message was *due*, so
//! a publisher held up by the broker charges its waiting to the broker (no coordinated omission).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The clock of a run: stamps are nanoseconds since its start, marked as this run's own.
///
/// ```text
/// 63        48 47                                   0
/// | run mark  | nanoseconds since the run's start    |     (78 hours)
/// ```
pub(super) struct Stamps {
    start: Instant,
    mark: u64,
    window_from: AtomicU64,
    window_to: AtomicU64,
}

impl Stamps {
    pub(super) fn new() -> Self {
        Stamps {
            start: Instant::now(),
            mark: u64::from(std::process::id()) << NANOS_BITS,
            window_from: AtomicU64::new(u64::MAX),
            window_to: AtomicU64::new(u64::MAX),
        }
    }

    pub(super) fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// The stamp for a moment of this run.
    pub(super) fn stamp(&self, nanos: u64) -> u64 {
        self.mark | (nanos & NANOS_MASK)
    }

    /// The moment a stamp of this run stands for.
    pub(super) fn moment(&self, stamp: u64) -> Option<u64> {
        (stamp & !NANOS_MASK == self.mark).then_some(stamp & NANOS_MASK)
    }

    /// Messages stamped from now on count.
    pub(super) fn open_window(&self) {
        self.window_from.store(self.now(), Relaxed);
    }

    /// Messages stamped from now on do not count any more.
    pub(super) fn close_window(&self) {
        self.window_to.store(self.now(), Relaxed);
    }

    /// The moments that count.
    pub(super) fn window(&self) -> std::ops::Range<u64> {
        self.window_from.load(Relaxed)..self.window_to.load(Relaxed)
    }
}

/// When each publish left whose confirm may still come, by publish number.
pub(super) struct Departures(Vec<AtomicU64>);

impl Departures {
    /// Places for publishes that lie at most `reach` apart.
    pub(super) fn new(reach: u64) -> Self {
        Departures((0..reach).map(|_| AtomicU64::new(0)).collect())
    }

    /// Notes that `publish` leaves at a moment of the run's clock.
    pub(super) fn note(&self, publish: u64, nanos: u64) {
        self.place(publish).store(nanos, Relaxed);
    }

    /// The moment at which `publish` left.
    pub(super) fn of(&self, publish: u64) -> u64 {
        self.place(publish).load(Relaxed)
    }

    fn place(&self, publish: u64) -> &AtomicU64 {
        &self.0[(publish % self.0.len() as u64) as usize]
    }
}

/// One worker's distribution of times.
pub(super) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(super) fn new() -> Option<Self> {
        Histogram::new_with_bounds(1, MAX_NANOS, SIGNIFICANT_DIGITS)
            .ok()
            .map(Latencies)
    }

    pub(super) fn record(&mut self, nanos: u64) {
        self.0.saturating_record(nanos.max(1));
    }

    /// Takes in what another worker has seen, if either has seen anything.
    pub(super) fn merge(all: &mut Option<Latencies>, one: Option<Latencies>) {
        match (all, one) {
            (Some(all), Some(one)) => all.add(&one),
            (first @ None, one) => *first = one,
            (Some(_), None) => {}
        }
    }

    pub(super) fn add(&mut self, other: &Latencies) {
        // Both have the same bounds, so nothing can fall outside.
        let _ = self.0.add(&other.0);
    }

    /// The figures that are reported, none without samples.
    pub(super) fn summary(&self) -> Option<Summary> {
        let micros = |nanos: u64| nanos as f64 / 1000.0;
        let at = |quantile| micros(self.0.value_at_quantile(quantile));
        (!self.0.is_empty()).then(|| Summary {
            samples: self.0.len(),
            p50: at(0.50),
            p95: at(0.95),
            p99: at(0.99),
            p99_9: at(0.999),
            max: micros(self.0.max()),
        })
    }
}

/// Times in microseconds.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Summary {
    pub(super) samples: u64,
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
    pub(super) p99_9: f64,
    pub(super) max: f64,
}

const NANOS_BITS: u32 = 48;
const NANOS_MASK: u64 = (1 << NANOS_BITS) - 1;
/// Longer times are counted as this one.
const MAX_NANOS: u64 = 600_000_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_gives_back_its_moment_to_its_own_run_only() {
        let mut stamps = Stamps::new();
        stamps.mark = 7 << NANOS_BITS;
        let stamp = stamps.stamp(123_456_789);
        assert_eq!(stamps.moment(stamp), Some(123_456_789));
        stamps.mark = 8 << NANOS_BITS;
        assert_eq!(stamps.moment(stamp), None);
        assert_eq!(
            stamps.moment(0x2e2e_2e2e_2e2e_2e2e),
            None,
            "a body without a stamp"
        );
    }

    #[test]
    fn quantiles_are_those_of_all_consumers_together() {
        let mut all = Latencies::new().expect("constant bounds");
        for from in [0, 500] {
            let mut part = Latencies::new().expect("constant bounds");
            (from + 1..=from + 500).for_each(|micros| part.record(micros * 1000));
            all.add(&part);
        }
        let summary = all.summary().expect("samples");
        assert_eq!(summary.samples, 1000);
        let near = |value: f64, expected: f64| (value - expected).abs() <= expected * 0.002;
        assert!(
            near(summary.p50, 500.0) && near(summary.p99, 990.0),
            "{summary:?}"
        );
        assert!(
            near(summary.p99_9, 999.0) && near(summary.max, 1000.0),
            "{summary:?}"
        );
    }

    #[test]
    fn a_departure_is_known_until_its_place_is_needed_again() {
        let departures = Departures::new(4);
        (1..=4).for_each(|publish| departures.note(publish, publish * 10));
        assert_eq!(
            (1..=4).map(|publish| departures.of(publish)).max(),
            Some(40)
        );
        assert_eq!((departures.of(1), departures.of(3)), (10, 30));
        departures.note(5, 50);
        assert_eq!((departures.of(2), departures.of(5)), (20, 50));
    }

    #[test]
    fn no_samples_give_no_figures() {
        assert!(
            Latencies::new()
                .expect("constant bounds")
                .summary()
                .is_none()
        );
    }
}
