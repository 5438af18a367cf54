//! `leveret serve`: starts the parts in order, says when they are ready, stops them in order.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use broker_core::access::{HashAlgorithm, User};
use broker_core::broker::{Broker, Limits, server_properties};
use broker_core::definition::{Change, Definition, VhostSpec};
use broker_core::queue::handle::Budget;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tracing::{error, info, warn};

use crate::alarms::{self, disk, memory};
use crate::allocator;
use crate::auth::{self, Passwords};
use crate::clock::Clock;
use crate::config::{Config, Durability};
use crate::management::{self, Api, Caller, Door, Facts, ImportError};
use crate::messages::{self, Backups, Keeper, Pager, Recovering, restore_definitions};
use crate::node::{LogWaiters, Node};
use crate::server::{Listeners, PacingTick, Shared, bind};
use crate::store::{self, Owner, Recovered, Store, StoreError, StoreOptions};
use crate::timer::Timer;
use crate::version::{PRODUCT_VERSION, VERSION};

/// How long connections have to take their connection.close at a stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the broker does not run (any more).
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// The data directory.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A definition that the configuration asks for.
    #[error("{what}: {error}")]
    Default {
        /// The option.
        what: &'static str,
        /// Why not.
        error: String,
    },
    /// The definitions file.
    #[error("definitions {}: {error}", file.display())]
    Import {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        error: ImportError,
    },
    /// A listening socket.
    #[error("cannot listen on {address} ({option}): {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The option that names it.
        option: &'static str,
        /// Why not.
        error: std::io::Error,
    },
    /// The ready file.
    #[error("cannot write {}: {error}", file.display())]
    ReadyFile {
        /// The file.
        file: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// The runtime or the signals of the process.
    #[error("cannot start: {0}")]
    Process(std::io::Error),
    /// The log stopped while the broker ran.
    #[error("the log has failed: {0}; nothing can be made durable, so the broker stops")]
    LogFailed(String),
}

/// Runs the broker until it is told to stop.
pub(crate) fn run(config: Config) -> Result<(), ServeError> {
    allocator::set_up();
    // What is in the data directory is for nobody else, also what sled makes in it.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = config.worker_threads {
        builder.worker_threads(threads);
    }
    let runtime = builder.enable_all().build().map_err(ServeError::Process)?;
    let outcome = runtime.block_on(serve(config));
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

/// The parts of a running broker.
struct Running {
    store: Store,
    pager: Arc<Pager>,
    keeper: Arc<Keeper>,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    log_failed: Arc<Notify>,
}

async fn serve(config: Config) -> Result<(), ServeError> {
    let signals = Signals::take()?;
    let clock = Clock::start();
    let waiters = Arc::new(LogWaiters::default());
    let log_failed = Arc::new(Notify::new());
    let mut recovering = Recovering::default();
    let (store, recovered) = open_store(&config, &waiters, &log_failed, &mut recovering)?;
    let found = recovering.finish();
    let disk = Arc::new(store::RealDisk);
    let (dir, node_id) = (&config.data_dir, recovered.node_id);
    let pages = found.open_pages(disk, dir, node_id, store::pages::SEGMENT_BYTES)?;
    let pager = Pager::start(pages, store.clone(), clock).map_err(ServeError::Process)?;
    let resident = usize::try_from(config.resident_bytes).unwrap_or(usize::MAX);
    let budget = Arc::new(Budget::new(resident));
    let timer = Timer::new(clock);
    tokio::spawn(Arc::clone(&timer).run());
    let pacing = Arc::<PacingTick>::default();
    tokio::spawn(Arc::clone(&pacing).run());
    let node = Node::new(
        store.clone(),
        Arc::clone(&pager),
        Arc::clone(&budget),
        waiters,
        Arc::clone(&timer),
        clock,
    );
    tokio::spawn(Arc::clone(&node).move_dead_letters());
    let cluster_name = config
        .cluster_name
        .clone()
        .unwrap_or_else(|| config.node_name.clone());
    let broker = new_broker(&config, node, &cluster_name);
    let is_new = recovered.entries.is_empty();
    let is_clean = recovered.clean;
    restore_definitions(&broker, &recovered.entries, &config.data_dir, clock.now());
    messages::restore(&broker, found, pager.pages(), is_clean, clock.now());
    let keeper = Keeper::new(&broker, store.clone(), move || clock.now());
    store.attach(Arc::clone(&keeper) as Arc<dyn Owner>);
    if is_new {
        create_defaults(&broker, &config, clock)?;
    }
    import(&broker, &config, clock)?;
    let shared = Arc::new(Shared {
        broker,
        clock,
        timer,
        pacing,
        handshake_timeout_ms: config.handshake_timeout.as_millis() as u64,
        open: AtomicUsize::new(0),
        half_open: AtomicUsize::new(0),
    });
    watch_resources(&config, &shared.broker, budget, clock);
    let (stop, stopped) = watch::channel(false);
    let running = Running {
        store,
        pager,
        keeper,
        shared,
        stop,
        log_failed,
    };
    listen(&config, cluster_name, &running, &stopped)?;
    let cause = wait_for_stop(&running, signals).await;
    let outcome = shut_down(running, cause).await;
    if let Some(file) = &config.ready_file {
        // A stale file would say that a stopped broker is ready.
        let _ = std::fs::remove_file(file);
    }
    outcome
}

