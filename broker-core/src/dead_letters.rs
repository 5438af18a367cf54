//! Moves dead letters from their queues to their exchanges.
//!
//! Never a call from queue to queue: a queue says that some wait, and whoever runs it moves up to
//! [`TURN_MAX`] of them after all locks are released. Letters that die on the way (a full target)
//! join the same list, so that a chain or a circle of queues is a loop here and not a recursion.

use std::sync::Arc;

use parking_lot::MutexGuard;
use smallvec::SmallVec;

use crate::message::{Body, Message};
use crate::queue::Command;
use crate::queue::dead_letter::{DeadLetter, Delivered, readdress};
use crate::queue::handle::{Batch, QueueHandle};
use crate::router::{RouteTargets, Routing};
use crate::time::Timestamp;
use crate::vhost::Vhost;

/// Dead letters that one turn of a connection may move; the rest is left to a task of the vhost.
pub(crate) const TURN_MAX: usize = 256;

/// Turns that a stopping broker takes at a time: letters can make letters.
const TURNS_AT_STOP: usize = 1_000;

/// While it is there, dead letters wait.
#[must_use]
pub struct HeldLetters<'a> {
    _mover: MutexGuard<'a, ()>,
}

impl Vhost {
    /// Lets dead letters wait, for a start: a letter must not reach a queue before the messages do
    /// that were found of it. Who ends it calls [`Self::move_dead_letters`].
    pub fn hold_dead_letters(&self) -> HeldLetters<'_> {
        HeldLetters {
            _mover: self.mover.lock(),
        }
    }

    /// Moves what waits, for a stop: waits for others who do, and is not done after a turn's worth.
    pub fn move_all_dead_letters(&self, now: Timestamp) {
        let _mover = self.mover.lock();
        for _ in 0..TURNS_AT_STOP {
            let Some(queue) = self.dead.lock().pop_front() else {
                return;
            };
            self.move_from(&queue, TURN_MAX, now);
        }
    }

    /// Moves what waits, unless somebody else does; asks the host to go on when there is more
    /// than [`TURN_MAX`].
    pub fn move_dead_letters(&self, now: Timestamp) {
        let mut budget = TURN_MAX;
        while !self.dead.lock().is_empty() {
            let Some(guard) = self.mover.try_lock() else {
                return;
            };
            while budget > 0 {
                let Some(queue) = self.dead.lock().pop_front() else {
                    break;
                };
                budget -= self.move_from(&queue, budget, now).min(budget);
            }
            drop(guard);
            if budget == 0 {
                if let Some(this) = self.strong() {
                    self.host().more_dead_letters(&this);
                }
                return;
            }
        }
    }

    /// Moves up to `max` letters of one queue; gives how many.
    fn move_from(&self, queue: &Arc<QueueHandle>, max: usize, now: Timestamp) -> usize {
        let letters = queue.take_dead_letters(max);
        let count = letters.len();
        if count == 0 {
            return 0;
        }
        if count == max {
            self.dead.lock().push_back(Arc::clone(queue));
        }
        let mut ordinals = Vec::with_capacity(count);
        for letter in letters {
            self.move_one(queue, &letter, now);
            ordinals.push(letter.ordinal);
        }
        queue.submit(now, Command::DeadLettered { ordinals });
        count
    }

    /// Publishes one letter. An exchange that is not there, or nothing bound, drops it, as
    /// RabbitMQ does; nothing in the message itself does.
    fn move_one(&self, source: &Arc<QueueHandle>, letter: &DeadLetter, now: Timestamp) {
        let Some(target) = source.dead_letter_to() else {
            return;
        };
        let Some(record) = letter.message.iter().next() else {
            return;
        };
        let death = (letter.reason, now);
        let delivered = readdress(record, death, &source.identity().name, &target);
        let Delivered {
            properties,
            headers,
            routing_keys,
            has_bcc,
            ..
        } = &delivered;
        let keys: SmallVec<[&str; 1]> = routing_keys.iter().map(String::as_str).collect();
        let key = keys.first().copied().unwrap_or(record.routing_key_str());
        let routing = Routing {
            routing_keys: keys.clone(),
            headers: headers.as_ref(),
        };
        let mut found = RouteTargets::default();
        if self
            .topology()
            .route(&target.exchange, &routing, &mut found)
            .is_err()
        {
            return;
        }
        for queue in found.queues {
            if delivered.is_cycle(&queue.identity().name) {
                continue;
            }
            let body = match record.shared_body() {
                Some(shared) => Body::Shared(shared.clone()),
                None => Body::Inline(record.body()),
            };
            let mut batch = Batch::default();
            batch.records.push(Message {
                exchange: &target.exchange,
                routing_key: key,
                properties,
                body,
                persistent: record.is_persistent(),
                priority: record.priority(),
                expires_at: None,
                has_bcc: *has_bcc,
            });
            // Waits for a busy queue: the letter must be in the log before it leaves its source.
            queue.publish_waiting(now, &mut batch);
        }
    }
}
