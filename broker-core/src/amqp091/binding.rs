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
        let spec = self.queue_binding(
            (method.queue, method.exchange, method.routing_key),
            &method.arguments,
        )?;
        check_owner(&spec, turn)?;
        let lsn = turn.session.vhost.bind(spec)?;
        self.reply_unless(method.nowait, turn, lsn, queue::BindOk {})
    }

    pub(super) fn unbind_queue(
        &mut self,
        method: &queue::Unbind<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        let spec = self.queue_binding(
            (method.queue, method.exchange, method.routing_key),
            &method.arguments,
        )?;
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
        let spec = exchange_binding(
            (method.destination, method.source, method.routing_key),
            &method.arguments,
        );
        let lsn = turn.session.vhost.bind(spec)?;
        self.reply_unless(method.nowait, turn, lsn, exchange::BindOk {})
    }

    pub(super) fn unbind_exchange(
        &mut self,
        method: &exchange::Unbind<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        let spec = exchange_binding(
            (method.destination, method.source, method.routing_key),
            &method.arguments,
        );
        let lsn = turn.session.vhost.unbind(&spec)?;
        self.reply_unless(method.nowait, turn, lsn, exchange::UnbindOk {})
    }

    /// With an empty queue name and an empty key, both stand for the queue last declared.
    fn queue_binding(
        &self,
        (queue, exchange, key): (&str, &str, &str),
        arguments: &FieldTable,
    ) -> Result<BindingSpec, BrokerError> {
        let name = self.stripped_queue_name(queue)?;
        let routing_key: Arc<str> = match (queue, key) {
            ("", "") => Arc::clone(&name),
            (_, key) => key.into(),
        };
        Ok(BindingSpec {
            source: without_line_breaks(exchange).as_ref().into(),
            destination: Destination::Queue(name),
            routing_key,
            arguments: arguments.clone(),
        })
    }
}

fn exchange_binding(
    (destination, source, key): (&str, &str, &str),
    arguments: &FieldTable,
) -> BindingSpec {
    BindingSpec {
        source: without_line_breaks(source).as_ref().into(),
        destination: Destination::Exchange(without_line_breaks(destination).as_ref().into()),
        routing_key: key.into(),
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
