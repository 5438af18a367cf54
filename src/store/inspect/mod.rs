//! A data directory that nobody uses, looked at without changing it: every file of the store checked
//! by itself and against the others, and the records of its log in order.
//!
//! What counts is what a start would find: recovery itself runs here, on a disk that opens files
//! for reading only. Besides, what a start does not read is checked: log that is not needed any
//! more, the snapshot where the catalogue is good, and segments' headers.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::Disk;
use super::layout::Identity;
use super::logdir::{Horizon, log_path, parse_name};
use super::node::{NodeFile, NodeState, node_path};
use super::pages::SegmentFiles;
use super::recover::{Report, look};
use super::snapshot::{Snapshot, snapshot_path};
use super::{Lsn, Map, NoEntries, Replay, Sink, StoreError, StoreOptions};

mod catalogue;
mod disk;
mod log;
mod snapshot;
#[cfg(test)]
mod tests;

use self::catalogue::CopiedCatalogue;
use self::disk::ReadOnlyDisk;

pub use super::finding::{Finding, Severity};

/// What a file was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Whose directory it is.
    Node {
        /// Starts so far.
        epoch: u64,
        /// The last record known when it was written.
        last: Lsn,
        /// Whether the last run ended in order.
        is_clean: bool,
    },
    /// A log file with records, the first and the last.
    Log {
        /// The start that wrote it.
        epoch: u64,
        /// Its first record.
        first: Lsn,
        /// Its last record, as far as headers tell; before `first` if it has none.
        last: Lsn,
    },
    /// A log file that waits for its first record, or is kept for a full disk.
    EmptyLog,
    /// The catalogue.
    Catalogue {
        /// It holds the map up to this record.
        upto: Lsn,
    },
    /// The definitions snapshot.
    Snapshot {
        /// It holds the map up to this record.
        upto: Lsn,
        /// So many entries.
        entries: usize,
    },
    /// What a kill left and the next start removes.
    Leftover,
    /// A catalogue that was set aside.
    Aside,
}

/// A file, and what it was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// The file.
    pub path: PathBuf,
    /// Its length; none for a directory.
    pub bytes: Option<u64>,
    /// What it is.
    pub content: Content,
}

/// All that was found.
#[derive(Debug, Default)]
pub struct Examination {
    /// Every file that could be made sense of.
    pub files: Vec<Examined>,
    /// What an operator should know.
    pub findings: Vec<Finding>,
    /// The state a start would find; none if it would refuse.
    pub state: Option<State>,
}

/// The state a start would find.
#[derive(Debug)]
pub struct State {
    /// The whole map.
    pub map: Map,
    /// The last record.
    pub last: Lsn,
    /// No entry up to this one is needed.
    pub floor: Lsn,
}

/// A data directory that is looked at. Nobody else can open it meanwhile.
pub struct Inspection {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    identity: Identity,
    node: NodeState,
    damaged_slot: Option<u64>,
    _lock: Box<dyn Send + Sync>,
}

