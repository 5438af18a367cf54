//! Field tables: an ordered list of named values.
//!
//! ```text
//!   table  = length:u32 *( name:shortstr value )      the length counts the bytes behind it
//!   value  = tag:u8 payload                           see field_value
//! ```
//!
//! A table keeps order, duplicates and the type of every value, so that what is decoded encodes
//! to the same bytes (only a boolean other than 0 becomes 1). Of two entries with one name the first
//! counts, as in RabbitMQ. Names must be UTF-8; RabbitMQ takes any bytes.
//!
//! An entry takes two bytes at least and an array element one, so what a table occupies in memory
//! is bounded by a small multiple of the frame it came in.

#[cfg(test)]
mod tests;

use crate::error::{DecodeError, EncodeError};
use crate::field_value::{self, FieldValue};
use crate::primitive::{Parsed, long_bytes, put_shortstr, put_sized, put_whole, shortstr};
use crate::short_string::ShortString;

/// How deep tables and arrays nest, the outermost table counted. Clients nest three or four deep;
/// the bound keeps the stack of whoever decodes, compares or drops a table small.
pub const MAX_DEPTH: usize = 32;

/// An ordered list of named field values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldTable(Vec<(ShortString, FieldValue)>);

impl FieldTable {
    /// A table without entries.
    pub const fn new() -> FieldTable {
        FieldTable(Vec::new())
    }

    /// Decodes a whole table, the four bytes of its length included.
    pub fn decode(input: &[u8]) -> Result<FieldTable, DecodeError> {
        let (table, rest) = FieldTable::decode_prefix(input)?;
        if rest.is_empty() {
            Ok(table)
        } else {
            Err(DecodeError::Trailing)
        }
    }

    /// Decodes the table at the beginning of `input`; the second part is what follows it.
    pub fn decode_prefix(input: &[u8]) -> Result<(FieldTable, &[u8]), DecodeError> {
        let (rest, table) = table(1, input)?;
        Ok((table, rest))
    }

    /// Decodes the entries of a table that comes without a length, as in an AMQPLAIN response.
    pub fn decode_body(body: &[u8]) -> Result<FieldTable, DecodeError> {
        entries(1, body)
    }

    /// Appends the table with its length. On error `out` is as before.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_whole(out, |out| put_table(out, 1, self))
    }

    /// The first value of this name.
    pub fn get(&self, name: &str) -> Option<&FieldValue> {
        self.0
            .iter()
            .find(|(key, _)| &**key == name)
            .map(|(_, value)| value)
    }

    /// Whether a value has this name.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Sets a value in its place, or appends it. Returns the value that was there.
    pub fn insert(
        &mut self,
        name: ShortString,
        value: impl Into<FieldValue>,
    ) -> Option<FieldValue> {
        let value = value.into();
        match self.0.iter_mut().find(|(key, _)| *key == name) {
            Some((_, old)) => Some(std::mem::replace(old, value)),
            None => {
                self.0.push((name, value));
                None
            }
        }
    }

    /// Removes every value of this name and returns the first of them.
    pub fn remove(&mut self, name: &str) -> Option<FieldValue> {
        let mut first = None;
        self.0.retain_mut(|(key, value)| {
            if &**key != name {
                return true;
            }
            first.get_or_insert_with(|| std::mem::replace(value, FieldValue::Void));
            false
        });
        first
    }

    /// The entries in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&ShortString, &FieldValue)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Keeps the order and, unlike [`FieldTable::insert`], entries of the same name.
impl FromIterator<(ShortString, FieldValue)> for FieldTable {
    fn from_iter<I: IntoIterator<Item = (ShortString, FieldValue)>>(entries: I) -> FieldTable {
        FieldTable(entries.into_iter().collect())
    }
}

impl IntoIterator for FieldTable {
    type Item = (ShortString, FieldValue);
    type IntoIter = std::vec::IntoIter<(ShortString, FieldValue)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// A table at the given depth of nesting.
pub(crate) fn table(depth: usize, input: &[u8]) -> Parsed<'_, FieldTable> {
    let (rest, body) = long_bytes(input)?;
    Ok((rest, entries(depth, body).map_err(nom::Err::Failure)?))
}

fn entries(depth: usize, mut body: &[u8]) -> Result<FieldTable, DecodeError> {
    if depth > MAX_DEPTH {
        return Err(DecodeError::TooDeep);
    }
    let mut entries = Vec::new();
    while !body.is_empty() {
        let (rest, name) = shortstr(body)?;
        let (rest, value) = field_value::field_value(depth, rest)?;
        entries.push((ShortString::clipped(name), value));
        body = rest;
    }
    Ok(FieldTable(entries))
}

/// Writes a table that stands at the given depth of nesting.
pub(crate) fn put_table(
    out: &mut Vec<u8>,
    depth: usize,
    table: &FieldTable,
) -> Result<(), EncodeError> {
    if depth > MAX_DEPTH {
        return Err(EncodeError::TooDeep);
    }
    put_sized(out, |out| {
        for (name, value) in &table.0 {
            put_shortstr(out, name)?;
            field_value::put_field_value(out, depth, value)?;
        }
        Ok(())
    })
}
