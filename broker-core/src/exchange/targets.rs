//! Where a binding points, as matchers keep it: a number, and how many bindings say so.

use std::collections::BTreeMap;

/// The number of a queue or of an exchange in its topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum TargetId {
    Queue(u32),
    Exchange(u32),
}

/// A set of targets, each with the number of bindings that put it there. Most hold one target,
/// some a hundred thousand; adding and removing must not be a search through them.
#[derive(Debug, Default)]
pub(crate) enum Targets {
    #[default]
    Empty,
    One(TargetId, u32),
    Many(BTreeMap<TargetId, u32>),
}

impl Targets {
    pub(crate) fn add(&mut self, target: TargetId) {
        match self {
            Targets::Empty => *self = Targets::One(target, 1),
            Targets::One(only, count) if *only == target => *count += 1,
            Targets::One(only, count) => {
                *self = Targets::Many(BTreeMap::from([(*only, *count), (target, 1)]));
            }
            Targets::Many(counts) => *counts.entry(target).or_insert(0) += 1,
        }
    }

    pub(crate) fn remove(&mut self, target: TargetId) {
        match self {
            Targets::Empty => {}
            Targets::One(only, count) => {
                if *only == target {
                    *count -= 1;
                    if *count == 0 {
                        *self = Targets::Empty;
                    }
                }
            }
            Targets::Many(counts) => {
                if let Some(count) = counts.get_mut(&target) {
                    *count -= 1;
                    if *count == 0 {
                        counts.remove(&target);
                    }
                }
                match counts.first_key_value() {
                    None => *self = Targets::Empty,
                    Some((&only, &count)) if counts.len() == 1 => {
                        *self = Targets::One(only, count);
                    }
                    Some(_) => {}
                }
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Targets::Empty)
    }

    #[inline]
    pub(crate) fn each(&self, found: &mut impl FnMut(TargetId)) {
        match self {
            Targets::Empty => {}
            Targets::One(only, _) => found(*only),
            Targets::Many(counts) => counts.keys().copied().for_each(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(targets: &Targets) -> Vec<TargetId> {
        let mut all = Vec::new();
        targets.each(&mut |target| all.push(target));
        all
    }

    #[test]
    fn a_target_stays_until_its_last_binding_goes() {
        let [a, b] = [TargetId::Queue(1), TargetId::Exchange(1)];
        let mut targets = Targets::default();
        for (add, target, left) in [
            (true, a, vec![a]),
            (true, a, vec![a]),
            (true, b, vec![a, b]),
            (true, b, vec![a, b]),
            (false, b, vec![a, b]),
            (false, b, vec![a]),
            (false, b, vec![a]),
            (false, a, vec![a]),
            (false, a, vec![]),
            (false, a, vec![]),
        ] {
            match add {
                true => targets.add(target),
                false => targets.remove(target),
            }
            assert_eq!(all(&targets), left);
            assert_eq!(targets.is_empty(), left.is_empty());
        }
    }
}
