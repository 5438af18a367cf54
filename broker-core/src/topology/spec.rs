//! Exchanges, queues and bindings as they were declared.

use std::sync::Arc;

use amqp_codec::FieldTable;

use crate::exchange::ExchangeKind;
use crate::queue::handle::QueueHandle;

/// An exchange as it was declared.
#[derive(Clone, Debug, PartialEq)]
pub struct ExchangeSpec {
    /// Its name.
    pub name: Arc<str>,
    /// Its type.
    pub kind: ExchangeKind,
    /// Whether it outlives a restart.
    pub durable: bool,
    /// Whether it goes with the last binding that leads on from it.
    pub auto_delete: bool,
    /// Whether only other exchanges may publish to it.
    pub internal: bool,
    /// Its arguments, also those that mean nothing here.
    pub arguments: FieldTable,
}

/// A queue as it was declared.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueSpec {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it was declared durable; an exclusive queue is not, whatever this says.
    pub durable: bool,
    /// The connection that owns it, if nobody else may use it.
    pub exclusive: Option<u64>,
    /// Whether it goes with its last consumer.
    pub auto_delete: bool,
    /// Its arguments, also those that mean nothing here.
    pub arguments: FieldTable,
}

impl QueueSpec {
    /// Whether it outlives a restart. An exclusive queue cannot: its owner does not.
    pub fn outlives_restart(&self) -> bool {
        self.durable && self.exclusive.is_none()
    }
}

/// Where a binding leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Destination {
    /// To the queue of this name.
    Queue(Arc<str>),
    /// To the exchange of this name.
    Exchange(Arc<str>),
}

/// A binding as it was declared. All four parts together say which binding it is.
#[derive(Clone, Debug, PartialEq)]
pub struct BindingSpec {
    /// The exchange that messages come from.
    pub source: Arc<str>,
    /// Where they go.
    pub destination: Destination,
    /// The binding key.
    pub routing_key: Arc<str>,
    /// Its arguments; a headers exchange compares them with headers.
    pub arguments: FieldTable,
}

/// A queue of the topology.
#[derive(Clone, Debug)]
pub struct QueueEntry {
    /// How it was declared.
    pub spec: QueueSpec,
    /// The queue.
    pub handle: Arc<QueueHandle>,
}

/// Everything that a change removed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Removed {
    /// The exchanges, in the order in which they went.
    pub exchanges: Vec<ExchangeSpec>,
    /// The bindings from and to what went, and those asked for.
    pub bindings: Vec<BindingSpec>,
    /// The queue.
    pub queue: Option<QueueSpec>,
}
