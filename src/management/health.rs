//! `/health/checks`, `/aliveness-test` and `/healthchecks/node`: 503 when something is wrong.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use broker_core::broker::Alarm;
use broker_core::vhost::Vhost;
use serde_json::{Map, Value, json};

use super::call::Call;
use super::nodes::{addresses, check_node};
use super::reply::{Refusal, Reply};
use super::routes::Answering;
use super::waiting::durable_within;

/// A log that does not become durable in this time does not work.
const LOG_PATIENCE: Duration = Duration::from_secs(5);
const UNITS: [&str; 4] = ["days", "weeks", "months", "years"];

fn healthy() -> Reply {
    Reply::json(&json!({ "status": "ok" }))
}

fn unhealthy(reason: &str, details: Value) -> Reply {
    let mut shown = Map::from_iter([
        ("status".into(), "failed".into()),
        ("reason".into(), reason.into()),
    ]);
    if let Value::Object(details) = details {
        shown.extend(details);
    }
    Reply::status(StatusCode::SERVICE_UNAVAILABLE, &Value::Object(shown))
}

pub(super) fn alarms(call: &Call) -> Result<Reply, Refusal> {
    Ok(without_alarms(
        call,
        "There are alarms in effect in the cluster",
    ))
}

pub(super) fn local_alarms(call: &Call) -> Result<Reply, Refusal> {
    Ok(without_alarms(
        call,
        "There are alarms in effect on the node",
    ))
}

fn without_alarms(call: &Call, reason: &str) -> Reply {
    let has = |alarm| call.broker().has_alarm(alarm);
    let named = [
        (has(Alarm::Memory), "memory"),
        (has(Alarm::Disk), "disk space"),
        (call.api.facts.damage.is_raised(), "damage"),
    ];
    let raised = named.into_iter().filter(|(is_raised, _)| *is_raised);
    let node = &call.api.facts.node_name;
    let raised: Vec<Value> = raised
        .map(|(_, resource)| json!({ "node": node, "resource": resource }))
        .collect();
    if raised.is_empty() {
        healthy()
    } else {
        unhealthy(reason, json!({ "alarms": raised }))
    }
}

pub(super) fn port_listener(call: &Call) -> Result<Reply, Refusal> {
    let port: u16 = call
        .name("port")
        .parse()
        .map_err(|_| Refusal::bad_request("Invalid port"))?;
    let ports: Vec<u16> = addresses(&call.api.facts)
        .map(|(_, address)| address.port())
        .collect();
    if ports.contains(&port) {
        return Ok(Reply::json(&json!({ "status": "ok", "port": port })));
    }
    let details = json!({ "missing": port, "ports": ports });
    Ok(unhealthy("No active listener", details))
}

pub(super) fn protocol_listener(call: &Call) -> Result<Reply, Refusal> {
    let wanted = call.name("protocol");
    let protocol = match wanted {
        "amqp091" | "amqp0.9.1" | "amqp0-9-1" => "amqp",
        "http1.1" | "management" | "ui" => "http",
        other => other,
    };
    let mut protocols: Vec<&str> = addresses(&call.api.facts)
        .map(|(protocol, _)| protocol)
        .collect();
    protocols.dedup();
    if protocols.contains(&protocol) {
        return Ok(Reply::json(
            &json!({ "status": "ok", "protocol": protocol }),
        ));
    }
    let details = json!({ "missing": wanted, "protocols": protocols });
    Ok(unhealthy("No active listener", details))
}

/// A vhost is up when the log takes what is done to it.
pub(super) fn virtual_hosts(call: Arc<Call>) -> Answering {
    Box::pin(async move { Ok(check_vhosts(&call, call.broker().vhosts()).await) })
}

pub(super) fn aliveness_test(call: Arc<Call>) -> Answering {
    Box::pin(async move {
        let vhost = call.vhost()?;
        Ok(check_vhosts(&call, vec![vhost]).await)
    })
}

async fn check_vhosts(call: &Call, vhosts: Vec<Arc<Vhost>>) -> Reply {
    let mut down: Vec<Value> = Vec::new();
    for vhost in vhosts {
        let change = vhost.last_change();
        // The first one that is down has waited for all.
        let patience = if down.is_empty() {
            LOG_PATIENCE
        } else {
            Duration::ZERO
        };
        if !durable_within(call.broker(), change, patience).await {
            down.push((**vhost.name()).into());
        }
    }
    if down.is_empty() {
        healthy()
    } else {
        unhealthy(
            "Some virtual hosts are down",
            json!({ "virtual-hosts": down }),
        )
    }
}

/// Nothing depends on a quorum: there are no replicated queues, and no other nodes.
pub(super) fn single_node(_call: &Call) -> Result<Reply, Refusal> {
    Ok(Reply::json(
        &json!({ "status": "ok", "reason": "single node cluster" }),
    ))
}

/// No listener has a certificate, so none expires.
pub(super) fn certificate_expiration(call: &Call) -> Result<Reply, Refusal> {
    let within = call.name("within").parse::<u32>();
    if !UNITS.contains(&call.name("unit")) {
        return Err(Refusal::bad_request(
            "Time unit not recognised. Supported units: days, weeks, months, years.",
        ));
    }
    match within {
        Ok(_) => Ok(healthy()),
        Err(_) => Err(Refusal::bad_request("Invalid expiration")),
    }
}

pub(super) fn node(call: &Call) -> Result<Reply, Refusal> {
    local_alarms(call)
}

pub(super) fn named_node(call: &Call) -> Result<Reply, Refusal> {
    check_node(call)?;
    local_alarms(call)
}
