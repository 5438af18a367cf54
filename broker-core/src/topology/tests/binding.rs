//! Adding, removing and listing bindings.

use super::*;

fn listed<'a>(bindings: impl Iterator<Item = &'a BindingSpec>) -> Vec<String> {
    let name = |destination: &Destination| match destination {
        Destination::Queue(name) => format!("queue {name}"),
        Destination::Exchange(name) => format!("exchange {name}"),
    };
    bindings
        .map(|spec| {
            format!(
                "{} -{}-> {}",
                spec.source,
                spec.routing_key,
                name(&spec.destination)
            )
        })
        .collect()
}

#[test]
fn the_same_binding_twice_is_one() {
    let mut topology = topology(&[], &["q"]);
    let plain = to_queue("amq.direct", "q", "k");
    let with = |entries: &[(&str, FieldValue)]| BindingSpec {
        arguments: table(entries),
        ..plain.clone()
    };
    let a_b = with(&[("a", 1.into()), ("b", 2.into())]);
    for (spec, is_new) in [
        (plain.clone(), true),
        (plain.clone(), false),
        (a_b.clone(), true),
        (with(&[("b", 2.into()), ("a", 1.into())]), false),
        (with(&[("a", 1.into()), ("b", FieldValue::I64(2))]), true),
        (with(&[("a", 1.into())]), true),
        (to_queue("amq.direct", "q", "l"), true),
        (to_queue("amq.topic", "q", "k"), true),
        (to_exchange("amq.direct", "amq.fanout", "k"), true),
    ] {
        assert_eq!(topology.bind(spec.clone()), Ok(is_new), "{spec:?}");
    }
    assert_eq!(topology.bindings().count(), 7);
    // The one with arguments goes; the queue stays bound with the key by the others.
    let removed = topology.unbind(&a_b).expect("fine");
    assert_eq!(removed.bindings, [a_b]);
    assert_eq!(topology.bindings().count(), 6);
    assert_eq!(routed(&topology, "amq.direct", &["k"]), ["q"]);
}

#[test]
fn both_ends_must_exist_and_the_source_is_looked_up_first() {
    let mut topology = topology(&[], &["q"]);
    for (spec, missing) in [
        (to_queue("x", "q", ""), "exchange 'x'"),
        (to_queue("amq.direct", "r", ""), "queue 'r'"),
        (to_queue("x", "r", ""), "exchange 'x'"),
        (to_exchange("amq.direct", "y", ""), "exchange 'y'"),
        (to_exchange("x", "y", ""), "exchange 'x'"),
        (to_exchange("amq.direct", "q", ""), "exchange 'q'"),
    ] {
        let expected = format!("NOT_FOUND - no {missing} in vhost 'v'");
        assert_eq!(topology.bind(spec).map_err(text), Err(expected));
    }
    assert_eq!(topology.bindings().count(), 0);
}

#[test]
fn unbinding_what_is_not_there_is_fine() {
    let mut topology = topology(&[], &["q"]);
    bind(&mut topology, to_queue("amq.direct", "q", "k"));
    for spec in [
        to_queue("amq.direct", "q", "l"),
        to_queue("amq.topic", "q", "k"),
        to_queue("amq.direct", "r", "k"),
        to_queue("x", "q", "k"),
        to_exchange("amq.direct", "amq.fanout", "k"),
        to_exchange("amq.direct", "y", "k"),
    ] {
        assert_eq!(topology.unbind(&spec), Ok(Removed::default()), "{spec:?}");
    }
    assert_eq!(topology.bindings().count(), 1);
}

#[test]
fn a_headers_exchange_checks_x_match_and_others_do_not() {
    let mut topology = topology(&[], &["q"]);
    let with = |source: &str, value: FieldValue| BindingSpec {
        arguments: table(&[("x-match", value)]),
        ..to_queue(source, "q", "")
    };
    assert_eq!(
        topology
            .bind(with("amq.headers", "some".into()))
            .map_err(text),
        Err(
            "PRECONDITION_FAILED - Invalid x-match field value <<\"some\">>; expected all, any, \
             all-with-x, or any-with-x"
                .into()
        )
    );
    assert_eq!(topology.bindings().count(), 0);
    bind(&mut topology, with("amq.direct", "some".into()));
    bind(&mut topology, with("amq.match", "any-with-x".into()));
    assert_eq!(
        topology.unbind(&with("amq.headers", 5.into())),
        Ok(Removed::default())
    );
}

#[test]
fn arguments_that_no_client_can_send_are_refused() {
    let mut nested = FieldTable::new();
    for _ in 0..amqp_codec::MAX_DEPTH {
        nested = table(&[("t", nested.into())]);
    }
    let mut topology = topology(&[], &["q"]);
    let spec = BindingSpec {
        arguments: nested,
        ..to_queue("amq.direct", "q", "")
    };
    for refused in [
        topology.bind(spec.clone()).map(drop),
        topology.unbind(&spec).map(drop),
    ] {
        let error = text(refused.expect_err("too deep"));
        assert!(
            error.starts_with("PRECONDITION_FAILED - invalid binding arguments: "),
            "{error}"
        );
    }
}

#[test]
fn bindings_are_listed_by_both_ends() {
    let mut topology = topology(&[exchange("x", ExchangeKind::Topic)], &["a", "b"]);
    for spec in [
        to_queue("x", "b", "2"),
        to_queue("x", "a", "1"),
        to_queue("x", "a", "0"),
        to_exchange("x", "x", "#"),
        to_exchange("amq.direct", "x", "k"),
        to_queue("amq.direct", "a", "k"),
    ] {
        bind(&mut topology, spec);
    }
    let from_x = [
        "x -0-> queue a",
        "x -1-> queue a",
        "x -2-> queue b",
        "x -#-> exchange x",
    ];
    assert_eq!(listed(topology.bindings_from("x")), from_x);
    let from_direct = ["amq.direct -k-> queue a", "amq.direct -k-> exchange x"];
    assert_eq!(
        listed(topology.bindings()),
        [&from_direct[..], &from_x[..]].concat()
    );
    assert_eq!(
        listed(topology.bindings_to(&Destination::Queue("a".into()))),
        [
            "amq.direct -k-> queue a",
            "x -0-> queue a",
            "x -1-> queue a"
        ]
    );
    assert_eq!(
        listed(topology.bindings_to(&Destination::Exchange("x".into()))),
        ["amq.direct -k-> exchange x", "x -#-> exchange x"]
    );
    assert_eq!(topology.bindings_from("missing").count(), 0);
    assert_eq!(
        topology
            .bindings_to(&Destination::Queue("missing".into()))
            .count(),
        0
    );
}
