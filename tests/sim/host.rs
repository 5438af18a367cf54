//! The process around the broker's core, as far as a simulation has one: a log, pages to be written
//! and read when somebody decides to, deadlines that come when time does.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use broker_core::definition;
use broker_core::error::BrokerError;
use broker_core::host::{Host, Lsn};
use broker_core::inbox::Inbox;
use broker_core::journal::{EntryKind, Journal, RawChange};
use broker_core::queue::handle::{Budget, PageFree, PageIn, PageOut, QueueHandle};
use broker_core::time::Timestamp;
use broker_core::turns::OpenTurns;
use broker_core::vhost::Vhost;
use leveret::messages::{PageWork, StoreJournal};
use leveret::store::{Change, Store};
use parking_lot::Mutex;

/// What sort of record was appended last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Definitions,
    PagePut,
    PageDeleted,
    Batch,
    Turn,
    Placed,
    Settled,
    Returned,
}

impl Kind {
    pub(crate) const ALL: [Kind; 8] = [
        Kind::Definitions,
        Kind::PagePut,
        Kind::PageDeleted,
        Kind::Batch,
        Kind::Turn,
        Kind::Placed,
        Kind::Settled,
        Kind::Returned,
    ];
}

/// Called around each record that a queue appends, with the queue's lock held; none before.
pub(crate) type Probe = Arc<dyn Fn(Option<Kind>) + Send + Sync>;

/// The store's log, with whoever watches it.
pub(crate) struct SimJournal {
    journal: StoreJournal,
    probe: OnceLock<Probe>,
}

impl fmt::Debug for SimJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimJournal").finish_non_exhaustive()
    }
}

impl SimJournal {
    fn around(&self, kind: Kind, append: impl FnOnce(&StoreJournal) -> Lsn) -> Lsn {
        let tell = |kind| {
            if let Some(probe) = self.probe.get() {
                probe(kind);
            }
        };
        tell(None);
        let lsn = append(&self.journal);
        tell(Some(kind));
        lsn
    }
}

fn kind_of(kind: EntryKind) -> Kind {
    match kind {
        EntryKind::Batch => Kind::Batch,
        EntryKind::Turn => Kind::Turn,
        EntryKind::Placed => Kind::Placed,
        EntryKind::Settled => Kind::Settled,
        EntryKind::Returned => Kind::Returned,
    }
}

impl Journal for SimJournal {
    fn append(&self, kind: EntryKind, parts: &[&[u8]]) -> Lsn {
        self.around(kind_of(kind), |journal| journal.append(kind, parts))
    }

    fn append_freeing(&self, kind: EntryKind, parts: &[&[u8]]) -> Lsn {
        self.around(kind_of(kind), |journal| journal.append_freeing(kind, parts))
    }

    fn append_changes(&self, changes: Vec<RawChange>) -> Lsn {
        let kind = match changes.iter().all(|change| change.value.is_none()) {
            true => Kind::PageDeleted,
            false => Kind::PagePut,
        };
        self.around(kind, |journal| journal.append_changes(changes))
    }
}

/// What waits for the disk and for time.
#[derive(Default)]
pub(crate) struct Jobs {
    pub(crate) out: VecDeque<(Arc<QueueHandle>, PageOut)>,
    pub(crate) reads: VecDeque<(Arc<QueueHandle>, PageIn)>,
    armed: BTreeMap<u64, (Timestamp, Weak<QueueHandle>)>,
    /// A vhost has more dead letters than one turn moves.
    pub(crate) has_letters: bool,
}

impl Jobs {
    /// The queues whose deadline has come.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Vec<Arc<QueueHandle>> {
        let due = |(at, _): &(Timestamp, Weak<QueueHandle>)| *at <= now;
        let ids: Vec<u64> = self
            .armed
            .iter()
            .filter(|(_, deadline)| due(deadline))
            .map(|(id, _)| *id)
            .collect();
        ids.iter()
            .filter_map(|id| self.armed.remove(id)?.1.upgrade())
            .collect()
    }
}

