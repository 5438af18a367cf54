//! One AMQP channel: its state, and which part of the folder answers which method.
//!
//! A channel is open from channel.open-ok to close. After an error the broker has sent
//! channel.close and ignores everything but close-ok; what the client had not settled went back
//! to its queues at once (spec 1.5, RabbitMQ: the number is not reusable before close-ok).

use std::sync::Arc;

use amqp_codec::{Method, MethodId, ReplyCode, access, basic, channel, confirm, queue, tx};
use rustc_hash::FxHashMap;

use super::assembler::Assembling;
use super::confirms::Confirms;
use super::gate::Gate;
use super::held::Held;
use super::rights;
use super::routes::Routes;
use super::session::ChannelEntry;
use super::transaction::Transaction;
use super::turn::{Turn, encode_failed};
use super::unacked::{Source, Unacked};
use crate::credit::ChannelCredit;
use crate::error::BrokerError;
use crate::host::Lsn;
use crate::inbox::ConsumerId;
use crate::queue::handle::QueueHandle;

/// What a channel asked a queue, and what to do with the answer.
#[derive(Debug)]
pub(super) enum Question {
    Consume {
        consumer: ConsumerId,
        nowait: bool,
    },
    Cancel {
        consumer: ConsumerId,
        tag: Box<str>,
        nowait: bool,
    },
    Get {
        source: Source,
        no_ack: bool,
    },
    Purge {
        nowait: bool,
    },
    Delete {
        queue: Arc<QueueHandle>,
        nowait: bool,
    },
    /// All queues of a transaction have taken their messages.
    Commit,
}

impl Question {
    /// The method a refusal belongs to.
    pub(super) fn method(&self) -> MethodId {
        match self {
            Question::Consume { .. } => basic::Consume::ID,
            Question::Cancel { .. } => basic::Cancel::ID,
            Question::Get { .. } => basic::Get::ID,
            Question::Purge { .. } => queue::Purge::ID,
            Question::Delete { .. } => queue::Delete::ID,
            Question::Commit => tx::Commit::ID,
        }
    }
}

/// A consumer of this channel.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) tag: Arc<str>,
    pub(super) no_ack: bool,
    /// None for the pseudo queue of direct reply-to.
    pub(super) source: Option<Source>,
}

/// A queue this channel has consumers on or deliveries from.
#[derive(Debug)]
pub(super) struct SourceQueue {
    pub(super) queue: Arc<QueueHandle>,
    /// Consumers and unsettled deliveries that name this entry.
    pub(super) uses: usize,
}

/// How publishes and settlements are treated.
#[derive(Debug, Default)]
pub(super) enum Mode {
    #[default]
    Plain,
    Confirm(Confirms),
    Transaction(Box<Transaction>),
}

/// An open channel.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) number: u16,
    /// Distinguishes it from earlier channels with its number.
    pub(super) incarnation: u32,
    pub(super) next_tag: u64,
    pub(super) prefetch: u16,
    pub(super) mode: Mode,
    pub(super) gate: Gate<Question>,
    pub(super) held: Held,
    pub(super) unacked: Unacked,
    pub(super) sources: Vec<Option<SourceQueue>>,
    pub(super) consumers: FxHashMap<ConsumerId, Consumer>,
    pub(super) tags: FxHashMap<Arc<str>, ConsumerId>,
    pub(super) credit: Option<Arc<ChannelCredit>>,
    pub(super) routes: Routes,
    pub(super) assembling: Option<Box<Assembling>>,
    pub(super) last_queue: Option<Arc<str>>,
    /// The consumer on the reply-to pseudo queue and its token.
    pub(super) reply_consumer: Option<(ConsumerId, Arc<str>)>,
    pub(super) entry: Arc<ChannelEntry>,
    /// A close frame was sent, or waits in the gate: everything but close-ok is ignored.
    pub(super) is_closing: bool,
    /// channel.close-ok was sent, or waits in the gate: the channel goes when the gate is open.
    pub(super) is_closed: bool,
}

