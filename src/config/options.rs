//! The one table of options: key, type, default, flag, variable and what each means.
//!
//! Help, the sample file and every check follow from it. An option stands here only when something
//! uses it. Keys are rabbitmq.conf's where the meaning is the same.
//!
//! What one source says is applied in the order of this table, not in the order of its lines, so
//! that the RabbitMQ spelling of an address (`management.tcp.port`, then `management.tcp.ip`) means
//! the same however a file is sorted.

use super::field::Field;

/// When a changed value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applies {
    /// The next time the node starts.
    AtStart,
    /// Only when a data directory is made: users, permissions and definitions live there afterwards.
    AtFirstStart,
}

/// One row of the table.
pub struct ConfigOption {
    /// The key in a file. A last part `$name` stands for any name: the option is a list.
    pub key: &'static str,
    /// Other keys with the same meaning, from older or newer versions of RabbitMQ.
    pub also: &'static [&'static str],
    /// Type, unit, bounds and the field that is filled.
    pub field: Field,
    /// The default, as a file would say it.
    pub default: &'static str,
    /// The command-line flag, without the dashes. A secret has none: others see command lines.
    pub flag: Option<&'static str>,
    /// The environment variable.
    pub env: Option<&'static str>,
    /// When a changed value counts.
    pub applies: Applies,
    /// What it means, in a sentence or two.
    pub doc: &'static str,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The smallest frame_max that the specification allows.
const FRAME_MIN: u64 = 4096;

/// No message may be larger, so no frame has a reason to be; RabbitMQ has the same cap.
const MESSAGE_BYTES_CAP: u64 = 512 * MIB;

