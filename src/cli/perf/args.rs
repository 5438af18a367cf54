//! The command line of `leveret perf`.
//! Owns the flags, which of them belong together, and what they mean in each mode; `rules` refuses
//! contradictions, so that what comes out is a plan. Never opens a connection.

use std::time::Duration;

use clap::Args;
use clap::builder::ArgPredicate;
use serde::Serialize;

use super::uri::Uri;

mod excludes;
mod names;
mod rules;

use excludes::{
    CHURN_EXCLUDES, DECLARE_EXCLUDES, DRAIN_EXCLUDES, IDLE_EXCLUDES, REQUEST_REPLY_EXCLUDES,
    SAME_CONNECTION_EXCLUDES, SLOW_READER_EXCLUDES, STOPPED_EXCLUDES,
};

/// Puts load on an AMQP 0-9-1 broker and measures it.
#[derive(Args, Clone, Debug, Serialize)]
pub struct PerfArgs {
    /// Broker to connect to.
    #[arg(long, default_value = "amqp://guest:guest@127.0.0.1:5672/%2F")]
    #[serde(serialize_with = "without_password")]
    pub(super) uri: Uri,

    /// Publishing connections; publisher p feeds queue p modulo --queues.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        default_value_if("drain", ArgPredicate::IsPresent, "0")
    )]
    pub(super) publishers: u64,

    /// Consuming connections; consumer c takes from queue c modulo --queues.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) consumers: u64,

    /// Queues; they are declared before the run and deleted after it.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) queues: u64,

    /// Body of each message [default: 16, with --slow-reader 1048576].
    #[arg(long, value_name = "BYTES")]
    pub(super) size: Option<u64>,

    /// Publish with confirms, at most WINDOW of them open per publisher (0: without confirms).
    #[arg(long, value_name = "WINDOW", default_value_t = 0)]
    pub(super) confirm: u64,

    /// Acknowledge every EVERY-th delivery with 'multiple' (0: consume without acknowledgements).
    #[arg(long, value_name = "EVERY", default_value_t = 0)]
    pub(super) ack: u64,

    /// Prefetch count of each consumer (0: unlimited).
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) prefetch: u16,

    /// Messages per second that each consumer takes [default: as fast as they come].
    #[arg(long, value_name = "MSG_PER_S")]
    pub(super) consume_rate: Option<u64>,

    /// Consumers subscribe and then read nothing. Memory is read 2 seconds after the last publish.
    #[arg(long, requires = "messages", conflicts_with_all = STOPPED_EXCLUDES)]
    pub(super) stopped: bool,

    /// Publish persistent messages.
    #[arg(long)]
    pub(super) persistent: bool,

    /// Declare durable queues.
    #[arg(long)]
    pub(super) durable: bool,

    /// Queue names; %d is replaced by the number of the queue, from 1.
    #[arg(long, value_name = "PATTERN", default_value = "perf-%d")]
    pub(super) queue_name: String,

    /// Use queues that exist already, with what is in them, and leave them there.
    #[arg(long)]
    pub(super) existing: bool,

    /// Leave the declared queues behind.
    #[arg(long)]
    pub(super) keep: bool,

    /// Publish to this exchange; the queues are bound to it. It must exist unless there is an
    /// --exchange-type. With --declare and --churn the exchange that each queue is bound to.
    #[arg(long, value_name = "NAME")]
    pub(super) exchange: Option<String>,

    /// Declare the exchange, of this type, and delete it after the run.
    #[arg(long, value_name = "TYPE", requires = "exchange")]
    pub(super) exchange_type: Option<String>,

    /// Routing key of every message [default: the name of the publisher's queue]; %d is replaced
    /// by a number of ten digits, see --routing-keys.
    #[arg(long, value_name = "KEY", requires = "exchange")]
    pub(super) routing_key: Option<String>,

    /// How many different numbers %d in --routing-key takes, one after the other from 1 (0: every
    /// message has a number of its own).
    #[arg(long, value_name = "N", requires = "routing_key")]
    pub(super) routing_keys: Option<u64>,

    /// Key of the bindings [default: the routing key]; %d is replaced by the number of the
    /// binding, from 1, in ten digits.
    #[arg(long, value_name = "KEY", requires = "exchange")]
    pub(super) binding_key: Option<String>,

    /// Bindings in all, made to the queues in turn [default: one for each queue].
    #[arg(long, value_name = "N", requires = "exchange")]
    pub(super) bindings: Option<u64>,

    /// Length of the measurement [default: 10]; with --messages, --drain, --declare and
    /// --same-connection the time after which the run is given up [600]; with --idle how long the
    /// connections are held before memory is read [2].
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    #[serde(serialize_with = "in_seconds")]
    pub(super) duration: Option<Duration>,

    /// Load before the measurement begins [default: 1].
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    #[serde(serialize_with = "in_seconds")]
    pub(super) warmup: Option<Duration>,

    /// Publish this many messages in all, then wait until they are confirmed and consumed; the
    /// measurement is from the first to the last. With --declare the number of queues [1000].
    #[arg(long, value_name = "N", conflicts_with = "warmup")]
    pub(super) messages: Option<u64>,

    /// Publish nothing; consume this many messages from queues that exist already. The measurement
    /// is from before the first basic.consume to the last delivery.
    #[arg(long, value_name = "N", conflicts_with_all = DRAIN_EXCLUDES)]
    pub(super) drain: Option<u64>,

    /// Messages per second of each publisher [default: as fast as the broker takes them, with
    /// --slow-reader 100].
    #[arg(long, value_name = "MSG_PER_S")]
    pub(super) rate: Option<u64>,

    /// Measure the time from publishing to delivery; with --rate from the moment a message was
    /// due, so that a stalled broker is charged for what it held up.
    #[arg(long)]
    pub(super) latency: bool,

    /// Check every body: none lost, none twice, in order, with its checksum. The run then waits
    /// for what is on its way, and fails when something is wrong.
    #[arg(long, conflicts_with_all = ["existing", "drain", "stopped"])]
    pub(super) check: bool,

    /// Measure the time from publishing to the confirm; with --rate from the moment a message was
    /// due.
    #[arg(long)]
    pub(super) confirm_latency: bool,

    /// Process of the broker, on this machine: measures its CPU time and memory.
    #[arg(long)]
    pub(super) pid: Option<u32>,

    /// Idle connections to open; with --declare, --churn and --request-reply connections that work
    /// at the same time [1].
    #[arg(long, value_name = "N")]
    pub(super) connections: Option<u64>,

    /// Channels of each connection [default: 1]; a publisher uses them in turn, a consumer consumes
    /// on all of them.
    #[arg(long, value_name = "N", conflicts_with_all = ["check", "confirm_latency"])]
    pub(super) channels: Option<u16>,

    /// Instead of load, hold --connections idle connections with open channels.
    #[arg(long, requires = "connections", conflicts_with_all = IDLE_EXCLUDES)]
    pub(super) idle: bool,

    /// Instead of load, let one consumer read large messages slowly while they go on arriving.
    #[arg(long, conflicts_with_all = SLOW_READER_EXCLUDES)]
    pub(super) slow_reader: bool,

    /// Bytes per second the slow reader takes.
    #[arg(long, value_name = "BYTES_PER_S", default_value_t = 4 << 20, requires = "slow_reader")]
    pub(super) read_rate: u64,

    /// Fail when the broker grows by more than this.
    #[arg(long, value_name = "MIB", requires = "slow_reader", requires = "pid")]
    pub(super) rss_limit: Option<u64>,

    /// Instead of load, publish a backlog and drain it on the same connection, then do both at
    /// once.
    #[arg(long, conflicts_with_all = SAME_CONNECTION_EXCLUDES)]
    pub(super) same_connection: bool,

    /// Instead of load, declare --messages queues of new names over --connections connections, bind
    /// each to --exchange if there is one, and delete them afterwards.
    #[arg(long, conflicts_with_all = DECLARE_EXCLUDES)]
    pub(super) declare: bool,

    /// Instead of load, declare, bind and delete temporary queues over --connections connections,
    /// together --rate of them per second.
    #[arg(long, conflicts_with_all = CHURN_EXCLUDES)]
    pub(super) churn: bool,

    /// Instead of load, let --connections clients ask and one server answer through direct
    /// reply-to, a request at a time each.
    #[arg(long, conflicts_with_all = REQUEST_REPLY_EXCLUDES)]
    pub(super) request_reply: bool,

    /// Time between two lines about a load while it runs.
    #[arg(long, value_name = "SECS", value_parser = seconds, default_value = "1",
          conflicts_with = "json")]
    #[serde(skip)]
    pub(super) interval: Duration,

    /// Print one JSON object instead of a table, and nothing while the load runs.
    #[arg(long)]
    pub(super) json: bool,
}

