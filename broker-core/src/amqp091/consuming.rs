//! basic.qos, consume, cancel, get: who takes messages from where.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use amqp_codec::{ReplyCode, basic};

use super::channel::{Channel, Consumer, Departed, Question};
use super::direct_reply;
use super::turn::Turn;
use crate::arguments;
use crate::credit::ChannelCredit;
use crate::error::BrokerError;
use crate::host::Lsn;
use crate::inbox::ConsumerId;
use crate::queue::handle::QueueHandle;
use crate::queue::{Command, ConsumerSpec, ReplyTo};

impl Channel {
    /// `global` false: for consumers started later. True: one limit for the whole channel, at
    /// once (RabbitMQ's reading of the flag).
    pub(super) fn qos(
        &mut self,
        method: &basic::Qos,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        if method.prefetch_size != 0 {
            return Err(BrokerError::new(
                ReplyCode::NotImplemented,
                format!("prefetch_size!=0 ({})", method.prefetch_size),
            ));
        }
        let limit = u32::from(method.prefetch_count);
        if method.global {
            self.set_channel_limit(limit, turn);
        } else {
            self.prefetch = method.prefetch_count;
            self.entry.prefetch.store(limit, Ordering::Relaxed);
            // RabbitMQ: this lifts the limit of the channel.
            if self
                .credit
                .as_ref()
                .is_some_and(|credit| credit.limit() != 0)
            {
                self.set_channel_limit(0, turn);
            }
        }
        self.reply(turn, basic::QosOk {})
    }

    fn set_channel_limit(&mut self, limit: u32, turn: &Turn<'_>) {
        self.credit().set_limit(limit);
        self.entry.global_prefetch.store(limit, Ordering::Relaxed);
        self.resume_sources(turn);
    }

    pub(super) fn consume(
        &mut self,
        method: &basic::Consume<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        let tag: Arc<str> = match method.consumer_tag {
            "" => random_name("amq.ctag-", turn).into(),
            tag => tag.into(),
        };
        if self.tags.contains_key(&tag) {
            return Err(BrokerError::new(
                ReplyCode::NotAllowed,
                format!("attempt to reuse consumer tag '{tag}'"),
            ));
        }
        if method.queue == direct_reply::QUEUE {
            return self.consume_replies(method, tag, turn);
        }
        let name = self.queue_name(method.queue)?;
        let queue = turn.session.vhost.queue_for(&name, turn.session.id)?;
        self.check_consumer_max(turn)?;
        let wanted = arguments::consumer(&method.arguments)
            .map_err(|invalid| invalid.for_queue(&name, turn.session.vhost.name()))?;
        let source = self.source_for(&queue);
        if let Some(entry) = self.source(source) {
            entry.uses += 1;
        }
        let consumer = ConsumerId::next();
        self.tags.insert(Arc::clone(&tag), consumer);
        let no_ack = method.no_ack;
        let source = Some(source);
        self.consumers.insert(
            consumer,
            Consumer {
                tag: Arc::clone(&tag),
                no_ack,
                source,
            },
        );
        self.count_consumers();
        let spec = ConsumerSpec {
            id: consumer,
            channel: self.number,
            tag,
            inbox: Arc::clone(&turn.session.inbox),
            credit: self.credit(),
            no_ack,
            exclusive: method.exclusive,
            priority: wanted.priority,
            prefetch: self.prefetch,
            arguments: method.arguments.clone(),
        };
        let token = self.gate.ask(Question::Consume {
            consumer,
            nowait: method.nowait,
        });
        queue.submit(turn.now, Command::Consume(spec, token));
        Ok(())
    }

    fn check_consumer_max(&self, turn: &Turn<'_>) -> Result<(), BrokerError> {
        match turn.session.broker.limits().consumer_max_per_channel {
            Some(max) if self.consumers.len() >= max as usize => Err(BrokerError::new(
                ReplyCode::NotAllowed,
                format!("reached maximum ({max}) of consumers per channel"),
            )),
            _ => Ok(()),
        }
    }

    pub(super) fn cancel(
        &mut self,
        method: &basic::Cancel<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        let answer = basic::CancelOk {
            consumer_tag: method.consumer_tag,
        };
        let Some(&consumer) = self.tags.get(method.consumer_tag) else {
            return self.reply_unless(method.nowait, turn, Lsn::NONE, answer);
        };
        if self
            .reply_consumer
            .as_ref()
            .is_some_and(|(id, _)| *id == consumer)
        {
            self.end_reply_consumer(turn);
            return self.reply_unless(method.nowait, turn, Lsn::NONE, answer);
        }
        let Some(queue) = self.queue_of(consumer) else {
            return Ok(());
        };
        // The tag is free at once; the consumer goes when the queue has answered.
        self.tags.remove(method.consumer_tag);
        let token = self.gate.ask(Question::Cancel {
            consumer,
            tag: method.consumer_tag.into(),
            nowait: method.nowait,
        });
        let reply = Some(self.reply_to(token, turn));
        queue.submit(turn.now, Command::Cancel { consumer, reply });
        Ok(())
    }

