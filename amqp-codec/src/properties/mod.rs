//! Content headers and the fourteen properties of the basic class.
//!
//! ```text
//!   content header = class:u16 weight:u16(0) body_size:u64 properties
//!   properties     = flags:u16 *flags:u16 values      bit 0 of a flag word: another word follows
//! ```
//!
//! A message's properties travel as the raw bytes they came in. [`Properties`] borrows from them
//! where all are wanted; the functions in `scan` find one value without decoding the others.
//!
//! Three rules differ from RabbitMQ 3.10, which ignores bits 0 and 1 of the flags and never looks whether
//! text is UTF-8: here a flag word may be continued, as the specification has it, and
//! [`Properties::parse`] refuses text that is not UTF-8. [`check_properties`] lets it pass, so
//! that a broker can carry such a message unread, and [`replace_property`] rewrites it. Bit 1 of
//! the first word is no property either, and is refused: clients do not expect it.

mod raw_table;
mod replace;
mod scan;
#[cfg(test)]
mod tests;

use nom::Parser;
use nom::combinator::{cond, recognize};

pub use raw_table::{RawEntry, RawTable, ReadableTable};
pub use replace::replace_property;
pub use scan::{check_properties, delivery_mode, property_flags, property_value};

use crate::error::{DecodeError, EncodeError};
use crate::primitive::{
    Parsed, be_u8, be_u16, be_u64, long_bytes, put_shortstr, put_whole, shortstr,
};

/// The class of all content in AMQP 0-9-1.
pub const BASIC_CLASS: u16 = 60;

/// Property flag of `content-type`.
pub const FLAG_CONTENT_TYPE: u16 = 1 << 15;
/// Property flag of `content-encoding`.
pub const FLAG_CONTENT_ENCODING: u16 = 1 << 14;
/// Property flag of `headers`.
pub const FLAG_HEADERS: u16 = 1 << 13;
/// Property flag of `delivery-mode`.
pub const FLAG_DELIVERY_MODE: u16 = 1 << 12;
/// Property flag of `priority`.
pub const FLAG_PRIORITY: u16 = 1 << 11;
/// Property flag of `correlation-id`.
pub const FLAG_CORRELATION_ID: u16 = 1 << 10;
/// Property flag of `reply-to`.
pub const FLAG_REPLY_TO: u16 = 1 << 9;
/// Property flag of `expiration`.
pub const FLAG_EXPIRATION: u16 = 1 << 8;
/// Property flag of `message-id`.
pub const FLAG_MESSAGE_ID: u16 = 1 << 7;
/// Property flag of `timestamp`.
pub const FLAG_TIMESTAMP: u16 = 1 << 6;
/// Property flag of `type`.
pub const FLAG_TYPE: u16 = 1 << 5;
/// Property flag of `user-id`.
pub const FLAG_USER_ID: u16 = 1 << 4;
/// Property flag of `app-id`.
pub const FLAG_APP_ID: u16 = 1 << 3;
/// Property flag of `cluster-id`.
pub const FLAG_CLUSTER_ID: u16 = 1 << 2;

const FLAG_CONTINUED: u16 = 1;
/// Between `cluster-id` and the bit that announces another word: no property.
const FLAG_UNKNOWN: u16 = 1 << 1;

/// A content header: how large the body is, and what comes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentHeader<'a> {
    /// The class of the content, [`BASIC_CLASS`] in all that is valid.
    pub class_id: u16,
    /// The bytes of body that follow in body frames.
    pub body_size: u64,
    /// Flag words and values, as they came.
    pub properties: &'a [u8],
}

impl<'a> ContentHeader<'a> {
    /// Parses the payload of a header frame. The properties are not looked at.
    #[inline]
    pub fn parse(payload: &'a [u8]) -> Result<ContentHeader<'a>, DecodeError> {
        let (properties, (class_id, weight, body_size)) =
            (be_u16, be_u16, be_u64).parse_complete(payload)?;
        if weight != 0 {
            return Err(DecodeError::ContentWeight(weight));
        }
        Ok(ContentHeader {
            class_id,
            body_size,
            properties,
        })
    }
}

/// The properties of a message, borrowed from the bytes they came in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties<'a> {
    /// The MIME type of the body.
    pub content_type: Option<&'a str>,
    /// The MIME encoding of the body.
    pub content_encoding: Option<&'a str>,
    /// The headers, not decoded.
    pub headers: Option<RawTable<'a>>,
    /// 2 asks for persistence; anything else is transient.
    pub delivery_mode: Option<u8>,
    /// The priority.
    pub priority: Option<u8>,
    /// What this message answers or is answered by.
    pub correlation_id: Option<&'a str>,
    /// Where answers go.
    pub reply_to: Option<&'a str>,
    /// The time to live in milliseconds, as text.
    pub expiration: Option<&'a str>,
    /// The application's name of the message.
    pub message_id: Option<&'a str>,
    /// Seconds since the Unix epoch.
    pub timestamp: Option<u64>,
    /// The `type` property: the application's name of the kind of message.
    pub kind: Option<&'a str>,
    /// The user who published, checked by the broker.
    pub user_id: Option<&'a str>,
    /// The application that published.
    pub app_id: Option<&'a str>,
    /// Deprecated, carried along.
    pub cluster_id: Option<&'a str>,
}

