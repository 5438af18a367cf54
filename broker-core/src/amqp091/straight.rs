//! The straight way of a publish: to the queue where others with its names went.
//!
//! Most publishes have names that their channel remembers, properties that are not the broker's
//! business, and one queue to go to; `mandatory` asks for no more than that. What was checked when
//! the route was found is not checked again as long as the route is valid; `publishing` takes
//! everything else, and knows the errors.

use amqp_codec::{PublishNames, check_properties, delivery_mode, property_flags};

use super::channel::{Channel, Mode};
use super::publishing::{CONTINUED, NEED_DECODING};
use super::session::count;
use super::turn::Turn;

/// Properties without any.
const NO_PROPERTIES: [u8; 2] = [0, 0];

impl Channel {
    /// Takes a publish that came whole. False when it needs a closer look: then nothing has
    /// happened.
    #[inline]
    pub(super) fn publish_straight(
        &mut self,
        names: PublishNames<'_>,
        properties: &[u8],
        body: &[u8],
        turn: &mut Turn<'_>,
    ) -> bool {
        let confirming = match self.mode {
            Mode::Plain => None,
            Mode::Confirm(_) => Some(self.number),
            Mode::Transaction(_) => return false,
        };
        let Some(is_persistent) = plain_persistence(properties) else {
            return false;
        };
        if names.is_immediate || turn.batches.shared().is_transaction {
            return false;
        }
        let rights = turn.session.broker.access().generation();
        let route = self
            .routes
            .find(names.exchange, names.routing_key, rights)
            .map(|route| &mut route.targets[..]);
        let Some([target]) = route else { return false };
        if !turn.batches.accepts(confirming) {
            turn.barrier();
        }
        turn.batches.begin(confirming);
        count(&self.entry.totals.publish, 1);
        let number = match &mut self.mode {
            Mode::Confirm(confirms) => Some((self.number, confirms.publish(1))),
            Mode::Plain | Mode::Transaction(_) => None,
        };
        let names = [names.exchange, names.routing_key];
        let origin = &turn.session.inbox;
        turn.batches.take(target, number, origin, |records| {
            records.push_plain(names, properties, body, is_persistent);
        });
        true
    }
}

/// Whether a message with these properties is persistent; none if they say more to the broker, or
/// cannot be read.
#[inline]
fn plain_persistence(properties: &[u8]) -> Option<bool> {
    if properties == NO_PROPERTIES {
        return Some(false);
    }
    if property_flags(properties) & (NEED_DECODING | CONTINUED) != 0 {
        return None;
    }
    check_properties(properties).ok()?;
    Some(delivery_mode(properties).ok()? == Some(2))
}
