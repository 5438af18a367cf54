//! A copy of the data directory of a broker that goes on serving: the store's, with the pages that its
//! map names. What a start finds there is what there was at one record of the log.

use std::collections::BTreeSet;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker_core::definition::{Definition, is_queue_key};
use broker_core::journal::{PageEntry, PageKey};
use parking_lot::Mutex;
use tracing::{error, info, warn};

use super::Pager;
use crate::store::pages::PageAt;
use crate::store::{Disk, Lsn, Map, RealDisk, Store, StoreError};

/// Makes copies, one at a time.
pub(crate) struct Backups {
    store: Store,
    pager: Arc<Pager>,
    data_dir: PathBuf,
    turn: Mutex<()>,
}

impl std::fmt::Debug for Backups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backups").finish_non_exhaustive()
    }
}

/// A copy that was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backup {
    /// It is as of this record.
    pub(crate) lsn: Lsn,
    pub(crate) log_files: usize,
    pub(crate) pages: u64,
    /// Pages that are damaged, and missing in the copy.
    pub(crate) lost_pages: usize,
    pub(crate) bytes: u64,
    pub(crate) took: Duration,
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    /// Another one is being made.
    #[error("another backup is being made")]
    Busy,
    /// It cannot go where it should.
    #[error("{}: {why}", target.display())]
    Target {
        /// Where that is.
        target: PathBuf,
        /// Why not.
        why: String,
    },
    /// It failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Backups {
    pub(crate) fn new(store: Store, pager: Arc<Pager>, data_dir: &Path) -> Backups {
        Backups {
            store,
            pager,
            data_dir: data_dir.to_path_buf(),
            turn: Mutex::new(()),
        }
    }

    /// Copies everything into `target`, which is made, or empty. Blocks for as long as that takes;
    /// nobody waits for it, but what is deleted meanwhile gives no space back.
    pub(crate) fn make(&self, target: &Path) -> Result<Backup, BackupError> {
        let Some(_turn) = self.turn.try_lock() else {
            return Err(BackupError::Busy);
        };
        self.prepare(target).map_err(|why| BackupError::Target {
            target: target.to_path_buf(),
            why,
        })?;
        let made = self.copy(target);
        match &made {
            Ok(backup) => info!(target = %target.display(), ?backup, "backup made"),
            Err(cause) => {
                warn!(target = %target.display(), %cause, "a backup failed");
                // Everything in there is ours.
                if let Err(cause) = std::fs::remove_dir_all(target) {
                    warn!(target = %target.display(), %cause, "what there was of it is left");
                }
            }
        }
        Ok(made?)
    }

    /// Makes the target, or says why a copy cannot go there.
    fn prepare(&self, target: &Path) -> Result<(), String> {
        let is_plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
        if !target.is_absolute() || !target.components().all(is_plain) {
            return Err("not an absolute path".into());
        }
        let said = |error: io::Error| error.to_string();
        let own = std::fs::canonicalize(&self.data_dir).map_err(said)?;
        let parent = target.parent().ok_or("no directory to make")?;
        let parent = std::fs::canonicalize(parent).map_err(said)?;
        let there = std::fs::canonicalize(target).unwrap_or(parent);
        if there.starts_with(&own) {
            return Err("inside the broker's data directory".into());
        }
        match RealDisk.list(target) {
            Ok(names) if names.is_empty() => Ok(()),
            Ok(_) => Err("exists and is not empty".into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                RealDisk.create_dir(target).map_err(said)
            }
            Err(error) => Err(said(error)),
        }
    }

    fn copy(&self, target: &Path) -> Result<Backup, StoreError> {
        let begun = Instant::now();
        // Before the store says as of which record the copy is: no page that this names goes.
        let held = self.pager.hold();
        let copy = self.store.copy_to(target)?;
        let named = pages(copy.map());
        let pages = self.pager.pages();
        let pages = pages.copy_to(Arc::new(RealDisk), target, named)?;
        drop(held);
        for (page, cause) in &pages.lost {
            error!(?page, %cause, "a damaged page is missing in the backup");
        }
        let backup = Backup {
            lsn: copy.lsn(),
            log_files: copy.log_files(),
            pages: pages.pages,
            lost_pages: pages.lost.len(),
            bytes: copy.bytes() + pages.bytes,
            took: begun.elapsed(),
        };
        copy.finish()?;
        Ok(backup)
    }
}

/// The pages of queues that exist. Those of others are forgotten at a start, and may be gone.
fn pages(map: &Map) -> Vec<PageAt> {
    let queues = map.iter().filter(|(key, _)| is_queue_key(key));
    let ids = queues.filter_map(|(key, value)| match Definition::read(key, value) {
        Ok(Definition::Queue(_, _, id)) => Some(id.0),
        _ => None,
    });
    let ids: BTreeSet<u64> = ids.collect();
    let entries = map.range(PageKey::PREFIX.to_vec()..);
    let entries = entries.take_while(|(key, _)| key.starts_with(PageKey::PREFIX));
    let pages = entries.filter_map(|(key, value)| PageEntry::decode(key, value).ok());
    let pages = pages.filter(|page| ids.contains(&page.queue));
    let place = |page: PageEntry| PageAt {
        segment: page.segment,
        offset: page.offset,
        length: page.length,
        crc: page.crc,
    };
    pages.map(place).collect()
}

#[cfg(test)]
mod tests;
