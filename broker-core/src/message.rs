//! A message in memory: one record of bytes, the same in a publisher's batch, in a queue's chunk
//! and in a connection's inbox, so that it moves between them by one memcpy.
//!
//! ```text
//!  0 u32 length of the record      4 u8 flags   5 u8 priority   6 u8 exchange   7 u8 routing key
//!  8 u32 properties bytes         12 u32 body bytes
//! 16 u64 ordinal in its queue     24 u64 expires_at (ms, 0 = never)
//! 32 u64 enqueued_at (ms)         40 u32 delivery count         44 u32 index of a shared body
//! 48 exchange, routing key, properties (flag words and values as they came), body
//! ```
//!
//! Small bodies stand in the record. A body above [`INLINE_BODY_MAX`] is a reference-counted
//! [`Bytes`] beside the bytes: copying 4 KiB costs more than a reference count, copying less does
//! not. This file never looks into properties or bodies; it only keeps them. `block` is the form
//! in which records leave memory.

mod block;
#[cfg(test)]
mod tests;

pub use block::{Block, Malformed, Parts};

use bytes::Bytes;

use crate::time::Timestamp;

/// Bodies up to this many bytes are copied with their record; larger ones are shared.
pub const INLINE_BODY_MAX: usize = 4096;

/// No record is shorter than this.
pub const RECORD_BYTES_MIN: usize = HEAD;

const HEAD: usize = 48;
const PERSISTENT: u8 = 1;
const REDELIVERED: u8 = 2;
const SHARED_BODY: u8 = 4;
/// For the owner of a container: the record at this place was removed.
const REMOVED: u8 = 8;
/// The headers carry BCC keys, which nobody but the broker may see.
const HAS_BCC: u8 = 16;
/// Its queue has it in the log, and logs what becomes of it.
const LOGGED: u8 = 32;

/// A body on its way into a record.
#[derive(Clone, Debug)]
pub enum Body<'a> {
    /// Bytes to be copied; any length is accepted, long ones cost a copy.
    Inline(&'a [u8]),
    /// A reference to keep.
    Shared(Bytes),
}

impl Body<'_> {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Body::Inline(bytes) => bytes.len(),
            Body::Shared(bytes) => bytes.len(),
        }
    }

    /// Whether there is no byte of body.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The parts of a message before it becomes a record.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// Name of the exchange it was published to; at most 255 bytes.
    pub exchange: &'a str,
    /// Its routing key; at most 255 bytes.
    pub routing_key: &'a str,
    /// Property flags and values exactly as they came on the wire.
    pub properties: &'a [u8],
    /// The body.
    pub body: Body<'a>,
    /// delivery-mode 2.
    pub persistent: bool,
    /// The priority property, 0 when absent.
    pub priority: u8,
    /// When the message's own TTL ends.
    pub expires_at: Option<Timestamp>,
    /// Its headers carry BCC, to be hidden from whoever receives it.
    pub has_bcc: bool,
}

/// Records in the order they were pushed.
#[derive(Debug, Default)]
pub struct Records {
    bytes: Vec<u8>,
    /// In the order of the records that have one.
    shared: Vec<Bytes>,
    count: u32,
    removed: u32,
}

/// Where a record begins in its [`Records`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u32);

impl Records {
    /// An empty container that owns no memory.
    pub const fn new() -> Self {
        Records {
            bytes: Vec::new(),
            shared: Vec::new(),
            count: 0,
            removed: 0,
        }
    }

    /// An empty container with room for `bytes` of records.
    pub fn with_capacity(bytes: usize) -> Self {
        Records {
            bytes: Vec::with_capacity(bytes),
            ..Records::new()
        }
    }

    /// How many records were pushed (removed ones included).
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether [`Self::remove`] was called for any of them.
    pub fn has_removed(&self) -> bool {
        self.removed > 0
    }

    /// The records themselves, one after the other.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The shared bodies, in the order of the records that have one.
    pub fn shared_bodies(&self) -> &[Bytes] {
        &self.shared
    }

