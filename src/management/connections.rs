//! `/connections`.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use amqp_codec::FieldValue;
use broker_core::amqp091::session::{Phase, Session};
use serde_json::{Map, Value, json};

use super::call::Call;
use super::json::object;
use super::list::{list, one};
use super::rates::Look;
use super::reply::{Refusal, Reply};
use super::routes::is_monitor;
use super::sessions::host;
use super::stats::put_octets;

/// What a closed client reads when the request names no reason.
const DEFAULT_REASON: &str = "Closed via management plugin";

pub(super) fn all(call: &Call) -> Result<Reply, Refusal> {
    let vhosts = call.vhosts()?;
    let visible = |session: &Session| {
        vhosts
            .iter()
            .any(|vhost| Arc::ptr_eq(vhost, &session.vhost))
    };
    show_list(call, sessions(call, visible))
}

pub(super) fn of_vhost(call: &Call) -> Result<Reply, Refusal> {
    let vhost = call.vhost()?;
    show_list(
        call,
        sessions(call, |session| Arc::ptr_eq(&session.vhost, &vhost)),
    )
}

fn show_list(call: &Call, sessions: Vec<Arc<Session>>) -> Result<Reply, Refusal> {
    let look = call.api.rates.latest();
    let name = |session: &Arc<Session>| session.peer.name();
    list(&call.query, sessions, name, |session| {
        show(call, &look, session)
    })
}

pub(super) fn get(call: &Call) -> Result<Reply, Refusal> {
    let session = find(call)?;
    let look = call.api.rates.latest();
    Ok(one(&call.query, show(call, &look, &session)))
}

pub(super) fn of_user(call: &Call) -> Result<Reply, Refusal> {
    let name = |session: &Arc<Session>| session.peer.name();
    list(&call.query, sessions_of_user(call), name, |session| {
        json!({
            "name": session.peer.name(),
            "vhost": &**session.vhost.name(),
            "user": &*session.user.name,
            "node": call.api.facts.node_name,
        })
    })
}

pub(super) fn close_of_user(call: &Call) -> Result<Reply, Refusal> {
    let may = call.user.has_tag("administrator") || *call.user.name == *call.name("user");
    if !may {
        return Err(not_owner());
    }
    for session in sessions_of_user(call) {
        call.broker().close_connection(&session, reason(call));
    }
    Ok(Reply::done())
}

pub(super) fn close(call: &Call) -> Result<Reply, Refusal> {
    let session = find(call)?;
    if !call.user.has_tag("administrator") && session.user.name != call.user.name {
        return Err(not_owner());
    }
    call.broker().close_connection(&session, reason(call));
    Ok(Reply::done())
}

fn reason(call: &Call) -> &str {
    call.header("x-reason").unwrap_or(DEFAULT_REASON)
}

fn not_owner() -> Refusal {
    Refusal::not_authorised("User not authorised to access object")
}

/// The connection of the path: 404, or 401 for what is another's.
pub(super) fn find(call: &Call) -> Result<Arc<Session>, Refusal> {
    let name = call.name("connection");
    let mut sessions = call.broker().connections().into_iter();
    let found = sessions.find(|session| session.peer.name() == name);
    let session = found.ok_or_else(Refusal::not_found)?;
    if is_monitor(&call.user) || session.user.name == call.user.name {
        Ok(session)
    } else {
        Err(not_owner())
    }
}

/// The connections that the user may see and that fit, by vhost and name.
pub(super) fn sessions(call: &Call, fits: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
    let sees_all = is_monitor(&call.user);
    let mut sessions = call.broker().connections();
    sessions.retain(|session| (sees_all || session.user.name == call.user.name) && fits(session));
    sessions.sort_by_cached_key(|session| (Arc::clone(session.vhost.name()), session.peer.name()));
    sessions
}

fn sessions_of_user(call: &Call) -> Vec<Arc<Session>> {
    let name = call.name("user");
    sessions(call, |session| *session.user.name == *name)
}

fn show(call: &Call, look: &Look, session: &Session) -> Value {
    let (remote, local) = (session.peer.remote, session.peer.local);
    let traffic = &session.traffic;
    let mut shown = Map::from_iter([
        ("name".into(), session.peer.name().into()),
        ("node".into(), call.api.facts.node_name.as_str().into()),
        ("vhost".into(), (**session.vhost.name()).into()),
        ("user".into(), (*session.user.name).into()),
        (
            "user_who_performed_action".into(),
            (*session.user.name).into(),
        ),
        ("state".into(), state(session.phase()).into()),
        ("type".into(), "network".into()),
        ("protocol".into(), "AMQP 0-9-1".into()),
        ("host".into(), host(local).into()),
        ("port".into(), local.port().into()),
        ("peer_host".into(), host(remote).into()),
        ("peer_port".into(), remote.port().into()),
        ("auth_mechanism".into(), session.auth_mechanism.into()),
        ("channel_max".into(), session.tuning.channel_max.into()),
        ("frame_max".into(), session.tuning.frame_max.into()),
        ("timeout".into(), session.tuning.heartbeat.into()),
        ("channels".into(), session.channels.lock().len().into()),
        (
            "client_properties".into(),
            object(&session.client_properties()),
        ),
        ("connected_at".into(), session.connected_at.0.into()),
        ("recv_cnt".into(), traffic.reads.load(Relaxed).into()),
        ("send_cnt".into(), traffic.writes.load(Relaxed).into()),
        ("ssl".into(), false.into()),
    ]);
    for name in NO_TLS {
        shown.insert(name.into(), Value::Null);
    }
    if let Some(name @ FieldValue::LongString(_)) =
        session.client_properties().get("connection_name")
    {
        shown.insert("user_provided_name".into(), name.as_str().into());
    }
    let octets = [&traffic.received, &traffic.sent].map(|octets| octets.load(Relaxed));
    put_octets(&mut shown, octets, look.connection(session.id).rates);
    Value::Object(shown)
}

/// What is only known of connections with TLS.
const NO_TLS: [&str; 7] = [
    "ssl_protocol",
    "ssl_key_exchange",
    "ssl_cipher",
    "ssl_hash",
    "peer_cert_subject",
    "peer_cert_issuer",
    "peer_cert_validity",
];

fn state(phase: Phase) -> &'static str {
    match phase {
        Phase::Running => "running",
        Phase::Blocking => "blocking",
        Phase::Blocked => "blocked",
        Phase::Closing => "closing",
    }
}
