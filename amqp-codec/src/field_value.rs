//! The values of field tables and arrays: RabbitMQ's types, one tag byte each.
//!
//! ```text
//!   t bool   b i8   B u8   s i16   u u16   I i32   i u32   l i64   L i64   T u64 seconds
//!   f f32    d f64  D scale:u8 value:u32   S longstr   x longstr   A length:u32 values
//!   F table  V nothing
//! ```

use nom::Parser;
use nom::combinator::map;
use nom::number::complete::{
    be_f32, be_f64, be_i8, be_i16, be_i32, be_i64, be_u8, be_u16, be_u32, be_u64,
};
use nom::sequence::pair;

use crate::error::{DecodeError, EncodeError};
use crate::primitive::{Parsed, long_bytes, put_longstr, put_sized};
use crate::table::{FieldTable, MAX_DEPTH, put_table, table};

/// A typed value. The variant is the type on the wire, so a value keeps its tag byte.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldValue {
    /// `t`: a boolean. Any byte but zero is true.
    Bool(bool),
    /// `b`: a signed byte.
    I8(i8),
    /// `B`: an unsigned byte.
    U8(u8),
    /// `s`: a signed 16-bit integer.
    I16(i16),
    /// `u`: an unsigned 16-bit integer.
    U16(u16),
    /// `I`: a signed 32-bit integer.
    I32(i32),
    /// `i`: an unsigned 32-bit integer.
    U32(u32),
    /// `l`: a signed 64-bit integer.
    I64(i64),
    /// `L`: a signed 64-bit integer too, kept apart so that the tag returns unchanged.
    LongLong(i64),
    /// `f`: a 32-bit float.
    F32(f32),
    /// `d`: a 64-bit float.
    F64(f64),
    /// `D`: `value` divided by ten to the power of `scale`.
    Decimal {
        /// The number of decimal digits behind the point.
        scale: u8,
        /// The digits.
        value: u32,
    },
    /// `S`: a long string; usually text, but not checked to be.
    LongString(Vec<u8>),
    /// `A`: a list of values.
    Array(Vec<FieldValue>),
    /// `T`: seconds since the Unix epoch.
    Timestamp(u64),
    /// `F`: a nested table.
    Table(FieldTable),
    /// `V`: no value.
    Void,
    /// `x`: bytes.
    Bytes(Vec<u8>),
}

impl FieldValue {
    /// The value of any integer type; timestamps, floats and decimals are none.
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            FieldValue::I8(value) => Some(value.into()),
            FieldValue::U8(value) => Some(value.into()),
            FieldValue::I16(value) => Some(value.into()),
            FieldValue::U16(value) => Some(value.into()),
            FieldValue::I32(value) => Some(value.into()),
            FieldValue::U32(value) => Some(value.into()),
            FieldValue::I64(value) | FieldValue::LongLong(value) => Some(value),
            FieldValue::Bool(_)
            | FieldValue::F32(_)
            | FieldValue::F64(_)
            | FieldValue::Decimal { .. }
            | FieldValue::LongString(_)
            | FieldValue::Array(_)
            | FieldValue::Timestamp(_)
            | FieldValue::Table(_)
            | FieldValue::Void
            | FieldValue::Bytes(_) => None,
        }
    }

    /// The text of a long string that is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            FieldValue::LongString(bytes) => str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The value of a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            FieldValue::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The nested table.
    pub fn as_table(&self) -> Option<&FieldTable> {
        match self {
            FieldValue::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The elements of an array.
    pub fn as_array(&self) -> Option<&[FieldValue]> {
        match self {
            FieldValue::Array(values) => Some(values),
            _ => None,
        }
    }

    /// The byte that stands for the type on the wire.
    pub const fn tag(&self) -> u8 {
        match self {
            FieldValue::Bool(_) => b't',
            FieldValue::I8(_) => b'b',
            FieldValue::U8(_) => b'B',
            FieldValue::I16(_) => b's',
            FieldValue::U16(_) => b'u',
            FieldValue::I32(_) => b'I',
            FieldValue::U32(_) => b'i',
            FieldValue::I64(_) => b'l',
            FieldValue::LongLong(_) => b'L',
            FieldValue::F32(_) => b'f',
            FieldValue::F64(_) => b'd',
            FieldValue::Decimal { .. } => b'D',
            FieldValue::LongString(_) => b'S',
            FieldValue::Array(_) => b'A',
            FieldValue::Timestamp(_) => b'T',
            FieldValue::Table(_) => b'F',
            FieldValue::Void => b'V',
            FieldValue::Bytes(_) => b'x',
        }
    }

    /// RabbitMQ's name of the type, as its error texts spell it.
    pub const fn type_name(&self) -> &'static str {
        match self {
            FieldValue::Bool(_) => "bool",
            FieldValue::I8(_) => "byte",
            FieldValue::U8(_) => "unsignedbyte",
            FieldValue::I16(_) => "short",
            FieldValue::U16(_) => "unsignedshort",
            FieldValue::I32(_) => "signedint",
            FieldValue::U32(_) => "unsignedint",
            FieldValue::I64(_) | FieldValue::LongLong(_) => "long",
            FieldValue::F32(_) => "float",
            FieldValue::F64(_) => "double",
            FieldValue::Decimal { .. } => "decimal",
            FieldValue::LongString(_) => "longstr",
            FieldValue::Array(_) => "array",
            FieldValue::Timestamp(_) => "timestamp",
            FieldValue::Table(_) => "table",
            FieldValue::Void => "void",
            FieldValue::Bytes(_) => "binary",
        }
    }
}

