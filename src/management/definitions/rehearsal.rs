//! A broker without log, clients and timers, on which definitions are tried out.

use std::sync::Arc;

use broker_core::access::User;
use broker_core::broker::{Authenticator, Broker};
use broker_core::definition::Change;
use broker_core::error::BrokerError;
use broker_core::host::{Host, Lsn};
use broker_core::inbox::Inbox;
use broker_core::journal::{EntryKind, Journal, RawChange};
use broker_core::queue::handle::{Budget, PageFree, PageIn, PageOut, QueueHandle};
use broker_core::time::Timestamp;
use broker_core::topology::QueueSpec;
use broker_core::turns::OpenTurns;
use broker_core::vhost::Vhost;

use crate::auth;

/// Users, vhosts, exchanges, queues and bindings of a broker, on a broker of their own.
pub(super) fn copy(broker: &Broker, now: Timestamp) -> Arc<Broker> {
    let copy = Broker::new(
        Arc::new(Nowhere::default()),
        Box::new(Nobody),
        broker.limits().clone(),
        broker.server_properties(),
    );
    // What exists was accepted before, and this log takes everything.
    for user in broker.access().users() {
        let _ = copy.put_user((*user).clone());
    }
    for vhost in broker.vhosts() {
        let _ = copy.put_vhost(vhost.spec());
        if let Some(of_copy) = copy.vhost(vhost.name()) {
            copy_topology(&vhost, &of_copy, now);
        }
    }
    copy
}

fn copy_topology(vhost: &Vhost, copy: &Vhost, now: Timestamp) {
    let topology = vhost.topology();
    for exchange in topology.exchanges() {
        let _ = copy.declare_exchange(exchange.clone());
    }
    for queue in topology.queues() {
        let spec = QueueSpec {
            exclusive: None,
            ..queue.spec.clone()
        };
        let _ = copy.declare_queue_as(spec, None, true, now);
    }
    for binding in topology.bindings() {
        let _ = copy.bind(binding.clone());
    }
}

/// A host that keeps nothing.
#[derive(Debug, Default)]
struct Nowhere(Arc<OpenTurns>);

impl Journal for Nowhere {
    fn append(&self, _kind: EntryKind, _parts: &[&[u8]]) -> Lsn {
        Lsn::NONE
    }

    fn append_freeing(&self, _kind: EntryKind, _parts: &[&[u8]]) -> Lsn {
        Lsn::NONE
    }

    fn append_changes(&self, _changes: Vec<RawChange>) -> Lsn {
        Lsn::NONE
    }
}

impl Host for Nowhere {
    fn append(&self, _changes: Vec<Change>) -> Result<Lsn, BrokerError> {
        Ok(Lsn::NONE)
    }

    fn is_backlogged(&self) -> bool {
        false
    }

    fn journal(&self) -> Arc<dyn Journal> {
        Arc::new(Nowhere::default())
    }

    fn turns(&self) -> &Arc<OpenTurns> {
        &self.0
    }

    fn budget(&self) -> Option<Arc<Budget>> {
        None
    }

    fn write_page(&self, _queue: &Arc<QueueHandle>, _page: PageOut) {}

    fn read_page(&self, _queue: &Arc<QueueHandle>, _page: PageIn) {}

    fn free_page(&self, _page: PageFree) {}

    fn report_lost_messages(&self, _vhost: &str, _queue: &str, _count: u64) {}

    fn is_durable(&self, _lsn: Lsn) -> bool {
        true
    }

    fn wake_when_durable(&self, _lsn: Lsn, inbox: &Arc<Inbox>) {
        inbox.wake();
    }

    fn arm(&self, _queue: &Arc<QueueHandle>, _at: Timestamp) {}

    fn more_dead_letters(&self, _vhost: &Arc<Vhost>) {}

    fn random(&self) -> [u8; 16] {
        auth::random()
    }

    fn report_failed_queue(&self, _vhost: &str, _queue: &str, _why: &str) {}
}

struct Nobody;

impl Authenticator for Nobody {
    fn verify(&self, _user: Option<&User>, _password: &str) -> bool {
        false
    }
}
