//! The tx class: publishes and settlements that wait for tx.commit.
//!
//! Queues are found when the message is published, as RabbitMQ does; returns of mandatory
//! messages leave at commit. What is persistent of a commit, publishes and acks, is one record of
//! the log: a crash leaves all of it or nothing. The commit is answered when every queue has taken
//! its messages and they are durable.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use amqp_codec::tx;
use smallvec::SmallVec;

use super::assembler::{Content, PublishMethod};
use super::batches::Settlement;
use super::channel::{Channel, Mode, Question};
use super::confirms::Confirms;
use super::publishing::expires_at;
use super::turn::Turn;
use super::unacked::{Delivery, Unacked};
use crate::error::BrokerError;
use crate::message::{Body, Message, Position, RecordRef, Records};
use crate::queue::handle::QueueHandle;

/// Bytes of messages one transaction may hold.
pub const TX_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Publishes and settlements one transaction may hold.
pub const TX_ENTRIES_MAX: usize = 1_000_000;

/// A message that waits for the commit.
#[derive(Debug)]
pub(super) struct Publish {
    position: Position,
    queues: SmallVec<[Arc<QueueHandle>; 1]>,
    mandatory: bool,
}

/// The open transaction of a channel.
#[derive(Debug)]
pub(super) struct Transaction {
    records: Records,
    bytes: usize,
    publishes: Vec<Publish>,
    settlements: Vec<(Settlement, Delivery)>,
    /// The answers of the queues to the commit under way.
    confirms: Confirms,
    refused: bool,
}

impl Transaction {
    pub(super) fn new(incarnation: u32) -> Transaction {
        Transaction {
            records: Records::new(),
            bytes: 0,
            publishes: Vec::new(),
            settlements: Vec::new(),
            confirms: Confirms::new(incarnation),
            refused: false,
        }
    }

    pub(super) fn publish(
        &mut self,
        message: Message<'_>,
        queues: SmallVec<[Arc<QueueHandle>; 1]>,
        mandatory: bool,
    ) -> Result<(), BrokerError> {
        let position = self.records.push(message);
        self.bytes += self.records.at(position).memory_bytes();
        if self.bytes > TX_BYTES_MAX || self.publishes.len() >= TX_ENTRIES_MAX {
            return Err(BrokerError::precondition(format!(
                "transaction is larger than {TX_BYTES_MAX} bytes or {TX_ENTRIES_MAX} entries"
            )));
        }
        self.publishes.push(Publish {
            position,
            queues,
            mandatory,
        });
        Ok(())
    }

    /// Moves deliveries from `unacked` to this transaction. False for an unknown tag.
    pub(super) fn settle(
        &mut self,
        unacked: &mut Unacked,
        tag: u64,
        multiple: bool,
        settlement: Settlement,
    ) -> bool {
        if multiple {
            return unacked.settle_up_to(tag, |delivery| {
                self.settlements.push((settlement, delivery))
            });
        }
        let delivery = unacked.settle(tag);
        self.settlements
            .extend(delivery.map(|delivery| (settlement, delivery)));
        delivery.is_some()
    }

    pub(super) fn publishes(&self) -> &[Publish] {
        &self.publishes
    }

    pub(super) fn settlement_count(&self) -> usize {
        self.settlements.len()
    }

    pub(super) fn confirms(&mut self) -> &mut Confirms {
        &mut self.confirms
    }

    /// Whether all queues have answered the commit.
    fn is_complete(&mut self) -> bool {
        while let Some(outcome) = self.confirms.next_outcome() {
            self.refused |= !outcome.accepted;
        }
        self.confirms.unconfirmed() == 0
    }

    fn clear_publishes(&mut self) -> (Records, Vec<Publish>) {
        self.bytes = 0;
        (
            std::mem::take(&mut self.records),
            std::mem::take(&mut self.publishes),
        )
    }
}

