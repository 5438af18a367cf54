//! A vhost: its topology behind one lock, its queues, and what queues ask of their surroundings.
//!
//! A change is applied and appended to the log under the topology lock, so that the log has the
//! changes in the order they took effect. Only what is durable reaches the log: durable
//! exchanges, durable queues that are not exclusive, and bindings between two of them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use crate::access::{Access, Resource, Right, User};
use crate::amqp091::session::Session;
use crate::arguments;
use crate::definition::{Change, Definition, VhostSpec};
use crate::error::BrokerError;
use crate::host::{Host, Lsn};
use crate::journal::Journal;
use crate::queue::Command;
use crate::queue::handle::{
    Budget, Deletion, Identity, PageFree, PageIn, PageOut, QueueHandle, QueueHost, QueueId,
};
use crate::router::{RouteTargets, Routing};
use crate::time::Timestamp;
use crate::topology::{BindingSpec, Destination, ExchangeSpec, QueueSpec, Removed, Topology};

/// Names that begin so belong to the broker.
const RESERVED_PREFIX: &str = "amq.";

/// A vhost.
pub struct Vhost {
    name: Arc<str>,
    spec: RwLock<VhostSpec>,
    topology: RwLock<Topology>,
    host: Arc<dyn Host>,
    access: Arc<Access>,
    ids: Arc<QueueIds>,
    last_change: AtomicU64,
    /// The vhost is being deleted: nothing durable comes into being in it any more.
    is_deleted: AtomicBool,
    /// Queues with messages to be dead-lettered.
    pub(crate) dead: Mutex<VecDeque<Arc<QueueHandle>>>,
    /// Held by whoever moves dead letters at the moment.
    pub(crate) mover: Mutex<()>,
    this: Weak<Vhost>,
}

