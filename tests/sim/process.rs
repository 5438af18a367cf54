//! A broker's process over the simulated disk: the store without threads, the broker's core, pages
//! and their work. Opened as `leveret serve` opens it; dropped as a killed process is.

use std::path::Path;
use std::sync::Arc;

use amqp_codec::FieldTable;
use broker_core::access::User;
use broker_core::broker::{Authenticator, Broker, Limits};
use broker_core::definition::VhostSpec;
use broker_core::queue::handle::QueueHandle;
use broker_core::recovery::check::Checked;
use broker_core::time::Timestamp;
use broker_core::vhost::Vhost;
use leveret::messages::{
    Checking, Keeper, PageWork, Recovering, Written, restore, restore_definitions,
};
use leveret::store::sim::{DrivenLog, DrivenStore, DrivenUpkeep, SimCatalogue, SimDisk};
use leveret::store::{Change, Lsn, Map, NoEntries, Owner, Recovered, Replay, Store, StoreError};
use parking_lot::Mutex;

use crate::host::SimHost;
use crate::settings::{DIR, Settings, VHOST};

struct Anybody;

impl Authenticator for Anybody {
    fn verify(&self, _user: Option<&User>, _password: &str) -> bool {
        true
    }
}

/// Pages between two steps of their way.
#[derive(Default)]
pub(crate) struct PagesUnderWay {
    /// Written and not synced.
    pub(crate) unsynced: Vec<Written>,
    /// To be reported.
    pub(crate) to_report: Vec<Written>,
    /// Read, and to be reported.
    pub(crate) read: Vec<leveret::messages::Read>,
}

/// A process.
pub(crate) struct Process {
    pub(crate) disk: SimDisk,
    pub(crate) catalogue: SimCatalogue,
    pub(crate) store: Store,
    pub(crate) log: Mutex<DrivenLog>,
    upkeep: Mutex<Option<DrivenUpkeep>>,
    driven: Mutex<Option<DrivenStore>>,
    pub(crate) host: Arc<SimHost>,
    pub(crate) broker: Arc<Broker>,
    pub(crate) vhost: Arc<Vhost>,
    pub(crate) work: Arc<PageWork>,
    pub(crate) under_way: Mutex<PagesUnderWay>,
}

/// What a start found.
pub(crate) struct Found {
    pub(crate) recovered: Recovered,
    /// What the offline check says of it, if it was asked.
    pub(crate) checked: Option<Checked>,
    /// The catalogue was to be used.
    pub(crate) was_good: bool,
}

/// Hands everything to the recovery, and to the offline check if there is one.
struct Tee {
    recovering: Recovering,
    checking: Option<Checking>,
}

impl Replay for Tee {
    fn base(&mut self, map: &Map) {
        self.recovering.base(map);
        if let Some(checking) = &mut self.checking {
            checking.base(map);
        }
    }

    fn base_is_older(&mut self) {
        self.recovering.base_is_older();
        if let Some(checking) = &mut self.checking {
            checking.base_is_older();
        }
    }

    fn change(&mut self, lsn: Lsn, change: &Change) {
        self.recovering.change(lsn, change);
        if let Some(checking) = &mut self.checking {
            checking.change(lsn, change);
        }
    }

    fn entry(&mut self, lsn: Lsn, kind: u8, payload: &[u8]) {
        self.recovering.entry(lsn, kind, payload);
        if let Some(checking) = &mut self.checking {
            checking.entry(lsn, kind, payload);
        }
    }
}

fn limits() -> Limits {
    Limits {
        channel_max: 0,
        frame_max: 131_072,
        initial_frame_max: 4096,
        heartbeat: 0,
        max_message_size: 1 << 24,
        consumer_max_per_channel: None,
        max_connections: None,
        loopback_users: Vec::new(),
    }
}