impl Channel {
    pub(super) fn commit(&mut self, turn: &mut Turn<'_>) -> Result<(), BrokerError> {
        let Mode::Transaction(transaction) = &mut self.mode else {
            return Err(not_transactional());
        };
        let (records, publishes) = transaction.clear_publishes();
        let settlements = std::mem::take(&mut transaction.settlements);
        turn.batches.begin_transaction();
        let mut acks = 0;
        for (settlement, delivery) in settlements {
            if settlement == Settlement::Ack
                && let Some(entry) = self.source(delivery.source)
            {
                turn.batches.shared().ack(&entry.queue, delivery.ordinal);
            }
            self.settle_one(delivery, settlement, turn);
            acks += u64::from(settlement == Settlement::Ack);
        }
        self.note_settled(acks, Settlement::Ack);
        // What is refused now does not hold up the rest: half a transaction is none.
        let mut outcome = Ok(());
        for publish in publishes {
            let committed = self.commit_publish(records.at(publish.position), publish, turn);
            outcome = outcome.and(committed);
        }
        turn.barrier();
        self.clear_uncommitted();
        outcome?;
        self.gate.ask(Question::Commit);
        Ok(())
    }

    fn commit_publish(
        &mut self,
        record: RecordRef<'_>,
        mut publish: Publish,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        // Queues that went since the publish do not count: the message may be unroutable now.
        publish.queues.retain(|queue| !queue.is_closed());
        let body = match record.shared_body() {
            Some(shared) => Body::Shared(shared.clone()),
            None => Body::Inline(record.body()),
        };
        if publish.queues.is_empty() {
            let method = PublishMethod {
                exchange: record.exchange_str(),
                routing_key: record.routing_key_str(),
                mandatory: publish.mandatory,
                immediate: false,
            };
            let content = Content {
                method,
                properties: record.properties(),
                body,
            };
            return self.commit_unrouted(content, record.has_bcc(), turn);
        }
        let Mode::Transaction(transaction) = &mut self.mode else {
            return Ok(());
        };
        let number = transaction
            .confirms
            .publish(publish.queues.len().min(0x7FFF) as u16);
        turn.batches.begin(Some(self.number));
        let message = Message {
            exchange: record.exchange_str(),
            routing_key: record.routing_key_str(),
            properties: record.properties(),
            body,
            persistent: record.is_persistent(),
            priority: record.priority(),
            // The time to live begins with the commit.
            expires_at: expires_at(record.properties(), turn.now)?,
            has_bcc: record.has_bcc(),
        };
        self.publish_committed(publish.queues, message, number, turn);
        Ok(())
    }

    pub(super) fn rollback(&mut self, turn: &mut Turn<'_>) -> Result<(), BrokerError> {
        if !matches!(self.mode, Mode::Transaction(_)) {
            return Err(not_transactional());
        }
        self.abandon_transaction();
        self.reply(turn, tx::RollbackOk {})
    }

    /// Drops the publishes and takes the settlements back.
    pub(super) fn abandon_transaction(&mut self) {
        let Mode::Transaction(transaction) = &mut self.mode else {
            return;
        };
        transaction.clear_publishes();
        let settlements = std::mem::take(&mut transaction.settlements);
        self.unacked
            .restore(settlements.into_iter().map(|(_, delivery)| delivery));
        self.clear_uncommitted();
    }

    fn clear_uncommitted(&self) {
        self.entry.uncommitted.store(0, Ordering::Relaxed);
        self.entry.uncommitted_acks.store(0, Ordering::Relaxed);
    }

    pub(super) fn commit_is_complete(&mut self) -> bool {
        match &mut self.mode {
            Mode::Transaction(transaction) => transaction.is_complete(),
            Mode::Plain | Mode::Confirm(_) => true,
        }
    }

    /// tx.commit-ok, or the refusal when a queue did not take its part.
    pub(super) fn finish_commit(&mut self, turn: &mut Turn<'_>) -> Result<(), BrokerError> {
        let Mode::Transaction(transaction) = &mut self.mode else {
            return Ok(());
        };
        if std::mem::take(&mut transaction.refused) {
            return Err(BrokerError::precondition("partial tx completion"));
        }
        turn.send(self.number, tx::CommitOk {})
    }
}

fn not_transactional() -> BrokerError {
    BrokerError::precondition("channel is not transactional")
}