fn new_broker(config: &Config, node: Arc<Node>, cluster_name: &str) -> Arc<Broker> {
    let platform = format!("Leveret {VERSION}");
    let properties = server_properties(&platform, cluster_name, PRODUCT_VERSION);
    Broker::new(
        node,
        Box::new(Passwords::default()),
        limits(config),
        properties,
    )
}

/// Keeps messages within their memory, and raises the alarms of memory and disk.
fn watch_resources(config: &Config, broker: &Arc<Broker>, budget: Arc<Budget>, clock: Clock) {
    let sweep = messages::sweep_often(Arc::clone(broker), Arc::clone(&budget), clock);
    tokio::spawn(sweep);
    let limits = alarm_limits(config);
    tokio::spawn(alarms::watch(Arc::clone(broker), budget, limits));
}

fn alarm_limits(config: &Config) -> alarms::Limits {
    let share = config.memory_high_watermark_share;
    alarms::Limits {
        memory: memory::watermark(config.memory_high_watermark, share),
        disk: disk::limit(config.disk_free_limit, config.disk_free_limit_share),
        dir: config.data_dir.clone(),
    }
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
fn create_defaults(broker: &Broker, config: &Config, clock: Clock) -> Result<(), ServeError> {
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

fn import(broker: &Broker, config: &Config, clock: Clock) -> Result<(), ServeError> {
    let Some(file) = &config.definitions else {
        return Ok(());
    };
    let failed = |error| ServeError::Import {
        file: file.clone(),
        error,
    };
    let text = std::fs::read(file).map_err(|error| failed(ImportError::Read(error)))?;
    let imported = management::import_definitions(broker, &text, clock.now()).map_err(failed)?;
    info!(file = %file.display(), %imported, "definitions imported");
    Ok(())
}

/// Opens all sockets, then says so on standard output and in the ready file.
fn listen(
    config: &Config,
    cluster_name: String,
    running: &Running,
    stopped: &watch::Receiver<bool>,
) -> Result<(), ServeError> {
    let amqp =
        Listeners::open(&config.amqp_bind).map_err(|(address, error)| ServeError::Listen {
            address,
            option: "amqp_bind",
            error,
        })?;
    let http = match config.http_bind {
        Some(address) => Some(bind(address).map_err(|error| ServeError::Listen {
            address,
            option: "http_bind",
            error,
        })?),
        None => None,
    };
    let http_address = http
        .as_ref()
        .and_then(|listener| listener.local_addr().ok());
    let amqp_addresses = amqp.addresses().to_vec();
    for address in amqp_addresses
        .iter()
        .filter(|address| !address.ip().is_loopback())
    {
        warn!(%address, "AMQP without TLS is reachable from other machines");
    }
    if let Some(listener) = http {
        let facts = Facts {
            node_name: config.node_name.clone(),
            cluster_name,
            data_dir: config.data_dir.clone(),
            amqp: amqp_addresses.clone(),
            http: http_address,
            max_body_bytes: config.management_max_body_bytes,
            memory_limit: alarm_limits(config).memory,
            disk_limit: alarm_limits(config).disk,
        };
        let (store, pager) = (running.store.clone(), Arc::clone(&running.pager));
        let backups = Backups::new(store, pager, &config.data_dir);
        let broker = Arc::clone(&running.shared.broker);
        let api = Api::new(broker, running.shared.clock, facts, backups);
        serve_http(listener, api, stopped.clone());
    }
    amqp.run(&running.shared, stopped);
    announce(config, &amqp_addresses, http_address)
}

fn serve_http(listener: TcpListener, api: Arc<Api>, mut stopped: watch::Receiver<bool>) {
    tokio::spawn(async move {
        let stop = async move {
            let _ = stopped.changed().await;
        };
        let service = management::router(api).into_make_service_with_connect_info::<Caller>();
        let served = axum::serve(Door::new(listener), service)
            .with_graceful_shutdown(stop)
            .await;
        if let Err(error) = served {
            error!(%error, "the management API stopped");
        }
    });
}

fn announce(
    config: &Config,
    amqp: &[SocketAddr],
    http: Option<SocketAddr>,
) -> Result<(), ServeError> {
    let line = serde_json::json!({
        "amqp": amqp.first().map(ToString::to_string),
        "amqp_listeners": amqp.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "http": http.map(|address| address.to_string()),
        "node": config.node_name,
        "pid": std::process::id(),
        "version": VERSION,
    })
    .to_string();
    info!(amqp = ?amqp, http = ?http, version = VERSION, "ready");
    // Nobody may be reading standard output; that is no reason not to serve.
    let _ = writeln!(std::io::stdout(), "{line}");
    if let Some(file) = &config.ready_file {
        write_ready_file(file, &line).map_err(|error| ServeError::ReadyFile {
            file: file.clone(),
            error,
        })?;
    }
    Ok(())
}

/// Whoever waits for the broker may read it.
fn write_ready_file(file: &Path, line: &str) -> std::io::Result<()> {
    std::fs::write(file, format!("{line}\n"))?;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644))
}