impl std::fmt::Debug for Vhost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vhost")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Vhost {
    /// A vhost with nothing but the predeclared exchanges.
    pub(crate) fn new(
        spec: VhostSpec,
        host: Arc<dyn Host>,
        access: Arc<Access>,
        ids: Arc<QueueIds>,
    ) -> Arc<Vhost> {
        let name = Arc::clone(&spec.name);
        Arc::new_cyclic(|this| Vhost {
            topology: RwLock::new(Topology::new(Arc::clone(&name))),
            name,
            spec: RwLock::new(spec),
            host,
            access,
            ids,
            last_change: AtomicU64::new(0),
            is_deleted: AtomicBool::new(false),
            dead: Mutex::default(),
            mover: Mutex::default(),
            this: this.clone(),
        })
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// How it was declared.
    pub fn spec(&self) -> VhostSpec {
        self.spec.read().clone()
    }

    pub(crate) fn set_spec(&self, spec: VhostSpec) {
        *self.spec.write() = spec;
    }

    pub(crate) fn strong(&self) -> Option<Arc<Vhost>> {
        self.this.upgrade()
    }

    pub(crate) fn host(&self) -> &Arc<dyn Host> {
        &self.host
    }

    /// The topology, to be read.
    pub fn topology(&self) -> RwLockReadGuard<'_, Topology> {
        self.topology.read()
    }

    /// The last change of this vhost's durable topology.
    pub fn last_change(&self) -> Lsn {
        Lsn(self.last_change.load(Ordering::Acquire))
    }

    /// 404 unless the exchange exists.
    pub fn check_exchange(&self, name: &str) -> Result<(), BrokerError> {
        self.topology.read().check_exchange(name)
    }

    /// Declares an exchange; the answer may leave when the log is durable to the LSN.
    pub fn declare_exchange(&self, spec: ExchangeSpec) -> Result<Lsn, BrokerError> {
        let mut topology = self.topology.write();
        let definition = Definition::Exchange(Arc::clone(&self.name), spec.clone());
        let created = topology.declare_exchange(spec.clone())?;
        if !spec.durable {
            return Ok(Lsn::NONE);
        }
        if !created {
            return Ok(self.last_change());
        }
        self.journal(vec![Change::Put(definition)])
            .inspect_err(|_| {
                // The log took nothing, so the exchange must not exist either.
                let _ = topology.delete_exchange(&spec.name, false);
            })
    }

    /// Deletes an exchange; one that does not exist is fine.
    pub fn delete_exchange(&self, name: &str, if_unused: bool) -> Result<Lsn, BrokerError> {
        let mut topology = self.topology.write();
        let removed = topology.delete_exchange(name, if_unused)?;
        self.journal_removed(&topology, removed)
    }

    /// Adds a binding; one that exists is fine.
    pub fn bind(&self, spec: BindingSpec) -> Result<Lsn, BrokerError> {
        let mut topology = self.topology.write();
        let created = topology.bind(spec.clone())?;
        if !is_durable(&topology, &spec) {
            return Ok(Lsn::NONE);
        }
        if !created {
            return Ok(self.last_change());
        }
        let definition = Definition::Binding(Arc::clone(&self.name), spec.clone());
        self.journal(vec![Change::Put(definition)])
            .inspect_err(|_| {
                let _ = topology.unbind(&spec);
            })
    }

    /// Whether exactly this binding exists.
    pub fn is_bound(&self, spec: &BindingSpec) -> bool {
        self.topology
            .read()
            .bindings_to(&spec.destination)
            .any(|other| other == spec)
    }

    /// Removes a binding; one that does not exist is fine.
    pub fn unbind(&self, spec: &BindingSpec) -> Result<Lsn, BrokerError> {
        let mut topology = self.topology.write();
        let removed = topology.unbind(spec)?;
        self.journal_removed(&topology, removed)
    }

    /// A queue by name, unless it is being deleted.
    pub fn queue(&self, name: &str) -> Option<Arc<QueueHandle>> {
        let topology = self.topology.read();
        let entry = topology.queue(name)?;
        (!entry.handle.is_closed()).then(|| Arc::clone(&entry.handle))
    }

    /// A queue that this connection may use: 404 or 405 if not.
    pub fn queue_for(&self, name: &str, connection: u64) -> Result<Arc<QueueHandle>, BrokerError> {
        let queue = self
            .queue(name)
            .ok_or_else(|| BrokerError::no_queue(name, &self.name))?;
        self.check_owner(&queue, connection)?;
        Ok(queue)
    }

    /// 405 if the queue is exclusive to another connection.
    pub fn check_owner(&self, queue: &QueueHandle, connection: u64) -> Result<(), BrokerError> {
        let identity = queue.identity();
        match identity.exclusive {
            Some(owner) if owner != connection => {
                Err(BrokerError::locked(&identity.name, &self.name))
            }
            _ => Ok(()),
        }
    }

    /// Declares a queue for a session. `server_named` ones may have a reserved name.
    pub fn declare_queue(
        &self,
        spec: QueueSpec,
        session: &Session,
        server_named: bool,
        now: Timestamp,
    ) -> Result<(Arc<QueueHandle>, Lsn), BrokerError> {
        self.declare_queue_as(spec, Some(&session.user), server_named, now)
    }

    /// [`Self::declare_queue`] in the name of a user (none: the broker itself, which may all).
    pub fn declare_queue_as(
        &self,
        spec: QueueSpec,
        user: Option<&User>,
        server_named: bool,
        now: Timestamp,
    ) -> Result<(Arc<QueueHandle>, Lsn), BrokerError> {
        if spec.name.starts_with(RESERVED_PREFIX) && !server_named {
            return Err(BrokerError::access_refused(format!(
                "queue name '{}' contains reserved prefix 'amq.*'",
                spec.name
            )));
        }
        let mut topology = self.topology.write();
        if let Some(entry) = topology.queue(&spec.name) {
            if !entry.handle.is_closed() {
                topology.check_equivalent(&entry.spec, &spec)?;
                let handle = Arc::clone(&entry.handle);
                drop(topology);
                handle.submit(now, Command::Touch);
                return Ok((handle, self.last_change()));
            }
            let removed = topology.remove_queue(&spec.name);
            self.journal_removed(&topology, removed)?;
        }
        let (handle, lsn) = self.create_queue(&mut topology, spec, user)?;
        drop(topology);
        handle.submit(now, Command::Touch);
        Ok((handle, lsn))
    }

    fn create_queue(
        &self,
        topology: &mut Topology,
        spec: QueueSpec,
        user: Option<&User>,
    ) -> Result<(Arc<QueueHandle>, Lsn), BrokerError> {
        let settings = arguments::queue_settings(&spec, &self.name)?;
        if let (Some(user), Some(target)) = (user, &settings.dead_letter) {
            let check = |right, resource| self.access.check(user, &self.name, right, resource);
            check(Right::Read, Resource::Queue(&spec.name))?;
            check(Right::Write, Resource::Exchange(&target.exchange))?;
        }
        let identity = Identity {
            id: self.ids.next(),
            vhost: Arc::clone(&self.name),
            name: Arc::clone(&spec.name),
            durable: spec.durable && spec.exclusive.is_none(),
            auto_delete: spec.auto_delete,
            exclusive: spec.exclusive,
        };
        let this = self.this.upgrade().ok_or_else(|| {
            BrokerError::new(amqp_codec::ReplyCode::NotAllowed, "vhost is being deleted")
        })?;
        let durable = identity.durable;
        let handle = QueueHandle::new(identity, settings, this);
        let lsn = if durable {
            let id = handle.identity().id;
            let definition = Definition::Queue(Arc::clone(&self.name), spec.clone(), id);
            self.journal(vec![Change::Put(definition)])?
        } else {
            Lsn::NONE
        };
        topology.insert_queue(spec, Arc::clone(&handle));
        Ok((handle, lsn))
    }

    /// A queue's machine has deleted itself: takes it and its bindings out of the topology, once.
    /// The deletion is durable at the LSN.
    pub fn forget_queue(&self, queue: &Arc<QueueHandle>) -> Lsn {
        let mut topology = self.topology.write();
        let name = &queue.identity().name;
        let is_there = topology
            .queue(name)
            .is_some_and(|entry| Arc::ptr_eq(&entry.handle, queue));
        if is_there {
            let removed = topology.remove_queue(name);
            // A log that refuses has failed for good, and says so itself.
            let _ = self.journal_removed(&topology, removed);
        }
        self.last_change()
    }

    /// Deletes the exclusive queues of a connection that ended.
    pub fn connection_ended(&self, connection: u64, now: Timestamp) {
        let owned: Vec<_> = self.topology.read().exclusive_queues(connection);
        for queue in owned {
            delete(&queue, Deletion::OwnerGone, now);
            self.forget_queue(&queue);
        }
    }

    /// The vhost is deleted: so are its queues.
    pub(crate) fn delete_all_queues(&self, now: Timestamp) {
        let all: Vec<_> = self
            .topology
            .read()
            .queues()
            .map(|entry| Arc::clone(&entry.handle))
            .collect();
        for queue in all {
            delete(&queue, Deletion::Requested, now);
        }
    }

    /// 404 unless the exchange exists, 403 if it is internal.
    pub fn check_publishable(&self, exchange: &str) -> Result<(), BrokerError> {
        self.check_publishable_in(&self.topology.read(), exchange)
    }

    fn check_publishable_in(&self, topology: &Topology, exchange: &str) -> Result<(), BrokerError> {
        let Some(spec) = topology.exchange(exchange) else {
            return Err(BrokerError::no_exchange(exchange, &self.name));
        };
        if spec.internal {
            return Err(BrokerError::access_refused(format!(
                "cannot publish to internal exchange '{exchange}' in vhost '{}'",
                self.name
            )));
        }
        Ok(())
    }

    /// Where a client's publish goes: 404 and 403 as RabbitMQ says them. Gives the generation to
    /// remember the route under.
    pub fn route_for_client(
        &self,
        exchange: &str,
        routing: &Routing<'_>,
        found: &mut RouteTargets,
    ) -> Result<(Arc<AtomicU64>, u64), BrokerError> {
        let topology = self.topology.read();
        self.check_publishable_in(&topology, exchange)?;
        let missing = || BrokerError::no_exchange(exchange, &self.name);
        let generation = topology.generation(exchange).ok_or_else(missing)?;
        let seen = generation.load(Ordering::Acquire);
        topology.route(exchange, routing, found)?;
        Ok((generation, seen))
    }

    /// Puts back what the log has, at start: no checks, nothing is journalled.
    pub(crate) fn restore(&self, definition: Definition, now: Timestamp) -> Result<(), String> {
        let mut topology = self.topology.write();
        match definition {
            Definition::Exchange(_, spec) => {
                topology
                    .declare_exchange(spec)
                    .map_err(|error| error.to_string())?;
            }
            Definition::Queue(_, spec, id) => {
                self.ids.reserve(id);
                let settings = arguments::queue_settings(&spec, &self.name)
                    .map_err(|error| error.to_string())?;
                let identity = Identity {
                    id,
                    vhost: Arc::clone(&self.name),
                    name: Arc::clone(&spec.name),
                    durable: true,
                    auto_delete: spec.auto_delete,
                    exclusive: None,
                };
                let this = self.this.upgrade().ok_or("vhost is gone")?;
                let handle = QueueHandle::new(identity, settings, this);
                topology.insert_queue(spec, Arc::clone(&handle));
                drop(topology);
                handle.submit(now, Command::Touch);
            }
            Definition::Binding(_, spec) => {
                topology.bind(spec).map_err(|error| error.to_string())?;
            }
            _ => return Err("not part of a vhost".into()),
        }
        Ok(())
    }

    /// Everything durable in this vhost, to be deleted; nothing joins it after this.
    pub(crate) fn begin_deletion(&self) -> Vec<Definition> {
        let topology = self.topology.write();
        self.is_deleted.store(true, Ordering::Release);
        self.definitions_in(&topology)
    }

    /// Everything durable in this vhost, as it stands in the log.
    pub fn definitions(&self) -> Vec<Definition> {
        self.definitions_in(&self.topology.read())
    }

    fn definitions_in(&self, topology: &Topology) -> Vec<Definition> {
        let vhost = || Arc::clone(&self.name);
        let exchanges = topology
            .exchanges()
            .filter(|spec| spec.durable && !is_predeclared(&spec.name))
            .map(|spec| Definition::Exchange(vhost(), spec.clone()));
        let queues = topology
            .queues()
            .filter(|entry| entry.handle.identity().durable)
            .map(|entry| {
                let id = entry.handle.identity().id;
                Definition::Queue(vhost(), entry.spec.clone(), id)
            });
        let bindings = topology
            .bindings()
            .filter(|spec| is_durable(topology, spec))
            .map(|spec| Definition::Binding(vhost(), spec.clone()));
        exchanges.chain(queues).chain(bindings).collect()
    }

    /// Called under the topology lock, as is [`Self::begin_deletion`].
    fn journal(&self, changes: Vec<Change>) -> Result<Lsn, BrokerError> {
        if self.is_deleted.load(Ordering::Acquire) {
            return Err(BrokerError::new(
                amqp_codec::ReplyCode::NotAllowed,
                format!("vhost '{}' is being deleted", self.name),
            ));
        }
        let lsn = self.host.append(changes)?;
        self.last_change.fetch_max(lsn.0, Ordering::AcqRel);
        Ok(lsn)
    }

    /// Journals what of `removed` was durable.
    fn journal_removed(&self, topology: &Topology, removed: Removed) -> Result<Lsn, BrokerError> {
        let vhost = || Arc::clone(&self.name);
        let gone_durable = |name: &str| {
            removed
                .exchanges
                .iter()
                .find(|spec| *spec.name == *name)
                .map(|spec| spec.durable)
        };
        let exchange_durable = |name: &str| {
            gone_durable(name)
                .or_else(|| topology.exchange(name).map(|spec| spec.durable))
                .unwrap_or(false)
        };
        let queue_durable = |name: &str| match &removed.queue {
            Some(spec) if *spec.name == *name => spec.durable && spec.exclusive.is_none(),
            _ => topology
                .queue(name)
                .is_some_and(|entry| entry.handle.identity().durable),
        };
        let mut changes = Vec::new();
        for binding in &removed.bindings {
            let destination = match &binding.destination {
                Destination::Queue(name) => queue_durable(name),
                Destination::Exchange(name) => exchange_durable(name),
            };
            if destination && exchange_durable(&binding.source) {
                changes.push(Change::Delete(Definition::Binding(
                    vhost(),
                    binding.clone(),
                )));
            }
        }
        for exchange in removed.exchanges.iter().filter(|spec| spec.durable) {
            changes.push(Change::Delete(Definition::Exchange(
                vhost(),
                exchange.clone(),
            )));
        }
        if let Some(queue) = &removed.queue
            && queue_durable(&queue.name)
        {
            // Its key does not name the life.
            let definition = Definition::Queue(vhost(), queue.clone(), QueueId(0));
            changes.push(Change::Delete(definition));
        }
        if changes.is_empty() {
            Ok(Lsn::NONE)
        } else {
            self.journal(changes)
        }
    }
}

