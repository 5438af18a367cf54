//! Finding one property in the raw bytes, for the path that every message takes.
//!
//! Values in front of the wanted one are stepped over by their length. Nothing is decoded, copied
//! or checked for UTF-8 here.

use nom::Parser;
use nom::combinator::recognize;

use super::{FLAG_DELIVERY_MODE, FLAG_HEADERS, FLAG_PRIORITY, FLAG_TIMESTAMP, flag_words};
use crate::error::DecodeError;
use crate::primitive::{Parsed, long_bytes, short_bytes, take};

/// The bits of a flag word that are properties of the basic class.
pub(super) const KNOWN_FLAGS: u16 = 0xFFFC;

/// The first flag word; 0 when there is not even that.
#[inline]
pub fn property_flags(raw: &[u8]) -> u16 {
    raw.first_chunk()
        .map_or(0, |word| u16::from_be_bytes(*word))
}

/// The delivery mode, if there is one.
#[inline]
pub fn delivery_mode(raw: &[u8]) -> Result<Option<u8>, DecodeError> {
    let value = property_value(raw, FLAG_DELIVERY_MODE)?;
    Ok(value.and_then(|bytes| bytes.first().copied()))
}

/// The bytes of the one property that `flag` names: of a short string its text, of the headers
/// the table with its length, of a number its bytes in network order.
#[inline]
pub fn property_value(raw: &[u8], flag: u16) -> Result<Option<&[u8]>, DecodeError> {
    let (_, flags, rest) = step_to(raw, flag)?;
    if flags & flag == 0 {
        return Ok(None);
    }
    let (_, value) = value(flag, rest)?;
    Ok(Some(value))
}

/// All values, the flags, and the values from the place on where that of `flag` stands or would
/// stand.
#[inline]
pub(super) fn step_to(raw: &[u8], flag: u16) -> Result<(&[u8], u16, &[u8]), DecodeError> {
    debug_assert!(
        (flag & KNOWN_FLAGS).is_power_of_two(),
        "one flag of a property"
    );
    let (values, flags) = flag_words(raw)?;
    let mut rest = values;
    let mut before = flags & KNOWN_FLAGS & !(flag | (flag - 1));
    while before != 0 {
        let first = 1 << before.ilog2();
        (rest, _) = value(first, rest)?;
        before &= !first;
    }
    Ok((values, flags, rest))
}

/// Checks that flags and values agree with the length of the bytes, and that no unknown flag is set.
/// The headers are not decoded. It costs a step for each property: little enough for every publish.
#[inline]
pub fn check_properties(raw: &[u8]) -> Result<(), DecodeError> {
    let (mut rest, flags) = flag_words(raw)?;
    let mut left = flags & KNOWN_FLAGS;
    while left != 0 {
        let first = 1 << left.ilog2();
        (rest, _) = value(first, rest)?;
        left &= !first;
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(DecodeError::Trailing)
    }
}

/// The value of one property at the beginning of `input`.
#[inline]
pub(super) fn value(flag: u16, input: &[u8]) -> Parsed<'_, &[u8]> {
    match flag {
        FLAG_HEADERS => recognize(long_bytes).parse(input),
        FLAG_DELIVERY_MODE | FLAG_PRIORITY => take(1, input),
        FLAG_TIMESTAMP => take(8, input),
        _ => short_bytes(input),
    }
}
