//! The durable state of a broker: a flat ordered map of byte keys and values, changed through one
//! write-ahead log. Agnostic of what it stores; knows no vhost, no queue and no message.
//!
//! `append` puts a record into a buffer and returns its LSN. The log thread writes what has
//! gathered as one group, syncs it, and announces the durable LSN; meanwhile the next group
//! gathers. Upkeep writes what changed to the catalogue and recycles the log before it.
//! The formats and the rules of recovery are in docs/STORAGE.md.
//!
//! ```text
//! append ─► pending ─► writer ─► log files ─► replay ─┐
//!                        │                            ├─► open: the map
//!                        └► dirty ─► upkeep ─► catalogue, snapshot
//! ```

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

mod alarm;
mod backup;
mod base;
mod buffer;
mod catalogue;
mod commit;
mod core;
mod disk;
mod entries;
mod epoch;
mod error;
mod finding;
mod floor;
mod group;
pub mod inspect;
mod layout;
mod logdir;
mod node;
mod options;
pub mod pages;
mod pending;
mod record;
mod recover;
mod replay;
mod requests;
mod retire;
pub mod sim;
mod snapshot;
mod spares;
mod syncs;
mod threads;
mod upkeep;
mod window;
mod writer;

use self::catalogue::SledSource;
use self::core::Core;
use self::floor::Floor;
use self::node::{NodeFile, NodeState};
use self::upkeep::{Upkeep, UpkeepStatus};
use self::writer::{LogSite, Writer};

pub use self::alarm::{DamageAlarm, FINDS_MAX, Found};
pub use self::backup::StoreCopy;
pub use self::catalogue::{Catalogue, CatalogueError, CatalogueSource, Entries, Mark, Visit};
pub use self::disk::{Disk, File, RealDisk};
pub use self::entries::{ENTRY_KINDS, NoEntries, Owner, Replay};
pub use self::error::StoreError;
pub use self::finding::{Finding, Severity};
pub use self::layout::Identity;
pub use self::options::{Durability, StoreOptions};
pub use self::record::{Change, KEY_MAX_BYTES};
pub use self::recover::{Map, Recovered, Report};
pub use self::replay::{Damage, Place, Sink, UNKNOWN};
pub use self::syncs::{SYNC_TIME_BOUNDS, Syncs};

/// A record's place in the log: log sequence number. They count from 1 without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(
    /// The number; 0 stands for nothing to wait for.
    pub u64,
);

impl Lsn {
    fn next(self) -> Lsn {
        Lsn(self.0.saturating_add(1))
    }

    fn before(self) -> Lsn {
        Lsn(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How the store stands, for operators.
#[derive(Debug, Clone)]
pub struct Status {
    /// The last record appended.
    pub appended: Lsn,
    /// The last durable record.
    pub durable: Lsn,
    /// The bytes of the records between them.
    pub pending_bytes: usize,
    /// The record up to which the catalogue holds everything.
    pub checkpoint: Lsn,
    /// The record up to which the definitions snapshot does.
    pub snapshot: Lsn,
    /// No entry up to this record is needed any more.
    pub floor: Lsn,
    /// Log files that hold records.
    pub log_files: usize,
    /// The bytes they occupy.
    pub log_bytes: u64,
    /// The size of the last group written.
    pub last_group_bytes: u64,
    /// What syncs cost so far.
    pub syncs: Syncs,
    /// As [`Store::is_backlogged`].
    pub backlogged: bool,
    /// Why nothing becomes durable at the moment, which passes: the disk is full, say.
    pub blocked: Option<Arc<StoreError>>,
    /// How long a sync has been running: seconds mean a failing device.
    pub sync_age: Option<Duration>,
    /// Why the last checkpoint failed.
    pub checkpoint_error: Option<Arc<StoreError>>,
    /// Why the last snapshot failed.
    pub snapshot_error: Option<Arc<StoreError>>,
    /// Why nothing becomes durable any more.
    pub failed: Option<Arc<StoreError>>,
}

/// The store; clones are the same one. Dropping the last one without [`Store::close`] is a crash:
/// what is not durable is lost, and the next start reads the log.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    core: Arc<Core>,
    site: Arc<LogSite>,
    upkeep: Arc<Mutex<UpkeepStatus>>,
    running: Mutex<Option<Running>>,
}

/// What ends when the store is closed.
struct Running {
    log: JoinHandle<()>,
    upkeep: JoinHandle<Option<Upkeep>>,
    node: NodeFile,
    _lock: Box<dyn Send + Sync>,
}

impl Store {
    /// Locks the directory (a second process fails with [`StoreError::Locked`]), opens or makes
    /// what is in it, hands map and log to `replay`, and returns the whole map as of the last
    /// durable change. `notify` is called from a thread of the store with the durable LSN after
    /// each sync, when [`is_backlogged`](Self::is_backlogged) ends, and once more if the log stops
    /// for good; it must not block and not panic.
    pub fn open(
        options: StoreOptions,
        notify: Box<dyn Fn(Lsn) + Send + Sync>,
        replay: &mut dyn Replay,
    ) -> Result<(Store, Recovered), StoreError> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let cache_bytes = options.catalogue_cache_bytes;
        let source = SledSource::new(Arc::clone(&disk), &options.dir, cache_bytes);
        Store::open_on(disk, Arc::new(source), options, notify, replay)
    }

    /// As [`Store::open`], on another disk and with another catalogue.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        catalogue: Arc<dyn CatalogueSource>,
        options: StoreOptions,
        notify: Box<dyn Fn(Lsn) + Send + Sync>,
        replay: &mut dyn Replay,
    ) -> Result<(Store, Recovered), StoreError> {
        let (parts, recovered) = Parts::open(disk, catalogue, options, notify, replay)?;
        Ok((parts.start()?, recovered))
    }

