//! Headers whose names need not be UTF-8: RabbitMQ takes any bytes, so a broker has to carry them.
//!
//! ```text
//!   entry = name:shortstr value      known by the bytes of its name, copied as a whole
//! ```
//!
//! Lengths, tags and depth are checked down to the last value, text is not.

use crate::error::{DecodeError, EncodeError};
use crate::primitive::{Parsed, be_u8, long_bytes, put_whole, short_bytes, take};
use crate::table::{FieldTable, MAX_DEPTH};

/// A field table as bytes, its 32-bit length included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawTable<'a>(pub &'a [u8]);

/// An entry of a table as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawEntry<'a> {
    /// Its name, perhaps not UTF-8.
    pub name: &'a [u8],
    /// Name and value as on the wire.
    pub bytes: &'a [u8],
}

/// A table whose names are in part not UTF-8.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadableTable<'a> {
    /// The entries that can be decoded.
    pub table: FieldTable,
    /// Those that cannot: their name, or a name inside of them, is not UTF-8.
    pub unreadable: Vec<RawEntry<'a>>,
}

impl<'a> RawTable<'a> {
    /// Decodes the table.
    pub fn decode(&self) -> Result<FieldTable, DecodeError> {
        FieldTable::decode(self.0)
    }

    /// Decodes what can be decoded and keeps the rest as bytes. A table that is malformed in any
    /// other way than by its text is an error.
    pub fn readable(&self) -> Result<ReadableTable<'a>, DecodeError> {
        let mut unreadable = Vec::new();
        let mut readable = Vec::new();
        for entry in self.entries()? {
            match FieldTable::decode_body(entry.bytes) {
                Ok(one) => readable.extend(one),
                Err(DecodeError::Utf8) => unreadable.push(entry),
                Err(error) => return Err(error),
            }
        }
        let table = readable.into_iter().collect();
        Ok(ReadableTable { table, unreadable })
    }

    /// The bytes of the same table without the entries of this name.
    pub fn without(&self, name: &str) -> Result<Vec<u8>, DecodeError> {
        let mut left = self.entries()?;
        left.retain(|entry| entry.name != name.as_bytes());
        let size: usize = left.iter().map(|entry| entry.bytes.len()).sum();
        let mut out = Vec::with_capacity(4 + size);
        out.extend_from_slice(&(size as u32).to_be_bytes());
        left.iter()
            .for_each(|entry| out.extend_from_slice(entry.bytes));
        Ok(out)
    }

    fn entries(&self) -> Result<Vec<RawEntry<'a>>, DecodeError> {
        let ([], mut body) = long_bytes(self.0)? else {
            return Err(DecodeError::Trailing);
        };
        let mut entries = Vec::new();
        while !body.is_empty() {
            let (rest, entry) = entry(1, body)?;
            entries.push(entry);
            body = rest;
        }
        Ok(entries)
    }
}

impl ReadableTable<'_> {
    /// Appends the table with its length, the unreadable entries last. On error `out` is as
    /// before.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_whole(out, |out| {
            let start = out.len();
            self.table.encode(out)?;
            for entry in &self.unreadable {
                out.extend_from_slice(entry.bytes);
            }
            let size = out.len() - start - 4;
            let len = u32::try_from(size).map_err(|_| EncodeError::TableTooLarge(size))?;
            out[start..start + 4].copy_from_slice(&len.to_be_bytes());
            Ok(())
        })
    }
}

/// The entry of a table at the given depth.
fn entry(depth: usize, input: &[u8]) -> Parsed<'_, RawEntry<'_>> {
    let (rest, name) = short_bytes(input)?;
    let rest = behind_value(depth, rest)?;
    let bytes = &input[..input.len() - rest.len()];
    Ok((rest, RawEntry { name, bytes }))
}

/// What follows the value at the beginning of `input`, which stands at the given depth.
fn behind_value(depth: usize, input: &[u8]) -> Result<&[u8], nom::Err<DecodeError>> {
    let (rest, tag) = be_u8(input)?;
    let size = match tag {
        b'V' => 0,
        b't' | b'b' | b'B' => 1,
        b's' | b'u' => 2,
        b'I' | b'i' | b'f' => 4,
        b'D' => 5,
        b'l' | b'L' | b'd' | b'T' => 8,
        b'S' | b'x' => return Ok(long_bytes(rest)?.0),
        b'A' | b'F' => return behind_nested(tag, depth + 1, rest),
        tag => return Err(nom::Err::Failure(DecodeError::UnknownTag(tag))),
    };
    Ok(take(size, rest)?.0)
}

