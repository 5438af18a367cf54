//! Clients: what a connection keeps of its publishes, deliveries and turns under way.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use broker_core::credit::ChannelCredit;
use broker_core::host::Lsn;
use broker_core::inbox::{Answer, ConfirmRun, ConsumerId, Event, Inbox, Item, Mail};
use broker_core::queue::handle::Batch;
use broker_core::turns::OpenTurn;

use crate::message::{Id, Sent};
use crate::observe::Seen;

/// The only channel of a client.
pub(crate) const CHANNEL: u16 = 1;

/// A consumer.
pub(crate) struct Consumer {
    pub(crate) id: ConsumerId,
    pub(crate) queue: u64,
    pub(crate) no_ack: bool,
}

/// A delivery that its client has not settled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) queue: u64,
    pub(crate) ordinal: u64,
    pub(crate) id: Option<Id>,
}

/// Messages and settles that are one record, on their way to their queues.
pub(crate) struct Turn {
    pub(crate) settles: VecDeque<(u64, Vec<Held>)>,
    pub(crate) pushes: VecDeque<Push>,
    /// The log keeps its record as long as it is under way.
    pub(crate) _open: Option<Arc<OpenTurn>>,
}

/// The share of one queue.
pub(crate) struct Push {
    pub(crate) queue: u64,
    pub(crate) batch: Batch,
    pub(crate) messages: Vec<Sent>,
}

/// What awaits the log before its publisher hears of it.
struct Unsynced {
    lsn: Lsn,
    confirms: Vec<ConfirmRun>,
    rejected: Vec<(u16, u64)>,
}

/// What a message still waits for.
struct Unconfirmed {
    queues: u32,
    is_refused: bool,
}

/// What came in.
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) deliveries: Vec<(u64, Seen, bool)>,
}

/// A connection.
pub(crate) struct Client {
    pub(crate) number: u16,
    /// For confirms.
    pub(crate) events: Arc<Inbox>,
    /// For messages.
    pub(crate) deliveries: Arc<Inbox>,
    pub(crate) credit: Arc<ChannelCredit>,
    pub(crate) consumers: Vec<Consumer>,
    /// Who asked for a message, by token; and whether it acks.
    pub(crate) gets: BTreeMap<u32, (u64, bool)>,
    pub(crate) next_token: u32,
    pub(crate) held: Vec<Held>,
    /// Deliveries nobody acks that were passed on and are to be reported.
    pub(crate) sent: Vec<Held>,
    pub(crate) turn: Option<Turn>,
    unsynced: VecDeque<Unsynced>,
    unconfirmed: BTreeMap<Id, Unconfirmed>,
    /// Published without confirms.
    unpromised: Vec<Id>,
}

impl Client {
    pub(crate) fn new(number: u16) -> Client {
        Client {
            number,
            events: Inbox::new(),
            deliveries: Inbox::new(),
            credit: Arc::new(ChannelCredit::new()),
            consumers: Vec::new(),
            gets: BTreeMap::new(),
            next_token: 1,
            held: Vec::new(),
            sent: Vec::new(),
            turn: None,
            unsynced: VecDeque::new(),
            unconfirmed: BTreeMap::new(),
            unpromised: Vec::new(),
        }
    }

    /// Messages are about to go to so many queues each.
    pub(crate) fn await_confirms(&mut self, messages: &[Sent], queues: u32, confirms: bool) {
        for sent in messages {
            let is_refused = false;
            match confirms {
                true => drop(
                    self.unconfirmed
                        .insert(sent.id, Unconfirmed { queues, is_refused }),
                ),
                false => self.unpromised.push(sent.id),
            }
        }
    }

    /// Takes what queues said of publishes. Gives those that were refused.
    pub(crate) fn hear(&mut self) -> Vec<Id> {
        let mut mail = Mail::default();
        if !self.events.take(&mut mail, None) {
            return Vec::new();
        }
        let mut refused = Vec::new();
        for item in mail.items {
            if let Item::Event(Event::Published {
                confirms,
                rejected,
                lsn,
            }) = item
            {
                refused.extend(rejected.iter().map(|(_, id)| *id));
                self.unsynced.push_back(Unsynced {
                    lsn,
                    confirms,
                    rejected,
                });
            }
        }
        refused
    }

    /// A queue that is gone takes everything.
    pub(crate) fn take_for_granted(&mut self, confirms: Vec<ConfirmRun>) {
        self.unsynced.push_back(Unsynced {
            lsn: Lsn::NONE,
            confirms,
            rejected: Vec::new(),
        });
    }

