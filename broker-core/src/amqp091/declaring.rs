//! exchange.declare and delete, queue.declare, purge and delete.

use std::sync::Arc;

use amqp_codec::{ReplyCode, exchange, queue};

use super::channel::{Channel, Question};
use super::consuming::{random_name, without_line_breaks};
use super::direct_reply;
use super::turn::Turn;
use crate::access::{Resource, Right};
use crate::error::BrokerError;
use crate::exchange::ExchangeKind;
use crate::host::Lsn;
use crate::queue::Command;
use crate::queue::handle::Deletion;
use crate::topology::{ExchangeSpec, QueueSpec};

impl Channel {
    pub(super) fn declare_exchange(
        &mut self,
        method: &exchange::Declare<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        let vhost = &turn.session.vhost;
        let name = without_line_breaks(method.exchange);
        let lsn = if method.passive {
            vhost.check_exchange(&name)?;
            Lsn::NONE
        } else {
            let Some(kind) = ExchangeKind::parse(method.kind) else {
                let what = if method.kind.is_empty() {
                    "invalid"
                } else {
                    "unknown"
                };
                return Err(BrokerError::new(
                    ReplyCode::CommandInvalid,
                    format!("{what} exchange type '{}'", method.kind),
                ));
            };
            vhost.declare_exchange(ExchangeSpec {
                name: name.as_ref().into(),
                kind,
                durable: method.durable,
                auto_delete: method.auto_delete,
                internal: method.internal,
                arguments: method.arguments.clone(),
            })?
        };
        self.reply_unless(method.nowait, turn, lsn, exchange::DeclareOk {})
    }

    pub(super) fn delete_exchange(
        &mut self,
        method: &exchange::Delete<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        let name = without_line_breaks(method.exchange);
        let lsn = turn
            .session
            .vhost
            .delete_exchange(&name, method.if_unused)?;
        self.reply_unless(method.nowait, turn, lsn, exchange::DeleteOk {})
    }

    pub(super) fn declare_queue(
        &mut self,
        method: &queue::Declare<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        if method.queue.starts_with(direct_reply::QUEUE) {
            return self.declare_reply_queue(method, turn);
        }
        if method.passive {
            return self.look_up_queue(method, turn);
        }
        let name: Arc<str> = match method.queue {
            "" => self.new_queue_name(turn)?,
            name => without_line_breaks(name).as_ref().into(),
        };
        let spec = QueueSpec {
            name: Arc::clone(&name),
            durable: method.durable,
            exclusive: method.exclusive.then_some(turn.session.id),
            auto_delete: method.auto_delete,
            arguments: method.arguments.clone(),
        };
        let session = turn.session;
        let server_named = method.queue.is_empty();
        let (queue, lsn) = session
            .vhost
            .declare_queue(spec, session, server_named, turn.now)?;
        let counts = queue.counts();
        self.last_queue = Some(Arc::clone(&name));
        let answer = queue::DeclareOk {
            queue: &name,
            message_count: counts.ready.try_into().unwrap_or(u32::MAX),
            consumer_count: counts.consumers.try_into().unwrap_or(u32::MAX),
        };
        self.reply_unless(method.nowait, turn, lsn, answer)
    }

    /// A name for a queue that the client leaves to the broker; it is checked like any other.
    fn new_queue_name(&self, turn: &Turn<'_>) -> Result<Arc<str>, BrokerError> {
        let name = random_name("amq.gen-", turn);
        let session = turn.session;
        session.broker.access().check(
            &session.user,
            session.vhost.name(),
            Right::Configure,
            Resource::Queue(&name),
        )?;
        Ok(name.into())
    }

    fn look_up_queue(
        &mut self,
        method: &queue::Declare<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        let name: Arc<str> = without_line_breaks(method.queue).as_ref().into();
        let queue = turn.session.vhost.queue_for(&name, turn.session.id)?;
        // Looking counts as use for x-expires, as in RabbitMQ.
        queue.submit(turn.now, Command::Touch);
        let counts = queue.counts();
        self.last_queue = Some(Arc::clone(&name));
        let answer = queue::DeclareOk {
            queue: &name,
            message_count: counts.ready.try_into().unwrap_or(u32::MAX),
            consumer_count: counts.consumers.try_into().unwrap_or(u32::MAX),
        };
        self.reply_unless(method.nowait, turn, Lsn::NONE, answer)
    }

    /// Declaring a reply address tells whether its requester is still there.
    fn declare_reply_queue(
        &mut self,
        method: &queue::Declare<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        let session = turn.session;
        let exists = method.queue == direct_reply::QUEUE
            || session.broker.reply_addresses().contains_key(method.queue);
        if !exists {
            return Err(BrokerError::no_queue(method.queue, session.vhost.name()));
        }
        self.last_queue = Some(method.queue.into());
        let answer = queue::DeclareOk {
            queue: method.queue,
            message_count: 0,
            consumer_count: 1,
        };
        self.reply_unless(method.nowait, turn, Lsn::NONE, answer)
    }

    pub(super) fn purge(
        &mut self,
        method: &queue::Purge<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        let name = self.queue_name(method.queue)?;
        let queue = turn.session.vhost.queue_for(&name, turn.session.id)?;
        let token = self.gate.ask(Question::Purge {
            nowait: method.nowait,
        });
        let reply = Some(self.reply_to(token, turn));
        queue.submit(turn.now, Command::Purge { reply });
        Ok(())
    }

    pub(super) fn delete_queue(
        &mut self,
        method: &queue::Delete<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        let name = self.stripped_queue_name(method.queue)?;
        let queue = match turn.session.vhost.queue_for(&name, turn.session.id) {
            Ok(queue) => queue,
            // RabbitMQ: deleting what does not exist succeeds.
            Err(error) if error.code == ReplyCode::NotFound => {
                let answer = queue::DeleteOk { message_count: 0 };
                return self.reply_unless(method.nowait, turn, Lsn::NONE, answer);
            }
            Err(error) => return Err(error),
        };
        let question = Question::Delete {
            queue: Arc::clone(&queue),
            nowait: method.nowait,
        };
        let token = self.gate.ask(question);
        let command = Command::Delete {
            if_unused: method.if_unused,
            if_empty: method.if_empty,
            reply: Some(self.reply_to(token, turn)),
            reason: Deletion::Requested,
        };
        queue.submit(turn.now, command);
        Ok(())
    }
}