    /// Bytes of the records themselves, without shared bodies.
    pub fn record_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes the record buffer can hold before it grows.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Appends a message and tells where it begins.
    #[inline]
    pub fn push(&mut self, message: Message<'_>) -> Position {
        let body_len = message.body.len();
        let (flags, inline, shared) = match message.body {
            Body::Inline(bytes) => (0, bytes, None),
            Body::Shared(bytes) => (SHARED_BODY, &[][..], Some(bytes)),
        };
        let flags = flags
            | if message.persistent { PERSISTENT } else { 0 }
            | if message.has_bcc { HAS_BCC } else { 0 };
        let names = [message.exchange.as_bytes(), message.routing_key.as_bytes()];
        let mut head = self.head(flags, names, message.properties.len(), body_len);
        head[5] = message.priority;
        let expires_at = message.expires_at.map_or(0, |at| at.0.max(1));
        head[24..32].copy_from_slice(&expires_at.to_le_bytes());
        let position = self.put(head, names, message.properties, inline);
        self.shared.extend(shared);
        position
    }

    /// [`Self::push`] of a message of which nothing but this is to be said. The names, exchange
    /// and routing key, must have been found to be text.
    #[inline]
    pub fn push_plain(
        &mut self,
        names: [&[u8]; 2],
        properties: &[u8],
        body: &[u8],
        is_persistent: bool,
    ) -> Position {
        let flags = if is_persistent { PERSISTENT } else { 0 };
        let head = self.head(flags, names, properties.len(), body.len());
        self.put(head, names, properties, body)
    }

    /// A head without what only some messages have, and without the length.
    #[inline]
    fn head(&self, flags: u8, names: [&[u8]; 2], properties: usize, body: usize) -> [u8; HEAD] {
        let mut head = [0u8; HEAD];
        head[4] = flags;
        head[6] = names[0].len() as u8;
        head[7] = names[1].len() as u8;
        head[8..12].copy_from_slice(&(properties as u32).to_le_bytes());
        head[12..16].copy_from_slice(&(body as u32).to_le_bytes());
        head[44..48].copy_from_slice(&(self.shared.len() as u32).to_le_bytes());
        head
    }

    #[inline]
    fn put(
        &mut self,
        mut head: [u8; HEAD],
        [exchange, routing_key]: [&[u8]; 2],
        properties: &[u8],
        inline: &[u8],
    ) -> Position {
        let position = Position(self.bytes.len() as u32);
        let length = HEAD + exchange.len() + routing_key.len() + properties.len() + inline.len();
        head[0..4].copy_from_slice(&(length as u32).to_le_bytes());
        self.bytes.reserve(length);
        self.bytes.extend_from_slice(&head);
        self.bytes.extend_from_slice(exchange);
        self.bytes.extend_from_slice(routing_key);
        self.bytes.extend_from_slice(properties);
        self.bytes.extend_from_slice(inline);
        self.count += 1;
        position
    }

    /// Appends a copy of `record` (a shared body is referenced, not copied).
    #[inline]
    pub fn push_record(&mut self, record: RecordRef<'_>) -> Position {
        let position = Position(self.bytes.len() as u32);
        self.bytes.extend_from_slice(record.bytes);
        if let Some(body) = record.shared {
            let at = position.0 as usize + 44;
            self.bytes[at..at + 4].copy_from_slice(&(self.shared.len() as u32).to_le_bytes());
            self.shared.push(body.clone());
        }
        self.count += 1;
        self.removed += u32::from(record.is_removed());
        position
    }

    /// Appends all of `other` and leaves it empty (with its memory). Into an empty container this
    /// is a swap.
    pub fn append(&mut self, other: &mut Records) {
        if self.is_empty() {
            std::mem::swap(self, other);
            other.clear();
            return;
        }
        if other.shared.is_empty() {
            self.bytes.extend_from_slice(&other.bytes);
            self.count += other.count;
            self.removed += other.removed;
        } else {
            for record in other.iter() {
                self.push_record(record);
            }
        }
        other.clear();
    }

