//! Runs against a plain set.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::journal::{Run, Runs};

#[derive(Clone, Debug)]
enum Step {
    Insert(u64),
    InsertBetween(u64, u64),
    Remove(u64),
    RemoveBetween(u64, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let ordinal = || 0u64..40;
    prop_oneof![
        ordinal().prop_map(Step::Insert),
        (ordinal(), ordinal()).prop_map(|(first, last)| Step::InsertBetween(first, last)),
        ordinal().prop_map(Step::Remove),
        (ordinal(), ordinal()).prop_map(|(first, last)| Step::RemoveBetween(first, last)),
    ]
}

fn assert_tidy(runs: &Runs) {
    for pair in runs.runs().windows(2) {
        assert!(pair[0].last() + 1 < pair[1].first, "{runs:?}");
    }
    assert!(runs.runs().iter().all(|run| run.count > 0));
}

proptest! {
    #[test]
    fn runs_are_a_set(steps in prop::collection::vec(step(), 0..40)) {
        let (mut runs, mut set) = (Runs::new(), BTreeSet::new());
        for step in steps {
            match step {
                Step::Insert(ordinal) => {
                    runs.insert(ordinal);
                    set.insert(ordinal);
                }
                Step::InsertBetween(first, last) => {
                    runs.insert_between(first, last);
                    set.extend(first..=last);
                }
                Step::Remove(ordinal) => {
                    prop_assert_eq!(runs.remove(ordinal), set.remove(&ordinal));
                }
                Step::RemoveBetween(first, last) => {
                    runs.remove_between(first, last);
                    set.retain(|ordinal| !(first..=last).contains(ordinal));
                }
            }
            assert_tidy(&runs);
            prop_assert!(runs.iter().eq(set.iter().copied()));
            prop_assert_eq!(runs.count(), set.len() as u64);
            prop_assert_eq!(runs.is_empty(), set.is_empty());
            prop_assert_eq!(runs.first(), set.first().copied());
            prop_assert_eq!(runs.last(), set.last().copied());
            prop_assert!((0..41).all(|ordinal| runs.contains(ordinal) == set.contains(&ordinal)));
        }
    }

    #[test]
    fn all_of_another_set_can_be_taken_out(
        of in prop::collection::btree_set(0u64..60, 0..40),
        others in prop::collection::btree_set(0u64..60, 0..40),
    ) {
        let mut runs: Runs = of.iter().copied().collect();
        runs.remove_all(&others.iter().copied().collect());
        assert_tidy(&runs);
        prop_assert!(runs.iter().eq(of.difference(&others).copied()));
    }
}

#[test]
fn a_run_longer_than_its_count_goes_on_in_the_next() {
    let most = u64::from(u32::MAX);
    let mut runs = Runs::between(1, most);
    assert_eq!(runs.runs().len(), 1);
    runs.insert(most + 1);
    runs.insert(most + 2);
    let second = Run {
        first: most + 1,
        count: 2,
    };
    assert_eq!(runs.runs()[1..], [second]);
    assert_eq!(runs.count(), most + 2);
    assert_eq!(runs, Runs::between(1, most + 2));
    runs.insert(most + 1);
    assert_eq!(runs, Runs::between(1, most + 2));
    assert_eq!(Runs::between(1, 3 * most + 1).runs().len(), 4);
}

#[test]
fn the_highest_ordinal_is_one_too() {
    let mut runs = Runs::between(u64::MAX - 1, u64::MAX);
    runs.insert(u64::MAX);
    runs.insert(u64::MAX - 2);
    assert_eq!((runs.count(), runs.last()), (3, Some(u64::MAX)));
    assert!(runs.remove(u64::MAX) && !runs.contains(u64::MAX));
    assert_eq!(runs, Runs::between(u64::MAX - 2, u64::MAX - 1));
    assert_eq!(Runs::between(2, 1), Runs::new());
}
