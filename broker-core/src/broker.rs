//! The broker: vhosts, users, connections, limits; what is not the matter of one vhost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use amqp_codec::{FieldTable, FieldValue, ReplyCode, ShortString};
use dashmap::DashMap;
use parking_lot::Mutex;

use crate::access::{Access, Permission, User};
use crate::amqp091::direct_reply::ReplyAddress;
use crate::amqp091::session::Session;
use crate::definition::{Change, Definition, VhostSpec};
use crate::error::BrokerError;
use crate::host::{Host, Lsn};
use crate::inbox::Event;
use crate::queue::handle::QueueId;
use crate::time::Timestamp;
use crate::vhost::{QueueIds, Vhost};

/// A content header that announces more than this is a framing error (RabbitMQ's hard limit).
pub const BODY_SIZE_MAX: u64 = 512 * 1024 * 1024;

/// What clients are held to. Names are those of the configuration.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open channels of a connection; 0 for any number.
    pub channel_max: u16,
    /// Bytes of a frame.
    pub frame_max: u32,
    /// Bytes of a frame's payload before the connection is tuned.
    pub initial_frame_max: u32,
    /// Heartbeat interval proposed, in seconds.
    pub heartbeat: u16,
    /// Bytes of a message body.
    pub max_message_size: u32,
    /// Consumers of a channel.
    pub consumer_max_per_channel: Option<u32>,
    /// Open connections.
    pub max_connections: Option<u32>,
    /// Users that may only connect from this machine.
    pub loopback_users: Vec<String>,
}

/// Why somebody may not log in, for the log; the client is only told that it may not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// Name or password.
    #[error("invalid credentials")]
    Credentials,
    /// The user may only connect from the broker's own machine.
    #[error("user can only log in via localhost")]
    LoopbackOnly,
}

/// Compares a password with a user's hash; the process knows the hash functions.
pub trait Authenticator: Send + Sync {
    /// Whether the password is the user's. `user` is none for an unknown name: the same work must
    /// be done, so that time tells nothing.
    fn verify(&self, user: Option<&User>, password: &str) -> bool;
}

/// Totals since start, for rates of churn.
#[derive(Debug, Default)]
pub struct Churn {
    /// Connections opened.
    pub connections_opened: AtomicU64,
    /// Connections closed.
    pub connections_closed: AtomicU64,
}

/// Everything there is one of.
pub struct Broker {
    host: Arc<dyn Host>,
    authenticator: Box<dyn Authenticator>,
    limits: Limits,
    server_properties: FieldTable,
    access: Arc<Access>,
    vhosts: DashMap<Arc<str>, Arc<Vhost>>,
    connections: DashMap<u64, Arc<Session>>,
    reply_addresses: DashMap<Arc<str>, ReplyAddress>,
    next_connection: AtomicU64,
    queue_ids: Arc<QueueIds>,
    alarm: AtomicU8,
    /// Held while users, permissions or vhosts change, so that the log has the changes in order.
    changing: Mutex<()>,
    churn: Churn,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").finish_non_exhaustive()
    }
}

/// What is low, as connection.blocked says it: bit 0 memory, bit 1 disk.
const ALARMS: [Option<&str>; 4] = [
    None,
    Some("low on memory"),
    Some("low on disk"),
    Some("low on disk & memory"),
];

/// A resource that can run low.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// Memory above its watermark.
    Memory = 1,
    /// Free disk space below its limit.
    Disk = 2,
}

impl Broker {
    /// A broker without any definitions.
    pub fn new(
        host: Arc<dyn Host>,
        authenticator: Box<dyn Authenticator>,
        limits: Limits,
        server_properties: FieldTable,
    ) -> Arc<Broker> {
        Arc::new(Broker {
            host,
            authenticator,
            limits,
            server_properties,
            access: Arc::default(),
            vhosts: DashMap::new(),
            connections: DashMap::new(),
            reply_addresses: DashMap::new(),
            next_connection: AtomicU64::new(1),
            queue_ids: Arc::default(),
            alarm: AtomicU8::new(0),
            changing: Mutex::default(),
            churn: Churn::default(),
        })
    }

