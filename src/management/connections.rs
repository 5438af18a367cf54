//! `/connections`.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use amqp_codec::FieldValue;
use broker_core::amqp091::session::{Phase, Session};
use serde_json::{Value, json};

use super::call::Call;
use super::json::object;
use super::reply::{Refusal, Reply};
use super::routes::is_monitor;

/// What a closed client reads when the request names no reason.
const DEFAULT_REASON: &str = "Closed via management plugin";

pub(super) fn get(call: &Call) -> Result<Reply, Refusal> {
    let session = find(call)?;
    if !is_monitor(&call.user) {
        check_owner(call, &session)?;
    }
    Ok(Reply::json(&show(call, &session)))
}

pub(super) fn of_vhost(call: &Call) -> Result<Reply, Refusal> {
    let vhost = call.vhost()?;
    let sessions = sessions(call, |session| Arc::ptr_eq(&session.vhost, &vhost));
    let all: Value = sessions.iter().map(|session| show(call, session)).collect();
    Ok(Reply::json(&all))
}

pub(super) fn of_user(call: &Call) -> Result<Reply, Refusal> {
    let sessions = sessions_of_user(call)?;
    let all: Value = sessions
        .iter()
        .map(|session| {
            json!({
                "name": session.peer.name(),
                "vhost": &**session.vhost.name(),
                "user": &*session.user.name,
                "node": call.api.facts.node_name,
            })
        })
        .collect();
    Ok(Reply::json(&all))
}

pub(super) fn close_of_user(call: &Call) -> Result<Reply, Refusal> {
    for session in sessions_of_user(call)? {
        call.broker().close_connection(&session, reason(call));
    }
    Ok(Reply::done())
}

pub(super) fn close(call: &Call) -> Result<Reply, Refusal> {
    let session = find(call)?;
    if !call.user.has_tag("administrator") {
        check_owner(call, &session)?;
    }
    call.broker().close_connection(&session, reason(call));
    Ok(Reply::done())
}

fn reason(call: &Call) -> &str {
    call.header("x-reason").unwrap_or(DEFAULT_REASON)
}

fn find(call: &Call) -> Result<Arc<Session>, Refusal> {
    let name = call.name("connection");
    let mut sessions = call.broker().connections().into_iter();
    let found = sessions.find(|session| session.peer.name() == name);
    found.ok_or_else(Refusal::not_found)
}

fn check_owner(call: &Call, session: &Session) -> Result<(), Refusal> {
    if session.user.name == call.user.name {
        return Ok(());
    }
    Err(Refusal::not_authorised(
        "User not authorised to access object",
    ))
}

/// The connections that the user may see and that fit, by name.
fn sessions(call: &Call, fits: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
    let sees_all = is_monitor(&call.user);
    let mut sessions = call.broker().connections();
    sessions.retain(|session| (sees_all || session.user.name == call.user.name) && fits(session));
    sessions.sort_by_cached_key(|session| session.peer.name());
    sessions
}

fn sessions_of_user(call: &Call) -> Result<Vec<Arc<Session>>, Refusal> {
    let name = call.name("user");
    Ok(sessions(call, |session| *session.user.name == *name))
}

fn show(call: &Call, session: &Session) -> Value {
    let name = match session.client_properties.get("connection_name") {
        Some(value @ FieldValue::LongString(_)) => value.as_str().unwrap_or_default(),
        _ => "",
    };
    json!({
        "name": session.peer.name(),
        "node": call.api.facts.node_name,
        "vhost": &**session.vhost.name(),
        "user": &*session.user.name,
        "user_who_performed_action": &*session.user.name,
        "state": state(session.phase()),
        "type": "network",
        "protocol": "AMQP 0-9-1",
        "channels": session.channels.lock().len(),
        "client_properties": object(&session.client_properties),
        "user_provided_name": name,
        "recv_oct": session.traffic.received.load(Relaxed),
        "send_oct": session.traffic.sent.load(Relaxed),
    })
}

fn state(phase: Phase) -> &'static str {
    match phase {
        Phase::Running => "running",
        Phase::Blocking => "blocking",
        Phase::Blocked => "blocked",
        Phase::Closing => "closing",
    }
}
