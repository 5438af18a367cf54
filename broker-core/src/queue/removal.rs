//! Messages that are taken away, one by one or all of them, and the end of the queue itself.

use super::chunks::Chunks;
use super::handle::{Deletion, ReplyTo};
use super::{Effects, Life, Queue, saturated};
use crate::error::BrokerError;
use crate::inbox::Answer;

impl Queue {
    /// Drops all ready messages; they are not dead-lettered.
    pub(super) fn purge(&mut self, reply: Option<ReplyTo>, effects: &mut Effects) {
        self.active_at = Some(self.now);
        let count = self.ready.clear(&mut self.chunks);
        self.totals.purged += count;
        if let Some(reply) = reply {
            effects.answer(&reply, Answer::Purged(saturated(count)));
        }
    }

    /// Takes single ready messages out, wherever they stand.
    pub(super) fn remove(&mut self, ordinals: &[u64]) {
        for &ordinal in ordinals {
            let removed = self.ready.remove(ordinal, &mut self.chunks);
            self.totals.purged += u64::from(removed);
        }
    }

    /// Deletes the queue if the conditions of queue.delete hold.
    pub(super) fn delete_on(
        &mut self,
        if_unused: bool,
        if_empty: bool,
        reply: Option<ReplyTo>,
        reason: Deletion,
        effects: &mut Effects,
    ) {
        let refusal = if if_empty && !self.ready.is_empty() {
            Some("not empty")
        } else if if_unused && !self.consumers.is_empty() {
            Some("in use")
        } else {
            None
        };
        let answer = match refusal {
            Some(why) => {
                let (name, vhost) = (&self.identity.name, &self.identity.vhost);
                let text = format!("queue '{name}' in vhost '{vhost}' {why}");
                Answer::Refused(BrokerError::precondition(text))
            }
            None => Answer::Deleted(saturated(self.ready.tally().count)),
        };
        // Before the consumers are told, so that a client which deletes a queue it consumes from
        // has its answer first.
        if let Some(reply) = reply {
            effects.answer(&reply, answer);
        }
        if refusal.is_none() {
            self.delete(reason, effects);
        }
    }

    /// The end: every consumer is told, messages go, dead letters stay until they are taken.
    pub(super) fn delete(&mut self, reason: Deletion, effects: &mut Effects) {
        self.life = Life::Deleted;
        effects.deleted = Some(reason);
        std::mem::take(&mut self.consumers).dismiss(effects);
        self.ready = Default::default();
        self.unacked.clear();
        let chunks: Chunks = self.dead.rehouse(&self.chunks);
        self.chunks = chunks;
    }
}
