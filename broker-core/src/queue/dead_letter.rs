//! Dead letters: why a message died, and what it becomes on its way to the next exchange.
//!
//! ```text
//!   x-death = [ { count: l, exchange: S, queue: S, reason: S, routing-keys: [S], time: T,
//!                 original-expiration: S } … ]        newest first, one per queue and reason
//! ```
//!
//! Pure functions on raw properties. They publish nothing and know no topology.

use amqp_codec::{
    DecodeError, EncodeError, FieldTable, FieldValue, Properties, RawTable, ShortString,
};

use super::settings::DeadLetterTo;
use crate::message::{RecordRef, Records};
use crate::time::Timestamp;

/// Why a message left its queue without being acked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A consumer rejected it without requeue.
    Rejected,
    /// Its time to live ended.
    Expired,
    /// The queue was full.
    MaxLen,
    /// It was delivered too often.
    DeliveryLimit,
}

impl Reason {
    /// The word in x-death.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::Rejected => "rejected",
            Reason::Expired => "expired",
            Reason::MaxLen => "maxlen",
            Reason::DeliveryLimit => "delivery_limit",
        }
    }
}

/// A copy of a message that waits in its queue until it has been dead-lettered.
#[derive(Debug)]
pub struct DeadLetter {
    /// Its place in the queue, for [`super::Command::DeadLettered`].
    pub ordinal: u64,
    /// Why it died.
    pub reason: Reason,
    /// The message: one record.
    pub message: Records,
}

/// A dead letter as it is published to its exchange.
#[derive(Debug)]
pub struct Delivered {
    /// The new properties, as on the wire.
    pub properties: Vec<u8>,
    /// The new headers, decoded, without BCC.
    pub headers: Option<FieldTable>,
    /// The routing keys: its own one first, then CC and BCC; or the one the queue wants.
    pub routing_keys: Vec<String>,
    /// The properties carry BCC, to be hidden from whoever receives the message: its keys are
    /// still the message's when it dies again.
    pub has_bcc: bool,
    reason: Reason,
    deaths: Vec<FieldValue>,
}

impl Delivered {
    /// Whether the message must not go to this queue: it died there before, and nobody rejected
    /// it since. It would go round for ever.
    pub fn is_cycle(&self, queue: &str) -> bool {
        if self.reason == Reason::Rejected {
            return false;
        }
        let says = |death: &FieldValue, name: &str, text: &str| {
            let value = death.as_table().and_then(|death| death.get(name));
            value.and_then(FieldValue::as_str) == Some(text)
        };
        let here = self
            .deaths
            .iter()
            .position(|death| says(death, "queue", queue));
        here.is_some_and(|here| {
            let since = &self.deaths[..=here];
            !since
                .iter()
                .any(|death| says(death, "reason", Reason::Rejected.as_str()))
        })
    }
}

/// Why a dead letter cannot be rewritten.
#[derive(Debug, thiserror::Error)]
pub enum ReaddressError {
    /// The container is empty.
    #[error("no message")]
    NoMessage,
    /// Its properties or headers are no valid ones.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The new properties do not fit their length fields.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// Rewrites a message that died in `source` for its dead-letter exchange.
pub fn readdress(
    letter: &DeadLetter,
    source: &str,
    to: &DeadLetterTo,
    now: Timestamp,
) -> Result<Delivered, ReaddressError> {
    let record = letter
        .message
        .iter()
        .next()
        .ok_or(ReaddressError::NoMessage)?;
    let properties = Properties::parse(record.properties())?;
    let headers = match properties.headers {
        Some(raw) => raw.decode()?,
        None => FieldTable::new(),
    };
    let death = Death {
        reason: letter.reason,
        queue: source,
        exchange: record.exchange_str(),
        routing_keys: keys(record, &headers, &["CC"]),
        original_expiration: properties.expiration,
        seconds: now.seconds(),
    };
    let (deaths, mut headers) = death.recorded(headers);
    let routing_keys = match &to.routing_key {
        Some(key) => {
            headers.remove("CC");
            headers.remove("BCC");
            vec![key.to_string()]
        }
        None => keys(record, &headers, &["CC", "BCC"]),
    };
    let expiration = None;
    let properties = encoded(
        Properties {
            expiration,
            ..properties
        },
        &headers,
    )?;
    let has_bcc = headers.remove("BCC").is_some();
    Ok(Delivered {
        properties,
        headers: Some(headers),
        routing_keys,
        has_bcc,
        reason: letter.reason,
        deaths,
    })
}

fn encoded(properties: Properties<'_>, headers: &FieldTable) -> Result<Vec<u8>, EncodeError> {
    let mut table = Vec::new();
    headers.encode(&mut table)?;
    let headers = Some(RawTable(&table));
    let mut encoded = Vec::with_capacity(table.len() + 64);
    Properties {
        headers,
        ..properties
    }
    .encode(&mut encoded)?;
    Ok(encoded)
}

/// One death, as x-death tells it.
struct Death<'a> {
    reason: Reason,
    queue: &'a str,
    exchange: &'a str,
    routing_keys: Vec<String>,
    original_expiration: Option<&'a str>,
    seconds: u64,
}

