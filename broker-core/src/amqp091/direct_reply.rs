//! Direct reply-to: replies go from the responder's publish straight into the requester's inbox.
//!
//! A requester consumes from [`QUEUE`] without acks; the broker gives the channel a token nobody
//! can guess, writes it into the reply-to property of its requests, and delivers what is
//! published to the default exchange under it. There is no queue: a requester that does not read
//! loses replies above [`REPLY_BYTES_MAX`], as if it were gone.

use std::sync::Arc;

use amqp_codec::{FLAG_REPLY_TO, basic, replace_property};

use super::assembler::Content;
use super::channel::{Channel, Consumer, Mode};
use super::consuming::random_name;
use super::publishing::{Traits, bad_properties, check_target};
use super::session::count;
use super::turn::Turn;
use crate::error::BrokerError;
use crate::inbox::{ConsumerId, Inbox, Pushed};
use crate::message::{Body, Message, Records};

/// The pseudo queue.
pub const QUEUE: &str = "amq.rabbitmq.reply-to";
/// What the name of a reply address begins with; the token follows.
pub const PREFIX: &str = "amq.rabbitmq.reply-to.";
/// Replies that wait for a connection which does not read, in bytes.
pub const REPLY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Where replies with one token go.
#[derive(Clone, Debug)]
pub struct ReplyAddress {
    /// The requester's connection.
    pub inbox: Arc<Inbox>,
    /// Its channel.
    pub channel: u16,
    /// The consumer on the pseudo queue.
    pub consumer: ConsumerId,
}

impl Channel {
    pub(super) fn consume_replies(
        &mut self,
        method: &basic::Consume<'_>,
        tag: Arc<str>,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        if !method.no_ack {
            return Err(BrokerError::precondition(
                "reply consumer cannot acknowledge",
            ));
        }
        if self.reply_consumer.is_some() {
            return Err(BrokerError::precondition("reply consumer already set"));
        }
        let consumer = ConsumerId::next();
        let name: Arc<str> = random_name(PREFIX, turn).into();
        let inbox = Arc::clone(&turn.session.inbox);
        let address = ReplyAddress {
            inbox,
            channel: self.number,
            consumer,
        };
        turn.session
            .broker
            .reply_addresses()
            .insert(Arc::clone(&name), address);
        self.reply_consumer = Some((consumer, name));
        self.tags.insert(Arc::clone(&tag), consumer);
        let entry = Consumer {
            tag: Arc::clone(&tag),
            no_ack: true,
            source: None,
        };
        self.consumers.insert(consumer, entry);
        self.count_consumers();
        if method.nowait {
            return Ok(());
        }
        self.reply(turn, basic::ConsumeOk { consumer_tag: &tag })
    }

    pub(super) fn end_reply_consumer(&mut self, turn: &mut Turn<'_>) {
        if let Some((consumer, name)) = self.reply_consumer.take() {
            turn.session.broker.reply_addresses().remove(&name);
            self.remove_consumer(consumer);
        }
    }

    /// The properties of a request with the channel's reply address in place of the pseudo queue.
    pub(super) fn with_reply_token(&self, raw: &[u8]) -> Result<Vec<u8>, BrokerError> {
        let Some((_, name)) = &self.reply_consumer else {
            return Err(BrokerError::precondition(
                "fast reply consumer does not exist",
            ));
        };
        let reply_to = [&[name.len() as u8], name.as_bytes()].concat();
        replace_property(raw, FLAG_REPLY_TO, Some(&reply_to)).map_err(bad_properties)
    }

    /// Delivers a message whose routing key is a reply address; none if it is not one.
    pub(super) fn publish_reply(
        &mut self,
        content: &Content<'_>,
        traits: &Traits,
        turn: &mut Turn<'_>,
    ) -> Option<Result<(), BrokerError>> {
        let key = content.method.routing_key;
        if !key.starts_with(PREFIX) {
            return None;
        }
        if let Err(error) = check_target(content, turn) {
            return Some(Err(error));
        }
        let address = turn
            .session
            .broker
            .reply_addresses()
            .get(key)
            .map(|a| a.value().clone());
        let delivered = address.is_some_and(|address| push(&address, content, traits));
        if !delivered {
            return Some(self.unroutable(content, traits, turn));
        }
        count(&self.entry.totals.publish, 1);
        if let Mode::Confirm(confirms) = &mut self.mode {
            confirms.publish(0);
            turn.batches.note_finished(self.number);
        }
        Some(Ok(()))
    }
}

fn push(address: &ReplyAddress, content: &Content<'_>, traits: &Traits) -> bool {
    if address.inbox.bytes() > REPLY_BYTES_MAX {
        return false;
    }
    let mut records = Records::new();
    let position = records.push(Message {
        exchange: content.method.exchange,
        routing_key: content.method.routing_key,
        properties: traits.rewritten.as_deref().unwrap_or(content.properties),
        body: match &content.body {
            Body::Inline(bytes) => Body::Inline(bytes),
            Body::Shared(bytes) => Body::Shared(bytes.clone()),
        },
        persistent: traits.persistent,
        priority: traits.priority,
        expires_at: None,
        has_bcc: traits.has_bcc,
    });
    let bytes = records.at(position).memory_bytes();
    address.inbox.reserve_bytes(bytes);
    match address
        .inbox
        .push_deliveries(address.channel, address.consumer, &mut records)
    {
        Pushed::Closed => false,
        pushed @ Pushed::Done(_) => {
            pushed.wake();
            true
        }
    }
}
