//! Beginning an epoch of the log: which file this run writes first, and which files of former runs
//! it can use. Runs once, after the map is known; reads nothing but the names it is given.

use std::collections::VecDeque;
use std::sync::Arc;

use super::disk::Disk;
use super::logdir::{Horizon, LogDir, file_path, reserve_path};
use super::node::{NodeFile, NodeState};
use super::options::{Durability, StoreOptions};
use super::recover::remove_if_there;
use super::writer::{
    Active, Files, LogSite, RESERVE_FILES, ReadyFile, ReserveFile, Span, create_file,
};
use super::{Lsn, StoreError};

/// What a run writes its log with.
pub(super) struct Epoch {
    pub(super) site: Arc<LogSite>,
    pub(super) files: Files,
    /// The file to begin in; none if the disk was full.
    pub(super) active: Option<Active>,
}

/// What a start found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    /// The last record known.
    pub(super) last: Lsn,
    /// The last record in the log. What earlier runs wrote behind it does not count.
    pub(super) log_end: Lsn,
    /// The last record on the device in the log.
    pub(super) on_device: Lsn,
    /// No entry up to this record is needed.
    pub(super) floor: Lsn,
}

impl Epoch {
    /// Begins a new file for the records after the last one, and says so in the node file.
    pub(super) fn begin(
        disk: Arc<dyn Disk>,
        node: &mut NodeFile,
        log: &LogDir,
        options: &StoreOptions,
        ends: Ends,
    ) -> Result<Epoch, StoreError> {
        let Ends {
            last,
            log_end,
            on_device,
            floor,
        } = ends;
        let site = LogSite {
            disk,
            log_dir: log.path.clone(),
            identity: node.identity,
            horizon: Horizon {
                epoch: node.state.epoch.max(log.last_epoch()) + 1,
                last: log_end,
            },
            begins_after: last,
            on_device,
            file_bytes: options.log_file_bytes,
            is_synced: options.durability == Durability::Fsync,
        };
        let written = log.last_written().map_or(1, |number| number + 1);
        let number = written.max(node.state.first_file);
        let mut files = Files {
            used_up_to: number - 1,
            ..Files::default()
        };
        files.spans = spans(log, number, last.next());
        files.reserve = reserve_files(&site)?;
        files.reserve_wanted = !files.reserve.is_empty();
        let active = first_file(&site, log, number)?;
        if active.is_some() {
            files.spans.push_back(Span {
                number,
                first: last.next(),
                bytes: active.as_ref().map_or(0, |active| active.filled),
            });
            files.ready = ready_files(&site, log, number + 1)?;
        }
        let first_file = active.as_ref().map_or(0, |active| active.number);
        node.write(NodeState {
            epoch: site.horizon.epoch,
            first_file,
            last,
            floor,
            log_end: on_device,
            clean: false,
        })?;
        Ok(Epoch {
            site: Arc::new(site),
            files,
            active,
        })
    }
}

/// The files with records below `number`. One whose header is unreadable counts until the file
/// after it does not.
fn spans(log: &LogDir, number: u64, next: Lsn) -> VecDeque<Span> {
    let mut spans = VecDeque::new();
    let mut first = next;
    for file in log.files.iter().rev().filter(|file| file.number < number) {
        first = file.header.map_or(first, |header| header.first);
        spans.push_front(Span {
            number: file.number,
            first,
            bytes: file.bytes,
        });
    }
    spans
}

/// The file `number`, made if it is not there; `None` if the disk is full.
fn first_file(site: &LogSite, log: &LogDir, number: u64) -> Result<Option<Active>, StoreError> {
    let prepared = log.files.iter().find(|file| file.number == number);
    if let Some(file) = prepared.filter(|file| file.bytes <= site.file_bytes) {
        // A killed run may have left it with a size that only the system's cache knows.
        file.file
            .sync_data()
            .map_err(StoreError::io("sync", &file.path))?;
        let opened = site
            .open(&file.path)
            .map_err(StoreError::io("open", &file.path))?;
        return Ok(Some(Active::new(
            number,
            opened,
            file.bytes,
            site.file_bytes,
        )));
    }
    match create_file(site, number) {
        Ok(file) => Ok(Some(Active::new(number, file, 0, site.file_bytes))),
        Err(error) if error.is_disk_full() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The files kept for a full disk that are whole; others in their place are removed.
fn reserve_files(site: &LogSite) -> Result<Vec<ReserveFile>, StoreError> {
    let mut reserve = Vec::new();
    for slot in 1..=RESERVE_FILES {
        let path = reserve_path(&site.log_dir, slot);
        let file = match site.open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(StoreError::io("open", &path)(error)),
        };
        let bytes = file.size().map_err(StoreError::io("measure", &path))?;
        if bytes == site.file_bytes {
            reserve.push(ReserveFile { slot, file });
        } else {
            remove_if_there(&*site.disk, &path)?;
        }
    }
    Ok(reserve)
}

/// The filled files that follow on each other from `first` on; others behind them are removed.
fn ready_files(
    site: &LogSite,
    log: &LogDir,
    first: u64,
) -> Result<VecDeque<ReadyFile>, StoreError> {
    let (mut ready, mut next) = (VecDeque::new(), first);
    for file in log.files.iter().filter(|file| file.number >= first) {
        let path = file_path(&site.log_dir, file.number);
        if file.number == next && file.bytes == site.file_bytes {
            let file = site.open(&path);
            ready.push_back(ReadyFile {
                number: next,
                file: file.map_err(StoreError::io("open", &path))?,
            });
            next += 1;
        } else {
            remove_if_there(&*site.disk, &path)?;
        }
    }
    Ok(ready)
}