    /// Forgets all records, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.shared.clear();
        self.count = 0;
        self.removed = 0;
    }

    /// The record at `position`, which must have come from this container.
    #[inline]
    pub fn at(&self, position: Position) -> RecordRef<'_> {
        let start = position.0 as usize;
        let length = read_u32(&self.bytes, start) as usize;
        let bytes = &self.bytes[start..start + length];
        let shared =
            (bytes[4] & SHARED_BODY != 0).then(|| &self.shared[read_u32(bytes, 44) as usize]);
        RecordRef { bytes, shared }
    }

    /// Mutable access to the head of the record at `position`.
    #[inline]
    pub fn head_mut(&mut self, position: Position) -> HeadMut<'_> {
        let start = position.0 as usize;
        HeadMut {
            bytes: &mut self.bytes[start..start + HEAD],
        }
    }

    /// The position behind the record at `position`, or none at the end.
    #[inline]
    pub fn next(&self, position: Position) -> Option<Position> {
        let next = position.0 + read_u32(&self.bytes, position.0 as usize);
        ((next as usize) < self.bytes.len()).then_some(Position(next))
    }

    /// The first record's position.
    pub fn first(&self) -> Option<Position> {
        (!self.bytes.is_empty()).then_some(Position(0))
    }

    /// Marks the record removed and lets its shared body go. The bytes stay until the container
    /// is dropped or cleared.
    pub fn remove(&mut self, position: Position) {
        let start = position.0 as usize;
        self.removed += u32::from(self.bytes[start + 4] & REMOVED == 0);
        if self.bytes[start + 4] & SHARED_BODY != 0 {
            let index = read_u32(&self.bytes, start + 44) as usize;
            self.shared[index] = Bytes::new();
        }
        self.bytes[start + 4] |= REMOVED;
    }

    /// All records in order, removed ones included.
    pub fn iter(&self) -> Iter<'_> {
        Iter {
            records: self,
            next: self.first(),
        }
    }
}

/// Iterator over [`Records`].
#[derive(Debug)]
pub struct Iter<'a> {
    records: &'a Records,
    next: Option<Position>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = RecordRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<RecordRef<'a>> {
        let position = self.next?;
        self.next = self.records.next(position);
        Some(self.records.at(position))
    }
}

/// One record, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct RecordRef<'a> {
    bytes: &'a [u8],
    shared: Option<&'a Bytes>,
}

impl<'a> RecordRef<'a> {
    /// The record itself, without a shared body.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Length of the record itself, without a shared body.
    pub fn record_len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of memory the message holds: record and body.
    #[inline]
    pub fn memory_bytes(&self) -> usize {
        self.bytes.len() + self.shared.map_or(0, Bytes::len)
    }

