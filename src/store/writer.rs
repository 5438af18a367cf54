//! Writing groups to the log: which file, at what place, and going on to the next file.
//! Does not sync and does not decide when; the commit does both. Never reads the log.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tracing::warn;

use super::disk::{Disk, File};
use super::error::is_disk_full;
use super::group::{GROUP_HEADER_BYTES, GroupHeader, LogHeader, whole_blocks};
use super::layout::Identity;
use super::logdir::{FIRST_GROUP_AT, Horizon, file_path, reserve_path};
use super::pending::OpenGroup;
use super::{Lsn, StoreError};
use crate::defects::{Defect, is_planted};

/// A file that was never filled grows in steps of this, written as zeros together with a group,
/// so that most groups overwrite blocks the file already has: half the cost of a sync.
pub(super) const GROW_BYTES: u64 = 256 << 10;

/// A log file that holds records, or is about to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) number: u64,
    /// Its first record, at the earliest.
    pub(super) first: Lsn,
    /// What it occupies.
    pub(super) bytes: u64,
}

/// A file that is filled, durable under its name, and waits for its turn.
#[derive(Clone)]
pub(super) struct ReadyFile {
    pub(super) number: u64,
    pub(super) file: Arc<dyn File>,
}

/// So many filled files are kept for when the disk is full.
pub(super) const RESERVE_FILES: usize = 2;

/// A filled file that only records that free space may use, when the disk is full.
#[derive(Clone)]
pub(super) struct ReserveFile {
    /// From 1 up to [`RESERVE_FILES`].
    pub(super) slot: usize,
    pub(super) file: Arc<dyn File>,
}

/// The log's files as its writer and its upkeep share them.
#[derive(Default)]
pub(super) struct Files {
    /// Files with records, oldest first; the last one is being written.
    pub(super) spans: VecDeque<Span>,
    /// The files after it, with consecutive numbers.
    pub(super) ready: VecDeque<ReadyFile>,
    /// All numbers up to this one have been used.
    pub(super) used_up_to: u64,
    pub(super) reserve: Vec<ReserveFile>,
    /// There was a reserve once, or there is to be one: the log is in real use.
    pub(super) reserve_wanted: bool,
}

impl Files {
    /// The number after all others.
    pub(super) fn next_number(&self) -> u64 {
        let last = self.ready.back().map(|file| file.number);
        last.or(self.spans.back().map(|span| span.number))
            .unwrap_or(self.used_up_to)
            + 1
    }

    /// Whether some of the reserve is missing.
    pub(super) fn is_reserve_short(&self) -> bool {
        self.reserve_wanted && self.reserve.len() < RESERVE_FILES
    }

    /// A slot of the reserve that is empty.
    pub(super) fn free_slot(&self) -> Option<usize> {
        (1..=RESERVE_FILES).find(|slot| self.reserve.iter().all(|file| file.slot != *slot))
    }

    /// What the files with records occupy together.
    pub(super) fn bytes_in_use(&self) -> u64 {
        self.spans.iter().map(|span| span.bytes).sum()
    }
}

/// What a writer needs to know of its log.
pub(super) struct LogSite {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) log_dir: PathBuf,
    pub(super) identity: Identity,
    /// The epoch, and the last record in the log when it began.
    pub(super) horizon: Horizon,
    /// The last record known when it began.
    pub(super) begins_after: Lsn,
    /// The last record on the device in the log when it began.
    pub(super) on_device: Lsn,
    pub(super) file_bytes: u64,
    /// Files are synced: one that was ever filled has its size, and nothing is gained by a page
    /// cache that has to write groups at once.
    pub(super) is_synced: bool,
}

impl LogSite {
    /// Opens a file that is filled, or is about to be.
    pub(super) fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        match self.is_synced {
            true => self.disk.open_direct(path),
            false => self.disk.open(path),
        }
    }

    /// The last record in the log before `first`.
    fn before(&self, first: Lsn) -> Lsn {
        if first == self.begins_after.next() {
            self.horizon.last
        } else {
            first.before()
        }
    }
}

/// The file being written.
pub(super) struct Active {
    pub(super) number: u64,
    pub(super) file: Arc<dyn File>,
    /// Up to where the file has blocks.
    pub(super) filled: u64,
    /// How large the file may become.
    capacity: u64,
    /// Where the next group goes; nothing was written yet if this is the first block.
    at: u64,
}

