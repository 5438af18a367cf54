//! Defects between a queue and the disk, each found by a few histories: proof that the others would
//! find one that nobody planted.

use std::sync::atomic::{AtomicUsize, Ordering};

use leveret::defects::{Defect, with};
use parking_lot::Mutex;

use crate::history::play;
use crate::seeds::number;

/// Every defect, with the number of histories that must be enough to find it.
const FOUND: [(Defect, u64); 22] = [
    (Defect::AckBeforeSync, 10),
    (Defect::RecycledBeforeCheckpoint, 60),
    (Defect::RecycledBeforeSnapshot, 60),
    (Defect::RecycledAboveFloor, 60),
    (Defect::FloorAtOnce, 60),
    (Defect::FloorOneTooHigh, 60),
    (Defect::FloorRecordedTooHigh, 60),
    (Defect::OpenTurnsForgotten, 60),
    (Defect::LogNameUnsynced, 60),
    (Defect::RecycledNameUnsynced, 60),
    (Defect::TornGroupCounts, 60),
    (Defect::ReadNotSynced, 60),
    (Defect::CatalogueUnsynced, 60),
    (Defect::CheckpointAhead, 60),
    (Defect::NodeUnsynced, 60),
    (Defect::SnapshotUnsynced, 60),
    (Defect::EntryBeforeSync, 60),
    (Defect::SegmentNameUnsynced, 60),
    (Defect::FreeBeforeDurable, 60),
    (Defect::QueueIdsUsedAgain, 200),
    (Defect::OrdinalsUsedAgain, 60),
    (Defect::RedeliveredForgotten, 10),
];

#[test]
fn every_planted_defect_is_found() {
    broker_core::keep_no_spares();
    let only = std::env::var("DEFECT").ok();
    let next = AtomicUsize::new(0);
    let missed = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((defect, histories)) =
                    FOUND.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let name = format!("{defect:?}");
                    if only.as_ref().is_none_or(|only| *only == name) && !find(*defect, *histories)
                    {
                        missed.lock().push(name);
                    }
                }
            });
        }
    });
    let missed = missed.into_inner();
    assert!(missed.is_empty(), "nobody noticed {missed:?}");
}

/// Plays histories with the defect until one finds it.
fn find(defect: Defect, histories: u64) -> bool {
    let histories = number("HISTORIES").unwrap_or(histories);
    for seed in 0..histories {
        let outcome = with(defect, || play(seed, false));
        if let Some(violation) = outcome.violation {
            let line = violation.lines().next().unwrap_or_default();
            eprintln!("{defect:?}: seed {seed}: {line}");
            return true;
        }
    }
    eprintln!("{defect:?}: not found in {histories} histories");
    false
}
