//! `/bindings`, and the bindings of queues and exchanges.

mod key;

use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::LOCATION;
use broker_core::access::{Resource, Right};
use broker_core::topology::{BindingSpec, Destination};
use broker_core::vhost::Vhost;
use serde_json::{Value, json};

use self::key::{encode, loose, properties_key};
use super::body::check_length;
use super::call::Call;
use super::json::object;
use super::list::{list, one};
use super::queues::handles;
use super::reply::{Refusal, Reply};

pub(super) fn all(call: &Call) -> Result<Reply, Refusal> {
    of(call, call.vhosts()?)
}

pub(super) fn of_vhost(call: &Call) -> Result<Reply, Refusal> {
    of(call, vec![call.vhost()?])
}

fn of(call: &Call, vhosts: Vec<Arc<Vhost>>) -> Result<Reply, Refusal> {
    let mut bindings = Vec::new();
    for vhost in vhosts {
        let mut of_vhost = implicit(&vhost);
        of_vhost.extend(vhost.topology().bindings().cloned());
        bindings.extend(in_vhost(&vhost, of_vhost));
    }
    show_list(call, bindings)
}

pub(super) fn of_queue(call: &Call) -> Result<Reply, Refusal> {
    let vhost = call.vhost()?;
    let name = call.name("queue");
    if vhost.queue(name).is_none() {
        return Err(Refusal::not_found());
    }
    let mut bindings = vec![implicit_binding(name)];
    bindings.extend(to(&vhost, &Destination::Queue(name.into())));
    show_list(call, in_vhost(&vhost, bindings))
}

/// Bindings that lead on from an exchange.
pub(super) fn from_exchange(call: &Call) -> Result<Reply, Refusal> {
    let vhost = call.vhost()?;
    let bindings = match call.exchange_name("exchange") {
        "" => implicit(&vhost),
        name => vhost.topology().bindings_from(name).cloned().collect(),
    };
    show_list(call, in_vhost(&vhost, bindings))
}

/// Bindings that lead to an exchange.
pub(super) fn to_exchange(call: &Call) -> Result<Reply, Refusal> {
    let vhost = call.vhost()?;
    let exchange = Destination::Exchange(call.exchange_name("exchange").into());
    show_list(call, in_vhost(&vhost, to(&vhost, &exchange)))
}

fn to(vhost: &Vhost, destination: &Destination) -> Vec<BindingSpec> {
    vhost.topology().bindings_to(destination).cloned().collect()
}

/// Bindings between the two ends of the path.
pub(super) fn between(call: &Call) -> Result<Reply, Refusal> {
    let vhost = call.vhost()?;
    show_list(call, in_vhost(&vhost, between_ends(call, &vhost)))
}

pub(super) fn get(call: &Call) -> Result<Reply, Refusal> {
    let vhost = call.vhost()?;
    let spec = find(call, &vhost)?;
    Ok(one(&call.query, show(vhost.name(), &spec)))
}

pub(super) fn post(call: &Call) -> Result<Reply, Refusal> {
    let vhost = call.vhost()?;
    let fields = call.fields()?;
    let spec = BindingSpec {
        source: call.exchange_name("source").into(),
        destination: destination(call),
        routing_key: fields.text("routing_key")?.unwrap_or_default().into(),
        arguments: fields.arguments()?,
    };
    check_length("routing key", &spec.routing_key)?;
    check_rights(call, &vhost, &spec)?;
    let properties = encode(&properties_key(&spec));
    let location = match &spec.destination {
        Destination::Queue(name) | Destination::Exchange(name) => {
            format!("{}/{properties}", encode(name))
        }
    };
    let lsn = vhost.bind(spec)?;
    let mut reply = Reply::put(true).after(lsn).with(LOCATION, location);
    reply.status = StatusCode::CREATED;
    Ok(reply)
}

pub(super) fn delete(call: &Call) -> Result<Reply, Refusal> {
    let vhost = call.vhost()?;
    let spec = find(call, &vhost)?;
    check_rights(call, &vhost, &spec)?;
    let lsn = vhost.unbind(&spec)?;
    Ok(Reply::done().after(lsn))
}

/// The destination of the path: a queue or an exchange, as the route has it.
fn destination(call: &Call) -> Destination {
    match call.names.get("queue") {
        Some(queue) => Destination::Queue(queue.into()),
        None => Destination::Exchange(call.exchange_name("destination").into()),
    }
}

fn between_ends(call: &Call, vhost: &Vhost) -> Vec<BindingSpec> {
    let destination = destination(call);
    let source = call.exchange_name("source");
    match &destination {
        Destination::Queue(name) if source.is_empty() => {
            let exists = vhost.queue(name).is_some();
            exists.then(|| implicit_binding(name)).into_iter().collect()
        }
        _ => {
            let mut bindings = to(vhost, &destination);
            bindings.retain(|spec| *spec.source == *source);
            bindings
        }
    }
}

/// The binding that the last segment names. Clients encode it once, twice or not at all: what
/// fits exactly counts before what fits when decoded.
fn find(call: &Call, vhost: &Vhost) -> Result<BindingSpec, Refusal> {
    let wanted = call.name("properties");
    let mut bindings = between_ends(call, vhost);
    let exact = bindings
        .iter()
        .position(|spec| properties_key(spec) == wanted);
    let place = exact.or_else(|| {
        let wanted = loose(wanted);
        bindings
            .iter()
            .position(|spec| loose(&properties_key(spec)) == wanted)
    });
    Ok(bindings.swap_remove(place.ok_or_else(Refusal::not_found)?))
}

fn check_rights(call: &Call, vhost: &Vhost, spec: &BindingSpec) -> Result<(), Refusal> {
    let destination = match &spec.destination {
        Destination::Queue(name) => Resource::Queue(name),
        Destination::Exchange(name) => Resource::Exchange(name),
    };
    call.check(vhost, Right::Write, destination)?;
    call.check(vhost, Right::Read, Resource::Exchange(&spec.source))
}

/// The bindings of the default exchange: every queue, by its name.
fn implicit(vhost: &Vhost) -> Vec<BindingSpec> {
    let queues = handles(vhost);
    queues
        .iter()
        .map(|queue| implicit_binding(&queue.identity().name))
        .collect()
}

fn implicit_binding(queue: &str) -> BindingSpec {
    BindingSpec {
        source: "".into(),
        destination: Destination::Queue(queue.into()),
        routing_key: queue.into(),
        arguments: Default::default(),
    }
}

type Bound = (Arc<str>, BindingSpec);

fn in_vhost(vhost: &Vhost, bindings: Vec<BindingSpec>) -> Vec<Bound> {
    let bindings = bindings.into_iter();
    bindings
        .map(|spec| (Arc::clone(vhost.name()), spec))
        .collect()
}

fn show_list(call: &Call, bindings: Vec<Bound>) -> Result<Reply, Refusal> {
    let name = |(_, spec): &Bound| ends(spec).1.to_owned();
    list(&call.query, bindings, name, |(vhost, spec)| {
        show(vhost, spec)
    })
}

fn ends(spec: &BindingSpec) -> (&'static str, &str) {
    match &spec.destination {
        Destination::Queue(name) => ("queue", name),
        Destination::Exchange(name) => ("exchange", name),
    }
}

fn show(vhost: &str, spec: &BindingSpec) -> Value {
    let (destination_type, destination) = ends(spec);
    json!({
        "source": &*spec.source,
        "vhost": vhost,
        "destination": destination,
        "destination_type": destination_type,
        "routing_key": &*spec.routing_key,
        "arguments": object(&spec.arguments),
        "properties_key": properties_key(spec),
    })
}
