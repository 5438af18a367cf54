//! Values as texts show them.

use amqp_codec::ShortString;

use super::*;

fn canonical(value: FieldValue) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_canonical(&value, &mut bytes);
    bytes
}

#[test]
fn values_are_shown_as_terms() {
    let table: FieldTable = [(ShortString::clipped("b"), FieldValue::Bool(true))]
        .into_iter()
        .collect();
    let list = FieldValue::Array(vec![1.into(), "a".into(), FieldValue::Table(table)]);
    for (value, expected) in [
        (FieldValue::I8(-5), "-5"),
        (FieldValue::LongLong(1 << 40), "1099511627776"),
        (FieldValue::Bool(false), "false"),
        (FieldValue::F64(1.5), "1.5"),
        (FieldValue::F32(2.0), "2.0"),
        (
            FieldValue::Decimal {
                scale: 2,
                value: 314,
            },
            "{2,314}",
        ),
        (FieldValue::Timestamp(7), "7"),
        (FieldValue::Void, "undefined"),
        ("some".into(), "<<\"some\">>"),
        ("".into(), "<<>>"),
        ("a\"b\\".into(), "<<\"a\\\"b\\\\\">>"),
        ("a\nb".into(), "<<\"a\\nb\">>"),
        ("ü".into(), "<<\"ü\"/utf8>>"),
        (FieldValue::Bytes(vec![1, 200]), "<<1,200>>"),
        (
            list,
            "[{signedint,1},{longstr,<<\"a\">>},{table,[{<<\"b\">>,bool,true}]}]",
        ),
    ] {
        assert_eq!(Term(&value).to_string(), expected, "{value:?}");
    }
}

#[test]
fn equality_does_not_look_at_widths() {
    assert!(equal(&FieldValue::I8(5), &FieldValue::I64(5)));
    assert!(equal(&"a".into(), &FieldValue::Bytes(b"a".to_vec())));
    assert!(!equal(&5.into(), &"5".into()));
    assert!(!equal(&1.into(), &FieldValue::Bool(true)));
    assert!(!equal(&1.into(), &1.0.into()));
    assert!(!equal(&FieldValue::Void, &0.into()));
}

#[test]
fn a_timestamp_is_an_integer() {
    for (integer, seconds) in [(FieldValue::I8(5), 5), (FieldValue::I64(i64::MAX), 1 << 63)] {
        let is_equal = seconds == 5;
        assert_eq!(equal(&integer, &FieldValue::Timestamp(seconds)), is_equal);
        assert_eq!(equal(&FieldValue::Timestamp(seconds), &integer), is_equal);
    }
    assert!(!equal(&FieldValue::Timestamp(5), &5.0.into()));
    assert!(!equal(
        &FieldValue::I64(-1),
        &FieldValue::Timestamp(u64::MAX)
    ));
    assert!(equal(
        &FieldValue::Timestamp(u64::MAX),
        &FieldValue::Timestamp(u64::MAX)
    ));
}

#[test]
fn timestamps_and_numbers_of_one_value_share_their_bytes() {
    for equals in [
        FieldValue::U16(1),
        FieldValue::F64(1.0),
        FieldValue::F32(1.0),
    ] {
        assert_eq!(canonical(FieldValue::Timestamp(1)), canonical(equals));
    }
    let large = [i64::MAX as u64, 1 << 63, (1 << 63) + 1, u64::MAX];
    for (index, seconds) in large.into_iter().enumerate() {
        for other in &large[..index] {
            let other = FieldValue::Timestamp(*other);
            assert_ne!(canonical(FieldValue::Timestamp(seconds)), canonical(other));
        }
        for integer in [i64::MIN, -1, 0] {
            let integer = canonical(FieldValue::I64(integer));
            assert_ne!(canonical(FieldValue::Timestamp(seconds)), integer);
        }
    }
    let largest = FieldValue::Timestamp(i64::MAX as u64);
    assert_eq!(canonical(largest), canonical(FieldValue::I64(i64::MAX)));
}

#[test]
fn inside_arrays_and_tables_a_timestamp_is_no_integer() {
    let timestamp = FieldValue::Timestamp(1);
    for integer in [FieldValue::I32(1), FieldValue::LongLong(1)] {
        let tables = [&timestamp, &integer].map(|value| {
            let entry = (ShortString::clipped("a"), value.clone());
            FieldValue::Table([entry].into_iter().collect())
        });
        assert_ne!(canonical(tables[0].clone()), canonical(tables[1].clone()));
        let arrays = [&timestamp, &integer].map(|value| FieldValue::Array(vec![value.clone()]));
        assert_ne!(canonical(arrays[0].clone()), canonical(arrays[1].clone()));
    }
}

#[test]
fn an_integer_and_a_float_are_equal_when_their_values_are() {
    assert_eq!(
        canonical(FieldValue::I64(-7)),
        canonical(FieldValue::F32(-7.0))
    );
    for exact in [i64::MIN, 1 << 53, -(1 << 60)] {
        let float = canonical(FieldValue::F64(exact as f64));
        assert_eq!(canonical(FieldValue::I64(exact)), float, "{exact}");
    }
    for rounded in [i64::MAX, (1 << 53) + 1] {
        let float = canonical(FieldValue::F64(rounded as f64));
        assert_ne!(canonical(FieldValue::I64(rounded)), float, "{rounded}");
    }
    let above = FieldValue::F64((1u64 << 63) as f64);
    assert_eq!(canonical(FieldValue::Timestamp(1 << 63)), canonical(above));
    let beyond = FieldValue::F64(u64::MAX as f64);
    assert_ne!(
        canonical(FieldValue::Timestamp(u64::MAX)),
        canonical(beyond)
    );
    for float in [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MIN_POSITIVE,
    ] {
        assert_ne!(canonical(0.into()), canonical(float.into()), "{float}");
    }
}
