//! queue.bind and unbind, exchange.bind and unbind.

use std::sync::Arc;

use amqp_codec::{FieldTable, exchange, queue};

use super::channel::Channel;
use super::consuming::without_line_breaks;
use super::turn::Turn;
use crate::error::BrokerError;
use crate::topology::{BindingSpec, Destination};

impl Channel {
    pub(super) fn bind_queue(
        &mut self,
        method: &queue::Bind<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        let (queue, key) = self.queue_and_key(method.queue, method.routing_key)?;
        let spec = binding(method.exchange, queue, key, &method.arguments);
        check_owner(&spec, turn)?;
        let lsn = turn.session.vhost.bind(spec)?;
        self.reply_unless(method.nowait, turn, lsn, queue::BindOk {})
    }

    pub(super) fn unbind_queue(
        &mut self,
        method: &queue::Unbind<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        let (queue, key) = self.queue_and_key(method.queue, method.routing_key)?;
        let spec = binding(method.exchange, queue, key, &method.arguments);
        // RabbitMQ: what is not bound may be unbound by anybody.
        if turn.session.vhost.is_bound(&spec) {
            check_owner(&spec, turn)?;
        }
        let lsn = turn.session.vhost.unbind(&spec)?;
        self.reply_at(turn, lsn, queue::UnbindOk {})
    }

    pub(super) fn bind_exchange(
        &mut self,
        method: &exchange::Bind<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        let (exchange, key) = (exchange(method.destination), method.routing_key.into());
        let spec = binding(method.source, exchange, key, &method.arguments);
        let lsn = turn.session.vhost.bind(spec)?;
        self.reply_unless(method.nowait, turn, lsn, exchange::BindOk {})
    }

    pub(super) fn unbind_exchange(
        &mut self,
        method: &exchange::Unbind<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        let (exchange, key) = (exchange(method.destination), method.routing_key.into());
        let spec = binding(method.source, exchange, key, &method.arguments);
        let lsn = turn.session.vhost.unbind(&spec)?;
        self.reply_unless(method.nowait, turn, lsn, exchange::UnbindOk {})
    }

    /// With an empty queue name and an empty key, both stand for the queue last declared.
    fn queue_and_key(
        &self,
        queue: &str,
        key: &str,
    ) -> Result<(Destination, Arc<str>), BrokerError> {
        let name = self.stripped_queue_name(queue)?;
        let routing_key = match (queue, key) {
            ("", "") => Arc::clone(&name),
            (_, key) => key.into(),
        };
        Ok((Destination::Queue(name), routing_key))
    }
}

fn exchange(name: &str) -> Destination {
    Destination::Exchange(without_line_breaks(name).as_ref().into())
}

fn binding(
    source: &str,
    destination: Destination,
    routing_key: Arc<str>,
    arguments: &FieldTable,
) -> BindingSpec {
    BindingSpec {
        source: without_line_breaks(source).as_ref().into(),
        destination,
        routing_key,
        arguments: arguments.clone(),
    }
}

/// 405 if the queue is exclusive to another connection.
fn check_owner(spec: &BindingSpec, turn: &Turn<'_>) -> Result<(), BrokerError> {
    let vhost = &turn.session.vhost;
    match &spec.destination {
        Destination::Queue(name) => match vhost.queue(name) {
            Some(queue) => vhost.check_owner(&queue, turn.session.id),
            None => Ok(()),
        },
        Destination::Exchange(_) => Ok(()),
    }
}
