//! Values as texts show them.

use amqp_codec::ShortString;

use super::*;

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
fn numbers_that_floats_cannot_tell_apart_stay_different() {
    let canonical = |value: FieldValue| {
        let mut bytes = Vec::new();
        put_canonical(&value, &mut bytes);
        bytes
    };
    assert_eq!(
        canonical(FieldValue::I64(-7)),
        canonical(FieldValue::F32(-7.0))
    );
    for integer in [i64::MIN, i64::MAX, 1 << 53] {
        let float = canonical(FieldValue::F64(integer as f64));
        assert_ne!(canonical(FieldValue::I64(integer)), float, "{integer}");
    }
    for float in [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MIN_POSITIVE,
    ] {
        assert_ne!(canonical(0.into()), canonical(float.into()), "{float}");
    }
}
