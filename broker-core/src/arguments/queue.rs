//! The arguments of queue.declare.

use std::sync::Arc;

use amqp_codec::{FieldTable, FieldValue, SHORT_STRING_MAX};

use super::{InvalidArgument, boolean, integer};
use crate::error::BrokerError;
use crate::queue::handle::{DeadLetterTo, Overflow, Settings};
use crate::topology::QueueSpec;

/// Times above ten years are refused, as RabbitMQ does: 315,360,000,000 milliseconds.
const TIME_MAX_MS: i64 = 10 * 365 * 24 * 60 * 60 * 1000;
const PRIORITY_MAX: i64 = 255;

const DEAD_LETTER_EXCHANGE: &str = "x-dead-letter-exchange";
const DEAD_LETTER_ROUTING_KEY: &str = "x-dead-letter-routing-key";
const SINGLE_ACTIVE_CONSUMER: &str = "x-single-active-consumer";
const MASTER_LOCATOR: &str = "x-queue-master-locator";
const LEADER_LOCATOR: &str = "x-queue-leader-locator";
const CONSUMER_TIMEOUT: &str = "x-consumer-timeout";
const QUEUE_TYPE: &str = "x-queue-type";

/// Arguments of classic queues, in the order in which RabbitMQ compares them with those of a
/// queue that exists.
pub(crate) const CLASSIC: [&str; 14] = [
    "x-expires",
    "x-message-ttl",
    DEAD_LETTER_EXCHANGE,
    DEAD_LETTER_ROUTING_KEY,
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-overflow",
    "x-queue-mode",
    "x-queue-version",
    SINGLE_ACTIVE_CONSUMER,
    QUEUE_TYPE,
    MASTER_LOCATOR,
    LEADER_LOCATOR,
];

/// Arguments that only queues of other types take.
const OTHER_TYPES: [&str; 9] = [
    "x-dead-letter-strategy",
    "x-delivery-limit",
    "x-initial-cluster-size",
    "x-max-age",
    "x-max-in-memory-bytes",
    "x-max-in-memory-length",
    "x-quorum-initial-group-size",
    "x-stream-filter-size-bytes",
    "x-stream-max-segment-size-bytes",
];

/// Whether an argument says no more than that the queue is a classic one, as it is without.
pub(crate) fn is_default_queue_type(name: &str, value: &FieldValue) -> bool {
    name == QUEUE_TYPE && matches!(value.as_str(), Some("classic" | "" | "undefined"))
}

/// What the arguments of a queue mean, or the 406 that RabbitMQ answers.
pub fn queue_settings(spec: &QueueSpec, vhost: &str) -> Result<Settings, BrokerError> {
    if let Some(value) = spec.arguments.get(DEAD_LETTER_EXCHANGE)
        && !matches!(value, FieldValue::LongString(_))
    {
        return Err(BrokerError::precondition(format!(
            "invalid type '{}' for arg '{DEAD_LETTER_EXCHANGE}' in queue '{}' in vhost '{vhost}'",
            value.type_name(),
            spec.name,
        )));
    }
    read(&Arguments(&spec.arguments)).map_err(|invalid| invalid.for_queue(&spec.name, vhost))
}

/// In RabbitMQ's order: the first fault found is the one that is told.
fn read(arguments: &Arguments<'_>) -> Result<Settings, InvalidArgument> {
    arguments.check_queue_type()?;
    let settings = Settings {
        expires: arguments.expires()?,
        message_ttl: arguments.time("x-message-ttl")?,
        dead_letter: arguments.dead_letter()?,
        max_length: arguments.size("x-max-length")?,
        max_length_bytes: arguments.size("x-max-length-bytes")?,
        max_priority: arguments.max_priority()?,
        overflow: arguments.overflow()?,
    };
    arguments.check_without_effect()?;
    let mut names = arguments.0.iter().map(|(name, _)| name.as_str());
    match names.find_map(|name| OTHER_TYPES.into_iter().find(|other| *other == name)) {
        Some(other) => Err(InvalidArgument::other_queue_type(other)),
        None => Ok(settings),
    }
}

struct Arguments<'a>(&'a FieldTable);

impl<'a> Arguments<'a> {
    fn check_queue_type(&self) -> Result<(), InvalidArgument> {
        match self.text(QUEUE_TYPE)? {
            None | Some("classic" | "" | "undefined") => Ok(()),
            Some(kind @ ("quorum" | "stream")) => Err(InvalidArgument::not_implemented(
                QUEUE_TYPE,
                format!("queue type '{kind}'"),
            )),
            Some(other) => {
                let fault = format!("\"unsupported queue type '{other}'\"");
                Err(InvalidArgument::value(QUEUE_TYPE, fault))
            }
        }
    }

    fn expires(&self) -> Result<Option<u64>, InvalidArgument> {
        match self.time("x-expires")? {
            Some(0) => Err(InvalidArgument::value("x-expires", "{value_zero,0}")),
            time => Ok(time),
        }
    }

