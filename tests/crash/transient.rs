//! What was not durable, and what went by itself, does not come back.

use std::time::{Duration, Instant};

use serde_json::json;

use super::node::{Node, ask};

#[test]
fn transient_and_exclusive_objects_do_not_come_back() {
    let mut node = Node::start();
    let mut peer = node.peer("/");
    ask(
        &mut peer,
        &[
            "exchange.declare exchange=tx type=fanout",
            "exchange.declare exchange=auto type=fanout auto-delete=true",
            "exchange.declare exchange=x type=fanout durable=true",
            "queue.declare queue=tq",
            "queue.declare queue=auto auto-delete=true",
            "queue.declare queue=mine exclusive=true",
            "queue.declare queue=mine-durable exclusive=true durable=true",
            "queue.declare queue=q durable=true",
            "queue.bind queue=q exchange=tx",
            "queue.bind queue=q exchange=auto",
            "queue.bind queue=tq exchange=x",
            "queue.bind queue=mine-durable exchange=x",
            "queue.bind queue=q exchange=x",
            "exchange.bind destination=x source=tx",
        ],
    );
    node.kill_and_start();
    assert_eq!(node.names("exchanges/%2F"), ["x"]);
    assert_eq!(node.names("queues/%2F"), ["q"]);
    let bindings = node.definitions()["bindings"].clone();
    assert_eq!(bindings.as_array().map(Vec::len), Some(1), "{bindings}");
    let mut other = node.peer("/");
    ask(
        &mut other,
        &["queue.declare queue=mine-durable durable=true"],
    );
}

/// The log keeps the order of changes: a later answer says that the deletion is on disk.
#[test]
fn what_went_with_its_last_consumer_or_binding_does_not_come_back() {
    let mut node = Node::start();
    let mut peer = node.peer("/");
    ask(
        &mut peer,
        &[
            "exchange.declare exchange=auto type=fanout durable=true auto-delete=true",
            "queue.declare queue=auto durable=true auto-delete=true",
            "queue.declare queue=brief durable=true arguments={x-expires: I 1}",
            "queue.declare queue=q durable=true",
            "queue.bind queue=q exchange=auto",
            "queue.unbind queue=q exchange=auto",
            "basic.consume queue=auto consumer-tag=c",
            "basic.cancel consumer-tag=c",
        ],
    );
    let deadline = Instant::now() + Duration::from_secs(20);
    while node.names("queues/%2F") != ["q"] {
        assert!(Instant::now() < deadline, "{:?}", node.names("queues/%2F"));
        std::thread::park_timeout(Duration::from_millis(20));
    }
    assert_eq!(node.names("exchanges/%2F"), Vec::<String>::new());
    ask(&mut peer, &["queue.declare queue=last durable=true"]);
    node.kill_and_start();
    assert_eq!(node.names("queues/%2F"), ["last", "q"]);
    assert_eq!(node.names("exchanges/%2F"), Vec::<String>::new());
    assert_eq!(node.definitions()["bindings"], json!([]));
}
