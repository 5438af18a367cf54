//! Which arguments go together and how far each may go.
//! Owns the refusals of `leveret perf`: a flag that would have no effect is refused like one that
//! contradicts another. Never changes an argument.

use super::super::check::head_bytes;
use super::super::error::PerfError;
use super::super::keys::NUMBER;
use super::{Mode, PerfArgs};

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
        within(
            "--consume-rate",
            self.consume_rate.unwrap_or(1),
            1,
            RATE_MAX,
        )?;
        within(
            "--channels",
            u64::from(self.channels.unwrap_or(1)),
            1,
            CHANNELS_MAX,
        )?;
        within("--messages", self.messages.unwrap_or(1), 1, u64::MAX)?;
        within("--drain", self.drain.unwrap_or(1), 1, u64::MAX)?;
        self.check_connections()?;
        self.check_workers()?;
        self.check_acks()?;
        self.check_latency()?;
        self.check_keys()?;
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
            Mode::Declare { .. } | Mode::Churn { .. } | Mode::RequestReply { .. } => {
                within("--connections", wanted, 1, WORKERS_MAX)
            }
            _ if self.connections.is_some() => {
                usage("--connections needs --idle, --declare, --churn or --request-reply")
            }
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
        if self.consumers == 0 && (self.stopped || self.consume_rate.is_some()) {
            return usage("--stopped and --consume-rate need a consumer");
        }
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

    fn check_keys(&self) -> Result<(), PerfError> {
        within("--bindings", self.bindings.unwrap_or(1), 1, BINDINGS_MAX)?;
        let numbers = |key: &Option<String>| {
            let key = key.as_deref().unwrap_or_default();
            key.matches(NUMBER).count()
        };
        match (numbers(&self.routing_key), self.routing_keys) {
            (0, None) | (1, Some(_)) => {}
            (0, Some(_)) => return usage("--routing-keys needs %d in --routing-key"),
            (1, None) => return usage("%d in --routing-key needs --routing-keys"),
            _ => return usage("--routing-key takes one %d"),
        }
        let binding_key = self.binding_key.as_ref().or(self.routing_key.as_ref());
        if binding_key.is_some_and(|key| key.contains(NUMBER)) || self.bindings.is_none() {
            return Ok(());
        }
        usage("--bindings needs %d in --binding-key")
    }

    fn check_latency(&self) -> Result<(), PerfError> {
        if self.latency && (self.body_bytes() as u64) < STAMP_MIN {
            return usage("--latency needs 8 bytes of body for its time stamp");
        }
        let head = head_bytes(self.latency);
        if self.check && self.body_bytes() < head {
            return usage(&format!("--check needs {head} bytes of body"));
        }
        if self.check && (self.publishers == 0 || self.consumers == 0) {
            return usage("--check needs a publisher and a consumer");
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

/// One or two threads each.
const WORKERS_MAX: u64 = 1000;
const QUEUES_MAX: u64 = 100_000;
const BINDINGS_MAX: u64 = 1_000_000;
/// RabbitMQ's default max_message_size.
const BODY_MAX: u64 = 128 << 20;
const WINDOW_MAX: u64 = 10_000_000;
/// Each publish that may be open has a place for the time it left, sixteen times over.
const TIMED_WINDOW_MAX: u64 = 100_000;
/// RabbitMQ's default channel_max.
const CHANNELS_MAX: u64 = 2047;
const CONNECTIONS_MAX: u64 = 1_000_000;
/// A time stamp.
const STAMP_MIN: u64 = 8;
/// One message per nanosecond and publisher is beyond any clock.
const RATE_MAX: u64 = 1_000_000_000;
