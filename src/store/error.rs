//! What can go wrong in the store, each error naming the file (and the offset) it is about.
//! Decides nothing: who caused an error and what follows is the caller's.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;

use super::Lsn;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process (or another store of this one) holds the data directory.
    #[error("data directory {} is in use by another process", dir.display())]
    Locked {
        /// The data directory.
        dir: PathBuf,
    },
    /// There is nothing of a store in the directory.
    #[error("{} is not a data directory", dir.display())]
    NoStore {
        /// The directory.
        dir: PathBuf,
    },
    /// The operating system refused a file operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as in "cannot … the file".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file does not begin as a file of this kind does.
    #[error("{} was not written by this broker", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a later version of the format.
    #[error("{} has format version {found}, this broker reads up to {known}", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// The version the file names.
        found: u32,
        /// The newest version this broker reads.
        known: u32,
    },
    /// The file belongs to the data directory of another node or cluster.
    #[error("{} belongs to another node or cluster", path.display())]
    WrongNode {
        /// The file.
        path: PathBuf,
    },
    /// A log or segment file carries a number that its name cannot have.
    #[error("{} is file number {number} under another name", path.display())]
    Misplaced {
        /// The file.
        path: PathBuf,
        /// The number in its header.
        number: u64,
    },
    /// A log file begins with records that an older file already holds.
    #[error("{} begins at record {first}, after {reached} in the file before it", path.display())]
    OutOfSequence {
        /// The file.
        path: PathBuf,
        /// The first record the file says it holds.
        first: Lsn,
        /// The last record of the files before it.
        reached: Lsn,
    },
    /// A file that must be there is not.
    #[error("{} is missing", path.display())]
    MissingFile {
        /// The file.
        path: PathBuf,
    },
    /// A record of a kind that this version does not know and may not skip.
    #[error("{} holds a record of unknown kind {kind} at offset {offset}", path.display())]
    UnknownRecord {
        /// The log file.
        path: PathBuf,
        /// Where the record begins.
        offset: u64,
        /// The kind it names.
        kind: u8,
    },
    /// A checksum or a length does not hold, and there is nothing to fall back to.
    #[error("{} is damaged at offset {offset}: {what}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where the damage begins.
        offset: u64,
        /// What does not hold.
        what: &'static str,
    },
    /// The catalogue failed, or panicked, in the named step.
    #[error("the catalogue {} failed: {reason}", path.display())]
    Catalogue {
        /// The catalogue's directory.
        path: PathBuf,
        /// What it said.
        reason: String,
    },
    /// Catalogue, snapshot and log together do not give the state back.
    #[error("{} cannot be recovered: {reason}", dir.display())]
    Unrecoverable {
        /// The data directory.
        dir: PathBuf,
        /// What is wrong with each of them.
        reason: String,
    },
    /// An option has a value that cannot work.
    #[error("store option {name} {reason}")]
    InvalidOption {
        /// The option.
        name: &'static str,
        /// What it must be.
        reason: &'static str,
    },
    /// A key is longer than the catalogue takes.
    #[error("a key of {bytes} bytes is longer than {limit}")]
    KeyTooLong {
        /// Its length.
        bytes: usize,
        /// `KEY_MAX_BYTES`.
        limit: usize,
    },
    /// A record is larger than a log group can be.
    #[error("a record of {bytes} bytes is larger than {limit}")]
    RecordTooLarge {
        /// Its size.
        bytes: usize,
        /// The largest record that fits.
        limit: usize,
    },
    /// A page is larger than a length on disk can say.
    #[error("a page of {bytes} bytes is larger than {limit}")]
    PageTooLarge {
        /// Its size.
        bytes: usize,
        /// The largest page.
        limit: usize,
    },
    /// Too much waits to be written: the disk is full or slow.
    #[error("{pending} bytes wait for the log, {limit} may")]
    Backlog {
        /// Bytes appended and not yet written.
        pending: usize,
        /// `pending_max_bytes`.
        limit: usize,
    },
    /// The log has reached its limit because checkpoints do not succeed.
    #[error("the log has reached its limit of {limit} bytes")]
    LogFull {
        /// `log_max_bytes`.
        limit: u64,
    },
    /// The record waited for was never appended.
    #[error("record {lsn} was never appended")]
    NotAppended {
        /// The record asked for.
        lsn: Lsn,
    },
    /// The store was closed while the disk was full: these records were never durable.
    #[error("records {first} to {last} were not written: the disk is full")]
    NotWritten {
        /// The first of them.
        first: Lsn,
        /// The last of them.
        last: Lsn,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The log stopped for good; nothing becomes durable any more.
    #[error("the log has stopped: {0}")]
    Failed(Arc<StoreError>),
    /// A sync of the segments failed: what was written to them may never become durable.
    #[error("the segments have failed: {0}")]
    SegmentsFailed(Arc<StoreError>),
    /// A checkpoint that was asked for failed; the log goes on and holds everything.
    #[error("the checkpoint failed: {0}")]
    Checkpoint(Arc<StoreError>),
    /// A thread of the store panicked: a defect of the broker.
    #[error("the thread {thread} panicked: {message}")]
    Panicked {
        /// The thread's name.
        thread: &'static str,
        /// The panic's message.
        message: String,
    },
}

