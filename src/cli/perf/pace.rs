//! When the n-th message of a paced publisher is due.
//! Owns exact integer arithmetic from one start time, so that a late wake-up is made up for and
//! never shifts the later messages; never sleeps and never reads a clock.

use std::time::Duration;

/// A fixed number of messages per second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    per_second: u64,
}

impl Pace {
    /// A pace of `per_second` messages; none for zero.
    pub(super) fn new(per_second: u64) -> Option<Self> {
        (per_second > 0).then_some(Pace { per_second })
    }

    /// How many messages are due at `elapsed`; the first one is due at once.
    pub(super) fn due(self, elapsed: Duration) -> u64 {
        let scaled = elapsed.as_nanos() * u128::from(self.per_second);
        (scaled / NANOS_PER_SECOND + 1) as u64
    }

    /// When message `index` (from zero) is due, in nanoseconds from the start, rounded up.
    pub(super) fn due_at_nanos(self, index: u64) -> u64 {
        let scaled = u128::from(index) * NANOS_PER_SECOND;
        scaled.div_ceil(u128::from(self.per_second)) as u64
    }

    /// How long until message `index` is due; zero when it is.
    pub(super) fn wait(self, index: u64, elapsed: Duration) -> Duration {
        Duration::from_nanos(self.due_at_nanos(index)).saturating_sub(elapsed)
    }
}

const NANOS_PER_SECOND: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(per_second: u64) -> Pace {
        Pace::new(per_second).expect("not zero")
    }

    #[test]
    fn zero_is_no_pace() {
        assert!(Pace::new(0).is_none());
    }

    #[test]
    fn the_first_message_is_due_at_once_and_the_others_evenly() {
        let pace = pace(1000);
        assert_eq!(pace.due(Duration::ZERO), 1);
        assert_eq!(pace.due(Duration::from_micros(999)), 1);
        assert_eq!(pace.due(Duration::from_micros(1000)), 2);
        assert_eq!(pace.due(Duration::from_secs(10)), 10_001);
    }

    #[test]
    fn a_message_is_due_exactly_when_its_time_has_come() {
        for rate in [1, 3, 7, 999, 10_000, 300_007, 20_000_000] {
            let pace = pace(rate);
            for index in [0, 1, 2, 10, 12_345, 1_000_000_007] {
                let at = Duration::from_nanos(pace.due_at_nanos(index));
                assert_eq!(pace.wait(index, at), Duration::ZERO);
                assert!(pace.due(at) > index, "message {index} at {rate}/s");
                if index > 0 {
                    let before = at - Duration::from_nanos(1);
                    assert!(pace.due(before) <= index, "message {index} at {rate}/s");
                    assert_eq!(pace.wait(index, before), Duration::from_nanos(1));
                }
            }
        }
    }

    #[test]
    fn a_late_start_owes_all_messages_of_the_gap() {
        let pace = pace(10_000);
        assert_eq!(
            pace.due(Duration::from_millis(250)) - pace.due(Duration::ZERO),
            2500
        );
    }

    #[test]
    fn long_runs_do_not_overflow() {
        let pace = pace(20_000_000);
        let day = Duration::from_secs(86_400);
        assert_eq!(pace.due(day), 20_000_000 * 86_400 + 1);
        assert_eq!(
            pace.due_at_nanos(20_000_000 * 86_400),
            86_400 * 1_000_000_000
        );
    }
}
