//! What property tests draw from: short strings, field values of every type, tables of them.

use proptest::collection::vec;
use proptest::num;
use proptest::prelude::*;

use crate::{FieldTable, FieldValue, ShortString};

/// Text of 0 to 255 bytes, beyond ASCII too.
pub(crate) fn short_text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => vec(any::<char>(), 0..12).prop_map(|chars| chars.into_iter().collect()),
        1 => (0..=255usize).prop_map(|len| "x".repeat(len)),
    ]
}

pub(crate) fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..40)
}

/// Values of all eighteen types; floats include infinities and NaNs.
pub(crate) fn field_value() -> impl Strategy<Value = FieldValue> {
    let integers = prop_oneof![
        any::<i8>().prop_map(FieldValue::I8),
        any::<u8>().prop_map(FieldValue::U8),
        any::<i16>().prop_map(FieldValue::I16),
        any::<u16>().prop_map(FieldValue::U16),
        any::<i32>().prop_map(FieldValue::I32),
        any::<u32>().prop_map(FieldValue::U32),
        any::<i64>().prop_map(FieldValue::I64),
        any::<i64>().prop_map(FieldValue::LongLong),
    ];
    let others = prop_oneof![
        any::<bool>().prop_map(FieldValue::Bool),
        num::f32::ANY.prop_map(FieldValue::F32),
        num::f64::ANY.prop_map(FieldValue::F64),
        any::<(u8, u32)>().prop_map(|(scale, value)| FieldValue::Decimal { scale, value }),
        bytes().prop_map(FieldValue::LongString),
        bytes().prop_map(FieldValue::Bytes),
        any::<u64>().prop_map(FieldValue::Timestamp),
        Just(FieldValue::Void),
    ];
    prop_oneof![integers, others].prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(FieldValue::Array),
            vec((short_text(), inner), 0..6)
                .prop_map(table_of)
                .prop_map(FieldValue::Table),
        ]
    })
}

pub(crate) fn field_table() -> impl Strategy<Value = FieldTable> {
    vec((short_text(), field_value()), 0..6).prop_map(table_of)
}

fn table_of(entries: Vec<(String, FieldValue)>) -> FieldTable {
    entries
        .into_iter()
        .map(|(name, value)| (ShortString::clipped(&name), value))
        .collect()
}
