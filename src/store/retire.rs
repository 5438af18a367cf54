//! The files of the log beside the one being written: letting old ones go, filling new ones ahead
//! of time, keeping some in reserve, and asking the owner to make room when the log gets long.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use super::buffer::Buffer;
use super::disk::File;
use super::logdir::{file_path, reserve_path};
use super::recover::spare_path;
use super::upkeep::Upkeep;
use super::writer::{Files, ReadyFile, ReserveFile, Span};
use super::{Lsn, StoreError};
use crate::defects::{Defect, is_planted};

/// So many filled files wait in any case …
const READY_MIN: usize = 2;
/// … and so many at most, while they fit the log's limit with those in use: a snapshot lets go of
/// several at once, and what is removed then would soon have to be filled anew. More old files are
/// removed.
const READY_MAX: usize = 6;
/// The file after the current one is filled when so much of the current one is used.
const FILL_AT_PART: u64 = 4;
/// Zeros are written in pieces of this.
const FILL_PIECE_BYTES: usize = 1 << 20;
/// The owner is asked for room when more than this part of the limit is in use.
const RELEASE_AT_PART: u64 = 2;
/// How often a reserve that could not be filled is tried again while the disk is full.
const RESERVE_RETRY: Duration = Duration::from_secs(1);

impl Files {
    /// How many files hold records behind `before` and none behind `upto`.
    pub(super) fn between(&self, before: Lsn, upto: Lsn) -> u64 {
        let begins = self.spans.iter().skip(1).map(|span| span.first);
        begins
            .filter(|next| *next > before.next() && *next <= upto.next())
            .count() as u64
    }

    /// The last record of the oldest files that have to go for the others to take at most `bytes`.
    fn excess(&self, bytes: u64) -> Option<Lsn> {
        let mut left = self.bytes_in_use();
        let mut upto = None;
        for (span, next) in self.spans.iter().zip(self.spans.iter().skip(1)) {
            if left <= bytes {
                break;
            }
            left -= span.bytes;
            upto = Some(next.first.before());
        }
        upto
    }
}

impl Upkeep {
    /// Recycles or removes the log files that neither catalogue nor snapshot needs, and that hold
    /// no entry above the floors recorded with them.
    pub(super) fn retire(&mut self) {
        // Held, so that who pins the log knows which files there are.
        let core = Arc::clone(&self.core);
        let pins = core.pins.lock();
        if *pins > 0 {
            return;
        }
        let bound = self.bound();
        while let Some(span) = self.retirable(bound) {
            if let Err(error) = self.retire_file(&span) {
                warn!(%error, file = span.number, "an old log file could not be recycled");
                break;
            }
        }
        self.core.note_reserve();
    }

