//! What an operator can choose about the store, and what of it cannot work.

use std::path::PathBuf;
use std::time::Duration;

use super::StoreError;
use super::group::{BLOCK_BYTES, GROUP_HEADER_BYTES, GROUP_MAX_BYTES};
use super::record::RECORD_HEADER_BYTES;

/// When a record counts as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// When the device has it: it survives a power loss.
    #[default]
    Fsync,
    /// When the operating system has it: it survives a crash of the broker only.
    Os,
}

/// How a store is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// The data directory; made if it is not there.
    pub dir: PathBuf,
    /// When a record counts as durable.
    pub durability: Durability,
    /// The size of a log file.
    pub log_file_bytes: u64,
    /// The log may grow to this if it cannot be shortened; then only what frees space is taken.
    pub log_max_bytes: u64,
    /// So much may wait to be written; then appending changes fails until some of it is, and
    /// entries should not be brought.
    pub pending_max_bytes: usize,
    /// The largest entry, with the header of its record. A larger one is a defect of the owner.
    pub entry_max_bytes: usize,
    /// A checkpoint is made after so much log …
    pub checkpoint_log_bytes: u64,
    /// … or so long after the last one, if there is anything to write.
    pub checkpoint_interval: Duration,
    /// A definitions snapshot is made after so much log, or more where the snapshot is large.
    pub snapshot_log_bytes: u64,
    /// The catalogue's page cache.
    pub catalogue_cache_bytes: u64,
}

/// A group's length has 32 bits, and a group is held in memory whole.
const ENTRY_MAX_BYTES: usize = 513 << 20;
/// Two blocks of header and one group is the least a log file can be.
const LOG_FILE_MIN_BYTES: u64 = 64 << 10;
/// The current file, the one after it and what a snapshot holds back.
const LOG_MIN_FILES: u64 = 4;

impl StoreOptions {
    /// The defaults for a data directory.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        StoreOptions {
            dir: dir.into(),
            durability: Durability::Fsync,
            log_file_bytes: 64 << 20,
            log_max_bytes: 1 << 30,
            pending_max_bytes: 64 << 20,
            entry_max_bytes: ENTRY_MAX_BYTES,
            checkpoint_log_bytes: 64 << 20,
            checkpoint_interval: Duration::from_secs(60),
            snapshot_log_bytes: 64 << 20,
            catalogue_cache_bytes: 16 << 20,
        }
    }

    pub(super) fn check(&self) -> Result<(), StoreError> {
        let wrong = |name, reason| Err(StoreError::InvalidOption { name, reason });
        if self.log_file_bytes < LOG_FILE_MIN_BYTES
            || !self.log_file_bytes.is_multiple_of(BLOCK_BYTES as u64)
        {
            return wrong(
                "log_file_bytes",
                "must be a multiple of 4096 and at least 65536",
            );
        }
        if self.log_max_bytes / LOG_MIN_FILES < self.log_file_bytes {
            return wrong("log_max_bytes", "must hold at least four log files");
        }
        if self.pending_max_bytes < self.group_max_bytes() {
            return wrong("pending_max_bytes", "must hold one log file or 8 MiB");
        }
        if !(self.record_max_bytes()..=ENTRY_MAX_BYTES).contains(&self.entry_max_bytes) {
            return wrong(
                "entry_max_bytes",
                "must hold what fits a group and be at most 513 MiB",
            );
        }
        if self.checkpoint_interval.is_zero() {
            return wrong("checkpoint_interval", "must not be zero");
        }
        if self.checkpoint_log_bytes < BLOCK_BYTES as u64 {
            return wrong("checkpoint_log_bytes", "must be at least 4096");
        }
        Ok(())
    }

    /// The largest group, with its header.
    pub(super) fn group_max_bytes(&self) -> usize {
        let capacity = self.log_file_bytes.saturating_sub(BLOCK_BYTES as u64);
        usize::try_from(capacity).map_or(GROUP_MAX_BYTES, |bytes| bytes.min(GROUP_MAX_BYTES))
    }

    /// The largest record, with its header.
    pub(super) fn record_max_bytes(&self) -> usize {
        self.group_max_bytes() - GROUP_HEADER_BYTES
    }
}

/// A record holds at least its header, one byte of operation and a key's length.
const _: () = assert!(LOG_FILE_MIN_BYTES as usize > 2 * BLOCK_BYTES + RECORD_HEADER_BYTES + 5);

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(change: impl FnOnce(&mut StoreOptions), option: &str) {
        let mut options = StoreOptions::new("dir");
        change(&mut options);
        let Err(StoreError::InvalidOption { name, .. }) = options.check() else {
            panic!("an invalid option expected");
        };
        assert_eq!(name, option);
    }

    #[test]
    fn the_defaults_work() {
        assert!(StoreOptions::new("dir").check().is_ok());
    }

    #[test]
    fn values_that_cannot_work_are_named() {
        refused(
            |options| options.checkpoint_interval = Duration::ZERO,
            "checkpoint_interval",
        );
        refused(
            |options| options.checkpoint_log_bytes = 4095,
            "checkpoint_log_bytes",
        );
        refused(
            |options| options.log_file_bytes = (64 << 10) - 4096,
            "log_file_bytes",
        );
        refused(|options| options.log_file_bytes += 1, "log_file_bytes");
        refused(
            |options| options.log_max_bytes = (256 << 20) - 1,
            "log_max_bytes",
        );
        refused(
            |options| options.pending_max_bytes = (8 << 20) - 1,
            "pending_max_bytes",
        );
        refused(
            |options| options.entry_max_bytes = (8 << 20) - 65,
            "entry_max_bytes",
        );
        refused(
            |options| options.entry_max_bytes = (513 << 20) + 1,
            "entry_max_bytes",
        );
    }

    #[test]
    fn the_least_sizes_work() {
        let options = StoreOptions {
            log_file_bytes: 64 << 10,
            log_max_bytes: 256 << 10,
            pending_max_bytes: 60 << 10,
            entry_max_bytes: (60 << 10) - 64,
            ..StoreOptions::new("dir")
        };
        assert!(options.check().is_ok());
        assert_eq!(options.record_max_bytes(), (60 << 10) - 64);
    }
}
