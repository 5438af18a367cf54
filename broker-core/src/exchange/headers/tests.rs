//! Rules against a matcher that asks each binding, and what is looked at.

use std::collections::BTreeSet;

use amqp_codec::ShortString;
use proptest::prelude::*;

use super::*;

fn table(entries: &[(&str, FieldValue)]) -> FieldTable {
    entries
        .iter()
        .map(|(name, value)| (ShortString::clipped(name), value.clone()))
        .collect()
}

/// Arguments with an x-match (none when empty).
fn arguments(x_match: &str, entries: &[(&str, FieldValue)]) -> FieldTable {
    let mut arguments = table(entries);
    if !x_match.is_empty() {
        arguments.insert(ShortString::clipped(X_MATCH), x_match);
    }
    arguments
}

fn find(headers: &Headers, message: Option<&FieldTable>) -> (BTreeSet<u32>, usize) {
    let mut found = BTreeSet::new();
    let looked_at = headers.find(message, &mut |target| match target {
        TargetId::Queue(number) | TargetId::Exchange(number) => {
            found.insert(number);
        }
    });
    (found, looked_at)
}

#[track_caller]
fn assert_matches(arguments: &FieldTable, message: Option<&FieldTable>, expected: bool) {
    let mut headers = Headers::default();
    headers.add(arguments, TargetId::Queue(0));
    let found = !find(&headers, message).0.is_empty();
    assert_eq!(found, expected, "{arguments:?} with {message:?}");
    assert_eq!(
        matches(arguments, message),
        expected,
        "{arguments:?} with {message:?}"
    );
}

/// The rule as RabbitMQ's documentation states it, asked of one binding.
fn matches(arguments: &FieldTable, message: Option<&FieldTable>) -> bool {
    let x_match = arguments
        .get(X_MATCH)
        .and_then(FieldValue::as_str)
        .unwrap_or("all");
    let with_x = x_match.ends_with("-with-x");
    let mut conditions = arguments
        .iter()
        .filter(|(name, _)| name.as_str() != X_MATCH && (with_x || !name.starts_with("x-")));
    let holds = |(name, wanted): (&ShortString, &FieldValue)| {
        let value = message.and_then(|headers| headers.get(name));
        value.is_some_and(|value| *wanted == FieldValue::Void || same(wanted, value))
    };
    match x_match.starts_with("any") {
        true => conditions.any(holds),
        false => conditions.all(holds),
    }
}

