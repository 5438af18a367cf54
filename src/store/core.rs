//! What the threads of a store share: appending, the durable LSN, failure and waiting.
//! Owns no thread and no file. The lock of the queue of records is a leaf: nothing is taken under
//! it, and whoever appends may hold any other.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use tracing::{error, warn};

use super::alarm::DamageAlarm;
use super::entries::{ENTRY_KINDS, Owner};
use super::options::StoreOptions;
use super::pending::{Entry, OpenGroup, Pending};
use super::record::{Change, KEY_MAX_BYTES, changes_record_bytes};
use super::requests::Requests;
use super::syncs::SyncCounters;
use super::writer::Files;
use super::{Lsn, StoreError};

/// What to call with the durable LSN after each sync, and once when the log stops for good.
pub(super) type Notify = Box<dyn Fn(Lsn) + Send + Sync>;

/// How far a store is on its way from open to closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// What was appended is still written; nothing more is taken.
    Draining,
    /// Nothing more is written.
    Stopped,
}

/// What the log thread waits for, and is woken by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// Nothing: it is busy and looks by itself.
    No,
    /// Any record.
    ForRecords,
    /// A record that frees space.
    ForFreeing,
}

pub(super) struct Queue {
    pub(super) pending: Pending,
    pub(super) phase: Phase,
    pub(super) waiting: Waiting,
    /// Those who wait are to be told how things stand although nothing became durable.
    pub(super) announce: bool,
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
    /// What was found damaged since the start.
    pub(super) damage: Arc<DamageAlarm>,
    pub(super) files: Arc<Mutex<Files>>,
    pub(super) dirty: Mutex<Dirty>,
    pub(super) requests: Requests,
    /// Who knows which entries are still needed.
    pub(super) owner: Mutex<Option<Arc<dyn Owner>>>,
    /// Log bytes written by this run.
    pub(super) written: AtomicU64,
    /// The value of `written` at which upkeep is due.
    pub(super) upkeep_at: AtomicU64,
    /// How much of the current log file is used.
    pub(super) used: AtomicU64,
    pub(super) syncs: SyncCounters,
    /// The size of the last group, as written.
    pub(super) last_group: AtomicU64,
    /// The log is at its limit.
    pub(super) log_full: AtomicBool,
    /// So many want no log file to go. Held while one does.
    pub(super) pins: Mutex<usize>,
    /// The next checkpoint that is asked for is to end with a snapshot.
    pub(super) snapshot_asked: AtomicBool,
    /// Some of the reserve was used up, or given up.
    pub(super) reserve_short: AtomicBool,
    /// More records wait than may.
    pub(super) over: AtomicBool,
    pub(super) queue: Mutex<Queue>,
    pub(super) work: Condvar,
    pub(super) progress: Condvar,
    pub(super) durable: AtomicU64,
    pub(super) synced: AtomicU64,
    /// Why writing has to wait, while it has to.
    blocked: Mutex<Option<Arc<StoreError>>>,
    is_blocked: AtomicBool,
    pub(super) syncing_since: Mutex<Option<Instant>>,
    pub(super) failure: OnceLock<Arc<StoreError>>,
    pub(super) notify: Notify,
}

impl Core {
    /// A store whose last durable record is `dirty.upto`, and whose log has those up to
    /// `on_device` there.
    pub(super) fn new(
        options: StoreOptions,
        files: Files,
        (dirty, on_device): (Dirty, Lsn),
        (notify, damage): (Notify, Arc<DamageAlarm>),
    ) -> Core {
        let last = dirty.upto;
        let (group, limit) = (options.group_max_bytes(), options.pending_max_bytes);
        let reserve_short = AtomicBool::new(files.is_reserve_short());
        let queue = Queue {
            pending: Pending::new(last.next(), group, limit),
            phase: Phase::Open,
            waiting: Waiting::No,
            announce: false,
        };
        Core {
            options,
            damage,
            files: Arc::new(Mutex::new(files)),
            dirty: Mutex::new(dirty),
            requests: Requests::default(),
            owner: Mutex::new(None),
            written: AtomicU64::new(0),
            upkeep_at: AtomicU64::new(0),
            used: AtomicU64::new(0),
            syncs: SyncCounters::default(),
            last_group: AtomicU64::new(0),
            log_full: AtomicBool::new(false),
            pins: Mutex::new(0),
            snapshot_asked: AtomicBool::new(false),
            reserve_short,
            over: AtomicBool::new(false),
            queue: Mutex::new(queue),
            work: Condvar::new(),
            progress: Condvar::new(),
            durable: AtomicU64::new(last.0),
            synced: AtomicU64::new(on_device.0),
            blocked: Mutex::new(None),
            is_blocked: AtomicBool::new(false),
            syncing_since: Mutex::new(None),
            failure: OnceLock::new(),
            notify,
        }
    }