    fn time(&self, name: &'static str) -> Result<Option<u64>, InvalidArgument> {
        match self.size(name)? {
            Some(time) if time > TIME_MAX_MS as u64 => Err(InvalidArgument::value(
                name,
                format!("{{value_too_large,{time}}}"),
            )),
            time => Ok(time),
        }
    }

    /// An integer that is not negative.
    fn size(&self, name: &'static str) -> Result<Option<u64>, InvalidArgument> {
        let Some(value) = self.0.get(name) else {
            return Ok(None);
        };
        let integer = integer(name, value)?;
        let size = u64::try_from(integer)
            .map_err(|_| InvalidArgument::value(name, format!("{{value_negative,{integer}}}")))?;
        Ok(Some(size))
    }

    fn max_priority(&self) -> Result<Option<u8>, InvalidArgument> {
        let name = "x-max-priority";
        match self.size(name)? {
            Some(max) if max > PRIORITY_MAX as u64 => Err(InvalidArgument::value(
                name,
                format!("{{max_value_exceeded,{max}}}"),
            )),
            max => Ok(max.map(|max| max as u8)),
        }
    }

    fn dead_letter(&self) -> Result<Option<DeadLetterTo>, InvalidArgument> {
        let exchange = self.text(DEAD_LETTER_EXCHANGE)?;
        let routing_key = self.text(DEAD_LETTER_ROUTING_KEY)?;
        let name = DEAD_LETTER_ROUTING_KEY;
        match (exchange, routing_key) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(InvalidArgument::value(
                name,
                "routing_key_but_no_dlx_defined",
            )),
            // No delivery could carry it.
            (_, Some(key)) if key.len() > SHORT_STRING_MAX => {
                let fault = format!("longer than {SHORT_STRING_MAX} bytes");
                Err(InvalidArgument::value(name, fault))
            }
            (Some(exchange), routing_key) => Ok(Some(DeadLetterTo {
                exchange: exchange.into(),
                routing_key: routing_key.map(Arc::from),
            })),
        }
    }

    fn overflow(&self) -> Result<Overflow, InvalidArgument> {
        match self.text("x-overflow")? {
            None | Some("drop-head") => Ok(Overflow::DropHead),
            Some("reject-publish") => Ok(Overflow::RejectPublish),
            Some("reject-publish-dlx") => Ok(Overflow::RejectPublishDlx),
            Some(_) => Err(InvalidArgument::value("x-overflow", "invalid_overflow")),
        }
    }

    /// Arguments whose values have no effect, here as in a RabbitMQ of one node, or have one that
    /// is not implemented.
    fn check_without_effect(&self) -> Result<(), InvalidArgument> {
        let name = "x-queue-mode";
        self.one_of(name, &["default", "lazy"], |mode| {
            format!("\"unsupported queue mode '{mode}'\"")
        })?;
        let name = "x-queue-version";
        if let Some(version) = self.size(name)?
            && !(1..=2).contains(&version)
        {
            let fault = format!("\"unsupported queue version '{version}'\"");
            return Err(InvalidArgument::value(name, fault));
        }
        if let Some(value) = self.0.get(SINGLE_ACTIVE_CONSUMER)
            && boolean(SINGLE_ACTIVE_CONSUMER, value)?
        {
            let name = SINGLE_ACTIVE_CONSUMER;
            return Err(InvalidArgument::not_implemented(
                name,
                "a single active consumer",
            ));
        }
        if let Some(value) = self.0.get(CONSUMER_TIMEOUT) {
            integer(CONSUMER_TIMEOUT, value)?;
            return Err(InvalidArgument::not_implemented(
                CONSUMER_TIMEOUT,
                "a consumer timeout",
            ));
        }
        let locators = ["client-local", "min-masters", "random"];
        self.one_of(MASTER_LOCATOR, &locators, |_| {
            "invalid_queue_locator_arg".into()
        })?;
        let locators = ["client-local", "balanced", "random", "least-leaders"];
        self.one_of(LEADER_LOCATOR, &locators, |_| {
            "invalid_queue_locator_arg".into()
        })
    }

    fn one_of(
        &self,
        name: &'static str,
        known: &[&str],
        fault: impl FnOnce(&str) -> String,
    ) -> Result<(), InvalidArgument> {
        match self.text(name)? {
            Some(text) if !known.contains(&text) => Err(InvalidArgument::value(name, fault(text))),
            _ => Ok(()),
        }
    }

    /// A long string. RabbitMQ does not ask for UTF-8; names and keys are UTF-8 here.
    fn text(&self, name: &'static str) -> Result<Option<&'a str>, InvalidArgument> {
        match self.0.get(name) {
            None => Ok(None),
            Some(FieldValue::LongString(bytes)) => match str::from_utf8(bytes) {
                Ok(text) => Ok(Some(text)),
                Err(_) => Err(InvalidArgument::value(name, "malformed UTF-8")),
            },
            Some(other) => Err(InvalidArgument::unacceptable_type(name, other)),
        }
    }
}
