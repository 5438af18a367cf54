//! What the node is told to be: one table of options, read from flags, variables and a file.
//!
//! `Config` holds checked values only; the parts of the node are handed the ones they need and
//! never see a key or a text. Reads the configuration file and the host's name, and nothing else.

mod error;
mod field;
mod file;
mod load;
mod nearest;
mod node;
mod options;
mod sample;
#[cfg(test)]
mod tests;
mod value;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use error::{ConfigError, Fault, Origin, Warning};
pub use field::Field;
pub use load::{CONFIG_VARIABLE, Loaded, Sources, check, load};
pub use options::{Applies, ConfigOption, OPTIONS};
pub use sample::sample;
pub use value::{DefaultPermissions, Durability, LogFormat, LogLevel, Secret};

/// Every option's value, checked. `options.rs` says what each means and what it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The folder of everything that outlives the process.
    pub data_dir: PathBuf,
    /// Where AMQP connections are accepted; never empty.
    pub amqp_bind: Vec<SocketAddr>,
    /// Where the management API answers; `None` when it is off.
    pub http_bind: Option<SocketAddr>,
    /// Written, with the addresses in use, once the node accepts connections.
    pub ready_file: Option<PathBuf>,
    /// `NAME@HOST`, whole.
    pub node_name: String,
    /// `None` to use the node's name.
    pub cluster_name: Option<String>,
    /// Definitions to import before the listeners open.
    pub definitions: Option<PathBuf>,
    /// The user of a new data directory.
    pub default_user: String,
    /// The password of that user.
    pub default_pass: Secret,
    /// The tags of that user.
    pub default_user_tags: Vec<String>,
    /// The vhost of a new data directory.
    pub default_vhost: String,
    /// What that user may do there.
    pub default_permissions: DefaultPermissions,
    /// Users that may only connect from this host.
    pub loopback_users: Vec<String>,
    /// Seconds offered to clients; 0 offers no heartbeat.
    pub heartbeat: u16,
    /// Bytes of the largest frame offered to clients.
    pub frame_max: u32,
    /// Bytes of the largest frame before the login.
    pub initial_frame_max: u32,
    /// Channels a connection may have open; never 0.
    pub channel_max: u16,
    /// From the first byte to connection.open.
    pub handshake_timeout: Duration,
    /// Bytes of the largest body.
    pub max_message_size: u32,
    /// `None` for no limit.
    pub consumer_max_per_channel: Option<u32>,
    /// `None` for no limit.
    pub max_connections: Option<u32>,
    /// Bytes of memory in use above which publishers are blocked; `None` for 60 % of what there is.
    pub memory_high_watermark: Option<u64>,
    /// The same in thousandths of the memory there is; `None` for the default.
    pub memory_high_watermark_share: Option<u64>,
    /// Bytes of free disk below which publishers are blocked.
    pub disk_free_limit: u64,
    /// The same in thousandths of the memory there is; `None` for the bytes.
    pub disk_free_limit_share: Option<u64>,
    /// Bytes of the largest request to the management API.
    pub management_max_body_bytes: u64,
    /// What a confirm promises.
    pub durability: Durability,
    /// Bytes of messages in memory, beside what queues with consumers have.
    pub resident_bytes: u64,
    /// Bytes of one file of the write-ahead log, in whole blocks.
    pub log_file_bytes: u64,
    /// Bytes of the whole log at most; holds at least four files.
    pub log_max_bytes: u64,
    /// A checkpoint starts after so many bytes of log.
    pub checkpoint_log_bytes: u64,
    /// A checkpoint starts after so long, when there is anything new.
    pub checkpoint_interval: Duration,
    /// `None` for one per processor.
    pub worker_threads: Option<usize>,
    /// How much is logged.
    pub log_level: LogLevel,
    /// The shape of a log line.
    pub log_format: LogFormat,
}

impl Default for Config {
    /// The defaults of the table; what stands here is overwritten by them and only gives each field
    /// a value to start from.
    fn default() -> Self {
        Self::from_defaults(Self {
            data_dir: PathBuf::new(),
            amqp_bind: Vec::new(),
            http_bind: None,
            ready_file: None,
            node_name: String::new(),
            cluster_name: None,
            definitions: None,
            default_user: String::new(),
            default_pass: Secret::default(),
            default_user_tags: Vec::new(),
            default_vhost: String::new(),
            default_permissions: DefaultPermissions::default(),
            loopback_users: Vec::new(),
            heartbeat: 0,
            frame_max: 0,
            initial_frame_max: 0,
            channel_max: 0,
            handshake_timeout: Duration::ZERO,
            max_message_size: 0,
            consumer_max_per_channel: None,
            max_connections: None,
            memory_high_watermark: None,
            memory_high_watermark_share: None,
            disk_free_limit: 0,
            disk_free_limit_share: None,
            management_max_body_bytes: 0,
            durability: Durability::Fsync,
            resident_bytes: 0,
            log_file_bytes: 0,
            log_max_bytes: 0,
            checkpoint_log_bytes: 0,
            checkpoint_interval: Duration::ZERO,
            worker_threads: None,
            log_level: LogLevel::Off,
            log_format: LogFormat::Text,
        })
    }
}
