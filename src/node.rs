//! What the process gives to the core: the log, timers, randomness, a task for dead letters.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use amqp_codec::ReplyCode;
use broker_core::definition;
use broker_core::error::BrokerError;
use broker_core::host::{Host, Lsn};
use broker_core::inbox::Inbox;
use broker_core::journal::Journal;
use broker_core::queue::handle::{Budget, PageFree, PageIn, PageOut, QueueHandle};
use broker_core::time::Timestamp;
use broker_core::turns::OpenTurns;
use broker_core::vhost::Vhost;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::error;

use crate::clock::Clock;
use crate::messages::{Pager, StoreJournal};
use crate::store::{Change, Store};
use crate::timer::Timer;

/// Connections that wait for the log, by the LSN they wait for.
#[derive(Debug, Default)]
pub(crate) struct LogWaiters {
    waiting: Mutex<BTreeMap<u64, Vec<Weak<Inbox>>>>,
}

impl LogWaiters {
    /// The log is durable up to `lsn`: wakes whoever waited for it.
    pub(crate) fn durable(&self, lsn: u64) {
        let ready = {
            let mut waiting = self.waiting.lock();
            let later = waiting.split_off(&(lsn + 1));
            std::mem::replace(&mut *waiting, later)
        };
        for inbox in ready.into_values().flatten() {
            if let Some(inbox) = inbox.upgrade() {
                inbox.wake();
            }
        }
    }

    fn add(&self, lsn: u64, inbox: &Arc<Inbox>) {
        let mut waiting = self.waiting.lock();
        let there = waiting.entry(lsn).or_default();
        let weak = Arc::downgrade(inbox);
        if !there.last().is_some_and(|last| last.ptr_eq(&weak)) {
            there.push(weak);
        }
    }
}

/// The process, as the core sees it.
pub(crate) struct Node {
    store: Store,
    journal: Arc<StoreJournal>,
    pager: Arc<Pager>,
    budget: Arc<Budget>,
    turns: Arc<OpenTurns>,
    waiters: Arc<LogWaiters>,
    timer: Arc<Timer>,
    clock: Clock,
    letters: Mutex<Vec<Weak<Vhost>>>,
    letters_waiting: Notify,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").finish_non_exhaustive()
    }
}

impl Node {
    /// The parts that were started before.
    pub(crate) fn new(
        store: Store,
        pager: Arc<Pager>,
        budget: Arc<Budget>,
        waiters: Arc<LogWaiters>,
        timer: Arc<Timer>,
        clock: Clock,
    ) -> Arc<Node> {
        let letters_waiting = Notify::new();
        Arc::new(Node {
            journal: Arc::new(StoreJournal(store.clone())),
            store,
            pager,
            budget,
            turns: Arc::default(),
            waiters,
            timer,
            clock,
            letters: Mutex::default(),
            letters_waiting,
        })
    }

    /// Moves the dead letters that turns of connections left, for ever.
    pub(crate) async fn move_dead_letters(self: Arc<Node>) {
        loop {
            let vhosts = std::mem::take(&mut *self.letters.lock());
            if vhosts.is_empty() {
                self.letters_waiting.notified().await;
                continue;
            }
            for vhost in vhosts.iter().filter_map(Weak::upgrade) {
                vhost.move_dead_letters(self.clock.now());
                tokio::task::yield_now().await;
            }
        }
    }
}

impl Host for Node {
    fn append(&self, changes: Vec<definition::Change>) -> Result<Lsn, BrokerError> {
        let changes: Vec<Change> = changes.iter().map(stored).collect();
        match self.store.append(&changes) {
            Ok(lsn) => Ok(Lsn(lsn.0)),
            Err(cause) => {
                error!(%cause, "a change of the definitions cannot be logged");
                Err(BrokerError::new(
                    ReplyCode::InternalError,
                    "the change cannot be made durable",
                ))
            }
        }
    }

    fn is_backlogged(&self) -> bool {
        self.store.is_backlogged() || self.pager.is_behind()
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
        self.pager.write(queue, page);
    }

    fn read_page(&self, queue: &Arc<QueueHandle>, page: PageIn) {
        self.pager.read(queue, page);
    }

    fn free_page(&self, page: PageFree) {
        self.pager.free(page);
    }

    fn report_lost_messages(&self, vhost: &str, queue: &str, count: u64) {
        error!(
            vhost,
            queue, count, "messages are lost: their page cannot be read"
        );
    }

    fn is_durable(&self, lsn: Lsn) -> bool {
        lsn == Lsn::NONE || self.store.durable().0 >= lsn.0
    }

    fn wake_when_durable(&self, lsn: Lsn, inbox: &Arc<Inbox>) {
        self.waiters.add(lsn.0, inbox);
        // It may have become durable before the entry was there.
        if self.is_durable(lsn) {
            inbox.wake();
        }
    }

    fn arm(&self, queue: &Arc<QueueHandle>, at: Timestamp) {
        self.timer.arm_queue(queue, at);
    }

    fn disarm(&self, queue: &QueueHandle) {
        self.timer.disarm_queue(queue);
    }

    fn more_dead_letters(&self, vhost: &Arc<Vhost>) {
        self.letters.lock().push(Arc::downgrade(vhost));
        self.letters_waiting.notify_one();
    }

    fn random(&self) -> [u8; 16] {
        crate::auth::random()
    }

    fn report_failed_queue(&self, vhost: &str, queue: &str, why: &str) {
        error!(
            vhost,
            queue, why, "a queue failed and refuses everything from now on"
        );
    }
}

/// A change of the core as the store keeps it.
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
