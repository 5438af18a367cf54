//! The topology of a vhost: exchanges, queues and bindings by name, and what publishes reach.
//!
//! Everything here is a lookup or a change in memory, under the lock of whoever owns the vhost.
//! It knows queues as handles and never talks to them; rights, the journal and the protocol are
//! the callers' business. What a change removes is given back whole, so that it can be journalled.
//!
//! ```text
//!   names ─▶ Exchange { spec, matcher, outgoing, links, generation }      bindings of queues and
//!        └─▶ Queue { entry, links }                                       exchanges point both ways
//! ```
//!
//! No change looks at more than what it touches: bindings are kept with their source and with
//! their destination, exclusive queues by connection, exchanges by the alternate they name.

mod binding;
mod equivalence;
mod generations;
mod link;
mod removal;
mod routing;
mod spec;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use amqp_codec::FieldValue;
use rustc_hash::FxHashMap;

use self::generations::Generation;
use self::link::{Incoming, Outgoing};
pub use self::spec::{BindingSpec, Destination, ExchangeSpec, QueueEntry, QueueSpec, Removed};
use crate::error::BrokerError;
use crate::exchange::{ExchangeKind, Matcher, Slab};
use crate::queue::handle::QueueHandle;

/// The argument that names where an exchange sends what it cannot route.
const ALTERNATE_EXCHANGE: &str = "alternate-exchange";
/// Exchanges whose names begin so belong to the broker.
const RESERVED_PREFIX: &str = "amq.";
/// Knows every queue by its name, and cannot be changed.
const DEFAULT_EXCHANGE: &str = "";

/// What every vhost has: name, type, internal.
const PREDECLARED: [(&str, ExchangeKind, bool); 7] = [
    (DEFAULT_EXCHANGE, ExchangeKind::Direct, false),
    ("amq.direct", ExchangeKind::Direct, false),
    ("amq.fanout", ExchangeKind::Fanout, false),
    ("amq.headers", ExchangeKind::Headers, false),
    ("amq.match", ExchangeKind::Headers, false),
    ("amq.rabbitmq.trace", ExchangeKind::Topic, true),
    ("amq.topic", ExchangeKind::Topic, false),
];

/// The exchanges, queues and bindings of a vhost.
#[derive(Debug)]
pub struct Topology {
    vhost: Arc<str>,
    exchanges: Slab<Exchange>,
    exchange_names: BTreeMap<Arc<str>, u32>,
    queues: Slab<Queue>,
    queue_names: FxHashMap<Arc<str>, u32>,
    exclusive: FxHashMap<u64, BTreeSet<u32>>,
    /// Exchanges by the name of their alternate, whether that exists or not.
    alternates: FxHashMap<Arc<str>, BTreeSet<u32>>,
}

#[derive(Debug)]
struct Exchange {
    spec: ExchangeSpec,
    matcher: Matcher,
    outgoing: Outgoing,
    incoming: Incoming,
    generation: Generation,
}

#[derive(Debug)]
struct Queue {
    entry: QueueEntry,
    incoming: Incoming,
}

impl Topology {
    /// The predeclared exchanges and nothing else.
    pub fn new(vhost: Arc<str>) -> Topology {
        let mut topology = Topology {
            vhost,
            exchanges: Slab::default(),
            exchange_names: BTreeMap::new(),
            queues: Slab::default(),
            queue_names: FxHashMap::default(),
            exclusive: FxHashMap::default(),
            alternates: FxHashMap::default(),
        };
        for (name, kind, internal) in PREDECLARED {
            topology.insert_exchange(ExchangeSpec {
                name: name.into(),
                kind,
                durable: true,
                auto_delete: false,
                internal,
                arguments: Default::default(),
            });
        }
        topology
    }

    /// An exchange by name.
    pub fn exchange(&self, name: &str) -> Option<&ExchangeSpec> {
        self.exchange_named(name).map(|exchange| &exchange.spec)
    }

    /// All exchanges, by name.
    pub fn exchanges(&self) -> impl Iterator<Item = &ExchangeSpec> {
        let in_order = self
            .exchange_names
            .values()
            .filter_map(|&id| self.exchanges.get(id));
        in_order.map(|exchange| &exchange.spec)
    }

    /// A queue by name.
    #[inline]
    pub fn queue(&self, name: &str) -> Option<&QueueEntry> {
        self.queue_named(name).map(|queue| &queue.entry)
    }

    /// All queues, in no order that means anything.
    pub fn queues(&self) -> impl Iterator<Item = &QueueEntry> {
        self.queues.iter().map(|queue| &queue.entry)
    }

