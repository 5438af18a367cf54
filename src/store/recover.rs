//! Opening a data directory: from catalogue, snapshot and log to the whole map, and to a new file
//! of the log. Changes nothing but names of leftovers until the map is known.
//!
//! The map is a base (base.rs) and the log after it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::{info, warn};

use super::alarm::DamageAlarm;
use super::base::State;
use super::catalogue::{Catalogue, CatalogueSource};
use super::core::Dirty;
use super::disk::{Disk, temporary_name};
use super::entries::Replay;
use super::epoch::{Ends, Epoch};
use super::finding::Finding;
use super::logdir::{LogDir, LogFile, log_path};
use super::node::{NodeFile, NodeState, node_path};
use super::options::{Durability, StoreOptions};
use super::record::Change;
use super::replay::{Damage, Place, Range, Replayed, Sink, replay};
use super::snapshot::{Snapshot, snapshot_path};
use super::{Lsn, StoreError};
use crate::defects::{Defect, is_planted};

/// The whole map.
pub type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// What opening found, for the log and the operator.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Records read from the log and applied or handed over.
    pub replayed_records: u64,
    /// Bytes of log read to find them.
    pub log_bytes_read: u64,
    /// Where a write was cut short by a crash; nothing promised was lost.
    pub torn_tail: Option<Place>,
    /// What was durable once and is lost; the first places.
    pub damage: Vec<Damage>,
    /// How many damaged places there are.
    pub damaged_places: u64,
    /// Where a damaged catalogue was kept, and what was wrong with it.
    pub catalogue_set_aside: Option<(PathBuf, String)>,
    /// The map was built from the snapshot or the log alone.
    pub rebuilt: bool,
    /// The last record known.
    pub last: Lsn,
    /// Entries up to this record were not handed over: none of them is needed.
    pub floor: Lsn,
    /// The record up to which the catalogue, or what stood in for it, held the map.
    pub base: Lsn,
    /// The first record that was read from the log; none if it was not read.
    pub read_from: Option<Lsn>,
}

/// What a store holds when it opens.
#[derive(Debug)]
pub struct Recovered {
    /// The whole map as of the last durable change.
    pub entries: Map,
    /// The last run ended by closing the store, when no entry of the log was needed any more.
    pub clean: bool,
    /// Drawn at random when the directory was made.
    pub node_id: [u8; 16],
    /// What opening found.
    pub report: Report,
}

/// What an opened directory is handed on as.
pub(super) struct Opened {
    pub(super) recovered: Recovered,
    pub(super) lock: Box<dyn Send + Sync>,
    pub(super) node: NodeFile,
    pub(super) epoch: Epoch,
    pub(super) dirty: Dirty,
    pub(super) catalogue: Option<Box<dyn Catalogue>>,
    /// What a usable catalogue holds at least.
    pub(super) checkpoint: Lsn,
    /// The floor that goes with it.
    pub(super) checkpoint_floor: Lsn,
    pub(super) snapshot: Option<Snapshot>,
    /// There is no usable snapshot and the log does not make up for it.
    pub(super) snapshot_wanted: bool,
}

/// The name of a file that is being filled to become a log file.
pub(super) fn spare_path(log_dir: &Path) -> PathBuf {
    log_dir.join("spare.tmp")
}

