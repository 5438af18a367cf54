//! The strings of the wire and their length prefixes, read with nom and written to a vector.
//!
//! Parsers are the complete kind: they see a whole payload, so an early end is an error.

use nom::combinator::{map, map_res};
use nom::{IResult, Parser};

use crate::error::{DecodeError, EncodeError};

/// What a parser of this crate returns: the rest of the input and the value.
pub(crate) type Parsed<'a, T> = IResult<&'a [u8], T, DecodeError>;

const TRUNCATED: nom::Err<DecodeError> = nom::Err::Error(DecodeError::Truncated);

/// The next `N` bytes. Whole arrays, where nom's own number parsers go byte by byte: on the path
/// of every message that shows.
#[inline]
pub(crate) fn array<const N: usize>(input: &[u8]) -> Parsed<'_, [u8; N]> {
    let (bytes, rest) = input.split_first_chunk().ok_or(TRUNCATED)?;
    Ok((rest, *bytes))
}

/// The next `len` bytes.
#[inline]
pub(crate) fn take(len: usize, input: &[u8]) -> Parsed<'_, &[u8]> {
    let (bytes, rest) = input.split_at_checked(len).ok_or(TRUNCATED)?;
    Ok((rest, bytes))
}

#[inline]
pub(crate) fn be_u8(input: &[u8]) -> Parsed<'_, u8> {
    map(array, u8::from_be_bytes).parse(input)
}

#[inline]
pub(crate) fn be_u16(input: &[u8]) -> Parsed<'_, u16> {
    map(array, u16::from_be_bytes).parse(input)
}

#[inline]
pub(crate) fn be_u32(input: &[u8]) -> Parsed<'_, u32> {
    map(array, u32::from_be_bytes).parse(input)
}

#[inline]
pub(crate) fn be_u64(input: &[u8]) -> Parsed<'_, u64> {
    map(array, u64::from_be_bytes).parse(input)
}

/// The bytes of a short string, whatever they hold.
#[inline]
pub(crate) fn short_bytes(input: &[u8]) -> Parsed<'_, &[u8]> {
    let (rest, len) = be_u8(input)?;
    take(len.into(), rest)
}

/// A short string, checked to be UTF-8.
#[inline]
pub(crate) fn shortstr(input: &[u8]) -> Parsed<'_, &str> {
    let utf8 = |bytes| str::from_utf8(bytes).map_err(|_| DecodeError::Utf8);
    map_res(short_bytes, utf8).parse(input)
}

/// The bytes behind a 32-bit length: a long string, or the inside of a table or array.
#[inline]
pub(crate) fn long_bytes(input: &[u8]) -> Parsed<'_, &[u8]> {
    let (rest, len) = be_u32(input)?;
    take(len as usize, rest)
}

/// Writes a short string.
#[inline]
pub(crate) fn put_shortstr(out: &mut Vec<u8>, text: &str) -> Result<(), EncodeError> {
    let len = u8::try_from(text.len()).map_err(|_| EncodeError::ShortStringTooLong(text.len()))?;
    out.push(len);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Writes a long string.
#[inline]
pub(crate) fn put_longstr(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), EncodeError> {
    let len =
        u32::try_from(bytes.len()).map_err(|_| EncodeError::LongStringTooLong(bytes.len()))?;
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

/// Writes a 32-bit length in front of what `body` writes, known only afterwards.
#[inline]
pub(crate) fn put_sized(
    out: &mut Vec<u8>,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out)?;
    let size = out.len() - start - 4;
    let len = u32::try_from(size).map_err(|_| EncodeError::TableTooLarge(size))?;
    out[start..start + 4].copy_from_slice(&len.to_be_bytes());
    Ok(())
}

/// Runs `write`; when it fails, `out` is as it was before.
#[inline]
pub(crate) fn put_whole(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    let written = write(out);
    if written.is_err() {
        out.truncate(start);
    }
    written
}
