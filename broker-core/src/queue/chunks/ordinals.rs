//! The ordinals of a chunk that is on disk, in little memory: as runs where they follow each
//! other, one by one where they do not (the lines of a priority queue share their ordinals).

use crate::journal::{Run, Runs};

/// A set of ordinals that only gets smaller.
#[derive(Debug)]
pub(super) struct Ordinals {
    set: Set,
}

#[derive(Debug)]
enum Set {
    Runs(Runs),
    /// Distances from the first, ascending.
    Each(u64, Vec<u32>),
}

impl Default for Ordinals {
    fn default() -> Ordinals {
        Ordinals::from(Runs::new())
    }
}

impl From<Runs> for Ordinals {
    fn from(runs: Runs) -> Ordinals {
        let set = match Ordinals::each(&runs) {
            Some(each) => each,
            None => Set::Runs(runs),
        };
        Ordinals { set }
    }
}

impl Ordinals {
    /// One by one, if that is less.
    fn each(runs: &Runs) -> Option<Set> {
        let (first, last) = (runs.first()?, runs.last()?);
        let bytes = runs.count() as usize * size_of::<u32>();
        if bytes >= runs.heap_bytes() || last - first > u64::from(u32::MAX) {
            return None;
        }
        let mut distances = Vec::with_capacity(runs.count() as usize);
        distances.extend(runs.iter().map(|ordinal| (ordinal - first) as u32));
        Some(Set::Each(first, distances))
    }

    pub(super) fn count(&self) -> u64 {
        match &self.set {
            Set::Runs(runs) => runs.count(),
            Set::Each(_, distances) => distances.len() as u64,
        }
    }

    pub(super) fn contains(&self, ordinal: u64) -> bool {
        match &self.set {
            Set::Runs(runs) => runs.contains(ordinal),
            Set::Each(first, distances) => place(*first, distances, ordinal).is_some(),
        }
    }

    /// Takes an ordinal out; false if it was not in.
    pub(super) fn remove(&mut self, ordinal: u64) -> bool {
        match &mut self.set {
            Set::Runs(runs) => runs.remove(ordinal),
            Set::Each(first, distances) => {
                let place = place(*first, distances, ordinal);
                place.map(|place| distances.remove(place)).is_some()
            }
        }
    }

    /// Takes everything out that is not in `kept`.
    pub(super) fn retain(&mut self, kept: &Runs) {
        let both = self.iter().filter(|ordinal| kept.contains(*ordinal));
        *self = Ordinals::from(both.collect::<Runs>());
    }

    pub(super) fn runs(&self) -> Runs {
        match &self.set {
            Set::Runs(runs) => runs.clone(),
            Set::Each(..) => self.iter().collect(),
        }
    }

    /// Bytes of memory beside the set itself.
    pub(super) fn heap_bytes(&self) -> usize {
        match &self.set {
            Set::Runs(runs) => runs.heap_bytes(),
            Set::Each(_, distances) => distances.capacity() * size_of::<u32>(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        let (runs, first, distances): (&[Run], u64, &[u32]) = match &self.set {
            Set::Runs(runs) => (runs.runs(), 0, &[]),
            Set::Each(first, distances) => (&[], *first, distances),
        };
        let of_runs = runs.iter().flat_map(|run| run.first..=run.last());
        of_runs.chain(distances.iter().map(move |at| first + u64::from(*at)))
    }
}

fn place(first: u64, distances: &[u32], ordinal: u64) -> Option<usize> {
    let distance = u32::try_from(ordinal.checked_sub(first)?).ok()?;
    distances.binary_search(&distance).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_run_costs_nothing_and_a_lone_ordinal_four_bytes() {
        let run = Ordinals::from(Runs::between(1, 1_000_000));
        assert_eq!((run.count(), run.heap_bytes()), (1_000_000, 0));
        let lone = Ordinals::from((1..=1000).map(|n| n * 5).collect::<Runs>());
        assert_eq!((lone.count(), lone.heap_bytes()), (1000, 4000));
    }

    #[test]
    fn ordinals_that_are_too_far_apart_stay_runs() {
        let apart = |distance: u64| [1, 3, 5, 7, 9 + distance].into_iter().collect::<Runs>();
        for distance in [0, u64::from(u32::MAX) - 8, u64::from(u32::MAX) - 7, 1 << 40] {
            let ordinals = Ordinals::from(apart(distance));
            assert_eq!(ordinals.runs(), apart(distance));
            assert!(ordinals.contains(9 + distance) && !ordinals.contains(9 + (1 << 50)));
        }
    }

    proptest! {
        #[test]
        fn it_is_the_set_that_it_says(
            mut set in prop::collection::btree_set(1u64..60, 0..40),
            removed in prop::collection::vec(0u64..70, 0..20),
            kept in prop::collection::btree_set(1u64..60, 0..40),
        ) {
            let mut ordinals = Ordinals::from(set.iter().copied().collect::<Runs>());
            for ordinal in removed {
                prop_assert_eq!(ordinals.contains(ordinal), set.contains(&ordinal));
                prop_assert_eq!(ordinals.remove(ordinal), set.remove(&ordinal));
                prop_assert_eq!(ordinals.count(), set.len() as u64);
            }
            prop_assert_eq!(ordinals.runs(), set.iter().copied().collect::<Runs>());
            ordinals.retain(&kept.iter().copied().collect());
            let both: BTreeSet<u64> = set.intersection(&kept).copied().collect();
            prop_assert_eq!(ordinals.runs(), both.into_iter().collect::<Runs>());
        }
    }
}
