//! The arguments of basic.consume.

use amqp_codec::FieldTable;

use super::{InvalidArgument, boolean, integer};

/// What the arguments of a consumer mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsumerArguments {
    /// x-priority: ready consumers of a higher priority are served first.
    pub priority: i32,
}

/// Reads the arguments of a consumer. x-cancel-on-ha-failover is about mirrored queues, which do
/// not exist here; arguments that RabbitMQ does not know have no effect.
pub fn consumer(arguments: &FieldTable) -> Result<ConsumerArguments, InvalidArgument> {
    let mut wanted = ConsumerArguments::default();
    if let Some(value) = arguments.get("x-priority") {
        let priority = integer("x-priority", value)?;
        // RabbitMQ takes any integer. Beyond 32 bits they all are the highest, or the lowest.
        wanted.priority = priority.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
    }
    if let Some(value) = arguments.get("x-cancel-on-ha-failover") {
        boolean("x-cancel-on-ha-failover", value)?;
    }
    for name in STREAM_ONLY {
        if arguments.contains(name) {
            return Err(InvalidArgument::other_queue_type(name));
        }
    }
    Ok(wanted)
}

/// Arguments of consumers that only a stream takes.
const STREAM_ONLY: [&str; 3] = [
    "x-stream-offset",
    "x-stream-filter",
    "x-stream-match-unfiltered",
];
