//! Writing groups to the log: which file, at what place, and going on to the next file.
//! Does not sync and does not decide when; the commit does both. Never reads the log.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::disk::{Disk, File};
use super::error::is_disk_full;
use super::group::{BLOCK_BYTES, GROUP_HEADER_BYTES, GroupHeader, LogHeader, whole_blocks};
use super::layout::Identity;
use super::logdir::{FIRST_GROUP_AT, Horizon, file_path};
use super::pending::OpenGroup;
use super::{Lsn, StoreError};

/// A file that was never filled grows in steps of this, written as zeros together with a group,
/// so that most groups overwrite blocks the file already has: half the cost of a sync.
const GROW_BYTES: u64 = 256 << 10;

/// A log file that holds records, or is about to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) number: u64,
    /// Its first record, at the earliest.
    pub(super) first: Lsn,
}

/// A file that is filled, durable under its name, and waits for its turn.
#[derive(Clone)]
pub(super) struct ReadyFile {
    pub(super) number: u64,
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
}

impl Files {
    /// The number after all others.
    pub(super) fn next_number(&self) -> u64 {
        let last = self.ready.back().map(|file| file.number);
        last.or(self.spans.back().map(|span| span.number))
            .unwrap_or(self.used_up_to)
            + 1
    }
}

/// What a writer needs to know of its log.
pub(super) struct LogSite {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) log_dir: PathBuf,
    pub(super) identity: Identity,
    /// The epoch, and the record it began after.
    pub(super) horizon: Horizon,
    pub(super) file_bytes: u64,
}

/// The file being written.
pub(super) struct Active {
    pub(super) number: u64,
    pub(super) file: Arc<dyn File>,
    /// Up to where the file has blocks.
    pub(super) filled: u64,
    /// Where the next group goes; nothing was written yet if this is the first block.
    at: u64,
}

impl Active {
    pub(super) fn new(number: u64, file: Arc<dyn File>, filled: u64) -> Active {
        Active {
            number,
            file,
            filled,
            at: 0,
        }
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

    /// Writes a group, in a new file if it does not fit the current one. After an error the same
    /// group may be tried again.
    pub(super) fn write(
        &mut self,
        group: &mut OpenGroup,
        synced: Lsn,
    ) -> Result<Written, StoreError> {
        let room = self.site.file_bytes;
        let needed = whole_blocks(group.bytes.len()) as u64;
        let fits = |active: &Active| active.at.max(FIRST_GROUP_AT) + needed <= room;
        if !self.active.as_ref().is_some_and(fits) {
            self.next_file(group.first)?;
        }
        self.write_here(group, synced)
    }

    /// Leaves a file that cannot grow for one that is filled already, if there is one.
    pub(super) fn leave_full_disk(&mut self, first: Lsn) -> bool {
        let Some(ready) = self.files.lock().ready.pop_front() else {
            return false;
        };
        self.begin(ready, self.site.file_bytes, first);
        true
    }

    fn next_file(&mut self, first: Lsn) -> Result<(), StoreError> {
        let mut files = self.files.lock();
        if let Some(ready) = files.ready.pop_front() {
            drop(files);
            self.begin(ready, self.site.file_bytes, first);
            return Ok(());
        }
        // Under the lock, so that upkeep cannot give another file the same name.
        let number = files.next_number();
        let file = create_file(&self.site, number)?;
        drop(files);
        self.begin(ReadyFile { number, file }, 0, first);
        Ok(())
    }

    fn begin(&mut self, ready: ReadyFile, filled: u64, first: Lsn) {
        let span = Span {
            number: ready.number,
            first,
        };
        self.files.lock().spans.push_back(span);
        self.active = Some(Active::new(ready.number, ready.file, filled));
    }

    fn write_here(&mut self, group: &mut OpenGroup, synced: Lsn) -> Result<Written, StoreError> {
        let site = Arc::clone(&self.site);
        let Some(active) = self.active.as_mut() else {
            return Err(StoreError::Closed);
        };
        let path = file_path(&site.log_dir, active.number);
        let length = group.bytes.len();
        let at = active.at.max(FIRST_GROUP_AT);
        seal(&site, active.number, at, group, synced);
        group.bytes.resize(whole_blocks(length), 0);
        let end = at + group.bytes.len() as u64;
        let written = active.put(&site, group, synced);
        group.bytes.truncate(length);
        written.map_err(StoreError::io("write", &path))?;
        let bytes = end - active.at;
        active.at = end;
        Ok(Written {
            file: Arc::clone(&active.file),
            path,
            bytes,
            used: end,
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
        let filled = end.next_multiple_of(GROW_BYTES).min(site.file_bytes);
        group.bytes.resize(length + (filled - end) as usize, 0);
        match self.write(site, group, synced) {
            Ok(()) => self.filled = filled,
            Err(error) if is_disk_full(&error) => {
                group.bytes.truncate(length);
                self.write(site, group, synced)?;
                self.filled = end;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Writes what `group` holds, with the file's header before it if it is the file's first.
    fn write(&self, site: &LogSite, group: &OpenGroup, synced: Lsn) -> io::Result<()> {
        if self.at > 0 {
            return self.file.pwrite(&group.bytes, self.at);
        }
        let header = LogHeader {
            epoch: site.horizon.epoch,
            number: self.number,
            first: group.first,
            synced,
            file_bytes: site.file_bytes,
        };
        let mut bytes = Vec::with_capacity(BLOCK_BYTES + group.bytes.len());
        bytes.extend_from_slice(&header.encode(&site.identity));
        bytes.extend_from_slice(&group.bytes);
        self.file.pwrite(&bytes, 0)
    }
}

fn seal(site: &LogSite, number: u64, offset: u64, group: &mut OpenGroup, synced: Lsn) {
    let header = GroupHeader {
        epoch: site.horizon.epoch,
        number,
        offset,
        first: group.first,
        synced,
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
    site.disk
        .sync_dir(&site.log_dir)
        .map_err(StoreError::io("sync", &site.log_dir))?;
    Ok(file)
}
