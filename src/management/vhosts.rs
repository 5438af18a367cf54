//! `/vhosts`.

use std::sync::Arc;

use broker_core::definition::VhostSpec;
use broker_core::vhost::Vhost;
use serde_json::{Map, Value, json};

use super::body::{Fields, check_name};
use super::call::Call;
use super::list::{list, one};
use super::permissions;
use super::queues::handles;
use super::rates::Look;
use super::reply::{Refusal, Reply};
use super::stats::{Shown, message_stats, put_lengths, put_octets};

pub(super) fn all(call: &Call) -> Result<Reply, Refusal> {
    let look = call.api.rates.latest();
    let name = |vhost: &Arc<Vhost>| vhost.name().to_string();
    list(&call.query, call.visible_vhosts(), name, |vhost| {
        show(call, &look, vhost)
    })
}

pub(super) fn get(call: &Call) -> Result<Reply, Refusal> {
    let vhost = find(call)?;
    let look = call.api.rates.latest();
    Ok(one(&call.query, show(call, &look, &vhost)))
}

pub(super) fn permissions_of(call: &Call) -> Result<Reply, Refusal> {
    let name = Arc::clone(find(call)?.name());
    permissions::list_of(call, |vhost, _| *vhost == *name)
}

/// The vhost that the path is about.
fn find(call: &Call) -> Result<Arc<Vhost>, Refusal> {
    let vhost = call.broker().vhost(call.name("name"));
    vhost.ok_or_else(Refusal::not_found)
}

fn show(call: &Call, look: &Look, vhost: &Vhost) -> Value {
    let spec = vhost.spec();
    let node = call.api.facts.node_name.clone();
    let mut shown = Map::from_iter([
        ("name".into(), (*spec.name).into()),
        ("description".into(), spec.description.as_str().into()),
        ("tags".into(), spec.tags.as_slice().into()),
        ("default_queue_type".into(), "classic".into()),
        (
            "metadata".into(),
            json!({
                "description": spec.description,
                "tags": spec.tags,
                "default_queue_type": "classic",
            }),
        ),
        ("tracing".into(), false.into()),
        ("protected_from_deletion".into(), false.into()),
        ("cluster_state".into(), json!({ node: "running" })),
    ]);
    if call.query.flag("disable_stats") {
        return Value::Object(shown);
    }
    let sample = look.vhost(&spec.name);
    put_lengths(&mut shown, lengths(vhost), sample.lengths.rates);
    put_octets(&mut shown, sample.octets.values, sample.octets.rates);
    let messages = &sample.messages;
    if let Some(stats) = message_stats(&messages.values, messages, Shown::Active) {
        shown.insert("message_stats".into(), stats);
    }
    Value::Object(shown)
}

/// Ready and unacked messages of all queues.
pub(super) fn lengths(vhost: &Vhost) -> [u64; 2] {
    let counts = handles(vhost).into_iter().map(|queue| queue.counts());
    counts.fold([0, 0], |[ready, unacked], counts| {
        [ready + counts.ready, unacked + counts.unacked]
    })
}

pub(super) fn put(call: &Call) -> Result<Reply, Refusal> {
    let name = call.name("name");
    check_name("vhost", name)?;
    let before = call.broker().vhost(name).map(|vhost| vhost.spec());
    let spec = read(name, &call.fields()?, before)?;
    let (is_new, lsn) = call.broker().put_vhost(spec)?;
    Ok(Reply::put(is_new).after(lsn))
}

/// A vhost as described. What is not described stays as it was.
pub(super) fn read(
    name: &str,
    fields: &Fields,
    before: Option<VhostSpec>,
) -> Result<VhostSpec, Refusal> {
    if fields.flag("tracing")? {
        let reason = "tracing is not available";
        return Err(Refusal::bad_request(reason));
    }
    for field in ["default_queue_type", "defaultqueuetype"] {
        let kind = fields.text(field)?.unwrap_or_default();
        if !matches!(kind, "" | "classic" | "undefined") {
            let reason = format!("queue type '{kind}' is not available as the default");
            return Err(Refusal::bad_request(reason));
        }
    }
    let (description, tags) = match before {
        Some(before) => (before.description, before.tags),
        None => Default::default(),
    };
    Ok(VhostSpec {
        name: name.into(),
        description: fields
            .text("description")?
            .map_or(description, str::to_owned),
        tags: fields.tags("tags")?.unwrap_or(tags),
    })
}

pub(super) fn delete(call: &Call) -> Result<Reply, Refusal> {
    let deleted = call
        .broker()
        .delete_vhost(call.name("name"), call.api.now())?;
    let lsn = deleted.ok_or_else(Refusal::not_found)?;
    Ok(Reply::done().after(lsn))
}
