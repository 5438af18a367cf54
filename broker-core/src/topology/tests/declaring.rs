//! Declaring exchanges, inserting queues, looking both up.

use super::*;

#[test]
fn a_vhost_begins_with_the_predeclared_exchanges() {
    let topology = Topology::new("v".into());
    let all: Vec<_> = topology
        .exchanges()
        .map(|spec| {
            (
                &*spec.name,
                spec.kind.as_str(),
                spec.durable,
                spec.auto_delete,
                spec.internal,
            )
        })
        .collect();
    let expected = [
        ("", "direct", true, false, false),
        ("amq.direct", "direct", true, false, false),
        ("amq.fanout", "fanout", true, false, false),
        ("amq.headers", "headers", true, false, false),
        ("amq.match", "headers", true, false, false),
        ("amq.rabbitmq.trace", "topic", true, false, true),
        ("amq.topic", "topic", true, false, false),
    ];
    assert_eq!(all, expected);
    assert_eq!(topology.queue_count(), 0);
    assert_eq!(topology.bindings().count(), 0);
}

#[test]
fn an_exchange_is_created_once() {
    let mut topology = Topology::new("v".into());
    let spec = exchange("x", ExchangeKind::Topic);
    assert_eq!(topology.declare_exchange(spec.clone()), Ok(true));
    assert_eq!(topology.declare_exchange(spec.clone()), Ok(false));
    assert_eq!(topology.exchange("x"), Some(&spec));
    assert_eq!(topology.check_exchange("x"), Ok(()));
}

#[test]
fn reserved_names_are_for_the_broker() {
    let mut topology = Topology::new("v".into());
    assert_eq!(
        topology
            .declare_exchange(exchange("amq.mine", ExchangeKind::Direct))
            .map_err(text),
        Err("ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'".into())
    );
    let mut predeclared = exchange("amq.topic", ExchangeKind::Topic);
    predeclared.durable = true;
    assert_eq!(
        topology.declare_exchange(predeclared),
        Ok(false),
        "equal to what is there"
    );
    assert_eq!(
        topology.declare_exchange(exchange("amqp", ExchangeKind::Direct)),
        Ok(true)
    );
}

#[test]
fn no_method_may_name_the_default_exchange() {
    let mut topology = topology(&[], &["q"]);
    let refused = "ACCESS_REFUSED - operation not permitted on the default exchange";
    let errors = [
        topology
            .declare_exchange(exchange("", ExchangeKind::Direct))
            .map(drop),
        topology.check_exchange(""),
        topology.delete_exchange("", false).map(drop),
        topology.bind(to_queue("", "q", "k")).map(drop),
        topology.bind(to_exchange("amq.direct", "", "k")).map(drop),
        topology.unbind(&to_queue("", "q", "q")).map(drop),
        topology
            .unbind(&to_exchange("amq.direct", "", "k"))
            .map(drop),
    ];
    for error in errors {
        assert_eq!(error.map_err(text), Err(refused.into()));
    }
}

#[test]
fn a_missing_exchange_is_not_found() {
    let topology = Topology::new("v".into());
    assert_eq!(
        topology.check_exchange("x").map_err(text),
        Err("NOT_FOUND - no exchange 'x' in vhost 'v'".into())
    );
    assert_eq!(topology.exchange("x"), None);
    assert!(topology.generation("x").is_none());
}

#[test]
fn an_alternate_exchange_is_named_by_a_string() {
    let mut topology = Topology::new("v".into());
    let mut spec = exchange("x", ExchangeKind::Direct);
    spec.arguments = table(&[(ALTERNATE_EXCHANGE, FieldValue::I32(5))]);
    assert_eq!(
        topology.declare_exchange(spec).map_err(text),
        Err(
            "PRECONDITION_FAILED - invalid type 'signedint' for arg 'alternate-exchange' in \
             exchange 'x' in vhost 'v'"
                .into()
        )
    );
    assert_eq!(topology.exchange("x"), None);
}

#[test]
fn queues_are_found_by_name_and_by_owner() {
    let mut topology = topology(&[], &["a"]);
    for (name, owner) in [("b", 1), ("c", 2), ("d", 1)] {
        let spec = QueueSpec {
            exclusive: Some(owner),
            ..queue(name)
        };
        topology.insert_queue(spec, handle(name));
    }
    let owned = |topology: &Topology, owner| {
        let queues = topology.exclusive_queues(owner);
        queues
            .iter()
            .map(|queue| queue.identity().name.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(owned(&topology, 1), ["b", "d"]);
    assert_eq!(owned(&topology, 2), ["c"]);
    assert!(owned(&topology, 3).is_empty());
    assert_eq!((topology.queue_count(), topology.queues().count()), (4, 4));
    assert_eq!(
        topology.queue("c").and_then(|entry| entry.spec.exclusive),
        Some(2)
    );

    topology.remove_queue("b");
    topology.remove_queue("c");
    assert_eq!(
        (owned(&topology, 1).len(), owned(&topology, 2).len()),
        (1, 0)
    );
    assert!(topology.queue("b").is_none());
    assert_eq!((topology.queue_count(), topology.queues().count()), (2, 2));
    assert_eq!(
        topology.exclusive.len(),
        1,
        "nothing is kept for a connection without queues"
    );
}

#[test]
fn a_queue_put_in_the_place_of_another_has_none_of_its_bindings() {
    let mut topology = topology(&[], &["q"]);
    bind(&mut topology, to_queue("amq.fanout", "q", ""));
    let replacement = handle("q");
    topology.insert_queue(queue("q"), Arc::clone(&replacement));
    assert_eq!(topology.queue_count(), 1);
    assert_eq!(topology.bindings().count(), 0);
    let entry = topology.queue("q").expect("there");
    assert!(Arc::ptr_eq(&entry.handle, &replacement));
}
