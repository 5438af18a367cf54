//! What the threads of a store share: appending, the durable LSN, failure and waiting.
//! Owns no thread and no file. Lock order: pending before nothing, dirty before nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tracing::{error, info, warn};

use super::options::{Durability, StoreOptions};
use super::pending::{OpenGroup, Pending};
use super::record::{Change, KEY_MAX_BYTES, changes_record_bytes};
use super::requests::Requests;
use super::writer::{Files, Writer, Written};
use super::{Lsn, StoreError};

/// What to call with the durable LSN after each sync, and once when the log stops for good.
pub(super) type Notify = Box<dyn Fn(Lsn) + Send + Sync>;

/// How often a full disk is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// How far a store is on its way from open to closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// What was appended is still written; nothing more is taken.
    Draining,
    /// Nothing more is written.
    Stopped,
}

struct Queue {
    pending: Pending,
    phase: Phase,
    /// The log thread waits for work.
    idle: bool,
}

/// What changed since the last checkpoint, and up to where.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    pub(super) entries: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    pub(super) upto: Lsn,
}

impl Dirty {
    pub(super) fn apply(&mut self, change: Change) {
        let (key, value) = change.into_entry();
        self.entries.insert(key, value);
    }

    /// Puts older changes back under those that came since.
    pub(super) fn put_back(&mut self, older: BTreeMap<Vec<u8>, Option<Vec<u8>>>) {
        let newer = std::mem::replace(&mut self.entries, older);
        self.entries.extend(newer);
    }
}

/// The shared state of a store.
pub(super) struct Core {
    pub(super) options: StoreOptions,
    pub(super) files: Arc<Mutex<Files>>,
    pub(super) dirty: Mutex<Dirty>,
    pub(super) requests: Requests,
    /// Log bytes written by this run.
    pub(super) written: AtomicU64,
    /// The value of `written` at which upkeep is due.
    pub(super) upkeep_at: AtomicU64,
    /// How much of the current log file is used.
    pub(super) used: AtomicU64,
    log_full: AtomicBool,
    queue: Mutex<Queue>,
    work: Condvar,
    progress: Condvar,
    durable: AtomicU64,
    synced: AtomicU64,
    /// Why writing has to wait, while it has to.
    blocked: Mutex<Option<Arc<StoreError>>>,
    syncing_since: Mutex<Option<Instant>>,
    failure: OnceLock<Arc<StoreError>>,
    notify: Notify,
}

impl Core {
    /// A store whose last durable record is `dirty.upto`.
    pub(super) fn new(options: StoreOptions, files: Files, dirty: Dirty, notify: Notify) -> Core {
        let last = dirty.upto;
        let (group, limit) = (options.group_max_bytes(), options.pending_max_bytes);
        let pending = Pending::new(last.next(), group, limit);
        Core {
            queue: Mutex::new(Queue {
                pending,
                phase: Phase::Open,
                idle: false,
            }),
            options,
            files: Arc::new(Mutex::new(files)),
            dirty: Mutex::new(dirty),
            requests: Requests::default(),
            written: AtomicU64::new(0),
            upkeep_at: AtomicU64::new(0),
            used: AtomicU64::new(0),
            log_full: AtomicBool::new(false),
            work: Condvar::new(),
            progress: Condvar::new(),
            durable: AtomicU64::new(last.0),
            synced: AtomicU64::new(last.0),
            blocked: Mutex::new(None),
            syncing_since: Mutex::new(None),
            failure: OnceLock::new(),
            notify,
        }
    }

    pub(super) fn append(&self, changes: &[Change]) -> Result<Lsn, StoreError> {
        if changes.is_empty() {
            return Ok(Lsn(0));
        }
        let bytes = self.admit(changes)?;
        let mut queue = self.queue.lock();
        self.check_running(queue.phase)?;
        let lsn = queue.pending.push(changes, bytes)?;
        if std::mem::take(&mut queue.idle) {
            self.work.notify_one();
        }
        Ok(lsn)
    }

    /// Checks what does not depend on other records; returns the record's size.
    fn admit(&self, changes: &[Change]) -> Result<usize, StoreError> {
        if let Some(key) = changes
            .iter()
            .map(Change::key)
            .find(|key| key.len() > KEY_MAX_BYTES)
        {
            return Err(StoreError::KeyTooLong {
                bytes: key.len(),
                limit: KEY_MAX_BYTES,
            });
        }
        let (bytes, limit) = (
            changes_record_bytes(changes),
            self.options.record_max_bytes(),
        );
        if bytes > limit {
            return Err(StoreError::RecordTooLarge { bytes, limit });
        }
        let grows = changes
            .iter()
            .any(|change| matches!(change, Change::Put { .. }));
        if grows && self.log_full.load(Ordering::Relaxed) {
            return Err(StoreError::LogFull {
                limit: self.options.log_max_bytes,
            });
        }
        Ok(bytes)
    }

    fn check_running(&self, phase: Phase) -> Result<(), StoreError> {
        match (self.failed(), phase) {
            (Some(failure), _) => Err(StoreError::Failed(failure)),
            (None, Phase::Open) => Ok(()),
            (None, Phase::Draining | Phase::Stopped) => Err(StoreError::Closed),
        }
    }

    pub(super) fn durable(&self) -> Lsn {
        Lsn(self.durable.load(Ordering::Acquire))
    }

    pub(super) fn failed(&self) -> Option<Arc<StoreError>> {
        self.failure.get().cloned()
    }

    pub(super) fn blocked(&self) -> Option<Arc<StoreError>> {
        self.blocked.lock().clone()
    }

