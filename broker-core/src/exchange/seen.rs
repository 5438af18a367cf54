//! Which small values were met already: a list while they are few, a set when they are many.

use std::hash::Hash;

use rustc_hash::FxHashSet;
use smallvec::SmallVec;

/// Up to here comparing with each value is faster than hashing.
const LIST_MAX: usize = 16;

/// A set that costs no allocation while it is small.
#[derive(Debug)]
pub(crate) struct Seen<T> {
    list: SmallVec<[T; LIST_MAX]>,
    set: FxHashSet<T>,
}

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Seen {
            list: SmallVec::new(),
            set: FxHashSet::default(),
        }
    }
}

impl<T: Copy + Eq + Hash> Seen<T> {
    /// True the first time.
    #[inline]
    pub(crate) fn insert(&mut self, value: T) -> bool {
        if !self.set.is_empty() {
            return self.set.insert(value);
        }
        if self.list.contains(&value) {
            return false;
        }
        if self.list.len() < LIST_MAX {
            self.list.push(value);
        } else {
            self.set.extend(self.list.drain(..));
            self.set.insert(value);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_new_once_however_many_there_are() {
        for count in [1, LIST_MAX - 1, LIST_MAX, LIST_MAX + 1, 1000] {
            let mut seen = Seen::default();
            assert!(
                (0..count).all(|value| seen.insert(value)),
                "{count} first times"
            );
            assert!(
                !(0..count).any(|value| seen.insert(value)),
                "{count} second times"
            );
        }
    }
}
