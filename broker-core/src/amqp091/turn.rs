//! One turn of a connection: what its channels work with while it runs.

use amqp_codec::{EncodeError, Method};

use super::batches::Batches;
use super::durable::are_durable;
use super::output::Output;
use super::session::Session;
use crate::error::BrokerError;
use crate::time::Timestamp;

/// Borrowed for the length of a turn.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    /// The time, read once per turn.
    pub now: Timestamp,
    /// Where frames go.
    pub out: &'a mut Output,
    /// Work for queues, collected.
    pub batches: &'a mut Batches,
    /// Whose turn it is.
    pub session: &'a Session,
}

impl Turn<'_> {
    /// Appends a method frame. A frame of ours that cannot be encoded is an internal error: it
    /// ends the channel, not the broker.
    pub(super) fn send<'m>(
        &mut self,
        channel: u16,
        method: impl Into<Method<'m>>,
    ) -> Result<(), BrokerError> {
        self.out.method(channel, method).map_err(encode_failed)
    }

    /// Whether everything persistent that the connection published is durable. If not, its inbox
    /// is woken when it is.
    pub(super) fn are_publishes_durable(&self) -> bool {
        are_durable(&self.session.inbox, self.session.broker.host())
    }

    /// Hands the collected work to the queues: every method but a publish or a settlement is a
    /// barrier.
    pub(super) fn barrier(&mut self) {
        self.batches.hand_over(self.session.broker.host(), self.now);
    }
}

/// The refusal for a reply that cannot be put into a frame.
pub(super) fn encode_failed(error: EncodeError) -> BrokerError {
    BrokerError::new(amqp_codec::ReplyCode::InternalError, error.to_string())
}
