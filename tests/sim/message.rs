//! Messages of the simulation: a body says which message it is, and can be told from every other.

use broker_core::message::{Body, INLINE_BODY_MAX, Message, RecordRef, Records};
use broker_core::time::Timestamp;
use bytes::Bytes;

/// Names a message; each is published once.
pub(crate) type Id = u64;

/// No property at all.
const PROPERTIES: [u8; 2] = [0, 0];
const NAME_BYTES: usize = 8;

/// A message as its publisher knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) id: Id,
    /// Who published it: order is promised for each publisher.
    pub(crate) client: u16,
    pub(crate) persistent: bool,
    pub(crate) priority: u8,
    pub(crate) body_bytes: usize,
    pub(crate) expires_at: Option<Timestamp>,
}

fn body(id: Id, bytes: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(bytes.max(NAME_BYTES));
    body.extend_from_slice(&id.to_le_bytes());
    let filler = (id as u8).wrapping_mul(31).wrapping_add(7);
    body.resize(bytes.max(NAME_BYTES), filler);
    body
}

/// Puts the message among others.
pub(crate) fn push(records: &mut Records, sent: &Sent) {
    let body = body(sent.id, sent.body_bytes);
    let body = match body.len() > INLINE_BODY_MAX {
        true => Body::Shared(Bytes::from(body)),
        false => Body::Inline(&body.clone()),
    };
    records.push(Message {
        exchange: "",
        routing_key: "q",
        properties: &PROPERTIES,
        body,
        persistent: sent.persistent,
        priority: sent.priority,
        expires_at: sent.expires_at,
        has_bcc: false,
    });
}

/// Which message a record is; none if its body is none that was ever sent so.
pub(crate) fn id_of(record: RecordRef<'_>) -> Option<Id> {
    let bytes = record.body();
    let id = Id::from_le_bytes(*bytes.first_chunk()?);
    (bytes == body(id, bytes.len())).then_some(id)
}
