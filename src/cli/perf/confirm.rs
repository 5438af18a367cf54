//! Which published messages the broker has settled, by publish number.
//! Owns the exactness of that account: a number confirmed twice or never published is an error,
//! so the load generator also checks the broker. Never counts time and never reads a socket.

use super::error::PerfError;

/// The account of one channel in confirm mode.
///
/// Everything up to `settled_to` is settled; of what lies above, one bit each says so.
pub(super) struct Confirms {
    settled_to: u64,
    above: Vec<u64>,
    above_count: u64,
}

impl Confirms {
    /// An account for at most `window` unsettled publishes, which may lie `SPREAD` windows apart.
    pub(super) fn new(window: u64) -> Self {
        let words = (window.saturating_mul(SPREAD) / 64 + 2).next_power_of_two();
        Confirms {
            settled_to: 0,
            above: vec![0; words as usize],
            above_count: 0,
        }
    }

    /// Books one basic.ack or basic.nack; `published` is the highest number sent so far.
    /// Returns how many publishes it settled.
    pub(super) fn settle(
        &mut self,
        tag: u64,
        multiple: bool,
        published: u64,
    ) -> Result<u64, PerfError> {
        self.settle_each(tag, multiple, published, |_| {})
    }

    /// Books like `settle` and names each publish that it settles.
    pub(super) fn settle_each(
        &mut self,
        tag: u64,
        multiple: bool,
        published: u64,
        settled: impl FnMut(u64),
    ) -> Result<u64, PerfError> {
        // 4.2.1 of the specification: tag zero with `multiple` means all outstanding ones.
        let tag = if multiple && tag == 0 { published } else { tag };
        if tag > published {
            return Err(wrong(tag, "which was never published"));
        }
        if tag <= self.settled_to || (!multiple && self.is_set(tag)) {
            return Err(wrong(tag, "which was settled before"));
        }
        if published - self.settled_to > self.reach() {
            return Err(wrong(tag, "long after one that is still unsettled"));
        }
        let newly = if multiple {
            self.settle_to(tag, settled)
        } else {
            self.settle_one(tag, settled)
        };
        Ok(newly)
    }

    /// How far the newest publish may lie above the oldest unsettled one.
    pub(super) fn reach(&self) -> u64 {
        self.above.len() as u64 * 64
    }

    fn settle_one(&mut self, tag: u64, mut settled: impl FnMut(u64)) -> u64 {
        settled(tag);
        self.flip(tag);
        self.above_count += 1;
        self.advance();
        1
    }

    fn settle_to(&mut self, tag: u64, mut settled: impl FnMut(u64)) -> u64 {
        let mut newly = tag - self.settled_to;
        if self.above_count == 0 {
            (self.settled_to + 1..=tag).for_each(settled);
            self.settled_to = tag;
            return newly;
        }
        for earlier in self.settled_to + 1..=tag {
            if self.is_set(earlier) {
                self.flip(earlier);
                self.above_count -= 1;
                newly -= 1;
            } else {
                settled(earlier);
            }
        }
        self.settled_to = tag;
        self.advance();
        newly
    }

    /// Moves the lower edge over what was settled out of order.
    fn advance(&mut self) {
        while self.above_count > 0 && self.is_set(self.settled_to + 1) {
            self.settled_to += 1;
            self.flip(self.settled_to);
            self.above_count -= 1;
        }
    }

    fn is_set(&self, tag: u64) -> bool {
        let (word, bit) = self.place(tag);
        self.above[word] & bit != 0
    }

    fn flip(&mut self, tag: u64) {
        let (word, bit) = self.place(tag);
        self.above[word] ^= bit;
    }

    fn place(&self, tag: u64) -> (usize, u64) {
        let word = (tag / 64) as usize & (self.above.len() - 1);
        (word, 1 << (tag % 64))
    }
}

/// A broker may confirm out of order, but one that never comes back to a publish is broken.
const SPREAD: u64 = 16;

