//! Dead letters: why a message died, and what it becomes on its way to the next exchange.
//!
//! ```text
//!   x-death = [ { count: l, exchange: S, queue: S, reason: S, routing-keys: [S], time: T,
//!                 original-expiration: S } … ]        newest first, one per queue and reason
//! ```
//!
//! Pure functions on raw properties. They publish nothing and know no topology. They never fail:
//! text need not be UTF-8, and what is malformed gives way rather than take the message with it.

use amqp_codec::{
    DecodeError, FLAG_EXPIRATION, FLAG_HEADERS, FieldTable, FieldValue, RawTable, ReadableTable,
    ShortString, check_properties, property_value, replace_property,
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

/// Rewrites a message that died in `source`, why and when, for its dead-letter exchange.
pub fn readdress(
    record: RecordRef<'_>,
    (reason, now): (Reason, Timestamp),
    source: &str,
    to: &DeadLetterTo,
) -> Delivered {
    let raw = record.properties();
    let ReadableTable {
        table,
        mut unreadable,
    } = headers(raw);
    let death = Death {
        reason,
        queue: source,
        exchange: record.exchange_str(),
        routing_keys: keys(record, &table, &["CC"]),
        original_expiration: property_value(raw, FLAG_EXPIRATION).ok().flatten(),
        seconds: now.seconds(),
    };
    let (deaths, mut table) = death.recorded(table);
    unreadable.retain(|entry| !is_name_of(entry.name, &table));
    let routing_keys = match &to.routing_key {
        Some(key) => {
            table.remove("CC");
            table.remove("BCC");
            unreadable.retain(|entry| entry.name != b"CC" && entry.name != b"BCC");
            vec![key.to_string()]
        }
        None => keys(record, &table, &["CC", "BCC"]),
    };
    let unreadable_bcc = unreadable.iter().any(|entry| entry.name == b"BCC");
    let mut headers = ReadableTable { table, unreadable };
    let properties = with_headers(raw, &headers);
    let has_bcc = headers.table.remove("BCC").is_some() || unreadable_bcc;
    Delivered {
        properties,
        headers: Some(headers.table),
        routing_keys,
        has_bcc,
        reason,
        deaths,
    }
}

/// The headers; none when they are malformed, which no publish lets pass.
fn headers(raw: &[u8]) -> ReadableTable<'_> {
    let readable = |raw| match FieldTable::decode(raw) {
        Ok(table) => Ok(ReadableTable {
            table,
            unreadable: Vec::new(),
        }),
        Err(_) => RawTable(raw).readable(),
    };
    let value = property_value(raw, FLAG_HEADERS).ok().flatten();
    value.and_then(|raw| readable(raw).ok()).unwrap_or_default()
}

/// Whether an entry of these bytes as its name is told anew in the table.
fn is_name_of(name: &[u8], table: &FieldTable) -> bool {
    str::from_utf8(name).is_ok_and(|name| table.contains(name))
}

/// The properties with these headers and without an expiration. Malformed ones are left behind:
/// with them the message could not be delivered to anybody.
fn with_headers(raw: &[u8], headers: &ReadableTable<'_>) -> Vec<u8> {
    let mut table = Vec::new();
    if headers.encode(&mut table).is_err() {
        return raw.to_vec();
    }
    let replaced = |raw: &[u8]| -> Result<Vec<u8>, DecodeError> {
        check_properties(raw)?;
        let raw = replace_property(raw, FLAG_HEADERS, Some(&table))?;
        replace_property(&raw, FLAG_EXPIRATION, None)
    };
    replaced(raw).unwrap_or_else(|_| [&FLAG_HEADERS.to_be_bytes(), &table[..]].concat())
}

/// One death, as x-death tells it.
struct Death<'a> {
    reason: Reason,
    queue: &'a str,
    exchange: &'a str,
    routing_keys: Vec<String>,
    original_expiration: Option<&'a [u8]>,
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
            let expiration = FieldValue::LongString(expiration.to_vec());
            set(&mut death, "original-expiration", expiration);
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