    /// The messages that may be confirmed now.
    pub(crate) fn confirmed(&mut self, is_durable: impl Fn(Lsn) -> bool) -> Vec<Id> {
        let mut confirmed = Vec::new();
        while self
            .unsynced
            .front()
            .is_some_and(|batch| is_durable(batch.lsn))
        {
            let Some(batch) = self.unsynced.pop_front() else {
                break;
            };
            let ids = batch
                .confirms
                .iter()
                .flat_map(|run| run.first..run.first + u64::from(run.count));
            for id in ids {
                let is_refused = batch.rejected.iter().any(|(_, other)| *other == id);
                confirmed.extend(self.note(id, is_refused));
            }
        }
        confirmed
    }

    fn note(&mut self, id: Id, is_refused: bool) -> Option<Id> {
        let waiting = self.unconfirmed.get_mut(&id)?;
        waiting.queues -= 1;
        waiting.is_refused |= is_refused;
        let (queues, is_refused) = (waiting.queues, waiting.is_refused);
        if queues == 0 {
            self.unconfirmed.remove(&id);
        }
        (queues == 0 && !is_refused).then_some(id)
    }

    /// The messages that are safe because a channel that published them may be closed now.
    pub(crate) fn promised(&mut self, is_durable: impl Fn(Lsn) -> bool) -> Vec<Id> {
        let is_settled = self.turn.is_none() && self.events.is_settled();
        match is_settled && is_durable(self.events.logged()) {
            true => std::mem::take(&mut self.unpromised),
            false => Vec::new(),
        }
    }

    /// Takes messages; the flag of each says that nobody acks it and its queue has it in the log.
    pub(crate) fn take(&mut self) -> Taken {
        let mut taken = Taken::default();
        let mut mail = Mail::default();
        if !self.deliveries.take(&mut mail, None) {
            return taken;
        }
        let mut bytes = 0;
        let mut records = mail.records.iter();
        for item in &mail.items {
            let (queue, no_ack, count) = match item {
                Item::Deliveries {
                    consumer, count, ..
                } => {
                    let known = self.consumers.iter().find(|known| known.id == *consumer);
                    let (queue, no_ack) =
                        known.map_or((0, false), |known| (known.queue, known.no_ack));
                    (queue, no_ack, *count)
                }
                Item::Event(Event::Answer { token, answer, .. }) => {
                    let asked = self.gets.remove(token).unwrap_or((0, false));
                    let count = u32::from(matches!(answer, Answer::Got { .. }));
                    (asked.0, asked.1, count)
                }
                Item::Event(Event::ConsumerCancelled { consumer, .. }) => {
                    self.consumers.retain(|known| known.id != *consumer);
                    continue;
                }
                Item::Event(_) => continue,
            };
            for record in records.by_ref().take(count as usize) {
                bytes += record.memory_bytes();
                let seen = Seen::of(record);
                taken
                    .deliveries
                    .push((queue, seen, no_ack && record.is_logged()));
                let held = Held {
                    queue,
                    ordinal: seen.ordinal,
                    id: seen.id,
                };
                match no_ack {
                    false => self.held.push(held),
                    true if record.is_logged() => self.sent.push(held),
                    true => {}
                }
            }
        }
        self.deliveries.release_bytes(bytes);
        taken
    }

    /// Whose answer to basic.get with a message this is, and whether nobody acks it.
    pub(crate) fn got(&self, event: &Event) -> Option<(u64, bool)> {
        match event {
            Event::Answer {
                token,
                answer: Answer::Got { .. },
                ..
            } => self.gets.get(token).copied(),
            _ => None,
        }
    }

    /// Whether it may begin something new.
    pub(crate) fn is_free(&self) -> bool {
        self.turn.is_none()
    }

    /// Forgets what it had of a queue that is gone.
    pub(crate) fn forget(&mut self, queue: u64) {
        self.held.retain(|held| held.queue != queue);
        self.sent.retain(|held| held.queue != queue);
        self.consumers.retain(|consumer| consumer.queue != queue);
    }
}

/// Settled deliveries by queue, in order.
pub(crate) fn by_queue(held: &[Held]) -> BTreeMap<u64, Vec<Held>> {
    let mut queues: BTreeMap<u64, Vec<Held>> = BTreeMap::new();
    for one in held {
        queues.entry(one.queue).or_default().push(*one);
    }
    queues
}
