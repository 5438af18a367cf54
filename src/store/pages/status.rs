//! How the pages stand, for operators: counters since the start, and what segments hold.
//! Only counts and reports.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::StoreError;

use super::Pages;
use super::files::Keeping;
use super::ledger::Punching;
use super::segment::Segment;

/// What segments of one kind hold and take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Segment files.
    pub files: usize,
    /// Live pages.
    pub pages: usize,
    /// What live pages take, headers included.
    pub live_bytes: u64,
    /// What the files take on the disk.
    pub disk_bytes: u64,
}

impl Usage {
    fn add(&mut self, account: &Segment) {
        self.files += 1;
        self.pages += account.pages();
        self.live_bytes += account.live_bytes();
        self.disk_bytes += account.disk_bytes();
    }
}

/// How the pages stand. Counters begin with the start.
#[derive(Debug, Clone)]
pub struct PagesStatus {
    /// Pages that outlive the process.
    pub durable: Usage,
    /// Pages that do not.
    pub transient: Usage,
    /// Pages written.
    pub writes: u64,
    /// Bytes written, headers included.
    pub written_bytes: u64,
    /// Pages read.
    pub reads: u64,
    /// Bytes read, headers included.
    pub read_bytes: u64,
    /// Rounds of syncs, each of which may have served several callers.
    pub syncs: u64,
    /// Callers that wait for a round another one runs.
    pub sync_waiting: usize,
    /// Bytes given back as holes.
    pub punched_bytes: u64,
    /// Files without pages that could not be removed yet.
    pub leftover_files: usize,
    /// Whether the file system has holes. If not, only whole files give space back.
    pub has_holes: bool,
    /// Why no page becomes durable any more.
    pub failed: Option<Arc<StoreError>>,
}

/// One segment file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentStatus {
    /// Its number.
    pub segment: u64,
    /// The file.
    pub path: PathBuf,
    /// Whether it is gone when the process ends.
    pub is_transient: bool,
    /// Whether no page is added to it any more.
    pub is_sealed: bool,
    /// Its length.
    pub bytes: u64,
    /// Live pages.
    pub pages: usize,
    /// What they take, headers included.
    pub live_bytes: u64,
    /// What the file takes on the disk.
    pub disk_bytes: u64,
}

/// Counts since the start.
#[derive(Default)]
pub(super) struct Counters {
    writes: AtomicU64,
    written_bytes: AtomicU64,
    reads: AtomicU64,
    read_bytes: AtomicU64,
    syncs: AtomicU64,
    punched_bytes: AtomicU64,
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

impl Counters {
    pub(super) fn written(&self, bytes: u64) {
        add(&self.writes, 1);
        add(&self.written_bytes, bytes);
    }

    pub(super) fn read(&self, bytes: u64) {
        add(&self.reads, 1);
        add(&self.read_bytes, bytes);
    }

    pub(super) fn synced(&self) {
        add(&self.syncs, 1);
    }

    pub(super) fn punched(&self, bytes: u64) {
        add(&self.punched_bytes, bytes);
    }
}

impl Pages {
    /// How the pages stand.
    pub fn status(&self) -> PagesStatus {
        let (mut durable, mut transient) = (Usage::default(), Usage::default());
        let ledger = self.ledger.lock();
        for (segment, account) in &ledger.segments {
            match Keeping::of(*segment) {
                Keeping::Durable => durable.add(account),
                Keeping::Transient => transient.add(account),
            }
        }
        let has_holes = ledger.punching != Punching::Impossible;
        let leftover_files = ledger.leftover.len();
        drop(ledger);
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PagesStatus {
            durable,
            transient,
            writes: load(&self.counters.writes),
            written_bytes: load(&self.counters.written_bytes),
            reads: load(&self.counters.reads),
            read_bytes: load(&self.counters.read_bytes),
            syncs: load(&self.counters.syncs),
            sync_waiting: self.rounds.waiting(),
            punched_bytes: load(&self.counters.punched_bytes),
            leftover_files,
            has_holes,
            failed: self.rounds.failed(),
        }
    }

    /// Every segment with live pages, and those being written, by number.
    pub fn segments(&self) -> Vec<SegmentStatus> {
        let ledger = self.ledger.lock();
        let segments = ledger.segments.iter();
        segments
            .map(|(segment, account)| SegmentStatus {
                segment: *segment,
                path: self.files.path(*segment),
                is_transient: Keeping::of(*segment) == Keeping::Transient,
                is_sealed: account.is_sealed(),
                bytes: account.size(),
                pages: account.pages(),
                live_bytes: account.live_bytes(),
                disk_bytes: account.disk_bytes(),
            })
            .collect()
    }
}
