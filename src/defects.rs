//! Defects that a test can plant, one at a time, to show that the tests would find them.
//!
//! A build without the feature `defects` has none: [`is_planted`] is `false` at compile time, and
//! what it guards is not there. With it a defect holds for the thread that planted it.
//! Which test finds which: `tests/sim/defects.rs`.

/// A mistake that somebody could make between a queue and the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// A group counts as durable when it is written.
    AckBeforeSync,
    /// Log files go as soon as their records are durable in the log.
    RecycledBeforeCheckpoint,
    /// Log files go although the snapshot needs them.
    RecycledBeforeSnapshot,
    /// Log files go although they hold entries above the floor.
    RecycledAboveFloor,
    /// The floor counts before the changes it relies on are durable.
    FloorAtOnce,
    /// The first record that a queue needs is forgotten.
    FloorOneTooHigh,
    /// A checkpoint records as floor what it goes up to.
    FloorRecordedTooHigh,
    /// Turns under way do not keep the log.
    OpenTurnsForgotten,
    /// The name of a new log file is not synced.
    LogNameUnsynced,
    /// The new name of a recycled log file is not synced.
    RecycledNameUnsynced,
    /// A group with damaged records at the end of the log counts.
    TornGroupCounts,
    /// A start does not sync what it has read.
    ReadNotSynced,
    /// The catalogue is not synced by a checkpoint.
    CatalogueUnsynced,
    /// A checkpoint has changes that are not durable in the log.
    CheckpointAhead,
    /// The node file is not synced.
    NodeUnsynced,
    /// A snapshot gets its name before its bytes are synced.
    SnapshotUnsynced,
    /// A page counts as synced when it is written.
    EntryBeforeSync,
    /// The names of new segments are not synced.
    SegmentNameUnsynced,
    /// A page is freed before it is durable that nothing names it.
    FreeBeforeDurable,
    /// Ids of queues that the log speaks of are given again.
    QueueIdsUsedAgain,
    /// Ordinals of messages that are gone are given again.
    OrdinalsUsedAgain,
    /// Messages are as new after a crash.
    RedeliveredForgotten,
}

/// Whether a test has planted this one.
#[cfg(not(feature = "defects"))]
#[inline(always)]
pub(crate) const fn is_planted(_defect: Defect) -> bool {
    false
}

#[cfg(feature = "defects")]
pub use planting::with;

#[cfg(feature = "defects")]
pub(crate) use planting::is_planted;

#[cfg(feature = "defects")]
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
    pub fn with<T>(defect: Defect, act: impl FnOnce() -> T) -> T {
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
        let is_there = || is_planted(Defect::AckBeforeSync);
        assert!(!is_there());
        assert!(with(Defect::AckBeforeSync, is_there));
        assert!(!with(Defect::NodeUnsynced, is_there));
        assert!(!is_there());
    }
}
