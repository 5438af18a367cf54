//! How much memory the messages of all queues may take before they go to disk.

use std::sync::atomic::{AtomicUsize, Ordering};

/// What each queue with consumers may have beside the rest: what is about to be delivered.
pub const CONSUMED_BYTES: usize = 1024 * 1024;

/// The memory that queues share. Each reports what it has; whoever finds it exceeded sends what it
/// does not need soon to disk.
#[derive(Debug)]
pub struct Budget {
    resident: AtomicUsize,
    consumed: AtomicUsize,
    limit: AtomicUsize,
}

impl Budget {
    /// A budget of `limit` bytes, and [`CONSUMED_BYTES`] for each queue that has consumers.
    pub fn new(limit: usize) -> Budget {
        Budget {
            resident: AtomicUsize::new(0),
            consumed: AtomicUsize::new(0),
            limit: AtomicUsize::new(limit),
        }
    }

    /// Bytes of messages in memory.
    pub fn resident(&self) -> usize {
        self.resident.load(Ordering::Relaxed)
    }

    /// Bytes that may be.
    pub fn limit(&self) -> usize {
        let consumed = self.consumed.load(Ordering::Relaxed);
        self.limit
            .load(Ordering::Relaxed)
            .saturating_add(consumed.saturating_mul(CONSUMED_BYTES))
    }

    /// Whether messages should go to disk.
    #[inline]
    pub fn is_exceeded(&self) -> bool {
        self.resident() > self.limit()
    }

    fn count_consumed(&self, is_consumed: bool) {
        match is_consumed {
            true => self.consumed.fetch_add(1, Ordering::Relaxed),
            false => self.consumed.fetch_sub(1, Ordering::Relaxed),
        };
    }

    fn count_bytes(&self, before: usize, now: usize) {
        // Wraps below zero and back: only the sum of all reports counts.
        self.resident
            .fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
    }
}

/// What one queue has reported; taken back when the queue goes.
#[derive(Debug, Default)]
pub(super) struct Share {
    budget: Option<std::sync::Arc<Budget>>,
    bytes: usize,
    is_consumed: bool,
}

impl Share {
    pub(super) fn new(budget: Option<std::sync::Arc<Budget>>) -> Share {
        Share {
            budget,
            ..Share::default()
        }
    }

    /// Says how much the queue has now. Whether there is too much of all.
    #[inline]
    pub(super) fn report(&mut self, bytes: usize, is_consumed: bool) -> bool {
        let Some(budget) = &self.budget else {
            return false;
        };
        if bytes != self.bytes {
            budget.count_bytes(self.bytes, bytes);
            self.bytes = bytes;
        }
        if is_consumed != self.is_consumed {
            budget.count_consumed(is_consumed);
            self.is_consumed = is_consumed;
        }
        budget.is_exceeded()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.report(0, false);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_budget_is_exceeded_one_byte_above_its_limit() {
        let budget = Arc::new(Budget::new(100));
        let mut share = Share::new(Some(Arc::clone(&budget)));
        assert!(!share.report(99, false));
        assert!(!share.report(100, false));
        assert!(share.report(101, false));
        assert!(!share.report(101, true), "a consumed queue may have more");
        assert!(!share.report(100 + CONSUMED_BYTES, true));
        assert!(share.report(101 + CONSUMED_BYTES, true));
    }

    #[test]
    fn a_queue_that_goes_takes_its_report_with_it() {
        let budget = Arc::new(Budget::new(100));
        let mut kept = Share::new(Some(Arc::clone(&budget)));
        kept.report(7, true);
        let mut gone = Share::new(Some(Arc::clone(&budget)));
        gone.report(1000, true);
        drop(gone);
        assert_eq!(budget.resident(), 7);
        assert_eq!(budget.limit(), 100 + CONSUMED_BYTES);
    }
}