    pub(super) fn get(
        &mut self,
        method: &basic::Get<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        let name = self.queue_name(method.queue)?;
        let queue = turn.session.vhost.queue_for(&name, turn.session.id)?;
        let source = self.source_for(&queue);
        if let Some(entry) = self.source(source) {
            entry.uses += 1;
        }
        let no_ack = method.no_ack;
        let token = self.gate.ask(Question::Get { source, no_ack });
        let reply = self.reply_to(token, turn);
        let consumer = ConsumerId::next();
        queue.submit(
            turn.now,
            Command::Get {
                no_ack,
                reply,
                consumer,
            },
        );
        Ok(())
    }

    /// Forgets a consumer; its deliveries stay until they are settled.
    pub(super) fn remove_consumer(&mut self, consumer: ConsumerId) -> Option<Consumer> {
        let removed = self.consumers.remove(&consumer)?;
        if self.tags.get(&removed.tag) == Some(&consumer) {
            self.tags.remove(&removed.tag);
        }
        if let Some(source) = removed.source {
            self.release_source(source);
        }
        self.count_consumers();
        Some(removed)
    }

    /// Cancels every consumer, without answers. Deliveries that were pushed before still come.
    pub(super) fn cancel_all(&mut self, turn: &mut Turn<'_>) -> Vec<(ConsumerId, Departed)> {
        self.end_reply_consumer(turn);
        let ids: Vec<ConsumerId> = self.consumers.keys().copied().collect();
        let mut departed = Vec::with_capacity(ids.len());
        for consumer in ids {
            let queue = self.queue_of(consumer);
            let removed = self.remove_consumer(consumer);
            let (Some(queue), Some(removed)) = (queue, removed) else {
                continue;
            };
            departed.push((
                consumer,
                Departed {
                    queue: Arc::clone(&queue),
                    no_ack: removed.no_ack,
                },
            ));
            let reply = Some(self.reply_to(0, turn));
            queue.submit(turn.now, Command::Cancel { consumer, reply });
        }
        departed
    }

    /// Whether deliveries to this consumer can be encoded.
    #[inline]
    pub(super) fn knows(&self, consumer: ConsumerId) -> bool {
        self.consumers.contains_key(&consumer)
    }

    pub(super) fn queue_of(&mut self, consumer: ConsumerId) -> Option<Arc<QueueHandle>> {
        let source = self.consumers.get(&consumer)?.source?;
        self.source(source).map(|entry| Arc::clone(&entry.queue))
    }

    pub(super) fn reply_to(&self, token: u32, turn: &Turn<'_>) -> ReplyTo {
        ReplyTo {
            inbox: Arc::clone(&turn.session.inbox),
            channel: self.number,
            token,
        }
    }

    /// [`Self::queue_name`] where RabbitMQ strips line breaks: delete, bind and unbind.
    pub(super) fn stripped_queue_name(&self, name: &str) -> Result<Arc<str>, BrokerError> {
        self.queue_name(&without_line_breaks(name))
    }

    /// An empty queue name stands for the queue last declared on this channel.
    pub(super) fn queue_name(&self, name: &str) -> Result<Arc<str>, BrokerError> {
        match (name, &self.last_queue) {
            ("", Some(last)) => Ok(Arc::clone(last)),
            ("", None) => Err(BrokerError::new(
                ReplyCode::NotFound,
                "no previously declared queue",
            )),
            (name, _) => Ok(name.into()),
        }
    }

    pub(super) fn credit(&mut self) -> Arc<ChannelCredit> {
        Arc::clone(self.credit.get_or_insert_with(Arc::default))
    }

    /// Lets the queues of this channel look again: a limit changed or deliveries were settled.
    pub(super) fn resume_sources(&self, turn: &Turn<'_>) {
        for source in self.sources.iter().flatten() {
            source.queue.submit(turn.now, Command::Resume);
        }
    }

    pub(super) fn count_consumers(&self) {
        self.entry
            .consumers
            .store(self.consumers.len() as u32, Ordering::Relaxed);
    }
}

/// RabbitMQ strips line breaks from entity names, silently.
pub(super) fn without_line_breaks(name: &str) -> std::borrow::Cow<'_, str> {
    if name.contains(['\r', '\n']) {
        name.replace(['\r', '\n'], "").into()
    } else {
        name.into()
    }
}

/// A name nobody can guess: `prefix` and 22 characters of base64url.
pub(super) fn random_name(prefix: &str, turn: &Turn<'_>) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let random = u128::from_le_bytes(turn.session.broker.host().random());
    let characters = (0..22).map(|i| ALPHABET[(random >> (6 * i)) as usize & 63] as char);
    prefix.chars().chain(characters).collect()
}
