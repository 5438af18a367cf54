//! What the management API shows of a queue, copied in one piece under its lock.

use std::sync::Arc;

use amqp_codec::{FLAG_TIMESTAMP, FieldTable, property_value};

use super::consumer::{Consumer, Seat};
use super::{Life, Queue};
use crate::inbox::{ConsumerId, Inbox};
use crate::time::Timestamp;

/// What a queue holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that could be delivered now.
    pub ready: u64,
    /// Messages that were delivered and not settled.
    pub unacked: u64,
    /// Messages that wait to be dead-lettered.
    pub dead: u64,
    /// Bytes of ready bodies.
    pub ready_bytes: u64,
    /// Bytes of unacked bodies.
    pub unacked_bytes: u64,
    /// Ready messages with delivery mode 2.
    pub ready_persistent: u64,
    /// Bytes of bodies of ready and unacked messages with delivery mode 2.
    pub persistent_bytes: u64,
    /// Unacked messages with delivery mode 2.
    pub unacked_persistent: u64,
    /// Consumers, ready or not.
    pub consumers: u64,
}

/// What of it is on disk only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OnDisk {
    /// Ready messages.
    pub ready: u64,
    /// Unacked messages.
    pub unacked: u64,
    /// Bytes of the bodies of both.
    pub bytes: u64,
    /// Those of both that are gone after a restart.
    pub transient: u64,
    /// Bytes of the bodies of these.
    pub transient_bytes: u64,
}

/// What happened in a queue since it was made; only ever grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages published to it, refused ones not counted.
    pub publish: u64,
    /// Publishes refused because it was full.
    pub refused: u64,
    /// Deliveries to consumers that ack.
    pub deliver: u64,
    /// Deliveries to consumers that do not.
    pub deliver_no_ack: u64,
    /// Messages given to basic.get that await an ack.
    pub get: u64,
    /// Messages given to basic.get that do not.
    pub get_no_ack: u64,
    /// Times basic.get found nothing.
    pub get_empty: u64,
    /// Acks.
    pub ack: u64,
    /// Deliveries and gets of messages marked redelivered.
    pub redeliver: u64,
    /// No-ack deliveries that came back unseen.
    pub returned: u64,
    /// Messages that died: rejected, expired or too many, dead-lettered or not.
    pub dropped: u64,
    /// Messages that an operator or client took away: purged or removed.
    pub purged: u64,
}

/// One consumer.
#[derive(Clone, Debug)]
pub struct ConsumerSnapshot {
    /// Its name in the process.
    pub id: ConsumerId,
    /// Its consumer tag.
    pub tag: Arc<str>,
    /// Its channel.
    pub channel: u16,
    /// The inbox of its connection, which tells connections apart.
    pub inbox: Arc<Inbox>,
    /// Whether its deliveries await an ack.
    pub ack_required: bool,
    /// Its prefetch, 0 for any number.
    pub prefetch: u16,
    /// Deliveries it has not settled.
    pub unacked: u32,
    /// Whether it has the queue for itself.
    pub exclusive: bool,
    /// x-priority.
    pub priority: i32,
    /// Whether the queue delivers to it when it has room.
    pub active: bool,
    /// The arguments of basic.consume.
    pub arguments: FieldTable,
}

/// A queue at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What it holds.
    pub counts: Counts,
    /// What of that is not in memory.
    pub on_disk: OnDisk,
    /// What happened in it.
    pub totals: Totals,
    /// Its consumers, oldest first.
    pub consumers: Vec<ConsumerSnapshot>,
    /// Bytes of memory its messages and tables take.
    pub memory_bytes: u64,
    /// When a client last published, consumed, cancelled, got or purged here; none if never.
    pub idle_since: Option<Timestamp>,
    /// The timestamp property of the first ready message, in seconds.
    pub head_timestamp: Option<u64>,
    /// The tag of the consumer that has the queue for itself.
    pub exclusive_consumer_tag: Option<Arc<str>>,
    /// Whether the machine panicked.
    pub failed: bool,
}

impl Queue {
    pub(super) fn counts(&self) -> Counts {
        let (ready, unacked) = (self.ready.tally(), self.unacked.tally());
        Counts {
            ready: ready.count,
            unacked: unacked.count,
            dead: self.dead.len() as u64,
            ready_bytes: ready.bytes,
            unacked_bytes: unacked.bytes,
            ready_persistent: ready.persistent,
            unacked_persistent: unacked.persistent,
            persistent_bytes: ready.persistent_bytes + unacked.persistent_bytes,
            consumers: self.consumers.len() as u64,
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let mut consumers: Vec<_> = self.consumers.iter().map(consumer_snapshot).collect();
        consumers.sort_unstable_by_key(|consumer| consumer.id);
        let exclusive = self.consumers.exclusive();
        Snapshot {
            counts: self.counts(),
            on_disk: self.on_disk(),
            totals: self.totals,
            consumers,
            memory_bytes: self.memory_bytes() as u64,
            idle_since: self.active_at,
            head_timestamp: self.head_timestamp(),
            exclusive_consumer_tag: exclusive.map(|consumer| consumer.spec.tag.clone()),
            failed: self.life == Life::Failed,
        }
    }

    fn on_disk(&self) -> OnDisk {
        if !self.chunks.has_away() {
            return OnDisk::default();
        }
        let ready = self.chunks.ready_on_disk();
        let unacked = self.unacked.tally_in(|slot| !self.chunks.is_here(slot));
        let mut both = ready;
        both.add_all(unacked);
        OnDisk {
            ready: ready.count,
            unacked: unacked.count,
            bytes: both.bytes,
            transient: both.count - both.persistent,
            transient_bytes: both.bytes - both.persistent_bytes,
        }
    }

    fn memory_bytes(&self) -> usize {
        size_of::<Queue>()
            + self.chunks.memory_bytes()
            + self.chunks.page_memory_bytes()
            + self.unacked.memory_bytes()
            + self.dead.memory_bytes()
            + self.consumers.memory_bytes()
    }

    fn head_timestamp(&self) -> Option<u64> {
        let head = self.ready.head()?;
        if !self.chunks.is_here(head.slot) {
            return None;
        }
        let record = self.chunks.record(head);
        let value = property_value(record.properties(), FLAG_TIMESTAMP).ok()??;
        Some(u64::from_be_bytes(value.try_into().ok()?))
    }
}

fn consumer_snapshot(consumer: &Consumer) -> ConsumerSnapshot {
    let spec = &consumer.spec;
    ConsumerSnapshot {
        id: spec.id,
        tag: spec.tag.clone(),
        channel: spec.channel,
        inbox: spec.inbox.clone(),
        ack_required: !spec.no_ack,
        prefetch: spec.prefetch,
        unacked: consumer.unacked,
        exclusive: spec.exclusive,
        priority: spec.priority,
        active: consumer.seat != Seat::Gone,
        arguments: spec.arguments.clone(),
    }
}
