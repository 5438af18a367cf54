//! `/overview` and `/whoami`.

use serde_json::json;

use super::call::Call;
use super::reply::{Refusal, Reply};
use crate::version::{PRODUCT_VERSION, VERSION};

pub(super) fn overview(call: &Call) -> Result<Reply, Refusal> {
    let facts = &call.api.facts;
    Ok(Reply::json(&json!({
        "management_version": PRODUCT_VERSION,
        "rabbitmq_version": PRODUCT_VERSION,
        "leveret_version": VERSION,
        "cluster_name": facts.cluster_name,
        "node": facts.node_name,
    })))
}

pub(super) fn whoami(call: &Call) -> Result<Reply, Refusal> {
    Ok(Reply::json(&json!({
        "name": &*call.user.name,
        "tags": call.user.tags,
        "is_internal_user": true,
    })))
}
