//! `/bindings`.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::LOCATION;
use broker_core::access::{Resource, Right};
use broker_core::topology::{BindingSpec, Destination};
use broker_core::vhost::Vhost;

use super::call::Call;
use super::reply::{Refusal, Reply};

pub(super) fn post_queue(call: &Call) -> Result<Reply, Refusal> {
    let name: Arc<str> = call.name("queue").into();
    post(call, Destination::Queue(name))
}

fn post(call: &Call, destination: Destination) -> Result<Reply, Refusal> {
    let vhost = call.vhost()?;
    let fields = call.fields()?;
    let spec = BindingSpec {
        source: call.exchange_name("source").into(),
        destination,
        routing_key: fields.text("routing_key")?.unwrap_or_default().into(),
        arguments: fields.arguments()?,
    };
    check(call, &vhost, &spec)?;
    let lsn = vhost.bind(spec)?;
    let mut reply = Reply::put(true).after(lsn).with(LOCATION, "x".into());
    reply.status = StatusCode::CREATED;
    Ok(reply)
}

fn check(call: &Call, vhost: &Vhost, spec: &BindingSpec) -> Result<(), Refusal> {
    let destination = match &spec.destination {
        Destination::Queue(name) => Resource::Queue(name),
        Destination::Exchange(name) => Resource::Exchange(name),
    };
    call.check(vhost, Right::Write, destination)?;
    call.check(vhost, Right::Read, Resource::Exchange(&spec.source))
}
