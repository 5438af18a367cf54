//! Declaring again what exists, and the texts of the refusals.

use super::*;

/// The part of a refusal behind `inequivalent arg ... in vhost 'v': `, with what it is about.
#[track_caller]
fn difference(refused: Result<impl Sized, BrokerError>) -> String {
    let error = match refused {
        Ok(_) => return "equal".into(),
        Err(error) => text(error),
    };
    error
        .strip_prefix("PRECONDITION_FAILED - inequivalent arg ")
        .unwrap_or_else(|| panic!("another refusal: {error}"))
        .replace(" in vhost 'v'", "")
}

#[test]
fn an_exchange_differs_in_type_properties_and_alternate() {
    let mut topology = Topology::new("v".into());
    let plain = exchange("x", ExchangeKind::Direct);
    let other = with_alternate(exchange("y", ExchangeKind::Direct), "a");
    for spec in [&plain, &other] {
        assert_eq!(topology.declare_exchange(spec.clone()), Ok(true));
    }
    let mut all = with_alternate(plain.clone(), "b");
    (all.kind, all.durable, all.auto_delete, all.internal) =
        (ExchangeKind::Fanout, true, true, true);
    let mut but_type = all.clone();
    but_type.kind = ExchangeKind::Direct;
    let mut but_durable = but_type.clone();
    but_durable.durable = false;
    let mut only_internal = but_durable.clone();
    only_internal.auto_delete = false;
    let unrelated = ExchangeSpec {
        arguments: table(&[("a", 1.into())]),
        ..plain.clone()
    };
    for (spec, expected) in [
        (plain.clone(), "equal"),
        (unrelated, "equal"),
        (
            all,
            "'type' for exchange 'x': received 'fanout' but current is 'direct'",
        ),
        (
            but_type,
            "'durable' for exchange 'x': received 'true' but current is 'false'",
        ),
        (
            but_durable,
            "'auto_delete' for exchange 'x': received 'true' but current is 'false'",
        ),
        (
            only_internal,
            "'internal' for exchange 'x': received 'true' but current is 'false'",
        ),
        (
            with_alternate(plain.clone(), "b"),
            "'alternate-exchange' for exchange 'x': received the value 'b' of type 'longstr' but \
             current is none",
        ),
        (
            with_alternate(other.clone(), "b"),
            "'alternate-exchange' for exchange 'y': received 'b' but current is 'a'",
        ),
        (
            exchange("y", ExchangeKind::Direct),
            "'alternate-exchange' for exchange 'y': received none but current is the value 'a' of \
             type 'longstr'",
        ),
    ] {
        assert_eq!(difference(topology.declare_exchange(spec)), expected);
    }
}

#[test]
fn a_queue_differs_in_properties_in_their_order() {
    let topology = Topology::new("v".into());
    let existing = queue("q");
    let mut wanted = QueueSpec {
        durable: true,
        auto_delete: true,
        ..queue("q")
    };
    wanted.arguments = table(&[("x-expires", 1.into())]);
    assert_eq!(
        difference(topology.check_equivalent(&existing, &wanted)),
        "'durable' for queue 'q': received 'true' but current is 'false'"
    );
    wanted.durable = false;
    assert_eq!(
        difference(topology.check_equivalent(&existing, &wanted)),
        "'auto_delete' for queue 'q': received 'true' but current is 'false'"
    );
    wanted.auto_delete = false;
    assert_eq!(
        difference(topology.check_equivalent(&existing, &wanted)),
        "'x-expires' for queue 'q': received the value '1' of type 'signedint' but current is none"
    );
}

#[test]
fn the_owner_must_be_the_same_and_comes_first() {
    let topology = Topology::new("v".into());
    let of = |exclusive, durable| QueueSpec {
        exclusive,
        durable,
        ..queue("q")
    };
    for (existing, wanted) in [(None, Some(1)), (Some(1), None), (Some(1), Some(2))] {
        let refused = topology.check_equivalent(&of(existing, true), &of(wanted, false));
        assert_eq!(
            refused.map_err(text),
            Err(
                "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost \
                 'v'. It could be originally declared on another connection or the exclusive \
                 property value does not match that of the original declaration."
                    .into()
            )
        );
    }
    // An exclusive queue is not durable, whatever was said.
    for (existing, wanted) in [(true, false), (false, true)] {
        let same = topology.check_equivalent(&of(Some(1), existing), &of(Some(1), wanted));
        assert_eq!(same, Ok(()));
    }
}

