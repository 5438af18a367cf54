//! What was answered is there.

use serde_json::json;

use super::node::{ALL, Node, ask};
use crate::support::method::Field;

#[test]
fn what_amqp_made_is_there() {
    let mut node = Node::start();
    let mut peer = node.peer("/");
    ask(
        &mut peer,
        &[
            "exchange.declare exchange=lost type=fanout durable=true",
            "exchange.declare exchange=topics type=topic durable=true internal=true arguments={alternate-exchange: S lost}",
            "exchange.declare exchange=waiting type=headers durable=true auto-delete=true",
            "queue.declare queue=q durable=true arguments={x-max-length: I 7, x-dead-letter-exchange: S lost, own: F {n: l 5}}",
            "queue.declare queue=later durable=true auto-delete=true",
            "queue.bind queue=q exchange=topics routing-key=a.# arguments={n: I 1}",
            "queue.bind queue=q exchange=waiting arguments={x-match: S any, k: S v}",
            "exchange.bind destination=topics source=lost routing-key=r",
        ],
    );
    let given = peer
        .call(1, "queue.declare durable=true", "queue.declare-ok")
        .expect("a queue named by the broker");
    let Some(Field::Bytes(name)) = given.field("queue") else {
        panic!("{given:?}");
    };
    let name = String::from_utf8_lossy(name);
    let before = node.definitions();
    node.kill_and_start();
    assert_eq!(node.definitions(), before);
    assert_eq!(node.names("exchanges/%2F"), ["lost", "topics", "waiting"]);
    assert_eq!(node.names("queues/%2F"), ["later", "q"]);
    assert_eq!(
        node.call("GET", "queues/%2F", "").json()[0]["durable"],
        true
    );
    let mut peer = node.peer("/");
    let passive = format!("queue.declare queue={name} passive=true");
    peer.call(1, &passive, "queue.declare-ok message-count=0")
        .expect("the queue the broker had named");
}

#[test]
fn restored_bindings_route_and_restored_arguments_count() {
    let mut node = Node::start();
    ask(
        &mut node.peer("/"),
        &[
            "exchange.declare exchange=in type=direct durable=true",
            "exchange.declare exchange=middle type=topic durable=true",
            "exchange.bind destination=middle source=in routing-key=a.b",
            "queue.declare queue=q durable=true arguments={x-max-length: I 1}",
            "queue.bind queue=q exchange=middle routing-key=a.*",
        ],
    );
    node.kill_and_start();
    let mut peer = node.peer("/");
    ask(&mut peer, &["confirm.select"]);
    for body in ["first", "second"] {
        let publish = format!("basic.publish exchange=in routing-key=a.b | content body={body}");
        peer.call(1, &publish, "basic.ack").expect("a confirm");
    }
    peer.call(
        1,
        "basic.get queue=q no-ack=true",
        "basic.get-ok message-count=0",
    )
    .expect("one message");
}

#[test]
fn what_http_made_is_there() {
    let mut node = Node::start();
    node.must(
        "PUT",
        "vhosts/v",
        r#"{"description": "d", "tags": "a,b"}"#,
        201,
    );
    node.must(
        "PUT",
        "users/u",
        r#"{"password": "p", "tags": "monitoring"}"#,
        201,
    );
    node.must("PUT", "permissions/v/guest", ALL, 201);
    let rights = r#"{"configure": "^a", "write": "^b", "read": ".*"}"#;
    node.must("PUT", "permissions/v/u", rights, 201);
    node.must(
        "PUT",
        "exchanges/v/x",
        r#"{"type": "topic", "durable": true}"#,
        201,
    );
    node.must(
        "PUT",
        "queues/v/q",
        r#"{"durable": true, "arguments": {"x-expires": 900000}}"#,
        201,
    );
    node.must(
        "POST",
        "bindings/v/e/x/q/q",
        r#"{"routing_key": "k.#"}"#,
        201,
    );
    let before = node.definitions();
    node.kill_and_start();
    assert_eq!(node.definitions(), before);
    assert_eq!(node.call("GET", "vhosts/v", "").json()["description"], "d");
    let kept = node.call("GET", "permissions/v/u", "").json();
    assert_eq!(kept["configure"], "^a");
    assert!(node.admits(("u", "p"), "v"), "the user logs in");
    assert!(!node.admits(("u", "p"), "/"), "only where it may");
    assert_eq!(node.names("exchanges/v"), ["x"]);
    assert_eq!(node.names("queues/v"), ["q"]);
    let bindings = node.call("GET", "bindings/v/e/x/q/q", "").json();
    assert_eq!(bindings[0]["routing_key"], "k.#");
}

#[test]
fn an_imported_file_is_there() {
    let mut node = Node::start();
    let queues: Vec<_> = (0..200)
        .map(|n| json!({"name": format!("q{n}"), "vhost": "many", "durable": true, "auto_delete": false, "arguments": {}}))
        .collect();
    let file = json!({"vhosts": [{"name": "many"}], "queues": queues});
    node.must("POST", "definitions", &file.to_string(), 204);
    let before = node.definitions();
    node.kill_and_start();
    assert_eq!(node.definitions(), before);
    assert_eq!(before["queues"].as_array().map(Vec::len), Some(200));
}

#[test]
fn changes_are_there_and_not_what_they_replaced() {
    let mut node = Node::start();
    node.must("PUT", "users/u", r#"{"password": "old", "tags": ""}"#, 201);
    node.must(
        "PUT",
        "permissions/%2F/u",
        r#"{"configure": "a", "write": "a", "read": "a"}"#,
        201,
    );
    node.must(
        "PUT",
        "users/u",
        r#"{"password": "new", "tags": "management"}"#,
        204,
    );
    node.must(
        "PUT",
        "permissions/%2F/u",
        r#"{"configure": "b", "write": "b", "read": "b"}"#,
        204,
    );
    node.kill_and_start();
    assert!(node.admits(("u", "new"), "/"));
    assert!(!node.admits(("u", "old"), "/"));
    assert_eq!(
        node.call("GET", "users/u", "").json()["tags"],
        json!(["management"])
    );
    assert_eq!(
        node.call("GET", "permissions/%2F/u", "").json()["read"],
        "b"
    );
}
