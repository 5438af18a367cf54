//! A channel's share of `basic.qos(global=true)`: how many deliveries of all its consumers may be
//! unacked at once.
//!
//! A queue reserves before it chooses a message, and releases when the delivery is settled or comes
//! back; the channel only sets the limit. A queue that found no credit leaves its name in the
//! connection's inbox and looks once more. Whoever makes room (the queue that releases, the channel
//! that raises its limit) afterwards takes the inbox's skipped queues and resumes them.

use std::sync::atomic::{AtomicU32, Ordering};

/// The deliveries a channel may still be given, shared by the queues it consumes from.
#[derive(Debug, Default)]
pub struct ChannelCredit {
    /// How many may be unacked; 0 means any number.
    limit: AtomicU32,
    used: AtomicU32,
}

impl ChannelCredit {
    /// Credit without a limit, none of it used.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes credit for one delivery; false when there is none.
    #[inline]
    pub fn try_reserve(&self) -> bool {
        self.try_reserve_many(1)
    }

    /// Takes credit for `count` deliveries, or for none of them.
    #[inline]
    pub fn try_reserve_many(&self, count: u32) -> bool {
        let limit = self.limit.load(Ordering::SeqCst);
        if limit == 0 {
            self.used.fetch_add(count, Ordering::SeqCst);
            return true;
        }
        self.used
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |used| {
                used.checked_add(count).filter(|&used| used <= limit)
            })
            .is_ok()
    }

    /// Gives back the credit of `count` deliveries that were settled or never encoded.
    pub fn release(&self, count: u32) {
        let before = self.used.fetch_sub(count, Ordering::SeqCst);
        debug_assert!(before >= count, "credit released that nobody had");
    }

    /// Whether one more delivery would be let through now.
    #[inline]
    pub fn is_ready(&self) -> bool {
        let limit = self.limit.load(Ordering::SeqCst);
        limit == 0 || self.used.load(Ordering::SeqCst) < limit
    }

    /// Changes the limit (0 lifts it); what is used already stays used.
    pub fn set_limit(&self, limit: u32) {
        self.limit.store(limit, Ordering::SeqCst);
    }

    /// The limit, 0 for none.
    pub fn limit(&self) -> u32 {
        self.limit.load(Ordering::SeqCst)
    }

    /// How many deliveries are unacked.
    pub fn used(&self) -> u32 {
        self.used.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_limit_everything_is_granted_and_counted() {
        let credit = ChannelCredit::new();
        assert!((0..100).all(|_| credit.try_reserve()));
        assert_eq!(credit.used(), 100);
        assert!(credit.is_ready());
    }

    #[test]
    fn the_limit_is_granted_and_not_one_more() {
        let credit = ChannelCredit::new();
        credit.set_limit(3);
        assert!(credit.try_reserve());
        assert!(credit.try_reserve());
        assert!(credit.is_ready());
        assert!(credit.try_reserve());
        assert!(!credit.is_ready());
        assert!(!credit.try_reserve());
        credit.release(1);
        assert!(credit.try_reserve());
    }

    #[test]
    fn many_are_granted_whole_or_not_at_all() {
        let credit = ChannelCredit::new();
        credit.set_limit(10);
        assert!(credit.try_reserve_many(8));
        assert!(!credit.try_reserve_many(3));
        assert_eq!(credit.used(), 8);
        assert!(credit.try_reserve_many(2));
        assert!(!credit.try_reserve_many(u32::MAX));
    }

    #[test]
    fn a_lowered_limit_waits_until_enough_was_released() {
        let credit = ChannelCredit::new();
        credit.set_limit(5);
        assert!(credit.try_reserve_many(5));
        credit.set_limit(2);
        credit.release(3);
        assert!(!credit.try_reserve());
        credit.release(1);
        assert!(credit.try_reserve());
        credit.set_limit(0);
        assert!(credit.try_reserve());
    }

    #[test]
    fn threads_together_never_exceed_the_limit() {
        let credit = ChannelCredit::new();
        credit.set_limit(50);
        let granted: u32 = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..100).filter(|_| credit.try_reserve()).count() as u32))
                .collect();
            takers.into_iter().map(|taker| taker.join().unwrap()).sum()
        });
        assert_eq!(granted, 50);
        assert_eq!(credit.used(), 50);
    }
}
