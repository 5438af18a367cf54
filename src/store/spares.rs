//! Group buffers that were used before, so that a steady load does not allocate, given back to
//! the system when the load no longer needs them. Bounded in number and in the size of each.

use std::time::{Duration, Instant};

use super::group::GROUP_MAX_BYTES;

/// One buffer is being written while another fills, and a third may wait behind it.
const SPARES_MAX: usize = 2;
/// What a group takes at most with the zeros that are written behind it.
const SPARE_MAX_BYTES: usize = GROUP_MAX_BYTES + (1 << 20);
/// A buffer that is much larger than all groups of this long is given back.
const SPARE_IDLE: Duration = Duration::from_secs(5);
/// "Much larger": so many times, and more than this anyway.
const SPARE_EXCESS: usize = 4;
const SPARE_MIN_BYTES: usize = 256 << 10;

/// The buffers that wait to be used again.
#[derive(Debug)]
pub(super) struct Spares {
    buffers: Vec<Vec<u8>>,
    /// The largest group since `since`.
    largest: usize,
    since: Instant,
}

impl Spares {
    pub(super) fn new(now: Instant) -> Spares {
        Spares {
            buffers: Vec::with_capacity(SPARES_MAX),
            largest: 0,
            since: now,
        }
    }

    /// A buffer, used before if there is one.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_default()
    }

    /// Takes the buffer of a group that was written. Returns what is not needed any more, to be
    /// dropped where nobody waits for it.
    pub(super) fn keep(&mut self, buffer: Vec<u8>, now: Instant) -> Vec<Vec<u8>> {
        self.largest = self.largest.max(buffer.len());
        let mut excess = self.trim(now);
        if self.buffers.len() < SPARES_MAX && buffer.capacity() <= SPARE_MAX_BYTES {
            self.buffers.push(buffer);
        } else {
            excess.push(buffer);
        }
        excess
    }

    /// How long to wait for work before [`trim`](Self::trim) has something to do; `None` if there
    /// is nothing to give back.
    pub(super) fn patience(&self) -> Option<Duration> {
        let is_large = |buffer: &Vec<u8>| buffer.capacity() > SPARE_MIN_BYTES;
        self.buffers.iter().any(is_large).then_some(SPARE_IDLE)
    }

    /// Hands out the buffers that are too large for what came lately.
    pub(super) fn trim(&mut self, now: Instant) -> Vec<Vec<u8>> {
        if now.duration_since(self.since) < SPARE_IDLE {
            return Vec::new();
        }
        let needed = (SPARE_EXCESS * self.largest).max(SPARE_MIN_BYTES);
        self.since = now;
        self.largest = 0;
        let (excess, kept) = self
            .buffers
            .drain(..)
            .partition(|buffer| buffer.capacity() > needed);
        self.buffers = kept;
        excess
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(bytes: usize) -> Vec<u8> {
        let mut buffer = Vec::new();
        buffer.reserve_exact(bytes);
        buffer.resize(bytes, 0);
        buffer
    }

    #[test]
    fn a_buffer_of_the_largest_group_is_used_again() {
        let now = Instant::now();
        let mut spares = Spares::new(now);
        assert!(spares.keep(buffer(SPARE_MAX_BYTES), now).is_empty());
        assert_eq!(spares.take().capacity(), SPARE_MAX_BYTES);
        assert_eq!(spares.take().capacity(), 0);
    }

    #[test]
    fn a_larger_buffer_and_one_too_many_are_not_kept() {
        let now = Instant::now();
        let mut spares = Spares::new(now);
        assert_eq!(spares.keep(buffer(SPARE_MAX_BYTES + 1), now).len(), 1);
        for _ in 0..SPARES_MAX {
            assert!(spares.keep(buffer(64), now).is_empty());
        }
        assert_eq!(spares.keep(buffer(64), now).len(), 1);
    }

    #[test]
    fn large_buffers_go_when_only_small_groups_came_for_a_while() {
        let start = Instant::now();
        let mut spares = Spares::new(start);
        spares.keep(buffer(1 << 20), start);
        assert_eq!(spares.patience(), Some(SPARE_IDLE));
        // The large group itself came within this time.
        assert!(spares.trim(start + SPARE_IDLE).is_empty());
        assert!(
            spares
                .trim(start + SPARE_IDLE * 2 - Duration::from_millis(1))
                .is_empty()
        );
        assert_eq!(spares.trim(start + SPARE_IDLE * 2).len(), 1);
        assert_eq!(spares.patience(), None);
    }

    #[test]
    fn buffers_of_a_steady_load_stay() {
        let start = Instant::now();
        let mut spares = Spares::new(start);
        for seconds in 0..60 {
            let buffer = spares.take();
            let mut buffer = if buffer.capacity() == 0 {
                self::buffer(1 << 20)
            } else {
                buffer
            };
            buffer.resize(1 << 20, 0);
            assert!(
                spares
                    .keep(buffer, start + Duration::from_secs(seconds))
                    .is_empty()
            );
        }
    }
}
