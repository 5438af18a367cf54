//! Arguments of queues and consumers: what they mean, and RabbitMQ's texts for bad ones.

use amqp_codec::{FieldTable, FieldValue, ShortString};

use super::*;
use crate::queue::handle::{DeadLetterTo, Overflow, Settings};
use crate::topology::QueueSpec;

fn table(entries: &[(&str, FieldValue)]) -> FieldTable {
    entries
        .iter()
        .map(|(name, value)| (ShortString::clipped(name), value.clone()))
        .collect()
}

fn settings(entries: &[(&str, FieldValue)]) -> Result<Settings, BrokerError> {
    let spec = QueueSpec {
        name: "q".into(),
        durable: false,
        exclusive: None,
        auto_delete: false,
        arguments: table(entries),
    };
    queue_settings(&spec, "v")
}

/// The part of a 406 behind `invalid arg '<name>' for queue 'q' in vhost 'v'`.
#[track_caller]
fn fault(entries: &[(&str, FieldValue)]) -> String {
    let error = settings(entries).expect_err("refused").to_string();
    let start = format!(
        "PRECONDITION_FAILED - invalid arg '{}' for queue 'q' in vhost 'v'",
        entries[0].0
    );
    error
        .strip_prefix(&start)
        .unwrap_or_else(|| panic!("another refusal: {error}"))
        .to_owned()
}

fn integer(value: i64) -> FieldValue {
    FieldValue::I64(value)
}

#[test]
fn arguments_become_settings() {
    let all = [
        ("x-message-ttl", FieldValue::U8(60)),
        ("x-expires", integer(1)),
        ("x-max-length", FieldValue::I8(0)),
        ("x-max-length-bytes", integer(i64::MAX)),
        ("x-overflow", "reject-publish".into()),
        ("x-dead-letter-exchange", "dlx".into()),
        ("x-dead-letter-routing-key", "dead".into()),
        ("x-max-priority", FieldValue::U16(255)),
    ];
    let expected = Settings {
        message_ttl: Some(60),
        expires: Some(1),
        max_length: Some(0),
        max_length_bytes: Some(i64::MAX as u64),
        overflow: Overflow::RejectPublish,
        dead_letter: Some(DeadLetterTo {
            exchange: "dlx".into(),
            routing_key: Some("dead".into()),
        }),
        max_priority: Some(255),
    };
    assert_eq!(settings(&all), Ok(expected));
    assert_eq!(settings(&[]), Ok(Settings::default()));
}

#[test]
fn a_dead_letter_exchange_needs_no_routing_key_and_may_be_the_default_one() {
    for name in ["", "dlx"] {
        let found = settings(&[("x-dead-letter-exchange", name.into())]).expect("fine");
        let expected = DeadLetterTo {
            exchange: name.into(),
            routing_key: None,
        };
        assert_eq!(found.dead_letter, Some(expected));
    }
}

#[test]
fn overflow_has_three_modes() {
    for (text, expected) in [
        ("drop-head", Overflow::DropHead),
        ("reject-publish", Overflow::RejectPublish),
        ("reject-publish-dlx", Overflow::RejectPublishDlx),
    ] {
        let found = settings(&[("x-overflow", text.into())]).expect("fine");
        assert_eq!(found.overflow, expected);
    }
}

#[test]
fn limits_of_values_are_kept_to_the_digit() {
    let ten_years = 315_360_000_000;
    for (name, value, fault) in [
        ("x-message-ttl", -1, "{value_negative,-1}"),
        ("x-message-ttl", 0, ""),
        ("x-message-ttl", ten_years, ""),
        (
            "x-message-ttl",
            ten_years + 1,
            "{value_too_large,315360000001}",
        ),
        ("x-expires", -1, "{value_negative,-1}"),
        ("x-expires", 0, "{value_zero,0}"),
        ("x-expires", 1, ""),
        ("x-expires", ten_years, ""),
        ("x-expires", ten_years + 1, "{value_too_large,315360000001}"),
        ("x-max-length", -1, "{value_negative,-1}"),
        ("x-max-length", 0, ""),
        ("x-max-length-bytes", -1, "{value_negative,-1}"),
        ("x-max-length-bytes", 0, ""),
        ("x-max-priority", -1, "{value_negative,-1}"),
        ("x-max-priority", 0, ""),
        ("x-max-priority", 255, ""),
        ("x-max-priority", 256, "{max_value_exceeded,256}"),
        ("x-queue-version", 0, "\"unsupported queue version '0'\""),
        ("x-queue-version", 1, ""),
        ("x-queue-version", 2, ""),
        ("x-queue-version", 3, "\"unsupported queue version '3'\""),
    ] {
        let entry = [(name, integer(value))];
        match fault {
            "" => assert!(settings(&entry).is_ok(), "{name} {value}"),
            text => assert_eq!(self::fault(&entry), format!(": {text}"), "{name} {value}"),
        }
    }
}

