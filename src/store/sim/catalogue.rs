//! A catalogue in memory that after a crash holds any state since its last sync, or will not open.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::random::Random;
use super::{Event, Operation, SimDisk};
use crate::store::Lsn;
use crate::store::catalogue::{Catalogue, CatalogueError, CatalogueSource, Entries, Mark, Visit};
use crate::store::layout::Identity;

/// A step of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Entries and mark written.
    Apply,
    /// Handed to the operating system.
    Flush,
    /// Made durable.
    Sync,
}

#[derive(Debug, Clone, Default)]
struct Contents {
    mark: Option<Mark>,
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Contents {
    fn apply(&mut self, entries: &Entries) {
        for (key, value) in entries {
            self.set(key, value);
        }
    }

    fn set(&mut self, key: &[u8], value: &Option<Vec<u8>>) {
        match value {
            Some(value) => self.entries.insert(key.to_vec(), value.clone()),
            None => self.entries.remove(key),
        };
    }

    fn change(&mut self, change: &Written) {
        if let Some((key, value)) = &change.entry {
            self.set(key, value);
        }
        self.mark = Some(change.mark);
    }
}

/// One thing that was written: an entry with the mark that went with it, or the mark alone.
#[derive(Debug, Clone)]
struct Written {
    entry: Option<(Vec<u8>, Option<Vec<u8>>)>,
    mark: Mark,
}

#[derive(Default, Clone)]
struct Model {
    exists: bool,
    now: Arc<Contents>,
    /// What is sure to survive a power loss.
    synced: Arc<Contents>,
    /// What was written since. A power loss leaves the first so many of it.
    unsynced: Vec<Written>,
    damaged: bool,
    fail_next: Option<Step>,
    set_aside: u32,
}

/// The simulated catalogue; clones are the same one.
#[derive(Clone)]
pub struct SimCatalogue {
    disk: SimDisk,
    model: Arc<Mutex<Model>>,
}

impl SimCatalogue {
    /// None yet; its steps are recorded among the events of `disk`.
    pub fn new(disk: &SimDisk) -> SimCatalogue {
        SimCatalogue {
            disk: disk.clone(),
            model: Arc::default(),
        }
    }

    /// A catalogue like this one, with its own fate, beside `disk`.
    pub fn fork(&self, disk: &SimDisk) -> SimCatalogue {
        let model = self.model.lock().clone();
        SimCatalogue {
            disk: disk.clone(),
            model: Arc::new(Mutex::new(model)),
        }
    }

    /// Power fails: any state since the last sync is left.
    pub fn power_loss(&self, seed: u64) {
        let mut model = self.model.lock();
        let model = &mut *model;
        let survive = Random::new(seed).below(model.unsynced.len() as u64 + 1) as usize;
        let left = Arc::make_mut(&mut model.synced);
        for change in model.unsynced.drain(..).take(survive) {
            left.change(&change);
        }
        model.now = Arc::clone(&model.synced);
        model.fail_next = None;
    }

    /// It will not open any more.
    pub fn damage(&self) {
        self.model.lock().damaged = true;
    }

    /// Whether it will not open.
    pub fn is_damaged(&self) -> bool {
        self.model.lock().damaged
    }

    /// It holds these entries, and not yet all up to record `upto`: a checkpoint was cut short.
    pub fn touch(&self, entries: &Entries, upto: Lsn) {
        let mut model = self.model.lock();
        let now = Arc::make_mut(&mut model.now);
        now.apply(entries);
        let before = now.mark.unwrap_or_default();
        now.mark = Some(Mark {
            touched: upto,
            ..before
        });
    }

    /// It ends at this record, as an old copy of it would.
    pub fn set_back(&self, mark: Lsn) {
        let mut model = self.model.lock();
        let now = Arc::make_mut(&mut model.now);
        let floor = now.mark.unwrap_or_default().floor.min(mark);
        now.mark = Some(Mark {
            complete: mark,
            touched: mark,
            floor,
        });
    }

    /// The next step of this kind fails.
    pub fn fail_next(&self, step: Step) {
        self.model.lock().fail_next = Some(step);
    }

    /// It is lost altogether.
    pub fn lose(&self) {
        *self.model.lock() = Model::default();
    }

    /// The record up to which it holds the map.
    pub fn mark(&self) -> Option<Lsn> {
        self.model.lock().now.mark.map(|mark| mark.complete)
    }

    /// How often it was set aside.
    pub fn times_set_aside(&self) -> u32 {
        self.model.lock().set_aside
    }

    fn mark_now(&self) -> Mark {
        self.model.lock().now.mark.unwrap_or_default()
    }

    fn write(&self, change: Written) {
        let mut model = self.model.lock();
        Arc::make_mut(&mut model.now).change(&change);
        model.unsynced.push(change);
    }

    fn step(&self, step: Step) -> Result<(), CatalogueError> {
        self.disk.shared.before(Operation::Catalogue(step));
        if self.disk.is_crashed() {
            return Err(CatalogueError::Damaged(
                "the simulated process is dead".to_owned(),
            ));
        }
        self.disk.event(Event::Catalogue(step));
        let mut model = self.model.lock();
        if model.fail_next == Some(step) {
            model.fail_next = None;
            return Err(CatalogueError::Damaged("simulated failure".to_owned()));
        }
        Ok(())
    }
}

impl CatalogueSource for SimCatalogue {
    fn exists(&self) -> bool {
        self.model.lock().exists
    }

    fn open(&self, _: &Identity) -> Result<Box<dyn Catalogue>, CatalogueError> {
        let mut model = self.model.lock();
        if model.damaged {
            return Err(CatalogueError::Damaged("simulated damage".to_owned()));
        }
        model.exists = true;
        if !self.disk.is_crashed() {
            // What a process that was killed left in the system's cache is synced.
            model.synced = Arc::clone(&model.now);
            model.unsynced.clear();
        }
        Ok(Box::new(self.clone()))
    }

    fn set_aside(&self) -> std::io::Result<PathBuf> {
        let set_aside = self.model.lock().set_aside + 1;
        self.lose();
        self.model.lock().set_aside = set_aside;
        Ok(PathBuf::from(format!("/sim/catalogue.aside-{set_aside}")))
    }

    fn path(&self) -> PathBuf {
        PathBuf::from("/sim/catalogue")
    }
}

impl Catalogue for SimCatalogue {
    fn mark(&self) -> Option<Mark> {
        self.model.lock().now.mark
    }

    fn scan(&self, visit: Visit<'_>) -> Result<(), CatalogueError> {
        let now = self.model.lock().now.clone();
        now.entries
            .iter()
            .for_each(|(key, value)| visit(key, value));
        Ok(())
    }

    fn apply(&mut self, entries: &Entries, upto: Lsn, floor: Lsn) -> Result<(), CatalogueError> {
        self.step(Step::Apply)?;
        let before = self.mark_now();
        for (key, value) in entries {
            // A batch of its own for every entry: what is left may be cut anywhere.
            self.write(Written {
                entry: Some((key.clone(), value.clone())),
                mark: Mark {
                    touched: upto,
                    ..before
                },
            });
        }
        self.write(Written {
            entry: None,
            mark: Mark {
                complete: upto,
                touched: upto,
                floor,
            },
        });
        Ok(())
    }

    fn flush(&mut self) -> Result<(), CatalogueError> {
        self.step(Step::Flush)
    }

    fn sync(&mut self) -> Result<(), CatalogueError> {
        self.step(Step::Sync)?;
        let mut model = self.model.lock();
        model.synced = Arc::clone(&model.now);
        model.unsynced.clear();
        Ok(())
    }
}