fn wrong(tag: u64, what: &str) -> PerfError {
    PerfError::Protocol(format!("a confirm for publish {tag}, {what}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn single_acks_in_order_settle_one_each() {
        let mut confirms = Confirms::new(4);
        for tag in 1..=1000 {
            assert_eq!(confirms.settle(tag, false, tag + 2).expect("valid"), 1);
        }
    }

    #[test]
    fn multiple_settles_everything_up_to_its_tag() {
        let mut confirms = Confirms::new(100);
        assert_eq!(confirms.settle(60, true, 100).expect("valid"), 60);
        assert_eq!(confirms.settle(100, true, 100).expect("valid"), 40);
    }

    #[test]
    fn multiple_does_not_count_what_was_acked_alone() {
        let mut confirms = Confirms::new(10);
        assert_eq!(confirms.settle(3, false, 10).expect("valid"), 1);
        assert_eq!(confirms.settle(7, false, 10).expect("valid"), 1);
        assert_eq!(confirms.settle(5, true, 10).expect("valid"), 4);
        assert_eq!(confirms.settle(6, false, 10).expect("valid"), 1);
        assert_eq!(confirms.settle(10, true, 10).expect("valid"), 3);
    }

    #[test]
    fn each_publish_is_named_once_when_it_is_settled() {
        let mut confirms = Confirms::new(10);
        let mut named = Vec::new();
        for (tag, multiple) in [(3, false), (7, false), (5, true), (6, false), (0, true)] {
            let settled = confirms.settle_each(tag, multiple, 9, |publish| named.push(publish));
            settled.expect("valid");
        }
        assert_eq!(named, [3, 7, 1, 2, 4, 5, 6, 8, 9]);
    }

    #[test]
    fn tag_zero_with_multiple_settles_all_outstanding() {
        let mut confirms = Confirms::new(10);
        assert_eq!(confirms.settle(2, false, 6).expect("valid"), 1);
        assert_eq!(confirms.settle(0, true, 6).expect("valid"), 5);
        assert!(
            confirms.settle(0, true, 6).is_err(),
            "nothing is outstanding any more"
        );
    }

    #[test]
    fn a_tag_settled_twice_is_an_error() {
        let mut confirms = Confirms::new(10);
        confirms.settle(4, false, 10).expect("valid");
        assert!(confirms.settle(4, false, 10).is_err());
        confirms.settle(5, true, 10).expect("valid");
        assert!(confirms.settle(5, false, 10).is_err());
        assert!(confirms.settle(3, true, 10).is_err());
        assert!(
            confirms.settle(0, false, 10).is_err(),
            "tag zero alone names no publish"
        );
    }

    #[test]
    fn a_tag_beyond_what_was_published_is_an_error() {
        let mut confirms = Confirms::new(10);
        assert_eq!(confirms.settle(10, false, 10).expect("valid"), 1);
        assert!(confirms.settle(11, false, 10).is_err());
        assert!(confirms.settle(11, true, 10).is_err());
    }

    #[test]
    fn a_publish_left_behind_for_too_long_is_an_error() {
        let mut confirms = Confirms::new(64);
        let limit = 18 * 64;
        for tag in 2..=limit {
            let published = (tag + 62).min(limit);
            let settled = confirms.settle(tag, false, published);
            if settled.is_err() {
                assert!(tag > SPREAD * 64 - 64, "already at {tag}");
            }
        }
        let late = confirms.settle(2048 + 1, false, 2048 + 1);
        assert!(late.is_err(), "publish 1 was left behind");
    }

    #[test]
    fn any_mixed_order_agrees_with_a_plain_set() {
        let (window, mut published) = (200, 0);
        let mut confirms = Confirms::new(window);
        let mut unsettled = BTreeSet::new();
        let mut state = 7u64;
        let mut random = move |below: u64| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 33) % below
        };
        for _ in 0..20_000 {
            let lowest = unsettled.first().copied().unwrap_or(published + 1);
            while published < lowest + window - 1 && random(3) > 0 {
                published += 1;
                unsettled.insert(published);
            }
            let Some(&tag) = unsettled
                .iter()
                .nth(random(window) as usize % unsettled.len().max(1))
            else {
                continue;
            };
            let multiple = random(4) == 0;
            let before = unsettled.len();
            if multiple {
                unsettled.retain(|&later| later > tag);
            } else {
                unsettled.remove(&tag);
            }
            let newly = confirms.settle(tag, multiple, published).expect("valid");
            assert_eq!(newly, (before - unsettled.len()) as u64);
        }
    }
}
