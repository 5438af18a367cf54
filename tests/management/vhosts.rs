//! `/vhosts`.

use serde_json::json;

use crate::stage::{Stage, column};
use crate::support::client::{Login, Peer};

#[test]
fn a_vhost_is_made_changed_and_deleted() {
    let stage = Stage::new("vhost-life");
    let described = r#"{"description": "orders", "tags": "a, b"}"#;
    stage.must("PUT", "vhosts/{v}-2", described, 201);
    let shown = stage.get("vhosts/{v}-2");
    assert_eq!(shown["name"], "vhost-life-2");
    assert_eq!(shown["description"], "orders");
    assert_eq!(shown["metadata"]["tags"], json!(["a", "b"]));
    assert_eq!(shown["messages"], 0);
    stage.must("PUT", "vhosts/{v}-2", r#"{"tags": ["c"]}"#, 204);
    let shown = stage.get("vhosts/{v}-2");
    assert_eq!(
        (&shown["description"], &shown["tags"]),
        (&json!("orders"), &json!(["c"]))
    );
    let listed = stage.get("vhosts");
    assert!(column(&listed, "name").contains(&"vhost-life-2"));
    stage.must("DELETE", "vhosts/{v}-2", "", 204);
    stage.not_found("DELETE", "vhosts/{v}-2", "");
    stage.not_found("GET", "vhosts/{v}-2", "");
}

#[test]
fn what_a_vhost_cannot_be_is_refused() {
    let stage = Stage::new("vhost-limits");
    let refused = |body: &str, reason: &str| {
        stage.refused("PUT", "vhosts/{v}-2", body, (400, "bad_request", reason));
    };
    refused(r#"{"tags": 5}"#, r#"["not_tags", "tags"]"#);
    refused(r#"{"tracing": true}"#, "tracing is not available");
    let quorum = r#"{"default_queue_type": "quorum"}"#;
    refused(
        quorum,
        "queue type 'quorum' is not available as the default",
    );
    let long = "v".repeat(256);
    let reason = "vhost should be less than 255 bytes, actually was 256\n";
    stage.refused(
        "PUT",
        &format!("vhosts/{long}"),
        "{}",
        (400, "bad_request", reason),
    );
}

#[test]
fn objects_of_a_vhost_that_does_not_exist_are_not_found() {
    let stage = Stage::new("vhost-none");
    for path in [
        "queues/{v}-no",
        "exchanges/{v}-no",
        "bindings/{v}-no",
        "consumers/{v}-no",
        "definitions/{v}-no",
        "aliveness-test/{v}-no",
        "vhosts/{v}-no/connections",
        "vhosts/{v}-no/channels",
        "vhosts/{v}-no/permissions",
    ] {
        stage.not_found("GET", path, "");
    }
    stage.not_found("PUT", "queues/{v}-no/q", "{}");
}

#[test]
fn a_deleted_vhost_closes_its_connections_and_forgets_its_permissions() {
    let stage = Stage::new("vhost-gone");
    let mut peer = stage.peer();
    stage.must("DELETE", "vhosts/{v}", "", 204);
    peer.expect(0, "connection.close reply-code=320")
        .expect("a close");
    stage.not_found("GET", "permissions/{v}/guest", "");
    let again = Peer::log_in(stage.broker.amqp(), &Login::guest("vhost-gone"));
    assert!(again.is_err());
}

#[test]
fn the_permissions_of_a_vhost_are_listed() {
    let stage = Stage::new("vhost-permissions");
    let shown = stage.get("vhosts/{v}/permissions");
    let expected = json!([{
        "user": "guest", "vhost": "vhost-permissions",
        "configure": ".*", "write": ".*", "read": ".*",
    }]);
    assert_eq!(shown, expected);
}