/// Locks and reads the directory, and begins a new epoch of its log.
pub(super) fn open(
    disk: Arc<dyn Disk>,
    source: &dyn CatalogueSource,
    options: &StoreOptions,
    owner: &mut dyn Replay,
    alarm: &DamageAlarm,
) -> Result<Opened, StoreError> {
    options.check()?;
    let lock = lock_dir(&*disk, &options.dir)?;
    let node = open_node(&*disk, source, &options.dir)?;
    let mut scene = Scene::read(disk, source, options, node)?;
    let Recovery {
        entries,
        dirty,
        catalogue,
        checkpoint,
        checkpoint_floor,
    } = scene.recover(owner)?;
    let (last, on_device) = (dirty.upto, scene.node.state.log_end);
    let epoch = Epoch::begin(
        Arc::clone(&scene.disk),
        &mut scene.node,
        &scene.log,
        options,
        Ends {
            last,
            log_end: scene.reached.unwrap_or(last),
            on_device: scene.reached.unwrap_or(on_device),
            floor: scene.report.floor,
        },
    )?;
    scene.report.last = last;
    let snapshot_wanted = scene.is_snapshot_wanted();
    scene.raise_alarm(snapshot_wanted, alarm);
    scene.log_findings();
    let clean = scene.clean && !scene.report.rebuilt;
    let node_id = scene.node.identity.node;
    let recovered = Recovered {
        entries,
        clean,
        node_id,
        report: scene.report,
    };
    Ok(Opened {
        recovered,
        lock,
        node: scene.node,
        epoch,
        dirty,
        catalogue,
        checkpoint,
        checkpoint_floor,
        snapshot: scene.snapshot.ok().flatten(),
        snapshot_wanted,
    })
}

/// Finds what [`open`] would, for somebody who does not begin an epoch. On a disk and with a source
/// that take no change, nothing is changed.
pub(super) fn look(
    disk: Arc<dyn Disk>,
    source: &dyn CatalogueSource,
    options: &StoreOptions,
    owner: &mut dyn Replay,
) -> Result<Recovered, StoreError> {
    let path = node_path(&options.dir);
    let node = NodeFile::open(&*disk, &options.dir)?.ok_or(StoreError::MissingFile { path })?;
    let mut scene = Scene::read(disk, source, options, node)?;
    let Recovery { entries, dirty, .. } = scene.recover(owner)?;
    scene.report.last = dirty.upto;
    Ok(Recovered {
        entries,
        clean: scene.clean && !scene.report.rebuilt,
        node_id: scene.node.identity.node,
        report: scene.report,
    })
}

fn lock_dir(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn Send + Sync>, StoreError> {
    disk.create_dir(dir)
        .map_err(StoreError::io("create", dir))?;
    let path = dir.join("lock");
    disk.lock(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => StoreError::Locked {
            dir: dir.to_path_buf(),
        },
        _ => StoreError::io("lock", &path)(error),
    })
}

/// Opens the node file, or makes one if the directory holds nothing yet.
fn open_node(
    disk: &dyn Disk,
    source: &dyn CatalogueSource,
    dir: &Path,
) -> Result<NodeFile, StoreError> {
    if let Some(node) = NodeFile::open(disk, dir)? {
        return Ok(node);
    }
    let log_dir = log_path(dir);
    disk.create_dir(&log_dir)
        .map_err(StoreError::io("create", &log_dir))?;
    let log = disk
        .list(&log_dir)
        .map_err(StoreError::io("list", &log_dir))?;
    let has_snapshot = match disk.open(&snapshot_path(dir)) {
        Ok(_) => true,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(StoreError::io("open", &snapshot_path(dir))(error)),
    };
    if !log.is_empty() || has_snapshot || source.exists() {
        return Err(StoreError::MissingFile {
            path: node_path(dir),
        });
    }
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        disk.sync_dir(parent)
            .map_err(StoreError::io("sync", parent))?;
    }
    NodeFile::create(disk, dir)
}

/// The whole map, what the catalogue lacks of it, and the catalogue.
struct Recovery {
    entries: Map,
    dirty: Dirty,
    catalogue: Option<Box<dyn Catalogue>>,
    checkpoint: Lsn,
    checkpoint_floor: Lsn,
}

/// Everything opening looks at.
pub(super) struct Scene<'a> {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) source: &'a dyn CatalogueSource,
    pub(super) options: &'a StoreOptions,
    pub(super) node: NodeFile,
    pub(super) log: LogDir,
    /// The snapshot, none, or why it cannot be used.
    pub(super) snapshot: Result<Option<Snapshot>, StoreError>,
    /// The last run closed the store and nothing was written since.
    pub(super) clean: bool,
    /// The last record in the log, if it was read.
    reached: Option<Lsn>,
    pub(super) report: Report,
}