/// Every option there is.
pub static OPTIONS: &[ConfigOption] = &[
    ConfigOption {
        key: "data_dir",
        also: &[],
        field: Field::Path(|c| &mut c.data_dir),
        default: "./leveret-data",
        flag: Some("data-dir"),
        env: Some("LEVERET_DATA_DIR"),
        applies: Applies::AtStart,
        doc: "The folder of everything that outlives the process. It is made when missing and \
              locked while the node runs.",
    },
    ConfigOption {
        key: "listeners.tcp.$name",
        also: &[],
        field: Field::Listeners(|c| &mut c.amqp_bind),
        default: "127.0.0.1:5672",
        flag: Some("amqp-bind"),
        env: Some("LEVERET_AMQP_BIND"),
        applies: Applies::AtStart,
        doc: "Where AMQP connections are accepted. A port alone means every IPv4 interface, port 0 \
              a free port.",
    },
    ConfigOption {
        key: "http_bind",
        also: &[],
        field: Field::Listener(|c| &mut c.http_bind),
        default: "127.0.0.1:15672",
        flag: Some("http-bind"),
        env: Some("LEVERET_HTTP_BIND"),
        applies: Applies::AtStart,
        doc: "Where the management API answers.",
    },
    ConfigOption {
        key: "management.tcp.port",
        also: &["management.listener.port"],
        field: Field::ListenerPort(|c| &mut c.http_bind),
        default: "15672",
        flag: None,
        env: None,
        applies: Applies::AtStart,
        doc: "RabbitMQ's spelling of http_bind: the port, on every IPv4 interface unless \
              management.tcp.ip names one.",
    },
    ConfigOption {
        key: "management.tcp.ip",
        also: &["management.listener.ip"],
        field: Field::ListenerIp(|c| &mut c.http_bind),
        default: "127.0.0.1",
        flag: None,
        env: None,
        applies: Applies::AtStart,
        doc: "RabbitMQ's spelling of http_bind: the interface.",
    },
    ConfigOption {
        key: "ready_file",
        also: &[],
        field: Field::OptionalPath(|c| &mut c.ready_file),
        default: "none",
        flag: Some("ready-file"),
        env: Some("LEVERET_READY_FILE"),
        applies: Applies::AtStart,
        doc: "A file that is written, with the addresses in use, once the node accepts \
              connections.",
    },
    ConfigOption {
        key: "node_name",
        also: &[],
        field: Field::NodeName(|c| &mut c.node_name),
        default: "auto",
        flag: Some("node-name"),
        env: Some("LEVERET_NODE_NAME"),
        applies: Applies::AtStart,
        doc: "What the API and the metrics call this node; auto is leveret@ and the short name of \
              the host.",
    },
    ConfigOption {
        key: "cluster_name",
        also: &[],
        field: Field::OptionalName(|c| &mut c.cluster_name),
        default: "auto",
        flag: Some("cluster-name"),
        env: Some("LEVERET_CLUSTER_NAME"),
        applies: Applies::AtStart,
        doc: "What the cluster is called; auto is the name of the node.",
    },
    ConfigOption {
        key: "load_definitions",
        also: &["management.load_definitions", "definitions.local.path"],
        field: Field::OptionalPath(|c| &mut c.definitions),
        default: "none",
        flag: Some("definitions"),
        env: Some("LEVERET_DEFINITIONS"),
        applies: Applies::AtStart,
        doc: "A definitions file in RabbitMQ's JSON form, imported before the listeners open.",
    },
    ConfigOption {
        key: "default_user",
        also: &[],
        field: Field::Name(|c| &mut c.default_user),
        default: "guest",
        flag: Some("default-user"),
        env: Some("LEVERET_DEFAULT_USER"),
        applies: Applies::AtFirstStart,
        doc: "The user that is made in a new data directory.",
    },
    ConfigOption {
        key: "default_pass",
        also: &[],
        field: Field::Secret(|c| &mut c.default_pass),
        default: "guest",
        flag: None,
        env: Some("LEVERET_DEFAULT_PASS"),
        applies: Applies::AtFirstStart,
        doc: "The password of that user.",
    },
    ConfigOption {
        key: "default_user_tags.$tag",
        also: &[],
        field: Field::Names(|c| &mut c.default_user_tags),
        default: "administrator",
        flag: Some("default-user-tags"),
        env: Some("LEVERET_DEFAULT_USER_TAGS"),
        applies: Applies::AtFirstStart,
        doc: "The tags of that user.",
    },
    ConfigOption {
        key: "default_vhost",
        also: &[],
        field: Field::Name(|c| &mut c.default_vhost),
        default: "/",
        flag: Some("default-vhost"),
        env: Some("LEVERET_DEFAULT_VHOST"),
        applies: Applies::AtFirstStart,
        doc: "The vhost that is made in a new data directory.",
    },
    ConfigOption {
        key: "default_permissions.configure",
        also: &[],
        field: Field::Pattern(|c| &mut c.default_permissions.configure),
        default: ".*",
        flag: None,
        env: None,
        applies: Applies::AtFirstStart,
        doc: "What that user may declare and delete in that vhost.",
    },
    ConfigOption {
        key: "default_permissions.write",
        also: &[],
        field: Field::Pattern(|c| &mut c.default_permissions.write),
        default: ".*",
        flag: None,
        env: None,
        applies: Applies::AtFirstStart,
        doc: "What that user may publish to and bind into.",
    },
    ConfigOption {
        key: "default_permissions.read",
        also: &[],
        field: Field::Pattern(|c| &mut c.default_permissions.read),
        default: ".*",
        flag: None,
        env: None,
        applies: Applies::AtFirstStart,
        doc: "What that user may consume and bind from.",
    },
    ConfigOption {
        key: "loopback_users.$user",
        also: &[],
        field: Field::Names(|c| &mut c.loopback_users),
        default: "guest",
        flag: Some("loopback-users"),
        env: Some("LEVERET_LOOPBACK_USERS"),
        applies: Applies::AtStart,
        doc: "Users that may only connect from this host.",
    },
    ConfigOption {
        key: "heartbeat",
        also: &[],
        field: Field::Seconds(|c| &mut c.heartbeat),
        default: "60",
        flag: Some("heartbeat"),
        env: Some("LEVERET_HEARTBEAT"),
        applies: Applies::AtStart,
        doc: "The heartbeat timeout that is offered to clients; 0 offers none.",
    },
    ConfigOption {
        key: "frame_max",
        also: &[],
        field: Field::Size(|c| &mut c.frame_max, FRAME_MIN..=MESSAGE_BYTES_CAP),
        default: "131072",
        flag: Some("frame-max"),
        env: Some("LEVERET_FRAME_MAX"),
        applies: Applies::AtStart,
        doc: "The largest frame that is offered to clients.",
    },
    ConfigOption {
        key: "initial_frame_max",
        also: &[],
        field: Field::Size(|c| &mut c.initial_frame_max, FRAME_MIN..=MIB),
        default: "8192",
        flag: Some("initial-frame-max"),
        env: Some("LEVERET_INITIAL_FRAME_MAX"),
        applies: Applies::AtStart,
        doc: "The largest frame before a client has logged in. Long tokens as passwords need more.",
    },
    ConfigOption {
        key: "channel_max",
        also: &["max_channels_per_connection"],
        field: Field::Channels(|c| &mut c.channel_max),
        default: "2047",
        flag: Some("channel-max"),
        env: Some("LEVERET_CHANNEL_MAX"),
        applies: Applies::AtStart,
        doc: "How many channels a connection may have open; 0 is as many as the protocol can \
              number.",
    },
    ConfigOption {
        key: "handshake_timeout",
        also: &[],
        field: Field::Millis(|c| &mut c.handshake_timeout, 100..=3_600_000),
        default: "10000",
        flag: Some("handshake-timeout"),
        env: Some("LEVERET_HANDSHAKE_TIMEOUT"),
        applies: Applies::AtStart,
        doc: "How long a client may take from the first byte to connection.open.",
    },
    ConfigOption {
        key: "max_message_size",
        also: &[],
        field: Field::Size(|c| &mut c.max_message_size, 1..=MESSAGE_BYTES_CAP),
        default: "134217728",
        flag: Some("max-message-size"),
        env: Some("LEVERET_MAX_MESSAGE_SIZE"),
        applies: Applies::AtStart,
        doc: "The largest body that may be published.",
    },
    ConfigOption {
        key: "consumer_max_per_channel",
        also: &[],
        field: Field::Limit(|c| &mut c.consumer_max_per_channel),
        default: "infinity",
        flag: Some("consumer-max-per-channel"),
        env: Some("LEVERET_CONSUMER_MAX_PER_CHANNEL"),
        applies: Applies::AtStart,
        doc: "How many consumers a channel may have.",
    },
    ConfigOption {
        key: "max_connections",
        also: &["connection_max"],
        field: Field::Limit(|c| &mut c.max_connections),
        default: "infinity",
        flag: Some("max-connections"),
        env: Some("LEVERET_MAX_CONNECTIONS"),
        applies: Applies::AtStart,
        doc: "How many AMQP connections the node has at most.",
    },
    ConfigOption {
        key: "vm_memory_high_watermark.absolute",
        also: &[],
        field: Field::OptionalSize(|c| &mut c.memory_high_watermark, MIB..=u64::MAX >> 1),
        default: "auto",
        flag: Some("memory-high-watermark"),
        env: Some("LEVERET_MEMORY_HIGH_WATERMARK"),
        applies: Applies::AtStart,
        doc: "Above this much memory in use, connections that publish are blocked until it is \
              less; auto is 60 % of the memory the broker may use.",
    },
    ConfigOption {
        key: "vm_memory_high_watermark.relative",
        also: &[],
        field: Field::Share(|c| &mut c.memory_high_watermark_share, 1..=1000),
        default: "auto",
        flag: None,
        env: None,
        applies: Applies::AtStart,
        doc: "The same as a part of the memory the broker may use (its control group's or the \
              machine's), when there is no absolute value; auto is 0.6.",
    },
    ConfigOption {
        key: "disk_free_limit.absolute",
        also: &[],
        field: Field::LargeSize(|c| &mut c.disk_free_limit, 0..=u64::MAX >> 1),
        default: "50MB",
        flag: Some("disk-free-limit"),
        env: Some("LEVERET_DISK_FREE_LIMIT"),
        applies: Applies::AtStart,
        doc: "With less free space than this on the disk of the data directory, connections that \
              publish are blocked until there is more.",
    },
    ConfigOption {
        key: "disk_free_limit.relative",
        also: &[],
        field: Field::Share(|c| &mut c.disk_free_limit_share, 1..=10_000_000),
        default: "auto",
        flag: None,
        env: None,
        applies: Applies::AtStart,
        doc: "The same as a multiple of the memory the broker may use; it wins over the absolute \
              value. auto is none.",
    },
    ConfigOption {
        key: "management.http.max_body_size",
        also: &[],
        field: Field::LargeSize(|c| &mut c.management_max_body_bytes, KIB..=GIB),
        default: "20MiB",
        flag: Some("management-max-body-size"),
        env: Some("LEVERET_MANAGEMENT_MAX_BODY_SIZE"),
        applies: Applies::AtStart,
        doc: "The largest body of a request to the management API, an uploaded definitions file \
              for example.",
    },
    ConfigOption {
        key: "durability",
        also: &[],
        field: Field::Durability(|c| &mut c.durability),
        default: "fsync",
        flag: Some("durability"),
        env: Some("LEVERET_DURABILITY"),
        applies: Applies::AtStart,
        doc: "What a confirm promises. fsync: the message is on the device. os: the operating \
              system has it, and a power loss may take it.",
    },
    ConfigOption {
        key: "resident_bytes",
        also: &[],
        field: Field::LargeSize(|c| &mut c.resident_bytes, 0..=1024 * GIB),
        default: "32MiB",
        flag: Some("resident-bytes"),
        env: Some("LEVERET_RESIDENT_BYTES"),
        applies: Applies::AtStart,
        doc: "How much memory the messages of all queues may take, beside 1 MiB for each queue \
              that has consumers. What is above it is on disk only.",
    },
    ConfigOption {
        key: "wal.file_size",
        also: &[],
        field: Field::Blocks(|c| &mut c.log_file_bytes, 64 * KIB..=4 * GIB),
        default: "64MiB",
        flag: Some("wal-file-size"),
        env: Some("LEVERET_WAL_FILE_SIZE"),
        applies: Applies::AtStart,
        doc: "The size of one file of the write-ahead log.",
    },
    ConfigOption {
        key: "wal.max_size",
        also: &[],
        field: Field::LargeSize(|c| &mut c.log_max_bytes, 256 * KIB..=1024 * GIB),
        default: "1GiB",
        flag: Some("wal-max-size"),
        env: Some("LEVERET_WAL_MAX_SIZE"),
        applies: Applies::AtStart,
        doc: "How large the write-ahead log may grow while its files cannot be reused; then only \
              deletions are taken. At least four files.",
    },
    ConfigOption {
        key: "wal.checkpoint_size",
        also: &[],
        field: Field::LargeSize(|c| &mut c.checkpoint_log_bytes, 64 * KIB..=1024 * GIB),
        default: "64MiB",
        flag: Some("wal-checkpoint-size"),
        env: Some("LEVERET_WAL_CHECKPOINT_SIZE"),
        applies: Applies::AtStart,
        doc: "A checkpoint starts after so much new log: less makes restarts shorter and writes \
              more.",
    },
    ConfigOption {
        key: "wal.checkpoint_interval",
        also: &[],
        field: Field::Millis(|c| &mut c.checkpoint_interval, 100..=86_400_000),
        default: "60000",
        flag: Some("wal-checkpoint-interval"),
        env: Some("LEVERET_WAL_CHECKPOINT_INTERVAL"),
        applies: Applies::AtStart,
        doc: "A checkpoint starts after so long when there is anything new.",
    },
    ConfigOption {
        key: "worker_threads",
        also: &[],
        field: Field::Threads(|c| &mut c.worker_threads, 1..=1024),
        default: "auto",
        flag: Some("worker-threads"),
        env: Some("LEVERET_WORKER_THREADS"),
        applies: Applies::AtStart,
        doc: "Threads that serve connections; auto is one per processor.",
    },
    ConfigOption {
        key: "log.console.level",
        also: &[],
        field: Field::LogLevel(|c| &mut c.log_level),
        default: "info",
        flag: Some("log-level"),
        env: Some("LEVERET_LOG_LEVEL"),
        applies: Applies::AtStart,
        doc: "How much is logged, on standard error.",
    },
    ConfigOption {
        key: "log.console.formatter",
        also: &[],
        field: Field::LogFormat(|c| &mut c.log_format),
        default: "plaintext",
        flag: Some("log-format"),
        env: Some("LEVERET_LOG_FORMAT"),
        applies: Applies::AtStart,
        doc: "The shape of a log line.",
    },
];

/// Keys that tune RabbitMQ's runtime and have nothing here to tune: a file with them starts, and
/// each is named in a warning. A trailing `*` stands for any rest.
pub(super) const ERLANG_ONLY: &[&str] = &[
    "background_gc_*",
    "classic_queue.default_version",
    "default_worker_pool_size",
    "delegate_count",
    "distribution.*",
    "erlang.*",
    "hipe_compile",
    "kernel.*",
    "message_store_shutdown_timeout",
    "mirroring_sync_*",
    "mnesia_*",
    "net_ticktime",
    "num_acceptors.*",
    "queue_index_embed_msgs_below",
    "socket_writer.*",
    "sysmon_handler.*",
    "vm_memory_calculation_strategy",
];