macro_rules! from {
    ($($from:ty => $variant:ident,)+) => {
        $(impl From<$from> for FieldValue {
            fn from(value: $from) -> FieldValue {
                FieldValue::$variant(value.into())
            }
        })+
    };
}

from! {
    bool => Bool,
    i32 => I32,
    i64 => I64,
    f64 => F64,
    &str => LongString,
    String => LongString,
    FieldTable => Table,
    Vec<FieldValue> => Array,
}

/// A value inside a table or array that stands at the given depth.
pub(crate) fn field_value(depth: usize, input: &[u8]) -> Parsed<'_, FieldValue> {
    let (rest, tag) = be_u8(input)?;
    match tag {
        b't' => map(be_u8, |byte| FieldValue::Bool(byte != 0)).parse(rest),
        b'b' => map(be_i8, FieldValue::I8).parse(rest),
        b'B' => map(be_u8, FieldValue::U8).parse(rest),
        b's' => map(be_i16, FieldValue::I16).parse(rest),
        b'u' => map(be_u16, FieldValue::U16).parse(rest),
        b'I' => map(be_i32, FieldValue::I32).parse(rest),
        b'i' => map(be_u32, FieldValue::U32).parse(rest),
        b'l' => map(be_i64, FieldValue::I64).parse(rest),
        b'L' => map(be_i64, FieldValue::LongLong).parse(rest),
        b'f' => map(be_f32, FieldValue::F32).parse(rest),
        b'd' => map(be_f64, FieldValue::F64).parse(rest),
        b'D' => map(pair(be_u8, be_u32), |(scale, value)| FieldValue::Decimal {
            scale,
            value,
        })
        .parse(rest),
        b'S' => map(long_bytes, |bytes| FieldValue::LongString(bytes.to_vec())).parse(rest),
        b'A' => map(|input| array(depth + 1, input), FieldValue::Array).parse(rest),
        b'T' => map(be_u64, FieldValue::Timestamp).parse(rest),
        b'F' => map(|input| table(depth + 1, input), FieldValue::Table).parse(rest),
        b'V' => Ok((rest, FieldValue::Void)),
        b'x' => map(long_bytes, |bytes| FieldValue::Bytes(bytes.to_vec())).parse(rest),
        tag => Err(nom::Err::Failure(DecodeError::UnknownTag(tag))),
    }
}

/// An array at the given depth. Each element takes at least its tag byte, so there are never more
/// elements than bytes.
fn array(depth: usize, input: &[u8]) -> Parsed<'_, Vec<FieldValue>> {
    if depth > MAX_DEPTH {
        return Err(nom::Err::Failure(DecodeError::TooDeep));
    }
    let (after, mut body) = long_bytes(input)?;
    let mut values = Vec::new();
    while !body.is_empty() {
        let (rest, value) = field_value(depth, body)?;
        values.push(value);
        body = rest;
    }
    Ok((after, values))
}

/// Writes a value, tag first, that belongs to a table or array at the given depth.
pub(crate) fn put_field_value(
    out: &mut Vec<u8>,
    depth: usize,
    value: &FieldValue,
) -> Result<(), EncodeError> {
    out.push(value.tag());
    match value {
        FieldValue::Bool(value) => out.push(u8::from(*value)),
        FieldValue::I8(value) => out.extend_from_slice(&value.to_be_bytes()),
        FieldValue::U8(value) => out.push(*value),
        FieldValue::I16(value) => out.extend_from_slice(&value.to_be_bytes()),
        FieldValue::U16(value) => out.extend_from_slice(&value.to_be_bytes()),
        FieldValue::I32(value) => out.extend_from_slice(&value.to_be_bytes()),
        FieldValue::U32(value) => out.extend_from_slice(&value.to_be_bytes()),
        FieldValue::I64(value) | FieldValue::LongLong(value) => {
            out.extend_from_slice(&value.to_be_bytes());
        }
        FieldValue::F32(value) => out.extend_from_slice(&value.to_be_bytes()),
        FieldValue::F64(value) => out.extend_from_slice(&value.to_be_bytes()),
        FieldValue::Decimal { scale, value } => {
            out.push(*scale);
            out.extend_from_slice(&value.to_be_bytes());
        }
        FieldValue::LongString(bytes) | FieldValue::Bytes(bytes) => put_longstr(out, bytes)?,
        FieldValue::Array(values) => put_array(out, depth + 1, values)?,
        FieldValue::Timestamp(value) => out.extend_from_slice(&value.to_be_bytes()),
        FieldValue::Table(table) => put_table(out, depth + 1, table)?,
        FieldValue::Void => {}
    }
    Ok(())
}

fn put_array(out: &mut Vec<u8>, depth: usize, values: &[FieldValue]) -> Result<(), EncodeError> {
    if depth > MAX_DEPTH {
        return Err(EncodeError::TooDeep);
    }
    put_sized(out, |out| {
        values
            .iter()
            .try_for_each(|value| put_field_value(out, depth, value))
    })
}
