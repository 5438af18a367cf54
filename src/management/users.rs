//! `/users`.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use broker_core::access::{HashAlgorithm, Permission, User};
use broker_core::host::Lsn;
use serde_json::{Value, json};

use super::body::{Fields, check_name};
use super::call::Call;
use super::list::{list, one};
use super::permissions;
use super::reply::{Refusal, Reply};
use crate::auth;

pub(super) fn all(call: &Call) -> Result<Reply, Refusal> {
    show_list(call, call.broker().access().users())
}

/// Those who can log in nowhere.
pub(super) fn without_permissions(call: &Call) -> Result<Reply, Refusal> {
    let access = call.broker().access();
    let permissions = access.permissions();
    let mut users = access.users();
    users.retain(|user| !permissions.iter().any(|(_, name, _)| *name == user.name));
    show_list(call, users)
}

fn show_list(call: &Call, users: Vec<Arc<User>>) -> Result<Reply, Refusal> {
    let name = |user: &Arc<User>| user.name.to_string();
    list(&call.query, users, name, |user| show(user))
}

pub(super) fn get(call: &Call) -> Result<Reply, Refusal> {
    Ok(one(&call.query, show(&*find(call)?)))
}

fn find(call: &Call) -> Result<Arc<User>, Refusal> {
    let user = call.broker().access().user(call.name("user"));
    user.ok_or_else(Refusal::not_found)
}

pub(super) fn permissions_of(call: &Call) -> Result<Reply, Refusal> {
    let name = Arc::clone(&find(call)?.name);
    permissions::list_of(call, |_, user| *user == *name)
}

/// A user as administrators see it.
pub(super) fn show(user: &User) -> Value {
    json!({
        "name": &*user.name,
        "password_hash": STANDARD.encode(&user.password_hash),
        "hashing_algorithm": user.algorithm.as_str(),
        "tags": user.tags,
        "limits": {},
    })
}

pub(super) fn put(call: &Call) -> Result<Reply, Refusal> {
    let name = call.name("user");
    check_name("user", name)?;
    let fields = call.fields()?;
    let user = read(name, &fields)?;
    let permissions = permissions_in(call, &fields)?;
    let (is_new, mut lsn) = call.broker().put_user(user)?;
    for (vhost, permission) in permissions {
        let (_, later) = call.broker().put_permission(&vhost, name, permission)?;
        lsn = lsn.max(later);
    }
    Ok(Reply::put(is_new).after(lsn))
}

/// A user as described.
pub(super) fn read(name: &str, fields: &Fields) -> Result<User, Refusal> {
    let tags = fields.tags("tags")?;
    let (password_hash, algorithm) = password(fields)?;
    Ok(User {
        name: name.into(),
        password_hash,
        algorithm,
        tags: tags.ok_or_else(|| Refusal::bad_request("tags_not_present"))?,
    })
}

/// The permissions that come along with a user, by vhost.
fn permissions_in(call: &Call, fields: &Fields) -> Result<Vec<(String, Permission)>, Refusal> {
    let Some(value) = fields.get("permissions") else {
        return Ok(Vec::new());
    };
    let wrong = || Refusal::bad_request(json!(["not_permissions", value]));
    let mut permissions = Vec::new();
    for (vhost, patterns) in value.as_object().ok_or_else(wrong)? {
        if call.broker().vhost(vhost).is_none() {
            return Err(Refusal::bad_request("vhost_or_user_not_found"));
        }
        let patterns = Fields::of(patterns).ok_or_else(wrong)?;
        permissions.push((vhost.clone(), permissions::read(&patterns)?));
    }
    Ok(permissions)
}

/// The hash a user gets; an empty one when no password is given, which fits no password.
fn password(fields: &Fields) -> Result<(Vec<u8>, HashAlgorithm), Refusal> {
    let algorithm = match fields.text("hashing_algorithm")? {
        None => HashAlgorithm::Sha256,
        Some(name) => HashAlgorithm::parse(name)
            .ok_or_else(|| Refusal::bad_request(json!(["unknown_hashing_algorithm", name])))?,
    };
    match (fields.text("password")?, fields.text("password_hash")?) {
        (Some(_), Some(_)) => {
            let reason = "both_password_and_password_hash_are_provided";
            Err(Refusal::bad_request(reason))
        }
        (Some(""), None) | (None, None) => Ok((Vec::new(), algorithm)),
        // What is imported may be hashed otherwise; what is hashed here is hashed so.
        (Some(_), None) if algorithm != HashAlgorithm::Sha256 => {
            let reason = "a password is hashed with rabbit_password_hashing_sha256";
            Err(Refusal::bad_request(reason))
        }
        (Some(password), None) => Ok((auth::hash(password), HashAlgorithm::Sha256)),
        (None, Some(hash)) => {
            let decoded = STANDARD.decode(hash);
            let decoded = decoded.map_err(|_| Refusal::bad_request(json!(["not_base64", hash])))?;
            Ok((decoded, algorithm))
        }
    }
}

pub(super) fn delete(call: &Call) -> Result<Reply, Refusal> {
    let deleted = call.broker().delete_user(call.name("user"))?;
    Ok(Reply::done().after(deleted.ok_or_else(Refusal::not_found)?))
}

/// All of the named users, or none if one does not exist.
pub(super) fn bulk_delete(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields()?;
    let names = fields.get("users").and_then(Value::as_array);
    let names = names.ok_or_else(|| Refusal::bad_request("[{key_missing,users}]"))?;
    let mut wanted = Vec::with_capacity(names.len());
    for name in names {
        let known = name
            .as_str()
            .filter(|name| call.broker().access().user(name).is_some());
        wanted.push(known.ok_or_else(|| Refusal::bad_request(json!(["no_such_user", name])))?);
    }
    let mut lsn = Lsn::NONE;
    for name in wanted {
        // It may have been deleted by somebody else since.
        lsn = lsn.max(call.broker().delete_user(name)?.unwrap_or_default());
    }
    Ok(Reply::done().after(lsn))
}
