//! The fanout exchange: every binding takes every message.

use super::targets::{TargetId, Targets};

/// The bindings of a fanout exchange.
#[derive(Debug, Default)]
pub(crate) struct Fanout {
    targets: Targets,
}

impl Fanout {
    pub(super) fn add(&mut self, target: TargetId) {
        self.targets.add(target);
    }

    pub(super) fn remove(&mut self, target: TargetId) {
        self.targets.remove(target);
    }

    #[inline]
    pub(super) fn find(&self, found: &mut impl FnMut(TargetId)) {
        self.targets.each(found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_bound_twice_is_found_once_and_until_its_last_binding_goes() {
        let mut fanout = Fanout::default();
        let find = |fanout: &Fanout| {
            let mut all = Vec::new();
            fanout.find(&mut |target| all.push(target));
            all
        };
        fanout.add(TargetId::Queue(1));
        fanout.add(TargetId::Queue(1));
        fanout.add(TargetId::Queue(2));
        assert_eq!(find(&fanout), [TargetId::Queue(1), TargetId::Queue(2)]);
        fanout.remove(TargetId::Queue(1));
        assert_eq!(find(&fanout), [TargetId::Queue(1), TargetId::Queue(2)]);
        fanout.remove(TargetId::Queue(1));
        assert_eq!(find(&fanout), [TargetId::Queue(2)]);
    }
}