impl<'a> Scene<'a> {
    fn read(
        disk: Arc<dyn Disk>,
        source: &'a dyn CatalogueSource,
        options: &'a StoreOptions,
        node: NodeFile,
    ) -> Result<Self, StoreError> {
        let log_dir = log_path(&options.dir);
        disk.create_dir(&log_dir)
            .map_err(StoreError::io("create", &log_dir))?;
        let leftover = spare_path(&log_dir);
        for path in [leftover, temporary_name(&snapshot_path(&options.dir))] {
            remove_if_there(&*disk, &path)?;
        }
        // A run that was killed may have left names that only the system's cache knows.
        for dir in [&options.dir, &log_dir] {
            disk.sync_dir(dir).map_err(StoreError::io("sync", dir))?;
        }
        let log = LogDir::read(&*disk, &log_dir, &node.identity, node.state.horizon())?;
        let begun = |file: &LogFile| file.number >= node.state.first_file;
        if !node.state.clean && node.state.first_file > 0 && !log.files.iter().any(begun) {
            return Err(log.missing(node.state.first_file));
        }
        let snapshot = match Snapshot::open(&*disk, &options.dir, &node.identity) {
            Err(error @ StoreError::Corrupt { .. }) => Err(error),
            other => Ok(other?),
        };
        let clean = node.state.clean && log.last_epoch() <= node.state.epoch;
        let report = Report::default();
        Ok(Scene {
            disk,
            source,
            options,
            node,
            log,
            snapshot,
            clean,
            reached: None,
            report,
        })
    }

    fn recover(&mut self, owner: &mut dyn Replay) -> Result<Recovery, StoreError> {
        let mut base = self.base()?;
        let touched = base.touched;
        let (mut entries, mut dirty) = self.replay(base.state, owner)?;
        if dirty.upto < touched {
            drop(base.catalogue);
            let reason = format!("a checkpoint was cut short and the log ends before {touched}");
            base = self.base_without(reason)?;
            (entries, dirty) = self.replay(base.state, owner)?;
        }
        let snapshot = self.snapshot.as_ref().ok().and_then(Option::as_ref);
        let known = [
            self.node.state.last,
            snapshot.map_or(Lsn(0), |snapshot| snapshot.mark),
        ];
        dirty.upto = known.into_iter().fold(dirty.upto, Lsn::max);
        Ok(Recovery {
            entries,
            dirty,
            catalogue: base.catalogue,
            checkpoint: base.checkpoint,
            checkpoint_floor: base.checkpoint_floor,
        })
    }

    /// Hands base and log over; returns the whole map and what the catalogue lacks of it.
    fn replay(&mut self, base: State, owner: &mut dyn Replay) -> Result<(Map, Dirty), StoreError> {
        let State {
            mut entries,
            mark,
            floor,
            whole,
        } = base;
        let (recorded, floor) = (floor, floor.max(self.node.state.floor));
        (self.report.floor, self.report.base) = (floor, mark);
        owner.base(&entries);
        if floor > recorded {
            owner.base_is_older();
        }
        let mut dirty = Dirty::default();
        if !self.clean || mark < self.node.state.last {
            let mut sink = Recovering {
                entries: &mut entries,
                dirty: &mut dirty,
                owner,
            };
            let found = self.read_log(mark, floor, &mut sink)?;
            self.report.read_from = Some(mark.min(floor).next());
            dirty.upto = found.last;
            self.reached = Some(found.reached);
            self.take_findings(found);
        }
        if whole {
            let all = entries
                .iter()
                .map(|(key, value)| (key.clone(), Some(value.clone())));
            dirty.entries = all.collect();
        }
        dirty.upto = dirty.upto.max(mark);
        Ok((entries, dirty))
    }

