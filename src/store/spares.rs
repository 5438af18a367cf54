//! Group buffers that were used before, so that a steady load does not allocate, given back to
//! the system when the load no longer needs them. Bounded in number and in the size of each.

use std::time::{Duration, Instant};

use super::group::{BLOCK_BYTES, GROUP_MAX_BYTES};
use super::writer::GROW_BYTES;

/// So many buffers are kept: what `pending_max_bytes` holds of the largest groups by default.
const SPARES_MAX: usize = 8;
/// The zeros that are written behind a group: up to a whole block, and where the file grows.
pub(super) const GROUP_TAIL_BYTES: usize = BLOCK_BYTES + GROW_BYTES as usize;
/// What the buffer of a group takes at most.
const SPARE_MAX_BYTES: usize = GROUP_MAX_BYTES + GROUP_TAIL_BYTES;
/// A buffer that was not used for so long, or is much larger than all groups of that time, is
/// given back.
const SPARE_IDLE: Duration = Duration::from_secs(5);
/// "Much larger": so many times, and more than this anyway.
const SPARE_EXCESS: usize = 4;
const SPARE_MIN_BYTES: usize = 256 << 10;

/// The buffers that wait to be used again.
#[derive(Debug)]
pub(super) struct Spares {
    buffers: Vec<Vec<u8>>,
    /// The fewest there were since `since`: so many are not needed.
    idle: usize,
    /// The largest group since then.
    largest: usize,
    since: Instant,
}

impl Spares {
    pub(super) fn new(now: Instant) -> Spares {
        Spares {
            buffers: Vec::with_capacity(SPARES_MAX),
            idle: 0,
            largest: 0,
            since: now,
        }
    }

    /// A buffer, used before if there is one.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let buffer = self.buffers.pop().unwrap_or_default();
        self.idle = self.idle.min(self.buffers.len());
        buffer
    }

    /// Takes the buffer of a group that was written. Returns what is not needed any more, to be
    /// dropped where nobody waits for it.
    pub(super) fn keep(&mut self, buffer: Vec<u8>, now: Instant) -> Vec<Vec<u8>> {
        self.largest = self.largest.max(buffer.len());
        if self.buffers.len() >= SPARES_MAX || buffer.capacity() > SPARE_MAX_BYTES {
            return vec![buffer];
        }
        self.buffers.push(buffer);
        self.trim(now)
    }

    /// How long to wait for work before [`trim`](Self::trim) has something to do; `None` if there
    /// is nothing to give back.
    pub(super) fn patience(&self) -> Option<Duration> {
        let is_large = |buffer: &Vec<u8>| buffer.capacity() > SPARE_MIN_BYTES;
        self.buffers.iter().any(is_large).then_some(SPARE_IDLE)
    }

    /// Hands out the buffers that nobody needed lately, or that are too large for what came.
    pub(super) fn trim(&mut self, now: Instant) -> Vec<Vec<u8>> {
        if now.duration_since(self.since) < SPARE_IDLE {
            return Vec::new();
        }
        let needed = (SPARE_EXCESS * self.largest).max(SPARE_MIN_BYTES);
        self.since = now;
        self.largest = 0;
        // The last one kept is the first one used.
        let mut excess: Vec<_> = self.buffers.drain(..self.idle).collect();
        excess.extend(
            self.buffers
                .extract_if(.., |buffer| buffer.capacity() > needed),
        );
        self.idle = self.buffers.len();
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
        spares.keep(Vec::new(), start);
        assert_eq!(spares.patience(), Some(SPARE_IDLE));
        // The large group itself came within this time.
        assert!(spares.trim(start + SPARE_IDLE).is_empty());
        assert!(
            spares
                .trim(start + SPARE_IDLE * 2 - Duration::from_millis(1))
                .is_empty()
        );
        assert_eq!(spares.trim(start + SPARE_IDLE * 2).len(), 2);
        assert_eq!(spares.patience(), None);
    }

    #[test]
    fn a_large_buffer_goes_while_small_groups_come() {
        let start = Instant::now();
        let mut spares = Spares::new(start);
        spares.keep(buffer(1 << 20), start);
        let mut given_back = 0;
        for seconds in 1..=10 {
            let mut used = spares.take();
            used.truncate(100);
            given_back += spares
                .keep(used, start + Duration::from_secs(seconds))
                .len();
        }
        assert_eq!(given_back, 1);
        assert_eq!(spares.take().capacity(), 0);
    }

    #[test]
    fn buffers_of_a_burst_go_when_fewer_are_enough() {
        let start = Instant::now();
        let mut spares = Spares::new(start);
        for _ in 0..4 {
            spares.keep(buffer(1 << 20), start);
        }
        let mut left = Vec::new();
        for seconds in 1..=20 {
            let used = [spares.take(), spares.take()];
            let now = start + Duration::from_secs(seconds);
            used.into_iter()
                .for_each(|buffer| left.append(&mut spares.keep(buffer, now)));
        }
        assert_eq!((left.len(), spares.buffers.len()), (2, 2));
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
