//! `/queues`.

use serde_json::{Value, json};

use crate::stage::{Stage, column};

#[test]
fn a_queue_is_made_and_deleted() {
    let stage = Stage::new("queue-life");
    let body = r#"{"durable": true, "arguments": {"x-max-length": 10, "x-queue-type": "classic", "own": {"a": [1, 2.5, null]}}}"#;
    stage.must("PUT", "queues/{v}/q", body, 201);
    stage.must("PUT", "queues/{v}/q", body, 204);
    let shown = stage.get("queues/{v}/q");
    for (name, value) in [
        ("name", json!("q")),
        ("vhost", json!("queue-life")),
        ("type", json!("classic")),
        ("durable", json!(true)),
        ("auto_delete", json!(false)),
        ("exclusive", json!(false)),
        ("state", json!("running")),
        ("policy", json!(null)),
        ("messages", json!(0)),
        ("messages_ready", json!(0)),
        ("messages_unacknowledged", json!(0)),
        ("messages_details", json!({"rate": 0.0})),
        ("consumers", json!(0)),
        ("consumer_details", json!([])),
        ("message_bytes", json!(0)),
        ("head_message_timestamp", json!(null)),
        ("exclusive_consumer_tag", json!(null)),
    ] {
        assert_eq!(shown[name], value, "{name}");
    }
    let arguments: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(shown["arguments"], arguments["arguments"]);
    assert!(shown["memory"].as_u64().is_some_and(|bytes| bytes > 0));
    stage.must("DELETE", "queues/{v}/q", "", 204);
    for method in ["GET", "DELETE"] {
        stage.not_found(method, "queues/{v}/q", "");
    }
}

