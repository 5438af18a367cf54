//! `/permissions`, and the permissions of users and vhosts.

use std::sync::Arc;

use broker_core::access::Permission;
use broker_core::broker::Broker;
use broker_core::host::Lsn;
use serde_json::{Value, json};

use super::body::Fields;
use super::call::Call;
use super::list::{list, one};
use super::reply::{Refusal, Reply};

pub(super) fn all(call: &Call) -> Result<Reply, Refusal> {
    list_of(call, |_, _| true)
}

/// The permissions whose vhost and user fit.
pub(super) fn list_of(call: &Call, fits: impl Fn(&str, &str) -> bool) -> Result<Reply, Refusal> {
    let mut permissions = call.broker().access().permissions();
    permissions.retain(|(vhost, user, _)| fits(vhost, user));
    let name = |(_, user, _): &(Arc<str>, Arc<str>, Arc<Permission>)| user.to_string();
    list(
        &call.query,
        permissions,
        name,
        |(vhost, user, permission)| show(vhost, user, permission),
    )
}

pub(super) fn get(call: &Call) -> Result<Reply, Refusal> {
    let (vhost, user) = (call.name("vhost"), call.name("user"));
    let permission = call.broker().access().permission(vhost, user);
    let permission = permission.ok_or_else(Refusal::not_found)?;
    Ok(one(&call.query, show(vhost, user, &permission)))
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
    let permission = read(&call.fields()?)?;
    let (is_new, lsn) = put_checked(call.broker(), vhost, user, permission)?;
    Ok(Reply::put(is_new).after(lsn))
}

/// The three patterns.
pub(super) fn read(fields: &Fields) -> Result<Permission, Refusal> {
    let [configure, write, read] = fields.required(["configure", "write", "read"])?;
    Permission::new(configure, write, read)
        .map_err(|error| Refusal::bad_request(json!(["invalid_regexp", error])))
}

/// 400 unless both the vhost and the user exist.
pub(super) fn put_checked(
    broker: &Broker,
    vhost: &str,
    user: &str,
    permission: Permission,
) -> Result<(bool, Lsn), Refusal> {
    if broker.vhost(vhost).is_none() || broker.access().user(user).is_none() {
        return Err(Refusal::bad_request("vhost_or_user_not_found"));
    }
    Ok(broker.put_permission(vhost, user, permission)?)
}

pub(super) fn delete(call: &Call) -> Result<Reply, Refusal> {
    let (vhost, user) = (call.name("vhost"), call.name("user"));
    let deleted = call.broker().delete_permission(vhost, user)?;
    Ok(Reply::done().after(deleted.ok_or_else(Refusal::not_found)?))
}
