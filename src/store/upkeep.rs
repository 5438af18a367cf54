//! What happens beside the log: checkpoints and snapshots. The order is the point: what changed is
//! in the catalogue, flushed and synced, before the log that holds it may go; and no log goes that
//! the snapshot needs, or that holds entries above the floor recorded with either.
//! The files themselves are looked after in retire.rs.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::{debug, error, info, warn};

use super::catalogue::{Catalogue, CatalogueError, CatalogueSource, Entries};
use super::core::Core;
use super::finding::Finding;
use super::floor::Floor;
use super::logdir::LogDir;
use super::record::Change;
use super::replay::{Range, Sink, replay};
use super::snapshot::{Snapshot, SnapshotWriter};
use super::writer::LogSite;
use super::{Lsn, StoreError};
use crate::defects::{Defect, is_planted};

/// A checkpoint that failed is tried again after this part of the log a checkpoint waits for.
const RETRY_PART: u64 = 8;
/// A checkpoint or snapshot is due, however little was written, when it would let go so many files
/// more than the log it waits for needs: each start begins one.
const FILES_SLACK: u64 = 1;
/// How long to wait for the records the floor relies on.
const FLOOR_PATIENCE: Duration = Duration::from_secs(1);
/// A snapshot is made after so many times as much log as it is large, at least.
const SNAPSHOT_PART: u64 = 4;
/// A checkpoint or snapshot that failed is left alone for so long, unless it is asked for.
const FAILED_PAUSE: Duration = Duration::from_secs(5);
/// How often upkeep looks while the log is long, or the disk full.
const PRESSED_INTERVAL: Duration = Duration::from_millis(250);

/// How upkeep stands, for the operator.
#[derive(Debug, Clone, Default)]
pub(super) struct UpkeepStatus {
    pub(super) checkpoint: Lsn,
    pub(super) snapshot: Lsn,
    pub(super) floor: Lsn,
    pub(super) checkpoint_error: Option<Arc<StoreError>>,
    pub(super) snapshot_error: Option<Arc<StoreError>>,
}

/// The one who writes catalogue and snapshot.
pub(super) struct Upkeep {
    pub(super) core: Arc<Core>,
    pub(super) site: Arc<LogSite>,
    pub(super) source: Arc<dyn CatalogueSource>,
    pub(super) catalogue: Option<Box<dyn Catalogue>>,
    /// A usable catalogue holds at least this; the dirty entries are what came after.
    pub(super) checkpoint: Lsn,
    /// The floor recorded with it.
    pub(super) checkpoint_floor: Lsn,
    /// The snapshot found at the start, until it is verified.
    pub(super) found: Option<Snapshot>,
    /// What a snapshot that can be relied on holds.
    pub(super) snapshot: Lsn,
    /// The floor recorded in it.
    pub(super) snapshot_floor: Lsn,
    /// Up to where entries are no longer needed, as far as is known.
    pub(super) floor: Floor,
    /// Up to where the owner was asked to let them go.
    pub(super) released: Lsn,
    /// When the reserve was last tried to be made whole.
    pub(super) reserve_tried_at: Option<Instant>,
    /// There is no such snapshot although log may have been recycled.
    pub(super) snapshot_wanted: bool,
    pub(super) checkpointed_at: Instant,
    pub(super) snapshot_at: Instant,
    pub(super) checkpoint_written: u64,
    pub(super) snapshot_written: u64,
    /// How large the last snapshot was.
    pub(super) snapshot_bytes: u64,
    pub(super) status: Arc<Mutex<UpkeepStatus>>,
}

impl Upkeep {
    /// Asks the owner for the floor and waits for what that relies on, if it does not take long.
    pub(super) fn prepare(&mut self) {
        let behind = self.floor.ask(&self.core);
        self.core.wait_briefly(behind, FLOOR_PATIENCE);
    }