impl Death<'_> {
    /// All deaths, newest first, and the headers that tell of them. A message that died of the
    /// same reason in the same queue before keeps that entry, its time and its routing keys; the
    /// entry moves to the front and counts one more. x-death from a client counts like ours.
    fn recorded(&self, mut headers: FieldTable) -> (Vec<FieldValue>, FieldTable) {
        let before = match headers.remove("x-death") {
            Some(FieldValue::Array(deaths)) => Some(deaths),
            _ => None,
        };
        let is_first = before.is_none();
        let (same, others): (Vec<_>, Vec<_>) = before
            .unwrap_or_default()
            .into_iter()
            .partition(|death| self.is_same(death));
        let newest = match same.into_iter().next() {
            Some(FieldValue::Table(death)) => counted_on(death),
            _ => self.table(is_first),
        };
        let mut deaths = vec![FieldValue::Table(newest)];
        deaths.extend(others);
        set(&mut headers, "x-death", FieldValue::Array(deaths.clone()));
        if is_first {
            self.mark(&mut headers, "x-first-death");
        }
        self.mark(&mut headers, "x-last-death");
        (deaths, sorted(headers))
    }

    fn is_same(&self, death: &FieldValue) -> bool {
        let text = |name| {
            let value = death.as_table().and_then(|death| death.get(name));
            value.and_then(FieldValue::as_str)
        };
        text("queue") == Some(self.queue) && text("reason") == Some(self.reason.as_str())
    }

    /// The entry of a first death comes in this order; later ones are sorted, as in RabbitMQ.
    fn table(&self, is_first: bool) -> FieldTable {
        let mut death = FieldTable::new();
        set(&mut death, "count", FieldValue::I64(1));
        set(&mut death, "reason", text(self.reason.as_str()));
        set(&mut death, "queue", text(self.queue));
        set(&mut death, "time", FieldValue::Timestamp(self.seconds));
        set(&mut death, "exchange", text(self.exchange));
        let keys = self.routing_keys.iter().map(|key| text(key)).collect();
        set(&mut death, "routing-keys", FieldValue::Array(keys));
        if let Some(expiration) = self.original_expiration {
            set(&mut death, "original-expiration", text(expiration));
        }
        if is_first { death } else { sorted(death) }
    }

    /// The headers `<prefix>-exchange`, `-queue` and `-reason`.
    fn mark(&self, headers: &mut FieldTable, prefix: &str) {
        set(headers, &format!("{prefix}-exchange"), text(self.exchange));
        set(headers, &format!("{prefix}-queue"), text(self.queue));
        set(
            headers,
            &format!("{prefix}-reason"),
            text(self.reason.as_str()),
        );
    }
}

/// The entry with its count one higher. A client may have given it another integer type.
fn counted_on(mut death: FieldTable) -> FieldTable {
    let count = death.get("count").and_then(FieldValue::as_i64).unwrap_or(0);
    set(
        &mut death,
        "count",
        FieldValue::I64(count.saturating_add(1)),
    );
    sorted(death)
}

/// The message's routing key and those that stand in the headers of these names.
fn keys(record: RecordRef<'_>, headers: &FieldTable, names: &[&str]) -> Vec<String> {
    let mut keys = vec![record.routing_key_str().to_owned()];
    for name in names {
        let more = headers
            .get(name)
            .and_then(FieldValue::as_array)
            .unwrap_or_default();
        keys.extend(
            more.iter()
                .filter_map(FieldValue::as_str)
                .map(str::to_owned),
        );
    }
    keys
}

fn text(text: &str) -> FieldValue {
    FieldValue::LongString(text.as_bytes().to_vec())
}

fn set(table: &mut FieldTable, name: &str, value: FieldValue) {
    table.insert(ShortString::clipped(name), value);
}

fn sorted(table: FieldTable) -> FieldTable {
    let mut entries: Vec<_> = table.into_iter().collect();
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    entries.into_iter().collect()
}
