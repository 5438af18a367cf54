//! Large record buffers on their way from one use to the next, for all queues and connections
//! together.
//!
//! A buffer that goes back to the system is faulted in again page by page, which costs more than
//! filling it. A few are kept here; queues and connections themselves keep none.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::message::Records;

/// Memory of all buffers that are kept.
const SPARES_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Smaller buffers are cheap to allocate.
const SPARE_BYTES_MIN: usize = 32 * 1024;

/// Larger ones are rare: a chunk has 256 KiB, and deliveries for one connection little more, for
/// which their buffer doubles.
const SPARE_BYTES_MAX: usize = 512 * 1024;

static SPARES: Mutex<Spares> = Mutex::new(Spares {
    kept: Vec::new(),
    bytes: 0,
});

static BYTES_MAX: AtomicUsize = AtomicUsize::new(SPARES_BYTES_MAX);

/// Keeps no buffer from now on, in the whole process. A buffer may be larger than what was asked
/// for, so with spares what a queue does depends on what others did before: a simulation, which
/// must be repeatable, wants none.
pub fn keep_no_spares() {
    BYTES_MAX.store(0, Ordering::Relaxed);
    let mut spares = SPARES.lock();
    spares.kept.clear();
    spares.bytes = 0;
}

#[derive(Debug)]
struct Spares {
    kept: Vec<Records>,
    bytes: usize,
}

impl Spares {
    /// The one that was last in use, as some cache may still hold it.
    fn take(&mut self, bytes: usize) -> Option<Records> {
        let is_fitting = |records: &Records| records.capacity() >= bytes;
        let records = self.kept.remove(self.kept.iter().rposition(is_fitting)?);
        self.bytes -= records.capacity();
        Some(records)
    }

    /// Gives it back when there are enough.
    fn give(&mut self, records: Records) -> Option<Records> {
        if self.bytes + records.capacity() > BYTES_MAX.load(Ordering::Relaxed) {
            return Some(records);
        }
        self.bytes += records.capacity();
        self.kept.push(records);
        None
    }
}

/// An empty buffer for about `bytes`, a kept one if that is worth it.
pub(crate) fn take(bytes: usize) -> Records {
    let is_worth_it = (SPARE_BYTES_MIN..=SPARE_BYTES_MAX).contains(&bytes);
    let kept = is_worth_it.then(|| SPARES.lock().take(bytes)).flatten();
    kept.unwrap_or_else(|| Records::with_capacity(bytes))
}

/// Keeps a buffer for the next use, or frees it.
pub(crate) fn give(mut records: Records) {
    if (SPARE_BYTES_MIN..=SPARE_BYTES_MAX).contains(&records.capacity()) {
        records.clear();
        // Freed without the lock.
        let refused = SPARES.lock().give(records);
        drop(refused);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spare_is_empty_and_large_enough() {
        for bytes in [
            0,
            100,
            SPARE_BYTES_MIN,
            SPARE_BYTES_MAX,
            SPARE_BYTES_MAX * 2,
        ] {
            give(Records::with_capacity(bytes));
            let records = take(bytes);
            assert!(records.is_empty());
            assert!(records.capacity() >= bytes);
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut spares = Spares {
            kept: Vec::new(),
            bytes: 0,
        };
        for _ in 0..1_000 {
            spares.give(Records::with_capacity(SPARE_BYTES_MIN));
        }
        assert_eq!(spares.bytes, SPARES_BYTES_MAX);
        while let Some(records) = spares.take(SPARE_BYTES_MIN) {
            assert!(records.capacity() >= SPARE_BYTES_MIN);
        }
        assert_eq!((spares.bytes, spares.kept.len()), (0, 0));
    }
}
