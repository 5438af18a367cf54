//! The process around the core, without sockets: the real log on a disk in memory.
//!
//! Owns the broker with its user and vhost, and the moment at which what was logged becomes
//! durable: when the driver says so, and not when a thread happens to be done. Nothing measured
//! here depends on a disk or on the order of threads.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use amqp_codec::{FieldTable, ReplyCode};
use broker_core::access::{HashAlgorithm, Permission, User};
use broker_core::broker::{Authenticator, Broker, Limits};
use broker_core::definition::{self, VhostSpec};
use broker_core::error::BrokerError;
use broker_core::host::{Host, Lsn};
use broker_core::inbox::Inbox;
use broker_core::journal::{EntryKind, Journal, RawChange};
use broker_core::queue::handle::{Budget, PageFree, PageIn, PageOut, QueueHandle};
use broker_core::time::Timestamp;
use broker_core::turns::OpenTurns;
use broker_core::vhost::Vhost;
use leveret::store::sim::{SimCatalogue, SimDisk};
use leveret::store::{Change, NoEntries, Store, StoreOptions};
use parking_lot::Mutex;

/// The time of everything that is measured.
pub(crate) const NOW: Timestamp = Timestamp(1_000_000);
/// More than any load keeps: no page leaves memory.
const RESIDENT_BYTES: usize = 1 << 30;

/// The log, as queues see it.
#[derive(Debug)]
struct Log(Store);

impl Journal for Log {
    fn append(&self, kind: EntryKind, parts: &[&[u8]]) -> Lsn {
        Lsn(self.0.append_entry(kind as u8, parts).0)
    }

    fn append_freeing(&self, kind: EntryKind, parts: &[&[u8]]) -> Lsn {
        Lsn(self.0.append_freeing_entry(kind as u8, parts).0)
    }

    fn append_changes(&self, changes: Vec<RawChange>) -> Lsn {
        let stored = |RawChange { key, value }| match value {
            Some(value) => Change::Put { key, value },
            None => Change::Delete { key },
        };
        let changes: Vec<Change> = changes.into_iter().map(stored).collect();
        Lsn(self.0.append_changes_unbounded(&changes).0)
    }
}

/// What the core asks of a process.
pub(crate) struct Process {
    store: Store,
    journal: Arc<Log>,
    budget: Arc<Budget>,
    turns: Arc<OpenTurns>,
    /// What counts as durable.
    durable: AtomicU64,
    waiting: Mutex<Vec<Arc<Inbox>>>,
    names: AtomicU64,
}

impl Process {
    /// Waits until everything appended is written, and wakes whoever waits for it.
    pub(crate) fn sync(&self) -> Result<(), Box<dyn Error>> {
        let appended = self.store.appended();
        self.store.wait_durable(appended)?;
        self.durable.store(appended.0, Ordering::Release);
        self.waiting.lock().drain(..).for_each(|inbox| inbox.wake());
        Ok(())
    }
}

impl Host for Process {
    fn append(&self, changes: Vec<definition::Change>) -> Result<Lsn, BrokerError> {
        let stored = |change: &definition::Change| match change {
            definition::Change::Put(definition) => Change::Put {
                key: definition.key(),
                value: definition.value(),
            },
            definition::Change::Delete(definition) => Change::Delete {
                key: definition.key(),
            },
        };
        let changes: Vec<Change> = changes.iter().map(stored).collect();
        match self.store.append(&changes) {
            Ok(lsn) => Ok(Lsn(lsn.0)),
            Err(error) => Err(BrokerError::new(
                ReplyCode::InternalError,
                error.to_string(),
            )),
        }
    }

    fn is_durable(&self, lsn: Lsn) -> bool {
        lsn.0 <= self.durable.load(Ordering::Acquire)
    }

    fn is_backlogged(&self) -> bool {
        self.store.is_backlogged()
    }

    fn journal(&self) -> Arc<dyn Journal> {
        Arc::clone(&self.journal) as Arc<dyn Journal>
    }

    fn turns(&self) -> &Arc<OpenTurns> {
        &self.turns
    }

    fn budget(&self) -> Option<Arc<Budget>> {
        Some(Arc::clone(&self.budget))
    }

    fn write_page(&self, _queue: &Arc<QueueHandle>, _page: PageOut) {
        panic!("a page leaves memory although there is room for all");
    }

    fn read_page(&self, _queue: &Arc<QueueHandle>, _page: PageIn) {
        panic!("a page is read although none was written");
    }

    fn free_page(&self, _page: PageFree) {
        panic!("a page is freed although none was written");
    }

    fn report_lost_messages(&self, _vhost: &str, queue: &str, count: u64) {
        panic!("queue '{queue}' lost {count} messages");
    }

    fn wake_when_durable(&self, _lsn: Lsn, inbox: &Arc<Inbox>) {
        self.waiting.lock().push(Arc::clone(inbox));
    }

    fn arm(&self, _queue: &Arc<QueueHandle>, _at: Timestamp) {}

    fn more_dead_letters(&self, vhost: &Arc<Vhost>) {
        vhost.move_dead_letters(NOW);
    }

    fn random(&self) -> [u8; 16] {
        // The same names in every run: they have lengths and places in tables.
        u128::from(self.names.fetch_add(1, Ordering::Relaxed)).to_le_bytes()
    }

    fn report_failed_queue(&self, _vhost: &str, queue: &str, why: &str) {
        panic!("queue '{queue}' failed: {why}");
    }
}

struct PlainPasswords;

impl Authenticator for PlainPasswords {
    fn verify(&self, user: Option<&User>, password: &str) -> bool {
        user.is_some_and(|user| user.password_hash == password.as_bytes())
    }
}

/// A broker with user guest, vhost "/" and an empty log.
pub(crate) fn start() -> Result<(Arc<Broker>, Arc<Process>), Box<dyn Error>> {
    let disk = SimDisk::new();
    let catalogue = SimCatalogue::new(&disk);
    let (store, _nothing) = Store::open_on(
        Arc::new(disk),
        Arc::new(catalogue),
        StoreOptions::new("/log"),
        Box::new(|_durable| {}),
        &mut NoEntries,
    )?;
    let process = Arc::new(Process {
        journal: Arc::new(Log(store.clone())),
        store,
        budget: Arc::new(Budget::new(RESIDENT_BYTES)),
        turns: Arc::default(),
        durable: AtomicU64::new(0),
        waiting: Mutex::default(),
        names: AtomicU64::new(1),
    });
    let host = Arc::clone(&process) as Arc<dyn Host>;
    let broker = Broker::new(host, Box::new(PlainPasswords), limits(), FieldTable::new());
    broker.put_vhost(VhostSpec {
        name: "/".into(),
        description: String::new(),
        tags: Vec::new(),
    })?;
    broker.put_user(User {
        name: "guest".into(),
        password_hash: b"guest".to_vec(),
        algorithm: HashAlgorithm::Sha256,
        tags: Vec::new(),
    })?;
    broker.put_permission("/", "guest", Permission::new(".*", ".*", ".*")?)?;
    process.sync()?;
    Ok((broker, process))
}

fn limits() -> Limits {
    Limits {
        channel_max: 2047,
        frame_max: 131_072,
        initial_frame_max: 8192,
        heartbeat: 60,
        max_message_size: 1 << 20,
        consumer_max_per_channel: None,
        max_connections: None,
        loopback_users: vec!["guest".into()],
    }
}
