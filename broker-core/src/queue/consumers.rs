//! The consumers of a queue, and whose turn it is.
//!
//! ```text
//!   priority  5   ring: [ c1 c4 ]        higher priorities first, round-robin within
//!   priority  0   ring: [ c2 ]
//!   full          c3                     as many unacked as its prefetch allows: an ack brings it back
//!   waiting       c5                     no room in its connection or channel: Resume brings it back
//! ```
//!
//! A consumer that is not ready is taken out of its ring when its turn comes, so that a queue
//! with thousands of busy consumers finds the next idle one at once. What is chosen for a
//! consumer is staged here and pushed to its inbox once per batch.
//!
//! A delivery that awaits its ack holds one credit of its channel until it is settled, also when
//! its consumer is cancelled meanwhile.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::command::ConsumerSpec;
use super::effects::Effects;
use super::spare;
use crate::credit::ChannelCredit;
use crate::inbox::{ConsumerId, Event, INBOX_BYTES_MAX, Inbox, Pushed};
use crate::message::{RecordRef, Records};

/// Staged bytes are counted in the connection's inbox at the latest when they are this many; so
/// much may each consumer exceed what its connection has room for.
const RESERVE_STEP_BYTES: usize = 4 * 1024;

/// First capacity of a stage.
const STAGE_BYTES: usize = 32 * 1024;

/// Names a consumer while it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(u32);

/// Where a consumer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seat {
    InTurn,
    Full,
    Waiting,
    Gone,
}

#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) spec: ConsumerSpec,
    /// Deliveries it has not settled, those still in its inbox included.
    pub(super) unacked: u32,
    staged: Records,
    /// Staged bytes that its inbox does not count yet.
    unreserved: usize,
    seat: Seat,
}

impl Consumer {
    /// Whether its connection turned out to be closed.
    pub(super) fn is_gone(&self) -> bool {
        self.seat == Seat::Gone
    }

    /// Whether it can take one message now; then its credit is taken.
    #[inline]
    fn claim(&self) -> Seat {
        let spec = &self.spec;
        if !spec.no_ack && spec.prefetch != 0 && self.unacked >= u32::from(spec.prefetch) {
            return Seat::Full;
        }
        if spec.inbox.bytes() + self.unreserved >= INBOX_BYTES_MAX {
            return match spec.inbox.is_closed() {
                true => Seat::Gone,
                false => Seat::Waiting,
            };
        }
        if !spec.no_ack && !spec.credit.try_reserve() {
            return Seat::Waiting;
        }
        Seat::InTurn
    }

    /// Whether it can take `count` messages at once; then their credit is taken.
    fn claim_many(&self, count: u32) -> bool {
        let spec = &self.spec;
        if !spec.inbox.is_ready() {
            return false;
        }
        if spec.no_ack {
            return true;
        }
        let room = match spec.prefetch {
            0 => u32::MAX,
            prefetch => u32::from(prefetch).saturating_sub(self.unacked),
        };
        room >= count && spec.credit.try_reserve_many(count)
    }
}

#[derive(Debug)]
struct Turn {
    priority: i32,
    /// Consumers of this priority, in turn or not.
    members: usize,
    ring: VecDeque<Key>,
}

/// A consumer that was cancelled with unacked deliveries.
#[derive(Debug)]
struct Departed {
    inbox: Arc<Inbox>,
    credit: Arc<ChannelCredit>,
    unacked: u32,
}

/// Staged messages of a consumer whose connection is gone.
#[derive(Debug)]
pub(super) struct Unsent {
    pub(super) key: Key,
    pub(super) records: Records,
}

#[derive(Debug, Default)]
pub(super) struct Consumers {
    seats: Vec<Option<Consumer>>,
    free: Vec<Key>,
    by_id: FxHashMap<ConsumerId, Key>,
    /// Highest priority first.
    turns: Vec<Turn>,
    waiting: Vec<Key>,
    staged: Vec<Key>,
    gone: Vec<ConsumerId>,
    departed: FxHashMap<ConsumerId, Departed>,
    /// Connections with a limited channel that got credit back.
    freed: Vec<Arc<Inbox>>,
}

impl Consumers {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Consumer> {
        self.seats.iter().flatten()
    }

    /// The one that has the queue for itself.
    pub(super) fn exclusive(&self) -> Option<&Consumer> {
        self.iter()
            .next()
            .filter(|consumer| consumer.spec.exclusive)
    }

    pub(super) fn add(&mut self, spec: ConsumerSpec) {
        let (id, priority) = (spec.id, spec.priority);
        let consumer = Consumer {
            spec,
            unacked: 0,
            staged: Records::new(),
            unreserved: 0,
            seat: Seat::InTurn,
        };
        let key = match self.free.pop() {
            Some(key) => key,
            None => {
                self.seats.push(None);
                Key(self.seats.len() as u32 - 1)
            }
        };
        self.seats[key.0 as usize] = Some(consumer);
        self.by_id.insert(id, key);
        let turn = self.turn(priority);
        turn.members += 1;
        turn.ring.push_back(key);
    }