impl QueueHost for Vhost {
    fn arm(&self, queue: &Arc<QueueHandle>, deadline: Timestamp) {
        self.host.arm(queue, deadline);
    }

    fn dead_letters_waiting(&self, queue: &Arc<QueueHandle>, now: Timestamp) {
        self.dead.lock().push_back(Arc::clone(queue));
        self.move_dead_letters(now);
    }

    fn deleted(&self, queue: &Arc<QueueHandle>, _reason: Deletion, _now: Timestamp) {
        self.host.disarm(queue);
        self.forget_queue(queue);
    }

    fn journal(&self) -> Option<Arc<dyn Journal>> {
        Some(self.host.journal())
    }

    fn budget(&self) -> Option<Arc<Budget>> {
        self.host.budget()
    }

    fn write_page(&self, queue: &Arc<QueueHandle>, page: PageOut) {
        self.host.write_page(queue, page);
    }

    fn read_page(&self, queue: &Arc<QueueHandle>, page: PageIn) {
        self.host.read_page(queue, page);
    }

    fn free_page(&self, page: PageFree) {
        self.host.free_page(page);
    }

    fn messages_lost(&self, queue: &Arc<QueueHandle>, count: u64) {
        let name = &queue.identity().name;
        self.host.report_lost_messages(&self.name, name, count);
    }

