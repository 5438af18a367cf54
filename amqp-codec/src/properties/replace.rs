//! Replacing one property in raw bytes; every other byte stays what the publisher sent.
//!
//! Nothing but the one property is looked at: what stands in front of it is stepped over by its
//! length, what follows is copied. So a message can be readdressed whose text is not UTF-8.

use super::scan::{KNOWN_FLAGS, step_to, value};
use crate::error::DecodeError;

/// The properties with another value of the one that `flag` names, or without it. `encoded` is
/// the value as on the wire: a short string with its length, a table with its length, a number.
/// The new properties have a single flag word.
pub fn replace_property(
    raw: &[u8],
    flag: u16,
    encoded: Option<&[u8]>,
) -> Result<Vec<u8>, DecodeError> {
    let (values, flags, at) = step_to(raw, flag)?;
    let after = match flags & flag {
        0 => at,
        _ => value(flag, at)?.0,
    };
    let before = &values[..values.len() - at.len()];
    let new = encoded.unwrap_or_default();
    let flags = match encoded {
        Some(new) => {
            is_one_value(flag, new)?;
            flags & KNOWN_FLAGS | flag
        }
        None => flags & KNOWN_FLAGS & !flag,
    };
    Ok([&flags.to_be_bytes()[..], before, new, after].concat())
}

fn is_one_value(flag: u16, encoded: &[u8]) -> Result<(), DecodeError> {
    match value(flag, encoded)? {
        ([], _) => Ok(()),
        _ => Err(DecodeError::Trailing),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        FLAG_APP_ID, FLAG_CONTENT_TYPE, FLAG_CORRELATION_ID, FLAG_DELIVERY_MODE, FLAG_EXPIRATION,
        FLAG_HEADERS, FLAG_REPLY_TO, FLAG_TIMESTAMP, Properties, check_properties, property_value,
    };

    #[test]
    fn a_value_is_replaced_in_its_place() {
        let raw = b"\x86\0\x01c\x01i\x01r";
        assert_eq!(
            replace_property(raw, FLAG_CORRELATION_ID, Some(b"\x03new")).as_deref(),
            Ok(&b"\x86\0\x01c\x03new\x01r"[..])
        );
        assert_eq!(
            replace_property(raw, FLAG_REPLY_TO, None).as_deref(),
            Ok(&b"\x84\0\x01c\x01i"[..])
        );
    }

    #[test]
    fn a_property_that_was_not_there_comes_in_the_order_of_the_specification() {
        let raw = b"\x82\0\x01c\x01r";
        assert_eq!(
            replace_property(raw, FLAG_HEADERS, Some(b"\0\0\0\x03\x01nV")).as_deref(),
            Ok(&b"\xA2\0\x01c\0\0\0\x03\x01nV\x01r"[..])
        );
        assert_eq!(
            replace_property(&[0, 0], FLAG_DELIVERY_MODE, Some(&[2])).as_deref(),
            Ok(&[0x10, 0, 2][..])
        );
        assert_eq!(
            replace_property(raw, FLAG_APP_ID, None).as_deref(),
            Ok(&raw[..]),
            "nothing to take away"
        );
    }

    #[test]
    fn other_properties_keep_their_bytes_whatever_they_hold() {
        let raw = b"\xA6\0\x02\xFF\xFE\0\0\0\x03\x01\xFFV\x01\xFD\x01\xFC";
        let replaced = replace_property(raw, FLAG_HEADERS, Some(&[0; 4])).unwrap();
        assert_eq!(replaced, b"\xA6\0\x02\xFF\xFE\0\0\0\0\x01\xFD\x01\xFC");
        let cut = b"\x81\x00\x01c\x05500";
        assert_eq!(
            replace_property(cut, FLAG_EXPIRATION, None),
            Err(DecodeError::Truncated)
        );
        let no_timestamp = b"\x80\x40\x01c";
        assert_eq!(
            replace_property(no_timestamp, FLAG_CONTENT_TYPE, Some(b"\x01d")).as_deref(),
            Ok(&b"\x80\x40\x01d"[..]),
            "what follows is copied unseen"
        );
    }

    #[test]
    fn a_continued_flag_word_becomes_a_single_one() {
        assert_eq!(
            replace_property(b"\x10\x01\0\0\x02", FLAG_CONTENT_TYPE, Some(b"\x01c")).as_deref(),
            Ok(&b"\x90\0\x01c\x02"[..])
        );
    }

    #[test]
    fn a_value_that_is_none_of_its_kind_is_refused() {
        for (flag, encoded, error) in [
            (FLAG_CONTENT_TYPE, &b"\x02c"[..], DecodeError::Truncated),
            (FLAG_CONTENT_TYPE, b"\x01cc", DecodeError::Trailing),
            (FLAG_HEADERS, b"\0\0\0\x01", DecodeError::Truncated),
            (FLAG_DELIVERY_MODE, b"", DecodeError::Truncated),
            (FLAG_TIMESTAMP, &[0; 9], DecodeError::Trailing),
        ] {
            assert_eq!(replace_property(&[0, 0], flag, Some(encoded)), Err(error));
        }
    }

    proptest! {
        #[test]
        fn replacing_agrees_with_parsing(raw in vec(any::<u8>(), 0..60), bit in 2u16..16) {
            let flag = 1 << bit;
            let encoded: &[u8] = match flag {
                FLAG_HEADERS => b"\0\0\0\x03\x01nV",
                FLAG_DELIVERY_MODE | crate::FLAG_PRIORITY => &[7],
                FLAG_TIMESTAMP => &[1, 2, 3, 4, 5, 6, 7, 8],
                _ => b"\x02ok",
            };
            for new in [Some(encoded), None] {
                let replaced = replace_property(&raw, flag, new);
                if check_properties(&raw).is_ok() {
                    let replaced = replaced.unwrap();
                    prop_assert_eq!(check_properties(&replaced), Ok(()));
                    let found = property_value(&replaced, flag).unwrap();
                    prop_assert_eq!(found.is_some(), new.is_some());
                    for other in (2..16).map(|bit| 1 << bit).filter(|other| *other != flag) {
                        let (before, after) =
                            (property_value(&raw, other), property_value(&replaced, other));
                        prop_assert_eq!(before, after);
                    }
                    prop_assert!(
                        Properties::parse(&raw).is_err() || Properties::parse(&replaced).is_ok()
                    );
                }
            }
        }
    }
}
