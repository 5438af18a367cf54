//! The log's directory: which files there are and what each begins with.
//! Reads nothing but the first block of each file and changes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, File};
use super::group::{BLOCK_BYTES, GROUP_HEADER_BYTES, GROUP_MAX_BYTES, GroupHeader, LogHeader};
use super::layout::{HEADER_BYTES, Header, Identity, Magic, read_header};
use super::writer::RESERVE_FILES;
use super::{Lsn, StoreError};

/// Where the first group of a log file begins.
pub(super) const FIRST_GROUP_AT: u64 = BLOCK_BYTES as u64;

const SUFFIX: &str = ".log";
const DIGITS: usize = 20;

/// Where the log lies.
pub(super) fn log_path(dir: &Path) -> PathBuf {
    dir.join("log")
}

/// The name of log file `number`.
pub(super) fn file_path(log_dir: &Path, number: u64) -> PathBuf {
    log_dir.join(format!("{number:0DIGITS$}{SUFFIX}"))
}

/// The name of a file in the reserve.
pub(super) fn reserve_path(log_dir: &Path, slot: usize) -> PathBuf {
    log_dir.join(format!("reserve-{slot}"))
}

/// The number of the log file whose name this is.
pub(super) fn parse_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let numeric = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    if numeric { digits.parse().ok() } else { None }
}

/// Whether a file in the reserve has this name.
pub(super) fn is_reserve(name: &str) -> bool {
    (1..=RESERVE_FILES).any(|slot| name == format!("reserve-{slot}"))
}

/// One file of the log.
#[derive(Clone)]
pub(super) struct LogFile {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn File>,
    pub(super) bytes: u64,
    /// The file's own header; none if the file was never written to since it got its name.
    pub(super) header: Option<LogHeader>,
    /// The header was there once and is not whole: what is known of it comes from a group.
    pub(super) damaged: bool,
    /// That group is not the file's first: what stood before it is lost.
    pub(super) lost_front: bool,
}

impl LogFile {
    /// Opens log file `number` and reads what it begins with. A record that `horizon` abandons is
    /// none of its.
    pub(super) fn read(
        disk: &dyn Disk,
        path: PathBuf,
        number: u64,
        (identity, horizon): (&Identity, Horizon),
    ) -> Result<LogFile, StoreError> {
        let mut file = LogFile::open(disk, path, number)?;
        file.read_header(identity)?;
        let counts = |header: &LogHeader| !horizon.abandons(header.epoch, header.first);
        file.header = file.header.filter(counts);
        Ok(file)
    }

    fn open(disk: &dyn Disk, path: PathBuf, number: u64) -> Result<LogFile, StoreError> {
        let file = disk.open(&path).map_err(StoreError::io("open", &path))?;
        let bytes = file.size().map_err(StoreError::io("measure", &path))?;
        Ok(LogFile {
            number,
            path,
            file,
            bytes,
            header: None,
            damaged: false,
            lost_front: false,
        })
    }

    fn read_header(&mut self, expected: &Identity) -> Result<(), StoreError> {
        let mut block = vec![0; HEADER_BYTES];
        let read = self
            .file
            .pread(&mut block, 0)
            .map_err(StoreError::io("read", &self.path))?;
        match read_header(&self.path, Magic::Log, &block[..read])? {
            Header::Blank => {}
            Header::Whole { identity, .. } if identity != *expected => {
                return Err(StoreError::WrongNode {
                    path: self.path.clone(),
                });
            }
            Header::Whole { fields, .. } => self.header = self.own(LogHeader::decode(fields))?,
            Header::Damaged => self.damaged = true,
        }
        match self.header {
            None if self.damaged => self.search_header(expected, self.bytes),
            None => self.assume_header(expected),
            Some(_) => Ok(()),
        }
    }

    /// Nothing says that the file was begun but perhaps its first group. A header that is not there
    /// was cut off with that group's write, unless the group was synced, and the header with it.
    fn assume_header(&mut self, identity: &Identity) -> Result<(), StoreError> {
        let Some(first) = self.group_at(identity, FIRST_GROUP_AT)? else {
            return self.search_header(identity, GROUP_MAX_BYTES as u64);
        };
        let second = self.group_at(identity, first.end())?;
        self.damaged = second.is_some_and(|second| first.is_synced_at(second.epoch, second.synced));
        self.header = Some(self.header_of(&first));
        Ok(())
    }

    /// Takes what a header says from the first group in so many bytes. One behind the file's first
    /// says that there was one before it if that was synced.
    fn search_header(&mut self, identity: &Identity, within: u64) -> Result<(), StoreError> {
        let mut at = FIRST_GROUP_AT;
        let counts =
            |group: &GroupHeader| group.offset == FIRST_GROUP_AT || group.synced >= group.follows;
        while at < self.bytes.min(within) {
            if let Some(group) = self.group_at(identity, at)?.filter(counts) {
                self.header = Some(self.header_of(&group));
                self.damaged = true;
                self.lost_front = at > FIRST_GROUP_AT;
                return Ok(());
            }
            at += BLOCK_BYTES as u64;
        }
        Ok(())
    }

    /// A file that was recycled keeps the header of its former, lower number until its first write.
    fn own(&self, header: Option<LogHeader>) -> Result<Option<LogHeader>, StoreError> {
        match header {
            Some(header) if header.number > self.number => Err(StoreError::Misplaced {
                path: self.path.clone(),
                number: header.number,
            }),
            header => Ok(header.filter(|header| header.number == self.number)),
        }
    }

    /// The group of this file that begins there.
    fn group_at(&self, identity: &Identity, at: u64) -> Result<Option<GroupHeader>, StoreError> {
        let mut bytes = [0; GROUP_HEADER_BYTES];
        self.file
            .pread(&mut bytes, at)
            .map_err(StoreError::io("read", &self.path))?;
        let group = GroupHeader::decode(identity, &bytes);
        Ok(group.filter(|group| group.number == self.number && group.offset == at))
    }