#[test]
fn what_a_queue_cannot_be_is_refused() {
    let stage = Stage::new("queue-limits");
    let refused = |body: &str, reason: &str| {
        stage.refused("PUT", "queues/{v}/q", body, (400, "bad_request", reason));
    };
    refused(
        r#"{"arguments": {"x-message-ttl": "abc"}}"#,
        "invalid arg 'x-message-ttl' for queue 'q' in vhost '{v}': \"expected integer, got longstr\"",
    );
    refused(
        r#"{"arguments": {"x-queue-type": "foo"}}"#,
        "invalid arg 'x-queue-type' for queue 'q' in vhost '{v}': \"unsupported queue type 'foo'\"",
    );
    refused(
        r#"{"node": "rabbit@nowhere"}"#,
        "Node rabbit@nowhere could not be contacted",
    );
    refused(r#"{"node": 5}"#, r#"["not_string", "node"]"#);
    stage.not_found("GET", "queues/{v}/q", "");
    stage.must("PUT", "queues/{v}/q", r#"{"durable": true}"#, 201);
    let reason = "inequivalent arg 'durable' for queue 'q' in vhost '{v}': received 'false' but \
                  current is 'true'";
    refused("{}", reason);
    let reserved = (401, "not_authorised", "Access refused.");
    stage.refused("PUT", "queues/{v}/amq.mine", "{}", reserved);
    let reason = "the name of a queue has no line breaks";
    stage.refused("PUT", "queues/{v}/a%0Ab", "", (400, "bad_request", reason));
    let long = "q".repeat(256);
    let reason = "queue should be less than 255 bytes, actually was 256\n";
    stage.refused(
        "PUT",
        &format!("queues/{{v}}/{long}"),
        "",
        (400, "bad_request", reason),
    );
}

#[test]
fn a_queue_may_name_the_node_it_is_on() {
    let stage = Stage::new("queue-node");
    let node = stage.get("overview")["node"].to_string();
    stage.must(
        "PUT",
        "queues/{v}/q",
        &format!(r#"{{"node": {node}}}"#),
        201,
    );
    assert_eq!(stage.get("queues/{v}/q")["node"].to_string(), node);
}

#[test]
fn messages_and_consumers_are_counted() {
    let stage = Stage::new("queue-counts");
    stage.must("PUT", "queues/{v}/q", "{}", 201);
    let mut peer = stage.peer();
    for line in [
        "basic.publish routing-key=q | content body=12345 delivery-mode=2 timestamp=1700000000",
        "basic.publish routing-key=q | content body=678",
    ] {
        peer.send(1, line).expect("published");
    }
    let shown = stage.eventually("queues/{v}/q", |queue| queue["messages"] == 2);
    assert_eq!(shown["message_bytes"], 8);
    assert_eq!(shown["messages_persistent"], 1);
    assert_eq!(shown["message_bytes_persistent"], 5);
    assert_eq!(shown["head_message_timestamp"], 1_700_000_000);
    assert_eq!(shown["message_stats"]["publish"], 2);
    peer.call(1, "basic.qos prefetch-count=1", "basic.qos-ok")
        .expect("qos");
    let consume = "basic.consume queue=q consumer-tag=tag exclusive=true";
    peer.call(1, consume, "basic.consume-ok")
        .expect("consuming");
    peer.expect(1, "basic.deliver").expect("a delivery");
    let shown = stage.get("queues/{v}/q");
    assert_eq!(shown["messages_ready"], 1);
    assert_eq!(shown["messages_unacknowledged"], 1);
    assert_eq!(shown["message_stats"]["deliver_get"], 1);
    assert_eq!(shown["exclusive_consumer_tag"], "tag");
    let consumer = &shown["consumer_details"][0];
    assert_eq!(consumer["consumer_tag"], "tag");
    assert_eq!(consumer["prefetch_count"], 1);
    assert_eq!(consumer["channel_details"]["number"], 1);
    assert_eq!(consumer["channel_details"]["user"], "guest");
    let consumers = stage.get("consumers/{v}");
    assert_eq!(consumers, json!([consumer]));
    assert!(column(&stage.get("consumers"), "consumer_tag").contains(&"tag"));
}

#[test]
fn a_purge_leaves_what_is_unacked() {
    let stage = Stage::new("queue-purge");
    stage.must("PUT", "queues/{v}/q", "{}", 201);
    let mut peer = stage.peer();
    let message = "basic.publish routing-key=q | content body=x";
    for _ in 0..3 {
        peer.send(1, message).expect("published");
    }
    peer.call(1, "basic.get queue=q", "basic.get-ok")
        .expect("a message");
    stage.must("DELETE", "queues/{v}/q/contents", "", 204);
    let shown = stage.get("queues/{v}/q");
    assert_eq!(
        (&shown["messages_ready"], &shown["messages"]),
        (&json!(0), &json!(1))
    );
    stage.not_found("DELETE", "queues/{v}/nope/contents", "");
}

#[test]
fn a_queue_in_use_or_not_empty_is_kept_when_asked_to() {
    let stage = Stage::new("queue-kept");
    stage.must("PUT", "queues/{v}/q", "{}", 201);
    let mut peer = stage.peer();
    peer.send(1, "basic.publish routing-key=q | content body=x")
        .expect("published");
    stage.eventually("queues/{v}/q", |queue| queue["messages"] == 1);
    let reason = "queue 'q' in vhost '{v}' not empty";
    let path = "queues/{v}/q?if-empty=true";
    stage.refused("DELETE", path, "", (400, "bad_request", reason));
    peer.call(1, "basic.consume queue=q no-ack=true", "basic.consume-ok")
        .expect("consuming");
    let reason = "queue 'q' in vhost '{v}' in use";
    let path = "queues/{v}/q?if-unused=true";
    stage.refused("DELETE", path, "", (400, "bad_request", reason));
    stage.must("DELETE", "queues/{v}/q?if-unused=false", "", 204);
    peer.expect(1, "basic.deliver").expect("a delivery");
}

#[test]
fn an_exclusive_queue_belongs_to_its_connection() {
    let stage = Stage::new("queue-exclusive");
    let mut peer = stage.peer();
    peer.call(
        1,
        "queue.declare queue=q exclusive=true",
        "queue.declare-ok",
    )
    .expect("declared");
    let shown = stage.get("queues/{v}/q");
    assert_eq!(shown["exclusive"], true);
    let owner = &shown["owner_pid_details"];
    assert_eq!(owner["peer_host"], "127.0.0.1");
    assert_eq!(
        stage.get("vhosts/{v}/connections")[0]["name"],
        owner["name"]
    );
    for path in ["queues/{v}/q", "queues/{v}/q/contents"] {
        let answer = stage.must("DELETE", path, "", 400).json();
        let reason = answer["reason"].as_str().expect("text");
        assert!(reason.starts_with("cannot obtain exclusive access to locked queue 'q'"));
    }
}

#[test]
fn statistics_are_left_out_when_asked_to() {
    let stage = Stage::new("queue-brief");
    stage.must("PUT", "queues/{v}/q", "{}", 201);
    let brief = &stage.get("queues/{v}?disable_stats=true")[0];
    assert_eq!(brief["name"], "q");
    assert!(brief.get("messages").is_none() && brief.get("memory").is_none());
    let totals = &stage.get("queues/{v}?disable_stats=true&enable_queue_totals=true")[0];
    assert_eq!(totals["messages"], 0);
    assert!(totals.get("memory").is_none());
}

#[test]
fn an_idle_queue_says_since_when() {
    let stage = Stage::new("queue-idle");
    stage.must("PUT", "queues/{v}/q", "{}", 201);
    let mut peer = stage.peer();
    peer.send(1, "basic.publish routing-key=q | content body=x")
        .expect("published");
    let shown = stage.eventually("queues/{v}/q", |queue| queue["idle_since"].is_string());
    let since = shown["idle_since"].as_str().expect("text");
    assert_eq!(
        since.len(),
        "2026-11-21T11:52:50.743+00:00".len(),
        "{since}"
    );
    assert!(
        since.ends_with("+00:00") && &since[10..11] == "T",
        "{since}"
    );
}
