//! The direct exchange: binding keys in a hash table.

use rustc_hash::FxHashMap;

use super::targets::{TargetId, Targets};

/// The bindings of a direct exchange.
#[derive(Debug, Default)]
pub(crate) struct Direct {
    keys: FxHashMap<Box<str>, Targets>,
}

impl Direct {
    pub(super) fn add(&mut self, key: &str, target: TargetId) {
        match self.keys.get_mut(key) {
            Some(targets) => targets.add(target),
            None => {
                self.keys.insert(key.into(), Targets::One(target, 1));
            }
        }
    }

    pub(super) fn remove(&mut self, key: &str, target: TargetId) {
        if let Some(targets) = self.keys.get_mut(key) {
            targets.remove(target);
            if targets.is_empty() {
                self.keys.remove(key);
            }
        }
    }

    #[inline]
    pub(super) fn find(&self, key: &str, found: &mut impl FnMut(TargetId)) {
        if let Some(targets) = self.keys.get(key) {
            targets.each(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(direct: &Direct, key: &str) -> Vec<TargetId> {
        let mut all = Vec::new();
        direct.find(key, &mut |target| all.push(target));
        all
    }

    #[test]
    fn only_the_whole_key_matches() {
        let mut direct = Direct::default();
        for (number, key) in ["k", "K", "", "k.*", "#"].into_iter().enumerate() {
            direct.add(key, TargetId::Queue(number as u32));
        }
        direct.add("k", TargetId::Exchange(9));
        for (key, expected) in [
            ("k", vec![TargetId::Queue(0), TargetId::Exchange(9)]),
            ("K", vec![TargetId::Queue(1)]),
            ("", vec![TargetId::Queue(2)]),
            ("k.*", vec![TargetId::Queue(3)]),
            ("k.x", vec![]),
            ("kk", vec![]),
        ] {
            assert_eq!(find(&direct, key), expected, "{key}");
        }
    }

    #[test]
    fn nothing_is_left_of_a_removed_key() {
        let mut direct = Direct::default();
        direct.add("k", TargetId::Queue(1));
        direct.add("k", TargetId::Queue(2));
        direct.remove("k", TargetId::Queue(1));
        assert_eq!(find(&direct, "k"), [TargetId::Queue(2)]);
        direct.remove("other", TargetId::Queue(2));
        direct.remove("k", TargetId::Queue(2));
        assert!(direct.keys.is_empty());
    }
}
