//! `/nodes`: there is one.

use std::net::SocketAddr;

use broker_core::broker::Alarm;
use rustix::process::{Resource, getrlimit};
use serde_json::{Map, Value, json};

use super::call::Call;
use super::list::{list, one};
use super::overview::{NO_ERLANG, churn_rates, exchange_types};
use super::reply::{Refusal, Reply};
use super::sessions::host;
use super::{Api, Facts};
use crate::alarms::{disk, memory};
use crate::store::Found;
use crate::version::{PRODUCT_VERSION, VERSION};

pub(super) fn all(call: &Call) -> Result<Reply, Refusal> {
    let name = |node: &Value| node["name"].as_str().unwrap_or_default().to_owned();
    list(&call.query, vec![show(call)], name, Clone::clone)
}

pub(super) fn get(call: &Call) -> Result<Reply, Refusal> {
    check_node(call)?;
    Ok(one(&call.query, show(call)))
}

/// 404 unless the path names this node.
pub(super) fn check_node(call: &Call) -> Result<(), Refusal> {
    if call.name("node") == call.api.facts.node_name {
        Ok(())
    } else {
        Err(Refusal::not_found())
    }
}

fn show(call: &Call) -> Value {
    let api = &call.api;
    let facts = &api.facts;
    let mut shown = json!({
        "name": facts.node_name,
        "type": "disc",
        "running": true,
        "being_drained": false,
        "os_pid": std::process::id().to_string(),
        "uptime": api.clock.uptime_ms(),
        "processors": std::thread::available_parallelism().map_or(1, usize::from),
        "run_queue": 0,
        "rates_mode": "basic",
        "partitions": [],
        "cluster_links": [],
        "exchange_types": exchange_types(),
        "auth_mechanisms": auth_mechanisms(),
        "applications": [{ "name": "leveret", "description": "Leveret", "version": VERSION }],
        "contexts": contexts(facts),
        "log_files": ["<stderr>"],
        "db_dir": facts.data_dir.to_string_lossy(),
        "config_files": [],
        "enabled_plugins": [],
        "rabbitmq_version": PRODUCT_VERSION,
        "leveret_version": VERSION,
        "erlang_version": NO_ERLANG,
        "erlang_full_version": NO_ERLANG,
    });
    if let (Value::Object(shown), Value::Object(churn)) =
        (&mut shown, churn_rates(call, &api.rates.latest()))
    {
        shown.extend(churn);
        put_resources(shown, api);
    }
    shown
}

/// What the system says; what it does not say is left out.
fn put_resources(shown: &mut Map<String, Value>, api: &Api) {
    let broker = &api.broker;
    let mut put = |name: &str, value: Option<u64>| {
        if let Some(value) = value {
            shown.insert(name.into(), value.into());
        }
    };
    put("mem_used", memory::resident());
    put("mem_limit", api.facts.memory_limit);
    put("disk_free", disk::free(&api.facts.data_dir));
    put("disk_free_limit", Some(api.facts.disk_limit));
    put("fd_used", open_files());
    let files = getrlimit(Resource::Nofile).current;
    put("fd_total", files);
    let connections = broker.connection_count() as u64;
    put("sockets_used", Some(connections));
    put(
        "sockets_total",
        broker.limits().max_connections.map(u64::from).or(files),
    );
    let tasks = tokio::runtime::Handle::try_current().map(|runtime| runtime.metrics());
    put(
        "proc_used",
        tasks.ok().map(|tasks| tasks.num_alive_tasks() as u64),
    );
    shown.insert("mem_calculation_strategy".into(), "rss".into());
    shown.insert("mem_alarm".into(), broker.has_alarm(Alarm::Memory).into());
    shown.insert(
        "disk_free_alarm".into(),
        broker.has_alarm(Alarm::Disk).into(),
    );
    put_damage(shown, api.facts.damage.found());
}

/// What was found damaged since the process began: all are counted, the first are named.
fn put_damage(shown: &mut Map<String, Value>, found: Found) {
    let places = found.named.into_iter().map(|find| {
        json!({
            "file": find.path.map(|path| path.to_string_lossy().into_owned()),
            "offset": find.offset,
            "what": find.what,
        })
    });
    shown.insert("damage".into(), places.collect());
    shown.insert("damage_count".into(), found.count.into());
    shown.insert("damage_alarm".into(), (found.count > 0).into());
}

fn open_files() -> Option<u64> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count() as u64)
}

fn auth_mechanisms() -> Value {
    json!([
        {
            "name": "PLAIN",
            "description": "SASL PLAIN authentication mechanism",
            "enabled": true,
        },
        {
            "name": "AMQPLAIN",
            "description": "QPid AMQPLAIN mechanism",
            "enabled": true,
        },
    ])
}

/// Where the node listens: protocol and address.
pub(super) fn addresses(facts: &Facts) -> impl Iterator<Item = (&'static str, SocketAddr)> {
    let amqp = facts.amqp.iter().map(|address| ("amqp", *address));
    amqp.chain(facts.http.map(|address| ("http", address)))
}

/// `listeners`.
pub(super) fn listeners(facts: &Facts) -> Value {
    let all = addresses(facts).map(|(protocol, address)| {
        json!({
            "node": facts.node_name,
            "protocol": protocol,
            "ip_address": host(address),
            "port": address.port(),
            "socket_opts": {},
            "tls": false,
        })
    });
    all.collect()
}

/// `contexts`: what HTTP serves. Ports are texts here, as in RabbitMQ.
pub(super) fn contexts(facts: &Facts) -> Value {
    let all = facts.http.map(|address| {
        json!({
            "node": facts.node_name,
            "description": "RabbitMQ Management",
            "path": "/",
            "ip": host(address),
            "port": address.port().to_string(),
            "ssl_opts": [],
            "cowboy_opts": "[]",
        })
    });
    all.into_iter().collect()
}
