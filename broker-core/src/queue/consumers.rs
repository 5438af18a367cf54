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
//! with thousands of busy consumers finds the next idle one at once.
//!
//! A delivery that awaits its ack holds one credit of its channel until it is settled, also when
//! its consumer is cancelled meanwhile.

mod outlets;

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::command::ConsumerSpec;
use super::consumer::{Consumer, Seat};
use super::effects::Effects;
use crate::credit::ChannelCredit;
use crate::inbox::{ConsumerId, Inbox};
use crate::message::RecordRef;
use outlets::Outlets;
pub(super) use outlets::{OutletKey, Unsent};

/// Names a consumer while it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(u32);

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

#[derive(Debug, Default)]
pub(super) struct Consumers {
    seats: Vec<Option<Consumer>>,
    free: Vec<Key>,
    by_id: FxHashMap<ConsumerId, Key>,
    /// Highest priority first.
    turns: Vec<Turn>,
    waiting: Vec<Key>,
    outlets: Outlets,
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

    /// Whether a consumer of this connection is among them.
    pub(super) fn has_connection(&self, inbox: &Arc<Inbox>) -> bool {
        self.outlets.has(inbox)
    }

    /// The one there is, if there is only one.
    pub(super) fn only(&self) -> Option<&Consumer> {
        self.iter().next().filter(|_| self.len() == 1)
    }

    /// Whether there is no room for some of them in their connections or channels.
    pub(super) fn lack_room(&self) -> bool {
        !self.waiting.is_empty()
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
        let outlet = self.outlets.join(&spec.inbox);
        let key = match self.free.pop() {
            Some(key) => key,
            None => {
                self.seats.push(None);
                Key(self.seats.len() as u32 - 1)
            }
        };
        self.seats[key.0 as usize] = Some(Consumer::new(spec, outlet));
        self.by_id.insert(id, key);
        let turn = self.turn(priority);
        turn.members += 1;
        turn.ring.push_back(key);
    }

    /// Takes a consumer out. Nothing may be staged for it.
    pub(super) fn remove(&mut self, id: ConsumerId) -> Option<Consumer> {
        let key = self.by_id.remove(&id)?;
        let consumer = self.seats[key.0 as usize].take()?;
        self.outlets.leave(consumer.outlet);
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
            consumer.dismiss(effects);
            let spec = &consumer.spec;
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

    pub(super) fn key_of(&self, id: ConsumerId) -> Option<Key> {
        self.by_id.get(&id).copied()
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
                consumer.seat = consumer.claim(self.outlets.unreserved(consumer.outlet));
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

    /// Stages a message for a consumer that was chosen for it. Its name if it will ack.
    #[inline]
    pub(super) fn stage(&mut self, key: Key, record: RecordRef<'_>) -> Option<ConsumerId> {
        let consumer = self.seats[key.0 as usize].as_mut()?;
        let spec = &consumer.spec;
        self.outlets
            .stage(consumer.outlet, spec.channel, spec.id, record);
        consumer.count_delivery()
    }

    /// Pushes what is staged to the inboxes, one push per connection, and gives back what could
    /// not be pushed.
    pub(super) fn flush(&mut self, effects: &mut Effects) -> Vec<Unsent> {
        self.outlets.flush(effects)
    }

    /// So many deliveries of a consumer were settled or came back: their credit is free.
    pub(super) fn settled(&mut self, id: ConsumerId, count: u32) {
        if id == ConsumerId::NOBODY {
            return;
        }
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
        self.seats.capacity() * size_of::<Option<Consumer>>() + self.outlets.memory_bytes()
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