impl Process {
    /// Starts on what lies on the disk. `owner` wraps the broker as the store's owner.
    pub(crate) fn open(
        disk: &SimDisk,
        catalogue: &SimCatalogue,
        settings: &Settings,
        now: Timestamp,
        is_checked: bool,
    ) -> Result<(Process, Found), StoreError> {
        let mut tee = Tee {
            recovering: Recovering::default(),
            checking: is_checked.then(Checking::default),
        };
        // The first checkpoint in a new one may be cut short.
        let is_new = catalogue.mark().is_none_or(|mark| mark == Lsn(0));
        let was_good = !is_new && !catalogue.is_damaged();
        let (driven, log, upkeep, recovered) = DrivenStore::open(
            Arc::new(disk.clone()),
            Arc::new(catalogue.clone()),
            settings.options.clone(),
            Box::new(|_| {}),
            &mut tee,
        )?;
        let store = driven.store().clone();
        let (dir, node) = (Path::new(DIR), recovered.node_id);
        let found = tee.recovering.finish();
        let pages = found.open_pages(
            Arc::new(disk.clone()),
            (dir, node),
            settings.segment_bytes,
            store.damage(),
        )?;
        let work = Arc::new(PageWork::new(pages, store.clone()));
        let host = SimHost::new(store.clone(), Arc::clone(&work), settings.budget);
        let core = Arc::clone(&host);
        let broker = Broker::new(core, Box::new(Anybody), limits(), FieldTable::new());
        restore_definitions(&broker, &recovered.entries, (dir, store.damage()), now);
        if broker.vhost(VHOST).is_none() {
            create_vhost(&broker);
        }
        restore(
            &broker,
            found,
            work.pages(),
            recovered.clean,
            now,
            store.damage(),
        );
        let vhost = broker.vhost(VHOST).ok_or(StoreError::Closed)?;
        let process = Process {
            disk: disk.clone(),
            catalogue: catalogue.clone(),
            store,
            log: Mutex::new(log),
            upkeep: Mutex::new(Some(upkeep)),
            driven: Mutex::new(Some(driven)),
            host,
            broker,
            vhost,
            work,
            under_way: Mutex::default(),
        };
        let checked = tee.checking.map(Checking::finish);
        let checked = checked.map(|checked| process.check_pages(checked));
        let found = Found {
            recovered,
            checked,
            was_good,
        };
        Ok((process, found))
    }

    fn check_pages(&self, mut checked: Checked) -> Checked {
        let queues = std::mem::take(&mut checked.restored.queues);
        for page in queues.iter().flat_map(|queue| &queue.pages) {
            let at = leveret::store::pages::PageAt {
                segment: page.segment,
                offset: page.offset,
                length: page.length,
                crc: page.crc,
            };
            // One that cannot be read is missed when its queue is asked for it.
            if let Ok(block) = self.work.pages().read(at) {
                checked.page(page, &block);
            }
        }
        checked
    }

    /// The owner of the store's entries.
    pub(crate) fn keeper(
        &self,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Arc<Keeper> {
        Keeper::new(&self.broker, self.store.clone(), clock)
    }

    pub(crate) fn attach(&self, owner: Arc<dyn Owner>) {
        self.store.attach(owner);
    }

    /// All queues there are, by id.
    pub(crate) fn queues(&self) -> Vec<Arc<QueueHandle>> {
        let topology = self.vhost.topology();
        let mut queues: Vec<_> = topology
            .queues()
            .map(|entry| Arc::clone(&entry.handle))
            .collect();
        queues.sort_by_key(|queue| queue.identity().id);
        queues
    }

    /// The last record appended.
    pub(crate) fn appended(&self) -> u64 {
        self.store.appended().0
    }

    /// Writes, syncs and announces up to `steps` times; all there is, if `steps` are enough.
    pub(crate) fn run_log(&self, steps: usize) {
        let mut log = self.log.lock();
        for _ in 0..steps {
            if !log.step() {
                return;
            }
        }
    }

    /// Upkeep does what is due; a checkpoint in any case if it is asked for.
    pub(crate) fn upkeep_round(&self, asked: bool) -> Result<(), Arc<StoreError>> {
        match self.upkeep.lock().as_mut() {
            Some(upkeep) => upkeep.round(asked),
            None => Ok(()),
        }
    }

    /// Ends in good order.
    pub(crate) fn close(&self) -> Result<(), String> {
        let (driven, upkeep) = (self.driven.lock().take(), self.upkeep.lock().take());
        let (Some(driven), Some(upkeep)) = (driven, upkeep) else {
            return Err("it is closed already".to_owned());
        };
        let closed = driven.close(&mut self.log.lock(), upkeep);
        closed.map_err(|why| format!("it does not close: {why}"))
    }

    /// Reads every page that is asked for, and reports it. False when there was none.
    pub(crate) fn read_pages(&self, now: Timestamp) -> bool {
        let mut any = false;
        loop {
            let next = self.host.jobs.lock().reads.pop_front();
            let Some((queue, page)) = next else {
                return any;
            };
            any = true;
            self.work.read(queue, &page).report(now);
        }
    }
}

impl Drop for Process {
    /// What refers to each other in a circle is taken apart.
    fn drop(&mut self) {
        self.disk.watch(None);
        self.store.attach(Arc::new(NoEntries));
        let _ = self.broker.delete_vhost(VHOST, Timestamp(0));
        let mut jobs = self.host.jobs.lock();
        jobs.out.clear();
        jobs.reads.clear();
    }
}

fn create_vhost(broker: &Broker) {
    let spec = VhostSpec {
        name: VHOST.into(),
        description: String::new(),
        tags: Vec::new(),
    };
    // Refused only by a log that has failed; the next record tells.
    let _ = broker.put_vhost(spec);
}
