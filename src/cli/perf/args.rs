//! The command line of `leveret perf`.
//! Owns the flags, which of them belong together, and their limits; what comes out is a plan that
//! contradicts nothing. Never opens a connection.

use std::time::Duration;

use amqp_codec::ShortString;
use clap::Args;
use serde::Serialize;

use super::error::PerfError;
use super::uri::Uri;

/// Puts load on an AMQP 0-9-1 broker and measures it.
#[derive(Args, Clone, Debug, Serialize)]
pub struct PerfArgs {
    /// Broker to connect to.
    #[arg(long, default_value = "amqp://guest:guest@127.0.0.1:5672/%2F")]
    #[serde(serialize_with = "without_password")]
    pub(super) uri: Uri,

    /// Publishing connections; publisher p feeds queue p modulo --queues.
    #[arg(long, value_name = "N", default_value_t = 1)]
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

    /// Length of the measurement [default: 10]; with --messages and --same-connection the time
    /// after which the run is given up [600]; with --idle how long the connections are held before
    /// memory is read [2].
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    #[serde(serialize_with = "in_seconds")]
    pub(super) duration: Option<Duration>,

    /// Load before the measurement begins [default: 1].
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    #[serde(serialize_with = "in_seconds")]
    pub(super) warmup: Option<Duration>,

    /// Publish this many messages in all, then wait until they are confirmed and consumed; the
    /// measurement is from the first to the last.
    #[arg(long, value_name = "N", conflicts_with = "warmup")]
    pub(super) messages: Option<u64>,

    /// Messages per second of each publisher [default: as fast as the broker takes them, with
    /// --slow-reader 100].
    #[arg(long, value_name = "MSG_PER_S")]
    pub(super) rate: Option<u64>,

    /// Measure the time from publishing to delivery; with --rate from the moment a message was
    /// due, so that a stalled broker is charged for what it held up.
    #[arg(long)]
    pub(super) latency: bool,

    /// Process of the broker, on this machine: measures its CPU time and memory.
    #[arg(long)]
    pub(super) pid: Option<u32>,

    /// Idle connections to open.
    #[arg(long, value_name = "N", requires = "idle")]
    pub(super) connections: Option<u64>,

    /// Instead of load, hold --connections idle connections with an open channel each.
    #[arg(long, requires = "connections", conflicts_with_all = LOAD_FLAGS)]
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

    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(super) json: bool,
}

/// Flags that shape a load and mean nothing to idle connections.
const LOAD_FLAGS: [&str; 22] = [
    "publishers",
    "consumers",
    "queues",
    "size",
    "confirm",
    "ack",
    "prefetch",
    "persistent",
    "durable",
    "queue_name",
    "existing",
    "keep",
    "exchange",
    "routing_key",
    "warmup",
    "messages",
    "rate",
    "latency",
    "slow_reader",
    "read_rate",
    "rss_limit",
    "same_connection",
];

const SLOW_READER_EXCLUDES: [&str; 14] = [
    "publishers",
    "consumers",
    "queues",
    "confirm",
    "ack",
    "prefetch",
    "existing",
    "keep",
    "exchange",
    "routing_key",
    "warmup",
    "messages",
    "latency",
    "same_connection",
];

const SAME_CONNECTION_EXCLUDES: [&str; 12] = [
    "publishers",
    "consumers",
    "queues",
    "confirm",
    "existing",
    "keep",
    "exchange",
    "routing_key",
    "warmup",
    "rate",
    "latency",
    "read_rate",
];

/// What the arguments ask for.
pub(super) enum Mode {
    Load,
    Idle { connections: u64 },
    SlowReader,
    SameConnection,
}

impl PerfArgs {
    pub(super) fn mode(&self) -> Mode {
        match (self.idle, self.connections) {
            (true, Some(connections)) => Mode::Idle { connections },
            _ if self.slow_reader => Mode::SlowReader,
            _ if self.same_connection => Mode::SameConnection,
            _ => Mode::Load,
        }
    }

