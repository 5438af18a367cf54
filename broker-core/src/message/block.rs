//! Records as a block of bytes: the form in which the log and the pages hold messages.
//!
//! ```text
//! 0 u32 number of records     4 u32 bytes of records
//! 8 records, as they lie in memory
//! … shared bodies, one after the other, in the order of the records that have one
//! ```
//!
//! Writing copies nothing: a [`Block`] is a list of slices. Reading trusts nothing: a block that
//! holds what no writer writes is refused as a whole. The index of a shared body has no meaning
//! outside memory and is made anew.

use std::borrow::Cow;

use bytes::Bytes;
use smallvec::SmallVec;
use thiserror::Error;

use super::{
    HAS_BCC, HEAD, LOGGED, PERSISTENT, REDELIVERED, RecordRef, Records, SHARED_BODY, read_u32,
};

/// Bytes that belong together, in order.
pub type Parts<'a> = SmallVec<[&'a [u8]; 8]>;

/// Bytes that no writer of this format wrote, and what is wrong with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

const FLAGS_KNOWN: u8 = PERSISTENT | REDELIVERED | SHARED_BODY | HAS_BCC | LOGGED;

/// Records about to be written; removed ones are left out.
#[derive(Clone, Debug)]
pub struct Block<'a> {
    head: [u8; 8],
    records: Cow<'a, [u8]>,
    bodies: SmallVec<[&'a [u8]; 4]>,
}

impl<'a> Block<'a> {
    /// All of `records`.
    pub fn of(records: &'a Records) -> Block<'a> {
        if records.has_removed() {
            return Block::of_some(records, |_| true);
        }
        Block {
            head: head(records.count, records.bytes.len()),
            records: Cow::Borrowed(&records.bytes),
            bodies: records.shared.iter().map(|body| &body[..]).collect(),
        }
    }

    /// Those of `records` that `is_wanted`. Copies them; shared bodies are still only referenced.
    pub fn of_some(
        records: &'a Records,
        mut is_wanted: impl FnMut(RecordRef<'a>) -> bool,
    ) -> Block<'a> {
        let mut bytes = Vec::new();
        let mut bodies = SmallVec::new();
        let mut count = 0;
        for record in records.iter().filter(|record| !record.is_removed()) {
            if !is_wanted(record) {
                continue;
            }
            let start = bytes.len();
            bytes.extend_from_slice(record.bytes);
            if let Some(body) = record.shared {
                set_shared_index(&mut bytes[start..], bodies.len());
                bodies.push(&body[..]);
            }
            count += 1;
        }
        Block {
            head: head(count, bytes.len()),
            records: Cow::Owned(bytes),
            bodies,
        }
    }

    /// Whether there is no record in it.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How many records are in it.
    pub fn count(&self) -> usize {
        read_u32(&self.head, 0) as usize
    }

    /// How long it is when written.
    pub fn byte_len(&self) -> usize {
        let bodies: usize = self.bodies.iter().map(|body| body.len()).sum();
        self.head.len() + self.records.len() + bodies
    }

    /// The bytes to write.
    pub fn parts(&self) -> Parts<'_> {
        let mut parts = Parts::new();
        self.append_to(&mut parts);
        parts
    }

    /// Appends the bytes to write.
    pub fn append_to<'b>(&'b self, parts: &mut Parts<'b>) {
        parts.push(&self.head);
        parts.push(&self.records);
        parts.extend(self.bodies.iter().copied());
    }
}

fn head(count: u32, bytes: usize) -> [u8; 8] {
    let mut head = [0; 8];
    head[..4].copy_from_slice(&count.to_le_bytes());
    head[4..].copy_from_slice(&(bytes as u32).to_le_bytes());
    head
}

fn set_shared_index(record: &mut [u8], index: usize) {
    record[44..48].copy_from_slice(&(index as u32).to_le_bytes());
}

impl Records {
    /// Reads a block. Shared bodies are copied, so that none of them keeps the block alive.
    pub fn decode(block: &[u8]) -> Result<Records, Malformed> {
        let mut records = Records::new();
        let rest = records.read_block(block)?;
        if !rest.is_empty() {
            return Err(Malformed("bytes behind a block"));
        }
        Ok(records)
    }

    /// Reads the block that `bytes` begin with, in place of what is held here, and gives the
    /// bytes behind it. After an error nothing is held.
    pub fn read_block<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Malformed> {
        self.clear();
        let rest = self.fill_from(bytes);
        if rest.is_err() {
            self.clear();
        }
        rest
    }

    fn fill_from<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Malformed> {
        let (head, rest) = bytes
            .split_at_checked(8)
            .ok_or(Malformed("a block ends in its head"))?;
        let (records, mut rest) = rest
            .split_at_checked(read_u32(head, 4) as usize)
            .ok_or(Malformed("a block ends in its records"))?;
        self.bytes.extend_from_slice(records);
        let mut left = &mut self.bytes[..];
        while !left.is_empty() {
            let shape = Shape::of(left)?;
            let (record, behind) = left.split_at_mut(shape.length);
            if let Some(length) = shape.shared_body {
                let (body, behind) = rest
                    .split_at_checked(length)
                    .ok_or(Malformed("a block ends in a body"))?;
                set_shared_index(record, self.shared.len());
                self.shared.push(Bytes::copy_from_slice(body));
                rest = behind;
            }
            self.count += 1;
            left = behind;
        }
        if self.count != read_u32(head, 0) {
            return Err(Malformed("a block holds another number of records"));
        }
        Ok(rest)
    }
}

/// What the head of a record says about its length, checked.
struct Shape {
    length: usize,
    shared_body: Option<usize>,
}

impl Shape {
    fn of(bytes: &[u8]) -> Result<Shape, Malformed> {
        if bytes.len() < HEAD {
            return Err(Malformed("a record ends in its head"));
        }
        let length = read_u32(bytes, 0) as usize;
        let flags = bytes[4];
        let names_end = HEAD + bytes[6] as usize + bytes[7] as usize;
        let body = read_u32(bytes, 12) as usize;
        let is_shared = flags & SHARED_BODY != 0;
        let inline = if is_shared { 0 } else { body };
        // In 64 bits, where no sum of two 32-bit lengths overflows.
        let expected = names_end as u64 + u64::from(read_u32(bytes, 8)) + inline as u64;
        if length as u64 != expected || length > bytes.len() {
            return Err(Malformed("a record's lengths do not add up"));
        }
        if flags & !FLAGS_KNOWN != 0 {
            return Err(Malformed("a record has an unknown flag"));
        }
        let (exchange, routing_key) = bytes[HEAD..names_end].split_at(bytes[6] as usize);
        if std::str::from_utf8(exchange).is_err() || std::str::from_utf8(routing_key).is_err() {
            return Err(Malformed("a record's names are not UTF-8"));
        }
        Ok(Shape {
            length,
            shared_body: is_shared.then_some(body),
        })
    }
}