    fn failed(&self, queue: &Arc<QueueHandle>, message: &str) {
        self.host
            .report_failed_queue(&self.name, &queue.identity().name, message);
    }
}

fn delete(queue: &Arc<QueueHandle>, reason: Deletion, now: Timestamp) {
    let command = Command::Delete {
        if_unused: false,
        if_empty: false,
        reply: None,
        reason,
    };
    queue.submit(now, command);
}

/// The ids of a broker's queues: each is one life of one queue.
#[derive(Debug, Default)]
pub(crate) struct QueueIds {
    last: AtomicU64,
}

impl QueueIds {
    fn next(&self) -> QueueId {
        QueueId(self.last.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// No queue gets an id up to this one any more.
    pub(crate) fn reserve(&self, up_to: QueueId) {
        self.last.fetch_max(up_to.0, Ordering::Relaxed);
    }
}

fn is_predeclared(name: &str) -> bool {
    name.is_empty() || name.starts_with(RESERVED_PREFIX)
}

/// Whether a binding survives a restart: both its ends must.
fn is_durable(topology: &Topology, spec: &BindingSpec) -> bool {
    let exchange = |name: &str| topology.exchange(name).is_some_and(|spec| spec.durable);
    let destination = match &spec.destination {
        Destination::Queue(name) => topology
            .queue(name)
            .is_some_and(|entry| entry.handle.identity().durable),
        Destination::Exchange(name) => exchange(name),
    };
    destination && exchange(&spec.source)
}