impl Active {
    pub(super) fn new(number: u64, file: Arc<dyn File>, filled: u64, capacity: u64) -> Active {
        Active {
            number,
            file,
            filled,
            capacity,
            at: 0,
        }
    }

    /// Up to where the file has blocks that a power loss does not take. What a group adds is synced
    /// with it, before the next one is written.
    fn durable_bytes(&self, site: &LogSite) -> u64 {
        if site.is_synced { self.filled } else { 0 }
    }

    fn takes(&self, bytes: u64) -> bool {
        self.at.max(FIRST_GROUP_AT) + bytes <= self.capacity
    }
}

/// Writes the groups of one epoch.
pub(super) struct Writer {
    site: Arc<LogSite>,
    files: Arc<Mutex<Files>>,
    active: Option<Active>,
}

/// A group that was written and must be synced.
pub(super) struct Written {
    pub(super) file: Arc<dyn File>,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// How much of the file is used now.
    pub(super) used: u64,
    /// How long writing took.
    pub(super) took: Duration,
}

impl Writer {
    /// A writer that begins in `active`, whose span stands in `files` already.
    pub(super) fn new(
        site: Arc<LogSite>,
        files: Arc<Mutex<Files>>,
        active: Option<Active>,
    ) -> Writer {
        Writer {
            site,
            files,
            active,
        }
    }

    /// Writes a group, in a new file if it does not fit the current one, and in one made large
    /// enough if it fits none. After an error the same group may be tried again.
    pub(super) fn write(
        &mut self,
        group: &mut OpenGroup,
        synced: Lsn,
    ) -> Result<Written, StoreError> {
        let needed = whole_blocks(group.bytes.len()) as u64;
        if !self.active.as_ref().is_some_and(|file| file.takes(needed)) {
            self.next_file(group.first, FIRST_GROUP_AT + needed)?;
        }
        self.write_here(group, synced)
    }

    /// Whether a file of the usual size has room for the group.
    fn is_usual(&self, group: &OpenGroup) -> bool {
        FIRST_GROUP_AT + whole_blocks(group.bytes.len()) as u64 <= self.site.file_bytes
    }

    /// Leaves a file that cannot grow for one that is filled already: one that is ready or, if
    /// that may be used, one of the reserve. `false` if there is none for this group.
    pub(super) fn leave_full_disk(
        &mut self,
        group: &OpenGroup,
        use_reserve: bool,
    ) -> Result<bool, StoreError> {
        if !self.is_usual(group) {
            return Ok(false);
        }
        let files = Arc::clone(&self.files);
        let mut files = files.lock();
        let ready = match files.ready.pop_front() {
            None if use_reserve => self.take_reserve(&mut files)?,
            ready => ready,
        };
        let Some(ready) = ready else {
            return Ok(false);
        };
        let bytes = self.site.file_bytes;
        self.begin(&mut files, ready, (bytes, bytes), group.first);
        Ok(true)
    }

    /// Gives a file of the reserve the next number, durably.
    fn take_reserve(&self, files: &mut Files) -> Result<Option<ReadyFile>, StoreError> {
        let (disk, log_dir) = (&self.site.disk, &self.site.log_dir);
        let Some(spare) = files.reserve.pop() else {
            return Ok(None);
        };
        let number = files.next_number();
        let from = reserve_path(log_dir, spare.slot);
        if let Err(error) = disk.rename(&from, &file_path(log_dir, number)) {
            files.reserve.push(spare);
            return match StoreError::io("rename", &from)(error) {
                error if error.is_passing() => Ok(None),
                error => Err(error),
            };
        }
        disk.sync_dir(log_dir)
            .map_err(StoreError::io("sync", log_dir))?;
        warn!(number, "the disk is full: the log goes on in its reserve");
        let file = spare.file;
        Ok(Some(ReadyFile { number, file }))
    }

    /// Goes on in a file that takes at least `needed` bytes.
    fn next_file(&mut self, first: Lsn, needed: u64) -> Result<(), StoreError> {
        let usual = self.site.file_bytes;
        let capacity = usual.max(needed);
        let files = Arc::clone(&self.files);
        let mut files = files.lock();
        let (ready, filled) = match files.ready.pop_front() {
            Some(ready) => (ready, usual),
            None => {
                let number = files.next_number();
                let file = create_file(&self.site, number)?;
                (ReadyFile { number, file }, 0)
            }
        };
        self.begin(&mut files, ready, (filled, capacity), first);
        Ok(())
    }

