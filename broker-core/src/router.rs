//! What a message says of where it wants to go, and the queues it comes to.
//!
//! The walk itself is [`crate::topology::Topology::route`].

use std::sync::Arc;

use amqp_codec::FieldTable;
use smallvec::SmallVec;

use crate::queue::handle::QueueHandle;

/// What of a message matters to exchanges.
#[derive(Clone, Debug, Default)]
pub struct Routing<'a> {
    /// Its routing key, then the keys of CC and BCC.
    pub routing_keys: SmallVec<[&'a str; 1]>,
    /// Its headers, if it has any.
    pub headers: Option<&'a FieldTable>,
}

/// Where a message goes.
#[derive(Debug, Default)]
pub struct RouteTargets {
    /// The queues that get it, each once.
    pub queues: SmallVec<[Arc<QueueHandle>; 1]>,
    /// Whether a headers exchange was asked on the way: another message with the same keys may
    /// go elsewhere.
    pub depends_on_headers: bool,
}