    /// Refuses what no flag alone can: limits and contradictions.
    pub(super) fn check(&self) -> Result<(), PerfError> {
        within("--publishers", self.publishers, 0, WORKERS_MAX)?;
        within("--consumers", self.consumers, 0, WORKERS_MAX)?;
        within("--queues", self.queues, 1, QUEUES_MAX)?;
        within("--size", self.body_bytes() as u64, 0, BODY_MAX)?;
        within("--confirm", self.confirm, 0, WINDOW_MAX)?;
        within(
            "--connections",
            self.connections.unwrap_or(1),
            1,
            CONNECTIONS_MAX,
        )?;
        within("--read-rate", self.read_rate, 1, u64::MAX)?;
        within("--rate", self.rate.unwrap_or(1), 1, RATE_MAX)?;
        within("--messages", self.messages.unwrap_or(1), 1, u64::MAX)?;
        self.check_workers()?;
        self.check_acks()?;
        self.check_latency()?;
        let several = self.queues > 1 || self.slow_reader;
        if several && !self.queue_name.contains(NUMBER) {
            return usage("--queue-name needs %d when there are several queues");
        }
        self.queue_names().map(drop)
    }

    fn check_workers(&self) -> Result<(), PerfError> {
        if self.publishers + self.consumers == 0 {
            return usage("neither publishers nor consumers");
        }
        if self.messages.is_some() && self.publishers == 0 && !self.same_connection {
            return usage("--messages counts publishes: it needs a publisher");
        }
        let shapes_publishes = self.size.is_some()
            || self.confirm > 0
            || self.persistent
            || self.rate.is_some()
            || self.exchange.is_some();
        if self.publishers == 0 && shapes_publishes {
            return usage("without publishers nothing is published, whatever its shape");
        }
        Ok(())
    }

    fn check_acks(&self) -> Result<(), PerfError> {
        if self.consumers == 0 && self.ack > 0 {
            return usage("--ack needs a consumer");
        }
        if self.prefetch > 0 && self.ack == 0 {
            return usage("--prefetch has no effect without --ack");
        }
        if self.prefetch > 0 && self.ack > u64::from(self.prefetch) {
            return usage("--ack above --prefetch would wait for ever");
        }
        Ok(())
    }

    fn check_latency(&self) -> Result<(), PerfError> {
        if self.latency && (self.body_bytes() as u64) < STAMP_MIN {
            return usage("--latency needs 8 bytes of body for its time stamp");
        }
        if self.latency && (self.publishers == 0 || self.consumers == 0) {
            return usage("--latency needs a publisher and a consumer");
        }
        Ok(())
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
        let counted = self.messages.is_some() || self.same_connection;
        let default = match self.idle {
            true => HOLD_IDLE,
            false if counted => GIVE_UP_AFTER,
            false => DEFAULT_DURATION,
        };
        self.duration.unwrap_or(default)
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

fn within(flag: &str, value: u64, min: u64, max: u64) -> Result<(), PerfError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(PerfError::Usage(format!(
        "{flag} must lie between {min} and {max}"
    )))
}

fn name(flag: &str, text: &str) -> Result<ShortString, PerfError> {
    ShortString::try_from(text)
        .map_err(|_| PerfError::Usage(format!("{flag} is longer than 255 bytes")))
}

fn usage(what: &str) -> Result<(), PerfError> {
    Err(PerfError::Usage(what.to_owned()))
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
const STAMP_MIN: u64 = 8;
const DEFAULT_DURATION: Duration = Duration::from_secs(10);
const DEFAULT_WARMUP: Duration = Duration::from_secs(1);
const HOLD_IDLE: Duration = Duration::from_secs(2);
const GIVE_UP_AFTER: Duration = Duration::from_secs(600);
const SECONDS_MAX: f64 = 86_400.0;
/// One or two threads each.
const WORKERS_MAX: u64 = 1000;
const QUEUES_MAX: u64 = 100_000;
/// RabbitMQ's default max_message_size.
const BODY_MAX: u64 = 128 << 20;
const WINDOW_MAX: u64 = 10_000_000;
const CONNECTIONS_MAX: u64 = 1_000_000;
/// One message per nanosecond and publisher is beyond any clock.
const RATE_MAX: u64 = 1_000_000_000;

#[cfg(test)]
mod tests;
