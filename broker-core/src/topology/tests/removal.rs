//! Deleting, and all that goes along.

use super::*;

#[test]
fn deleting_an_exchange_removes_its_bindings_both_ways() {
    let mut topology = topology(&[exchange("x", ExchangeKind::Fanout)], &["q"]);
    let own = [
        to_queue("x", "q", ""),
        to_exchange("x", "amq.fanout", ""),
        to_exchange("x", "x", ""),
        to_exchange("amq.direct", "x", "k"),
    ];
    for spec in &own {
        bind(&mut topology, spec.clone());
    }
    bind(&mut topology, to_queue("amq.direct", "q", "k"));
    let removed = topology.delete_exchange("x", false).expect("deleted");
    assert_eq!(removed.exchanges, [exchange("x", ExchangeKind::Fanout)]);
    assert_eq!(removed.queue, None);
    assert_eq!(removed.bindings.len(), own.len());
    assert!(own.iter().all(|spec| removed.bindings.contains(spec)));
    let left: Vec<_> = topology.bindings().collect();
    assert_eq!(left, [&to_queue("amq.direct", "q", "k")]);
    assert_eq!(
        topology
            .bindings_to(&Destination::Queue("q".into()))
            .count(),
        1
    );
    assert_eq!(topology.exchange("x"), None);
    // One of the same name begins anew.
    assert_eq!(
        topology.declare_exchange(exchange("x", ExchangeKind::Fanout)),
        Ok(true)
    );
    assert!(routed(&topology, "x", &[""]).is_empty());
    assert_eq!(topology.bindings_from("x").count(), 0);
}

#[test]
fn deleting_what_is_not_there_removes_nothing() {
    let mut topology = Topology::new("v".into());
    assert_eq!(topology.delete_exchange("x", true), Ok(Removed::default()));
    assert_eq!(topology.remove_queue("q"), Removed::default());
}

#[test]
fn exchanges_of_the_broker_stay() {
    let mut topology = Topology::new("v".into());
    for name in ["amq.direct", "amq.missing"] {
        let expected = format!(
            "ACCESS_REFUSED - deletion of system exchange '{name}' in vhost 'v' not allowed"
        );
        assert_eq!(
            topology.delete_exchange(name, false).map_err(text),
            Err(expected)
        );
    }
    assert!(topology.exchange("amq.direct").is_some());
}

#[test]
fn if_unused_means_without_bindings_that_lead_on() {
    let mut topology = topology(&[exchange("x", ExchangeKind::Direct)], &["q"]);
    bind(&mut topology, to_queue("x", "q", "k"));
    bind(&mut topology, to_exchange("amq.direct", "x", "k"));
    assert_eq!(
        topology.delete_exchange("x", true).map_err(text),
        Err("PRECONDITION_FAILED - exchange 'x' in vhost 'v' in use".into())
    );
    topology.unbind(&to_queue("x", "q", "k")).expect("fine");
    let removed = topology.delete_exchange("x", true).expect("deleted");
    assert_eq!((removed.exchanges.len(), removed.bindings.len()), (1, 1));
}

#[test]
fn an_auto_delete_exchange_goes_with_its_last_outgoing_binding() {
    let spec = auto_delete(exchange("x", ExchangeKind::Direct));
    let mut topology = topology(std::slice::from_ref(&spec), &["q"]);
    let incoming = to_exchange("amq.direct", "x", "in");
    bind(&mut topology, incoming.clone());
    topology.unbind(&incoming).expect("fine");
    assert!(
        topology.exchange("x").is_some(),
        "an incoming binding does not count"
    );
    bind(&mut topology, incoming.clone());
    for key in ["a", "b"] {
        bind(&mut topology, to_queue("x", "q", key));
    }
    let removed = topology.unbind(&to_queue("x", "q", "a")).expect("fine");
    assert_eq!((removed.exchanges.len(), removed.bindings.len()), (0, 1));
    let removed = topology.unbind(&to_queue("x", "q", "b")).expect("fine");
    assert_eq!(removed.exchanges, [spec]);
    assert_eq!(removed.bindings, [to_queue("x", "q", "b"), incoming]);
    assert_eq!(topology.exchange("x"), None);
    assert_eq!(topology.bindings().count(), 0);
}

