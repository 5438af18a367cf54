//! Who may do what: one table from method to the rights it needs on which names.
//!
//! basic.publish is the one method that is not checked here but where its route is found, because
//! a remembered route carries its right along.

use std::borrow::Cow;

use amqp_codec::{FieldTable, FieldValue, Method};
use smallvec::{SmallVec, smallvec};

use super::channel::Channel;
use super::consuming::without_line_breaks;
use super::direct_reply;
use super::turn::Turn;
use crate::access::{Resource, Right};
use crate::error::BrokerError;

type Needs<'a> = SmallVec<[(Right, Kind, Cow<'a, str>); 3]>;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Exchange,
    Queue,
}

/// Refuses a method its user has no right to, with RabbitMQ's words.
pub(super) fn check(
    method: &Method<'_>,
    channel: &Channel,
    turn: &Turn<'_>,
) -> Result<(), BrokerError> {
    let session = turn.session;
    for (right, kind, name) in needs(method, channel)? {
        let resource = match kind {
            Kind::Exchange => Resource::Exchange(&name),
            Kind::Queue => Resource::Queue(&name),
        };
        session
            .broker
            .access()
            .check(&session.user, session.vhost.name(), right, resource)?;
    }
    Ok(())
}

fn needs<'a>(method: &'a Method<'_>, channel: &'a Channel) -> Result<Needs<'a>, BrokerError> {
    use Kind::{Exchange, Queue};
    use Right::{Configure, Read, Write};
    let queue = |name: &'a str| -> Result<Cow<'a, str>, BrokerError> {
        channel
            .queue_name(name)
            .map(|name| Cow::Owned(name.to_string()))
    };
    Ok(match method {
        Method::ExchangeDeclare(m) if !m.passive => {
            let name = without_line_breaks(m.exchange);
            let mut needs: Needs<'a> = smallvec![(Configure, Exchange, name.clone())];
            if let Some(alternate) = text(&m.arguments, "alternate-exchange") {
                needs.push((Read, Exchange, name));
                needs.push((Write, Exchange, alternate.into()));
            }
            needs
        }
        Method::ExchangeDelete(m) => {
            smallvec![(Configure, Exchange, without_line_breaks(m.exchange))]
        }
        Method::ExchangeBind(m) => smallvec![
            (Write, Exchange, without_line_breaks(m.destination)),
            (Read, Exchange, without_line_breaks(m.source)),
        ],
        Method::ExchangeUnbind(m) => smallvec![
            (Write, Exchange, without_line_breaks(m.destination)),
            (Read, Exchange, without_line_breaks(m.source)),
        ],
        // A server-named queue is checked under the name it gets; see `declaring`.
        Method::QueueDeclare(m) if !m.passive && !m.queue.is_empty() => {
            smallvec![(Configure, Queue, without_line_breaks(m.queue))]
        }
        Method::QueueDelete(m) => smallvec![(Configure, Queue, queue(m.queue)?)],
        Method::QueuePurge(m) => smallvec![(Read, Queue, queue(m.queue)?)],
        Method::QueueBind(m) => smallvec![
            (Write, Queue, queue(m.queue)?),
            (Read, Exchange, without_line_breaks(m.exchange)),
        ],
        Method::QueueUnbind(m) => smallvec![
            (Write, Queue, queue(m.queue)?),
            (Read, Exchange, without_line_breaks(m.exchange)),
        ],
        Method::BasicConsume(m) if m.queue != direct_reply::QUEUE => {
            smallvec![(Read, Queue, queue(m.queue)?)]
        }
        Method::BasicGet(m) => smallvec![(Read, Queue, queue(m.queue)?)],
        _ => SmallVec::new(),
    })
}

fn text<'a>(arguments: &'a FieldTable, name: &str) -> Option<&'a str> {
    match arguments.get(name) {
        Some(value @ FieldValue::LongString(_)) => value.as_str(),
        _ => None,
    }
}
