//! A disk in memory that fails as disks do: power losses that keep, lose, tear and reorder what
//! was not synced, full disks, failing and hanging syncs, damaged bytes. For tests; it holds no
//! rule of the store. Directories themselves are durable at once; the names in them are not.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};

mod catalogue;
mod contents;
mod driven;
mod files;
mod fork;
mod random;

use self::contents::{Contents, Update};
use self::random::Random;

pub use self::catalogue::{SimCatalogue, Step};
pub use self::driven::{DrivenLog, DrivenStore, DrivenUpkeep};

/// What a device writes whole or not at all.
const SECTOR_BYTES: usize = 512;
/// What a hole consists of.
const BLOCK_BYTES: u64 = 4096;

/// The simulated disk; clones are the same disk.
#[derive(Clone, Default)]
pub struct SimDisk {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    released: Condvar,
}

#[derive(Default)]
struct State {
    inodes: Vec<Inode>,
    dirs: BTreeSet<PathBuf>,
    /// Names as processes see them.
    names: BTreeMap<PathBuf, usize>,
    /// Names as they would be after a power loss that keeps nothing unsynced.
    synced_names: BTreeMap<PathBuf, usize>,
    /// Changes of names since their directory was synced, in order.
    renames: Vec<NameChange>,
    locks: BTreeSet<PathBuf>,
    /// Counts crashes: a file opened before one is of no use after it.
    life: u64,
    /// Operations left until the crash.
    until_crash: Option<u64>,
    free: Option<u64>,
    faults: Faults,
    events: Option<Vec<Event>>,
    watcher: Option<Watcher>,
    /// Files have no holes.
    without_holes: bool,
    bytes_read: u64,
    /// How many callers hang in a sync.
    hanging: usize,
    /// How many callers hang in a write.
    hanging_writes: usize,
}

#[derive(Default)]
struct Faults {
    next_sync: bool,
    next_write: bool,
    next_punch: bool,
    hold_syncs: bool,
    hold_writes: bool,
    read_only: bool,
}

#[derive(Default, Clone)]
struct Inode {
    path: PathBuf,
    cache: Contents,
    device: Contents,
    unsynced: Vec<Update>,
    /// A sync failed: what was unsynced then may never reach the device.
    dropped: Vec<Update>,
}

/// One operation on names: what each of them means after it.
#[derive(Clone)]
struct NameChange {
    dir: PathBuf,
    names: Vec<(PathBuf, Option<usize>)>,
}

/// What the disk was asked to do, for tests of order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Bytes written to a file.
    Write {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// How many.
        bytes: usize,
    },
    /// A hole punched into a file.
    Punch {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// How many bytes.
        bytes: u64,
    },
    /// A file synced.
    Sync(PathBuf),
    /// A directory synced.
    SyncDir(PathBuf),
    /// A name changed.
    Rename(PathBuf, PathBuf),
    /// A file removed.
    Remove(PathBuf),
    /// A step of the simulated catalogue.
    Catalogue(Step),
}