#[test]
fn the_first_argument_in_rabbitmqs_order_is_named() {
    let topology = Topology::new("v".into());
    let mut expected: Vec<&str> = crate::arguments::CLASSIC.into();
    let mut wanted = queue("q");
    for name in expected.iter().rev() {
        wanted.arguments.insert(ShortString::clipped(name), "z");
    }
    while let Some(first) = expected.first().copied() {
        let difference = difference(topology.check_equivalent(&queue("q"), &wanted));
        assert_eq!(
            difference,
            format!(
                "'{first}' for queue 'q': received the value 'z' of type 'longstr' but current is \
                 none"
            )
        );
        wanted.arguments.remove(first);
        expected.remove(0);
    }
    assert_eq!(topology.check_equivalent(&queue("q"), &wanted), Ok(()));
}

/// What is different between two queues with these values of x-message-ttl.
#[track_caller]
fn difference_of_ttl(existing: Option<FieldValue>, wanted: Option<FieldValue>) -> String {
    let topology = Topology::new("v".into());
    let with = |ttl: Option<FieldValue>| {
        let entries: Vec<_> = ttl.map(|ttl| ("x-message-ttl", ttl)).into_iter().collect();
        QueueSpec {
            arguments: table(&entries),
            ..queue("q")
        }
    };
    difference(topology.check_equivalent(&with(existing), &with(wanted)))
}

#[test]
fn arguments_are_compared_by_value() {
    let equal = [
        (FieldValue::I32(1), FieldValue::I64(1)),
        (FieldValue::I32(1), FieldValue::U8(1)),
        ("a".into(), FieldValue::Bytes(b"a".to_vec())),
    ];
    for (existing, wanted) in equal {
        assert_eq!(difference_of_ttl(Some(existing), Some(wanted)), "equal");
    }
}

#[test]
fn values_that_differ_are_shown() {
    let list: FieldValue = vec![1.into(), "a".into()].into();
    let nested: FieldValue = table(&[("a", 1.into())]).into();
    for (wanted, received) in [
        (FieldValue::I64(1 << 40), "'1099511627776'"),
        ("1".into(), "'1'"),
        (true.into(), "'true'"),
        (1.0.into(), "'1.0'"),
        (FieldValue::Void, "none"),
        (list, "'[{signedint,1},{longstr,<<\"a\">>}]'"),
        (nested, "'[{<<\"a\">>,signedint,1}]'"),
    ] {
        assert_eq!(
            difference_of_ttl(Some(FieldValue::I32(1)), Some(wanted)),
            format!("'x-message-ttl' for queue 'q': received {received} but current is '1'")
        );
    }
}

#[test]
fn a_value_beside_none_is_shown_with_its_type() {
    for (value, shown) in [
        (FieldValue::I32(1), "the value '1' of type 'signedint'"),
        (FieldValue::LongLong(1), "the value '1' of type 'long'"),
        ("a\"b".into(), "the value 'a\"b' of type 'longstr'"),
    ] {
        let argument = "'x-message-ttl' for queue 'q'";
        assert_eq!(
            difference_of_ttl(None, Some(value.clone())),
            format!("{argument}: received {shown} but current is none")
        );
        assert_eq!(
            difference_of_ttl(Some(value), None),
            format!("{argument}: received none but current is {shown}")
        );
    }
}

#[test]
fn arguments_that_classic_queues_do_not_know_are_not_compared() {
    let topology = Topology::new("v".into());
    let foreign = table(&[("x-foo", 1.into()), ("x-delivery-limit", 5.into())]);
    let wanted = QueueSpec {
        arguments: foreign,
        ..queue("q")
    };
    assert_eq!(topology.check_equivalent(&queue("q"), &wanted), Ok(()));
    assert_eq!(topology.check_equivalent(&wanted, &queue("q")), Ok(()));
}

#[test]
fn no_queue_type_is_the_classic_one() {
    let topology = Topology::new("v".into());
    let of = |kind: &str| QueueSpec {
        arguments: table(&[("x-queue-type", kind.into())]),
        ..queue("q")
    };
    for kind in ["classic", ""] {
        assert_eq!(topology.check_equivalent(&queue("q"), &of(kind)), Ok(()));
        assert_eq!(topology.check_equivalent(&of(kind), &queue("q")), Ok(()));
    }
    assert_eq!(
        difference(topology.check_equivalent(&queue("q"), &of("quorum"))),
        "'x-queue-type' for queue 'q': received the value 'quorum' of type 'longstr' but current \
         is none"
    );
    assert_eq!(
        difference(topology.check_equivalent(&of("classic"), &of("quorum"))),
        "'x-queue-type' for queue 'q': received 'quorum' but current is 'classic'"
    );
}