fn same(a: &FieldValue, b: &FieldValue) -> bool {
    let number = |value: &FieldValue| match value {
        FieldValue::F32(float) => Some(f64::from(*float)),
        FieldValue::F64(float) => Some(*float),
        FieldValue::Timestamp(seconds) => Some(*seconds as f64),
        // The values in use are small.
        other => other.as_i64().map(|integer| integer as f64),
    };
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

#[test]
fn all_is_the_default_and_wants_every_header_with_its_value() {
    let wanted = [("a", FieldValue::I32(1)), ("b", "two".into())];
    for x_match in ["", "all"] {
        let arguments = arguments(x_match, &wanted);
        let more = table(&[
            ("b", "two".into()),
            ("a", FieldValue::I32(1)),
            ("c", FieldValue::Void),
        ]);
        assert_matches(&arguments, Some(&more), true);
        assert_matches(&arguments, Some(&table(&wanted[..1])), false);
        let other = table(&[("a", FieldValue::I32(1)), ("b", "three".into())]);
        assert_matches(&arguments, Some(&other), false);
        assert_matches(&arguments, Some(&FieldTable::new()), false);
        assert_matches(&arguments, None, false);
    }
}

#[test]
fn any_wants_one_header_with_its_value() {
    let arguments = arguments("any", &[("a", FieldValue::I32(1)), ("b", "two".into())]);
    let one = table(&[("a", FieldValue::I32(2)), ("b", "two".into())]);
    assert_matches(&arguments, Some(&one), true);
    let crossed = table(&[("b", FieldValue::I32(1)), ("a", "two".into())]);
    assert_matches(&arguments, Some(&crossed), false);
    assert_matches(&arguments, None, false);
}

#[test]
fn without_arguments_all_matches_everything_and_any_nothing() {
    let message = table(&[("a", FieldValue::I32(1))]);
    for (x_match, expected) in [
        ("", true),
        ("all", true),
        ("all-with-x", true),
        ("any", false),
        ("any-with-x", false),
    ] {
        for message in [None, Some(&message)] {
            assert_matches(&arguments(x_match, &[]), message, expected);
        }
    }
    // A rule of nothing but names that do not count is one without arguments.
    assert_matches(&arguments("", &[("x-a", 1.into())]), None, true);
    assert_matches(&arguments("any", &[("x-a", 1.into())]), None, false);
}

#[test]
fn names_with_x_count_only_where_the_rule_says_so() {
    let wanted = [("x-a", FieldValue::I32(1)), ("b", FieldValue::I32(2))];
    let only_b = table(&wanted[1..]);
    let only_x = table(&wanted[..1]);
    for (x_match, message, expected) in [
        ("all", &only_b, true),
        ("all-with-x", &only_b, false),
        ("any", &only_x, false),
        ("any-with-x", &only_x, true),
    ] {
        assert_matches(&arguments(x_match, &wanted), Some(message), expected);
    }
}

#[test]
fn values_are_equal_after_decoding() {
    let nested = |value: FieldValue| FieldValue::Table(table(&[("k", value)]));
    let list = |value: FieldValue| FieldValue::Array(vec![value]);
    let equal = [
        (FieldValue::I32(1), FieldValue::I64(1)),
        (FieldValue::I32(1), FieldValue::I8(1)),
        (FieldValue::U8(200), FieldValue::LongLong(200)),
        (FieldValue::F32(1.5), FieldValue::F64(1.5)),
        (FieldValue::I32(1), FieldValue::F64(1.0)),
        (FieldValue::F64(0.0), FieldValue::F64(-0.0)),
        ("text".into(), FieldValue::Bytes(b"text".to_vec())),
        (FieldValue::Timestamp(5), FieldValue::Timestamp(5)),
        (FieldValue::I32(5), FieldValue::Timestamp(5)),
        (FieldValue::Timestamp(5), FieldValue::F64(5.0)),
        (nested("v".into()), nested("v".into())),
        (nested(FieldValue::I64(1)), nested(FieldValue::LongLong(1))),
        (FieldValue::Void, "anything".into()),
        (FieldValue::Void, FieldValue::Void),
    ];
    let different = [
        (FieldValue::I32(1), "1".into()),
        (FieldValue::I32(1), FieldValue::Bool(true)),
        (FieldValue::I32(1), FieldValue::F64(1.5)),
        ("Text".into(), "text".into()),
        ("".into(), FieldValue::Void),
        (nested("v".into()), nested("w".into())),
        (nested(FieldValue::I32(1)), nested(FieldValue::I64(1))),
        (
            nested(FieldValue::LongLong(1)),
            nested(FieldValue::Timestamp(1)),
        ),
        (list(FieldValue::I32(1)), FieldValue::I32(1)),
        (
            list("ab".into()),
            FieldValue::Array(vec!["a".into(), "b".into()]),
        ),
    ];
    let pairs = equal
        .map(|pair| (pair, true))
        .into_iter()
        .chain(different.map(|p| (p, false)));
    for ((wanted, given), expected) in pairs {
        let mut headers = Headers::default();
        headers.add(&arguments("", &[("h", wanted.clone())]), TargetId::Queue(0));
        let found = find(&headers, Some(&table(&[("h", given.clone())]))).0;
        assert_eq!(!found.is_empty(), expected, "{wanted:?} and {given:?}");
    }
}

#[test]
fn of_two_headers_with_one_name_the_first_counts() {
    let message = table(&[("h", 1.into()), ("g", 3.into()), ("h", 2.into())]);
    assert_matches(&arguments("", &[("h", 1.into())]), Some(&message), true);
    assert_matches(&arguments("", &[("h", 2.into())]), Some(&message), false);
}

#[test]
fn names_and_values_do_not_run_into_each_other() {
    let mut headers = Headers::default();
    headers.add(&arguments("", &[("a", "b".into())]), TargetId::Queue(0));
    for message in [
        table(&[("aS", "b".into())]),
        table(&[("a", "".into()), ("b", "".into())]),
    ] {
        assert!(find(&headers, Some(&message)).0.is_empty());
    }
}

#[test]
fn a_bad_x_match_is_refused_with_its_value() {
    let refused = |value: FieldValue| {
        let error = check_arguments(&table(&[(X_MATCH, value)])).expect_err("refused");
        error.to_string()
    };
    for good in ["all", "any", "all-with-x", "any-with-x"] {
        assert_eq!(check_arguments(&arguments(good, &[])), Ok(()));
    }
    assert_eq!(check_arguments(&FieldTable::new()), Ok(()));
    assert_eq!(
        refused("some".into()),
        "PRECONDITION_FAILED - Invalid x-match field value <<\"some\">>; expected all, any, \
         all-with-x, or any-with-x"
    );
    assert_eq!(
        refused(FieldValue::I32(1)),
        "PRECONDITION_FAILED - Invalid x-match field type signedint (value 1); expected longstr"
    );
    assert_eq!(
        refused(FieldValue::Void),
        "PRECONDITION_FAILED - Invalid x-match field type void (value undefined); expected longstr"
    );
    assert_eq!(
        refused(FieldValue::Bytes(vec![1])),
        "PRECONDITION_FAILED - Invalid x-match field type binary (value <<1>>); expected longstr"
    );
}

#[test]
fn nothing_is_left_of_removed_rules() {
    let rules = [
        arguments("", &[]),
        arguments("any", &[]),
        arguments("any", &[("a", 1.into()), ("b", FieldValue::Void)]),
        arguments("all", &[("a", 1.into()), ("b", 2.into())]),
        arguments("", &[("b", 2.into()), ("a", 1.into())]),
    ];
    let mut headers = Headers::default();
    for (number, rule) in rules.iter().enumerate() {
        headers.add(rule, TargetId::Queue(number as u32));
    }
    assert_eq!(headers.numbers.len(), 2, "the last two say the same");
    let message = table(&[("a", 1.into()), ("b", 2.into())]);
    assert_eq!(
        find(&headers, Some(&message)),
        (BTreeSet::from([0, 2, 3, 4]), 2)
    );
    for (number, rule) in rules.iter().enumerate() {
        headers.remove(rule, TargetId::Queue(number as u32));
    }
    assert_eq!(find(&headers, Some(&message)).0, BTreeSet::new());
    assert_eq!(headers.rules.iter().count(), 0);
    assert!(headers.numbers.is_empty() && headers.index.is_empty() && headers.always.is_empty());
}

#[test]
fn only_rules_that_a_header_points_to_are_looked_at() {
    let mut headers = Headers::default();
    for number in 0..10_000 {
        let rule = [
            ("format", "pdf".into()),
            ("customer", FieldValue::I32(number)),
        ];
        headers.add(&arguments("all", &rule), TargetId::Queue(number as u32));
    }
    let message = table(&[("format", "pdf".into()), ("customer", FieldValue::I64(77))]);
    let (found, looked_at) = find(&headers, Some(&message));
    assert_eq!(found, BTreeSet::from([77]));
    assert!(looked_at <= 2, "{looked_at} rules");
    let message = table(&[("other", "pdf".into())]);
    assert_eq!(find(&headers, Some(&message)), (BTreeSet::new(), 0));
}

fn value() -> impl Strategy<Value = FieldValue> {
    prop_oneof![
        Just(FieldValue::Void),
        (-1..2i32).prop_map(FieldValue::I32),
        (-1..2i64).prop_map(FieldValue::I64),
        (0..2u8).prop_map(FieldValue::U8),
        any::<bool>().prop_map(FieldValue::Bool),
        Just(FieldValue::F32(1.0)),
        Just(FieldValue::F64(1.0)),
        "[ab]?".prop_map(FieldValue::from),
        (0..2u64).prop_map(FieldValue::Timestamp),
    ]
}

fn entries() -> impl Strategy<Value = FieldTable> {
    let names = proptest::sample::select(&["a", "b", "x-a", "x-b", ""][..]);
    proptest::collection::btree_map(names, value(), 0..4).prop_map(|entries| {
        entries
            .into_iter()
            .map(|(name, value)| (ShortString::clipped(name), value))
            .collect()
    })
}

fn rule() -> impl Strategy<Value = FieldTable> {
    let modes = proptest::sample::select(&["", "all", "any", "all-with-x", "any-with-x"][..]);
    (modes, entries()).prop_map(|(x_match, mut rule)| {
        if !x_match.is_empty() {
            rule.insert(ShortString::clipped(X_MATCH), x_match);
        }
        rule
    })
}

proptest! {
    #[test]
    fn finds_what_the_rule_finds(
        rules in proptest::collection::vec((rule(), any::<bool>()), 1..12),
        messages in proptest::collection::vec(proptest::option::of(entries()), 1..12),
    ) {
        let mut headers = Headers::default();
        for (number, (rule, _)) in rules.iter().enumerate() {
            headers.add(rule, TargetId::Queue(number as u32));
        }
        for (number, (rule, stays)) in rules.iter().enumerate() {
            if !stays {
                headers.remove(rule, TargetId::Queue(number as u32));
            }
        }
        for message in &messages {
            let expected: BTreeSet<u32> = rules
                .iter()
                .enumerate()
                .filter(|(_, (rule, stays))| *stays && matches(rule, message.as_ref()))
                .map(|(number, _)| number as u32)
                .collect();
            prop_assert_eq!(find(&headers, message.as_ref()).0, expected);
        }
    }
}