/// What follows a table or array, all of whose values are stepped over.
fn behind_nested(tag: u8, depth: usize, input: &[u8]) -> Result<&[u8], nom::Err<DecodeError>> {
    let (rest, mut body) = long_bytes(input)?;
    if depth > MAX_DEPTH {
        return Err(nom::Err::Failure(DecodeError::TooDeep));
    }
    while !body.is_empty() {
        body = match tag {
            b'F' => entry(depth, body)?.0,
            _ => behind_value(depth, body)?,
        };
    }
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::FieldValue;
    use crate::strategies::field_table;

    fn sized(body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32).to_be_bytes(), body].concat()
    }

    fn encoded(table: &FieldTable) -> Vec<u8> {
        let mut out = Vec::new();
        table.encode(&mut out).unwrap();
        out
    }

    #[test]
    fn an_entry_is_taken_out_wherever_it_stands_and_the_others_keep_their_bytes() {
        let raw = sized(b"\x03BCCA\0\0\0\x06S\0\0\0\x01k\x01\xFFV\x03BCCV\x01nt\x07");
        let without = RawTable(&raw).without("BCC").unwrap();
        assert_eq!(without, sized(b"\x01\xFFV\x01nt\x07"));
        assert_eq!(RawTable(&raw).without("n\0"), Ok(raw.clone()));
        assert_eq!(RawTable(&[0; 4]).without("BCC"), Ok(vec![0; 4]));
    }

    #[test]
    fn what_is_utf8_is_decoded_and_the_rest_stays_bytes() {
        let raw = sized(b"\x01\xFFV\x01nB\x05\x01tF\0\0\0\x03\x01\xFEV");
        assert_eq!(RawTable(&raw).decode(), Err(DecodeError::Utf8));
        let readable = RawTable(&raw).readable().unwrap();
        assert_eq!(readable.table.len(), 1);
        assert_eq!(readable.table.get("n"), Some(&FieldValue::U8(5)));
        let names: Vec<&[u8]> = readable.unreadable.iter().map(|entry| entry.name).collect();
        assert_eq!(names, [&b"\xFF"[..], b"t"]);
        let mut out = vec![9];
        readable.encode(&mut out).unwrap();
        let expected = sized(b"\x01nB\x05\x01\xFFV\x01tF\0\0\0\x03\x01\xFEV");
        assert_eq!(out, [&[9], &expected[..]].concat());
    }

    #[test]
    fn a_name_that_is_not_utf8_hides_no_damage() {
        for (behind, error) in [
            (&b"\x01n"[..], DecodeError::Truncated),
            (b"\x01n?", DecodeError::UnknownTag(b'?')),
            (b"\x01nF\0\0\0\x03\x01\xFF?", DecodeError::UnknownTag(b'?')),
            (b"\x01nF\0\0\0\x03\x01\xFFB", DecodeError::Truncated),
            (b"\x01nA\0\0\0\x02Vs", DecodeError::Truncated),
        ] {
            let raw = sized(&[b"\x01\xFFV", behind].concat());
            assert_eq!(RawTable(&raw).readable(), Err(error), "{behind:?}");
            assert_eq!(RawTable(&raw).without("BCC"), Err(error), "{behind:?}");
        }
        assert_eq!(
            RawTable(b"\0\0\0\0V").without("BCC"),
            Err(DecodeError::Trailing)
        );
    }

    #[test]
    fn depth_is_bounded_as_in_decoding() {
        let nested = |depth: usize| {
            let value = (1..depth).fold(b"V".to_vec(), |value, _| {
                [b"A".to_vec(), sized(&value)].concat()
            });
            sized(&[b"\x01\xFF", &value[..]].concat())
        };
        assert!(RawTable(&nested(MAX_DEPTH)).readable().is_ok());
        assert_eq!(
            RawTable(&nested(MAX_DEPTH + 1)).readable(),
            Err(DecodeError::TooDeep)
        );
        let far = nested(10_000);
        assert_eq!(RawTable(&far).without("n"), Err(DecodeError::TooDeep));
    }

    proptest! {
        #[test]
        fn stepping_over_agrees_with_decoding(table in field_table()) {
            let raw = encoded(&table);
            let readable = RawTable(&raw).readable().unwrap();
            prop_assert!(readable.unreadable.is_empty());
            prop_assert_eq!(encoded(&readable.table), &raw[..]);
            if let Some((name, _)) = table.iter().next() {
                let mut left = table.clone();
                left.remove(name);
                prop_assert_eq!(RawTable(&raw).without(name), Ok(encoded(&left)));
            }
        }

        #[test]
        fn stepping_over_refuses_what_decoding_refuses(
            table in field_table(),
            damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..3),
        ) {
            let mut raw = encoded(&table);
            for (at, byte) in damage {
                let at = at.index(raw.len());
                raw[at] = byte;
            }
            let raw = RawTable(&raw);
            match (raw.decode(), raw.without("")) {
                (Ok(_), without) => prop_assert!(without.is_ok()),
                (Err(DecodeError::Utf8), _) => {}
                (Err(_), without) => prop_assert!(without.is_err()),
            }
        }
    }
}