#[test]
fn values_of_other_types_are_refused() {
    let others = [
        (FieldValue::from("60000"), "longstr"),
        (true.into(), "bool"),
        (1.5.into(), "double"),
        (FieldValue::Void, "void"),
        (vec![1.into()].into(), "array"),
        (FieldTable::new().into(), "table"),
        (FieldValue::Bytes(vec![1]), "binary"),
        (FieldValue::Timestamp(5), "timestamp"),
    ];
    for (value, kind) in others {
        for name in [
            "x-message-ttl",
            "x-expires",
            "x-max-length",
            "x-max-length-bytes",
            "x-max-priority",
            "x-queue-version",
            "x-consumer-timeout",
        ] {
            let expected = format!(": \"expected integer, got {kind}\"");
            assert_eq!(fault(&[(name, value.clone())]), expected, "{name}");
        }
        if kind != "longstr" {
            for name in [
                "x-overflow",
                "x-dead-letter-routing-key",
                "x-queue-mode",
                "x-queue-type",
                "x-queue-leader-locator",
                "x-queue-master-locator",
            ] {
                let expected = format!(": {{unacceptable_type,{kind}}}");
                assert_eq!(fault(&[(name, value.clone())]), expected, "{name}");
            }
            let error = settings(&[("x-dead-letter-exchange", value.clone())]);
            let expected = format!(
                "invalid type '{kind}' for arg 'x-dead-letter-exchange' in queue 'q' in vhost 'v'"
            );
            assert_eq!(error, Err(BrokerError::precondition(expected)));
        }
        if kind != "bool" {
            let expected = format!(": {{unacceptable_type,{kind}}}");
            assert_eq!(
                fault(&[("x-single-active-consumer", value.clone())]),
                expected
            );
        }
    }
}

#[test]
fn words_that_are_none_are_refused() {
    for (name, value, expected) in [
        ("x-overflow", "foo", "invalid_overflow"),
        ("x-overflow", "", "invalid_overflow"),
        ("x-queue-mode", "foo", "\"unsupported queue mode 'foo'\""),
        ("x-queue-type", "foo", "\"unsupported queue type 'foo'\""),
        ("x-queue-leader-locator", "foo", "invalid_queue_locator_arg"),
        ("x-queue-master-locator", "foo", "invalid_queue_locator_arg"),
        (
            "x-dead-letter-routing-key",
            "k",
            "routing_key_but_no_dlx_defined",
        ),
    ] {
        assert_eq!(
            fault(&[(name, value.into())]),
            format!(": {expected}"),
            "{name}"
        );
    }
}

#[test]
fn arguments_without_effect_are_taken() {
    for (name, value) in [
        ("x-queue-mode", FieldValue::from("lazy")),
        ("x-queue-mode", "default".into()),
        ("x-queue-version", integer(2)),
        ("x-queue-type", "classic".into()),
        ("x-queue-type", "".into()),
        ("x-queue-master-locator", "min-masters".into()),
        ("x-queue-leader-locator", "balanced".into()),
        ("x-single-active-consumer", false.into()),
        ("x-foo", FieldValue::Void),
        ("x-ha-policy", "all".into()),
        ("alternate-exchange", integer(1)),
    ] {
        assert_eq!(
            settings(&[(name, value)]),
            Ok(Settings::default()),
            "{name}"
        );
    }
}

