//! When declaring again what exists is fine, and RabbitMQ's words when it is not.

use std::fmt;

use amqp_codec::{FieldTable, FieldValue};

use super::{ALTERNATE_EXCHANGE, ExchangeSpec, QueueSpec, Topology};
use crate::arguments::terms::{self, Term};
use crate::arguments::{CLASSIC, is_default_queue_type};
use crate::error::BrokerError;

impl Topology {
    /// 405 unless both belong to the same connection, or to none; 406 naming the first property or
    /// argument that differs. Only arguments that classic queues know are compared.
    pub fn check_equivalent(
        &self,
        existing: &QueueSpec,
        wanted: &QueueSpec,
    ) -> Result<(), BrokerError> {
        if existing.exclusive != wanted.exclusive {
            return Err(BrokerError::locked(&wanted.name, &self.vhost));
        }
        let pair = Pair {
            kind: "queue",
            name: &existing.name,
            vhost: &self.vhost,
        };
        pair.compare(
            "durable",
            wanted.outlives_restart(),
            existing.outlives_restart(),
        )?;
        pair.compare("auto_delete", wanted.auto_delete, existing.auto_delete)?;
        for argument in CLASSIC {
            pair.compare_argument(argument, &wanted.arguments, &existing.arguments)?;
        }
        Ok(())
    }

    /// 406 naming the first property that differs. Of the arguments only the alternate exchange
    /// is compared.
    pub(super) fn check_equivalent_exchange(
        &self,
        existing: &ExchangeSpec,
        wanted: &ExchangeSpec,
    ) -> Result<(), BrokerError> {
        let pair = Pair {
            kind: "exchange",
            name: &existing.name,
            vhost: &self.vhost,
        };
        pair.compare("type", wanted.kind.as_str(), existing.kind.as_str())?;
        pair.compare("durable", wanted.durable, existing.durable)?;
        pair.compare("auto_delete", wanted.auto_delete, existing.auto_delete)?;
        pair.compare("internal", wanted.internal, existing.internal)?;
        pair.compare_argument(ALTERNATE_EXCHANGE, &wanted.arguments, &existing.arguments)
    }
}

/// What is compared, to be named in a refusal.
struct Pair<'a> {
    kind: &'static str,
    name: &'a str,
    vhost: &'a str,
}

impl Pair<'_> {
    fn compare<T: PartialEq + fmt::Display>(
        &self,
        property: &str,
        wanted: T,
        existing: T,
    ) -> Result<(), BrokerError> {
        if wanted == existing {
            return Ok(());
        }
        Err(self.refusal(property, &format!("'{wanted}'"), &format!("'{existing}'")))
    }

    fn compare_argument(
        &self,
        name: &str,
        wanted: &FieldTable,
        existing: &FieldTable,
    ) -> Result<(), BrokerError> {
        let (received, current) = match (wanted.get(name), existing.get(name)) {
            (None, None) => return Ok(()),
            (Some(wanted), Some(existing)) if terms::equal(wanted, existing) => return Ok(()),
            (Some(value), None) | (None, Some(value)) if is_default_queue_type(name, value) => {
                return Ok(());
            }
            (Some(wanted), Some(existing)) => {
                (Text(wanted).to_string(), Text(existing).to_string())
            }
            (wanted, existing) => (typed(wanted), typed(existing)),
        };
        Err(self.refusal(name, &received, &current))
    }

    fn refusal(&self, name: &str, received: &str, current: &str) -> BrokerError {
        let Pair {
            kind,
            name: of,
            vhost,
        } = self;
        BrokerError::precondition(format!(
            "inequivalent arg '{name}' for {kind} '{of}' in vhost '{vhost}': received {received} \
             but current is {current}"
        ))
    }
}

/// How a value is shown beside another one.
struct Text<'a>(&'a FieldValue);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            FieldValue::Void => f.write_str("none"),
            value => write!(f, "'{}'", Plain(value)),
        }
    }
}

/// Text as it is, anything else as a term.
struct Plain<'a>(&'a FieldValue);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            FieldValue::LongString(bytes) | FieldValue::Bytes(bytes) => {
                f.write_str(&String::from_utf8_lossy(bytes))
            }
            value => Term(value).fmt(f),
        }
    }
}

/// How a value is shown beside none.
fn typed(value: Option<&FieldValue>) -> String {
    match value {
        None => "none".to_owned(),
        Some(value) => format!(
            "the value '{}' of type '{}'",
            Plain(value),
            value.type_name()
        ),
    }
}
