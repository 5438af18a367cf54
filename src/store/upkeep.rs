//! What happens beside the log: checkpoints, snapshots, filling the next log file and recycling
//! old ones. The order is the point: entries are in the catalogue, flushed and synced, before the
//! log that holds them may go; and no log goes that the snapshot needs.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use parking_lot::Mutex;
use tracing::{debug, error, info, warn};

use super::catalogue::{Catalogue, CatalogueError, CatalogueSource, Entries};
use super::core::Core;
use super::disk::File;
use super::logdir::{LogDir, file_path};
use super::recover::spare_path;
use super::replay::{Range, replay};
use super::snapshot::{Snapshot, SnapshotWriter};
use super::writer::{LogSite, ReadyFile, Span};
use super::{Lsn, StoreError};

/// So many filled files wait at most; more old files than that are removed.
const READY_MAX: usize = 2;
/// The file after the current one is filled when so much of the current one is used.
const FILL_AT_PART: u64 = 4;
/// A checkpoint that failed is tried again after this part of the log a checkpoint waits for.
const RETRY_PART: u64 = 8;
/// Zeros are written in pieces of this.
const FILL_PIECE_BYTES: usize = 1 << 20;
/// A checkpoint or snapshot is due, however little was written, when there are so many files more
/// than the log it waits for needs: each start begins one.
const FILES_SLACK: u64 = 2;

/// How upkeep stands, for the operator.
#[derive(Debug, Clone, Default)]
pub(super) struct UpkeepStatus {
    pub(super) checkpoint: Lsn,
    pub(super) snapshot: Lsn,
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
    /// The snapshot found at the start, until it is verified.
    pub(super) found: Option<Snapshot>,
    /// What a snapshot that can be relied on holds.
    pub(super) snapshot: Lsn,
    /// There is no such snapshot although log may have been recycled.
    pub(super) snapshot_wanted: bool,
    pub(super) checkpointed_at: Instant,
    pub(super) checkpoint_written: u64,
    pub(super) snapshot_written: u64,
    pub(super) status: Arc<Mutex<UpkeepStatus>>,
}

impl Upkeep {
    /// Does what is due; a checkpoint in any case if it is `asked` for.
    pub(super) fn round(&mut self, asked: bool) -> Result<(), Arc<StoreError>> {
        self.verify_snapshot();
        let due = asked || self.is_checkpoint_due();
        let done = if due {
            self.checkpoint().map_err(Arc::new)
        } else {
            Ok(())
        };
        if done.is_ok() && self.is_snapshot_due() {
            self.snapshot();
        }
        self.retire();
        self.fill_next();
        self.report(due.then_some(&done));
        done
    }

    /// The last checkpoint and snapshot; returns the record up to which the catalogue holds
    /// everything, so that the next start reads no log.
    pub(super) fn finish(&mut self) -> Result<Lsn, StoreError> {
        self.verify_snapshot();
        self.checkpoint()?;
        if self.snapshot < self.checkpoint {
            self.snapshot();
        }
        Ok(self.checkpoint)
    }

    fn verify_snapshot(&mut self) {
        let Some(found) = self.found.take() else {
            return;
        };
        match found.verify() {
            Ok(()) => self.snapshot = found.mark,
            Err(error) => {
                error!(%error, "the definitions snapshot is damaged: writing a new one");
                self.snapshot_wanted = true;
            }
        }
    }

    /// Whether there are more files than `log_bytes` of log need.
    fn has_many_files(&self, log_bytes: u64) -> bool {
        let files = self.core.files.lock().spans.len() as u64;
        files > FILES_SLACK + log_bytes / self.site.file_bytes
    }

    fn is_checkpoint_due(&self) -> bool {
        let options = &self.core.options;
        let upto = self.core.dirty.lock().upto;
        let written = self.core.written.load(Ordering::Relaxed) - self.checkpoint_written;
        upto > self.checkpoint
            && (written >= options.checkpoint_log_bytes
                || self.checkpointed_at.elapsed() >= options.checkpoint_interval
                || self.has_many_files(options.checkpoint_log_bytes))
    }