    /// Goes on in this file. `files` stays locked from the moment it was taken, or its number
    /// given: upkeep must not give another file the same one.
    fn begin(
        &mut self,
        files: &mut Files,
        ready: ReadyFile,
        (filled, capacity): (u64, u64),
        first: Lsn,
    ) {
        files.spans.push_back(Span {
            number: ready.number,
            first,
            bytes: filled,
        });
        self.active = Some(Active::new(ready.number, ready.file, filled, capacity));
    }

    fn write_here(&mut self, group: &mut OpenGroup, synced: Lsn) -> Result<Written, StoreError> {
        let site = Arc::clone(&self.site);
        let Some(active) = self.active.as_mut() else {
            return Err(StoreError::Closed);
        };
        let path = file_path(&site.log_dir, active.number);
        let length = group.bytes.len();
        let at = active.at.max(FIRST_GROUP_AT);
        seal(&site, (active, at), group, synced);
        group.bytes.resize(whole_blocks(length));
        let end = at + group.bytes.len() as u64;
        let before = active.filled;
        let written = active.put(&site, group, synced);
        group.bytes.resize(length);
        if active.filled != before
            && let Some(span) = self.files.lock().spans.back_mut()
        {
            span.bytes = active.filled;
        }
        written.map_err(StoreError::io("write", &path))?;
        let bytes = end - active.at;
        active.at = end;
        Ok(Written {
            file: Arc::clone(&active.file),
            path,
            bytes,
            used: end,
            took: Duration::ZERO,
        })
    }
}

impl Active {
    /// Writes the padded group, with zeros behind it if the file has to grow and the disk has
    /// space for them.
    fn put(&mut self, site: &LogSite, group: &mut OpenGroup, synced: Lsn) -> io::Result<()> {
        let length = group.bytes.len();
        let end = self.at.max(FIRST_GROUP_AT) + length as u64;
        if end <= self.filled {
            return self.write(site, group, synced);
        }
        let filled = end.next_multiple_of(GROW_BYTES).min(self.capacity);
        group.bytes.resize(length + (filled - end) as usize);
        match self.write(site, group, synced) {
            Ok(()) => self.filled = filled,
            Err(error) if is_disk_full(&error) => {
                group.bytes.resize(length);
                self.write(site, group, synced)?;
                self.filled = end;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Writes what `group` holds, after the file's header if it is the file's first. One sync
    /// makes both durable, and without the header the group does not count.
    fn write(&self, site: &LogSite, group: &OpenGroup, synced: Lsn) -> io::Result<()> {
        if self.at > 0 {
            return self.file.pwrite(&group.bytes, self.at);
        }
        let header = LogHeader {
            epoch: site.horizon.epoch,
            number: self.number,
            first: group.first,
            synced,
            file_bytes: self.capacity,
            follows: site.before(group.first),
            filled: self.durable_bytes(site),
        };
        self.file.pwrite(&header.encode(&site.identity), 0)?;
        self.file.pwrite(&group.bytes, FIRST_GROUP_AT)
    }
}

fn seal(site: &LogSite, (file, offset): (&Active, u64), group: &mut OpenGroup, synced: Lsn) {
    let header = GroupHeader {
        epoch: site.horizon.epoch,
        number: file.number,
        offset,
        filled: file.durable_bytes(site),
        first: group.first,
        synced,
        follows: site.before(group.first),
        records_bytes: (group.bytes.len() - GROUP_HEADER_BYTES) as u32,
        records: group.records,
    };
    header.seal(&site.identity, &mut group.bytes);
}

/// Makes the empty log file `number`, durable under its name.
pub(super) fn create_file(site: &LogSite, number: u64) -> Result<Arc<dyn File>, StoreError> {
    let path = file_path(&site.log_dir, number);
    let file = site
        .disk
        .create(&path)
        .map_err(StoreError::io("create", &path))?;
    if is_planted(Defect::LogNameUnsynced) {
        return Ok(file);
    }
    site.disk
        .sync_dir(&site.log_dir)
        .map_err(StoreError::io("sync", &site.log_dir))?;
    Ok(file)
}
