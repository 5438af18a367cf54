//! The log thread's part of the shared state: taking groups, making them durable one after the
//! other, and waiting while the disk is full. Appending is in core.rs.
//!
//! While the log is at its limit, or the disk was full and the reserve is not whole again, only
//! records that free space are written, with what stands before them: LSNs have no gaps.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::MutexGuard;
use tracing::info;

use super::core::{Core, Phase, Queue, Waiting};
use super::options::Durability;
use super::pending::OpenGroup;
use super::writer::{Writer, Written};
use super::{Lsn, StoreError};
use crate::defects::{Defect, is_planted};

/// How often a full disk is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(250);

impl Core {
    /// The next group to write; waits for one. `None`: the log thread is to end.
    pub(super) fn next_group(&self) -> Option<OpenGroup> {
        let mut queue = self.queue.lock();
        loop {
            if queue.phase == Phase::Stopped || self.failure.get().is_some() {
                return None;
            }
            if self.is_space_back() || std::mem::take(&mut queue.announce) {
                MutexGuard::unlocked(&mut queue, || (self.notify)(self.durable()));
            }
            if let Some(group) = self.take_group(&mut queue) {
                return Some(group);
            }
            if queue.phase == Phase::Draining {
                return None;
            }
            self.wait_for_work(&mut queue);
        }
    }

    /// The next group to write, if there is one that may be.
    pub(super) fn take_group(&self, queue: &mut Queue) -> Option<OpenGroup> {
        queue.pending.take(self.is_freeing_only(queue.phase))
    }

    /// Ends the alarm once the reserve is whole; whether there was one. Called while no group is
    /// waiting to be written.
    fn is_space_back(&self) -> bool {
        let is_back = self.is_blocked()
            && !self.reserve_short.load(Ordering::Relaxed)
            && self.clear_blocked();
        if is_back {
            info!("the log can be written again");
        }
        is_back
    }

    /// Whether only what frees space may be written.
    fn is_freeing_only(&self, phase: Phase) -> bool {
        phase == Phase::Open && (self.is_log_full() || self.is_on_reserve())
    }

    /// The disk was full, and what is kept for that is not whole again.
    fn is_on_reserve(&self) -> bool {
        self.is_blocked() && self.reserve_short.load(Ordering::Relaxed)
    }

    fn wait_for_work(&self, queue: &mut MutexGuard<'_, Queue>) {
        if queue.announce {
            return;
        }
        queue.waiting = if self.is_freeing_only(queue.phase) {
            Waiting::ForFreeing
        } else {
            Waiting::ForRecords
        };
        match queue.pending.spares.patience() {
            Some(patience) => {
                if self.work.wait_for(queue, patience).timed_out() {
                    let excess = queue.pending.spares.trim(Instant::now());
                    MutexGuard::unlocked(queue, || drop(excess));
                }
            }
            None => self.work.wait(queue),
        }
        queue.waiting = Waiting::No;
    }

    /// Makes a group durable, waiting while the disk is full. `false`: it is not, and
    /// the log thread is to end.
    pub(super) fn commit(&self, writer: &mut Writer, mut group: OpenGroup) -> bool {
        let record_bytes = group.record_bytes();
        let done = match self.write(writer, &mut group) {
            Ok(Some(written)) => self.sync(&written).map(|()| Some(written)),
            other => other,
        };
        match done {
            Ok(Some(written)) => self.finish(group, record_bytes, &written),
            Ok(None) => return false,
            Err(error) => self.fail(error),
        }
        self.failure.get().is_none()
    }