    /// The last record appended, and the bytes of those not yet durable.
    pub(super) fn appended(&self) -> (Lsn, usize) {
        let queue = self.queue.lock();
        (queue.pending.last(), queue.pending.bytes())
    }

    /// How long the sync that is running has been running.
    pub(super) fn sync_age(&self) -> Option<Duration> {
        self.syncing_since.lock().map(|since| since.elapsed())
    }

    pub(super) fn wait_durable(&self, lsn: Lsn) -> Result<(), StoreError> {
        let mut queue = self.queue.lock();
        if lsn > queue.pending.last() {
            return Err(StoreError::NotAppended { lsn });
        }
        while self.durable() < lsn {
            if let Some(failure) = self.failed() {
                return Err(StoreError::Failed(failure));
            }
            if queue.phase == Phase::Stopped {
                return Err(StoreError::Closed);
            }
            self.progress.wait(&mut queue);
        }
        Ok(())
    }

    /// Takes no more records; the log thread ends when it has written what there is.
    pub(super) fn drain(&self) {
        self.leave_open(Phase::Draining);
    }

    /// Writes nothing more.
    pub(super) fn stop(&self) {
        self.leave_open(Phase::Stopped);
    }

    fn leave_open(&self, phase: Phase) {
        let mut queue = self.queue.lock();
        if queue.phase != Phase::Stopped {
            queue.phase = phase;
        }
        self.work.notify_all();
        self.progress.notify_all();
    }

    /// The next group to write; waits for one. `None`: the log thread is to end.
    pub(super) fn next_group(&self) -> Option<OpenGroup> {
        let mut queue = self.queue.lock();
        loop {
            if queue.phase == Phase::Stopped || self.failure.get().is_some() {
                return None;
            }
            if let Some(group) = queue.pending.take() {
                return Some(group);
            }
            if queue.phase == Phase::Draining {
                return None;
            }
            queue.idle = true;
            self.work.wait(&mut queue);
        }
    }

    /// Makes a group durable, waiting while the disk is full. `false`: it is not, and
    /// the log thread is to end.
    pub(super) fn commit(&self, writer: &mut Writer, mut group: OpenGroup) -> bool {
        let record_bytes = group.bytes.len() - super::group::GROUP_HEADER_BYTES;
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
    fn write(
        &self,
        writer: &mut Writer,
        group: &mut OpenGroup,
    ) -> Result<Option<Written>, StoreError> {
        loop {
            let synced = Lsn(self.synced.load(Ordering::Relaxed));
            match writer.write(group, synced) {
                Ok(written) => {
                    if self.blocked.lock().take().is_some() {
                        info!("the log can be written again");
                    }
                    return Ok(Some(written));
                }
                Err(error) if error.is_passing() => {
                    self.set_blocked(error);
                    if !writer.leave_full_disk(group.first) && !self.wait_to_retry() {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn set_blocked(&self, error: StoreError) {
        let mut blocked = self.blocked.lock();
        if blocked.is_none() {
            error!(%error, "nothing becomes durable until the log can be written again");
        }
        *blocked = Some(Arc::new(error));
    }

    /// Waits before the next try; `false` if the store is to stop instead.
    fn wait_to_retry(&self) -> bool {
        let mut queue = self.queue.lock();
        if queue.phase == Phase::Open {
            self.work.wait_for(&mut queue, RETRY_AFTER);
        }
        queue.phase == Phase::Open
    }

    fn sync(&self, written: &Written) -> Result<(), StoreError> {
        if self.options.durability == Durability::Os {
            return Ok(());
        }
        *self.syncing_since.lock() = Some(Instant::now());
        let synced = written.file.sync_data();
        *self.syncing_since.lock() = None;
        synced.map_err(StoreError::io("sync", &written.path))
    }

    fn finish(&self, group: OpenGroup, record_bytes: usize, written: &Written) {
        let last = group.last();
        let mut group = group;
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
        {
            let mut queue = self.queue.lock();
            queue.pending.finish(group, record_bytes);
            self.durable.store(last.0, Ordering::Release);
            self.progress.notify_all();
        }
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

    /// The log can no longer be trusted: nothing becomes durable from now on.
    pub(super) fn fail(&self, error: StoreError) {
        if self.failure.set(Arc::new(error)).is_ok()
            && let Some(error) = self.failure.get()
        {
            error!(%error, "the log has stopped");
        }
        // Under the lock: a waiter has either seen the failure or is woken by this.
        {
            let _queue = self.queue.lock();
            self.work.notify_all();
            self.progress.notify_all();
        }
        self.requests.stop();
        (self.notify)(self.durable());
    }

    /// Says that the log is at its limit, or no longer is.
    pub(super) fn set_log_full(&self, full: bool) {
        let was = self.log_full.swap(full, Ordering::Relaxed);
        if full && !was {
            warn!(
                limit = self.options.log_max_bytes,
                "the log is full: only deletions are taken"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_put_back_do_not_cover_newer_ones() {
        let entry = |key: &str, value: &str| (key.as_bytes().to_vec(), Some(value.into()));
        let mut dirty = Dirty {
            entries: [entry("a", "new")].into(),
            upto: Lsn(2),
        };
        dirty.apply(Change::Delete { key: b"b".to_vec() });
        dirty.put_back([entry("a", "old"), entry("b", "old"), entry("c", "old")].into());
        let expected = [entry("a", "new"), (b"b".to_vec(), None), entry("c", "old")];
        assert_eq!(dirty.entries, expected.into());
    }
}