    /// Appends changes, or says why not. What only deletes is not refused because much waits: it
    /// has happened already for whoever asked for it.
    pub(super) fn append(&self, changes: &[Change]) -> Result<Lsn, StoreError> {
        if changes.is_empty() {
            return Ok(Lsn(0));
        }
        let bytes = self.admit(changes)?;
        let grows = changes
            .iter()
            .any(|change| matches!(change, Change::Put { .. }));
        if grows && self.is_log_full() {
            return Err(StoreError::LogFull {
                limit: self.options.log_max_bytes,
            });
        }
        let mut queue = self.queue.lock();
        self.check_running(queue.phase)?;
        if grows {
            queue.pending.check_room(bytes)?;
        }
        let lsn = queue.pending.push_changes(changes, bytes);
        self.appended_to(queue, !grows);
        Ok(lsn)
    }

    /// Appends changes however much waits. What could never be stored is a defect of the owner
    /// and stops the log: what it promised cannot be kept.
    pub(super) fn append_changes_unbounded(&self, changes: &[Change]) -> Lsn {
        if changes.is_empty() {
            return Lsn(0);
        }
        let bytes = match self.admit(changes) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.fail(error);
                0
            }
        };
        let mut queue = self.queue.lock();
        if self.check_running(queue.phase).is_err() {
            return queue.pending.next();
        }
        let lsn = queue.pending.push_changes(changes, bytes);
        self.appended_to(queue, true);
        lsn
    }

    /// Appends an entry however much waits.
    pub(super) fn append_entry(&self, kind: u8, parts: &[&[u8]], frees: bool) -> Lsn {
        assert!(ENTRY_KINDS.contains(&kind), "{kind} is no kind of entry");
        let entry = Entry::new(kind, parts);
        let limit = self.options.entry_max_bytes;
        if entry.bytes > limit {
            let bytes = entry.bytes;
            self.fail(StoreError::RecordTooLarge { bytes, limit });
        }
        if entry.bytes > self.options.record_max_bytes() && self.failure.get().is_none() {
            // Copied before anybody has to wait for it.
            let group = OpenGroup::alone(&entry);
            return self.append_with(frees, |pending| pending.push_alone(group));
        }
        self.append_with(frees, |pending| pending.push_entry(&entry))
    }

    /// Appends one record; after a failure or a close it gets an LSN that never becomes durable.
    fn append_with(&self, frees: bool, push: impl FnOnce(&mut Pending) -> Lsn) -> Lsn {
        let mut queue = self.queue.lock();
        if queue.phase != Phase::Open || self.failure.get().is_some() {
            return queue.pending.next();
        }
        let lsn = push(&mut queue.pending);
        self.appended_to(queue, frees);
        lsn
    }

    /// All that was appended so far frees space: something that does waits for it. The last record.
    pub(super) fn mark_freeing(&self) -> Lsn {
        let queue = self.queue.lock();
        let last = queue.pending.last();
        if self.durable() < last {
            self.appended_to(queue, true);
        }
        last
    }

    /// Wakes the log thread if it waits for such a record, and notes if too much waits.
    fn appended_to(&self, mut queue: MutexGuard<'_, Queue>, frees: bool) {
        if frees {
            queue.pending.mark_freeing();
        }
        if queue.pending.is_over() && !self.over.load(Ordering::Relaxed) {
            self.over.store(true, Ordering::Relaxed);
        }
        let wake = match queue.waiting {
            Waiting::No => false,
            Waiting::ForRecords => true,
            Waiting::ForFreeing => frees,
        };
        if wake {
            queue.waiting = Waiting::No;
            drop(queue);
            self.work.notify_one();
        }
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

    pub(super) fn is_blocked(&self) -> bool {
        self.is_blocked.load(Ordering::Relaxed)
    }

    pub(super) fn is_log_full(&self) -> bool {
        self.log_full.load(Ordering::Relaxed)
    }

    /// Whether those who bring new messages should wait.
    pub(super) fn is_backlogged(&self) -> bool {
        self.over.load(Ordering::Relaxed) || self.is_blocked() || self.is_log_full()
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

    /// Waits until a record is durable, or for as long as `patience`, or until that is pointless.
    pub(super) fn wait_briefly(&self, lsn: Lsn, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut queue = self.queue.lock();
        while self.durable() < lsn
            && self.failure.get().is_none()
            && queue.phase == Phase::Open
            && !self.is_blocked()
        {
            if self.progress.wait_until(&mut queue, deadline).timed_out() {
                return;
            }
        }
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

    /// The disk is full, or as good as full.
    pub(super) fn set_blocked(&self, error: StoreError) {
        let is_new = {
            let mut blocked = self.blocked.lock();
            if blocked.is_none() {
                error!(%error, "nothing becomes durable until the log can be written again");
            }
            blocked.replace(Arc::new(error)).is_none()
        };
        self.is_blocked.store(true, Ordering::Relaxed);
        if is_new {
            // It may sleep for long, not knowing that space is wanted.
            self.requests.look();
        }
    }

    /// Forgets why writing had to wait; whether it had to.
    pub(super) fn clear_blocked(&self) -> bool {
        if !self.is_blocked() {
            return false;
        }
        self.is_blocked.store(false, Ordering::Relaxed);
        self.blocked.lock().take().is_some()
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
                "the log is full: only what frees space is taken"
            );
        }
        if was && !full {
            self.announce();
        }
    }

    /// Lets the log thread look again, and tell those who wait how things stand.
    pub(super) fn announce(&self) {
        let mut queue = self.queue.lock();
        queue.announce = true;
        self.work.notify_all();
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