    /// The header as far as a group tells.
    fn header_of(&self, group: &GroupHeader) -> LogHeader {
        LogHeader {
            epoch: group.epoch,
            number: group.number,
            first: group.first,
            synced: group.synced,
            file_bytes: self.bytes,
            follows: group.follows,
            filled: group.filled,
        }
    }
}

/// What the newest run found in the log. A record of an earlier run behind it was never recovered,
/// and its LSN may belong to another record since: it is not to come back. Without syncs a power
/// loss can leave such records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Horizon {
    pub(super) epoch: u64,
    pub(super) last: Lsn,
}

impl Horizon {
    /// Whether records of `epoch` up to `last` are not all part of the log.
    pub(super) fn abandons(&self, epoch: u64, last: Lsn) -> bool {
        epoch < self.epoch && last > self.last
    }
}

/// The files of the log in the order of their numbers.
pub(super) struct LogDir {
    pub(super) path: PathBuf,
    pub(super) horizon: Horizon,
    pub(super) files: Vec<LogFile>,
}

impl LogDir {
    /// Lists the directory and reads the header of each log file.
    pub(super) fn read(
        disk: &dyn Disk,
        path: &Path,
        identity: &Identity,
        horizon: Horizon,
    ) -> Result<LogDir, StoreError> {
        let names = match disk.list(path) {
            Ok(names) => names,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(StoreError::io("list", path)(error)),
        };
        let mut files = Vec::new();
        for name in &names {
            if is_reserve(name) {
                continue;
            }
            let Some(number) = parse_name(name) else {
                tracing::warn!(dir = %path.display(), name, "not a log file: left alone");
                continue;
            };
            let path = file_path(path, number);
            files.push(LogFile::read(disk, path, number, (identity, horizon))?);
        }
        files.sort_by_key(|file| file.number);
        let mut log = LogDir {
            path: path.to_path_buf(),
            horizon,
            files,
        };
        log.search_headers(identity)?;
        Ok(log)
    }

    /// Files are begun in the order of their numbers: one without a header that stands before one
    /// with a header had one, or was left when the disk was full.
    fn search_headers(&mut self, identity: &Identity) -> Result<(), StoreError> {
        let last = self.last_written().unwrap_or(0);
        let horizon = self.horizon;
        let abandoned = |header: &LogHeader| horizon.abandons(header.epoch, header.first);
        let files = self.files.iter_mut().filter(|file| file.number < last);
        for file in files.filter(|file| file.header.is_none() && !file.damaged) {
            file.search_header(identity, file.bytes)?;
            file.header = file.header.filter(|header| !abandoned(header));
        }
        Ok(())
    }

    /// The highest number of a file that was written to.
    pub(super) fn last_written(&self) -> Option<u64> {
        self.files
            .iter()
            .rev()
            .find(|file| file.header.is_some())
            .map(|file| file.number)
    }

    /// The highest epoch any file names.
    pub(super) fn last_epoch(&self) -> u64 {
        self.files
            .iter()
            .filter_map(|file| file.header)
            .map(|h| h.epoch)
            .max()
            .unwrap_or(0)
    }

    /// The index of the file to begin with, if everything from record `from` on is needed, and
    /// changes behind `known` only.
    fn start_for(&self, from: Lsn, known: Lsn) -> Option<usize> {
        let reaches = |header: LogHeader| header.reaches_back_to(from, known);
        self.files
            .iter()
            .rposition(|file| file.header.is_some_and(reaches))
            .or_else(|| (self.has_lost_front() && self.proves(from)).then_some(0))
    }

    /// Whether nobody knows how far back the oldest file with records reached: its beginning is
    /// damaged. It may have held whatever is missing.
    fn has_lost_front(&self) -> bool {
        let is_lost = |file: &LogFile| file.header.is_none() || file.lost_front;
        self.files.first().is_some_and(is_lost) && self.last_written().is_some()
    }

    /// Whether the log holds everything promised from record `from` on, and changes behind
    /// `known`, as far as headers tell.
    pub(super) fn reaches_back_to(&self, from: Lsn, known: Lsn) -> bool {
        self.start_for(from, known).is_some() || !self.proves(from)
    }

    /// Whether any file was begun when record `lsn` was already known: to be on the device, or from
    /// the catalogue while no file had it. If none was, the record may never have got there
    /// although a later file did.
    fn proves(&self, lsn: Lsn) -> bool {
        self.files
            .iter()
            .filter_map(|file| file.header)
            .any(|header| header.synced >= lsn || (header.follows < lsn && header.first > lsn))
    }

    /// The files a replay from record `from` has to read, which must have no gap in their numbers.
    /// Changes up to `known` are known.
    pub(super) fn files_from(&self, from: Lsn, known: Lsn) -> Result<&[LogFile], StoreError> {
        let last = self.last_written().unwrap_or(0);
        let Some(start) = self.start_for(from, known) else {
            if !self.proves(from) {
                return Ok(&[]);
            }
            let first = self.files.first().map_or(1, |file| file.number);
            return Err(self.missing(first.saturating_sub(1)));
        };
        let end = self.files.partition_point(|file| file.number <= last);
        let files = &self.files[start..end];
        for pair in files.windows(2) {
            if pair[1].number != pair[0].number + 1 {
                return Err(self.missing(pair[0].number + 1));
            }
        }
        Ok(files)
    }

    /// The error for a file of this log that is not there.
    pub(super) fn missing(&self, number: u64) -> StoreError {
        StoreError::MissingFile {
            path: file_path(&self.path, number),
        }
    }
}