impl StoreError {
    /// For `map_err`: an operating system error with what was tried on which file.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
        let path = path.to_path_buf();
        move |source| StoreError::Io {
            action,
            path,
            source,
        }
    }

    /// Whether it says that what is on disk is wrong or missing, rather than that something
    /// cannot be done now.
    pub fn is_damage(&self) -> bool {
        self.place().is_some()
    }

    /// The file (or directory) in which something is wrong or missing, and the offset if there is
    /// one to name; `None` if that is not what this error says.
    pub fn place(&self) -> Option<(&Path, Option<u64>)> {
        match self {
            StoreError::Foreign { path }
            | StoreError::NewerFormat { path, .. }
            | StoreError::WrongNode { path }
            | StoreError::Misplaced { path, .. } => Some((path, Some(0))),
            StoreError::OutOfSequence { path, .. }
            | StoreError::MissingFile { path }
            | StoreError::Catalogue { path, .. } => Some((path, None)),
            StoreError::UnknownRecord { path, offset, .. }
            | StoreError::Corrupt { path, offset, .. } => Some((path, Some(*offset))),
            StoreError::Unrecoverable { dir, .. } => Some((dir, None)),
            _ => None,
        }
    }

    /// Whether the disk (or the quota) is full, which passes when space is back.
    pub(super) fn is_disk_full(&self) -> bool {
        matches!(self, StoreError::Io { source, .. } if is_disk_full(source))
    }

    /// Whether the process has no file descriptor left.
    pub(super) fn is_out_of_descriptors(&self) -> bool {
        matches!(self, StoreError::Io { source, .. } if is_out_of_descriptors(source))
    }

    /// Whether the file system cannot do what was asked at all.
    pub(super) fn is_unsupported(&self) -> bool {
        matches!(self, StoreError::Io { source, .. }
            if source.kind() == io::ErrorKind::Unsupported)
    }

    /// Whether it may work later as it is: the disk is full, or the process is short of what
    /// others may give back.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, StoreError::Io { source, .. }
            if is_disk_full(source) || is_out_of_resources(source))
    }
}

/// Whether `error` says that the process has no memory or no file descriptor left.
pub(super) fn is_out_of_resources(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::OutOfMemory || is_out_of_descriptors(error)
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    let descriptors = [Errno::MFILE, Errno::NFILE];
    descriptors
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Whether `error` says that the disk or the quota is full.
pub(super) fn is_disk_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// The text of a caught panic.
pub(super) fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        return (*text).to_owned();
    }
    payload
        .downcast_ref::<String>()
        .cloned()
        .unwrap_or_else(|| "no message".to_owned())
}
