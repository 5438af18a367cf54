//! Topologies of a few exchanges and queues, and what is seen of them.

mod binding;
mod declaring;
mod equivalence;
mod generations;
mod model;
mod removal;
mod routing;
mod scale;

use std::sync::atomic::{AtomicU64, Ordering};

use amqp_codec::{FieldTable, FieldValue, ShortString};

use super::*;
use crate::queue::Command;
use crate::queue::handle::{
    Deletion, Identity, PageFree, PageIn, PageOut, QueueHost, QueueId, Settings,
};
use crate::router::{RouteTargets, Routing};
use crate::time::Timestamp;

/// The surroundings of queues whose deeds nobody looks at.
struct Nobody;

impl QueueHost for Nobody {
    fn arm(&self, _: &Arc<QueueHandle>, _: Timestamp) {}
    fn dead_letters_waiting(&self, _: &Arc<QueueHandle>, _: Timestamp) {}
    fn deleted(&self, _: &Arc<QueueHandle>, _: Deletion, _: Timestamp) {}
    fn failed(&self, _: &Arc<QueueHandle>, _: &str) {}
    fn write_page(&self, _: &Arc<QueueHandle>, _: PageOut) {}
    fn read_page(&self, _: &Arc<QueueHandle>, _: PageIn) {}
    fn free_page(&self, _: PageFree) {}
    fn messages_lost(&self, _: &Arc<QueueHandle>, _: u64) {}
}

fn handle(name: &str) -> Arc<QueueHandle> {
    let identity = Identity {
        id: QueueId(0),
        vhost: "v".into(),
        name: name.into(),
        durable: false,
        auto_delete: false,
        exclusive: None,
    };
    QueueHandle::new(identity, Settings::default(), Arc::new(Nobody))
}

/// Deletes a queue's machine, as a client would; the topology still knows the name.
fn close(handle: &Arc<QueueHandle>) {
    let reason = Deletion::Requested;
    let command = Command::Delete {
        if_unused: false,
        if_empty: false,
        reply: None,
        reason,
    };
    handle.submit(Timestamp::default(), command);
    assert!(handle.is_closed());
}

fn table(entries: &[(&str, FieldValue)]) -> FieldTable {
    entries
        .iter()
        .map(|(name, value)| (ShortString::clipped(name), value.clone()))
        .collect()
}

fn exchange(name: &str, kind: ExchangeKind) -> ExchangeSpec {
    ExchangeSpec {
        name: name.into(),
        kind,
        durable: false,
        auto_delete: false,
        internal: false,
        arguments: FieldTable::new(),
    }
}

fn with_alternate(mut spec: ExchangeSpec, alternate: &str) -> ExchangeSpec {
    spec.arguments = table(&[(ALTERNATE_EXCHANGE, alternate.into())]);
    spec
}

fn auto_delete(mut spec: ExchangeSpec) -> ExchangeSpec {
    spec.auto_delete = true;
    spec
}

fn queue(name: &str) -> QueueSpec {
    QueueSpec {
        name: name.into(),
        durable: false,
        exclusive: None,
        auto_delete: false,
        arguments: FieldTable::new(),
    }
}

fn to_queue(source: &str, queue: &str, key: &str) -> BindingSpec {
    BindingSpec {
        source: source.into(),
        destination: Destination::Queue(queue.into()),
        routing_key: key.into(),
        arguments: FieldTable::new(),
    }
}

fn to_exchange(source: &str, exchange: &str, key: &str) -> BindingSpec {
    let destination = Destination::Exchange(exchange.into());
    BindingSpec {
        destination,
        ..to_queue(source, "", key)
    }
}

/// The predeclared exchanges, these exchanges and these queues.
fn topology(exchanges: &[ExchangeSpec], queues: &[&str]) -> Topology {
    let mut topology = Topology::new("v".into());
    for spec in exchanges {
        assert_eq!(topology.declare_exchange(spec.clone()), Ok(true));
    }
    for name in queues {
        topology.insert_queue(queue(name), handle(name));
    }
    topology
}

#[track_caller]
fn bind(topology: &mut Topology, spec: BindingSpec) {
    assert_eq!(topology.bind(spec), Ok(true));
}

fn found(
    topology: &Topology,
    exchange: &str,
    keys: &[&str],
    headers: Option<&FieldTable>,
) -> RouteTargets {
    let routing = Routing {
        routing_keys: keys.iter().copied().collect(),
        headers,
    };
    let mut targets = RouteTargets::default();
    topology
        .route(exchange, &routing, &mut targets)
        .expect("the exchange exists");
    targets
}

/// The names of the queues that a publish comes to, sorted; a queue that comes twice is there
/// twice.
fn routed(topology: &Topology, exchange: &str, keys: &[&str]) -> Vec<String> {
    let targets = found(topology, exchange, keys, None);
    let mut names: Vec<String> = targets
        .queues
        .iter()
        .map(|queue| queue.identity().name.to_string())
        .collect();
    names.sort();
    names
}

fn text(error: BrokerError) -> String {
    error.to_string()
}