impl Channel {
    pub(super) fn new(number: u16, incarnation: u32) -> Channel {
        Channel {
            number,
            incarnation,
            next_tag: 1,
            prefetch: 0,
            mode: Mode::Plain,
            gate: Gate::default(),
            held: Held::default(),
            unacked: Unacked::default(),
            sources: Vec::new(),
            consumers: FxHashMap::default(),
            tags: FxHashMap::default(),
            credit: None,
            routes: Routes::default(),
            assembling: None,
            last_queue: None,
            reply_consumer: None,
            entry: Arc::default(),
            is_closing: false,
            is_closed: false,
        }
    }

    /// Answers a method that is neither a publish nor channel.open or close. `Err` closes the
    /// channel or the connection, as its code says.
    pub(super) fn handle(
        &mut self,
        method: Method<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        match method {
            Method::BasicAck(m) => return self.ack(m, turn),
            Method::BasicNack(m) => return self.nack(m, turn),
            Method::BasicReject(m) => return self.reject(m, turn),
            _ => turn.barrier(),
        }
        rights::check(&method, self, turn)?;
        match method {
            Method::ChannelFlow(m) => self.flow(m, turn),
            Method::ChannelFlowOk(_) | Method::BasicCancelOk(_) => Ok(()),
            Method::AccessRequest(_) => self.reply(turn, access::RequestOk { ticket: 1 }),
            Method::ExchangeDeclare(m) => self.declare_exchange(&m, turn),
            Method::ExchangeDelete(m) => self.delete_exchange(&m, turn),
            Method::ExchangeBind(m) => self.bind_exchange(&m, turn),
            Method::ExchangeUnbind(m) => self.unbind_exchange(&m, turn),
            Method::QueueDeclare(m) => self.declare_queue(&m, turn),
            Method::QueueBind(m) => self.bind_queue(&m, turn),
            Method::QueueUnbind(m) => self.unbind_queue(&m, turn),
            Method::QueuePurge(m) => self.purge(&m, turn),
            Method::QueueDelete(m) => self.delete_queue(&m, turn),
            Method::BasicQos(m) => self.qos(&m, turn),
            Method::BasicConsume(m) => self.consume(&m, turn),
            Method::BasicCancel(m) => self.cancel(&m, turn),
            Method::BasicGet(m) => self.get(&m, turn),
            Method::BasicRecover(basic::Recover { requeue }) => self.recover(requeue, true, turn),
            Method::BasicRecoverAsync(basic::RecoverAsync { requeue }) => {
                self.recover(requeue, false, turn)
            }
            Method::ConfirmSelect(m) => self.select_confirms(m.nowait, turn),
            Method::TxSelect(_) => self.select_transactions(turn),
            Method::TxCommit(_) => self.commit(turn),
            Method::TxRollback(_) => self.rollback(turn),
            _ => Err(BrokerError::new(
                ReplyCode::CommandInvalid,
                "unimplemented method",
            )),
        }
    }

