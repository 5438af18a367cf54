//! The management API: RabbitMQ's paths, answers and status codes under `/api`.
//!
//! ```text
//!   socket ─▶ gate: path, method, login, tag, vhost, body ─▶ a resource's function ─▶ Reply ─▶ log
//!                     └── routes: one table of what there is and who may ──┘
//! ```
//!
//! What a request sees is copied out of the broker in small pieces; no lock is held while an
//! answer is written. What a request changes is answered when the log has it on disk.

mod backup;
mod bindings;
mod body;
mod call;
mod channels;
mod connections;
mod consumers;
mod definitions;
mod door;
mod exchanges;
mod gate;
mod health;
mod json;
mod list;
mod nodes;
mod overview;
mod path;
mod permissions;
mod queues;
mod rates;
mod reply;
mod routes;
mod sessions;
mod stats;
mod time;
mod users;
mod vhosts;
mod waiting;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use broker_core::broker::Broker;
use broker_core::time::Timestamp;
use tokio::sync::Semaphore;

pub(crate) use self::definitions::{ImportError, import_definitions};
pub(crate) use self::door::{Caller, Door};
pub(crate) use self::json::object as table_json;
use self::rates::Rates;
use crate::clock::Clock;
use crate::messages::Backups;
use crate::store::DamageAlarm;

/// Requests that are carried out at the same time; others wait for their turn.
const REQUESTS_MAX: usize = 16;

/// What the API says of the node.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) node_name: String,
    pub(crate) cluster_name: String,
    pub(crate) data_dir: PathBuf,
    pub(crate) amqp: Vec<SocketAddr>,
    pub(crate) http: Option<SocketAddr>,
    pub(crate) max_body_bytes: u64,
    /// Bytes of memory above which publishers are blocked.
    pub(crate) memory_limit: Option<u64>,
    /// Bytes of free disk below which publishers are blocked.
    pub(crate) disk_limit: u64,
    /// What was found damaged on disk.
    pub(crate) damage: Arc<DamageAlarm>,
}

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) broker: Arc<Broker>,
    pub(crate) clock: Clock,
    pub(crate) facts: Facts,
    backups: Backups,
    rates: Rates,
    turns: Semaphore,
}

impl Api {
    /// Begins to compute rates; must be called where tasks can be spawned.
    pub(crate) fn new(
        broker: Arc<Broker>,
        clock: Clock,
        facts: Facts,
        backups: Backups,
    ) -> Arc<Api> {
        let turns = Semaphore::new(REQUESTS_MAX);
        let api = Arc::new(Api {
            broker,
            clock,
            facts,
            backups,
            rates: Rates::default(),
            turns,
        });
        tokio::spawn(rates::watch(Arc::downgrade(&api)));
        api
    }

    /// The time now.
    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// All routes.
pub(crate) fn router(api: Arc<Api>) -> Router {
    Router::new().fallback(gate::serve).with_state(api)
}
