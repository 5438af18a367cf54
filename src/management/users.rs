//! `/users`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use broker_core::access::{HashAlgorithm, User};
use serde_json::{Value, json};

use super::body::{Fields, check_name};
use super::call::Call;
use super::reply::{Refusal, Reply};
use crate::auth;

pub(super) fn get(call: &Call) -> Result<Reply, Refusal> {
    let user = call.broker().access().user(call.name("user"));
    Ok(Reply::json(&show(&*user.ok_or_else(Refusal::not_found)?)))
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
    let tags = fields.tags("tags")?;
    let (password_hash, algorithm) = password(&fields)?;
    let user = User {
        name: name.into(),
        password_hash,
        algorithm,
        tags: tags.ok_or_else(|| Refusal::bad_request("tags_not_present"))?,
    };
    let (is_new, lsn) = call.broker().put_user(user)?;
    Ok(Reply::put(is_new).after(lsn))
}

/// The hash a user gets; an empty one when no password is given, which fits no password.
pub(super) fn password(fields: &Fields) -> Result<(Vec<u8>, HashAlgorithm), Refusal> {
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
