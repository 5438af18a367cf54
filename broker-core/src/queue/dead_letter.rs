//! Dead letters: why a message died, and what it becomes on its way to the next exchange.
//!
//! Pure functions on raw properties. They publish nothing and know no topology.

use crate::message::Records;

/// Why a message left its queue without being acked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A consumer rejected it without requeue.
    Rejected,
    /// Its time to live ended.
    Expired,
    /// The queue was full.
    MaxLen,
    /// It was delivered too often.
    DeliveryLimit,
}

impl Reason {
    /// The word in x-death.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::Rejected => "rejected",
            Reason::Expired => "expired",
            Reason::MaxLen => "maxlen",
            Reason::DeliveryLimit => "delivery_limit",
        }
    }
}

/// A copy of a message that waits in its queue until it has been dead-lettered.
#[derive(Debug)]
pub struct DeadLetter {
    /// Its place in the queue, for [`super::Command::DeadLettered`].
    pub ordinal: u64,
    /// Why it died.
    pub reason: Reason,
    /// The message: one record.
    pub message: Records,
}
