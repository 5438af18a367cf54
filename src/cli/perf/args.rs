//! The command line of `leveret perf`.
//! Owns the flags, which of them belong together, and what they mean in each mode; `rules` refuses
//! contradictions, so that what comes out is a plan. Never opens a connection.

use std::time::Duration;

use amqp_codec::ShortString;
use clap::Args;
use clap::builder::ArgPredicate;
use serde::Serialize;

use super::error::PerfError;
use super::uri::Uri;

mod rules;

use rules::{
    DECLARE_EXCLUDES, DRAIN_EXCLUDES, IDLE_EXCLUDES, SAME_CONNECTION_EXCLUDES, SLOW_READER_EXCLUDES,
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

    /// Publish to this exchange, which must exist; the queues are bound to it.
    #[arg(long, value_name = "NAME")]
    pub(super) exchange: Option<String>,

    /// Routing key of every message [default: the name of the publisher's queue].
    #[arg(long, value_name = "KEY", requires = "exchange")]
    pub(super) routing_key: Option<String>,

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

    /// Measure the time from publishing to the confirm; with --rate from the moment a message was
    /// due.
    #[arg(long)]
    pub(super) confirm_latency: bool,

    /// Process of the broker, on this machine: measures its CPU time and memory.
    #[arg(long)]
    pub(super) pid: Option<u32>,

    /// Idle connections to open; with --declare connections that declare at the same time [1].
    #[arg(long, value_name = "N")]
    pub(super) connections: Option<u64>,

    /// Instead of load, hold --connections idle connections with an open channel each.
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

    /// Instead of load, declare --messages queues of new names over --connections connections, and
    /// delete them afterwards.
    #[arg(long, conflicts_with_all = DECLARE_EXCLUDES)]
    pub(super) declare: bool,

    /// Print one JSON object instead of a table.
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

    pub(super) fn warmup(&self) -> Duration {
        self.warmup.unwrap_or(DEFAULT_WARMUP)
    }

    pub(super) fn queue_names(&self) -> Result<Vec<ShortString>, PerfError> {
        (1..=self.queues)
            .map(|number| self.queue_name_of(number))
            .collect()
    }

    /// The slow reader's queue and the one of the fast pair beside it.
    pub(super) fn slow_reader_queues(&self) -> Result<[ShortString; 2], PerfError> {
        Ok([self.queue_name_of(1)?, self.queue_name_of(2)?])
    }

    fn queue_name_of(&self, number: u64) -> Result<ShortString, PerfError> {
        name(
            "--queue-name",
            &self.queue_name.replace(NUMBER, &number.to_string()),
        )
    }

    /// Exchange and routing key for messages meant for `queue`.
    pub(super) fn target(
        &self,
        queue: &ShortString,
    ) -> Result<(ShortString, ShortString), PerfError> {
        let exchange = name("--exchange", self.exchange.as_deref().unwrap_or_default())?;
        let key = match &self.routing_key {
            Some(key) => name("--routing-key", key)?,
            None => queue.clone(),
        };
        Ok((exchange, key))
    }
}

fn name(flag: &str, text: &str) -> Result<ShortString, PerfError> {
    ShortString::try_from(text)
        .map_err(|_| PerfError::Usage(format!("{flag} is longer than 255 bytes")))
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

const NUMBER: &str = "%d";
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
