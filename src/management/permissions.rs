//! `/permissions`.

use broker_core::access::Permission;
use serde_json::{Value, json};

use super::call::Call;
use super::reply::{Refusal, Reply};

pub(super) fn get(call: &Call) -> Result<Reply, Refusal> {
    let (vhost, user) = (call.name("vhost"), call.name("user"));
    let permission = call.broker().access().permission(vhost, user);
    let permission = permission.ok_or_else(Refusal::not_found)?;
    Ok(Reply::json(&show(vhost, user, &permission)))
}

/// A permission.
pub(super) fn show(vhost: &str, user: &str, permission: &Permission) -> Value {
    json!({
        "user": user,
        "vhost": vhost,
        "configure": permission.configure.as_str(),
        "write": permission.write.as_str(),
        "read": permission.read.as_str(),
    })
}

pub(super) fn put(call: &Call) -> Result<Reply, Refusal> {
    let (vhost, user) = (call.name("vhost"), call.name("user"));
    let broker = call.broker();
    let fields = call.fields()?;
    let [configure, write, read] = fields.required(["configure", "write", "read"])?;
    if broker.vhost(vhost).is_none() || broker.access().user(user).is_none() {
        return Err(Refusal::bad_request("vhost_or_user_not_found"));
    }
    let permission = Permission::new(configure, write, read)
        .map_err(|error| Refusal::bad_request(json!(["invalid_regexp", error])))?;
    let (is_new, lsn) = broker.put_permission(vhost, user, permission)?;
    Ok(Reply::put(is_new).after(lsn))
}

pub(super) fn delete(call: &Call) -> Result<Reply, Refusal> {
    let (vhost, user) = (call.name("vhost"), call.name("user"));
    let deleted = call.broker().delete_permission(vhost, user)?;
    Ok(Reply::done().after(deleted.ok_or_else(Refusal::not_found)?))
}
