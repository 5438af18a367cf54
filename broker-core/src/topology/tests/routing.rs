//! Where publishes come to.

use super::*;

#[test]
fn the_default_exchange_knows_queues_by_name() {
    let mut topology = topology(&[], &["a", "b"]);
    assert_eq!(routed(&topology, "", &["a"]), ["a"]);
    assert_eq!(routed(&topology, "", &["a", "b", "a", "c"]), ["a", "b"]);
    assert!(routed(&topology, "", &["c"]).is_empty());
    topology.remove_queue("a");
    assert!(routed(&topology, "", &["a"]).is_empty());
}

#[test]
fn a_publish_to_a_missing_exchange_is_not_found() {
    let mut targets = RouteTargets::default();
    let refused = Topology::new("v".into()).route("x", &Routing::default(), &mut targets);
    assert_eq!(
        refused.map_err(text),
        Err("NOT_FOUND - no exchange 'x' in vhost 'v'".into())
    );
}

#[test]
fn every_type_follows_its_rule() {
    let mut topology = topology(&[], &["a", "b"]);
    for source in ["amq.direct", "amq.fanout", "amq.topic", "amq.headers"] {
        bind(&mut topology, to_queue(source, "a", "k.x"));
        bind(&mut topology, to_queue(source, "b", "k.*"));
    }
    assert_eq!(routed(&topology, "amq.direct", &["k.x"]), ["a"]);
    assert_eq!(routed(&topology, "amq.direct", &["k.y"]), [""; 0]);
    assert_eq!(routed(&topology, "amq.fanout", &["any"]), ["a", "b"]);
    assert_eq!(routed(&topology, "amq.topic", &["k.y"]), ["b"]);
    assert_eq!(routed(&topology, "amq.headers", &["any"]), ["a", "b"]);
}

#[test]
fn every_key_counts_and_each_queue_gets_one_copy() {
    let mut topology = topology(&[exchange("x", ExchangeKind::Fanout)], &["a", "b"]);
    for spec in [
        to_queue("amq.topic", "a", "k.#"),
        to_queue("amq.topic", "a", "*.1"),
        to_queue("amq.topic", "b", "l"),
        to_queue("x", "a", ""),
        to_exchange("amq.topic", "x", "#"),
    ] {
        bind(&mut topology, spec);
    }
    assert_eq!(
        routed(&topology, "amq.topic", &["k.1", "k.2", "l"]),
        ["a", "b"]
    );
    assert_eq!(routed(&topology, "amq.topic", &["m"]), ["a"]);
}

#[test]
fn circles_of_exchanges_end() {
    let fanout = |name: &str| exchange(name, ExchangeKind::Fanout);
    let mut topology = topology(&[fanout("x"), fanout("y"), fanout("z")], &["q"]);
    for (source, destination) in [("x", "y"), ("y", "z"), ("z", "x"), ("x", "x")] {
        bind(&mut topology, to_exchange(source, destination, ""));
    }
    for source in ["x", "y", "z"] {
        bind(&mut topology, to_queue(source, "q", ""));
    }
    for source in ["x", "y", "z"] {
        assert_eq!(routed(&topology, source, &[""]), ["q"], "from {source}");
    }
}

#[test]
fn an_alternate_takes_what_no_binding_does() {
    let spec = with_alternate(exchange("x", ExchangeKind::Direct), "amq.fanout");
    let mut topology = topology(&[spec], &["a", "b"]);
    bind(&mut topology, to_queue("x", "a", "k"));
    bind(&mut topology, to_queue("amq.fanout", "b", ""));
    assert_eq!(routed(&topology, "x", &["k"]), ["a"]);
    assert_eq!(routed(&topology, "x", &["l"]), ["b"]);
    assert_eq!(
        routed(&topology, "x", &["l", "k"]),
        ["a"],
        "one of the keys was enough"
    );
}

#[test]
fn alternates_chain_and_their_circles_end() {
    let direct =
        |name: &str, alternate| with_alternate(exchange(name, ExchangeKind::Direct), alternate);
    let mut topology = topology(
        &[direct("x", "y"), direct("y", "z"), direct("z", "x")],
        &["q"],
    );
    bind(&mut topology, to_queue("z", "q", "k"));
    assert_eq!(routed(&topology, "x", &["k"]), ["q"]);
    assert!(routed(&topology, "x", &["l"]).is_empty());
}

