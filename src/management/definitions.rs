//! `/definitions`, and the definitions file that is read at start: users, vhosts, permissions,
//! exchanges, queues and bindings in RabbitMQ's JSON form.
//!
//! A file is carried out twice: first on an empty broker that has a copy of what exists and no
//! log, then on the broker itself. So a file with an error in it changes nothing, and an error
//! is found by the rules that hold anyway.

mod export;
mod import;
mod read;
mod rehearsal;

use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use broker_core::broker::Broker;
use broker_core::time::Timestamp;

pub(crate) use self::import::Imported;
use self::read::Plan;
use super::call::Call;
use super::reply::{Refusal, Reply};

/// Why a definitions file was not imported.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    /// The file cannot be read.
    #[error("{0}")]
    Read(std::io::Error),
    /// It is no JSON, or not an object.
    #[error("no definitions: {0}")]
    Json(#[from] serde_json::Error),
    /// Something in it cannot be taken.
    #[error("{what}: {why}")]
    Object {
        /// Its kind and name.
        what: String,
        /// Why not.
        why: String,
    },
}

/// Takes all of a definitions file, or nothing. What exists is kept: users, permissions and what
/// is said of vhosts are replaced, exchanges, queues and bindings are not touched.
pub(crate) fn import_definitions(
    broker: &Broker,
    text: &[u8],
    now: Timestamp,
) -> Result<Imported, ImportError> {
    import(broker, &Plan::read(text, None)?, now)
}

fn import(broker: &Broker, plan: &Plan, now: Timestamp) -> Result<Imported, ImportError> {
    plan.carry_out(&rehearsal::copy(broker, now), now)?;
    plan.carry_out(broker, now)
}

pub(super) fn get(call: &Call) -> Result<Reply, Refusal> {
    Ok(download(call, export::cluster(call)))
}

pub(super) fn get_vhost(call: &Call) -> Result<Reply, Refusal> {
    let vhost = call.vhost()?;
    Ok(download(call, export::one_vhost(&vhost)))
}

fn download(call: &Call, text: Vec<u8>) -> Reply {
    let reply = Reply::text(text);
    match call.query.get("download") {
        None => reply,
        Some(name) => {
            let harmless = |c: &char| c.is_ascii_alphanumeric() || ".-_@".contains(*c);
            let name: String = name.chars().filter(harmless).collect();
            reply.with(CONTENT_DISPOSITION, format!("attachment; filename={name}"))
        }
    }
}

pub(super) fn post(call: &Call) -> Result<Reply, Refusal> {
    take(call, None)
}

pub(super) fn post_vhost(call: &Call) -> Result<Reply, Refusal> {
    let vhost = call.vhost()?;
    take(call, Some(vhost.name()))
}

fn take(call: &Call, vhost: Option<&str>) -> Result<Reply, Refusal> {
    let content_type = call.header(CONTENT_TYPE.as_str()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "definitions are taken as application/json",
        ));
    }
    let refused = |error: ImportError| Refusal::bad_request(error.to_string());
    let plan = Plan::read(&call.body, vhost).map_err(refused)?;
    let imported = import(call.broker(), &plan, call.api.now()).map_err(refused)?;
    tracing::info!(user = &*call.user.name, %imported, "definitions imported");
    Ok(Reply::done().after(imported.lsn))
}

#[cfg(test)]
mod tests;