/// What the arguments ask for.
pub(super) enum Mode {
    Load,
    Idle { connections: u64 },
    SlowReader,
    SameConnection,
    Declare { connections: u64, queues: u64 },
    Churn { connections: u64 },
    RequestReply { clients: u64 },
}

impl PerfArgs {
    pub(super) fn mode(&self) -> Mode {
        match (self.idle, self.connections) {
            (true, Some(connections)) => Mode::Idle { connections },
            _ if self.slow_reader => Mode::SlowReader,
            _ if self.same_connection => Mode::SameConnection,
            (_, connections) if self.declare => Mode::Declare {
                connections: connections.unwrap_or(1),
                queues: self.messages.unwrap_or(DEFAULT_DECLARES),
            },
            (_, connections) if self.churn => Mode::Churn {
                connections: connections.unwrap_or(1),
            },
            (_, connections) if self.request_reply => Mode::RequestReply {
                clients: connections.unwrap_or(1),
            },
            _ => Mode::Load,
        }
    }

    pub(super) fn body_bytes(&self) -> usize {
        let default = if self.slow_reader {
            SLOW_READER_BODY
        } else {
            DEFAULT_BODY
        };
        self.size.unwrap_or(default) as usize
    }

    /// What `--duration` means in this mode.
    pub(super) fn time_limit(&self) -> Duration {
        let counted = self.is_counted() || self.same_connection || self.declare;
        let default = match self.idle {
            true => HOLD_IDLE,
            false if counted => GIVE_UP_AFTER,
            false => DEFAULT_DURATION,
        };
        self.duration.unwrap_or(default)
    }

