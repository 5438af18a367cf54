//! `/exchanges`.

use broker_core::access::{Resource, Right};
use broker_core::exchange::ExchangeKind;
use broker_core::topology::ExchangeSpec;
use serde_json::{Value, json};

use super::body::check_name;
use super::call::Call;
use super::json::object;
use super::reply::{Refusal, Reply};

pub(super) fn get(call: &Call) -> Result<Reply, Refusal> {
    let vhost = call.vhost()?;
    let spec = vhost
        .topology()
        .exchange(call.exchange_name("exchange"))
        .cloned();
    let spec = spec.ok_or_else(Refusal::not_found)?;
    Ok(Reply::json(&show(vhost.name(), &spec)))
}

fn show(vhost: &str, spec: &ExchangeSpec) -> Value {
    json!({
        "name": &*spec.name,
        "vhost": vhost,
        "type": spec.kind.as_str(),
        "durable": spec.durable,
        "auto_delete": spec.auto_delete,
        "internal": spec.internal,
        "arguments": object(&spec.arguments),
        "user_who_performed_action": "rmq-internal",
    })
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