#[test]
fn deleting_a_queue_takes_chains_of_auto_delete_exchanges_along() {
    let fanout = |name: &str| auto_delete(exchange(name, ExchangeKind::Fanout));
    let specs = [fanout("a"), fanout("b"), fanout("c"), fanout("kept")];
    let mut topology = topology(&specs, &["q", "r"]);
    let bindings = [
        to_exchange("a", "b", ""),
        to_exchange("b", "c", ""),
        to_queue("c", "q", "1"),
        to_queue("c", "q", "2"),
        to_queue("kept", "q", ""),
    ];
    for spec in &bindings {
        bind(&mut topology, spec.clone());
    }
    bind(&mut topology, to_queue("kept", "r", ""));
    let removed = topology.remove_queue("q");
    assert_eq!(removed.queue, Some(queue("q")));
    let gone: Vec<_> = removed.exchanges.iter().map(|spec| &*spec.name).collect();
    assert_eq!(gone, ["c", "b", "a"]);
    assert_eq!(removed.bindings.len(), bindings.len());
    assert!(bindings.iter().all(|spec| removed.bindings.contains(spec)));
    let left: Vec<_> = topology.bindings().collect();
    assert_eq!(left, [&to_queue("kept", "r", "")]);
}

#[test]
fn a_circle_of_auto_delete_exchanges_stays_until_it_is_opened() {
    let fanout = |name: &str| auto_delete(exchange(name, ExchangeKind::Fanout));
    let mut topology = topology(&[fanout("a"), fanout("b"), fanout("c")], &["q"]);
    for (source, destination) in [("a", "b"), ("b", "c"), ("c", "a")] {
        bind(&mut topology, to_exchange(source, destination, ""));
    }
    bind(&mut topology, to_queue("c", "q", ""));
    topology.remove_queue("q");
    assert_eq!(topology.bindings().count(), 3);
    let removed = topology.unbind(&to_exchange("c", "a", "")).expect("fine");
    let gone: Vec<_> = removed.exchanges.iter().map(|spec| &*spec.name).collect();
    assert_eq!(gone, ["c", "b", "a"]);
    assert_eq!(
        (removed.bindings.len(), topology.bindings().count()),
        (3, 0)
    );
}

#[test]
fn an_auto_delete_exchange_bound_to_itself_goes_when_that_binding_does() {
    let mut topology = topology(&[auto_delete(exchange("x", ExchangeKind::Fanout))], &[]);
    bind(&mut topology, to_exchange("x", "x", ""));
    let removed = topology.unbind(&to_exchange("x", "x", "")).expect("fine");
    assert_eq!((removed.exchanges.len(), removed.bindings.len()), (1, 1));
}

#[test]
fn deleting_a_queue_removes_its_bindings_and_no_others() {
    let mut topology = topology(&[], &["q", "r"]);
    for name in ["q", "r"] {
        for source in ["amq.direct", "amq.topic", "amq.headers", "amq.fanout"] {
            bind(&mut topology, to_queue(source, name, "k"));
        }
    }
    let removed = topology.remove_queue("q");
    assert_eq!((removed.bindings.len(), removed.exchanges.len()), (4, 0));
    for source in ["amq.direct", "amq.topic", "amq.headers", "amq.fanout"] {
        assert_eq!(routed(&topology, source, &["k"]), ["r"]);
    }
    // The number of the old queue is given to the new one, and nothing else of it.
    topology.insert_queue(queue("s"), handle("s"));
    assert_eq!(routed(&topology, "amq.fanout", &["k"]), ["r"]);
    assert_eq!(routed(&topology, "", &["s", "q"]), ["s"]);
}

#[test]
fn nothing_is_kept_of_alternates_that_nobody_names() {
    let mut topology = topology(
        &[with_alternate(exchange("x", ExchangeKind::Direct), "y")],
        &[],
    );
    assert_eq!(topology.alternates.len(), 1);
    topology.delete_exchange("x", false).expect("deleted");
    assert!(topology.alternates.is_empty());
}