#[test]
fn a_missing_alternate_drops() {
    let spec = with_alternate(exchange("x", ExchangeKind::Direct), "y");
    let mut topology = topology(&[spec], &["q"]);
    assert!(routed(&topology, "x", &["k"]).is_empty());
    assert_eq!(
        topology.declare_exchange(exchange("y", ExchangeKind::Fanout)),
        Ok(true)
    );
    bind(&mut topology, to_queue("y", "q", ""));
    assert_eq!(routed(&topology, "x", &["k"]), ["q"], "it came later");
}

#[test]
fn the_default_exchange_as_an_alternate_knows_nobody() {
    let spec = with_alternate(exchange("x", ExchangeKind::Direct), "");
    let topology = topology(&[spec], &["q"]);
    assert!(routed(&topology, "x", &["q"]).is_empty());
}

#[test]
fn an_exchange_that_was_reached_counts_as_routed_even_if_it_leads_nowhere() {
    let exchanges = [
        with_alternate(exchange("x", ExchangeKind::Fanout), "amq.fanout"),
        exchange("y", ExchangeKind::Direct),
    ];
    let mut topology = topology(&exchanges, &["q"]);
    bind(&mut topology, to_exchange("x", "y", ""));
    bind(&mut topology, to_queue("amq.fanout", "q", ""));
    assert!(routed(&topology, "x", &["k"]).is_empty());
}

#[test]
fn the_alternate_of_an_exchange_behind_another_applies() {
    let spec = with_alternate(exchange("y", ExchangeKind::Direct), "amq.fanout");
    let mut topology = topology(&[spec], &["q"]);
    bind(&mut topology, to_exchange("amq.direct", "y", "k"));
    bind(&mut topology, to_queue("amq.fanout", "q", ""));
    assert_eq!(routed(&topology, "amq.direct", &["k"]), ["q"]);
}

#[test]
fn queues_that_are_being_deleted_are_passed_over() {
    let spec = with_alternate(exchange("x", ExchangeKind::Fanout), "amq.fanout");
    let mut topology = topology(&[spec], &["a", "b", "c"]);
    for name in ["a", "b"] {
        bind(&mut topology, to_queue("x", name, ""));
    }
    bind(&mut topology, to_queue("amq.fanout", "c", ""));
    let deleted = |topology: &Topology, name| {
        close(&topology.queue(name).expect("there").handle);
    };
    deleted(&topology, "a");
    assert_eq!(routed(&topology, "x", &[""]), ["b"]);
    assert!(routed(&topology, "", &["a"]).is_empty());
    deleted(&topology, "b");
    assert_eq!(
        routed(&topology, "x", &[""]),
        ["c"],
        "nobody is left but the alternate"
    );
}

#[test]
fn it_is_told_whether_headers_mattered() {
    let spec = with_alternate(exchange("x", ExchangeKind::Direct), "amq.headers");
    let mut topology = topology(&[spec], &["q", "r"]);
    bind(&mut topology, to_queue("x", "r", "k"));
    let wanted = BindingSpec {
        arguments: table(&[("h", 1.into())]),
        ..to_queue("amq.headers", "q", "")
    };
    bind(&mut topology, wanted);
    let headers = table(&[("h", FieldValue::U8(1))]);
    for (exchange, key, depends, queues) in [
        ("x", "k", false, 1),
        ("x", "l", true, 1),
        ("amq.headers", "k", true, 1),
        ("amq.topic", "k", false, 0),
        ("", "q", false, 1),
    ] {
        let targets = found(&topology, exchange, &[key], Some(&headers));
        assert_eq!(targets.depends_on_headers, depends, "{exchange} {key}");
        assert_eq!(targets.queues.len(), queues, "{exchange} {key}");
    }
    assert!(found(&topology, "x", &["l"], None).queues.is_empty());
}

#[test]
fn a_large_fanout_gives_each_queue_one_copy() {
    let names: Vec<String> = (0..500).map(|number| format!("q{number:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut topology = topology(&[exchange("x", ExchangeKind::Fanout)], &names);
    for name in &names {
        bind(&mut topology, to_queue("amq.fanout", name, ""));
        bind(&mut topology, to_queue("x", name, ""));
    }
    bind(&mut topology, to_exchange("amq.fanout", "x", ""));
    assert_eq!(routed(&topology, "amq.fanout", &[""]), names);
}
