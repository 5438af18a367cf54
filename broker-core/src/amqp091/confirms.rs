//! Publisher confirms of one channel: numbers in, acks and nacks out, in order.
//!
//! Each publish gets the next number and waits for as many queues as it was routed to. The front
//! leaves as soon as it is complete: neighbours with the same outcome as one frame with `multiple`.

use std::collections::VecDeque;

/// The publish was refused by one of its queues.
const REFUSED: u16 = 0x8000;

/// Bits of a publish number that count; those above name the channel's incarnation, so that a
/// late answer to a channel that is closed never counts for the next one with its number.
const NUMBER_BITS: u32 = 44;

/// Confirms a channel owes.
#[derive(Debug, Default)]
pub(super) struct Confirms {
    /// Queues still to answer for each publish from `first` on, with [`REFUSED`] mixed in.
    waiting: VecDeque<u16>,
    /// The front's number on the wire, less one.
    first: u64,
    incarnation: u64,
}

/// Publishes up to and including `tag` are done; they are those after the last `Outcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The delivery-tag for basic.ack or basic.nack.
    pub tag: u64,
    /// Whether it speaks for more than one publish.
    pub multiple: bool,
    /// basic.ack, or basic.nack.
    pub accepted: bool,
}

impl Confirms {
    /// No publish yet, on the channel's `incarnation` (any number that its predecessors under the
    /// same channel number did not have).
    pub(super) fn new(incarnation: u32) -> Confirms {
        Confirms {
            incarnation: u64::from(incarnation) << NUMBER_BITS,
            ..Confirms::default()
        }
    }

    /// Gives the next publish its number; it waits for `queues` answers (none: nothing to wait
    /// for, it was unroutable or is accepted already).
    #[inline]
    pub(super) fn publish(&mut self, queues: u16) -> u64 {
        debug_assert!(queues < REFUSED);
        self.waiting.push_back(queues.min(REFUSED - 1));
        self.incarnation | (self.first + self.waiting.len() as u64)
    }

    /// A queue took the publishes `first..first + count`.
    pub(super) fn taken(&mut self, first: u64, count: u32) {
        let Some(start) = self.index(first) else {
            return;
        };
        for waiting in self.waiting.iter_mut().skip(start).take(count as usize) {
            if *waiting & !REFUSED != 0 {
                *waiting -= 1;
            }
        }
    }

    /// A queue refused this publish; [`Self::taken`], which counts it as answered, comes after.
    pub(super) fn refused(&mut self, number: u64) {
        let index = self.index(number);
        if let Some(waiting) = index.and_then(|index| self.waiting.get_mut(index)) {
            *waiting |= REFUSED;
        }
    }

    fn index(&self, number: u64) -> Option<usize> {
        let relative = number.checked_sub(self.incarnation + self.first + 1)?;
        (relative >> NUMBER_BITS == 0).then_some(relative as usize)
    }

    /// How many publishes are not confirmed yet.
    pub(super) fn unconfirmed(&self) -> usize {
        self.waiting.len()
    }

    /// The next frame to send: the longest run of finished publishes with one outcome.
    pub(super) fn next_outcome(&mut self) -> Option<Outcome> {
        let outcome = *self.waiting.front()?;
        if outcome & !REFUSED != 0 {
            return None;
        }
        let mut count = 0;
        while self.waiting.front() == Some(&outcome) {
            self.waiting.pop_front();
            count += 1;
        }
        self.first += count;
        if self.waiting.is_empty() && self.waiting.capacity() > 4096 {
            self.waiting = VecDeque::new();
        }
        Some(Outcome {
            tag: self.first,
            multiple: count > 1,
            accepted: outcome == 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(confirms: &mut Confirms) -> Vec<(u64, bool, bool)> {
        std::iter::from_fn(|| confirms.next_outcome())
            .map(|o| (o.tag, o.multiple, o.accepted))
            .collect()
    }

    #[test]
    fn numbers_begin_at_one_and_neighbours_share_a_frame() {
        let mut confirms = Confirms::default();
        assert_eq!(
            [
                confirms.publish(1),
                confirms.publish(1),
                confirms.publish(2)
            ],
            [1, 2, 3]
        );
        confirms.taken(1, 3);
        assert_eq!(outcomes(&mut confirms), [(2, true, true)]);
        confirms.taken(3, 1);
        assert_eq!(outcomes(&mut confirms), [(3, false, true)]);
        assert_eq!(confirms.unconfirmed(), 0);
    }

    #[test]
    fn one_refusing_queue_makes_a_nack() {
        let mut confirms = Confirms::default();
        for queues in [1, 2, 0] {
            confirms.publish(queues);
        }
        confirms.taken(1, 2);
        confirms.refused(2);
        confirms.taken(2, 1);
        assert_eq!(
            outcomes(&mut confirms),
            [(1, false, true), (2, false, false), (3, false, true)]
        );
    }

    #[test]
    fn answers_to_an_earlier_incarnation_do_not_count() {
        let mut old = Confirms::new(1);
        let mut new = Confirms::new(2);
        let (stale, fresh) = (old.publish(1), new.publish(1));
        new.refused(stale);
        new.taken(stale, 1);
        assert_eq!(outcomes(&mut new), []);
        new.taken(fresh, 1);
        assert_eq!(outcomes(&mut new), [(1, false, true)]);
    }

    #[test]
    fn a_later_publish_waits_for_an_earlier_one() {
        let mut confirms = Confirms::default();
        confirms.publish(1);
        confirms.publish(1);
        confirms.taken(2, 1);
        assert_eq!(outcomes(&mut confirms), []);
        confirms.taken(1, 1);
        assert_eq!(outcomes(&mut confirms), [(2, true, true)]);
    }
}
