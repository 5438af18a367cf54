//! Consumers coming and going.

use super::handle::{ConsumerSpec, Deletion, ReplyTo};
use super::{Effects, Queue};
use crate::error::BrokerError;
use crate::inbox::{Answer, ConsumerId};

impl Queue {
    /// Registers a consumer, unless it or another one wants the queue for itself.
    pub(super) fn consume(&mut self, spec: ConsumerSpec, token: u32, effects: &mut Effects) {
        self.active_at = Some(self.now);
        let reply = ReplyTo {
            inbox: spec.inbox.clone(),
            channel: spec.channel,
            token,
        };
        let is_taken = self.consumers.exclusive().is_some();
        if is_taken || (spec.exclusive && !self.consumers.is_empty()) {
            let identity = &self.identity;
            let refusal = BrokerError::exclusive_use(&identity.name, &identity.vhost);
            effects.answer(&reply, Answer::Refused(refusal));
        } else if effects.answer(&reply, Answer::Consuming) {
            self.consumers.add(spec);
        }
    }

    /// Ends a consumer. Nothing is staged between two commands, so its last delivery is out.
    pub(super) fn cancel(
        &mut self,
        consumer: ConsumerId,
        reply: Option<ReplyTo>,
        effects: &mut Effects,
    ) {
        self.active_at = Some(self.now);
        let was_there = self.consumers.remove(consumer).is_some();
        if let Some(reply) = reply {
            effects.answer(&reply, Answer::Cancelled(consumer));
        }
        if was_there {
            self.after_consumer_left(effects);
        }
    }

    /// Consumers whose connections turned out to be closed are as good as cancelled.
    pub(super) fn drop_gone_consumers(&mut self, effects: &mut Effects) {
        for id in self.consumers.take_gone() {
            if self.consumers.remove(id).is_some() {
                self.after_consumer_left(effects);
            }
        }
    }

    /// Without consumers an auto-delete queue goes, and any other begins to be unused.
    fn after_consumer_left(&mut self, effects: &mut Effects) {
        if !self.consumers.is_empty() {
            return;
        }
        self.renew_lease();
        if self.identity.auto_delete {
            self.delete(Deletion::LastConsumerGone, effects);
        }
    }
}