    /// The process around it.
    #[inline]
    pub fn host(&self) -> &dyn Host {
        &*self.host
    }

    /// What clients are held to.
    #[inline]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Users and permissions, to be read; changes go through the broker.
    #[inline]
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// What connection.start says of the server.
    pub fn server_properties(&self) -> FieldTable {
        self.server_properties.clone()
    }

    pub(crate) fn reply_addresses(&self) -> &DashMap<Arc<str>, ReplyAddress> {
        &self.reply_addresses
    }

    pub(crate) fn next_connection_id(&self) -> u64 {
        self.next_connection.fetch_add(1, Ordering::Relaxed)
    }

    /// Who that is, if the password is right and the user may come from there.
    pub fn log_in(
        &self,
        name: &str,
        password: &str,
        from_loopback: bool,
    ) -> Result<Arc<User>, LoginError> {
        let user = self.access.user(name);
        let accepted = self.authenticator.verify(user.as_deref(), password);
        let user = user.filter(|_| accepted).ok_or(LoginError::Credentials)?;
        if !from_loopback
            && self
                .limits
                .loopback_users
                .iter()
                .any(|only| *only == *user.name)
        {
            return Err(LoginError::LoopbackOnly);
        }
        Ok(user)
    }

    /// The vhost, if it exists and the user has a permission in it.
    pub fn open_vhost(&self, user: &User, name: &str) -> Result<Arc<Vhost>, BrokerError> {
        let Some(vhost) = self.vhost(name) else {
            return Err(BrokerError::new(
                ReplyCode::NotAllowed,
                format!("vhost {name} not found"),
            ));
        };
        if self.access.permission(name, &user.name).is_none() {
            return Err(BrokerError::new(
                ReplyCode::NotAllowed,
                format!("access to vhost '{name}' refused for user '{}'", user.name),
            ));
        }
        Ok(vhost)
    }

    /// 530 when there are as many connections as there may be.
    pub fn admit_connection(&self) -> Result<(), BrokerError> {
        match self.limits.max_connections {
            Some(max) if self.connections.len() >= max as usize => Err(BrokerError::new(
                ReplyCode::NotAllowed,
                format!("connection refused: node connection limit ({max}) is reached"),
            )),
            _ => Ok(()),
        }
    }

    pub(crate) fn connection_opened(&self, session: &Arc<Session>) {
        self.connections.insert(session.id, Arc::clone(session));
        self.churn
            .connections_opened
            .fetch_add(1, Ordering::Relaxed);
        if let Some(reason) = self.alarm() {
            session.inbox.send(Event::Blocked(Some(reason)));
        }
    }

