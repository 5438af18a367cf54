//! What the broker holds, as a definitions file.

use broker_core::topology::{BindingSpec, Destination, ExchangeSpec, QueueSpec, Topology};
use broker_core::vhost::Vhost;
use serde_json::{Value, json};

use crate::management::call::Call;
use crate::management::exchanges::is_predeclared;
use crate::management::json::object;
use crate::management::permissions;
use crate::management::users;
use crate::version::{PRODUCT_VERSION, VERSION};

/// Lists that nothing here can be in, and that readers expect.
const CLUSTER_EMPTY: [&str; 4] = [
    "topic_permissions",
    "parameters",
    "global_parameters",
    "policies",
];
const VHOST_EMPTY: [&str; 2] = ["parameters", "policies"];

/// Everything.
pub(super) fn cluster(call: &Call) -> Vec<u8> {
    let access = call.broker().access();
    let vhosts = call.broker().vhosts();
    let mut file = File::begin(&[
        ("rabbitmq_definition_format", "cluster"),
        ("original_cluster_name", &call.api.facts.cluster_name),
    ]);
    file.list("users", access.users().iter().map(|user| users::show(user)));
    file.list("vhosts", vhosts.iter().map(|vhost| show_vhost(vhost)));
    let permissions = access.permissions();
    let permissions = permissions
        .iter()
        .map(|(vhost, user, permission)| permissions::show(vhost, user, permission));
    file.list("permissions", permissions);
    for empty in CLUSTER_EMPTY {
        file.list(empty, std::iter::empty());
    }
    let parts: Vec<Parts> = vhosts.iter().map(|vhost| Parts::of(vhost, true)).collect();
    file.topology(&parts);
    file.end()
}

/// What is in a vhost; nothing in it names the vhost.
pub(super) fn one_vhost(vhost: &Vhost) -> Vec<u8> {
    let spec = vhost.spec();
    let mut file = File::begin(&[
        ("rabbitmq_definition_format", "single_virtual_host"),
        ("original_vhost_name", &spec.name),
    ]);
    file.put(
        "metadata",
        &json!({ "description": spec.description, "tags": spec.tags }),
    );
    for empty in VHOST_EMPTY {
        file.list(empty, std::iter::empty());
    }
    file.topology(&[Parts::of(vhost, false)]);
    file.end()
}

fn show_vhost(vhost: &Vhost) -> Value {
    let spec = vhost.spec();
    json!({
        "name": &*spec.name,
        "description": spec.description,
        "tags": spec.tags,
        "limits": [],
        "metadata": { "description": spec.description, "tags": spec.tags },
    })
}

/// JSON text that grows list by list.
struct File(Vec<u8>);

impl File {
    fn begin(more: &[(&str, &str)]) -> File {
        let mut file = File(Vec::new());
        for (name, value) in [
            ("rabbit_version", PRODUCT_VERSION),
            ("rabbitmq_version", PRODUCT_VERSION),
            ("product_name", "Leveret"),
            ("product_version", VERSION),
        ] {
            file.put(name, &value.into());
        }
        for (name, value) in more {
            file.put(name, &(*value).into());
        }
        file
    }

    fn put(&mut self, name: &str, value: &Value) {
        self.name(name);
        self.0.extend_from_slice(value.to_string().as_bytes());
    }

    fn name(&mut self, name: &str) {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        self.0
            .extend_from_slice(Value::from(name).to_string().as_bytes());
        self.0.push(b':');
    }

    fn list(&mut self, name: &str, items: impl Iterator<Item = Value>) {
        self.name(name);
        self.0.push(b'[');
        for (place, item) in items.enumerate() {
            if place > 0 {
                self.0.push(b',');
            }
            self.0.extend_from_slice(item.to_string().as_bytes());
        }
        self.0.push(b']');
    }

    fn topology(&mut self, parts: &[Parts]) {
        let queues = parts.iter().flat_map(Parts::show_queues);
        self.list("queues", queues);
        let exchanges = parts.iter().flat_map(Parts::show_exchanges);
        self.list("exchanges", exchanges);
        let bindings = parts.iter().flat_map(Parts::show_bindings);
        self.list("bindings", bindings);
    }

    fn end(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }
}

/// What of a vhost's topology is worth keeping: what does not end with a connection or restart.
struct Parts {
    vhost: Option<String>,
    exchanges: Vec<ExchangeSpec>,
    queues: Vec<QueueSpec>,
    bindings: Vec<BindingSpec>,
}

impl Parts {
    fn of(vhost: &Vhost, named: bool) -> Parts {
        let topology = vhost.topology();
        let exchanges = topology.exchanges();
        let exchanges = exchanges
            .filter(|spec| !is_predeclared(&spec.name))
            .cloned()
            .collect();
        let queues = topology.queues().map(|entry| &entry.spec);
        let mut queues: Vec<_> = queues
            .filter(|spec| spec.outlives_restart())
            .cloned()
            .collect();
        let bindings = topology
            .bindings()
            .filter(|spec| has_kept_end(&topology, spec));
        let bindings = bindings.cloned().collect();
        queues.sort_by(|a, b| a.name.cmp(&b.name));
        Parts {
            vhost: named.then(|| vhost.name().to_string()),
            exchanges,
            queues,
            bindings,
        }
    }

    fn show_exchanges(&self) -> impl Iterator<Item = Value> {
        self.exchanges.iter().map(|spec| {
            self.in_vhost(json!({
                "name": &*spec.name,
                "type": spec.kind.as_str(),
                "durable": spec.durable,
                "auto_delete": spec.auto_delete,
                "internal": spec.internal,
                "arguments": object(&spec.arguments),
            }))
        })
    }

    fn show_queues(&self) -> impl Iterator<Item = Value> {
        self.queues.iter().map(|spec| {
            self.in_vhost(json!({
                "name": &*spec.name,
                "type": "classic",
                "durable": true,
                "auto_delete": spec.auto_delete,
                "arguments": object(&spec.arguments),
            }))
        })
    }

    fn show_bindings(&self) -> impl Iterator<Item = Value> {
        self.bindings.iter().map(|spec| {
            let (kind, name) = match &spec.destination {
                Destination::Queue(name) => ("queue", name),
                Destination::Exchange(name) => ("exchange", name),
            };
            self.in_vhost(json!({
                "source": &*spec.source,
                "destination": &**name,
                "destination_type": kind,
                "routing_key": &*spec.routing_key,
                "arguments": object(&spec.arguments),
            }))
        })
    }

    fn in_vhost(&self, mut item: Value) -> Value {
        if let Some(vhost) = &self.vhost {
            item["vhost"] = vhost.as_str().into();
        }
        item
    }
}

fn has_kept_end(topology: &Topology, spec: &BindingSpec) -> bool {
    match &spec.destination {
        Destination::Exchange(_) => true,
        Destination::Queue(name) => topology
            .queue(name)
            .is_some_and(|entry| entry.spec.outlives_restart()),
    }
}
