//! A copy of a store that goes on working: the snapshot, and the log from there on, cut at the last
//! durable record. The log stays where it is meanwhile; nothing waits for the copy.
//!
//! Not copied are the catalogue, which a start builds from the snapshot, and segments, which are
//! their owner's. The node file is there first, empty, and written last: a copy that was cut short
//! does not open.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::core::Core;
use super::disk::{Disk, File};
use super::group::{BLOCK_BYTES, GROUP_HEADER_BYTES, GroupHeader, LogHeader};
use super::logdir::{FIRST_GROUP_AT, LogDir, LogFile, file_path, log_path};
use super::node::{NodeFile, NodeState, node_path};
use super::record::Change;
use super::replay::{Range, Sink, replay};
use super::snapshot::Snapshot;
use super::writer::{LogSite, Span};
use super::{Lsn, Map, Store, StoreError};

/// A copy that does not open yet.
pub struct StoreCopy {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    site: Arc<LogSite>,
    node: NodeState,
    map: Map,
    lsn: Lsn,
    log_files: usize,
    bytes: u64,
}

impl Store {
    /// Copies snapshot and log into the empty directory `target`: the state as of some durable
    /// record not older than the call. Begins with a checkpoint, so that the copy is small.
    pub fn copy_to(&self, target: &Path) -> Result<StoreCopy, StoreError> {
        let (core, site) = (&self.inner.core, &self.inner.site);
        core.snapshot_asked.store(true, Ordering::Relaxed);
        if let Err(error) = self.checkpoint() {
            tracing::warn!(%error, "the copy is made from an older snapshot, and more log");
        }
        let node = self.node_state().ok_or(StoreError::Closed)?;
        let copying = Copying {
            core,
            site,
            node,
            target,
        };
        copying.run()
    }

    /// What the node file says; `None` once the store is being closed.
    fn node_state(&self) -> Option<NodeState> {
        let running = self.inner.running.lock();
        running.as_ref().map(|running| running.node.state)
    }
}

impl StoreCopy {
    /// The copy is as of this record.
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// The whole map as of that record.
    pub fn map(&self) -> &Map {
        &self.map
    }

    /// Log files copied.
    pub fn log_files(&self) -> usize {
        self.log_files
    }

    /// Bytes copied.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes the node file: everything else is there.
    pub fn finish(self) -> Result<(), StoreError> {
        NodeFile::publish(&*self.disk, &self.dir, self.site.identity, self.node)?;
        let parent = self.dir.parent().unwrap_or(Path::new("."));
        self.disk
            .sync_dir(parent)
            .map_err(StoreError::io("sync", parent))
    }
}

/// While there is one, no log file goes.
pub(super) struct LogPin<'a>(&'a Core);

impl<'a> LogPin<'a> {
    pub(super) fn new(core: &'a Core) -> LogPin<'a> {
        *core.pins.lock() += 1;
        LogPin(core)
    }
}

impl Drop for LogPin<'_> {
    fn drop(&mut self) {
        *self.0.pins.lock() -= 1;
        self.0.requests.look();
    }
}

/// A copy under way.
pub(super) struct Copying<'a> {
    pub(super) core: &'a Core,
    pub(super) site: &'a Arc<LogSite>,
    pub(super) node: NodeState,
    pub(super) target: &'a Path,
}

