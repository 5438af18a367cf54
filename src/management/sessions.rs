//! Connections as other objects speak of them.

use std::collections::HashMap;
use std::sync::Arc;

use broker_core::amqp091::session::Session;
use broker_core::broker::Broker;
use broker_core::inbox::Inbox;
use broker_core::queue::handle::ConsumerSnapshot;
use serde_json::{Map, Value, json};

use super::json::object;

/// All open connections, found by number or by inbox.
#[derive(Debug)]
pub(super) struct Sessions {
    by_id: HashMap<u64, Arc<Session>>,
    by_inbox: HashMap<usize, u64>,
}

impl Sessions {
    pub(super) fn open(broker: &Broker) -> Sessions {
        let all = broker.connections();
        Sessions {
            by_inbox: all
                .iter()
                .map(|session| (place(&session.inbox), session.id))
                .collect(),
            by_id: all
                .into_iter()
                .map(|session| (session.id, session))
                .collect(),
        }
    }

    pub(super) fn by_id(&self, id: u64) -> Option<&Arc<Session>> {
        self.by_id.get(&id)
    }

    /// The connection of a consumer, unless it is gone.
    pub(super) fn of(&self, consumer: &ConsumerSnapshot) -> Option<&Arc<Session>> {
        self.by_id.get(self.by_inbox.get(&place(&consumer.inbox))?)
    }
}

/// What tells inboxes apart.
fn place(inbox: &Arc<Inbox>) -> usize {
    Arc::as_ptr(inbox).addr()
}

/// A channel's name.
pub(super) fn channel_name(session: &Session, number: u16) -> String {
    format!("{} ({number})", session.peer.name())
}

/// An address without what only the socket sees.
pub(super) fn host(address: std::net::SocketAddr) -> String {
    address.ip().to_canonical().to_string()
}

/// `connection_details`, and `owner_pid_details`.
pub(super) fn connection_details(session: &Session) -> Value {
    json!({
        "name": session.peer.name(),
        "peer_host": host(session.peer.remote),
        "peer_port": session.peer.remote.port(),
    })
}

/// `channel_details`.
fn channel_details(node: &str, session: &Session, number: u16) -> Value {
    json!({
        "name": channel_name(session, number),
        "number": number,
        "connection_name": session.peer.name(),
        "node": node,
        "peer_host": host(session.peer.remote),
        "peer_port": session.peer.remote.port(),
        "user": &*session.user.name,
    })
}

/// A consumer of a queue.
pub(super) fn consumer(
    node: &str,
    sessions: &Sessions,
    (vhost, queue): (&str, &str),
    consumer: &ConsumerSnapshot,
) -> Value {
    let details = match sessions.of(consumer) {
        Some(session) => channel_details(node, session, consumer.channel),
        None => Value::Object(Map::new()),
    };
    json!({
        "consumer_tag": &*consumer.tag,
        "queue": { "name": queue, "vhost": vhost },
        "channel_details": details,
        "ack_required": consumer.ack_required,
        "exclusive": consumer.exclusive,
        "active": consumer.active,
        "activity_status": if consumer.active { "up" } else { "waiting" },
        "prefetch_count": consumer.prefetch,
        "arguments": object(&consumer.arguments),
        // Deliveries wait for their ack for ever.
        "consumer_timeout": 0,
    })
}