    /// `None`: the store stopped while writing had to wait.
    pub(super) fn write(
        &self,
        writer: &mut Writer,
        group: &mut OpenGroup,
    ) -> Result<Option<Written>, StoreError> {
        if is_planted(Defect::CheckpointAhead) {
            let mut dirty = self.dirty.lock();
            let changes = group.changes.iter().cloned();
            changes.for_each(|change| dirty.apply(change));
            dirty.upto = group.last();
        }
        loop {
            if !self.is_on_reserve() || self.is_pressing(group.first) {
                match self.write_once(writer, group) {
                    Ok(written) => {
                        self.note_space();
                        return Ok(Some(written));
                    }
                    Err(error) if error.is_passing() => {
                        self.set_blocked(error);
                        if self.find_space(writer, group)? {
                            continue;
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
            if !self.wait_to_retry(group.first) {
                return Ok(None);
            }
        }
    }

    /// What goes past the page cache waits for the disk here, and not in the sync behind it.
    fn write_once(
        &self,
        writer: &mut Writer,
        group: &mut OpenGroup,
    ) -> Result<Written, StoreError> {
        let synced = Lsn(self.synced.load(Ordering::Relaxed));
        let begun = Instant::now();
        *self.syncing_since.lock() = Some(begun);
        let written = writer.write(group, synced);
        *self.syncing_since.lock() = None;
        written.map(|written| Written {
            took: begun.elapsed(),
            ..written
        })
    }

    /// A group was written: the disk is not full, unless that took what was kept in reserve.
    fn note_space(&self) {
        if !self.reserve_short.load(Ordering::Relaxed) && self.clear_blocked() {
            info!("the log can be written again");
        }
    }

    /// Whether a group must be written now if there is any way: something behind it frees space,
    /// or this is the last chance.
    fn is_pressing(&self, first: Lsn) -> bool {
        let queue = self.queue.lock();
        queue.phase != Phase::Open || queue.pending.holds_back_freeing(first)
    }

    /// Lets the writer go on in a file that is filled already, if there is one for this group.
    fn find_space(&self, writer: &mut Writer, group: &OpenGroup) -> Result<bool, StoreError> {
        let found = writer.leave_full_disk(group, self.is_pressing(group.first))?;
        self.note_reserve();
        Ok(found)
    }

    /// Notes whether the reserve is whole.
    pub(super) fn note_reserve(&self) {
        let files = self.files.lock();
        let short = files.is_reserve_short();
        // Under the lock, so that an older answer does not replace a newer one.
        let was = self.reserve_short.swap(short, Ordering::Relaxed);
        drop(files);
        if was && !short {
            self.announce();
        }
    }

    /// Waits before the next try; `false` if there is to be none, because the store stops. One that
    /// is closed meanwhile tries once more: then the reserve may be used for all.
    fn wait_to_retry(&self, first: Lsn) -> bool {
        let mut queue = self.queue.lock();
        if queue.phase != Phase::Open {
            return false;
        }
        if !queue.pending.holds_back_freeing(first) {
            queue.waiting = Waiting::ForFreeing;
        }
        self.work.wait_for(&mut queue, RETRY_AFTER);
        queue.waiting = Waiting::No;
        queue.phase != Phase::Stopped
    }

    pub(super) fn sync(&self, written: &Written) -> Result<(), StoreError> {
        if self.options.durability == Durability::Os || is_planted(Defect::AckBeforeSync) {
            return Ok(());
        }
        let begun = Instant::now();
        *self.syncing_since.lock() = Some(begun);
        let synced = written.file.sync_data();
        *self.syncing_since.lock() = None;
        synced.map_err(StoreError::io("sync", &written.path))?;
        self.syncs
            .add(written.bytes, written.took + begun.elapsed());
        Ok(())
    }

    /// The group is durable: says so to all.
    pub(super) fn finish(&self, mut group: OpenGroup, record_bytes: usize, written: &Written) {
        let last = group.last();
        self.last_group.store(written.bytes, Ordering::Relaxed);
        {
            let mut dirty = self.dirty.lock();
            group
                .changes
                .drain(..)
                .for_each(|change| dirty.apply(change));
            dirty.upto = last;
        }
        if self.options.durability == Durability::Fsync {
            self.synced.store(last.0, Ordering::Relaxed);
        }
        let excess = {
            let mut queue = self.queue.lock();
            queue.pending.finish(record_bytes);
            let excess = queue.pending.spares.keep(group.bytes, Instant::now());
            self.over.store(queue.pending.is_over(), Ordering::Relaxed);
            self.durable.store(last.0, Ordering::Release);
            self.progress.notify_all();
            excess
        };
        drop(excess);
        self.note_written(written);
        (self.notify)(last);
    }

    /// Wakes upkeep when enough log was written, or the file in use needs a successor.
    fn note_written(&self, written: &Written) {
        let total = self.written.fetch_add(written.bytes, Ordering::Relaxed) + written.bytes;
        self.used.store(written.used, Ordering::Relaxed);
        let quarter = written.used >= self.options.log_file_bytes / 4;
        let before = written.used - written.bytes < self.options.log_file_bytes / 4;
        if total >= self.upkeep_at.load(Ordering::Relaxed) || (quarter && before) {
            self.requests.look();
        }
    }
}
