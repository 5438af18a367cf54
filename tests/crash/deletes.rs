//! What was deleted, and answered so, does not come back.

use serde_json::json;

use super::node::{ALL, Node, ask};

#[test]
fn what_amqp_deleted_stays_away() {
    let mut node = Node::start();
    let mut peer = node.peer("/");
    ask(
        &mut peer,
        &[
            "exchange.declare exchange=x type=fanout durable=true",
            "exchange.declare exchange=kept type=fanout durable=true",
            "queue.declare queue=q durable=true",
            "queue.declare queue=kept durable=true",
            "queue.bind queue=kept exchange=x",
            "queue.bind queue=q exchange=kept",
            "queue.bind queue=kept exchange=kept routing-key=one",
            "queue.bind queue=kept exchange=kept routing-key=two",
            "exchange.bind destination=kept source=amq.fanout",
            "exchange.delete exchange=x",
            "queue.delete queue=q",
            "queue.unbind queue=kept exchange=kept routing-key=one",
            "exchange.unbind destination=kept source=amq.fanout",
        ],
    );
    node.kill_and_start();
    assert_eq!(node.names("exchanges/%2F"), ["kept"]);
    assert_eq!(node.names("queues/%2F"), ["kept"]);
    ask(
        &mut node.peer("/"),
        &[
            "exchange.declare exchange=x type=fanout durable=true",
            "queue.declare queue=q durable=true",
        ],
    );
    let bindings = node.definitions()["bindings"].clone();
    assert_eq!(bindings.as_array().map(Vec::len), Some(1), "{bindings}");
    assert_eq!(bindings[0]["routing_key"], "two");
}

#[test]
fn what_http_deleted_stays_away_with_all_that_was_in_it() {
    let mut node = Node::start();
    let clean = node.definitions();
    let rights = r#"{"configure": "", "write": "", "read": ""}"#;
    for vhost in ["v", "w"] {
        node.must("PUT", &format!("vhosts/{vhost}"), "", 201);
    }
    node.must("PUT", "permissions/v/guest", ALL, 201);
    node.must("PUT", "users/u", r#"{"password": "p", "tags": ""}"#, 201);
    for path in ["permissions/v/u", "permissions/w/u", "permissions/%2F/u"] {
        node.must("PUT", path, rights, 201);
    }
    node.must(
        "PUT",
        "exchanges/v/x",
        r#"{"type": "topic", "durable": true}"#,
        201,
    );
    node.must("PUT", "queues/v/q", r#"{"durable": true}"#, 201);
    node.must("POST", "bindings/v/e/x/q/q", "{}", 201);
    node.must("DELETE", "permissions/%2F/u", "", 204);
    node.must("DELETE", "vhosts/v", "", 204);
    node.must("DELETE", "vhosts/w", "", 204);
    node.kill_and_start();
    assert_eq!(node.names("vhosts"), ["/"]);
    assert_eq!(node.names("users"), ["guest", "u"]);
    assert_eq!(node.definitions()["permissions"], clean["permissions"]);
    node.must("PUT", "vhosts/v", "", 201);
    node.must("PUT", "permissions/v/guest", ALL, 201);
    assert_eq!(node.call("GET", "queues/v", "").json(), json!([]));
    node.must("DELETE", "vhosts/v", "", 204);
    node.must("DELETE", "users/u", "", 204);
    node.kill_and_start();
    assert_eq!(node.definitions(), clean);
}

#[test]
fn what_took_a_deleted_name_is_what_comes_back() {
    let mut node = Node::start();
    ask(
        &mut node.peer("/"),
        &[
            "exchange.declare exchange=x type=fanout durable=true",
            "queue.declare queue=q durable=true arguments={x-max-length: I 1}",
            "queue.bind queue=q exchange=x routing-key=old",
            "exchange.delete exchange=x",
            "queue.delete queue=q",
            "exchange.declare exchange=x type=topic durable=true",
            "queue.declare queue=q durable=true arguments={x-max-length: I 2}",
        ],
    );
    let before = node.definitions();
    node.kill_and_start();
    assert_eq!(node.definitions(), before);
    assert_eq!(before["exchanges"][0]["type"], "topic");
    assert_eq!(before["queues"][0]["arguments"]["x-max-length"], 2);
    assert_eq!(before["bindings"], json!([]));
}