    fn read_log(&self, mark: Lsn, floor: Lsn, sink: &mut dyn Sink) -> Result<Replayed, StoreError> {
        let range = Range {
            after: mark,
            floor,
            until: Lsn(u64::MAX),
            horizon: self.log.horizon,
        };
        let (from, promised) = (range.from(), self.promised(mark));
        let files = self.log.files_from(from, mark)?;
        let mut found = replay(files, &self.node.identity, range, sink)?;
        // What was read may still be in the system's cache only; from now on it counts.
        for file in files.iter().filter(|_| !is_planted(Defect::ReadNotSynced)) {
            file.file
                .sync_data()
                .map_err(StoreError::io("sync", &file.path))?;
        }
        let reached = found.reached;
        if reached < promised {
            let last = files.last().map(|file| file.path.clone());
            let place = Place {
                path: last.unwrap_or_else(|| self.log.path.clone()),
                offset: 0,
            };
            let (first, records) = (reached.next(), promised.0 - reached.0);
            found.damage.push(Damage {
                place,
                first,
                records,
            });
            found.damaged_places += 1;
        }
        Ok(found)
    }

    /// The last record that the log must have, as far as this start knows.
    fn promised(&self, mark: Lsn) -> Lsn {
        let NodeState { last, log_end, .. } = self.node.state;
        // A checkpoint made since then is of records that were synced.
        let is_synced = self.options.durability == Durability::Fsync && mark > last;
        if is_synced { mark } else { log_end }
    }

    fn take_findings(&mut self, found: Replayed) {
        self.report.replayed_records = found.records;
        self.report.log_bytes_read = found.bytes_read;
        self.report.torn_tail = found.torn_tail;
        self.report.damage = found.damage;
        self.report.damaged_places = found.damaged_places;
    }

    /// Tells what is damaged, whether it cost anything or not.
    fn raise_alarm(&self, is_snapshot_wanted: bool, alarm: &DamageAlarm) {
        let report = &self.report;
        if let Some(slot) = self.node.damaged_slot {
            let path = node_path(&self.options.dir);
            let what = "a slot's checksum does not hold; the other one counts";
            alarm.raise(Finding::error(path, Some(slot), what));
        }
        if let Some((aside, reason)) = &report.catalogue_set_aside {
            let what = format!("damaged catalogue set aside and rebuilt: {reason}");
            alarm.raise(Finding::error(aside, None, what));
        }
        for damage in &report.damage {
            alarm.raise(Finding::in_log(damage, ""));
        }
        let unnamed = report.damaged_places - report.damage.len() as u64;
        if unnamed > 0 {
            let what = format!("{unnamed} more damaged places");
            alarm.raise(Finding::error(&self.log.path, None, what));
        }
        let path = snapshot_path(&self.options.dir);
        match &self.snapshot {
            Err(error) => alarm.raise(Finding::about(error)),
            Ok(None) if is_snapshot_wanted => {
                let what = "missing, and written anew";
                alarm.raise(Finding::error(path, None, what));
            }
            Ok(_) => {}
        }
    }

    fn log_findings(&self) {
        let report = &self.report;
        if let Some(place) = &report.torn_tail {
            let (file, offset) = (place.path.display(), place.offset);
            warn!(%file, offset, "the last write was cut short and is dropped");
        }
        let (records, last) = (report.replayed_records, report.last.0);
        info!(
            records,
            last,
            clean = self.clean,
            epoch = self.node.state.epoch,
            "store opened"
        );
    }
}

/// Keeps what the log says of the map, and passes everything on to the owner.
struct Recovering<'a> {
    entries: &'a mut Map,
    dirty: &'a mut Dirty,
    owner: &'a mut dyn Replay,
}

impl Sink for Recovering<'_> {
    fn change(&mut self, lsn: Lsn, change: Change) {
        self.owner.change(lsn, &change);
        apply(self.entries, &change);
        self.dirty.apply(change);
    }

    fn entry(&mut self, lsn: Lsn, kind: u8, payload: &[u8]) {
        self.owner.entry(lsn, kind, payload);
    }
}

fn apply(entries: &mut Map, change: &Change) {
    match change {
        Change::Put { key, value } => entries.insert(key.clone(), value.clone()),
        Change::Delete { key } => entries.remove(key),
    };
}

/// Removes a file; none is as good.
pub(super) fn remove_if_there(disk: &dyn Disk, path: &Path) -> Result<(), StoreError> {
    match disk.remove(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}
