//! What is known of a connection outside its own task: who it is, its counters, its channels.
//!
//! Counters are relaxed atomics with one writer, the connection's task; the management API reads
//! them. Nothing here decides anything.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use amqp_codec::FieldTable;
use parking_lot::Mutex;

use crate::access::User;
use crate::broker::Broker;
use crate::inbox::Inbox;
use crate::time::Timestamp;
use crate::vhost::Vhost;

/// The two ends of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The client's address.
    pub remote: SocketAddr,
    /// The address it connected to.
    pub local: SocketAddr,
}

impl Peer {
    /// `peer:port -> host:port`, RabbitMQ's name for a connection.
    pub fn name(&self) -> String {
        format!("{} -> {}", self.remote, self.local)
    }

    /// Whether the client is on this machine, judged by its own address.
    pub fn is_loopback(&self) -> bool {
        self.remote.ip().to_canonical().is_loopback()
    }
}

/// What was agreed in tune and tune-ok.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// Open channels at most.
    pub channel_max: u16,
    /// Bytes of a frame at most, both ways.
    pub frame_max: u32,
    /// Heartbeat interval in seconds, 0 for none.
    pub heartbeat: u16,
}

/// The client's capabilities that change what the broker does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Capabilities {
    /// basic.cancel may be sent to it.
    pub consumer_cancel_notify: bool,
    /// connection.blocked may be sent to it.
    pub connection_blocked: bool,
    /// A failed login is answered with a connection.close.
    pub authentication_failure_close: bool,
}

impl Capabilities {
    /// Reads the `capabilities` table of the client's properties.
    pub fn of(client_properties: &FieldTable) -> Capabilities {
        use amqp_codec::FieldValue;
        let has = |name: &str| match client_properties.get("capabilities") {
            Some(FieldValue::Table(table)) => {
                matches!(table.get(name), Some(FieldValue::Bool(true)))
            }
            _ => false,
        };
        Capabilities {
            consumer_cancel_notify: has("consumer_cancel_notify"),
            connection_blocked: has("connection.blocked"),
            authentication_failure_close: has("authentication_failure_close"),
        }
    }
}

/// Where an open connection is, as the management API calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Normal.
    Running = 0,
    /// An alarm is on; it has not published since.
    Blocking = 1,
    /// An alarm is on and it is not read.
    Blocked = 2,
    /// It is closing.
    Closing = 3,
}

/// An open connection: the part of it that others may look at.
pub struct Session {
    /// Unique in the process.
    pub id: u64,
    /// The broker.
    pub broker: Arc<Broker>,
    /// Its vhost.
    pub vhost: Arc<Vhost>,
    /// Who logged in.
    pub user: Arc<User>,
    /// Its inbox.
    pub inbox: Arc<Inbox>,
    /// The two ends.
    pub peer: Peer,
    /// What was negotiated.
    pub tuning: Tuning,
    /// What the client can.
    pub capabilities: Capabilities,
    /// What it says of itself, encoded: a tenth of the memory of a table.
    pub(super) client_properties: Box<[u8]>,
    /// PLAIN or AMQPLAIN.
    pub auth_mechanism: &'static str,
    /// When it was accepted.
    pub connected_at: Timestamp,
    /// Octets and frames in and out.
    pub traffic: Traffic,
    /// Its open channels.
    pub channels: Mutex<BTreeMap<u16, Arc<ChannelEntry>>>,
    pub(super) phase: AtomicU8,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("peer", &self.peer)
            .finish()
    }
}

impl Session {
    /// Where it is.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Running,
            1 => Phase::Blocking,
            2 => Phase::Blocked,
            _ => Phase::Closing,
        }
    }

    /// What the client says of itself.
    pub fn client_properties(&self) -> FieldTable {
        // It was encoded by this process.
        FieldTable::decode(&self.client_properties).unwrap_or_default()
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }
}

/// Octets and frames of one connection.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Octets received.
    pub received: AtomicU64,
    /// Octets sent.
    pub sent: AtomicU64,
    /// Reads that brought something.
    pub reads: AtomicU64,
    /// Writes that took something.
    pub writes: AtomicU64,
}

/// An open channel, as others may look at it.
#[derive(Debug, Default)]
pub struct ChannelEntry {
    /// Consumers.
    pub consumers: AtomicU32,
    /// Prefetch count for the next consumers.
    pub prefetch: AtomicU32,
    /// Prefetch count of the whole channel.
    pub global_prefetch: AtomicU32,
    /// Deliveries not settled.
    pub unacked: AtomicU32,
    /// Publishes not confirmed.
    pub unconfirmed: AtomicU32,
    /// Publishes of an open transaction.
    pub uncommitted: AtomicU32,
    /// Settlements of an open transaction.
    pub uncommitted_acks: AtomicU32,
    /// Confirms are on.
    pub confirm: AtomicBool,
    /// Transactions are on.
    pub transactional: AtomicBool,
    /// Totals.
    pub totals: ChannelTotals,
}

/// What a channel did since it was opened.
#[derive(Debug, Default)]
pub struct ChannelTotals {
    /// Publishes taken.
    pub publish: AtomicU64,
    /// Publishes confirmed.
    pub confirm: AtomicU64,
    /// Mandatory publishes returned.
    pub return_unroutable: AtomicU64,
    /// Publishes that went nowhere.
    pub drop_unroutable: AtomicU64,
    /// Deliveries that want an ack.
    pub deliver: AtomicU64,
    /// Deliveries that do not.
    pub deliver_no_ack: AtomicU64,
    /// basic.get with ack.
    pub get: AtomicU64,
    /// basic.get without.
    pub get_no_ack: AtomicU64,
    /// basic.get that found nothing.
    pub get_empty: AtomicU64,
    /// Deliveries of messages delivered before.
    pub redeliver: AtomicU64,
    /// Acks.
    pub ack: AtomicU64,
}

/// Adds to a counter that only this thread writes: a plain add, no locked instruction.
#[inline]
pub fn count(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Relaxed);
}
