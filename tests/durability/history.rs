//! What was done to each message, and so where it must or may be found. Judges nothing itself.

use std::collections::BTreeMap;

use super::body::Id;
use super::scene::Queue;

/// Why a message must not be seen again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// It was settled, and something behind that was durable.
    Settled,
    /// It could have been there after a start, and was not.
    Missed,
}

/// What one worker did, in its order.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// Published. `sure`: the broker has confirmed it.
    Sent {
        home: Queue,
        id: Id,
        bytes: usize,
        sure: bool,
    },
    /// Delivered to a consumer.
    Seen {
        queue: Queue,
        id: Id,
        redelivered: bool,
    },
    /// Acknowledged, purged, or taken without acknowledgement. `sure`: this is known to be durable.
    Settled { queue: Queue, id: Id, sure: bool },
    /// Rejected to the dead letters.
    Rejected { queue: Queue, id: Id },
    /// A transaction without an answer.
    Doubtful(Turn),
    /// What is known of a queue that comes and goes.
    Queue(Queue, Existence),
    /// Something that must never happen.
    Wrong(String),
}

/// Whether a queue is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existence {
    There,
    Deleted,
    Unknown,
}

/// What a transaction did: all of it, or nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turn {
    pub(crate) publishes: Vec<(Queue, Id)>,
    pub(crate) settles: Vec<(Queue, Id)>,
}

/// One message in one queue.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    pub(crate) bytes: usize,
    /// It must be found; otherwise it may.
    pub(crate) must: bool,
    /// It is known to be durable, whatever became of it since.
    pub(crate) durable: bool,
    /// It may be in its own queue, among the dead letters.
    pub(crate) at_home: bool,
    pub(crate) among_dead: bool,
    /// Someone got it before.
    pub(crate) delivered: bool,
    /// Someone acknowledged it.
    pub(crate) settled: bool,
}

/// Everything that happened to a data directory.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) copies: BTreeMap<(Queue, Id), Copy>,
    /// What must never be seen again, and why.
    pub(crate) gone: BTreeMap<(Queue, Id), Gone>,
    pub(crate) doubtful: Vec<Turn>,
    pub(crate) queues: BTreeMap<Queue, Existence>,
    /// The last message each consumer without acknowledgements got since the last check.
    pub(crate) auto_seen: BTreeMap<Queue, Id>,
    pub(crate) wrong: Vec<String>,
    pub(crate) tally: Tally,
}

/// How much was proven.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sent: u64,
    pub(crate) sure: u64,
    pub(crate) seen: u64,
    pub(crate) settled: u64,
    pub(crate) surely_settled: u64,
    pub(crate) doubtful: u64,
    pub(crate) checked: u64,
    pub(crate) in_flight: u64,
}

impl Tally {
    pub(crate) fn add(self, other: Tally) -> Tally {
        Tally {
            sent: self.sent + other.sent,
            sure: self.sure + other.sure,
            seen: self.seen + other.seen,
            settled: self.settled + other.settled,
            surely_settled: self.surely_settled + other.surely_settled,
            doubtful: self.doubtful + other.doubtful,
            checked: self.checked + other.checked,
            in_flight: self.in_flight + other.in_flight,
        }
    }
}

impl History {
    /// Takes in what the workers of a cycle did at the same time.
    pub(crate) fn take(&mut self, reports: Vec<Vec<Deed>>) {
        let mut deeds: Vec<Deed> = reports.into_iter().flatten().collect();
        // What makes others possible comes first; otherwise the order of each worker stays.
        deeds.sort_by_key(|deed| match deed {
            Deed::Sent { .. } => 0,
            Deed::Rejected { .. } => 1,
            _ => 2,
        });
        deeds.into_iter().for_each(|deed| self.note(deed));
    }

    fn note(&mut self, deed: Deed) {
        match deed {
            Deed::Sent {
                home,
                id,
                bytes,
                sure,
            } => self.sent(home, id, bytes, sure),
            Deed::Seen {
                queue,
                id,
                redelivered,
            } => self.seen(queue, id, redelivered),
            Deed::Settled { queue, id, sure } => self.settled(queue, id, sure),
            Deed::Rejected { queue, id } => {
                if let Some(copy) = self.copies.get_mut(&(queue, id)) {
                    copy.among_dead = true;
                }
            }
            Deed::Doubtful(turn) => {
                self.tally.doubtful += 1;
                self.doubtful.push(turn);
            }
            Deed::Queue(queue, existence) => {
                self.queues.insert(queue, existence);
            }
            Deed::Wrong(what) => self.wrong.push(what),
        }
    }

    fn sent(&mut self, home: Queue, id: Id, bytes: usize, sure: bool) {
        self.tally.sent += 1;
        self.tally.sure += u64::from(sure);
        let copy = Copy {
            bytes,
            must: sure,
            durable: sure,
            at_home: true,
            among_dead: home == Queue::Ttl,
            delivered: false,
            settled: false,
        };
        self.copies.insert((home, id), copy);
    }

    /// The queue a message of `queue` was published to: another one for dead letters.
    pub(crate) fn home(&self, queue: Queue, id: Id) -> Queue {
        if queue != Queue::Dead {
            return queue;
        }
        let homes = [Queue::Prio, Queue::Ttl];
        let found = homes.iter().find(|home| {
            self.copies.contains_key(&(**home, id)) || self.gone.contains_key(&(**home, id))
        });
        found.copied().unwrap_or(queue)
    }

    fn seen(&mut self, queue: Queue, id: Id, redelivered: bool) {
        self.tally.seen += 1;
        if queue == Queue::FanAuto {
            self.auto_seen.insert(queue, id);
        }
        let home = self.home(queue, id);
        let Some(copy) = self.copies.get_mut(&(home, id)) else {
            let why = self.unknown(home, id);
            self.wrong
                .push(format!("{queue:?} delivered {id:x?}: {why}"));
            return;
        };
        if copy.delivered && !redelivered && queue != Queue::Dead {
            let what = format!("{queue:?} delivered {id:x?} again and not as redelivered");
            self.wrong.push(what);
        }
        if queue == Queue::Dead && !copy.among_dead {
            self.wrong.push(format!(
                "{id:x?} of {home:?} is a dead letter for no reason"
            ));
        }
        copy.delivered = true;
    }

    /// Why a message that nobody expects may be there.
    pub(crate) fn unknown(&self, home: Queue, id: Id) -> &'static str {
        match self.gone.get(&(home, id)) {
            Some(Gone::Settled) => "it was settled durably and has come back",
            Some(Gone::Missed) => "it was not there after an earlier start and has come back",
            None => "it was never published there",
        }
    }

    fn settled(&mut self, queue: Queue, id: Id, sure: bool) {
        self.tally.settled += 1;
        self.tally.surely_settled += u64::from(sure);
        let home = self.home(queue, id);
        // A dead letter that was settled may be made once more, of what its source still has.
        if sure && queue != Queue::Dead {
            self.copies.remove(&(home, id));
            self.gone.insert((home, id), Gone::Settled);
        } else if let Some(copy) = self.copies.get_mut(&(home, id)) {
            copy.must = false;
            copy.settled = true;
        }
    }
}