impl<'a> Properties<'a> {
    /// Parses flag words and values. The headers are delimited, not decoded.
    pub fn parse(raw: &'a [u8]) -> Result<Properties<'a>, DecodeError> {
        let (rest, flags) = flag_words(raw)?;
        let (rest, properties) = values(flags, rest)?;
        if rest.is_empty() {
            Ok(properties)
        } else {
            Err(DecodeError::Trailing)
        }
    }

    /// The flag word that announces the properties that are set.
    pub fn flags(&self) -> u16 {
        let flag = |set: bool, flag: u16| if set { flag } else { 0 };
        flag(self.content_type.is_some(), FLAG_CONTENT_TYPE)
            | flag(self.content_encoding.is_some(), FLAG_CONTENT_ENCODING)
            | flag(self.headers.is_some(), FLAG_HEADERS)
            | flag(self.delivery_mode.is_some(), FLAG_DELIVERY_MODE)
            | flag(self.priority.is_some(), FLAG_PRIORITY)
            | flag(self.correlation_id.is_some(), FLAG_CORRELATION_ID)
            | flag(self.reply_to.is_some(), FLAG_REPLY_TO)
            | flag(self.expiration.is_some(), FLAG_EXPIRATION)
            | flag(self.message_id.is_some(), FLAG_MESSAGE_ID)
            | flag(self.timestamp.is_some(), FLAG_TIMESTAMP)
            | flag(self.kind.is_some(), FLAG_TYPE)
            | flag(self.user_id.is_some(), FLAG_USER_ID)
            | flag(self.app_id.is_some(), FLAG_APP_ID)
            | flag(self.cluster_id.is_some(), FLAG_CLUSTER_ID)
    }

    /// Appends one flag word and the values. On error `out` is as before.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_whole(out, |out| {
            out.extend_from_slice(&self.flags().to_be_bytes());
            self.put_values(out)
        })
    }

    fn put_values(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_text(out, self.content_type)?;
        put_text(out, self.content_encoding)?;
        if let Some(headers) = self.headers {
            put_raw_table(out, headers)?;
        }
        out.extend(self.delivery_mode);
        out.extend(self.priority);
        put_text(out, self.correlation_id)?;
        put_text(out, self.reply_to)?;
        put_text(out, self.expiration)?;
        put_text(out, self.message_id)?;
        if let Some(timestamp) = self.timestamp {
            out.extend_from_slice(&timestamp.to_be_bytes());
        }
        put_text(out, self.kind)?;
        put_text(out, self.user_id)?;
        put_text(out, self.app_id)?;
        put_text(out, self.cluster_id)
    }
}

fn put_text(out: &mut Vec<u8>, text: Option<&str>) -> Result<(), EncodeError> {
    text.map_or(Ok(()), |text| put_shortstr(out, text))
}

fn put_raw_table(out: &mut Vec<u8>, table: RawTable<'_>) -> Result<(), EncodeError> {
    match long_bytes(table.0) {
        Ok(([], _)) => out.extend_from_slice(table.0),
        _ => return Err(EncodeError::RawTable),
    }
    Ok(())
}

/// The first flag word. Further words are skipped; the basic class has no property for them to
/// announce, and the size of an unknown one is anyone's guess.
#[inline]
fn flag_words(raw: &[u8]) -> Parsed<'_, u16> {
    let (mut rest, flags) = be_u16(raw)?;
    if flags & FLAG_UNKNOWN != 0 {
        return Err(nom::Err::Failure(DecodeError::UnknownProperties(
            FLAG_UNKNOWN,
        )));
    }
    let mut last = flags;
    while last & FLAG_CONTINUED != 0 {
        (rest, last) = be_u16(rest)?;
        if last & !FLAG_CONTINUED != 0 {
            return Err(nom::Err::Failure(DecodeError::UnknownProperties(last)));
        }
    }
    Ok((rest, flags))
}

fn values(flags: u16, input: &[u8]) -> Parsed<'_, Properties<'_>> {
    let has = |flag: u16| flags & flag != 0;
    let (input, content_type) = cond(has(FLAG_CONTENT_TYPE), shortstr).parse(input)?;
    let (input, content_encoding) = cond(has(FLAG_CONTENT_ENCODING), shortstr).parse(input)?;
    let (input, headers) = cond(has(FLAG_HEADERS), recognize(long_bytes)).parse(input)?;
    let (input, delivery_mode) = cond(has(FLAG_DELIVERY_MODE), be_u8).parse(input)?;
    let (input, priority) = cond(has(FLAG_PRIORITY), be_u8).parse(input)?;
    let (input, correlation_id) = cond(has(FLAG_CORRELATION_ID), shortstr).parse(input)?;
    let (input, reply_to) = cond(has(FLAG_REPLY_TO), shortstr).parse(input)?;
    let (input, expiration) = cond(has(FLAG_EXPIRATION), shortstr).parse(input)?;
    let (input, message_id) = cond(has(FLAG_MESSAGE_ID), shortstr).parse(input)?;
    let (input, timestamp) = cond(has(FLAG_TIMESTAMP), be_u64).parse(input)?;
    let (input, kind) = cond(has(FLAG_TYPE), shortstr).parse(input)?;
    let (input, user_id) = cond(has(FLAG_USER_ID), shortstr).parse(input)?;
    let (input, app_id) = cond(has(FLAG_APP_ID), shortstr).parse(input)?;
    let (input, cluster_id) = cond(has(FLAG_CLUSTER_ID), shortstr).parse(input)?;
    let properties = Properties {
        content_type,
        content_encoding,
        headers: headers.map(RawTable),
        delivery_mode,
        priority,
        correlation_id,
        reply_to,
        expiration,
        message_id,
        timestamp,
        kind,
        user_id,
        app_id,
        cluster_id,
    };
    Ok((input, properties))
}