    /// Takes a consumer out. Nothing may be staged for it.
    pub(super) fn remove(&mut self, id: ConsumerId) -> Option<Consumer> {
        let key = self.by_id.remove(&id)?;
        let consumer = self.seats[key.0 as usize].take()?;
        debug_assert!(consumer.staged.is_empty(), "every command flushes");
        match consumer.seat {
            Seat::InTurn => self
                .turn(consumer.spec.priority)
                .ring
                .retain(|&other| other != key),
            Seat::Waiting => self.waiting.retain(|&other| other != key),
            Seat::Full | Seat::Gone => {}
        }
        self.turn(consumer.spec.priority).members -= 1;
        self.turns.retain(|turn| turn.members > 0);
        self.free.push(key);
        self.shrink();
        if !consumer.spec.no_ack && consumer.unacked > 0 {
            let departed = Departed {
                inbox: consumer.spec.inbox.clone(),
                credit: consumer.spec.credit.clone(),
                unacked: consumer.unacked,
            };
            self.departed.insert(id, departed);
        }
        Some(consumer)
    }

    /// Tells every consumer that the queue is gone, and frees all credit.
    pub(super) fn dismiss(self, effects: &mut Effects) {
        let mut freed = self.freed;
        for consumer in self.seats.into_iter().flatten() {
            let spec = consumer.spec;
            let event = Event::ConsumerCancelled {
                channel: spec.channel,
                consumer: spec.id,
            };
            effects.pushed(spec.inbox.push_event(event, None));
            if !spec.no_ack {
                free(&spec.credit, &spec.inbox, consumer.unacked, &mut freed);
            }
        }
        for departed in self.departed.into_values() {
            free(
                &departed.credit,
                &departed.inbox,
                departed.unacked,
                &mut freed,
            );
        }
        effects.freed.append(&mut freed);
    }

    /// Connections that got credit back and whose other queues may go on.
    pub(super) fn take_freed(&mut self, effects: &mut Effects) {
        effects.freed.append(&mut self.freed);
    }

    #[inline]
    pub(super) fn get(&mut self, key: Key) -> Option<&mut Consumer> {
        self.seats.get_mut(key.0 as usize)?.as_mut()
    }

    /// The next consumer that can take one message, its channel's credit taken. Those that cannot
    /// lose their turn.
    #[inline]
    pub(super) fn choose(&mut self, effects: &mut Effects) -> Option<Key> {
        for turn in &mut self.turns {
            while let Some(&key) = turn.ring.front() {
                let Some(consumer) = &mut self.seats[key.0 as usize] else {
                    turn.ring.pop_front();
                    continue;
                };
                consumer.seat = consumer.claim();
                match consumer.seat {
                    Seat::InTurn => {
                        if turn.ring.len() > 1 {
                            turn.ring.rotate_left(1);
                        }
                        return Some(key);
                    }
                    Seat::Waiting => {
                        self.waiting.push(key);
                        effects.skip(&consumer.spec.inbox, &consumer.spec.credit);
                    }
                    Seat::Gone => self.gone.push(consumer.spec.id),
                    Seat::Full => {}
                }
                turn.ring.pop_front();
            }
        }
        None
    }

    /// The only consumer of the queue, if it can take `count` messages at once; their credit is
    /// taken then.
    pub(super) fn claim_all(&mut self, count: u32) -> Option<Key> {
        let [turn] = &self.turns[..] else { return None };
        let key = *turn.ring.front().filter(|_| turn.members == 1)?;
        self.get(key)?.claim_many(count).then_some(key)
    }

    /// Puts a message into the stage of a consumer that was chosen for it.
    #[inline]
    pub(super) fn stage(&mut self, key: Key, record: RecordRef<'_>) {
        let Some(consumer) = &mut self.seats[key.0 as usize] else {
            return;
        };
        if consumer.staged.is_empty() {
            self.staged.push(key);
            if consumer.staged.capacity() == 0 {
                consumer.staged = spare::take(STAGE_BYTES);
            }
        }
        consumer.staged.push_record(record);
        consumer.unreserved += record.memory_bytes();
        if consumer.unreserved >= RESERVE_STEP_BYTES {
            let bytes = std::mem::take(&mut consumer.unreserved);
            consumer.spec.inbox.reserve_bytes(bytes);
        }
    }

    /// Counts a delivery to a consumer. Its name if it will ack, none if it will not.
    #[inline]
    pub(super) fn count_delivery(&mut self, key: Key) -> Option<ConsumerId> {
        let consumer = self.seats[key.0 as usize].as_mut()?;
        if consumer.spec.no_ack {
            return None;
        }
        consumer.unacked += 1;
        Some(consumer.spec.id)
    }

