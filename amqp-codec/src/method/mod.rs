//! Methods: what a method frame carries.
//!
//! ```text
//!   payload = class:u16 method:u16 arguments
//! ```
//!
//! `table` lists every method once; structs, [`Method`], its decoder and encoder, names and
//! [`METHODS`] follow from it by the macro in `grammar`. A hot path may compare the first four
//! bytes with a struct's `ID` and call its `decode_args` with the rest.
//!
//! Arguments end where the payload ends. Bytes behind the last one are an error, as in RabbitMQ,
//! which answers `channel.open` with two bytes too many by 501 "cannot decode".

mod args;
mod grammar;
mod publish_names;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;

use nom::Parser;

pub use publish_names::PublishNames;
pub use table::{
    METHODS, Method, access, basic, channel, confirm, connection, exchange, queue, spec, tx,
};

use crate::error::{DecodeError, EncodeError};
use crate::primitive::{be_u16, put_whole};

/// The two numbers that name a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MethodId {
    /// The class.
    pub class: u16,
    /// The method within the class.
    pub method: u16,
}

/// `basic.publish`, or `60,40` where the table has no such method.
impl fmt::Display for MethodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match spec(*self) {
            Some(spec) => f.write_str(spec.name),
            None => write!(f, "{},{}", self.class, self.method),
        }
    }
}

/// What the table says about a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodSpec {
    /// Class and method id.
    pub id: MethodId,
    /// Class and method name, such as `basic.publish`.
    pub name: &'static str,
    /// The arguments in their order.
    pub fields: &'static [FieldSpec],
    /// Whether a content header and a body follow.
    pub has_content: bool,
    /// Whether the sender waits for an answer.
    pub synchronous: bool,
}

/// An argument of a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldSpec {
    /// The specification's name, with dashes.
    pub name: &'static str,
    /// The type on the wire.
    pub kind: FieldKind,
}

/// The types that arguments and properties have on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldKind {
    /// A boolean; neighbours share an octet.
    Bit,
    /// 8 bits, unsigned.
    Octet,
    /// 16 bits, unsigned.
    Short,
    /// 32 bits, unsigned.
    Long,
    /// 64 bits, unsigned.
    LongLong,
    /// 64 bits, seconds since the Unix epoch.
    Timestamp,
    /// At most 255 bytes of UTF-8 behind a length octet.
    ShortStr,
    /// Bytes behind a 32-bit length.
    LongStr,
    /// A field table behind a 32-bit length.
    Table,
}

impl<'a> Method<'a> {
    /// Decodes the payload of a method frame.
    pub fn decode(payload: &'a [u8]) -> Result<Method<'a>, DecodeError> {
        let (args, (class, method)) = (be_u16, be_u16).parse_complete(payload)?;
        Method::decode_args(MethodId { class, method }, args)
    }

    /// Appends ids and arguments. On error `out` is as before.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_whole(out, |out| {
            let MethodId { class, method } = self.id();
            let [c0, c1] = class.to_be_bytes();
            let [m0, m1] = method.to_be_bytes();
            out.extend_from_slice(&[c0, c1, m0, m1]);
            self.put_args(out)
        })
    }
}