/// What the disk is about to do. A crash may come before, and inside.
#[derive(Debug, Clone, Copy)]
pub enum Operation<'a> {
    /// Makes a directory.
    CreateDir(&'a Path),
    /// Makes an empty file.
    Create(&'a Path),
    /// Changes a name.
    Rename(&'a Path, &'a Path),
    /// Removes a file.
    Remove(&'a Path),
    /// Syncs the names in a directory.
    SyncDir(&'a Path),
    /// Writes to a file.
    Write {
        /// The file.
        path: &'a Path,
        /// Where.
        offset: u64,
        /// What.
        bytes: &'a [u8],
    },
    /// Punches a hole into a file.
    Punch {
        /// The file.
        path: &'a Path,
        /// Where.
        offset: u64,
        /// How many bytes.
        bytes: u64,
    },
    /// Syncs a file.
    Sync(&'a Path),
    /// A step of the simulated catalogue.
    Catalogue(Step),
}

/// Called before each operation, with no lock of the disk held.
pub type Watcher = Arc<dyn Fn(Operation<'_>) + Send + Sync>;

impl SimDisk {
    /// An empty disk without limits or faults.
    pub fn new() -> SimDisk {
        SimDisk::default()
    }

    /// Power fails. What was not synced is kept, lost or torn as `seed` decides; open files are
    /// gone, locks are free, the disk works again.
    pub fn power_loss(&self, seed: u64) {
        let mut state = self.shared.state.lock();
        let mut random = Random::new(seed);
        for inode in &mut state.inodes {
            inode.lose_power(&mut random);
        }
        let changes = std::mem::take(&mut state.renames);
        for change in changes {
            if random.below(2) == 0 {
                state.synced_names.extend_names(change.names);
            }
        }
        state.names = state.synced_names.clone();
        self.revive(state);
    }

    /// The process dies and nothing else: what was written stays as it is, synced or not.
    pub fn kill(&self) {
        self.revive(self.shared.state.lock());
    }

    fn revive(&self, mut state: MutexGuard<'_, State>) {
        state.life += 1;
        state.until_crash = None;
        state.faults = Faults::default();
        state.locks.clear();
        self.shared.released.notify_all();
    }

    /// After `operations` more operations that change something, all fail.
    pub fn crash_after(&self, operations: u64) {
        self.shared.state.lock().until_crash = Some(operations);
    }

    /// Whether a crash that was asked for has happened.
    pub fn is_crashed(&self) -> bool {
        self.shared.state.lock().until_crash == Some(0)
    }

    /// Files can grow by so many bytes together; `None`: without limit.
    pub fn set_free(&self, bytes: Option<u64>) {
        self.shared.state.lock().free = bytes;
    }

    /// Nothing can be changed any more.
    pub fn set_read_only(&self) {
        self.shared.state.lock().faults.read_only = true;
    }

    /// The next sync of a file fails, and what it was to make durable may never be.
    pub fn fail_next_sync(&self) {
        self.shared.state.lock().faults.next_sync = true;
    }

    /// The next write to a file fails.
    pub fn fail_next_write(&self) {
        self.shared.state.lock().faults.next_write = true;
    }

    /// The next hole cannot be punched.
    pub fn fail_next_punch(&self) {
        self.shared.state.lock().faults.next_punch = true;
    }

    /// Files have no holes from now on, as on a file system that knows none.
    pub fn set_without_holes(&self) {
        self.shared.state.lock().without_holes = true;
    }

    /// Lets every sync of a file hang until [`release_syncs`](Self::release_syncs).
    pub fn hold_syncs(&self) {
        self.shared.state.lock().faults.hold_syncs = true;
    }

    /// Lets hanging syncs go on.
    pub fn release_syncs(&self) {
        self.shared.state.lock().faults.hold_syncs = false;
        self.shared.released.notify_all();
    }

    /// How many syncs hang now.
    pub fn hanging_syncs(&self) -> usize {
        self.shared.state.lock().hanging
    }

    /// Lets every write to a file hang until [`release_writes`](Self::release_writes).
    pub fn hold_writes(&self) {
        self.shared.state.lock().faults.hold_writes = true;
    }

    /// Lets hanging writes go on.
    pub fn release_writes(&self) {
        self.shared.state.lock().faults.hold_writes = false;
        self.shared.released.notify_all();
    }

    /// How many writes hang now.
    pub fn hanging_writes(&self) -> usize {
        self.shared.state.lock().hanging_writes
    }

    /// Begins to record what the disk is asked to do.
    pub fn record_events(&self) {
        self.shared.state.lock().events = Some(Vec::new());
    }

    /// What was recorded since the last call.
    pub fn take_events(&self) -> Vec<Event> {
        self.shared
            .state
            .lock()
            .events
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Has `watcher` called before each operation from now on; nobody, if there is none.
    pub fn watch(&self, watcher: Option<Watcher>) {
        self.shared.state.lock().watcher = watcher;
    }

    fn event(&self, event: Event) {
        self.shared.state.lock().event(event);
    }

    /// How many bytes were read from files so far.
    pub fn bytes_read(&self) -> u64 {
        self.shared.state.lock().bytes_read
    }

    /// The bytes of a file; empty if there is none.
    pub fn contents(&self, path: &Path) -> Vec<u8> {
        let state = self.shared.state.lock();
        state
            .names
            .get(path)
            .map(|inode| state.inodes[*inode].cache.bytes.to_vec())
            .unwrap_or_default()
    }

    /// The space a file takes: its bytes without its holes; nothing if there is none.
    pub fn allocated(&self, path: &Path) -> u64 {
        let state = self.shared.state.lock();
        let inode = state.names.get(path);
        inode.map_or(0, |inode| state.inodes[*inode].cache.allocated())
    }

    /// The names of all files.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.shared.state.lock().names.keys().cloned().collect()
    }

    /// Damages a byte: the bits of `mask` are flipped, in the cache and on the device.
    pub fn flip(&self, path: &Path, offset: u64, mask: u8) {
        self.edit(path, |bytes| {
            if let Some(byte) = bytes.get_mut(offset as usize) {
                *byte ^= mask;
            }
        });
    }

    /// Cuts a file short.
    pub fn truncate(&self, path: &Path, bytes: usize) {
        self.edit(path, |contents| contents.truncate(bytes));
    }

    /// Puts other bytes in the place of a file's.
    pub fn overwrite(&self, path: &Path, bytes: &[u8]) {
        self.edit(path, |contents| *contents = bytes.to_vec());
    }

    fn edit(&self, path: &Path, change: impl Fn(&mut Vec<u8>)) {
        let mut state = self.shared.state.lock();
        if let Some(inode) = state.names.get(path).copied() {
            change(Arc::make_mut(&mut state.inodes[inode].cache.bytes));
            change(Arc::make_mut(&mut state.inodes[inode].device.bytes));
        }
    }

    /// Removes a file at once and durably, as an operator would.
    pub fn lose_file(&self, path: &Path) {
        let mut state = self.shared.state.lock();
        state.names.remove(path);
        state.synced_names.remove(path);
    }
}

impl Shared {
    /// Calls whoever watches.
    fn before(&self, operation: Operation<'_>) {
        let watcher = self.state.lock().watcher.clone();
        if let Some(watcher) = watcher {
            watcher(operation);
        }
    }
}

impl State {
    /// Counts an operation that changes something; fails if it must not be.
    fn step(&mut self) -> io::Result<()> {
        match self.until_crash.as_mut() {
            Some(0) => return Err(io::Error::other("the simulated process is dead")),
            Some(left) => *left -= 1,
            None => {}
        }
        if self.faults.read_only {
            Err(io::ErrorKind::ReadOnlyFilesystem.into())
        } else {
            Ok(())
        }
    }

    fn event(&mut self, event: Event) {
        if let Some(events) = self.events.as_mut() {
            events.push(event);
        }
    }

    fn rename(&mut self, dir: &Path, names: Vec<(PathBuf, Option<usize>)>) {
        self.names.extend_names(names.clone());
        self.renames.push(NameChange {
            dir: dir.to_path_buf(),
            names,
        });
    }

    /// Takes what it can of `growth` from the free space.
    fn grow(&mut self, growth: u64) -> u64 {
        let Some(free) = self.free.as_mut() else {
            return growth;
        };
        let taken = growth.min(*free);
        *free -= taken;
        taken
    }
}

trait ExtendNames {
    fn extend_names(&mut self, names: Vec<(PathBuf, Option<usize>)>);
}

impl ExtendNames for BTreeMap<PathBuf, usize> {
    fn extend_names(&mut self, names: Vec<(PathBuf, Option<usize>)>) {
        for (path, inode) in names {
            match inode {
                Some(inode) => self.insert(path, inode),
                None => self.remove(&path),
            };
        }
    }
}

impl Inode {
    /// Changes the file as processes see it.
    fn update(&mut self, update: Update) {
        self.cache.apply(&update);
        self.unsynced.push(update);
    }

    fn lose_power(&mut self, random: &mut Random) {
        let mut updates = std::mem::take(&mut self.unsynced);
        updates.append(&mut self.dropped);
        random.shuffle(&mut updates);
        for update in updates {
            match random.below(3) {
                0 => {}
                1 => self.device.apply(&update),
                _ => self.tear(&update, random),
            }
        }
        self.cache = self.device.clone();
    }

    /// Does some sectors of a write, or some blocks of a hole.
    fn tear(&mut self, update: &Update, random: &mut Random) {
        for part in update.parts() {
            if random.below(2) == 0 {
                self.device.apply(&part);
            }
        }
    }
}

#[cfg(test)]
mod tests;