    /// Tells the store whom to ask which entries are still needed. Until then no log is recycled
    /// beyond the floor the start found. The owner is let go by [`close`](Self::close); one that
    /// holds a store itself keeps it open until then.
    pub fn attach(&self, owner: Arc<dyn Owner>) {
        *self.inner.core.owner.lock() = Some(owner);
        self.inner.core.requests.look();
    }

    /// Appends the changes as one record, which after a crash is there whole or not at all.
    /// Never waits for the disk. Without changes there is nothing to wait for: `Lsn(0)`.
    pub fn append(&self, changes: &[Change]) -> Result<Lsn, StoreError> {
        self.inner.core.append(changes)
    }

    /// Appends an entry: `parts`, one after the other, as one record, which after a crash is
    /// there whole or not at all. Never waits and never fails, so that it can be called under any
    /// lock: after a failure or a close the record returned never becomes durable. Who brings
    /// entries stops while the store [is backlogged](Self::is_backlogged).
    ///
    /// # Panics
    ///
    /// If the kind is not in [`ENTRY_KINDS`].
    pub fn append_entry(&self, kind: u8, parts: &[&[u8]]) -> Lsn {
        self.inner.core.append_entry(kind, parts, false)
    }

    /// As [`append_entry`](Self::append_entry), for an entry that lets others be forgotten: it is
    /// written, with all that was appended before it, also while the log is at its limit or, as
    /// long as the reserve lasts, the disk is full.
    ///
    /// # Panics
    ///
    /// If the kind is not in [`ENTRY_KINDS`].
    pub fn append_freeing_entry(&self, kind: u8, parts: &[&[u8]]) -> Lsn {
        self.inner.core.append_entry(kind, parts, true)
    }

    /// Appends changes with the promise of [`append_freeing_entry`](Self::append_freeing_entry):
    /// never refused however much waits. A record larger than [`append`](Self::append) takes is a
    /// defect of the caller, and stops the log.
    pub fn append_changes_unbounded(&self, changes: &[Change]) -> Lsn {
        self.inner.core.append_changes_unbounded(changes)
    }

    /// Whether entries should not be brought for now: more waits to be written than may, the log
    /// is at its limit, or the disk is full. When that ends, `notify` is called.
    pub fn is_backlogged(&self) -> bool {
        self.inner.core.is_backlogged()
    }

    /// The last record appended.
    pub fn appended(&self) -> Lsn {
        self.inner.core.appended().0
    }

    /// The last durable record.
    pub fn durable(&self) -> Lsn {
        self.inner.core.durable()
    }

    /// Waits until a record is durable. For start-up, shutdown and tests.
    pub fn wait_durable(&self, lsn: Lsn) -> Result<(), StoreError> {
        self.inner.core.wait_durable(lsn)
    }

    /// Writes everything durable to the catalogue now, and waits for it.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        let core = &self.inner.core;
        let done = core.requests.checkpoint();
        match (&done, core.failed()) {
            (Err(StoreError::Closed), Some(failure)) => Err(StoreError::Failed(failure)),
            _ => done,
        }
    }

    /// Why the log has stopped for good, if it has: nothing becomes durable any more, and the
    /// process should end.
    pub fn failed(&self) -> Option<Arc<StoreError>> {
        self.inner.core.failed()
    }

    /// What was found damaged since the start, here or by who reads what the store keeps.
    pub fn damage(&self) -> &Arc<DamageAlarm> {
        &self.inner.core.damage
    }

    /// How the store stands.
    pub fn status(&self) -> Status {
        let core = &self.inner.core;
        let (appended, pending_bytes) = core.appended();
        let upkeep = self.inner.upkeep.lock().clone();
        let (log_files, log_bytes) = {
            let files = core.files.lock();
            (files.spans.len(), files.bytes_in_use())
        };
        Status {
            appended,
            durable: core.durable(),
            pending_bytes,
            checkpoint: upkeep.checkpoint,
            snapshot: upkeep.snapshot,
            floor: upkeep.floor,
            log_files,
            log_bytes,
            last_group_bytes: core.last_group.load(std::sync::atomic::Ordering::Relaxed),
            syncs: core.syncs.read(),
            backlogged: core.is_backlogged(),
            blocked: core.blocked(),
            sync_age: core.sync_age(),
            checkpoint_error: upkeep.checkpoint_error,
            snapshot_error: upkeep.snapshot_error,
            failed: core.failed(),
        }
    }

    /// Writes what was appended, makes a checkpoint, and gives the directory back. If the owner
    /// needs no entry any more, the next start reads no log. Clones of the store get
    /// [`StoreError::Closed`] from now on.
    pub fn close(self) -> Result<(), StoreError> {
        let Some(running) = self.inner.running.lock().take() else {
            return Err(StoreError::Closed);
        };
        let closed = running.close(&self.inner.core);
        // It may hold a store itself.
        *self.inner.core.owner.lock() = None;
        closed
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("dir", &self.inner.core.options.dir)
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(running) = self.running.lock().take() {
            self.core.stop();
            self.core.requests.stop();
            threads::join(running.log);
            threads::join(running.upkeep);
        }
    }
}

