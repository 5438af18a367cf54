//! The deliveries of one channel that its client has not settled, by delivery tag.

use std::collections::VecDeque;

/// An index into the channel's table of queues it has deliveries from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Source(pub u32);

const SETTLED: u32 = u32::MAX;

/// One delivery that awaits its ack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    /// The delivery tag.
    pub tag: u64,
    /// The message's place in its queue.
    pub ordinal: u64,
    /// The queue.
    pub source: Source,
}

/// Unsettled deliveries in the order of their tags.
///
/// Settled ones in the middle stay as tombstones until those before them are settled, or until
/// half of the entries are tombstones.
#[derive(Debug, Default)]
pub(super) struct Unacked {
    entries: VecDeque<Delivery>,
    settled: usize,
}

impl Unacked {
    /// How many deliveries are unsettled.
    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.settled
    }

    /// A delivery was sent; tags must ascend.
    #[inline]
    pub(super) fn push(&mut self, delivery: Delivery) {
        debug_assert!(
            self.entries
                .back()
                .is_none_or(|last| last.tag < delivery.tag)
        );
        self.entries.push_back(delivery);
    }

    /// Settles one tag. None if it is unknown or settled already.
    #[inline]
    pub(super) fn settle(&mut self, tag: u64) -> Option<Delivery> {
        if self.entries.front().is_some_and(|first| first.tag == tag) {
            let delivery = self.entries.pop_front();
            self.trim();
            return delivery;
        }
        let index = self
            .entries
            .binary_search_by_key(&tag, |entry| entry.tag)
            .ok()?;
        let entry = &mut self.entries[index];
        if entry.source.0 == SETTLED {
            return None;
        }
        let delivery = *entry;
        entry.source = Source(SETTLED);
        self.settled += 1;
        self.compact();
        Some(delivery)
    }

    /// Settles all up to and including `tag` (0: all), oldest first. False if `tag` is neither 0
    /// nor an unsettled delivery: then nothing was settled.
    pub(super) fn settle_up_to(&mut self, tag: u64, mut settled: impl FnMut(Delivery)) -> bool {
        if tag != 0 && !self.contains(tag) {
            return false;
        }
        while let Some(entry) = self.entries.front() {
            if tag != 0 && entry.tag > tag {
                break;
            }
            if entry.source.0 == SETTLED {
                self.settled -= 1;
            } else {
                settled(*entry);
            }
            self.entries.pop_front();
        }
        self.trim();
        true
    }

    /// Takes settlements back (a transaction was rolled back).
    pub(super) fn restore(&mut self, deliveries: impl IntoIterator<Item = Delivery>) {
        let mut all: Vec<Delivery> = self
            .entries
            .drain(..)
            .filter(|entry| entry.source.0 != SETTLED)
            .collect();
        all.extend(deliveries);
        all.sort_unstable_by_key(|entry| entry.tag);
        self.entries = all.into();
        self.settled = 0;
    }

    fn contains(&self, tag: u64) -> bool {
        self.entries
            .binary_search_by_key(&tag, |entry| entry.tag)
            .is_ok_and(|index| self.entries[index].source.0 != SETTLED)
    }

    fn trim(&mut self) {
        while self
            .entries
            .front()
            .is_some_and(|first| first.source.0 == SETTLED)
        {
            self.entries.pop_front();
            self.settled -= 1;
        }
        if self.entries.is_empty() && self.entries.capacity() > 1024 {
            self.entries = VecDeque::new();
        }
    }

    fn compact(&mut self) {
        if self.settled > 64 && self.settled * 2 > self.entries.len() {
            self.entries.retain(|entry| entry.source.0 != SETTLED);
            self.settled = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(tags: impl IntoIterator<Item = u64>) -> Unacked {
        let mut unacked = Unacked::default();
        for tag in tags {
            unacked.push(Delivery {
                tag,
                ordinal: tag * 10,
                source: Source(0),
            });
        }
        unacked
    }

    fn up_to(unacked: &mut Unacked, tag: u64) -> Option<Vec<u64>> {
        let mut tags = Vec::new();
        unacked
            .settle_up_to(tag, |delivery| tags.push(delivery.tag))
            .then_some(tags)
    }

    #[test]
    fn a_tag_settles_once() {
        let mut unacked = filled([1, 2, 5]);
        assert_eq!(unacked.settle(2).map(|d| d.ordinal), Some(20));
        assert_eq!(unacked.settle(2), None);
        assert_eq!(unacked.settle(4), None);
        assert_eq!(unacked.settle(1).map(|d| d.ordinal), Some(10));
        assert_eq!(unacked.len(), 1);
    }

    #[test]
    fn multiple_skips_what_is_settled_and_refuses_an_unknown_tag() {
        let mut unacked = filled(1..=6);
        unacked.settle(2);
        assert_eq!(up_to(&mut unacked, 4), Some(vec![1, 3, 4]));
        assert_eq!(up_to(&mut unacked, 4), None);
        assert_eq!(up_to(&mut unacked, 7), None);
        assert_eq!(up_to(&mut unacked, 0), Some(vec![5, 6]));
        assert_eq!(up_to(&mut unacked, 0), Some(vec![]));
        assert_eq!(unacked.len(), 0);
    }

    #[test]
    fn restored_deliveries_stand_in_their_old_order() {
        let mut unacked = filled(1..=4);
        let taken: Vec<_> = [3, 1]
            .into_iter()
            .filter_map(|tag| unacked.settle(tag))
            .collect();
        unacked.restore(taken);
        assert_eq!(up_to(&mut unacked, 0), Some(vec![1, 2, 3, 4]));
    }

    #[test]
    fn tombstones_do_not_pile_up_behind_an_old_delivery() {
        let mut unacked = filled(1..=10_000);
        for tag in 2..=9_999 {
            unacked.settle(tag);
        }
        assert!(
            unacked.entries.len() < 200,
            "{} entries",
            unacked.entries.len()
        );
        assert_eq!(up_to(&mut unacked, 0), Some(vec![1, 10_000]));
    }
}
