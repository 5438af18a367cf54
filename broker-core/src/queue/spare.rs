//! Large record buffers on their way from one use to the next, for all queues together.
//!
//! A buffer of 256 KiB that goes back to the system is faulted in again page by page, which costs
//! more than filling it. A few are kept here; queues themselves keep none.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::message::Records;

/// So many buffers are kept: 4 MiB at most.
const SPARES_MAX: usize = 8;

/// Smaller buffers are cheap to allocate.
const SPARE_BYTES_MIN: usize = 32 * 1024;

/// Larger ones are rare: a chunk has 256 KiB, and deliveries for one connection little more, for
/// which their buffer doubles.
const SPARE_BYTES_MAX: usize = 512 * 1024;

static SPARES: Mutex<Vec<Records>> = Mutex::new(Vec::new());
static KEPT: AtomicUsize = AtomicUsize::new(SPARES_MAX);

/// Keeps no buffer from now on, in the whole process. A buffer may be larger than what was asked
/// for, so with spares what a queue does depends on what others did before: a simulation, which
/// must be repeatable, wants none.
pub fn keep_no_spares() {
    KEPT.store(0, Ordering::Relaxed);
    SPARES.lock().clear();
}

/// An empty buffer for about `bytes`, a kept one if that is worth it.
pub(super) fn take(bytes: usize) -> Records {
    if (SPARE_BYTES_MIN..=SPARE_BYTES_MAX).contains(&bytes) {
        let mut spares = SPARES.lock();
        let fitting = spares
            .iter()
            .position(|records| records.capacity() >= bytes);
        if let Some(index) = fitting {
            return spares.swap_remove(index);
        }
    }
    Records::with_capacity(bytes)
}

/// Keeps a buffer for the next use, or frees it.
pub(super) fn give(mut records: Records) {
    if (SPARE_BYTES_MIN..=SPARE_BYTES_MAX).contains(&records.capacity()) {
        records.clear();
        let mut spares = SPARES.lock();
        if spares.len() < KEPT.load(Ordering::Relaxed) {
            spares.push(records);
        }
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
}