    /// Pushes what is staged to the inboxes, one push per consumer. What could not be pushed
    /// comes back, no longer counted there.
    pub(super) fn flush(&mut self, effects: &mut Effects) -> Vec<Unsent> {
        let mut unsent = Vec::new();
        while let Some(key) = self.staged.pop() {
            let Some(consumer) = &mut self.seats[key.0 as usize] else {
                continue;
            };
            let spec = &consumer.spec;
            let mut records = std::mem::take(&mut consumer.staged);
            spec.inbox
                .reserve_bytes(std::mem::take(&mut consumer.unreserved));
            match spec
                .inbox
                .push_deliveries(spec.channel, spec.id, &mut records)
            {
                pushed @ Pushed::Done(_) => {
                    effects.pushed(pushed);
                    spare::give(records);
                }
                Pushed::Closed => {
                    let bytes = records.iter().map(|record| record.memory_bytes()).sum();
                    spec.inbox.release_bytes(bytes);
                    unsent.push(Unsent { key, records });
                }
            }
        }
        unsent
    }

    /// So many deliveries of a consumer were settled or came back: their credit is free.
    pub(super) fn settled(&mut self, id: ConsumerId, count: u32) {
        let Some(&key) = self.by_id.get(&id) else {
            return self.settled_by_departed(id, count);
        };
        let Some(consumer) = &mut self.seats[key.0 as usize] else {
            return;
        };
        debug_assert!(consumer.unacked >= count, "settled more than delivered");
        consumer.unacked -= count;
        let spec = &consumer.spec;
        free(&spec.credit, &spec.inbox, count, &mut self.freed);
        if consumer.seat == Seat::Full {
            consumer.seat = Seat::InTurn;
            let priority = spec.priority;
            self.turn(priority).ring.push_back(key);
        }
    }

    fn settled_by_departed(&mut self, id: ConsumerId, count: u32) {
        let Some(departed) = self.departed.get_mut(&id) else {
            return;
        };
        free(&departed.credit, &departed.inbox, count, &mut self.freed);
        departed.unacked -= count;
        if departed.unacked == 0 {
            self.departed.remove(&id);
            self.shrink();
        }
    }

    /// Everyone who waits for a connection or channel gets a turn again.
    pub(super) fn resume(&mut self) {
        for key in std::mem::take(&mut self.waiting) {
            let Some(consumer) = &mut self.seats[key.0 as usize] else {
                continue;
            };
            consumer.seat = Seat::InTurn;
            let priority = consumer.spec.priority;
            self.turn(priority).ring.push_back(key);
        }
    }

    /// A consumer whose connection turned out to be closed gets no turn any more.
    pub(super) fn expel(&mut self, key: Key) {
        let Some(consumer) = &mut self.seats[key.0 as usize] else {
            return;
        };
        let (seat, priority) = (consumer.seat, consumer.spec.priority);
        consumer.seat = Seat::Gone;
        let id = consumer.spec.id;
        match seat {
            Seat::InTurn => self.turn(priority).ring.retain(|&other| other != key),
            Seat::Waiting => self.waiting.retain(|&other| other != key),
            Seat::Full => {}
            Seat::Gone => return,
        }
        self.gone.push(id);
    }

    /// Those whose connections turned out to be closed.
    pub(super) fn take_gone(&mut self) -> Vec<ConsumerId> {
        std::mem::take(&mut self.gone)
    }

    /// Bytes of memory, roughly.
    pub(super) fn memory_bytes(&self) -> usize {
        self.seats.capacity() * size_of::<Option<Consumer>>()
    }

    /// Without consumers nothing is kept.
    fn shrink(&mut self) {
        if self.by_id.is_empty() && self.departed.is_empty() {
            let (gone, freed) = (
                std::mem::take(&mut self.gone),
                std::mem::take(&mut self.freed),
            );
            *self = Consumers {
                gone,
                freed,
                ..Consumers::default()
            };
        }
    }

    fn turn(&mut self, priority: i32) -> &mut Turn {
        let index = self.turns.partition_point(|turn| turn.priority > priority);
        if self
            .turns
            .get(index)
            .is_none_or(|turn| turn.priority != priority)
        {
            let turn = Turn {
                priority,
                members: 0,
                ring: VecDeque::new(),
            };
            self.turns.insert(index, turn);
        }
        &mut self.turns[index]
    }
}

/// Gives credit back. Only a limited channel can have queues that wait for it.
fn free(credit: &ChannelCredit, inbox: &Arc<Inbox>, count: u32, freed: &mut Vec<Arc<Inbox>>) {
    credit.release(count);
    let may_wait = credit.limit() != 0 && !inbox.is_closed();
    if may_wait && !freed.iter().any(|other| Arc::ptr_eq(other, inbox)) {
        freed.push(inbox.clone());
    }
}
