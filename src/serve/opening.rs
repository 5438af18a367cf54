//! A start up to the moment at which clients may come: the store, what its log and pages hold, the
//! definitions, and the queues with their messages. Opens no socket and needs no runtime.

use std::sync::Arc;

use broker_core::access::{HashAlgorithm, User};
use broker_core::broker::{Broker, Limits, server_properties};
use broker_core::definition::{Change, Definition, VhostSpec};
use broker_core::queue::handle::Budget;
use tokio::sync::Notify;
use tracing::info;

use super::ServeError;
use crate::auth::{self, Passwords};
use crate::clock::Clock;
use crate::config::{Config, Durability};
use crate::messages::{self, Keeper, Pager, Recovering, restore_definitions};
use crate::node::{LogWaiters, Node};
use crate::store::pages::SEGMENT_BYTES;
use crate::store::{self, RealDisk, Recovered, Store, StoreError, StoreOptions};
use crate::timer::Timer;
use crate::version::{PRODUCT_VERSION, VERSION};

/// The parts of a broker that nobody can reach yet.
pub(crate) struct Opened {
    pub(crate) store: Store,
    pub(crate) pager: Arc<Pager>,
    pub(crate) budget: Arc<Budget>,
    /// Whose deadlines pass once it runs.
    pub(crate) timer: Arc<Timer>,
    pub(crate) node: Arc<Node>,
    pub(crate) broker: Arc<Broker>,
    /// To be attached to the store.
    pub(crate) keeper: Arc<Keeper>,
    /// The data directory has no definition.
    pub(crate) is_new: bool,
}

impl Opened {
    /// Opens the data directory. `log_failed` is notified when the log stops for good, and at other
    /// times.
    pub(crate) fn open(
        config: &Config,
        clock: Clock,
        log_failed: &Arc<Notify>,
    ) -> Result<Opened, ServeError> {
        let waiters = Arc::new(LogWaiters::default());
        let mut recovering = Recovering::default();
        let (store, recovered) = open_store(config, &waiters, log_failed, &mut recovering)?;
        let found = recovering.finish();
        let alarm = store.damage();
        let place = (config.data_dir.as_path(), recovered.node_id);
        let pages = found.open_pages(Arc::new(RealDisk), place, SEGMENT_BYTES, alarm)?;
        let pager = Pager::start(pages, store.clone(), clock).map_err(ServeError::Process)?;
        let resident = usize::try_from(config.resident_bytes).unwrap_or(usize::MAX);
        let budget = Arc::new(Budget::new(resident));
        let timer = Timer::new(clock);
        let node = Node::new(
            store.clone(),
            Arc::clone(&pager),
            Arc::clone(&budget),
            waiters,
            Arc::clone(&timer),
            clock,
        );
        let broker = new_broker(config, Arc::clone(&node));
        let is_new = recovered.entries.is_empty();
        let is_clean = recovered.clean;
        let now = clock.now();
        restore_definitions(&broker, &recovered.entries, (&config.data_dir, alarm), now);
        messages::restore(&broker, found, pager.pages(), is_clean, now, alarm);
        let keeper = Keeper::new(&broker, store.clone(), move || clock.now());
        Ok(Opened {
            store,
            pager,
            budget,
            timer,
            node,
            broker,
            keeper,
            is_new,
        })
    }
}

/// What the node says its cluster is called.
pub(super) fn cluster_name(config: &Config) -> &str {
    config.cluster_name.as_deref().unwrap_or(&config.node_name)
}

fn new_broker(config: &Config, node: Arc<Node>) -> Arc<Broker> {
    let platform = format!("Leveret {VERSION}");
    let properties = server_properties(&platform, cluster_name(config), PRODUCT_VERSION);
    Broker::new(
        node,
        Box::new(Passwords::default()),
        limits(config),
        properties,
    )
}

fn open_store(
    config: &Config,
    waiters: &Arc<LogWaiters>,
    log_failed: &Arc<Notify>,
    recovering: &mut Recovering,
) -> Result<(Store, Recovered), StoreError> {
    let mut options = StoreOptions::new(&config.data_dir);
    options.durability = match config.durability {
        Durability::Fsync => store::Durability::Fsync,
        Durability::Os => store::Durability::Os,
    };
    options.log_file_bytes = config.log_file_bytes;
    options.log_max_bytes = config.log_max_bytes;
    options.checkpoint_log_bytes = config.checkpoint_log_bytes;
    options.checkpoint_interval = config.checkpoint_interval;
    let waiters = Arc::clone(waiters);
    let failed = Arc::clone(log_failed);
    let (store, recovered) = Store::open(
        options,
        Box::new(move |lsn| {
            waiters.durable(lsn.0);
            // Also called once when the log stops for good: whoever waits looks at the store.
            failed.notify_one();
        }),
        recovering,
    )?;
    info!(dir = %config.data_dir.display(), entries = recovered.entries.len(),
        clean = recovered.clean, "data directory opened");
    Ok((store, recovered))
}

fn limits(config: &Config) -> Limits {
    Limits {
        channel_max: config.channel_max,
        frame_max: config.frame_max,
        initial_frame_max: config.initial_frame_max,
        heartbeat: config.heartbeat,
        max_message_size: config.max_message_size,
        consumer_max_per_channel: config.consumer_max_per_channel,
        max_connections: config.max_connections,
        loopback_users: config.loopback_users.clone(),
    }
}

/// The vhost, user and permission of a new data directory: one record of the log, so that a
/// directory with some of them does not exist.
pub(crate) fn create_defaults(
    broker: &Broker,
    config: &Config,
    clock: Clock,
) -> Result<(), ServeError> {
    let failed = |what, error: String| ServeError::Default { what, error };
    let patterns = &config.default_permissions;
    let patterns = [&patterns.configure, &patterns.write, &patterns.read].map(String::clone);
    let defaults = [
        Definition::Vhost(VhostSpec {
            name: config.default_vhost.as_str().into(),
            description: "Default virtual host".into(),
            tags: Vec::new(),
        }),
        Definition::User(User {
            name: config.default_user.as_str().into(),
            password_hash: auth::hash(config.default_pass.reveal()),
            algorithm: HashAlgorithm::Sha256,
            tags: config.default_user_tags.clone(),
        }),
        Definition::Permission {
            vhost: config.default_vhost.as_str().into(),
            user: config.default_user.as_str().into(),
            patterns,
        },
    ];
    for definition in &defaults {
        broker
            .restore(definition.clone(), clock.now())
            .map_err(|error| failed("default_permissions", error))?;
    }
    broker
        .host()
        .append(defaults.map(Change::Put).to_vec())
        .map_err(|error| failed("default_user", error.to_string()))?;
    Ok(())
}
