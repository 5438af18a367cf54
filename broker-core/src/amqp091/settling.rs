//! basic.ack, nack, reject and recover: what becomes of deliveries.

use std::sync::atomic::Ordering;

use amqp_codec::{ReplyCode, basic};

use super::batches::Settlement;
use super::channel::{Channel, Mode};
use super::delivering::give_back;
use super::session::count;
use super::turn::Turn;
use super::unacked::Delivery;
use crate::error::BrokerError;

impl Channel {
    pub(super) fn ack(
        &mut self,
        method: basic::Ack,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        self.settle(method.delivery_tag, method.multiple, Settlement::Ack, turn)
    }

    pub(super) fn nack(
        &mut self,
        method: basic::Nack,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        self.settle(
            method.delivery_tag,
            method.multiple,
            back_or_out(method.requeue),
            turn,
        )
    }

    pub(super) fn reject(
        &mut self,
        method: basic::Reject,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        self.settle(
            method.delivery_tag,
            false,
            back_or_out(method.requeue),
            turn,
        )
    }

    fn settle(
        &mut self,
        tag: u64,
        multiple: bool,
        settlement: Settlement,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        if let Mode::Transaction(transaction) = &mut self.mode {
            let taken = transaction.settle(&mut self.unacked, tag, multiple, settlement);
            let waiting = transaction.settlement_count() as u32;
            self.entry
                .uncommitted_acks
                .store(waiting, Ordering::Relaxed);
            return if taken { Ok(()) } else { Err(unknown_tag(tag)) };
        }
        let mut settled = 0;
        if multiple {
            let mut unacked = std::mem::take(&mut self.unacked);
            let known = unacked.settle_up_to(tag, |delivery| {
                self.settle_one(delivery, settlement, turn);
                settled += 1;
            });
            self.unacked = unacked;
            if !known {
                return Err(unknown_tag(tag));
            }
        } else {
            let delivery = self.unacked.settle(tag).ok_or_else(|| unknown_tag(tag))?;
            self.settle_one(delivery, settlement, turn);
            settled = 1;
        }
        self.note_settled(settled, settlement);
        Ok(())
    }

    pub(super) fn note_settled(&mut self, settled: u64, settlement: Settlement) {
        if settlement == Settlement::Ack {
            count(&self.entry.totals.ack, settled);
        }
        self.entry
            .unacked
            .store(self.unacked.len() as u32, Ordering::Relaxed);
    }

    /// Passes one settlement on to its queue.
    #[inline]
    pub(super) fn settle_one(
        &mut self,
        delivery: Delivery,
        settlement: Settlement,
        turn: &mut Turn<'_>,
    ) {
        if let Some(entry) = self.source(delivery.source) {
            turn.batches
                .settle(&entry.queue, settlement, delivery.ordinal);
        }
        self.release_source(delivery.source);
    }

    /// basic.recover: everything unsettled on this channel goes back, also what this channel's
    /// consumers will get again.
    pub(super) fn recover(
        &mut self,
        requeue: bool,
        answer: bool,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        if !requeue {
            return Err(BrokerError::new(ReplyCode::NotImplemented, "requeue=false"));
        }
        self.requeue_unacked(turn);
        turn.barrier();
        if answer {
            self.reply(turn, basic::RecoverOk {})
        } else {
            Ok(())
        }
    }

    /// Sends every unsettled delivery back to its place.
    pub(super) fn requeue_unacked(&mut self, turn: &mut Turn<'_>) {
        let mut unacked = std::mem::take(&mut self.unacked);
        unacked.settle_up_to(0, |delivery| {
            self.settle_one(delivery, Settlement::Requeue, turn)
        });
        self.note_settled(0, Settlement::Requeue);
    }

    /// Gives back what was held behind the gate and never sent.
    pub(super) fn return_held(&mut self, turn: &mut Turn<'_>) {
        use super::held::HeldItem;
        // Answers stay: the gate still waits for them.
        let is_delivery = |item: &HeldItem| !matches!(item, HeldItem::Answer(..));
        while let Some(item) = self.held.take_before(self.held.len(), is_delivery) {
            let HeldItem::Deliveries(consumer, records) = item else {
                continue;
            };
            let bytes: usize = records.iter().map(|record| record.memory_bytes()).sum();
            turn.session.inbox.release_bytes(bytes);
            // Direct replies have no queue to go back to.
            if let Some(queue) = self.queue_of(consumer) {
                let no_ack = self.consumers.get(&consumer).is_some_and(|c| c.no_ack);
                give_back(&queue, no_ack, records, turn.now);
            }
        }
    }
}

fn back_or_out(requeue: bool) -> Settlement {
    if requeue {
        Settlement::Requeue
    } else {
        Settlement::Reject
    }
}

fn unknown_tag(tag: u64) -> BrokerError {
    BrokerError::precondition(format!("unknown delivery tag {tag}"))
}
