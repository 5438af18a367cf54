//! The random runs find each of these defects.

use proptest::test_runner::{RngAlgorithm, TestError, TestRng, TestRunner};

use super::*;
use crate::defects::{Defect, with};

/// So many runs at most until a defect is found.
const RUNS: u32 = 2_000;

/// Runs with the defect until one fails.
#[track_caller]
fn find(defect: Defect) {
    let config = ProptestConfig {
        cases: RUNS,
        max_shrink_iters: 0,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let outcome = with(defect, || {
        runner.run(&(stage(), steps()), |(stage, steps)| {
            carry_out(stage, &steps);
            Ok(())
        })
    });
    assert!(
        matches!(outcome, Err(TestError::Fail(..))),
        "{defect:?} was not found: {outcome:?}"
    );
}

/// One test for each.
macro_rules! found {
    ($($name:ident: $defect:ident,)*) => {
        $(
            #[test]
            fn $name() {
                find(Defect::$defect);
            }
        )*
    };
}

found! {
    an_entry_that_does_not_wait_for_the_sync_is_found: EntryBeforeSync,
    an_entry_that_names_the_dead_is_found: EntryNamesDead,
    a_turn_that_the_log_may_forget_is_found: TurnDoesNotLowerLsn,
    settles_that_the_log_may_forget_are_found: SettlesNotNeeded,
    a_page_that_is_out_of_date_is_found: StalePageTaken,
    a_page_with_other_places_is_found: MovedChunkLeaves,
    a_page_that_is_free_too_soon_is_found: FreedAtOnce,
    a_page_that_is_never_free_is_found: PageLeaks,
    a_write_that_is_not_tried_again_is_found: FailedWriteForgotten,
    a_delivery_that_is_settled_too_soon_is_found: NoAckSettledEarly,
    a_settlement_that_is_not_logged_is_found: SettledAwayNotLogged,
    a_return_that_is_not_logged_is_found: ReturnedNotLogged,
    a_redelivery_that_is_not_marked_is_found: RedeliveredLost,
    a_placement_of_the_wrong_message_is_found: PlacedOffByOne,
    a_placement_of_what_was_refused_is_found: RefusedPlaced,
    a_get_that_is_not_answered_is_found: ParkedGetForgotten,
    a_recovery_that_does_not_settle_in_pages_is_found: SettlePassesPages,
    a_recovery_that_drops_what_is_unplaced_is_found: UnplacedDropped,
}