    /// What of the log nobody needs.
    fn bound(&self) -> Lsn {
        let floor = self.checkpoint_floor.min(self.snapshot_floor);
        if is_planted(Defect::RecycledBeforeCheckpoint) {
            return self.core.durable().min(self.floor.known());
        }
        if is_planted(Defect::RecycledBeforeSnapshot) {
            return self.checkpoint.min(self.checkpoint_floor);
        }
        if is_planted(Defect::RecycledAboveFloor) {
            return self.checkpoint.min(self.snapshot);
        }
        self.checkpoint.min(self.snapshot).min(floor)
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
        let path = file_path(&self.site.log_dir, span.number);
        match self.site.open(&path) {
            Ok(file) => {
                if !self.is_whole(&path, &*file)? || !self.use_again(&path, file)? {
                    self.remove(&path)?;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::io("open", &path)(error)),
        }
        self.core.files.lock().spans.pop_front();
        Ok(())
    }

    /// Whether the file is as large as it should be. One that had to grow ended where a group did
    /// not fit: the little that is missing is cheaper than to fill another.
    fn is_whole(&self, path: &Path, file: &dyn File) -> Result<bool, StoreError> {
        let whole = self.site.file_bytes;
        let bytes = file.size().map_err(StoreError::io("measure", path))?;
        if bytes == whole {
            return Ok(true);
        }
        if bytes < whole / 2 || bytes > whole || self.core.is_blocked() {
            return Ok(false);
        }
        let filled = self.fill_from(path, file, bytes);
        if let Err(error) = &filled {
            debug!(%error, "an old log file could not be filled up");
        }
        Ok(filled.is_ok())
    }

    fn remove(&self, path: &Path) -> Result<(), StoreError> {
        let (disk, log_dir) = (&self.site.disk, &self.site.log_dir);
        disk.remove(path).map_err(StoreError::io("remove", path))?;
        disk.sync_dir(log_dir)
            .map_err(StoreError::io("sync", log_dir))
    }

    /// Puts a filled file where one is missing: in the reserve, then among those that are ready.
    /// `false` if enough of both are there.
    fn use_again(&self, path: &Path, file: Arc<dyn File>) -> Result<bool, StoreError> {
        if self.core.files.lock().is_reserve_short() {
            return self.make_reserve(path, file);
        }
        self.make_ready(path, file)
    }

    /// Renames a filled file to the next number and queues it; `false` if enough are queued.
    fn make_ready(&self, path: &Path, file: Arc<dyn File>) -> Result<bool, StoreError> {
        // Held over rename and sync: the log must neither take the same number nor use the file
        // before its name is durable.
        let mut files = self.core.files.lock();
        let ready = files.ready.len();
        let bytes = files.bytes_in_use() + (ready as u64 + 1) * self.site.file_bytes;
        // On a full disk the space is worth more than the time to fill a file.
        let is_enough =
            ready >= READY_MAX || bytes > self.core.options.log_max_bytes || self.core.is_blocked();
        if ready >= READY_MIN && is_enough {
            return Ok(false);
        }
        let number = files.next_number();
        self.rename(path, &file_path(&self.site.log_dir, number))?;
        files.ready.push_back(ReadyFile { number, file });
        Ok(true)
    }

    /// Renames a filled file to a free place in the reserve; `false` if there is none.
    fn make_reserve(&self, path: &Path, file: Arc<dyn File>) -> Result<bool, StoreError> {
        let mut files = self.core.files.lock();
        let Some(slot) = files.free_slot() else {
            return Ok(false);
        };
        self.rename(path, &reserve_path(&self.site.log_dir, slot))?;
        files.reserve.push(ReserveFile { slot, file });
        Ok(true)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        let (disk, log_dir) = (&self.site.disk, &self.site.log_dir);
        disk.rename(from, to)
            .map_err(StoreError::io("rename", from))?;
        if is_planted(Defect::RecycledNameUnsynced) {
            return Ok(());
        }
        disk.sync_dir(log_dir)
            .map_err(StoreError::io("sync", log_dir))
    }

    /// Fills the file after the current one with zeros, once the current one is in real use, and
    /// what is missing in the reserve.
    pub(super) fn fill_files(&mut self) {
        let used = self.core.used.load(Ordering::Relaxed);
        let is_used = used >= self.site.file_bytes / FILL_AT_PART;
        if is_used && self.core.files.lock().ready.is_empty() {
            self.fill_one(Self::make_ready);
        }
        if is_used {
            self.core.files.lock().reserve_wanted = true;
        }
        self.fill_reserve();
        self.core.note_reserve();
    }

    /// Makes the reserve whole, unless that was tried lately.
    fn fill_reserve(&mut self) {
        let pause = if self.core.is_blocked() {
            RESERVE_RETRY
        } else {
            self.core.options.checkpoint_interval
        };
        while self.core.files.lock().is_reserve_short() {
            let tried = self.reserve_tried_at;
            if tried.is_some_and(|tried| tried.elapsed() < pause) {
                return;
            }
            if !self.fill_one(Self::make_reserve) {
                self.reserve_tried_at = Some(Instant::now());
                return;
            }
            self.reserve_tried_at = None;
        }
    }

    /// Fills a file and puts it in its place; `false` if that did not work.
    fn fill_one(
        &self,
        place: impl FnOnce(&Self, &Path, Arc<dyn File>) -> Result<bool, StoreError>,
    ) -> bool {
        let path = spare_path(&self.site.log_dir);
        match self.fill(&path).and_then(|file| place(self, &path, file)) {
            Ok(true) => return true,
            Ok(false) => {}
            Err(error) => debug!(%error, "a log file could not be filled ahead of time"),
        }
        if let Err(error) = self.site.disk.remove(&path) {
            debug!(%error, "nor could what was filled be removed");
        }
        false
    }

    fn fill(&self, path: &Path) -> Result<Arc<dyn File>, StoreError> {
        let created = self.site.disk.create(path);
        created.map_err(StoreError::io("create", path))?;
        let file = self.site.open(path).map_err(StoreError::io("open", path))?;
        self.fill_from(path, &*file, 0)?;
        Ok(file)
    }

    /// Writes zeros from `offset` up to a whole file, and syncs.
    fn fill_from(&self, path: &Path, file: &dyn File, mut offset: u64) -> Result<(), StoreError> {
        let mut zeros = Buffer::default();
        zeros.resize(FILL_PIECE_BYTES);
        while offset < self.site.file_bytes {
            let piece = (self.site.file_bytes - offset).min(FILL_PIECE_BYTES as u64);
            file.pwrite(&zeros[..piece as usize], offset)
                .map_err(StoreError::io("fill", path))?;
            offset += piece;
        }
        file.sync_data().map_err(StoreError::io("sync", path))
    }

    /// Gives up a file of the reserve, the last one too, so that a checkpoint or snapshot fits a full
    /// disk: nothing else lets old log go, which makes the reserve whole again. `false` if there is
    /// nothing to give, or nothing waits for space.
    pub(super) fn give_up_reserve(&self) -> bool {
        if !self.core.is_blocked() {
            return false;
        }
        let given = self.core.files.lock().reserve.pop();
        let slot = given.map(|file| file.slot);
        self.core.note_reserve();
        let Some(slot) = slot else { return false };
        let path = reserve_path(&self.site.log_dir, slot);
        warn!(file = %path.display(), "the disk is full: a reserve file makes room for a checkpoint");
        match self.remove(&path) {
            Ok(()) => true,
            Err(error) => {
                warn!(%error, "a file of the log's reserve could not be removed");
                false
            }
        }
    }

    /// Whether the log is so long, or the disk so full, that what can go should go now.
    pub(super) fn is_pressed(&self) -> bool {
        let limit = self.core.options.log_max_bytes / RELEASE_AT_PART;
        self.core.is_blocked() || self.core.files.lock().bytes_in_use() > limit
    }

    /// Asks the owner to let go of the oldest files while the log is longer than it should be.
    pub(super) fn ask_for_release(&mut self) {
        let options = &self.core.options;
        let (upto, bytes) = {
            let files = self.core.files.lock();
            let limit = options.log_max_bytes / RELEASE_AT_PART;
            (files.excess(limit), files.bytes_in_use())
        };
        let Some(upto) = upto.filter(|upto| *upto > self.floor.known()) else {
            return;
        };
        if upto <= self.released && bytes <= options.log_max_bytes {
            return;
        }
        let Some(owner) = self.core.owner.lock().clone() else {
            return;
        };
        self.released = self.released.max(upto);
        debug!(upto = upto.0, bytes, "the log should be shorter");
        owner.release(upto);
    }
}
