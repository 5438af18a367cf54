//! `leveret serve`: starts the parts in order, says when they are ready, stops them in order.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use broker_core::broker::Broker;
use broker_core::queue::handle::Budget;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tracing::{error, info, warn};

use crate::alarms::{self, disk, memory};
use crate::allocator;
use crate::clock::Clock;
use crate::config::Config;
use crate::management::{self, Api, Caller, Door, Facts, ImportError};
use crate::messages::{self, Backups, Keeper, Pager};
use crate::server::{Listeners, PacingTick, Shared, bind};
use crate::store::{Owner, Store, StoreError};
use crate::version::VERSION;

pub(crate) mod opening;

use self::opening::{Opened, create_defaults};

/// Turns of connections after which sockets are looked at again. A turn may be 256 KiB: with tokio's 61,
/// a consumer's acks wait behind those of all who publish.
const EVENT_INTERVAL: u32 = 7;
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
    builder.event_interval(EVENT_INTERVAL);
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
    let log_failed = Arc::new(Notify::new());
    let Opened {
        store,
        pager,
        budget,
        timer,
        node,
        broker,
        keeper,
        is_new,
    } = Opened::open(&config, clock, &log_failed)?;
    tokio::spawn(Arc::clone(&timer).run());
    let pacing = Arc::<PacingTick>::default();
    tokio::spawn(Arc::clone(&pacing).run());
    tokio::spawn(node.move_dead_letters());
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
    listen(&config, &running, &stopped)?;
    let cause = wait_for_stop(&running, signals).await;
    let outcome = shut_down(running, cause).await;
    if let Some(file) = &config.ready_file {
        // A stale file would say that a stopped broker is ready.
        let _ = std::fs::remove_file(file);
    }
    outcome
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
            cluster_name: opening::cluster_name(config).to_owned(),
            data_dir: config.data_dir.clone(),
            amqp: amqp_addresses.clone(),
            http: http_address,
            max_body_bytes: config.management_max_body_bytes,
            memory_limit: alarm_limits(config).memory,
            disk_limit: alarm_limits(config).disk,
            damage: Arc::clone(running.store.damage()),
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
