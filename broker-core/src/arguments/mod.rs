//! The x-arguments of queues and consumers, read once into what they mean.
//!
//! Every argument that RabbitMQ knows is either carried out, known to have no effect there, or
//! refused with 406; one that RabbitMQ does not know has no effect here either. Nothing outside
//! this folder compares argument names, but for `x-match`, which belongs to the headers exchange.

mod consumer;
mod queue;
pub(crate) mod terms;
#[cfg(test)]
mod tests;

use std::fmt;

use amqp_codec::FieldValue;

pub use self::consumer::{ConsumerArguments, consumer};
pub use self::queue::queue_settings;
pub(crate) use self::queue::{CLASSIC, is_default_queue_type};
use crate::error::BrokerError;

/// An argument that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidArgument {
    name: &'static str,
    fault: Fault,
}

/// What is wrong with an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    /// RabbitMQ's words for a bad type or value.
    Value(String),
    /// It belongs to queues of other types.
    OtherQueueType,
}

impl InvalidArgument {
    fn value(name: &'static str, fault: impl Into<String>) -> InvalidArgument {
        InvalidArgument {
            name,
            fault: Fault::Value(fault.into()),
        }
    }

    fn unacceptable_type(name: &'static str, value: &FieldValue) -> InvalidArgument {
        Self::value(name, format!("{{unacceptable_type,{}}}", value.type_name()))
    }

    fn not_implemented(name: &'static str, what: impl fmt::Display) -> InvalidArgument {
        Self::value(
            name,
            format!("{what} is not implemented yet by this broker"),
        )
    }

    fn other_queue_type(name: &'static str) -> InvalidArgument {
        InvalidArgument {
            name,
            fault: Fault::OtherQueueType,
        }
    }

    /// The 406 that the client reads.
    pub fn for_queue(&self, queue: &str, vhost: &str) -> BrokerError {
        let start = format!(
            "invalid arg '{}' for queue '{queue}' in vhost '{vhost}'",
            self.name
        );
        BrokerError::precondition(match &self.fault {
            Fault::Value(fault) => format!("{start}: {fault}"),
            Fault::OtherQueueType => format!("{start} of queue type rabbit_classic_queue"),
        })
    }
}

/// An integer of any width.
fn integer(name: &'static str, value: &FieldValue) -> Result<i64, InvalidArgument> {
    value.as_i64().ok_or_else(|| {
        let got = value.type_name();
        InvalidArgument::value(name, format!("\"expected integer, got {got}\""))
    })
}

fn boolean(name: &'static str, value: &FieldValue) -> Result<bool, InvalidArgument> {
    value
        .as_bool()
        .ok_or_else(|| InvalidArgument::unacceptable_type(name, value))
}