#[test]
fn what_is_not_implemented_is_refused_and_says_so() {
    for (name, value, what) in [
        (
            "x-single-active-consumer",
            true.into(),
            "a single active consumer",
        ),
        ("x-consumer-timeout", integer(1000), "a consumer timeout"),
        ("x-queue-type", "quorum".into(), "queue type 'quorum'"),
        ("x-queue-type", "stream".into(), "queue type 'stream'"),
    ] {
        let expected = format!(": {what} is not implemented yet by this broker");
        assert_eq!(fault(&[(name, value)]), expected);
    }
}

#[test]
fn arguments_of_other_queue_types_are_refused_in_the_order_given() {
    let names = [
        "x-max-age",
        "x-delivery-limit",
        "x-dead-letter-strategy",
        "x-initial-cluster-size",
        "x-max-in-memory-bytes",
        "x-max-in-memory-length",
        "x-quorum-initial-group-size",
        "x-stream-filter-size-bytes",
        "x-stream-max-segment-size-bytes",
    ];
    let mut entries: Vec<_> = names.map(|name| (name, integer(1))).into();
    while !entries.is_empty() {
        assert_eq!(fault(&entries), " of queue type rabbit_classic_queue");
        entries.remove(0);
    }
}

#[test]
fn of_several_bad_arguments_the_first_in_rabbitmqs_order_is_named() {
    let mut entries = vec![
        ("x-queue-type", "x".into()),
        ("x-expires", integer(0)),
        ("x-message-ttl", integer(-1)),
        ("x-dead-letter-routing-key", "k".into()),
        ("x-max-length", integer(-1)),
        ("x-max-length-bytes", integer(-1)),
        ("x-max-priority", integer(300)),
        ("x-overflow", "x".into()),
        ("x-queue-mode", "x".into()),
        ("x-queue-version", integer(9)),
        ("x-single-active-consumer", integer(1)),
        ("x-delivery-limit", integer(5)),
    ];
    while !entries.is_empty() {
        fault(&entries);
        let mut reversed = entries.clone();
        reversed.reverse();
        assert_eq!(
            settings(&reversed),
            settings(&entries),
            "whatever order they came in"
        );
        entries.remove(0);
    }
}

#[test]
fn keys_that_no_delivery_could_carry_are_refused() {
    let key = |bytes: Vec<u8>| {
        [
            ("x-dead-letter-routing-key", FieldValue::LongString(bytes)),
            ("x-dead-letter-exchange", "dlx".into()),
        ]
    };
    assert!(settings(&key(vec![b'k'; 255])).is_ok());
    assert_eq!(fault(&key(vec![b'k'; 256])), ": longer than 255 bytes");
    assert_eq!(fault(&key(vec![0xFF])), ": malformed UTF-8");
}

#[test]
fn a_consumer_has_a_priority() {
    for (value, expected) in [
        (FieldValue::I8(-5), -5),
        (FieldValue::U32(7), 7),
        (integer(5_000_000_000), i32::MAX),
        (integer(i64::MIN), i32::MIN),
    ] {
        let found = consumer(&table(&[("x-priority", value)]));
        assert_eq!(found, Ok(ConsumerArguments { priority: expected }));
    }
    let without_effect = [
        ("x-cancel-on-ha-failover", true.into()),
        ("x-foo", "y".into()),
    ];
    assert_eq!(
        consumer(&table(&without_effect)),
        Ok(ConsumerArguments::default())
    );
}

#[test]
fn bad_arguments_of_a_consumer_are_refused() {
    for (name, value, expected) in [
        (
            "x-priority",
            FieldValue::from("5"),
            ": \"expected integer, got longstr\"",
        ),
        (
            "x-priority",
            FieldValue::Void,
            ": \"expected integer, got void\"",
        ),
        (
            "x-cancel-on-ha-failover",
            "a".into(),
            ": {unacceptable_type,longstr}",
        ),
        (
            "x-stream-offset",
            "first".into(),
            " of queue type rabbit_classic_queue",
        ),
        (
            "x-stream-filter",
            "a".into(),
            " of queue type rabbit_classic_queue",
        ),
        (
            "x-stream-match-unfiltered",
            true.into(),
            " of queue type rabbit_classic_queue",
        ),
    ] {
        let invalid = consumer(&table(&[(name, value)])).expect_err("refused");
        assert_eq!(
            invalid.for_queue("q", "v").to_string(),
            format!(
                "PRECONDITION_FAILED - invalid arg '{name}' for queue 'q' in vhost 'v'{expected}"
            )
        );
    }
}