    /// Does what is due; a checkpoint in any case if it is `asked` for.
    pub(super) fn round(&mut self, asked: bool) -> Result<(), Arc<StoreError>> {
        self.floor.ask(&self.core);
        self.verify_snapshot();
        let due = asked || self.is_checkpoint_due();
        let done = if due {
            self.checkpoint_with_reserve().map_err(Arc::new)
        } else {
            Ok(())
        };
        if done.is_ok() && self.is_snapshot_due(asked) {
            self.snapshot_with_reserve();
        }
        if asked {
            self.core.snapshot_asked.store(false, Ordering::Relaxed);
        }
        self.retire();
        self.fill_files();
        self.ask_for_release();
        self.report(due.then_some(&done));
        done
    }

    /// How long upkeep may sleep when nobody wakes it.
    pub(super) fn patience(&self) -> Duration {
        let interval = self.core.options.checkpoint_interval;
        if self.is_pressed() {
            interval.min(PRESSED_INTERVAL)
        } else {
            interval
        }
    }

    /// The last checkpoint and snapshot; returns the record up to which the catalogue holds
    /// everything, and the floor recorded with it.
    pub(super) fn finish(&mut self) -> Result<(Lsn, Lsn), StoreError> {
        self.floor.ask(&self.core);
        self.verify_snapshot();
        self.checkpoint()?;
        if self.is_snapshot_older() {
            self.snapshot();
        }
        Ok((self.checkpoint, self.checkpoint_floor))
    }

    fn verify_snapshot(&mut self) {
        let Some(found) = self.found.take() else {
            return;
        };
        match found.verify() {
            Ok(()) => {
                (self.snapshot, self.snapshot_floor) = (found.mark, found.floor);
                self.snapshot_bytes = found.bytes();
            }
            Err(error) => {
                self.core.damage.raise(Finding::about(&error));
                self.snapshot_wanted = true;
            }
        }
    }

    /// Whether so many files wait for a checkpoint or snapshot that it is due: more than
    /// `log_bytes` of log need, or any while the log should be shorter. Those behind `before` up
    /// to `after` would go.
    fn is_worth_it(&self, before: Lsn, after: Lsn, log_bytes: u64) -> bool {
        let files = self.core.files.lock().between(before, after);
        files > FILES_SLACK + log_bytes / self.site.file_bytes || (files > 0 && self.is_pressed())
    }

    fn is_checkpoint_due(&self) -> bool {
        let options = &self.core.options;
        let failed = self.status.lock().checkpoint_error.is_some();
        if failed && self.checkpointed_at.elapsed() < FAILED_PAUSE {
            return false;
        }
        let (upto, floor) = (self.core.dirty.lock().upto, self.floor.known());
        let written = self.core.written.load(Ordering::Relaxed) - self.checkpoint_written;
        let recorded = self.checkpoint.min(self.checkpoint_floor);
        (upto > self.checkpoint || floor > self.checkpoint_floor)
            && (written >= options.checkpoint_log_bytes
                || self.checkpointed_at.elapsed() >= options.checkpoint_interval
                || self.is_worth_it(recorded, upto.min(floor), options.checkpoint_log_bytes))
    }

    /// Whether the snapshot is not as of the last checkpoint.
    fn is_snapshot_older(&self) -> bool {
        self.snapshot < self.checkpoint || self.snapshot_floor < self.checkpoint_floor
    }

    fn is_snapshot_due(&self, asked: bool) -> bool {
        let limit = self.core.options.snapshot_log_bytes;
        let limit = limit.max(SNAPSHOT_PART * self.snapshot_bytes);
        let failed = self.status.lock().snapshot_error.is_some();
        if failed && !asked && self.snapshot_at.elapsed() < FAILED_PAUSE {
            return false;
        }
        let written = self.core.written.load(Ordering::Relaxed) - self.snapshot_written;
        let recorded = self.snapshot.min(self.snapshot_floor);
        let possible = self.checkpoint.min(self.checkpoint_floor);
        self.catalogue.is_some()
            && self.is_snapshot_older()
            && (self.snapshot_wanted
                || written >= limit
                || (asked && self.core.snapshot_asked.load(Ordering::Relaxed))
                || self.is_worth_it(recorded, possible, limit))
    }