    fn is_snapshot_due(&self) -> bool {
        let limit = self.core.options.snapshot_log_bytes;
        let written = self.core.written.load(Ordering::Relaxed) - self.snapshot_written;
        self.catalogue.is_some()
            && self.snapshot < self.checkpoint
            && (self.snapshot_wanted || written >= limit || self.has_many_files(limit))
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
        if upto == self.checkpoint {
            self.catalogue = Some(catalogue);
            return Ok(());
        }
        let steps = catalogue
            .apply(&entries, upto)
            .and_then(|()| catalogue.flush())
            .and_then(|()| catalogue.sync());
        if let Err(error) = steps {
            // Nobody knows what it holds now: it is opened anew, and tells by its mark.
            drop(catalogue);
            self.core.dirty.lock().put_back(entries);
            return Err(self.catalogue_error(&error));
        }
        self.catalogue = Some(catalogue);
        self.checkpoint = upto;
        self.checkpoint_written = written;
        debug!(upto = upto.0, entries = entries.len(), "checkpoint");
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
        error!(aside = %aside.display(), %reason, "damaged catalogue set aside");
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
            until: upto,
            horizon: self.site.horizon,
        };
        replay(
            log.files_from(mark.next())?,
            identity,
            range,
            &mut |change| {
                let (key, value) = change.into_entry();
                whole.insert(key, value);
            },
        )?;
        self.core.dirty.lock().put_back(whole);
        self.checkpoint = Lsn(0);
        Ok(())
    }

    /// Writes the catalogue's entries to a new snapshot.
    fn snapshot(&mut self) {
        let written = self.core.written.load(Ordering::Relaxed);
        let result = self.write_snapshot();
        let mut status = self.status.lock();
        match result {
            Ok(()) => {
                self.snapshot = self.checkpoint;
                self.snapshot_wanted = false;
                self.snapshot_written = written;
                status.snapshot_error = None;
            }
            Err(error) => {
                warn!(%error, "the definitions snapshot could not be written");
                status.snapshot_error = Some(Arc::new(error));
            }
        }
    }

    fn write_snapshot(&mut self) -> Result<(), StoreError> {
        let Some(catalogue) = self.catalogue.take() else {
            return Err(StoreError::Closed);
        };
        let mut writer = SnapshotWriter::create(&*self.site.disk, &self.core.options.dir)?;
        let scanned = catalogue.scan(&mut |key, value| writer.push(key, value));
        if let Err(error) = scanned {
            // Left closed: the next checkpoint opens it anew and finds out what is wrong.
            return Err(self.catalogue_error(&error));
        }
        self.catalogue = Some(catalogue);
        writer.finish(&self.site.identity, self.checkpoint)
    }

    /// Recycles or removes the log files that neither catalogue nor snapshot needs.
    fn retire(&mut self) {
        let bound = self.checkpoint.min(self.snapshot);
        while let Some(span) = self.retirable(bound) {
            if let Err(error) = self.retire_file(&span) {
                warn!(%error, file = span.number, "an old log file could not be recycled");
                return;
            }
        }
    }

    /// The oldest file, if all its records are at or below `bound`.
    fn retirable(&self, bound: Lsn) -> Option<Span> {
        let files = self.core.files.lock();
        let next = files.spans.get(1)?;
        (next.first <= bound.next())
            .then(|| files.spans.front().copied())
            .flatten()
    }

    fn retire_file(&self, span: &Span) -> Result<(), StoreError> {
        let (disk, log_dir) = (&self.site.disk, &self.site.log_dir);
        let path = file_path(log_dir, span.number);
        match disk.open(&path) {
            Ok(file) => {
                let bytes = file.size().map_err(StoreError::io("measure", &path))?;
                if bytes != self.site.file_bytes || !self.make_ready(&path, file)? {
                    disk.remove(&path)
                        .map_err(StoreError::io("remove", &path))?;
                    disk.sync_dir(log_dir)
                        .map_err(StoreError::io("sync", log_dir))?;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::io("open", &path)(error)),
        }
        self.core.files.lock().spans.pop_front();
        Ok(())
    }

    /// Renames a filled file to the next number and queues it; `false` if enough are queued.
    fn make_ready(&self, path: &std::path::Path, file: Arc<dyn File>) -> Result<bool, StoreError> {
        let (disk, log_dir) = (&self.site.disk, &self.site.log_dir);
        // Held over rename and sync: the log must neither take the same number nor use the file
        // before its name is durable.
        let mut files = self.core.files.lock();
        if files.ready.len() >= READY_MAX {
            return Ok(false);
        }
        let number = files.next_number();
        let target = file_path(log_dir, number);
        disk.rename(path, &target)
            .map_err(StoreError::io("rename", path))?;
        disk.sync_dir(log_dir)
            .map_err(StoreError::io("sync", log_dir))?;
        files.ready.push_back(ReadyFile { number, file });
        Ok(true)
    }

    /// Fills the file after the current one with zeros, once the current one is in real use.
    fn fill_next(&mut self) {
        let used = self.core.used.load(Ordering::Relaxed);
        if !self.core.files.lock().ready.is_empty() || used < self.site.file_bytes / FILL_AT_PART {
            return;
        }
        let path = spare_path(&self.site.log_dir);
        let filled = self
            .fill(&path)
            .and_then(|file| self.make_ready(&path, file));
        if let Err(error) = filled {
            debug!(%error, "the next log file could not be filled: it will grow");
            if let Err(error) = self.site.disk.remove(&path) {
                debug!(%error, "nor could what was filled be removed");
            }
        }
    }

    fn fill(&self, path: &std::path::Path) -> Result<Arc<dyn File>, StoreError> {
        let file = self
            .site
            .disk
            .create(path)
            .map_err(StoreError::io("create", path))?;
        let zeros = vec![0; FILL_PIECE_BYTES];
        let mut offset = 0;
        while offset < self.site.file_bytes {
            let piece = (self.site.file_bytes - offset).min(FILL_PIECE_BYTES as u64);
            file.pwrite(&zeros[..piece as usize], offset)
                .map_err(StoreError::io("fill", path))?;
            offset += piece;
        }
        file.sync_data().map_err(StoreError::io("sync", path))?;
        Ok(file)
    }

    /// Tells the others how things stand; `done` is what a checkpoint came to, if one was due.
    fn report(&self, done: Option<&Result<(), Arc<StoreError>>>) {
        let bytes = {
            let files = self.core.files.lock();
            (files.spans.len() + files.ready.len()) as u64 * self.site.file_bytes
        };
        self.core
            .set_log_full(bytes > self.core.options.log_max_bytes);
        let interval = self.core.options.checkpoint_log_bytes;
        let mut wake_at = self.checkpoint_written.saturating_add(interval);
        let mut status = self.status.lock();
        status.checkpoint = self.checkpoint;
        status.snapshot = self.snapshot;
        match done {
            Some(Err(error)) => {
                error!(%error, "checkpoint failed: the log is kept");
                status.checkpoint_error = Some(Arc::clone(error));
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