    /// Sends an answer in the order of the commands.
    pub(super) fn reply<'m>(
        &mut self,
        turn: &mut Turn<'_>,
        method: impl Into<Method<'m>>,
    ) -> Result<(), BrokerError> {
        self.reply_at(turn, Lsn::NONE, method)
    }

    /// Sends an answer once the log is durable to `lsn`, in the order of the commands.
    pub(super) fn reply_at<'m>(
        &mut self,
        turn: &mut Turn<'_>,
        lsn: Lsn,
        method: impl Into<Method<'m>>,
    ) -> Result<(), BrokerError> {
        let host = turn.session.broker.host();
        let durable = host.is_durable(lsn);
        if self.gate.is_open() && durable {
            return turn.send(self.number, method);
        }
        let mut frames = Vec::new();
        amqp_codec::put_method(&mut frames, self.number, &method.into()).map_err(encode_failed)?;
        if durable {
            self.gate.hold(frames);
        } else {
            self.gate.hold_durable(lsn, frames);
            host.wake_when_durable(lsn, &turn.session.inbox);
        }
        Ok(())
    }

    /// Sends an answer once everything persistent that the connection published is durable, in
    /// the order of the commands.
    pub(super) fn reply_when_durable<'m>(
        &mut self,
        turn: &mut Turn<'_>,
        method: impl Into<Method<'m>>,
    ) -> Result<(), BrokerError> {
        if self.gate.is_open() && turn.are_publishes_durable() {
            return turn.send(self.number, method);
        }
        let mut frames = Vec::new();
        amqp_codec::put_method(&mut frames, self.number, &method.into()).map_err(encode_failed)?;
        self.gate.hold_published(frames);
        Ok(())
    }

    /// [`Self::reply_at`] unless the client asked for no answer.
    pub(super) fn reply_unless<'m>(
        &mut self,
        nowait: bool,
        turn: &mut Turn<'_>,
        lsn: Lsn,
        method: impl Into<Method<'m>>,
    ) -> Result<(), BrokerError> {
        if nowait {
            Ok(())
        } else {
            self.reply_at(turn, lsn, method)
        }
    }

    fn flow(&mut self, method: channel::Flow, turn: &mut Turn<'_>) -> Result<(), BrokerError> {
        if !method.active {
            return Err(BrokerError::new(ReplyCode::NotImplemented, "active=false"));
        }
        self.reply(turn, channel::FlowOk { active: true })
    }

    fn select_confirms(&mut self, nowait: bool, turn: &mut Turn<'_>) -> Result<(), BrokerError> {
        match self.mode {
            Mode::Transaction(_) => {
                return Err(BrokerError::precondition(
                    "cannot switch from tx to confirm mode",
                ));
            }
            Mode::Confirm(_) => {}
            Mode::Plain => {
                self.mode = Mode::Confirm(Confirms::new(self.incarnation));
                self.entry
                    .confirm
                    .store(true, std::sync::atomic::Ordering::Relaxed);
            }
        }
        self.reply_unless(nowait, turn, Lsn::NONE, confirm::SelectOk {})
    }

    fn select_transactions(&mut self, turn: &mut Turn<'_>) -> Result<(), BrokerError> {
        match self.mode {
            Mode::Confirm(_) => {
                return Err(BrokerError::precondition(
                    "cannot switch from confirm to tx mode",
                ));
            }
            Mode::Transaction(_) => {}
            Mode::Plain => {
                self.mode = Mode::Transaction(Box::new(Transaction::new(self.incarnation)));
                self.entry
                    .transactional
                    .store(true, std::sync::atomic::Ordering::Relaxed);
            }
        }
        self.reply(turn, tx::SelectOk {})
    }

    /// The entry of the sources table for a queue, made if there is none.
    pub(super) fn source_for(&mut self, queue: &Arc<QueueHandle>) -> Source {
        let same = |slot: &Option<SourceQueue>| {
            slot.as_ref()
                .is_some_and(|source| Arc::ptr_eq(&source.queue, queue))
        };
        if let Some(index) = self.sources.iter().position(same) {
            return Source(index as u32);
        }
        let entry = Some(SourceQueue {
            queue: Arc::clone(queue),
            uses: 0,
        });
        match self.sources.iter().position(Option::is_none) {
            Some(free) => {
                self.sources[free] = entry;
                Source(free as u32)
            }
            None => {
                self.sources.push(entry);
                Source(self.sources.len() as u32 - 1)
            }
        }
    }

    pub(super) fn source(&mut self, source: Source) -> Option<&mut SourceQueue> {
        self.sources.get_mut(source.0 as usize)?.as_mut()
    }

    /// One use of a source is over; the last one frees it.
    pub(super) fn release_source(&mut self, source: Source) {
        let Some(slot) = self.sources.get_mut(source.0 as usize) else {
            return;
        };
        if let Some(entry) = slot {
            entry.uses = entry.uses.saturating_sub(1);
            if entry.uses == 0 {
                *slot = None;
            }
        }
    }

    /// The time at which nothing is left to do for this channel before its connection reads on.
    pub(super) fn is_backed_up(&self) -> bool {
        self.gate.is_full()
    }

    /// The channel ends: everything unsettled goes back to its queue, consumers are cancelled.
    /// Answers that wait in the gate still leave. Gives the consumers for whom deliveries may
    /// still come.
    pub(super) fn end(&mut self, turn: &mut Turn<'_>) -> Vec<(ConsumerId, Departed)> {
        self.is_closing = true;
        self.abandon_transaction();
        self.requeue_unacked(turn);
        turn.barrier();
        self.return_held(turn);
        self.assembling = None;
        self.cancel_all(turn)
    }
}

/// A consumer whose channel is gone: deliveries that come late are given back.
#[derive(Clone, Debug)]
pub(super) struct Departed {
    pub(super) queue: Arc<QueueHandle>,
    pub(super) no_ack: bool,
}