    /// A checkpoint; on a full disk it may take the place of a file of the reserve.
    fn checkpoint_with_reserve(&mut self) -> Result<(), StoreError> {
        match self.checkpoint() {
            Err(error) if error.is_disk_full() && self.give_up_reserve() => self.checkpoint(),
            done => done,
        }
    }

    /// As [`checkpoint_with_reserve`](Self::checkpoint_with_reserve).
    fn snapshot_with_reserve(&mut self) {
        let full = self.snapshot();
        if full && self.give_up_reserve() {
            self.snapshot();
        }
    }

    /// Writes the dirty entries, all of them durable in the log, to the catalogue.
    fn checkpoint(&mut self) -> Result<(), StoreError> {
        self.checkpointed_at = Instant::now();
        let mut catalogue = self.usable_catalogue()?;
        let written = self.core.written.load(Ordering::Relaxed);
        let (entries, upto) = {
            let mut dirty = self.core.dirty.lock();
            (std::mem::take(&mut dirty.entries), dirty.upto)
        };
        // All that the floor relies on is in the log up to here.
        let floor = match is_planted(Defect::FloorRecordedTooHigh) {
            true => upto,
            false => self.floor.known().min(upto),
        };
        if upto == self.checkpoint && floor <= self.checkpoint_floor {
            self.catalogue = Some(catalogue);
            return Ok(());
        }
        let steps = catalogue
            .apply(&entries, upto, floor)
            .and_then(|()| catalogue.flush())
            .and_then(|()| match is_planted(Defect::CatalogueUnsynced) {
                true => Ok(()),
                false => catalogue.sync(),
            });
        if let Err(error) = steps {
            // Nobody knows what it holds now: it is opened anew, and tells by its mark.
            drop(catalogue);
            self.core.dirty.lock().put_back(entries);
            return Err(self.catalogue_error(&error));
        }
        self.catalogue = Some(catalogue);
        self.checkpoint = upto;
        self.checkpoint_floor = floor;
        self.checkpoint_written = written;
        let entries = entries.len();
        debug!(upto = upto.0, floor = floor.0, entries, "checkpoint");
        Ok(())
    }

    fn catalogue_error(&self, error: &CatalogueError) -> StoreError {
        let path = self.source.path();
        match error {
            CatalogueError::DiskFull(full) => {
                let full = std::io::Error::new(full.kind(), full.to_string());
                StoreError::io("write", &path)(full)
            }
            CatalogueError::Damaged(_) | CatalogueError::Refused(_) => StoreError::Catalogue {
                path,
                reason: error.to_string(),
            },
        }
    }

    /// The open catalogue; opened again, or rebuilt, if it failed before.
    fn usable_catalogue(&mut self) -> Result<Box<dyn Catalogue>, StoreError> {
        if let Some(catalogue) = self.catalogue.take() {
            return Ok(catalogue);
        }
        let reason = match self.source.open(&self.site.identity) {
            Ok(catalogue) => match self.check_reopened(&*catalogue) {
                Ok(()) => return Ok(catalogue),
                Err(reason) => reason,
            },
            Err(CatalogueError::Damaged(reason)) => reason,
            Err(error) => return Err(self.catalogue_error(&error)),
        };
        self.rebuild()?;
        let path = self.source.path();
        let aside = self
            .source
            .set_aside()
            .map_err(StoreError::io("rename", &path))?;
        let what = format!("damaged catalogue set aside and rebuilt: {reason}");
        self.core.damage.raise(Finding::error(aside, None, what));
        self.source
            .open(&self.site.identity)
            .map_err(|error| self.catalogue_error(&error))
    }

    fn check_reopened(&self, catalogue: &dyn Catalogue) -> Result<(), String> {
        let mark = catalogue.mark().map_or(Lsn(0), |mark| mark.complete);
        if mark < self.checkpoint {
            return Err(format!(
                "it ends at record {mark}, after a checkpoint up to later ones"
            ));
        }
        catalogue
            .scan(&mut |_, _| {})
            .map_err(|error| error.to_string())
    }

