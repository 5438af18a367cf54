//! Which arguments go together and how far each may go.
//! Owns the refusals of `leveret perf`: a flag that would have no effect is refused like one that
//! contradicts another. Never changes an argument.

use super::super::error::PerfError;
use super::{Mode, NUMBER, PerfArgs};

impl PerfArgs {
    /// Refuses what no flag alone can: limits and contradictions.
    pub(in super::super) fn check(&self) -> Result<(), PerfError> {
        within("--publishers", self.publishers, 0, WORKERS_MAX)?;
        within("--consumers", self.consumers, 0, WORKERS_MAX)?;
        within("--queues", self.queues, 1, QUEUES_MAX)?;
        within("--size", self.body_bytes() as u64, 0, BODY_MAX)?;
        within("--confirm", self.confirm, 0, WINDOW_MAX)?;
        within("--read-rate", self.read_rate, 1, u64::MAX)?;
        within("--rate", self.rate.unwrap_or(1), 1, RATE_MAX)?;
        within("--messages", self.messages.unwrap_or(1), 1, u64::MAX)?;
        within("--drain", self.drain.unwrap_or(1), 1, u64::MAX)?;
        self.check_connections()?;
        self.check_workers()?;
        self.check_acks()?;
        self.check_latency()?;
        let several = self.queues > 1 || self.slow_reader;
        if several && !self.queue_name.contains(NUMBER) {
            return usage("--queue-name needs %d when there are several queues");
        }
        self.queue_names().map(drop)
    }

    fn check_connections(&self) -> Result<(), PerfError> {
        let wanted = self.connections.unwrap_or(1);
        match self.mode() {
            Mode::Idle { .. } => within("--connections", wanted, 1, CONNECTIONS_MAX),
            Mode::Declare { connections, .. } => {
                within("--connections", connections, 1, WORKERS_MAX)
            }
            _ if self.connections.is_some() => usage("--connections needs --idle or --declare"),
            _ => Ok(()),
        }
    }

    fn check_workers(&self) -> Result<(), PerfError> {
        if self.drain.is_some() && self.publishers > 0 {
            return usage("--drain publishes nothing: --publishers must be 0");
        }
        if self.drain.is_some() && self.consumers == 0 {
            return usage("--drain needs a consumer");
        }
        if self.publishers + self.consumers == 0 {
            return usage("neither publishers nor consumers");
        }
        if self.messages.is_some() && self.publishers == 0 {
            return usage("--messages counts publishes: it needs a publisher (or use --drain)");
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
        if self.confirm_latency && self.confirm == 0 {
            return usage("--confirm-latency needs --confirm");
        }
        if self.confirm_latency && self.confirm > TIMED_WINDOW_MAX {
            return usage("--confirm-latency needs --confirm of at most 100000");
        }
        Ok(())
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

fn usage(what: &str) -> Result<(), PerfError> {
    Err(PerfError::Usage(what.to_owned()))
}

/// Flags that shape a load and mean nothing to idle connections.
pub(super) const IDLE_EXCLUDES: [&str; 25] = [
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
    "drain",
    "rate",
    "latency",
    "confirm_latency",
    "slow_reader",
    "read_rate",
    "rss_limit",
    "same_connection",
    "declare",
];

pub(super) const SLOW_READER_EXCLUDES: [&str; 17] = [
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
    "drain",
    "latency",
    "confirm_latency",
    "same_connection",
    "declare",
];

pub(super) const SAME_CONNECTION_EXCLUDES: [&str; 15] = [
    "publishers",
    "consumers",
    "queues",
    "confirm",
    "existing",
    "keep",
    "exchange",
    "routing_key",
    "warmup",
    "drain",
    "rate",
    "latency",
    "confirm_latency",
    "read_rate",
    "declare",
];

pub(super) const DRAIN_EXCLUDES: [&str; 12] = [
    "size",
    "confirm",
    "confirm_latency",
    "persistent",
    "durable",
    "keep",
    "exchange",
    "routing_key",
    "warmup",
    "messages",
    "rate",
    "latency",
];

pub(super) const DECLARE_EXCLUDES: [&str; 19] = [
    "publishers",
    "consumers",
    "queues",
    "size",
    "confirm",
    "confirm_latency",
    "drain",
    "ack",
    "prefetch",
    "persistent",
    "queue_name",
    "existing",
    "exchange",
    "routing_key",
    "warmup",
    "rate",
    "latency",
    "read_rate",
    "rss_limit",
];

/// One or two threads each.
const WORKERS_MAX: u64 = 1000;
const QUEUES_MAX: u64 = 100_000;
/// RabbitMQ's default max_message_size.
const BODY_MAX: u64 = 128 << 20;
const WINDOW_MAX: u64 = 10_000_000;
/// Each publish that may be open has a place for the time it left, sixteen times over.
const TIMED_WINDOW_MAX: u64 = 100_000;
const CONNECTIONS_MAX: u64 = 1_000_000;
/// A time stamp.
const STAMP_MIN: u64 = 8;
/// One message per nanosecond and publisher is beyond any clock.
const RATE_MAX: u64 = 1_000_000_000;