impl Inspection {
    /// Locks the directory; a broker that has it open is [`StoreError::Locked`].
    pub fn open(dir: &Path) -> Result<Inspection, StoreError> {
        let disk: Arc<dyn Disk> = Arc::new(ReadOnlyDisk);
        fs::metadata(dir).map_err(StoreError::io("open", dir))?;
        let lock_path = dir.join(LOCK);
        let lock = disk.lock(&lock_path).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => StoreError::Locked {
                dir: dir.to_path_buf(),
            },
            _ => StoreError::io("lock", &lock_path)(error),
        })?;
        let Some(node) = NodeFile::open(&*disk, dir)? else {
            return Err(without_node(dir));
        };
        Ok(Inspection {
            dir: dir.to_path_buf(),
            disk,
            identity: node.identity,
            node: node.state,
            damaged_slot: node.damaged_slot,
            _lock: lock,
        })
    }

    /// Its segments.
    pub fn segments(&self) -> SegmentFiles {
        SegmentFiles::new(Arc::clone(&self.disk), &self.dir, self.identity)
    }

    /// The map of the definitions snapshot; empty if there is none.
    pub fn snapshot(&self) -> Result<Map, StoreError> {
        match Snapshot::open(&*self.disk, &self.dir, &self.identity)? {
            Some(snapshot) => snapshot.read(),
            None => Ok(Map::new()),
        }
    }

    /// The state a start would find.
    pub fn state(&self) -> Result<State, StoreError> {
        let catalogue = CopiedCatalogue::new(&self.dir)?;
        let options = StoreOptions::new(&self.dir);
        let disk = Arc::clone(&self.disk);
        let found = look(disk, &catalogue, &options, &mut NoEntries)?;
        Ok(State {
            map: found.entries,
            last: found.report.last,
            floor: found.report.floor,
        })
    }

    /// Examines every file but segments. What a start would hand over goes to `replay`, entries of
    /// the log that it would not read to `rest`. The error is why it could not be examined.
    pub fn examine(
        &self,
        replay: &mut dyn Replay,
        rest: &mut dyn Sink,
    ) -> Result<Examination, StoreError> {
        let mut found = Examination::default();
        self.examine_names(&mut found)?;
        self.examine_node(&mut found);
        let is_readable = self.examine_log_files(&mut found)?;
        let catalogue = CopiedCatalogue::new(&self.dir)?;
        let options = StoreOptions::new(&self.dir);
        let disk = Arc::clone(&self.disk);
        let started = match is_readable {
            true => look(disk, &catalogue, &options, replay).map(Some),
            false => Ok(None),
        };
        match started {
            Ok(Some(started)) => {
                let report = started.report;
                self.take_report(&report, &mut found);
                self.examine_rest(&report, rest, &mut found)?;
                let (last, floor) = (report.last, report.floor);
                let map = started.entries;
                found.state = Some(State { map, last, floor });
            }
            Ok(None) => {}
            Err(error) => found.findings.push(Finding::from_error(error)?),
        }
        self.examine_catalogue(&catalogue, &mut found);
        self.examine_snapshot(&mut found)?;
        forget_doubles(&mut found.findings);
        Ok(found)
    }

    /// Names in the directory itself that are not those of files with a meaning.
    fn examine_names(&self, found: &mut Examination) -> Result<(), StoreError> {
        let names = self.disk.list(&self.dir);
        let mut names = names.map_err(StoreError::io("list", &self.dir))?;
        names.sort_unstable();
        for name in names.iter().filter(|name| !KNOWN.contains(&name.as_str())) {
            let path = self.dir.join(name);
            let content = match name.as_str() {
                "definitions.tmp" | "node.tmp" => Content::Leftover,
                aside if aside.starts_with("catalogue.aside-") => Content::Aside,
                _ => {
                    let what = "not a file of the store";
                    found.findings.push(Finding::warning(path, None, what));
                    continue;
                }
            };
            found.files.push(examined(path, content));
        }
        Ok(())
    }

    fn examine_node(&self, found: &mut Examination) {
        let path = node_path(&self.dir);
        if let Some(offset) = self.damaged_slot {
            let what = "a slot's checksum does not hold; the other one counts";
            found
                .findings
                .push(Finding::error(&path, Some(offset), what));
        }
        let NodeState { epoch, last, .. } = self.node;
        let is_clean = self.node.clean;
        let content = Content::Node {
            epoch,
            last,
            is_clean,
        };
        found.files.push(examined(path, content));
    }

    fn examine_catalogue(&self, catalogue: &CopiedCatalogue, found: &mut Examination) {
        let Some(upto) = catalogue.complete() else {
            return;
        };
        let path = self.dir.join(CATALOGUE);
        if upto == Lsn(0) && snapshot_path(&self.dir).exists() {
            // As a killed broker leaves it that was started on a backup.
            let what = "empty, while there is a snapshot; a start builds it anew";
            found.findings.push(Finding::warning(&path, None, what));
        }
        let content = Content::Catalogue { upto };
        found.files.push(examined(path, content));
    }

    /// What recovery itself has to say.
    fn take_report(&self, report: &Report, found: &mut Examination) {
        for damage in &report.damage {
            found.findings.push(Finding::in_log(damage, ""));
        }
        let unnamed = report.damaged_places - report.damage.len() as u64;
        if unnamed > 0 {
            let what = format!("{unnamed} more damaged places");
            found
                .findings
                .push(Finding::error(log_path(&self.dir), None, what));
        }
        if let Some(torn) = &report.torn_tail {
            let what = "the last write was cut short; nothing that was promised is missing";
            let torn = Finding::warning(&torn.path, Some(torn.offset), what);
            found.findings.push(torn);
        }
        if let Some((_, reason)) = &report.catalogue_set_aside {
            let what = format!("of no use, a start rebuilds it: {reason}");
            let path = self.dir.join(CATALOGUE);
            found.findings.push(Finding::error(path, None, what));
        }
    }

    fn horizon(&self) -> Horizon {
        self.node.horizon()
    }
}

const LOCK: &str = "lock";
const CATALOGUE: &str = "catalogue";
/// What a data directory consists of.
const KNOWN: [&str; 6] = [
    LOCK,
    "node",
    "log",
    CATALOGUE,
    "definitions.snapshot",
    "pages",
];

fn examined(path: PathBuf, content: Content) -> Examined {
    let known = fs::metadata(&path).ok();
    let bytes = known.filter(fs::Metadata::is_file).map(|file| file.len());
    Examined {
        path,
        bytes,
        content,
    }
}

/// Why a directory without a node file is not examined: something of a store is there, or nothing.
fn without_node(dir: &Path) -> StoreError {
    let log = ReadOnlyDisk.list(&log_path(dir)).unwrap_or_default();
    let has_log = log.iter().any(|name| parse_name(name).is_some());
    if has_log || snapshot_path(dir).exists() || dir.join(CATALOGUE).exists() {
        let path = node_path(dir);
        return StoreError::MissingFile { path };
    }
    let dir = dir.to_path_buf();
    StoreError::NoStore { dir }
}

/// Two readers may have come by the same place.
fn forget_doubles(findings: &mut Vec<Finding>) {
    let mut known = std::collections::BTreeSet::new();
    findings.retain(|finding| {
        let Finding { path, offset, .. } = finding;
        offset.is_none() || known.insert((path.clone(), *offset))
    });
}