    /// Whether the run ends with a number of messages instead of a time.
    pub(super) fn is_counted(&self) -> bool {
        self.messages.is_some() || self.drain.is_some()
    }

    /// Channels of each connection beyond its first.
    pub(super) fn more_channels(&self) -> u16 {
        self.channels.unwrap_or(1).saturating_sub(1)
    }

    pub(super) fn warmup(&self) -> Duration {
        self.warmup.unwrap_or(DEFAULT_WARMUP)
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "not a number of seconds".to_owned())?;
    if !(0.0..=SECONDS_MAX).contains(&seconds) {
        return Err(format!("must lie between 0 and {SECONDS_MAX} seconds"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn without_password<S: serde::Serializer>(uri: &Uri, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(uri)
}

fn in_seconds<S: serde::Serializer>(
    time: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs_f64()).serialize(serializer)
}

const DEFAULT_BODY: u64 = 16;
const SLOW_READER_BODY: u64 = 1 << 20;
const DEFAULT_DECLARES: u64 = 1000;
const DEFAULT_DURATION: Duration = Duration::from_secs(10);
const DEFAULT_WARMUP: Duration = Duration::from_secs(1);
const HOLD_IDLE: Duration = Duration::from_secs(2);
const GIVE_UP_AFTER: Duration = Duration::from_secs(600);
const SECONDS_MAX: f64 = 86_400.0;

#[cfg(test)]
pub(super) mod tests;
