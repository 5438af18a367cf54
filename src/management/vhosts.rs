//! `/vhosts`.

use broker_core::definition::VhostSpec;
use broker_core::vhost::Vhost;
use serde_json::{Value, json};

use super::body::check_name;
use super::call::Call;
use super::reply::{Refusal, Reply};

pub(super) fn get(call: &Call) -> Result<Reply, Refusal> {
    let vhost = call.broker().vhost(call.name("name"));
    let vhost = vhost.ok_or_else(Refusal::not_found)?;
    Ok(Reply::json(&show(call, &vhost)))
}

fn show(call: &Call, vhost: &Vhost) -> Value {
    let spec = vhost.spec();
    json!({
        "name": &*spec.name,
        "description": spec.description,
        "tags": spec.tags,
        "default_queue_type": "classic",
        "metadata": {
            "description": spec.description,
            "tags": spec.tags,
            "default_queue_type": "classic",
        },
        "tracing": false,
        "cluster_state": { call.api.facts.node_name.as_str(): "running" },
    })
}

pub(super) fn put(call: &Call) -> Result<Reply, Refusal> {
    let name = call.name("name");
    check_name("vhost", name)?;
    let fields = call.fields()?;
    if fields.flag("tracing")? {
        return Err(Refusal::bad_request(
            "tracing is not implemented by this broker",
        ));
    }
    for field in ["default_queue_type", "defaultqueuetype"] {
        if let Some(kind) = fields.text(field)?
            && !matches!(kind, "" | "classic" | "undefined")
        {
            return Err(Refusal::bad_request(format!(
                "queue type '{kind}' is not available"
            )));
        }
    }
    let before = call.broker().vhost(name).map(|vhost| vhost.spec());
    let spec = VhostSpec {
        name: name.into(),
        description: match fields.text("description")? {
            Some(description) => description.to_owned(),
            None => before
                .as_ref()
                .map(|spec| spec.description.clone())
                .unwrap_or_default(),
        },
        tags: match fields.tags("tags")? {
            Some(tags) => tags,
            None => before.map(|spec| spec.tags).unwrap_or_default(),
        },
    };
    let (is_new, lsn) = call.broker().put_vhost(spec)?;
    Ok(Reply::put(is_new).after(lsn))
}

pub(super) fn delete(call: &Call) -> Result<Reply, Refusal> {
    let deleted = call
        .broker()
        .delete_vhost(call.name("name"), call.api.now())?;
    let lsn = deleted.ok_or_else(Refusal::not_found)?;
    Ok(Reply::done().after(lsn))
}
