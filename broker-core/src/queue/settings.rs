//! What a queue was told to do: its x-arguments and policy, parsed and merged by others.

use std::sync::Arc;

/// The effective settings of a queue: declared arguments and policy in one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// x-message-ttl: how long a message may wait, in milliseconds.
    pub message_ttl: Option<u64>,
    /// x-expires: the queue goes after being unused for this long, in milliseconds.
    pub expires: Option<u64>,
    /// x-max-length: how many ready messages the queue holds.
    pub max_length: Option<u64>,
    /// x-max-length-bytes: how many bytes of ready bodies the queue holds.
    pub max_length_bytes: Option<u64>,
    /// x-overflow: what happens when one of the lengths is exceeded.
    pub overflow: Overflow,
    /// x-dead-letter-exchange and x-dead-letter-routing-key.
    pub dead_letter: Option<DeadLetterTo>,
    /// x-max-priority. A declared property: [`super::Command::Configure`] does not change it.
    pub max_priority: Option<u8>,
}

/// What a full queue does with one message too many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The oldest ready messages make room.
    #[default]
    DropHead,
    /// The new message is refused.
    RejectPublish,
    /// The new message is refused and dead-lettered.
    RejectPublishDlx,
}

/// Where dead letters go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterTo {
    /// The exchange they are published to; it need not exist.
    pub exchange: Arc<str>,
    /// The routing key they get; none keeps the message's own ones.
    pub routing_key: Option<Arc<str>>,
}
