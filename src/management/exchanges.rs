//! `/exchanges`.

use std::sync::Arc;

use broker_core::access::{Resource, Right};
use broker_core::exchange::ExchangeKind;
use broker_core::topology::ExchangeSpec;
use broker_core::vhost::Vhost;
use serde_json::{Value, json};

use super::body::check_name;
use super::call::Call;
use super::json::object;
use super::list::{list, one};
use super::reply::{Refusal, Reply};

/// Who made what every vhost has.
const BROKER: &str = "rmq-internal";

pub(super) fn all(call: &Call) -> Result<Reply, Refusal> {
    of(call, call.vhosts()?)
}

pub(super) fn of_vhost(call: &Call) -> Result<Reply, Refusal> {
    of(call, vec![call.vhost()?])
}

fn of(call: &Call, vhosts: Vec<Arc<Vhost>>) -> Result<Reply, Refusal> {
    let mut exchanges = Vec::new();
    for vhost in vhosts {
        let topology = vhost.topology();
        exchanges.extend(
            topology
                .exchanges()
                .cloned()
                .map(|spec| (Arc::clone(&vhost), spec)),
        );
    }
    let name = |(_, spec): &(Arc<Vhost>, ExchangeSpec)| spec.name.to_string();
    list(&call.query, exchanges, name, |(vhost, spec)| {
        show(vhost.name(), spec)
    })
}

pub(super) fn get(call: &Call) -> Result<Reply, Refusal> {
    let vhost = call.vhost()?;
    let spec = vhost
        .topology()
        .exchange(call.exchange_name("exchange"))
        .cloned();
    let spec = spec.ok_or_else(Refusal::not_found)?;
    Ok(one(&call.query, show(vhost.name(), &spec)))
}

fn show(vhost: &str, spec: &ExchangeSpec) -> Value {
    let mut shown = json!({
        "name": &*spec.name,
        "vhost": vhost,
        "type": spec.kind.as_str(),
        "durable": spec.durable,
        "auto_delete": spec.auto_delete,
        "internal": spec.internal,
        "arguments": object(&spec.arguments),
    });
    if is_predeclared(&spec.name) {
        shown["user_who_performed_action"] = BROKER.into();
    }
    shown
}

/// Whether every vhost has an exchange of this name.
pub(super) fn is_predeclared(name: &str) -> bool {
    name.is_empty() || name.starts_with("amq.")
}

pub(super) fn put(call: &Call) -> Result<Reply, Refusal> {
    let vhost = call.vhost()?;
    let name = call.exchange_name("exchange");
    check_name("exchange", name)?;
    let fields = call.fields()?;
    let kind = fields.text("type")?.unwrap_or("direct");
    let spec = ExchangeSpec {
        name: name.into(),
        kind: ExchangeKind::parse(kind)
            .ok_or_else(|| Refusal::bad_request(format!("unknown exchange type '{kind}'")))?,
        durable: fields.flag("durable")?,
        auto_delete: fields.flag("auto_delete")?,
        internal: fields.flag("internal")?,
        arguments: fields.arguments()?,
    };
    call.check(&vhost, Right::Configure, Resource::Exchange(name))?;
    let alternate = spec.arguments.get("alternate-exchange");
    if let Some(alternate) = alternate.and_then(|value| value.as_str()) {
        call.check(&vhost, Right::Read, Resource::Exchange(name))?;
        call.check(&vhost, Right::Write, Resource::Exchange(alternate))?;
    }
    let existed = vhost.topology().exchange(name).is_some();
    let lsn = vhost.declare_exchange(spec)?;
    Ok(Reply::put(!existed).after(lsn))
}

pub(super) fn delete(call: &Call) -> Result<Reply, Refusal> {
    let vhost = call.vhost()?;
    let name = call.exchange_name("exchange");
    if vhost.topology().exchange(name).is_none() {
        return Err(Refusal::not_found());
    }
    call.check(&vhost, Right::Configure, Resource::Exchange(name))?;
    let lsn = vhost.delete_exchange(name, call.query.flag("if-unused"))?;
    Ok(Reply::done().after(lsn))
}
