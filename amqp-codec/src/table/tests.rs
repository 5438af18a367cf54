//! Field tables: every type, the limits of depth and length, and damaged input.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::strategies::field_table;

fn name(text: &str) -> ShortString {
    ShortString::try_from(text).unwrap()
}

fn sized(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes(), body].concat()
}

fn encoded(table: &FieldTable) -> Vec<u8> {
    let mut out = Vec::new();
    table.encode(&mut out).unwrap();
    out
}

/// One entry for each type, written as bytes, next to the value and RabbitMQ's name of the type.
fn every_type() -> Vec<(&'static [u8], FieldValue, &'static str)> {
    let inner: FieldTable = [(name("k"), FieldValue::U8(1))].into_iter().collect();
    vec![
        (b"t\x01", FieldValue::Bool(true), "bool"),
        (b"b\xFF", FieldValue::I8(-1), "byte"),
        (b"B\xFF", FieldValue::U8(255), "unsignedbyte"),
        (b"s\xFF\xFE", FieldValue::I16(-2), "short"),
        (b"u\xFF\xFE", FieldValue::U16(65_534), "unsignedshort"),
        (b"I\xFF\xFF\xFF\xFD", FieldValue::I32(-3), "signedint"),
        (
            b"i\xFF\xFF\xFF\xFD",
            FieldValue::U32(4_294_967_293),
            "unsignedint",
        ),
        (
            b"l\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFC",
            FieldValue::I64(-4),
            "long",
        ),
        (
            b"L\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFC",
            FieldValue::LongLong(-4),
            "long",
        ),
        (b"f\x3F\x80\0\0", FieldValue::F32(1.0), "float"),
        (b"d\x3F\xF0\0\0\0\0\0\0", FieldValue::F64(1.0), "double"),
        (
            b"D\x02\0\0\x01\x3A",
            FieldValue::Decimal {
                scale: 2,
                value: 314,
            },
            "decimal",
        ),
        (
            b"S\0\0\0\x02\xFFx",
            FieldValue::LongString(b"\xFFx".to_vec()),
            "longstr",
        ),
        (
            b"A\0\0\0\x03Vt\0",
            vec![FieldValue::Void, FieldValue::Bool(false)].into(),
            "array",
        ),
        (
            b"T\0\0\0\0\0\0\0\x09",
            FieldValue::Timestamp(9),
            "timestamp",
        ),
        (b"F\0\0\0\x04\x01kB\x01", FieldValue::Table(inner), "table"),
        (b"V", FieldValue::Void, "void"),
        (b"x\0\0\0\x01\0", FieldValue::Bytes(vec![0]), "binary"),
    ]
}

/// A table of `depth` levels: tables down to the last level but `arrays`, then arrays.
fn nested(depth: usize, arrays: usize) -> FieldTable {
    let mut value = FieldValue::Void;
    for level in (2..=depth).rev() {
        value = if level > depth - arrays {
            FieldValue::Array(vec![value])
        } else {
            FieldValue::Table([(name("t"), value)].into_iter().collect())
        };
    }
    [(name("t"), value)].into_iter().collect()
}

/// The bytes of `nested`, written without the encoder, which has a limit of its own.
fn nested_bytes(depth: usize, arrays: usize) -> Vec<u8> {
    let mut value = b"V".to_vec();
    for level in (2..=depth).rev() {
        value = if level > depth - arrays {
            [b"A".to_vec(), sized(&value)].concat()
        } else {
            [b"F".to_vec(), sized(&[b"\x01t", &value[..]].concat())].concat()
        };
    }
    sized(&[b"\x01t", &value[..]].concat())
}

#[test]
fn every_type_decodes_and_returns_with_its_tag() {
    for (bytes, value, _) in every_type() {
        let input = sized(&[b"\x01n", bytes].concat());
        let table = FieldTable::decode(&input).unwrap();
        assert_eq!(table.get("n"), Some(&value));
        assert_eq!(value.tag(), bytes[0]);
        assert_eq!(encoded(&table), input, "{value:?}");
    }
}

