//! Says which part of the log queues still need, and makes them need less of it.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use broker_core::broker::Broker;
use broker_core::host;
use broker_core::queue::Command;
use broker_core::queue::handle::QueueHandle;
use broker_core::time::Timestamp;
use broker_core::turns::Needed;
use tracing::warn;

use crate::defects::{Defect, is_planted};
use crate::store::{Lsn, Owner, Store};

/// How long a stopping broker waits for messages to leave the log. What is left is replayed.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long it waits for dead letters to move. What is left is in its queue after the next start.
const LETTERS_TIMEOUT: Duration = Duration::from_secs(5);
/// After so long a queue is asked again: a page that was being written when it was asked may lack
/// what was settled meanwhile.
const RELEASE_AGAIN: Duration = Duration::from_millis(100);

/// Tells the time.
type Clock = Box<dyn Fn() -> Timestamp + Send + Sync>;

/// The broker as the owner of the store's entries.
pub struct Keeper {
    broker: Weak<Broker>,
    store: Store,
    clock: Clock,
}

impl Keeper {
    /// The owner of what the queues of `broker` append to `store`.
    pub fn new(
        broker: &Arc<Broker>,
        store: Store,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Arc<Keeper> {
        Arc::new(Keeper {
            broker: Arc::downgrade(broker),
            store,
            clock: Box::new(clock),
        })
    }

    /// Every durable queue there is.
    fn queues(&self) -> Vec<Arc<QueueHandle>> {
        let Some(broker) = self.broker.upgrade() else {
            return Vec::new();
        };
        let mut queues = Vec::new();
        for vhost in broker.vhosts() {
            let topology = vhost.topology();
            let durable = topology
                .queues()
                .filter(|entry| entry.handle.identity().durable);
            queues.extend(durable.map(|entry| Arc::clone(&entry.handle)));
        }
        queues
    }

    /// Moves the dead letters that wait, those too whose pages are read first: what was rejected
    /// before the stop has left its queue when this returns, unless that takes long. Blocks.
    pub(crate) fn move_letters(&self) {
        let vhosts = self.broker.upgrade().map(|broker| broker.vhosts());
        let vhosts = vhosts.unwrap_or_default();
        let deadline = Instant::now() + LETTERS_TIMEOUT;
        loop {
            for vhost in &vhosts {
                vhost.move_all_dead_letters((self.clock)());
            }
            let wait = |queue: &Arc<QueueHandle>| queue.counts().dead > 0;
            if !self.queues().iter().any(wait) || Instant::now() >= deadline {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    /// Puts everything that only the log has into pages, for a start that reads no log. Blocks.
    /// Messages that expire meanwhile add to the log, so it is asked again until nothing is left.
    pub(crate) fn release_all(&self) {
        let deadline = Instant::now() + RELEASE_TIMEOUT;
        while let Some((holding, last)) = self.ask_for_all() {
            let now = Instant::now();
            if now >= deadline {
                let queues = holding.len();
                warn!(queues, "messages stay in the log: the next start reads it");
                return;
            }
            let needs_still = || holding.iter().any(|queue| needs(queue, last));
            while now.elapsed() < RELEASE_AGAIN && needs_still() {
                std::thread::park_timeout(Duration::from_millis(2));
            }
        }
    }

    /// Asks all queues that a stop in good order would lose something of to let the log go so far.
    /// None when there is none.
    pub fn ask_for_all(&self) -> Option<(Vec<Arc<QueueHandle>>, Lsn)> {
        let mut holding = self.queues();
        holding.retain(|queue| queue.needed_from().is_some() || queue.owes_redelivered());
        if holding.is_empty() {
            return None;
        }
        let last = self.store.appended();
        release(&holding, last, (self.clock)());
        Some((holding, last))
    }

    /// The queues that need something of the log up to a record, if there are any.
    fn holding(&self, upto: Lsn) -> Option<Vec<Arc<QueueHandle>>> {
        let mut queues = self.queues();
        queues.retain(|queue| needs(queue, upto));
        (!queues.is_empty()).then_some(queues)
    }
}

fn needs(queue: &QueueHandle, upto: Lsn) -> bool {
    queue.needed_from().is_some_and(|lsn| lsn.0 <= upto.0)
}

fn release(queues: &[Arc<QueueHandle>], upto: Lsn, now: Timestamp) {
    for queue in queues {
        let upto = host::Lsn(upto.0);
        queue.submit(now, Command::Release { upto });
    }
}

impl Owner for Keeper {
    fn floor(&self) -> Lsn {
        // Before the queues are asked: what they append from now on is above it.
        let last = self.store.appended();
        let Some(broker) = self.broker.upgrade() else {
            return last;
        };
        let last = match broker.host().turns().needed() {
            _ if is_planted(Defect::OpenTurnsForgotten) => last,
            Needed::Nothing => last,
            Needed::From(first) => last.min(Lsn(first.0.saturating_sub(1))),
            // Asked again soon; what is known now may not be said of what comes.
            Needed::Unknown => return Lsn(0),
        };
        let queues = self.queues();
        let needed = queues.iter().filter_map(|queue| queue.needed_from()).min();
        match needed {
            Some(first) if is_planted(Defect::FloorOneTooHigh) => last.min(Lsn(first.0)),
            Some(first) => last.min(Lsn(first.0.saturating_sub(1))),
            None => last,
        }
    }

    fn release(&self, upto: Lsn) {
        if let Some(holding) = self.holding(upto) {
            release(&holding, upto, (self.clock)());
        }
    }
}
