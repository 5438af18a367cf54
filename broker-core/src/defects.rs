//! Defects that a test can plant, one at a time, to show that the tests would find them.
//!
//! In a build that is not a test there are none: [`is_planted`] is `false` at compile time, and
//! what it guards is not there. In a test a defect holds for the thread that planted it.

/// A mistake that somebody could make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    /// What a command settled is logged before what it published.
    SettledBeforePublished,
    /// The entry of a page is put though nobody waited for its sync.
    EntryBeforeSync,
    /// The entry of a page names what died while the page was written.
    EntryNamesDead,
    /// Messages of a turn do not make the log needed from the turn on.
    TurnDoesNotLowerLsn,
    /// What page entries do not know of is not needed of the log.
    SettlesNotNeeded,
    /// A page is taken though a head changed while it was written.
    StalePageTaken,
    /// A chunk leaves memory though its page has other places.
    MovedChunkLeaves,
    /// A page is free before the log says so durably.
    FreedAtOnce,
    /// The page of a chunk that is gone is not freed.
    PageLeaks,
    /// A chunk whose page could not be written is never written again.
    FailedWriteForgotten,
    /// What nobody acks is settled when it is handed over.
    NoAckSettledEarly,
    /// The settlement of a message that is on disk only is not logged.
    SettledAwayNotLogged,
    /// A message that came back is not logged as returned.
    ReturnedNotLogged,
    /// Messages in a page are not marked as redelivered after a crash.
    RedeliveredLost,
    /// The second message of a turn counts as its first.
    PlacedOffByOne,
    /// A message of a turn that the queue refused is logged as placed.
    RefusedPlaced,
    /// Those who wait for a page that went are not answered.
    ParkedGetForgotten,
    /// A recovery does not settle what lies in pages.
    SettlePassesPages,
    /// A recovery drops what no queue has placed.
    UnplacedDropped,
    /// The settlements of a transaction are not in its turn.
    TurnWithoutSettles,
    /// A turn counts as over when it is appended.
    TurnOverTooSoon,
}

/// Whether a test has planted this one.
#[cfg(not(test))]
#[inline(always)]
pub(crate) const fn is_planted(_defect: Defect) -> bool {
    false
}

#[cfg(test)]
pub(crate) use planting::{is_planted, with};

#[cfg(test)]
mod planting {
    use std::cell::Cell;

    use super::Defect;

    thread_local! {
        static PLANTED: Cell<Option<Defect>> = const { Cell::new(None) };
    }

    /// Whether the test has planted this one.
    pub(crate) fn is_planted(defect: Defect) -> bool {
        PLANTED.get() == Some(defect)
    }

    /// Runs `act` with the defect, and takes it away again whatever happens.
    pub(crate) fn with<T>(defect: Defect, act: impl FnOnce() -> T) -> T {
        struct Planted;
        impl Drop for Planted {
            fn drop(&mut self) {
                PLANTED.set(None);
            }
        }
        PLANTED.set(Some(defect));
        let _planted = Planted;
        act()
    }

    #[test]
    fn a_defect_is_there_as_long_as_the_test_wants_it() {
        let is_there = || is_planted(Defect::PageLeaks);
        assert!(!is_there());
        assert!(with(Defect::PageLeaks, is_there));
        assert!(!with(Defect::FreedAtOnce, is_there));
        assert!(!is_there());
    }
}