impl Running {
    fn close(mut self, core: &Core) -> Result<(), StoreError> {
        core.drain();
        threads::join(self.log);
        core.stop();
        core.requests.stop();
        let upkeep = threads::join(self.upkeep).flatten();
        match (core.failed(), upkeep) {
            (Some(failure), _) => Err(StoreError::Failed(failure)),
            (None, Some(upkeep)) => end(core, upkeep, &mut self.node),
            (None, None) => Err(StoreError::Closed),
        }
    }
}

/// Ends the run of a store whose log is drained: everything goes into the catalogue, and the node
/// file says so, if nothing else is needed.
fn end(core: &Core, mut upkeep: Upkeep, node: &mut NodeFile) -> Result<(), StoreError> {
    let (last, floor) = upkeep.finish()?;
    drop(upkeep);
    let (appended, _bytes) = core.appended();
    if last < appended {
        return Err(StoreError::NotWritten {
            first: last.next(),
            last: appended,
        });
    }
    node.write(NodeState {
        last,
        floor,
        log_end: match core.options.durability {
            Durability::Fsync => last,
            Durability::Os => node.state.log_end,
        },
        clean: floor >= last,
        ..node.state
    })
}

/// An opened store whose threads do not run yet.
struct Parts {
    core: Arc<Core>,
    writer: Writer,
    upkeep: Upkeep,
    node: NodeFile,
    lock: Box<dyn Send + Sync>,
}

impl Parts {
    fn open(
        disk: Arc<dyn Disk>,
        source: Arc<dyn CatalogueSource>,
        options: StoreOptions,
        notify: core::Notify,
        replay: &mut dyn Replay,
    ) -> Result<(Parts, Recovered), StoreError> {
        let alarm = Arc::<DamageAlarm>::default();
        let opened = recover::open(disk, &*source, &options, replay, &alarm)?;
        let floor = opened.recovered.report.floor;
        let epoch::Epoch {
            site,
            files,
            active,
        } = opened.epoch;
        let core = Arc::new(Core::new(
            options,
            files,
            (opened.dirty, site.on_device),
            (notify, alarm),
        ));
        let writer = Writer::new(Arc::clone(&site), Arc::clone(&core.files), active);
        let status = UpkeepStatus {
            checkpoint: opened.checkpoint,
            floor,
            ..UpkeepStatus::default()
        };
        let upkeep = Upkeep {
            core: Arc::clone(&core),
            site,
            source,
            catalogue: opened.catalogue,
            checkpoint: opened.checkpoint,
            checkpoint_floor: opened.checkpoint_floor,
            found: opened.snapshot,
            snapshot: Lsn(0),
            snapshot_floor: Lsn(0),
            floor: Floor::new(floor),
            released: Lsn(0),
            reserve_tried_at: None,
            snapshot_wanted: opened.snapshot_wanted,
            checkpointed_at: Instant::now(),
            snapshot_at: Instant::now(),
            checkpoint_written: 0,
            snapshot_written: 0,
            snapshot_bytes: 0,
            status: Arc::new(Mutex::new(status)),
        };
        let parts = Parts {
            core,
            writer,
            upkeep,
            node: opened.node,
            lock: opened.lock,
        };
        Ok((parts, opened.recovered))
    }

    fn start(self) -> Result<Store, StoreError> {
        let Parts {
            core,
            writer,
            upkeep,
            node,
            lock,
        } = self;
        let status = Arc::clone(&upkeep.status);
        let site = Arc::clone(&upkeep.site);
        let log = threads::spawn_log(Arc::clone(&core), writer)?;
        let upkeep = match threads::spawn_upkeep(upkeep) {
            Ok(upkeep) => upkeep,
            Err(error) => {
                core.stop();
                threads::join(log);
                return Err(error);
            }
        };
        let running = Mutex::new(Some(Running {
            log,
            upkeep,
            node,
            _lock: lock,
        }));
        Ok(Store {
            inner: Arc::new(Inner {
                core,
                site,
                upkeep: status,
                running,
            }),
        })
    }
}

#[cfg(test)]
mod tests;