    pub(crate) fn connection_closed(&self, session: &Arc<Session>) {
        if self.connections.remove(&session.id).is_some() {
            self.churn
                .connections_closed
                .fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Connections opened and closed so far.
    pub fn churn(&self) -> &Churn {
        &self.churn
    }

    /// All open connections.
    pub fn connections(&self) -> Vec<Arc<Session>> {
        self.connections
            .iter()
            .map(|entry| Arc::clone(entry.value()))
            .collect()
    }

    /// How many connections are open.
    pub fn connection_count(&self) -> usize {
        self.connections.len()
    }

    /// Ends a connection with 320 and this reason.
    pub fn close_connection(&self, session: &Session, reason: &str) {
        session
            .inbox
            .end_with(ReplyCode::ConnectionForced, reason.to_owned());
    }

    /// What is low at the moment, as the client is told.
    #[inline]
    pub fn alarm(&self) -> Option<&'static str> {
        ALARMS[usize::from(self.alarm.load(Ordering::Acquire)) & 3]
    }

    /// Whether this alarm is on.
    pub fn has_alarm(&self, alarm: Alarm) -> bool {
        self.alarm.load(Ordering::Acquire) & alarm as u8 != 0
    }

    /// Raises or clears an alarm and tells every connection. True if that changed anything.
    pub fn set_alarm(&self, alarm: Alarm, raised: bool) -> bool {
        let bit = alarm as u8;
        let before = if raised {
            self.alarm.fetch_or(bit, Ordering::AcqRel)
        } else {
            self.alarm.fetch_and(!bit, Ordering::AcqRel)
        };
        if (before & bit != 0) == raised {
            return false;
        }
        let reason = self.alarm();
        for session in self.connections() {
            session.inbox.send(Event::Blocked(reason));
        }
        true
    }

    /// A vhost by name.
    pub fn vhost(&self, name: &str) -> Option<Arc<Vhost>> {
        self.vhosts.get(name).map(|entry| Arc::clone(entry.value()))
    }

    /// All vhosts, by name.
    pub fn vhosts(&self) -> Vec<Arc<Vhost>> {
        let mut all: Vec<_> = self
            .vhosts
            .iter()
            .map(|entry| Arc::clone(entry.value()))
            .collect();
        all.sort_by(|a, b| a.name().cmp(b.name()));
        all
    }

    /// Creates a vhost or changes its description. True if it is new.
    pub fn put_vhost(&self, spec: VhostSpec) -> Result<(bool, Lsn), BrokerError> {
        let _changing = self.changing.lock();
        let lsn = self
            .host
            .append(vec![Change::Put(Definition::Vhost(spec.clone()))])?;
        Ok((self.insert_vhost(spec), lsn))
    }

    fn insert_vhost(&self, spec: VhostSpec) -> bool {
        if let Some(vhost) = self.vhost(&spec.name) {
            vhost.set_spec(spec);
            return false;
        }
        let name = Arc::clone(&spec.name);
        let (host, access) = (Arc::clone(&self.host), Arc::clone(&self.access));
        let vhost = Vhost::new(spec, host, access, Arc::clone(&self.queue_ids));
        self.vhosts.insert(name, vhost);
        true
    }

    /// Deletes a vhost with all that is in it, and closes its connections. None if there is none.
    pub fn delete_vhost(&self, name: &str, now: Timestamp) -> Result<Option<Lsn>, BrokerError> {
        let changing = self.changing.lock();
        let Some((_, vhost)) = self.vhosts.remove(name) else {
            return Ok(None);
        };
        for session in self
            .connections()
            .iter()
            .filter(|s| Arc::ptr_eq(&s.vhost, &vhost))
        {
            self.close_connection(session, &format!("vhost '{name}' is deleted"));
        }
        let mut changes: Vec<Change> = vhost
            .begin_deletion()
            .into_iter()
            .map(Change::Delete)
            .collect();
        for user in self.access.remove_vhost(name) {
            let patterns = Default::default();
            changes.push(Change::Delete(Definition::Permission {
                vhost: name.into(),
                user,
                patterns,
            }));
        }
        changes.push(Change::Delete(Definition::Vhost(vhost.spec())));
        let lsn = self.host.append(changes)?;
        drop(changing);
        vhost.delete_all_queues(now);
        Ok(Some(lsn))
    }

    /// Adds or replaces a user. True if it is new.
    pub fn put_user(&self, user: User) -> Result<(bool, Lsn), BrokerError> {
        let _changing = self.changing.lock();
        let lsn = self
            .host
            .append(vec![Change::Put(Definition::User(user.clone()))])?;
        Ok((self.access.put_user(user), lsn))
    }

    /// Removes a user, its permissions, and its connections. None if there is no such user.
    pub fn delete_user(&self, name: &str) -> Result<Option<Lsn>, BrokerError> {
        let _changing = self.changing.lock();
        let Some(user) = self.access.user(name) else {
            return Ok(None);
        };
        let vhosts = self.access.remove_user(name).unwrap_or_default();
        let mut changes: Vec<Change> = vhosts
            .into_iter()
            .map(|vhost| {
                let patterns = Default::default();
                Change::Delete(Definition::Permission {
                    vhost,
                    user: name.into(),
                    patterns,
                })
            })
            .collect();
        changes.push(Change::Delete(Definition::User((*user).clone())));
        let lsn = self.host.append(changes)?;
        for session in self.connections().iter().filter(|s| *s.user.name == *name) {
            self.close_connection(session, &format!("user '{name}' is deleted"));
        }
        Ok(Some(lsn))
    }

    /// Says what a user may do in a vhost. True if there was nothing said before.
    pub fn put_permission(
        &self,
        vhost: &str,
        user: &str,
        permission: Permission,
    ) -> Result<(bool, Lsn), BrokerError> {
        let _changing = self.changing.lock();
        let patterns = [&permission.configure, &permission.write, &permission.read]
            .map(|pattern| pattern.as_str().to_owned());
        let definition = Definition::Permission {
            vhost: vhost.into(),
            user: user.into(),
            patterns,
        };
        let lsn = self.host.append(vec![Change::Put(definition)])?;
        Ok((self.access.put_permission(vhost, user, permission), lsn))
    }

    /// Takes a user's permission in a vhost away. None if there is none.
    pub fn delete_permission(&self, vhost: &str, user: &str) -> Result<Option<Lsn>, BrokerError> {
        let _changing = self.changing.lock();
        if !self.access.remove_permission(vhost, user) {
            return Ok(None);
        }
        let patterns = Default::default();
        let definition = Definition::Permission {
            vhost: vhost.into(),
            user: user.into(),
            patterns,
        };
        self.host.append(vec![Change::Delete(definition)]).map(Some)
    }

    /// No queue gets an id up to this one any more: the log may speak of a queue that had it.
    pub fn reserve_queue_ids(&self, up_to: QueueId) {
        self.queue_ids.reserve(up_to);
    }

    /// Puts back what the log has, at start. Must come in the order of [`restore_order`].
    pub fn restore(&self, definition: Definition, now: Timestamp) -> Result<(), String> {
        match definition {
            Definition::Vhost(spec) => {
                self.insert_vhost(spec);
            }
            Definition::User(user) => {
                self.access.put_user(user);
            }
            Definition::Permission {
                vhost,
                user,
                patterns: [configure, write, read],
            } => {
                let permission = Permission::new(&configure, &write, &read)?;
                self.access.put_permission(&vhost, &user, permission);
            }
            Definition::Exchange(ref vhost, _)
            | Definition::Queue(ref vhost, ..)
            | Definition::Binding(ref vhost, _) => {
                let vhost = self
                    .vhost(vhost)
                    .ok_or_else(|| format!("no vhost '{vhost}'"))?;
                vhost.restore(definition, now)?;
            }
        }
        Ok(())
    }
}

/// The place of a definition in the order of restoring: what others need comes first.
pub fn restore_order(definition: &Definition) -> u8 {
    match definition {
        Definition::Vhost(_) => 0,
        Definition::User(_) => 1,
        Definition::Permission { .. } => 2,
        Definition::Exchange(..) => 3,
        Definition::Queue(..) => 4,
        Definition::Binding(..) => 5,
    }
}

/// The properties that connection.start shows: clients look at product, version and
/// capabilities.
pub fn server_properties(platform: &str, cluster_name: &str, version: &str) -> FieldTable {
    let capabilities: FieldTable = [
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "consumer_priorities",
        "authentication_failure_close",
        "per_consumer_qos",
        "direct_reply_to",
    ]
    .into_iter()
    .map(|name| (ShortString::clipped(name), FieldValue::Bool(true)))
    .collect();
    let text = |text: &str| FieldValue::LongString(text.as_bytes().to_vec());
    [
        ("capabilities", FieldValue::Table(capabilities)),
        ("cluster_name", text(cluster_name)),
        ("copyright", text("Copyright (c) the Leveret authors")),
        (
            "information",
            text("Licensed under the Apache License, Version 2.0"),
        ),
        ("platform", text(platform)),
        ("product", text("RabbitMQ")),
        ("version", text(version)),
    ]
    .into_iter()
    .map(|(name, value)| (ShortString::clipped(name), value))
    .collect()
}
