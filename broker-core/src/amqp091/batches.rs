//! What one turn of a connection has for the queues: publishes and settlements, grouped by queue,
//! handed over at the next barrier (any other method, an error, the end of the read).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustc_hash::FxHashMap;

use super::routes::Target;
use super::shared_turn::SharedTurn;
use crate::host::Host;
use crate::inbox::{ConfirmRun, Inbox};
use crate::message::{Message, Records};
use crate::queue::Command;
use crate::queue::handle::{Batch, QueueHandle, QueueId};
use crate::spare;
use crate::time::Timestamp;

/// Publishes are handed over when their records reach this many bytes, barrier or not.
const BATCH_BYTES_MAX: usize = 256 * 1024;
/// Batches kept with their memory for the next turn.
const SPARE_MAX: usize = 8;
/// How many queues back a settlement looks for its like, before it starts a group of its own.
const SETTLE_LOOK_BACK: usize = 8;
/// Memory of a batch that is worth keeping.
const SPARE_BYTES_MAX: usize = 128 * 1024;

/// How deliveries of one queue were settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// basic.ack.
    Ack,
    /// basic.nack or basic.reject with requeue, basic.recover, the channel's end.
    Requeue,
    /// basic.nack or basic.reject without requeue.
    Reject,
    /// Encoded for a client that does not ack.
    Sent,
}

/// Work for queues, collected over a part of a turn. Belongs to the worker thread, not to a
/// connection: it is empty between turns.
#[derive(Debug, Default)]
pub struct Batches {
    /// Unique in the process, because a route's targets may be used on any worker thread; 0 when
    /// nothing is collected.
    turn: u64,
    /// Bytes of records collected.
    bytes: usize,
    /// Bytes that the last batch had: room made at once for a batch without a spare buffer.
    usual_bytes: usize,
    publishes: Vec<(Arc<QueueHandle>, Batch)>,
    /// What goes to the log as one record before the queues get it.
    shared: SharedTurn,
    by_queue: FxHashMap<QueueId, u32>,
    /// Whether the publishes collected so far await confirms (all or none do), and their channel.
    confirming: Option<u16>,
    settlements: Vec<(Arc<QueueHandle>, Settlement, Vec<u64>)>,
    /// Channels with publishes that are finished without any queue.
    finished: Vec<u16>,
    spare: Vec<Records>,
}

impl Batches {
    /// Adds a publish of the connection `origin` for one target of a route. `confirm` is the channel
    /// and publish number that await the queue's answer.
    #[inline]
    pub fn publish(
        &mut self,
        target: &mut Target,
        message: Message<'_>,
        confirm: Option<(u16, u64)>,
        is_in_turn: bool,
        origin: &Arc<Inbox>,
    ) {
        if target.turn != self.turn || self.turn == 0 {
            target.batch = self.batch_for(&target.queue, origin);
            target.turn = self.turn;
        }
        let batch = &mut self.publishes[target.batch as usize].1;
        let before = batch.records.record_bytes();
        batch.records.push(message);
        self.bytes += batch.records.record_bytes() - before;
        if is_in_turn {
            self.shared
                .note(target.batch, batch.records.len() as u32 - 1);
        }
        if let Some((channel, number)) = confirm {
            match batch.confirms.last_mut() {
                Some(run)
                    if run.channel == channel && run.first + u64::from(run.count) == number =>
                {
                    run.count += 1;
                }
                _ => {
                    batch.confirms.push(ConfirmRun {
                        channel,
                        first: number,
                        count: 1,
                    });
                }
            }
        }
    }

    /// Whether publishes that await confirms on `channel` (or none) can join those collected:
    /// in one batch all or none are confirmed. If not, hand over first.
    #[inline]
    pub fn accepts(&self, confirm_channel: Option<u16>) -> bool {
        self.publishes.is_empty()
            || (self.confirming.is_some() == confirm_channel.is_some()
                && self.bytes < BATCH_BYTES_MAX)
    }

    /// Notes what [`Self::accepts`] was asked for.
    #[inline]
    pub fn begin(&mut self, confirm_channel: Option<u16>) {
        self.confirming = confirm_channel;
    }

    /// A publish on `channel` awaits no queue: its confirm is due at the end of the turn.
    pub fn note_finished(&mut self, channel: u16) {
        if self.finished.last() != Some(&channel) {
            self.finished.push(channel);
        }
    }

    /// The channels of [`Self::note_finished`] since the last call.
    pub fn take_finished(&mut self) -> Vec<u16> {
        std::mem::take(&mut self.finished)
    }

    /// Adds a settled delivery.
    #[inline]
    pub fn settle(&mut self, queue: &Arc<QueueHandle>, settlement: Settlement, ordinal: u64) {
        for (other, kind, ordinals) in self.settlements.iter_mut().rev().take(SETTLE_LOOK_BACK) {
            if Arc::ptr_eq(other, queue) {
                if *kind == settlement {
                    ordinals.push(ordinal);
                    return;
                }
                break;
            }
        }
        self.settlements
            .push((Arc::clone(queue), settlement, vec![ordinal]));
    }

    /// From here to the next hand-over everything persistent is one record of the log.
    pub fn begin_transaction(&mut self) {
        self.shared.is_transaction = true;
    }

    /// What goes to the log as one record, to be added to.
    pub(super) fn shared(&mut self) -> &mut SharedTurn {
        &mut self.shared
    }

    /// Hands everything over; `host` gives the log. Answers come through the inboxes.
    pub fn hand_over(&mut self, host: &dyn Host, now: Timestamp) {
        let mut logged = self.shared.append(host);
        let is_waiting = logged.as_ref().is_some_and(|logged| logged.has_settles);
        for (queue, settlement, ordinals) in self.settlements.drain(..) {
            let command = match settlement {
                Settlement::Ack => Command::Ack { ordinals },
                Settlement::Requeue => Command::Requeue { ordinals },
                Settlement::Reject => Command::Reject { ordinals },
                Settlement::Sent => Command::Sent { ordinals },
            };
            match is_waiting {
                true => queue.submit_waiting(now, command),
                false => queue.submit(now, command),
            }
        }
        if self.publishes.is_empty() {
            return;
        }
        self.turn = 0;
        self.bytes = 0;
        self.by_queue.clear();
        for (index, (queue, mut batch)) in self.publishes.drain(..).enumerate() {
            batch.in_turn = logged
                .as_mut()
                .and_then(|logged| logged.part_of(index as u32));
            self.usual_bytes = batch.records.record_bytes().min(SPARE_BYTES_MAX);
            queue.publish(now, &mut batch);
            batch.records.clear();
            if self.spare.len() < SPARE_MAX
                && (1..=SPARE_BYTES_MAX).contains(&batch.records.capacity())
            {
                self.spare.push(batch.records);
            }
        }
    }

    fn batch_for(&mut self, queue: &Arc<QueueHandle>, origin: &Arc<Inbox>) -> u32 {
        static NEXT_TURN: AtomicU64 = AtomicU64::new(1);
        if self.turn == 0 {
            self.turn = NEXT_TURN.fetch_add(1, Ordering::Relaxed);
        }
        *self.by_queue.entry(queue.identity().id).or_insert_with(|| {
            let records = match self.spare.pop() {
                Some(spare) => spare,
                None => spare::take(self.usual_bytes),
            };
            let batch = Batch {
                records,
                confirms: Vec::new(),
                origin: Some(Arc::clone(origin)),
                ..Batch::default()
            };
            self.publishes.push((Arc::clone(queue), batch));
            (self.publishes.len() - 1) as u32
        })
    }
}