impl Copying<'_> {
    pub(super) fn run(mut self) -> Result<StoreCopy, StoreError> {
        let disk = &*self.site.disk;
        self.begin()?;
        let log_dir = log_path(self.target);
        disk.create_dir(&log_dir)
            .map_err(StoreError::io("create", &log_dir))?;
        let pin = LogPin::new(self.core);
        let snapshot = Snapshot::open(disk, &self.core.options.dir, &self.site.identity)?;
        let mut bytes = match &snapshot {
            Some(snapshot) => snapshot.copy_to(disk, self.target)?,
            None => 0,
        };
        // Not before: a snapshot that was just written may be as of a later record.
        let lsn = self.core.durable();
        let files = self.files(snapshot.as_ref(), lsn);
        for span in &files {
            bytes += self.copy_file(span.number, lsn)?;
        }
        drop(pin);
        for dir in [&log_dir, self.target] {
            disk.sync_dir(dir).map_err(StoreError::io("sync", dir))?;
        }
        if !files.iter().any(|span| span.number >= self.node.first_file) {
            // This run has written nothing so far.
            self.node.first_file = 0;
        }
        self.node.clean = false;
        let map = self.map(snapshot, lsn)?;
        Ok(StoreCopy {
            disk: Arc::clone(&self.site.disk),
            dir: self.target.to_path_buf(),
            site: Arc::clone(self.site),
            node: self.node,
            map,
            lsn,
            log_files: files.len(),
            bytes,
        })
    }

    /// Makes the directory one that does not open.
    fn begin(&self) -> Result<(), StoreError> {
        let disk = &*self.site.disk;
        let path = node_path(self.target);
        disk.create_dir(self.target)
            .map_err(StoreError::io("create", self.target))?;
        disk.create(&path)
            .map_err(StoreError::io("create", &path))?;
        disk.sync_dir(self.target)
            .map_err(StoreError::io("sync", self.target))
    }

    /// The files with what a start from this snapshot needs, up to `lsn`.
    fn files(&self, snapshot: Option<&Snapshot>, lsn: Lsn) -> Vec<Span> {
        let mark = snapshot.map_or(Lsn(0), |snapshot| snapshot.mark);
        let floor = snapshot.map_or(Lsn(0), |snapshot| snapshot.floor);
        let bound = mark.min(floor.max(self.node.floor));
        let files = self.core.files.lock();
        let spans: Vec<Span> = files.spans.iter().copied().collect();
        drop(files);
        let later = spans[spans.len().min(1)..].iter();
        let is_needed = |next: &Span| next.first > bound.next();
        let start = later.take_while(|next| !is_needed(next)).count();
        let needed = spans.into_iter().skip(start);
        needed.take_while(|span| span.first <= lsn).collect()
    }

    /// Copies the groups of a file up to `lsn`; the rest of the copy is a hole, or not there.
    fn copy_file(&self, number: u64, lsn: Lsn) -> Result<u64, StoreError> {
        let (disk, identity) = (&*self.site.disk, &self.site.identity);
        let path = file_path(&self.site.log_dir, number);
        let from = LogFile::read(disk, path, number, (identity, self.site.horizon))?;
        let target = file_path(&log_path(self.target), number);
        let to = disk
            .create(&target)
            .map_err(StoreError::io("create", &target))?;
        let failed = StoreError::io("write", &target);
        let mut bytes = 0;
        if let Some(header) = from.header {
            let block = match from.damaged {
                true => read(&from, 0, BLOCK_BYTES)?,
                // The copy ends with its last group.
                false => LogHeader {
                    filled: 0,
                    ..header
                }
                .encode(identity)
                .to_vec(),
            };
            to.pwrite(&block, 0).map_err(failed)?;
            let groups = self.copy_groups((&from, header.epoch), (&*to, &target), lsn)?;
            bytes = BLOCK_BYTES as u64 + groups;
        }
        to.sync_data().map_err(StoreError::io("sync", &target))?;
        Ok(bytes)
    }

    fn copy_groups(
        &self,
        (from, epoch): (&LogFile, u64),
        (to, target): (&dyn File, &Path),
        lsn: Lsn,
    ) -> Result<u64, StoreError> {
        let mut at = FIRST_GROUP_AT;
        let mut bytes = 0;
        while at < from.bytes {
            let block = read(from, at, BLOCK_BYTES)?;
            let of_file = (epoch, from.number, at);
            let group = GroupHeader::decode(&self.site.identity, &block)
                .filter(|group| (group.epoch, group.number, group.offset) == of_file);
            let Some(group) = group else {
                at += BLOCK_BYTES as u64;
                continue;
            };
            if group.first > lsn {
                break;
            }
            let length = (group.end() - at) as usize;
            let mut whole = read(from, at, length)?;
            // As in the header.
            let group = GroupHeader { filled: 0, ..group };
            if let Some(header) = whole.get_mut(..GROUP_HEADER_BYTES) {
                group.seal_header(&self.site.identity, header);
            }
            to.pwrite(&whole, at)
                .map_err(StoreError::io("write", target))?;
            at += length as u64;
            bytes += length as u64;
        }
        Ok(bytes)
    }

    /// The map as the copy has it.
    fn map(&self, snapshot: Option<Snapshot>, lsn: Lsn) -> Result<Map, StoreError> {
        let (disk, identity) = (&*self.site.disk, &self.site.identity);
        let (mut map, mark) = match snapshot {
            Some(snapshot) => (snapshot.read()?, snapshot.mark),
            None => (Map::new(), Lsn(0)),
        };
        let horizon = self.site.horizon;
        let log = LogDir::read(disk, &log_path(self.target), identity, horizon)?;
        let range = Range {
            after: mark,
            floor: Lsn(u64::MAX),
            until: lsn,
            horizon,
        };
        let files = log.files_from(range.from(), mark)?;
        replay(files, identity, range, &mut Applying(&mut map))?;
        Ok(map)
    }
}

fn read(file: &LogFile, at: u64, bytes: usize) -> Result<Vec<u8>, StoreError> {
    let read = file.file.read(bytes, at);
    read.map_err(StoreError::io("read", &file.path))
}

/// Keeps what the log says of the map.
pub(super) struct Applying<'a>(pub(super) &'a mut Map);

impl Sink for Applying<'_> {
    fn change(&mut self, _lsn: Lsn, change: Change) {
        match change {
            Change::Put { key, value } => self.0.insert(key, value),
            Change::Delete { key } => self.0.remove(&key),
        };
    }

    fn entry(&mut self, _lsn: Lsn, _kind: u8, _payload: &[u8]) {}
}
