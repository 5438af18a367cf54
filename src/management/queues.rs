//! `/queues`.

use std::sync::Arc;

use broker_core::access::{Resource, Right};
use broker_core::inbox::Answer;
use broker_core::queue::handle::{Command, Deletion, QueueHandle};
use broker_core::topology::{QueueEntry, QueueSpec};
use broker_core::vhost::Vhost;
use serde_json::{Value, json};

use super::body::check_name;
use super::call::Call;
use super::json::object;
use super::reply::{Refusal, Reply};
use super::routes::Answering;
use super::waiting;

/// No connection has this number, so what is exclusive is not the API's.
const NO_CONNECTION: u64 = 0;

pub(super) fn get(call: &Call) -> Result<Reply, Refusal> {
    let vhost = call.vhost()?;
    let entry = entry(&vhost, call.name("queue")).ok_or_else(Refusal::not_found)?;
    Ok(Reply::json(&show(call, &vhost, &entry)))
}

fn entry(vhost: &Vhost, name: &str) -> Option<QueueEntry> {
    let entry = vhost.topology().queue(name).cloned()?;
    (!entry.handle.is_closed()).then_some(entry)
}

fn show(call: &Call, vhost: &Vhost, entry: &QueueEntry) -> Value {
    let QueueEntry { spec, handle } = entry;
    let snapshot = handle.snapshot();
    let counts = snapshot.counts;
    json!({
        "name": &*spec.name,
        "vhost": &**vhost.name(),
        "type": "classic",
        "durable": spec.durable,
        "auto_delete": spec.auto_delete,
        "exclusive": spec.exclusive.is_some(),
        "arguments": object(&spec.arguments),
        "node": call.api.facts.node_name,
        "state": if snapshot.failed { "crashed" } else { "running" },
        "policy": null,
        "operator_policy": null,
        "effective_policy_definition": {},
        "messages": counts.ready + counts.unacked,
        "messages_ready": counts.ready,
        "messages_unacknowledged": counts.unacked,
        "consumers": counts.consumers,
        "memory": snapshot.memory_bytes,
    })
}

pub(super) fn put(call: &Call) -> Result<Reply, Refusal> {
    let vhost = call.vhost()?;
    let name = call.name("queue");
    check_name("queue", name)?;
    let fields = call.fields()?;
    if let Some(node) = fields.text("node")?
        && node != call.api.facts.node_name
    {
        let reason = format!("Node {node} could not be contacted");
        return Err(Refusal::bad_request(reason));
    }
    let spec = QueueSpec {
        name: name.into(),
        durable: fields.flag("durable")?,
        exclusive: None,
        auto_delete: fields.flag("auto_delete")?,
        arguments: fields.arguments()?,
    };
    call.check(&vhost, Right::Configure, Resource::Queue(name))?;
    let existed = vhost.queue(name).is_some();
    let (_, lsn) = vhost.declare_queue_as(spec, Some(&call.user), false, call.api.now())?;
    Ok(Reply::put(!existed).after(lsn))
}

pub(super) fn delete(call: Arc<Call>) -> Answering {
    Box::pin(async move {
        let (vhost, queue) = own_queue(&call, Right::Configure)?;
        let question = |reply| Command::Delete {
            if_unused: call.query.flag("if-unused"),
            if_empty: call.query.flag("if-empty"),
            reply: Some(reply),
            reason: Deletion::Requested,
        };
        match waiting::ask(&queue, call.api.now(), question).await? {
            Answer::Refused(error) => Err(error.into()),
            _ => Ok(Reply::done().after(vhost.forget_queue(&queue))),
        }
    })
}

/// The queue of the path, if the user has this right on it and it is nobody's own.
fn own_queue(call: &Call, right: Right) -> Result<(Arc<Vhost>, Arc<QueueHandle>), Refusal> {
    let vhost = call.vhost()?;
    let name = call.name("queue");
    if vhost.queue(name).is_none() {
        return Err(Refusal::not_found());
    }
    call.check(&vhost, right, Resource::Queue(name))?;
    let queue = vhost.queue_for(name, NO_CONNECTION)?;
    Ok((vhost, queue))
}
