//! `/exchanges`.

use serde_json::json;

use crate::stage::{Stage, column};

#[test]
fn an_exchange_is_made_and_deleted() {
    let stage = Stage::new("exchange-life");
    let body = r#"{"type": "topic", "durable": true, "internal": true, "arguments": {"alternate-exchange": "amq.fanout", "n": 5}}"#;
    stage.must("PUT", "exchanges/{v}/x", body, 201);
    stage.must("PUT", "exchanges/{v}/x", body, 204);
    let expected = json!({
        "name": "x", "vhost": "exchange-life", "type": "topic", "durable": true,
        "auto_delete": false, "internal": true,
        "arguments": {"alternate-exchange": "amq.fanout", "n": 5},
    });
    assert_eq!(stage.get("exchanges/{v}/x"), expected);
    stage.must("DELETE", "exchanges/{v}/x", "", 204);
    for method in ["GET", "DELETE"] {
        stage.not_found(method, "exchanges/{v}/x", "");
    }
}

#[test]
fn what_is_not_said_of_an_exchange_has_defaults() {
    let stage = Stage::new("exchange-defaults");
    stage.must("PUT", "exchanges/{v}/x", "", 201);
    let shown = stage.get("exchanges/{v}/x");
    assert_eq!(
        (&shown["type"], &shown["durable"]),
        (&json!("direct"), &json!(false))
    );
}

#[test]
fn every_vhost_has_its_exchanges() {
    let stage = Stage::new("exchange-list");
    let expected = [
        "",
        "amq.direct",
        "amq.fanout",
        "amq.headers",
        "amq.match",
        "amq.rabbitmq.trace",
        "amq.topic",
    ];
    assert_eq!(column(&stage.get("exchanges/{v}"), "name"), expected);
    assert_eq!(stage.get("exchanges/{v}/amq.default")["name"], "");
    assert!(column(&stage.get("exchanges"), "vhost").contains(&"exchange-list"));
}

#[test]
fn what_an_exchange_cannot_be_is_refused() {
    let stage = Stage::new("exchange-limits");
    let bad = (400, "bad_request", "unknown exchange type 'nope'");
    stage.refused("PUT", "exchanges/{v}/x", r#"{"type": "nope"}"#, bad);
    let reserved = (401, "not_authorised", "Access refused.");
    stage.refused("PUT", "exchanges/{v}/amq.mine", "{}", reserved);
    stage.refused("PUT", "exchanges/{v}/amq.default", "{}", reserved);
    stage.refused("DELETE", "exchanges/{v}/amq.direct", "", reserved);
    stage.refused("DELETE", "exchanges/{v}/amq.default", "", reserved);
    stage.must("PUT", "exchanges/{v}/x", "{}", 201);
    let reason = "inequivalent arg 'type' for exchange 'x' in vhost '{v}': received 'fanout' but \
                  current is 'direct'";
    let other = r#"{"type": "fanout"}"#;
    stage.refused(
        "PUT",
        "exchanges/{v}/x",
        other,
        (400, "bad_request", reason),
    );
    let long = "x".repeat(256);
    let reason = "exchange should be less than 255 bytes, actually was 256\n";
    stage.refused(
        "PUT",
        &format!("exchanges/{{v}}/{long}"),
        "",
        (400, "bad_request", reason),
    );
}

#[test]
fn an_exchange_in_use_is_kept_when_asked_to() {
    let stage = Stage::new("exchange-in-use");
    stage.must("PUT", "exchanges/{v}/x", "{}", 201);
    stage.must("PUT", "queues/{v}/q", "{}", 201);
    stage.must("POST", "bindings/{v}/e/x/q/q", "{}", 201);
    let reason = "exchange 'x' in vhost '{v}' in use";
    let path = "exchanges/{v}/x?if-unused=true";
    stage.refused("DELETE", path, "", (400, "bad_request", reason));
    stage.must("DELETE", "exchanges/{v}/x?if-unused=false", "", 204);
}

#[test]
fn durable_exchanges_are_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = || crate::support::broker::Broker::start_in(folder.path(), &[]).expect("a broker");
    let ask = |broker: &crate::support::broker::Broker, method: &str, path: &str| {
        let path = format!("/api/exchanges/%2F/{path}");
        let body = r#"{"durable": true}"#;
        let guest = ("guest", "guest");
        let answer = crate::support::http::request(broker.http(), guest, method, &path, body);
        answer.expect("an answer").status
    };
    let broker = start();
    assert_eq!(ask(&broker, "PUT", "kept"), 201);
    assert_eq!(ask(&broker, "PUT", "deleted"), 201);
    assert_eq!(ask(&broker, "DELETE", "deleted"), 204);
    // Nothing is said to be done before it is on disk.
    broker.kill().expect("killed");
    let broker = start();
    assert_eq!(ask(&broker, "GET", "kept"), 200);
    assert_eq!(ask(&broker, "GET", "deleted"), 404);
}