/// Why the broker stops.
enum Cause {
    Signal(&'static str),
    LogFailed(String),
}

/// The signals that mean something. Taken before the broker says that it is ready: a signal that
/// comes with the address line is a stop like any other.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// RabbitMQ ignores it; so does a broker started from a terminal that closes.
    hang_up: Signal,
}

impl Signals {
    fn take() -> Result<Signals, ServeError> {
        let take = |kind| signal(kind).map_err(ServeError::Process);
        Ok(Signals {
            terminate: take(SignalKind::terminate())?,
            interrupt: take(SignalKind::interrupt())?,
            hang_up: take(SignalKind::hangup())?,
        })
    }
}

async fn wait_for_stop(running: &Running, mut signals: Signals) -> Cause {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return Cause::Signal("SIGTERM"),
            _ = signals.interrupt.recv() => return Cause::Signal("SIGINT"),
            _ = signals.hang_up.recv() => info!("SIGHUP ignored"),
            () = running.log_failed.notified() => {
                if let Some(why) = running.store.failed() {
                    return Cause::LogFailed(why.to_string());
                }
            }
        }
    }
}

/// Listeners first, then connections (320), then the store, which makes a checkpoint.
async fn shut_down(running: Running, cause: Cause) -> Result<(), ServeError> {
    let Running {
        store,
        pager,
        keeper,
        shared,
        stop,
        ..
    } = running;
    match &cause {
        Cause::Signal(name) => info!(signal = name, "stopping"),
        Cause::LogFailed(why) => error!(why, "stopping: the log has failed"),
    }
    let _ = stop.send(true);
    for session in shared.broker.connections() {
        let reason = "broker forced connection closure with reason 'shutdown'";
        shared.broker.close_connection(&session, reason);
    }
    let deadline = tokio::time::Instant::now() + STOP_TIMEOUT;
    while shared.logged_in() > 0 {
        if tokio::time::Instant::now() >= deadline {
            warn!(connections = shared.logged_in(), "closed without close-ok");
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    if let Cause::LogFailed(why) = cause {
        return Err(ServeError::LogFailed(why));
    }
    let vhosts = shared.broker.vhosts();
    let close = move || {
        keeper.move_letters();
        // A letter that moves now would come behind what is being put in order.
        let _held: Vec<_> = vhosts
            .iter()
            .map(|vhost| vhost.hold_dead_letters())
            .collect();
        keeper.release_all();
        pager.stop();
        store.close()
    };
    tokio::task::spawn_blocking(close)
        .await
        .map_err(|error| ServeError::Process(std::io::Error::other(error)))??;
    info!("stopped");
    Ok(())
}