#[test]
fn types_have_the_names_of_rabbitmqs_error_texts() {
    for (_, value, type_name) in every_type() {
        assert_eq!(value.type_name(), type_name);
    }
}

#[test]
fn every_other_tag_is_refused() {
    let known: Vec<u8> = every_type().iter().map(|(bytes, ..)| bytes[0]).collect();
    assert_eq!(known.len(), 18);
    for tag in (0..=255).filter(|tag| !known.contains(tag)) {
        let input = sized(&[1, b'n', tag, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(
            FieldTable::decode(&input),
            Err(DecodeError::UnknownTag(tag))
        );
    }
}

#[test]
fn any_byte_but_zero_is_true() {
    for byte in 0..=255 {
        let table = FieldTable::decode_body(&[1, b'n', b't', byte]).unwrap();
        assert_eq!(
            table.get("n").and_then(FieldValue::as_bool),
            Some(byte != 0)
        );
    }
}

#[test]
fn every_integer_type_is_an_i64_and_nothing_else_is() {
    for (bytes, value, _) in every_type() {
        let integer = b"bBsuIilL".contains(&bytes[0]);
        assert_eq!(value.as_i64().is_some(), integer, "{value:?}");
    }
    assert_eq!(FieldValue::U32(u32::MAX).as_i64(), Some(4_294_967_295));
    assert_eq!(FieldValue::I8(-1).as_i64(), Some(-1));
}

#[test]
fn a_long_string_that_is_not_utf8_is_no_str() {
    assert_eq!(FieldValue::from("kö").as_str(), Some("kö"));
    assert_eq!(FieldValue::LongString(vec![0xFF]).as_str(), None);
    assert_eq!(FieldValue::Bytes(b"x".to_vec()).as_str(), None);
}

#[test]
fn a_body_without_length_decodes_as_amqplain_sends_it() {
    let body = b"\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x02pw";
    let table = FieldTable::decode_body(body).unwrap();
    assert_eq!(
        table.get("LOGIN").and_then(FieldValue::as_str),
        Some("guest")
    );
    assert_eq!(
        table.get("PASSWORD").and_then(FieldValue::as_str),
        Some("pw")
    );
    assert_eq!(encoded(&table), sized(body));
}

#[test]
fn nesting_is_decoded_down_to_the_limit() {
    for arrays in [0, 5] {
        for depth in [31, 32] {
            let table = FieldTable::decode(&nested_bytes(depth, arrays)).unwrap();
            assert_eq!(table, nested(depth, arrays));
        }
        let deeper = FieldTable::decode(&nested_bytes(33, arrays));
        assert_eq!(deeper, Err(DecodeError::TooDeep));
    }
}

#[test]
fn nesting_is_encoded_down_to_the_limit() {
    for arrays in [0, 5] {
        for depth in [31, 32] {
            assert_eq!(encoded(&nested(depth, arrays)), nested_bytes(depth, arrays));
        }
        let mut out = vec![1, 2, 3];
        let refused = nested(33, arrays).encode(&mut out);
        assert_eq!(refused, Err(EncodeError::TooDeep));
        assert_eq!(out, [1, 2, 3], "the output is as it was");
    }
}

#[test]
fn ten_thousand_levels_end_at_the_limit() {
    assert_eq!(
        FieldTable::decode(&nested_bytes(10_000, 0)),
        Err(DecodeError::TooDeep)
    );
    assert_eq!(
        FieldTable::decode(&nested_bytes(10_000, 9_999)),
        Err(DecodeError::TooDeep)
    );
}

#[test]
fn a_length_beyond_the_input_is_truncated() {
    let huge = [0xFF; 4];
    assert_eq!(FieldTable::decode(&huge), Err(DecodeError::Truncated));
    for tag in b"SAFx" {
        let body = [&[1, b'n', *tag], &huge[..], b"abc"].concat();
        assert_eq!(
            FieldTable::decode(&sized(&body)),
            Err(DecodeError::Truncated)
        );
    }
    assert_eq!(
        FieldTable::decode_body(&[9, b'n']),
        Err(DecodeError::Truncated)
    );
}

#[test]
fn an_inner_length_may_not_reach_beyond_its_table() {
    // The inner table claims the byte that follows the outer one.
    let input = b"\0\0\0\x08\x01tF\0\0\0\x03\0V";
    assert_eq!(
        FieldTable::decode_prefix(input),
        Err(DecodeError::Truncated)
    );
}

#[test]
fn an_array_of_void_has_as_many_elements_as_bytes() {
    let body = [b"\x01aA".to_vec(), sized(&[b'V'; 1000])].concat();
    let table = FieldTable::decode_body(&body).unwrap();
    assert_eq!(
        table
            .get("a")
            .and_then(FieldValue::as_array)
            .map(<[_]>::len),
        Some(1000)
    );
}

#[test]
fn an_entry_stays_small_in_memory() {
    assert!(size_of::<(ShortString, FieldValue)>() <= 48);
}

#[test]
fn bytes_behind_a_table_are_refused_or_handed_back() {
    let input = b"\0\0\0\x03\x01nVrest";
    assert_eq!(FieldTable::decode(input), Err(DecodeError::Trailing));
    let (table, rest) = FieldTable::decode_prefix(input).unwrap();
    assert_eq!((table.len(), rest), (1, &b"rest"[..]));
}

#[test]
fn a_name_that_is_not_utf8_is_refused() {
    assert_eq!(
        FieldTable::decode_body(b"\x01\xFFV"),
        Err(DecodeError::Utf8)
    );
}

#[test]
fn of_two_values_with_one_name_the_first_counts_and_both_stay() {
    let input = sized(b"\x01nB\x01\x01nB\x02");
    let table = FieldTable::decode(&input).unwrap();
    assert_eq!(table.get("n"), Some(&FieldValue::U8(1)));
    assert_eq!(encoded(&table), input);
}

#[test]
fn insert_replaces_in_place_and_remove_takes_all_of_the_name() {
    let mut table = FieldTable::new();
    assert_eq!(table.insert(name("a"), 1), None);
    assert_eq!(table.insert(name("b"), true), None);
    assert_eq!(table.insert(name("a"), "x"), Some(FieldValue::I32(1)));
    let names: Vec<&str> = table.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["a", "b"]);

    let mut table = FieldTable::decode_body(b"\x01nB\x01\x01mV\x01nB\x02").unwrap();
    assert_eq!(table.remove("n"), Some(FieldValue::U8(1)));
    assert_eq!(table.remove("n"), None);
    assert_eq!(table.len(), 1);
    assert!(table.contains("m") && !table.is_empty());
}

proptest! {
    #[test]
    fn tables_round_trip(table in field_table()) {
        let first = encoded(&table);
        let decoded = FieldTable::decode(&first).unwrap();
        prop_assert_eq!(decoded.len(), table.len());
        // NaN is not equal to itself, its bytes are.
        prop_assert_eq!(encoded(&decoded), first);
    }

    #[test]
    fn a_table_cut_short_is_an_error(table in field_table(), at in any::<prop::sample::Index>()) {
        let whole = encoded(&table);
        prop_assert!(FieldTable::decode(&whole[..at.index(whole.len())]).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic(input in vec(any::<u8>(), 0..80)) {
        let _ = FieldTable::decode(&input);
        if let Ok(table) = FieldTable::decode_body(&input) {
            prop_assert!(table.len() * 2 <= input.len());
        }
    }

    #[test]
    fn a_damaged_table_never_panics(
        table in field_table(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut input = encoded(&table);
        let at = at.index(input.len());
        input[at] = byte;
        if let Ok(damaged) = FieldTable::decode(&input) {
            prop_assert!(encoded(&damaged).len() == input.len());
        }
    }
}