    /// How many queues there are.
    pub fn queue_count(&self) -> usize {
        self.queue_names.len()
    }

    /// The queues that only this connection may use.
    pub fn exclusive_queues(&self, connection: u64) -> Vec<Arc<QueueHandle>> {
        let ids = self.exclusive.get(&connection).into_iter().flatten();
        let queues = ids.filter_map(|&id| self.queues.get(id));
        queues
            .map(|queue| Arc::clone(&queue.entry.handle))
            .collect()
    }

    /// 404 unless the exchange exists; 403 for the default exchange, which no method may name.
    pub fn check_exchange(&self, name: &str) -> Result<(), BrokerError> {
        check_not_default(name)?;
        self.exchange_id(name).map(drop)
    }

    /// Creates an exchange; false if an equal one is there already.
    pub fn declare_exchange(&mut self, spec: ExchangeSpec) -> Result<bool, BrokerError> {
        check_not_default(&spec.name)?;
        if let Some(existing) = self.exchange(&spec.name) {
            self.check_equivalent_exchange(existing, &spec)?;
            return Ok(false);
        }
        if spec.name.starts_with(RESERVED_PREFIX) {
            return Err(BrokerError::access_refused(format!(
                "exchange name '{}' contains reserved prefix 'amq.*'",
                spec.name
            )));
        }
        self.check_alternate(&spec)?;
        let name = Arc::clone(&spec.name);
        self.insert_exchange(spec);
        // Others may name it as their alternate.
        self.alternate_changed(&name);
        Ok(true)
    }

    /// Adds a queue that is not there yet; the default exchange knows it from now on.
    pub fn insert_queue(&mut self, spec: QueueSpec, handle: Arc<QueueHandle>) {
        if self.queue_names.contains_key(&spec.name) {
            self.remove_queue(&spec.name);
        }
        let (name, owner) = (Arc::clone(&spec.name), spec.exclusive);
        let entry = QueueEntry { spec, handle };
        let id = self.queues.insert(Queue {
            entry,
            incoming: Incoming::default(),
        });
        self.queue_names.insert(name, id);
        if let Some(connection) = owner {
            self.exclusive.entry(connection).or_default().insert(id);
        }
    }

    fn insert_exchange(&mut self, spec: ExchangeSpec) {
        let name = Arc::clone(&spec.name);
        let alternate = alternate_of(&spec).map(Arc::from);
        let id = self.exchanges.insert(Exchange {
            matcher: Matcher::new(spec.kind),
            spec,
            outgoing: Outgoing::default(),
            incoming: Incoming::default(),
            generation: Generation::default(),
        });
        self.exchange_names.insert(name, id);
        if let Some(alternate) = alternate {
            self.alternates.entry(alternate).or_default().insert(id);
        }
    }

    fn check_alternate(&self, spec: &ExchangeSpec) -> Result<(), BrokerError> {
        match spec.arguments.get(ALTERNATE_EXCHANGE) {
            None | Some(FieldValue::LongString(_)) => Ok(()),
            Some(other) => Err(BrokerError::precondition(format!(
                "invalid type '{}' for arg '{ALTERNATE_EXCHANGE}' in exchange '{}' in vhost '{}'",
                other.type_name(),
                spec.name,
                self.vhost
            ))),
        }
    }

    fn exchange_named(&self, name: &str) -> Option<&Exchange> {
        self.exchanges.get(*self.exchange_names.get(name)?)
    }

    #[inline]
    fn queue_named(&self, name: &str) -> Option<&Queue> {
        self.queues.get(*self.queue_names.get(name)?)
    }

    /// The number of an exchange, or 404.
    fn exchange_id(&self, name: &str) -> Result<u32, BrokerError> {
        let id = self.exchange_names.get(name).copied();
        id.ok_or_else(|| BrokerError::no_exchange(name, &self.vhost))
    }

    /// The number of a queue, or 404.
    fn queue_id(&self, name: &str) -> Result<u32, BrokerError> {
        let id = self.queue_names.get(name).copied();
        id.ok_or_else(|| BrokerError::no_queue(name, &self.vhost))
    }
}

/// 403 for what is never allowed on the default exchange.
fn check_not_default(name: &str) -> Result<(), BrokerError> {
    match name {
        DEFAULT_EXCHANGE => Err(BrokerError::access_refused(
            "operation not permitted on the default exchange",
        )),
        _ => Ok(()),
    }
}

/// The name of the alternate exchange, if there is one that can exist: names are UTF-8.
fn alternate_of(spec: &ExchangeSpec) -> Option<&str> {
    spec.arguments.get(ALTERNATE_EXCHANGE)?.as_str()
}
