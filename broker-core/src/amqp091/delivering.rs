//! From mail to frames: deliveries get their tags and are encoded; answers open the gate.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use amqp_codec::{basic, queue};

use super::batches::Settlement;
use super::channel::{Channel, Mode, Question};
use super::close::Failure;
use super::confirms::Outcome;
use super::encoding::{Stencil, encode_content};
use super::gate::Slot;
use super::held::HeldItem;
use super::session::count;
use super::turn::Turn;
use super::unacked::{Delivery, Source};
use crate::error::BrokerError;
use crate::host::Lsn;
use crate::inbox::{Answer, ConfirmRun, ConsumerId};
use crate::message::{RecordRef, Records};
use crate::queue::Command;
use crate::queue::handle::QueueHandle;

impl Channel {
    /// Whether a delivery may be encoded now. If not, the caller hands it to [`Self::hold`].
    #[inline]
    pub(super) fn is_delivering(&self) -> bool {
        self.gate.is_open() && self.held.is_empty()
    }

    pub(super) fn hold(&mut self, item: HeldItem) {
        self.held.push(item);
    }

    /// Encodes deliveries to one consumer. False when this channel does not know the consumer:
    /// nothing was consumed from `records`.
    #[inline]
    pub(super) fn deliver<'r>(
        &mut self,
        consumer: ConsumerId,
        records: impl Iterator<Item = RecordRef<'r>>,
        turn: &mut Turn<'_>,
    ) -> Result<bool, BrokerError> {
        let Some(known) = self.consumers.get(&consumer) else {
            return Ok(false);
        };
        let (tag, no_ack) = (Arc::clone(&known.tag), known.no_ack);
        let source = known.source;
        let mut stencil = Stencil::new(self.number, &tag, turn.session.tuning.frame_max);
        let (mut delivered, mut redelivered, mut bytes) = (0, 0, 0);
        for record in records {
            stencil.encode(turn.out, self.next_tag, record);
            if !no_ack && let Some(source) = source {
                let ordinal = record.ordinal();
                self.unacked.push(Delivery {
                    tag: self.next_tag,
                    ordinal,
                    source,
                });
            } else if record.is_logged() {
                self.settle_sent(source, record.ordinal(), turn);
            }
            self.next_tag += 1;
            delivered += 1;
            redelivered += u64::from(record.is_redelivered());
            bytes += record.memory_bytes();
        }
        turn.session.inbox.release_bytes(bytes);
        let totals = &self.entry.totals;
        if no_ack {
            count(&totals.deliver_no_ack, delivered);
        } else {
            count(&totals.deliver, delivered);
            if let Some(entry) = source.and_then(|source| self.source(source)) {
                entry.uses += delivered as usize;
            }
            self.entry
                .unacked
                .store(self.unacked.len() as u32, Ordering::Relaxed);
        }
        if redelivered > 0 {
            count(&self.entry.totals.redeliver, redelivered);
        }
        Ok(true)
    }

    /// A message that nobody acks is encoded: its queue need not keep it any longer.
    fn settle_sent(&mut self, source: Option<Source>, ordinal: u64, turn: &mut Turn<'_>) {
        if let Some(entry) = source.and_then(|source| self.source(source)) {
            turn.batches.settle(&entry.queue, Settlement::Sent, ordinal);
        }
    }

    /// Lets everything out that the gate no longer holds back.
    pub(super) fn pump(&mut self, turn: &mut Turn<'_>) -> Result<(), Failure> {
        loop {
            match self.gate.front() {
                Some(Slot::Durable(lsn, _)) if !turn.session.broker.host().is_durable(*lsn) => {
                    return Ok(());
                }
                Some(Slot::Published(_)) if !turn.are_publishes_durable() => return Ok(()),
                Some(Slot::Asked(_, Question::Commit)) => {
                    if !self.commit_is_complete() {
                        return Ok(());
                    }
                    self.gate.pop();
                    self.finish_commit(turn)
                        .map_err(|error| Failure::method(error, Question::Commit.method()))?;
                }
                Some(Slot::Asked(token, _)) => {
                    let token = *token;
                    if !self.answer_front(token, turn)? {
                        return Ok(());
                    }
                }
                Some(_) => match self.gate.pop() {
                    Some(
                        Slot::Durable(_, frames) | Slot::Published(frames) | Slot::Ready(frames),
                    ) => {
                        turn.out.buffer().extend_from_slice(&frames);
                    }
                    _ => return Ok(()),
                },
                None => match self.held.pop() {
                    Some(item) => self.let_out(item, turn).map_err(Failure::from)?,
                    None => return Ok(()),
                },
            }
        }
    }

    /// The front of the gate waits for the answer to `token`: lets deliveries out that were made
    /// before it (cancel-ok comes after the last one), then the answer, if it is there.
    fn answer_front(&mut self, token: u32, turn: &mut Turn<'_>) -> Result<bool, Failure> {
        let answer = self.held.answer_index(token);
        let mut end = answer.unwrap_or_else(|| self.held.len());
        loop {
            // Not those of a consumer whose consume-ok is still to come.
            let gate = &self.gate;
            let is_due = |item: &HeldItem| match item {
                HeldItem::Deliveries(consumer, _) | HeldItem::Cancelled(consumer) => {
                    !gate.asks(|question| is_start_of(question, *consumer))
                }
                HeldItem::Answer(..) => false,
            };
            let Some(item) = self.held.take_before(end, is_due) else {
                break;
            };
            end -= 1;
            self.let_out(item, turn)?;
        }
        let is_answer = |item: &HeldItem| matches!(item, HeldItem::Answer(t, ..) if *t == token);
        let Some(HeldItem::Answer(_, answer, records)) =
            self.held.take_before(self.held.len(), is_answer)
        else {
            return Ok(false);
        };
        let Some(Slot::Asked(_, question)) = self.gate.pop() else {
            return Ok(false);
        };
        let method = question.method();
        self.answer(question, answer, &records, turn)
            .map_err(|error| Failure::method(error, method))?;
        Ok(true)
    }

    fn let_out(&mut self, item: HeldItem, turn: &mut Turn<'_>) -> Result<(), BrokerError> {
        match item {
            HeldItem::Deliveries(consumer, records) => {
                if !self.deliver(consumer, records.iter(), turn)? {
                    // The broker has ended the consumer, and its queue is gone.
                    let bytes = records.iter().map(|record| record.memory_bytes()).sum();
                    turn.session.inbox.release_bytes(bytes);
                }
                Ok(())
            }
            HeldItem::Cancelled(consumer) => self.cancelled_by_broker(consumer, turn),
            // Nobody asked: the answer to a question of a consumer that is gone.
            HeldItem::Answer(..) => Ok(()),
        }
    }

    /// A queue answered the question at the front of the gate.
    fn answer(
        &mut self,
        question: Question,
        answer: Answer,
        records: &Records,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        match (question, answer) {
            (Question::Consume { consumer, .. }, Answer::Refused(error)) => {
                self.remove_consumer(consumer);
                Err(error)
            }
            (_, Answer::Refused(error)) => Err(error),
            (Question::Consume { consumer, nowait }, _) => {
                let Some(known) = self.consumers.get(&consumer) else {
                    return Ok(());
                };
                let tag = Arc::clone(&known.tag);
                self.send_unless(nowait, turn, basic::ConsumeOk { consumer_tag: &tag })
            }
            (
                Question::Cancel {
                    consumer,
                    tag,
                    nowait,
                },
                _,
            ) => {
                self.remove_consumer(consumer);
                self.send_unless(nowait, turn, basic::CancelOk { consumer_tag: &tag })
            }
            (Question::Get { source, no_ack }, Answer::Got { message_count }) => {
                self.got(source, no_ack, message_count, records, turn)
            }
            (Question::Get { source, .. }, _) => {
                self.release_source(source);
                count(&self.entry.totals.get_empty, 1);
                turn.send(self.number, basic::GetEmpty { cluster_id: "" })
            }
            (Question::Purge { nowait: true }, _) => Ok(()),
            (Question::Purge { .. }, Answer::Purged { count, lsn }) => {
                let message_count = count;
                self.answer_durably(lsn, queue::PurgeOk { message_count }, turn)
            }
            (Question::Delete { queue, nowait }, Answer::Deleted(message_count)) => {
                self.deleted(&queue, nowait, message_count, turn)
            }
            (Question::Purge { .. } | Question::Delete { .. } | Question::Commit, _) => Ok(()),
        }
    }

    /// queue.delete-ok waits for the log record of the deletion.
    fn deleted(
        &mut self,
        deleted: &Arc<QueueHandle>,
        nowait: bool,
        message_count: u32,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        let lsn = turn.session.vhost.forget_queue(deleted);
        if nowait {
            return Ok(());
        }
        self.answer_durably(lsn, queue::DeleteOk { message_count }, turn)
    }

    /// The answer at the front of the gate, which leaves when the log is durable to `lsn`.
    fn answer_durably<'m>(
        &mut self,
        lsn: Lsn,
        method: impl Into<amqp_codec::Method<'m>>,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        let host = turn.session.broker.host();
        if host.is_durable(lsn) {
            return turn.send(self.number, method);
        }
        let mut frames = Vec::new();
        amqp_codec::put_method(&mut frames, self.number, &method.into())
            .map_err(super::turn::encode_failed)?;
        self.gate.hold_front(lsn, frames);
        host.wake_when_durable(lsn, &turn.session.inbox);
        Ok(())
    }

    fn got(
        &mut self,
        source: Source,
        no_ack: bool,
        message_count: u32,
        records: &Records,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        let Some(record) = records.iter().next() else {
            return Ok(());
        };
        if self.is_closing {
            self.return_got(source, no_ack, records, turn);
            return Ok(());
        }
        turn.send(
            self.number,
            basic::GetOk {
                delivery_tag: self.next_tag,
                redelivered: record.is_redelivered(),
                exchange: record.exchange_str(),
                routing_key: record.routing_key_str(),
                message_count,
            },
        )?;
        encode_content(turn.out, self.number, record, turn.session.tuning.frame_max);
        turn.session.inbox.release_bytes(record.memory_bytes());
        if no_ack {
            if record.is_logged() {
                self.settle_sent(Some(source), record.ordinal(), turn);
            }
            self.release_source(source);
            count(&self.entry.totals.get_no_ack, 1);
        } else {
            let ordinal = record.ordinal();
            self.unacked.push(Delivery {
                tag: self.next_tag,
                ordinal,
                source,
            });
            self.entry
                .unacked
                .store(self.unacked.len() as u32, Ordering::Relaxed);
            count(&self.entry.totals.get, 1);
        }
        if record.is_redelivered() {
            count(&self.entry.totals.redeliver, 1);
        }
        self.next_tag += 1;
        Ok(())
    }

    /// A basic.get was answered after its channel had failed: the client never sees the message.
    fn return_got(&mut self, source: Source, no_ack: bool, records: &Records, turn: &mut Turn<'_>) {
        let mut copy = Records::new();
        for record in records.iter() {
            turn.session.inbox.release_bytes(record.memory_bytes());
            copy.push_record(record);
        }
        if let Some(entry) = self.source(source) {
            give_back(&Arc::clone(&entry.queue), no_ack, copy, turn.now);
        }
        self.release_source(source);
    }

    /// The queue and the ack mode of a basic.get that is still in the gate.
    pub(super) fn asked_get(&mut self, token: u32) -> Option<(Arc<QueueHandle>, bool)> {
        let (source, no_ack) = match self.gate.question(token)? {
            Question::Get { source, no_ack } => (*source, *no_ack),
            _ => return None,
        };
        self.source(source)
            .map(|entry| (Arc::clone(&entry.queue), no_ack))
    }

    fn send_unless<'m>(
        &mut self,
        nowait: bool,
        turn: &mut Turn<'_>,
        method: impl Into<amqp_codec::Method<'m>>,
    ) -> Result<(), BrokerError> {
        if nowait {
            Ok(())
        } else {
            turn.send(self.number, method)
        }
    }

    /// The broker ended a consumer: the client is told, if it can hear it.
    fn cancelled_by_broker(
        &mut self,
        consumer: ConsumerId,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        let Some(removed) = self.remove_consumer(consumer) else {
            return Ok(());
        };
        if !turn.session.capabilities.consumer_cancel_notify {
            return Ok(());
        }
        turn.send(
            self.number,
            basic::Cancel {
                consumer_tag: &removed.tag,
                nowait: true,
            },
        )
    }

    /// A queue took a batch of this channel's publishes.
    pub(super) fn published(&mut self, run: &ConfirmRun, rejected: &[(u16, u64)]) {
        let number = self.number;
        let confirms = match &mut self.mode {
            Mode::Confirm(confirms) => confirms,
            Mode::Transaction(transaction) => transaction.confirms(),
            Mode::Plain => return,
        };
        for (_, refused) in rejected.iter().filter(|(channel, refused)| {
            *channel == number && (run.first..run.first + u64::from(run.count)).contains(refused)
        }) {
            confirms.refused(*refused);
        }
        confirms.taken(run.first, run.count);
    }

    /// Sends the confirms that are due. They do not pass the gate.
    pub(super) fn send_confirms(&mut self, turn: &mut Turn<'_>) -> Result<(), BrokerError> {
        let Mode::Confirm(confirms) = &mut self.mode else {
            return Ok(());
        };
        let before = confirms.unconfirmed();
        while let Some(Outcome {
            tag,
            multiple,
            accepted,
        }) = confirms.next_outcome()
        {
            if accepted {
                turn.send(
                    self.number,
                    basic::Ack {
                        delivery_tag: tag,
                        multiple,
                    },
                )?;
            } else {
                let nack = basic::Nack {
                    delivery_tag: tag,
                    multiple,
                    requeue: true,
                };
                turn.send(self.number, nack)?;
            }
        }
        let confirmed = before - confirms.unconfirmed();
        self.entry
            .unconfirmed
            .store(confirms.unconfirmed() as u32, Ordering::Relaxed);
        count(&self.entry.totals.confirm, confirmed as u64);
        Ok(())
    }
}

fn is_start_of(question: &Question, consumer: ConsumerId) -> bool {
    matches!(question, Question::Consume { consumer: other, .. } if *other == consumer)
}

/// Gives a delivery back that was never encoded and whose channel is gone.
pub(super) fn give_back(
    queue: &Arc<QueueHandle>,
    no_ack: bool,
    records: Records,
    now: crate::time::Timestamp,
) {
    let is_kept = |record: &RecordRef<'_>| !no_ack || record.is_logged();
    let kept = records.iter().filter(is_kept);
    let ordinals = kept.map(|record| record.ordinal()).collect();
    let mut unkept = Records::new();
    for record in records.iter().filter(|record| !is_kept(record)) {
        unkept.push_record(record);
    }
    let command = Command::Return {
        ordinals,
        records: unkept,
    };
    queue.submit(now, command);
}
