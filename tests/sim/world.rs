//! The simulated world: one process at a time over one disk, its clients, and who does what next.
//!
//! There is one thread. What would be threads takes turns in steps, and also in the middle of each
//! other's steps: before any operation on the disk and around any record that is appended,
//! [`World::switch`] may let others go on, as far as what is interrupted holds no lock they need.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use broker_core::time::Timestamp;
use leveret::messages::Keeper;
use leveret::store::sim::{SimCatalogue, SimDisk};
use leveret::store::{Lsn, Owner};
use parking_lot::Mutex;

use crate::client::Client;
use crate::crash::Crashes;
use crate::host::Kind;
use crate::model::Model;
use crate::process::Process;
use crate::random::Random;
use crate::settings::Settings;

/// What may be interrupted, or is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Part {
    /// A queue has a command: its lock is held.
    Queues = 1,
    Log = 2,
    Pages = 4,
    Upkeep = 8,
}

impl Part {
    pub(crate) const ALL: [Part; 4] = [Part::Queues, Part::Log, Part::Pages, Part::Upkeep];
}

/// Everything.
pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) random: Mutex<Random>,
    now: AtomicU64,
    /// The parts that are in the middle of something.
    busy: AtomicU8,
    process: Mutex<Option<Arc<Process>>>,
    pub(crate) model: Mutex<Model>,
    pub(crate) clients: Mutex<Vec<Client>>,
    pub(crate) next_client: AtomicU64,
    pub(crate) crashes: Mutex<Crashes>,
    story: Mutex<Option<Vec<String>>>,
    pub(crate) this: Weak<World>,
}

impl World {
    pub(crate) fn new(seed: u64, tells: bool) -> Arc<World> {
        let mut random = Random::new(seed);
        let settings = Settings::choose(&mut random, crate::tasks::Act::ALL.len());
        Arc::new_cyclic(|this| World {
            settings,
            random: Mutex::new(random),
            now: AtomicU64::new(1_000_000),
            busy: AtomicU8::new(0),
            process: Mutex::new(None),
            model: Mutex::default(),
            clients: Mutex::default(),
            next_client: AtomicU64::new(1),
            crashes: Mutex::default(),
            story: Mutex::new(tells.then(Vec::new)),
            this: this.clone(),
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::Relaxed))
    }

    pub(crate) fn let_time_pass(&self, ms: u64) {
        self.now.fetch_add(ms, Ordering::Relaxed);
    }

    /// The process that runs; none between two.
    pub(crate) fn process(&self) -> Option<Arc<Process>> {
        self.process.lock().clone()
    }

    /// Draws from the numbers of this world.
    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        draw(&mut self.random.lock())
    }

    pub(crate) fn chance(&self, percent: u64) -> bool {
        self.draw(|random| random.chance(percent))
    }

    /// Adds to the story, if somebody wants to hear it.
    pub(crate) fn tell(&self, line: impl FnOnce() -> String) {
        if let Some(story) = self.story.lock().as_mut() {
            story.push(line());
        }
    }

    pub(crate) fn story(&self) -> Vec<String> {
        self.story.lock().take().unwrap_or_default()
    }

    fn is_busy(&self, part: Part) -> bool {
        self.busy.load(Ordering::Relaxed) & part as u8 != 0
    }

    /// Does something that must not be interrupted by its like.
    pub(crate) fn during<T>(&self, part: Part, act: impl FnOnce() -> T) -> T {
        let before = self.busy.fetch_or(part as u8, Ordering::Relaxed);
        let done = act();
        self.busy.store(before, Ordering::Relaxed);
        done
    }

    /// Whether a part can do something now, wherever this is asked.
    fn may_go_on(&self, part: Part) -> bool {
        if self.is_busy(part) {
            return false;
        }
        match part {
            Part::Queues => true,
            // Reports go to queues.
            Part::Pages => !self.is_busy(Part::Queues),
            // The files of the log belong to one of both.
            Part::Log => {
                !self.is_busy(Part::Upkeep)
                    || self.process().is_some_and(|process| {
                        process.log.try_lock().is_some_and(|log| log.is_free())
                    })
            }
            // It asks queues what they need.
            Part::Upkeep => !self.is_busy(Part::Log) && !self.is_busy(Part::Queues),
        }
    }

    /// Lets another part do something, perhaps.
    pub(crate) fn switch(&self) {
        if self.process().is_none() || !self.chance(self.settings.weights.switch) {
            return;
        }
        let can = Part::ALL.map(|part| self.may_go_on(part));
        let parts = self.settings.weights.parts;
        let weights: Vec<u64> = (0..4).map(|i| if can[i] { parts[i] } else { 0 }).collect();
        if weights.iter().sum::<u64>() == 0 {
            return;
        }
        let part = self.draw(|random| random.weighted(&weights));
        self.go_on(Part::ALL[part]);
    }

    /// Does the next thing.
    pub(crate) fn step(&self) {
        let weights = self.settings.weights.parts;
        let part = self.draw(|random| random.weighted(&weights));
        self.go_on(Part::ALL[part]);
    }

    fn go_on(&self, part: Part) {
        match part {
            Part::Queues => self.act(),
            Part::Log => self.log_step(),
            Part::Pages => self.pages_step(),
            Part::Upkeep => {
                let asked = self.chance(self.settings.weights.asked);
                self.upkeep_round(asked);
            }
        }
    }

    /// A process begins to run.
    pub(crate) fn begin(&self, process: Process) {
        let process = Arc::new(process);
        let owner = SimOwner {
            keeper: process.keeper({
                let world = self.this.clone();
                move || world.upgrade().map_or(Timestamp(0), |world| world.now())
            }),
            world: self.this.clone(),
        };
        process.attach(Arc::new(owner));
        let world = self.this.clone();
        process.host.watch(Arc::new(move |kind| {
            if let Some(world) = world.upgrade() {
                world.at_record(kind);
            }
        }));
        let world = self.this.clone();
        process.disk.watch(Some(Arc::new(move |operation| {
            if let Some(world) = world.upgrade() {
                world.at_disk(operation);
            }
        })));
        *self.process.lock() = Some(process);
    }

    /// The process ends, without being asked.
    pub(crate) fn end(&self) {
        let process = self.process.lock().take();
        self.clients.lock().clear();
        self.crashes.lock().last_kind = None;
        drop(process);
    }

    /// A record is about to be appended, or was.
    fn at_record(&self, kind: Option<Kind>) {
        if self.process().is_none() {
            return;
        }
        if let Some(kind) = kind {
            self.crashes.lock().last_kind = Some(kind);
            let last = self.process().map_or(0, |process| process.appended());
            self.tell(|| format!("  record {last}: {kind:?}"));
        }
        // Definitions come under the lock of the topology, which upkeep needs: only the log.
        self.during(Part::Queues, || self.switch());
    }
}

/// The broker as the store's owner, with others doing something while it looks.
struct SimOwner {
    keeper: Arc<Keeper>,
    world: Weak<World>,
}

impl Owner for SimOwner {
    fn floor(&self) -> Lsn {
        let Some(world) = self.world.upgrade() else {
            return Lsn(0);
        };
        world.switch();
        let floor = world.during(Part::Queues, || self.keeper.floor());
        world.switch();
        floor
    }

    fn release(&self, upto: Lsn) {
        if let Some(world) = self.world.upgrade() {
            world.during(Part::Queues, || self.keeper.release(upto));
        }
    }
}

/// A disk and its catalogue after a crash, with what must be true of it.
pub(crate) struct Remains {
    pub(crate) disk: SimDisk,
    pub(crate) catalogue: SimCatalogue,
}
