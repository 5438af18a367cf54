//! `/queues`.

mod show;

use std::sync::Arc;

use broker_core::access::{Resource, Right};
use broker_core::inbox::Answer;
use broker_core::queue::handle::{Command, Deletion, QueueHandle};
use broker_core::topology::QueueSpec;
use broker_core::vhost::Vhost;

use self::show::Showing;
use super::body::check_name;
use super::call::Call;
use super::list::{list, one};
use super::reply::{Refusal, Reply};
use super::routes::Answering;
use super::waiting;

/// No connection has this number, so what is exclusive is not the API's.
const NO_CONNECTION: u64 = 0;

pub(super) fn all(call: &Call) -> Result<Reply, Refusal> {
    of(call, call.vhosts()?)
}

pub(super) fn of_vhost(call: &Call) -> Result<Reply, Refusal> {
    of(call, vec![call.vhost()?])
}

fn of(call: &Call, vhosts: Vec<Arc<Vhost>>) -> Result<Reply, Refusal> {
    let showing = Showing::new(call);
    let mut queues = Vec::new();
    for vhost in vhosts {
        queues.extend(
            handles(&vhost)
                .into_iter()
                .map(|queue| (Arc::clone(&vhost), queue)),
        );
    }
    let name = |(_, queue): &(_, Arc<QueueHandle>)| queue.identity().name.to_string();
    list(&call.query, queues, name, |(vhost, queue)| {
        showing.queue(vhost, queue)
    })
}

/// The queues of a vhost, by name.
pub(super) fn handles(vhost: &Vhost) -> Vec<Arc<QueueHandle>> {
    let mut handles: Vec<_> = {
        let topology = vhost.topology();
        topology
            .queues()
            .map(|queue| Arc::clone(&queue.handle))
            .collect()
    };
    handles.retain(|queue| !queue.is_closed());
    handles.sort_by(|a, b| a.identity().name.cmp(&b.identity().name));
    handles
}

pub(super) fn get(call: &Call) -> Result<Reply, Refusal> {
    let vhost = call.vhost()?;
    let queue = vhost
        .queue(call.name("queue"))
        .ok_or_else(Refusal::not_found)?;
    let shown = Showing::new(call).queue_with_consumers(&vhost, &queue);
    Ok(one(&call.query, shown))
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

pub(super) fn purge(call: Arc<Call>) -> Answering {
    Box::pin(async move {
        let (_, queue) = own_queue(&call, Right::Read)?;
        let question = |reply| Command::Purge { reply: Some(reply) };
        match waiting::ask(&queue, call.api.now(), question).await? {
            Answer::Refused(error) => Err(error.into()),
            _ => Ok(Reply::done()),
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
