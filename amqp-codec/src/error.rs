//! What can be wrong with bytes from a peer, and with values that do not fit the wire.
//!
//! The errors name the fact only; which reply code closes what is decided by the broker.

use nom::error::{ErrorKind, FromExternalError, ParseError};
use thiserror::Error;

use crate::method::MethodId;

/// Why a payload is not what it claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The bytes end before the value does, or a length points beyond its container.
    #[error("truncated")]
    Truncated,
    /// A short string is not UTF-8.
    #[error("malformed UTF-8 in shortstr")]
    Utf8,
    /// No method of the protocol has this class and method id.
    #[error("unknown method {0}")]
    UnknownMethod(MethodId),
    /// A field value begins with a byte that is no type of a field table.
    #[error("unknown field type {0:#04x}")]
    UnknownTag(u8),
    /// Tables and arrays are nested deeper than [`MAX_DEPTH`](crate::MAX_DEPTH).
    #[error("tables and arrays are nested too deep")]
    TooDeep,
    /// Bytes follow the last value.
    #[error("bytes follow the last value")]
    Trailing,
    /// A continued property flag word announces properties that the basic class does not have.
    #[error("unknown property flags {0:#06x}")]
    UnknownProperties(u16),
    /// A content header has a weight, which must be zero.
    #[error("content header weight is {0}, not 0")]
    ContentWeight(u16),
}

/// Why a value has no encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// A short string has more than 255 bytes; the number is its length.
    #[error("short string of {0} bytes, at most 255 fit")]
    ShortStringTooLong(usize),
    /// A long string or byte array has more bytes than its length field can say.
    #[error("long string of {0} bytes does not fit a 32-bit length")]
    LongStringTooLong(usize),
    /// A table or array has more bytes than its length field can say.
    #[error("table of {0} bytes does not fit a 32-bit length")]
    TableTooLarge(usize),
    /// Tables and arrays are nested deeper than a peer would have to decode.
    #[error("tables and arrays are nested too deep")]
    TooDeep,
    /// The bytes of a raw table are not one table with its length prefix.
    #[error("raw table does not agree with its length prefix")]
    RawTable,
    /// A method's arguments do not fit a frame's 32-bit length.
    #[error("method of {0} bytes does not fit a frame")]
    MethodTooLarge(usize),
}

/// The complete number and slice parsers fail only where the input ends.
impl<I> ParseError<I> for DecodeError {
    fn from_error_kind(_: I, _: ErrorKind) -> DecodeError {
        DecodeError::Truncated
    }

    fn append(_: I, _: ErrorKind, first: DecodeError) -> DecodeError {
        first
    }
}

impl<I> FromExternalError<I, DecodeError> for DecodeError {
    fn from_external_error(_: I, _: ErrorKind, error: DecodeError) -> DecodeError {
        error
    }
}

impl From<nom::Err<DecodeError>> for DecodeError {
    fn from(error: nom::Err<DecodeError>) -> DecodeError {
        match error {
            nom::Err::Error(error) | nom::Err::Failure(error) => error,
            nom::Err::Incomplete(_) => DecodeError::Truncated,
        }
    }
}