/// A record of definitions: its LSN, and keys with what they mean from then on.
pub(crate) type DefinitionRecord = (u64, Vec<(Vec<u8>, Option<Vec<u8>>)>);

/// The process as the core sees it.
pub(crate) struct SimHost {
    store: Store,
    journal: Arc<SimJournal>,
    turns: Arc<OpenTurns>,
    budget: Arc<Budget>,
    work: Arc<PageWork>,
    pub(crate) jobs: Mutex<Jobs>,
    /// Changes of definitions that this process appended.
    pub(crate) definitions: Mutex<Vec<DefinitionRecord>>,
    /// What must never happen, and did.
    pub(crate) problems: Mutex<Vec<String>>,
}

impl SimHost {
    pub(crate) fn new(store: Store, work: Arc<PageWork>, budget: usize) -> Arc<SimHost> {
        Arc::new(SimHost {
            journal: Arc::new(SimJournal {
                journal: StoreJournal(store.clone()),
                probe: OnceLock::new(),
            }),
            store,
            turns: Arc::default(),
            budget: Arc::new(Budget::new(budget)),
            work,
            jobs: Mutex::default(),
            definitions: Mutex::default(),
            problems: Mutex::default(),
        })
    }

    /// Has `probe` called from now on.
    pub(crate) fn watch(&self, probe: Probe) {
        let _ = self.journal.probe.set(probe);
    }

    fn problem(&self, text: String) {
        self.problems.lock().push(text);
    }
}

impl Host for SimHost {
    fn append(&self, changes: Vec<definition::Change>) -> Result<Lsn, BrokerError> {
        let stored: Vec<Change> = changes.iter().map(stored).collect();
        let appended = self.store.append(&stored);
        let lsn = appended.map_err(|why| BrokerError::precondition(why.to_string()))?;
        let entries = stored.into_iter().map(|change| match change {
            Change::Put { key, value } => (key, Some(value)),
            Change::Delete { key } => (key, None),
        });
        self.definitions.lock().push((lsn.0, entries.collect()));
        if let Some(probe) = self.journal.probe.get() {
            probe(Some(Kind::Definitions));
        }
        Ok(Lsn(lsn.0))
    }

    fn is_durable(&self, lsn: Lsn) -> bool {
        lsn == Lsn::NONE || self.store.durable().0 >= lsn.0
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

    fn write_page(&self, queue: &Arc<QueueHandle>, page: PageOut) {
        self.jobs.lock().out.push_back((Arc::clone(queue), page));
    }

    fn read_page(&self, queue: &Arc<QueueHandle>, page: PageIn) {
        self.jobs.lock().reads.push_back((Arc::clone(queue), page));
    }

    fn free_page(&self, page: PageFree) {
        self.work.free(page);
    }

    fn report_lost_messages(&self, _vhost: &str, queue: &str, count: u64) {
        self.problem(format!("{count} messages of {queue} are lost with a page"));
    }

    fn wake_when_durable(&self, _lsn: Lsn, _inbox: &Arc<Inbox>) {}

    fn arm(&self, queue: &Arc<QueueHandle>, at: Timestamp) {
        let id = queue.identity().id.0;
        let deadline = (at, Arc::downgrade(queue));
        self.jobs.lock().armed.insert(id, deadline);
    }

    fn more_dead_letters(&self, _vhost: &Arc<Vhost>) {
        self.jobs.lock().has_letters = true;
    }

    fn random(&self) -> [u8; 16] {
        [7; 16]
    }

    fn report_failed_queue(&self, _vhost: &str, queue: &str, why: &str) {
        self.problem(format!("queue {queue} failed: {why}"));
    }
}

fn stored(change: &definition::Change) -> Change {
    match change {
        definition::Change::Put(definition) => Change::Put {
            key: definition.key(),
            value: definition.value(),
        },
        definition::Change::Delete(definition) => Change::Delete {
            key: definition.key(),
        },
    }
}