    /// Makes the dirty entries the whole map, from snapshot and log, for an empty catalogue.
    fn rebuild(&mut self) -> Result<(), StoreError> {
        let upto = self.core.dirty.lock().upto;
        let (disk, identity) = (&*self.site.disk, &self.site.identity);
        let dir = &self.core.options.dir;
        let snapshot = Snapshot::open(disk, dir, identity)?;
        let mut whole = Entries::new();
        let mut mark = Lsn(0);
        if let Some(snapshot) = snapshot {
            whole.extend(
                snapshot
                    .read()?
                    .into_iter()
                    .map(|(key, value)| (key, Some(value))),
            );
            mark = snapshot.mark;
        }
        let log = LogDir::read(disk, &self.site.log_dir, identity, self.site.horizon)?;
        let range = Range {
            after: mark,
            floor: Lsn(u64::MAX),
            until: upto,
            horizon: self.site.horizon,
        };
        let files = log.files_from(range.from(), mark)?;
        replay(files, identity, range, &mut Changes(&mut whole))?;
        self.core.dirty.lock().put_back(whole);
        (self.checkpoint, self.checkpoint_floor) = (Lsn(0), Lsn(0));
        Ok(())
    }

    /// Writes the catalogue's entries to a new snapshot; returns whether the disk was too full.
    fn snapshot(&mut self) -> bool {
        self.snapshot_at = Instant::now();
        let written = self.core.written.load(Ordering::Relaxed);
        let result = self.write_snapshot();
        let mut status = self.status.lock();
        match result {
            Ok(bytes) => {
                (self.snapshot, self.snapshot_floor) = (self.checkpoint, self.checkpoint_floor);
                self.snapshot_bytes = bytes;
                self.snapshot_wanted = false;
                self.snapshot_written = written;
                status.snapshot_error = None;
                false
            }
            Err(error) => {
                let full = error.is_disk_full();
                let error = Arc::new(error);
                if status.snapshot_error.replace(Arc::clone(&error)).is_none() {
                    warn!(%error, "the definitions snapshot could not be written");
                }
                full
            }
        }
    }

    fn write_snapshot(&mut self) -> Result<u64, StoreError> {
        let mut writer = SnapshotWriter::create(&*self.site.disk, &self.core.options.dir)?;
        let Some(catalogue) = self.catalogue.take() else {
            writer.abandon();
            return Err(StoreError::Closed);
        };
        let scanned = catalogue.scan(&mut |key, value| writer.push(key, value));
        if let Err(error) = scanned {
            // Left closed: the next checkpoint opens it anew and finds out what is wrong.
            writer.abandon();
            return Err(self.catalogue_error(&error));
        }
        self.catalogue = Some(catalogue);
        writer.finish(&self.site.identity, self.checkpoint, self.checkpoint_floor)
    }

    /// Tells the others how things stand; `done` is what a checkpoint came to, if one was due.
    fn report(&self, done: Option<&Result<(), Arc<StoreError>>>) {
        let bytes = self.core.files.lock().bytes_in_use();
        self.core
            .set_log_full(bytes > self.core.options.log_max_bytes);
        let interval = self.core.options.checkpoint_log_bytes;
        let mut wake_at = self.checkpoint_written.saturating_add(interval);
        let mut status = self.status.lock();
        status.checkpoint = self.checkpoint;
        status.snapshot = self.snapshot;
        status.floor = self.floor.known();
        match done {
            Some(Err(error)) => {
                if status.checkpoint_error.replace(Arc::clone(error)).is_none() {
                    error!(%error, "checkpoints fail: the log is kept");
                }
                wake_at = self.core.written.load(Ordering::Relaxed) + interval / RETRY_PART;
            }
            Some(Ok(())) if status.checkpoint_error.take().is_some() => {
                info!("checkpoints succeed again");
            }
            Some(Ok(())) | None => {}
        }
        self.core.upkeep_at.store(wake_at, Ordering::Relaxed);
    }
}

/// Takes the changes of a replay and nothing else.
struct Changes<'a>(&'a mut Entries);

impl Sink for Changes<'_> {
    fn change(&mut self, _lsn: Lsn, change: Change) {
        let (key, value) = change.into_entry();
        self.0.insert(key, value);
    }

    fn entry(&mut self, _lsn: Lsn, _kind: u8, _payload: &[u8]) {}
}