    /// Name of the exchange it was published to.
    #[inline]
    pub fn exchange(&self) -> &'a [u8] {
        &self.bytes[HEAD..HEAD + self.exchange_len()]
    }

    /// Its routing key.
    #[inline]
    pub fn routing_key(&self) -> &'a [u8] {
        let start = HEAD + self.exchange_len();
        &self.bytes[start..start + self.bytes[7] as usize]
    }

    /// Exchange and routing key, one behind the other.
    #[inline]
    pub fn names(&self) -> &'a [u8] {
        &self.bytes[HEAD..self.properties_start()]
    }

    /// [`Self::exchange`] as text; records are only made from checked text.
    pub fn exchange_str(&self) -> &'a str {
        std::str::from_utf8(self.exchange()).unwrap_or_default()
    }

    /// [`Self::routing_key`] as text; records are only made from checked text.
    pub fn routing_key_str(&self) -> &'a str {
        std::str::from_utf8(self.routing_key()).unwrap_or_default()
    }

    /// Property flags and values as they came.
    #[inline]
    pub fn properties(&self) -> &'a [u8] {
        let start = self.properties_start();
        &self.bytes[start..start + read_u32(self.bytes, 8) as usize]
    }

    /// The body.
    #[inline]
    pub fn body(&self) -> &'a [u8] {
        match self.shared {
            Some(body) => body,
            None => &self.bytes[self.properties_start() + read_u32(self.bytes, 8) as usize..],
        }
    }

    /// The body for another record, which shares it if this one does.
    pub fn to_body(&self) -> Body<'a> {
        match self.shared {
            Some(shared) => Body::Shared(shared.clone()),
            None => Body::Inline(self.body()),
        }
    }

    /// The body as a reference to keep, when it is a shared one.
    #[inline]
    pub fn shared_body(&self) -> Option<&'a Bytes> {
        self.shared
    }

    /// Length of the body.
    #[inline]
    pub fn body_len(&self) -> usize {
        read_u32(self.bytes, 12) as usize
    }

    /// delivery-mode 2.
    pub fn is_persistent(&self) -> bool {
        self.bytes[4] & PERSISTENT != 0
    }

    /// Whether a consumer may have seen it before.
    #[inline]
    pub fn is_redelivered(&self) -> bool {
        self.bytes[4] & REDELIVERED != 0
    }

    /// Whether its headers carry BCC, which a receiver must not see.
    #[inline]
    pub fn has_bcc(&self) -> bool {
        self.bytes[4] & HAS_BCC != 0
    }

    /// Whether its queue has it in the log.
    #[inline]
    pub fn is_logged(&self) -> bool {
        self.bytes[4] & LOGGED != 0
    }

    /// Whether [`Records::remove`] was called for it.
    #[inline]
    pub fn is_removed(&self) -> bool {
        self.bytes[4] & REMOVED != 0
    }

    /// The priority property.
    #[inline]
    pub fn priority(&self) -> u8 {
        self.bytes[5]
    }

    /// The place its queue gave it; 0 before.
    #[inline]
    pub fn ordinal(&self) -> u64 {
        read_u64(self.bytes, 16)
    }

    /// When its TTL ends.
    #[inline]
    pub fn expires_at(&self) -> Option<Timestamp> {
        let at = read_u64(self.bytes, 24);
        (at != 0).then_some(Timestamp(at))
    }

    /// When its queue took it.
    pub fn enqueued_at(&self) -> Timestamp {
        Timestamp(read_u64(self.bytes, 32))
    }

    /// How often it was delivered and came back.
    pub fn delivery_count(&self) -> u32 {
        read_u32(self.bytes, 40)
    }

    fn exchange_len(&self) -> usize {
        self.bytes[6] as usize
    }

    #[inline]
    fn properties_start(&self) -> usize {
        HEAD + self.bytes[6] as usize + self.bytes[7] as usize
    }
}

/// The head of a record, to be changed by its queue.
#[derive(Debug)]
pub struct HeadMut<'a> {
    bytes: &'a mut [u8],
}

impl HeadMut<'_> {
    /// Gives the message its place in the queue.
    #[inline]
    pub fn set_ordinal(&mut self, ordinal: u64) {
        self.bytes[16..24].copy_from_slice(&ordinal.to_le_bytes());
    }

    /// Sets or clears the end of its TTL.
    pub fn set_expires_at(&mut self, at: Option<Timestamp>) {
        let at = at.map_or(0, |at| at.0.max(1));
        self.bytes[24..32].copy_from_slice(&at.to_le_bytes());
    }

    /// Says that the queue logs it, if `logs` and if it is persistent. Whether it does.
    #[inline]
    pub fn set_logged(&mut self, logs: bool) -> bool {
        let is_logged = logs && self.bytes[4] & PERSISTENT != 0;
        self.bytes[4] = if is_logged {
            self.bytes[4] | LOGGED
        } else {
            self.bytes[4] & !LOGGED
        };
        is_logged
    }

    /// Says when the queue took it.
    #[inline]
    pub fn set_enqueued_at(&mut self, at: Timestamp) {
        self.bytes[32..40].copy_from_slice(&at.0.to_le_bytes());
    }

    /// Counts a delivery that came back.
    pub fn set_delivery_count(&mut self, count: u32) {
        self.bytes[40..44].copy_from_slice(&count.to_le_bytes());
    }

    /// Sets or clears the redelivered flag.
    pub fn set_redelivered(&mut self, redelivered: bool) {
        self.bytes[4] = if redelivered {
            self.bytes[4] | REDELIVERED
        } else {
            self.bytes[4] & !REDELIVERED
        };
    }
}

#[inline]
fn read_u32(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

#[inline]
fn read_u64(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}
