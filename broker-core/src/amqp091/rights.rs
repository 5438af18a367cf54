//! Who may do what: one table from method to the rights it needs on which names.
//!
//! basic.publish is the one method that is not checked here but where its route is found, because
//! a remembered route carries its right along.

use std::borrow::Cow;

use amqp_codec::{FieldTable, FieldValue, Method, exchange, queue};
use smallvec::{SmallVec, smallvec};

use super::channel::Channel;
use super::consuming::without_line_breaks;
use super::direct_reply;
use super::turn::Turn;
use crate::access::{Resource, Right};
use crate::error::BrokerError;

/// What a method needs, in the order in which RabbitMQ looks.
enum Need<'a> {
    Exchange(Right, Cow<'a, str>),
    Queue(Right, Cow<'a, str>),
    /// The method does not work on the default exchange.
    NotDefault(&'a str),
}

type Needs<'a> = SmallVec<[Need<'a>; 3]>;

/// Refuses a method its user has no right to, with RabbitMQ's words.
pub(super) fn check(
    method: &Method<'_>,
    channel: &Channel,
    turn: &Turn<'_>,
) -> Result<(), BrokerError> {
    let session = turn.session;
    let access = session.broker.access();
    for need in needs(method, channel)? {
        let (right, resource) = match &need {
            Need::Exchange(right, name) => (*right, Resource::Exchange(name)),
            Need::Queue(right, name) => (*right, Resource::Queue(name)),
            Need::NotDefault("") => {
                return Err(BrokerError::access_refused(
                    "operation not permitted on the default exchange",
                ));
            }
            Need::NotDefault(_) => continue,
        };
        access.check(&session.user, session.vhost.name(), right, resource)?;
    }
    Ok(())
}

fn needs<'a>(method: &'a Method<'_>, channel: &'a Channel) -> Result<Needs<'a>, BrokerError> {
    use Need::{Exchange, NotDefault, Queue};
    use Right::{Configure, Read, Write};
    let owned = |name: std::sync::Arc<str>| Cow::Owned(name.to_string());
    let queue = |name: &str| channel.queue_name(name).map(owned);
    let stripped = |name: &str| channel.stripped_queue_name(name).map(owned);
    let exchange = without_line_breaks;
    Ok(match method {
        Method::ExchangeDeclare(m) if m.passive => smallvec![NotDefault(m.exchange)],
        Method::ExchangeDeclare(m) => {
            let name = exchange(m.exchange);
            let mut needs: Needs<'a> =
                smallvec![NotDefault(m.exchange), Exchange(Configure, name.clone())];
            if let Some(alternate) = text(&m.arguments, "alternate-exchange") {
                needs.push(Exchange(Read, name));
                needs.push(Exchange(Write, alternate.into()));
            }
            needs
        }
        Method::ExchangeDelete(m) => {
            smallvec![
                NotDefault(m.exchange),
                Exchange(Configure, exchange(m.exchange))
            ]
        }
        Method::ExchangeBind(exchange::Bind {
            destination,
            source,
            ..
        })
        | Method::ExchangeUnbind(exchange::Unbind {
            destination,
            source,
            ..
        }) => smallvec![
            NotDefault(destination),
            Exchange(Write, exchange(destination)),
            NotDefault(source),
            Exchange(Read, exchange(source)),
        ],
        // A server-named queue is checked under the name it gets; see `declaring`.
        Method::QueueDeclare(m) if !m.passive && !m.queue.is_empty() => {
            smallvec![Queue(Configure, exchange(m.queue))]
        }
        Method::QueueDelete(m) => smallvec![Queue(Configure, stripped(m.queue)?)],
        Method::QueuePurge(m) => smallvec![Queue(Read, queue(m.queue)?)],
        Method::QueueBind(queue::Bind {
            queue,
            exchange: source,
            ..
        })
        | Method::QueueUnbind(queue::Unbind {
            queue,
            exchange: source,
            ..
        }) => smallvec![
            Queue(Write, stripped(queue)?),
            NotDefault(source),
            Exchange(Read, exchange(source)),
        ],
        Method::BasicConsume(m) if m.queue != direct_reply::QUEUE => {
            smallvec![Queue(Read, queue(m.queue)?)]
        }
        Method::BasicGet(m) => smallvec![Queue(Read, queue(m.queue)?)],
        _ => SmallVec::new(),
    })
}

fn text<'a>(arguments: &'a FieldTable, name: &str) -> Option<&'a str> {
    match arguments.get(name) {
        Some(value @ FieldValue::LongString(_)) => value.as_str(),
        _ => None,
    }
}
