//! Health checks, healthy and not.

use serde_json::json;

use crate::stage::Stage;
use crate::support::broker::Broker;
use crate::support::http;

#[test]
fn a_healthy_node_says_so() {
    let stage = Stage::new("healthy");
    let node = stage.get("overview")["node"]
        .as_str()
        .map(str::to_owned)
        .expect("a name");
    for path in [
        "health/checks/alarms",
        "health/checks/local-alarms",
        "health/checks/virtual-hosts",
        "health/checks/node-is-quorum-critical",
        "health/checks/node-is-mirror-sync-critical",
        "health/checks/certificate-expiration/1/weeks",
        "aliveness-test/{v}",
        "healthchecks/node",
        &format!("healthchecks/node/{node}"),
    ] {
        assert_eq!(stage.get(path)["status"], "ok", "{path}");
    }
    stage.not_found("GET", "aliveness-test/{v}-no", "");
    stage.not_found("GET", "healthchecks/node/nope", "");
}

#[test]
fn listeners_are_checked_by_port_and_protocol() {
    let stage = Stage::new("health-listeners");
    let (amqp, http) = (stage.broker.amqp().port(), stage.broker.http().port());
    for port in [amqp, http] {
        let shown = stage.get(&format!("health/checks/port-listener/{port}"));
        assert_eq!(shown, json!({"status": "ok", "port": port}));
    }
    let missing = stage
        .must("GET", "health/checks/port-listener/9", "", 503)
        .json();
    let expected = json!({
        "status": "failed", "reason": "No active listener", "missing": 9, "ports": [amqp, http],
    });
    assert_eq!(missing, expected);
    for (asked, protocol) in [("amqp", "amqp"), ("amqp091", "amqp"), ("http", "http")] {
        let shown = stage.get(&format!("health/checks/protocol-listener/{asked}"));
        assert_eq!(shown, json!({"status": "ok", "protocol": protocol}));
    }
    let missing = stage
        .must("GET", "health/checks/protocol-listener/mqtt", "", 503)
        .json();
    assert_eq!(missing["missing"], "mqtt");
    assert_eq!(missing["protocols"], json!(["amqp", "http"]));
    let invalid = (400, "bad_request", "Invalid port");
    for port in ["abc", "70000", "-1"] {
        stage.refused(
            "GET",
            &format!("health/checks/port-listener/{port}"),
            "",
            invalid,
        );
    }
    stage.must(
        "GET",
        "health/checks/certificate-expiration/1/eons",
        "",
        400,
    );
    stage.must(
        "GET",
        "health/checks/certificate-expiration/x/days",
        "",
        400,
    );
}

#[test]
fn a_memory_alarm_fails_the_checks() {
    let folder = tempfile::tempdir().expect("a folder");
    let low = ["--memory-high-watermark", "1MiB"];
    let broker = Broker::start_in(folder.path(), &low).expect("the broker starts");
    let ask = |path: &str| {
        let path = format!("/api/{path}");
        http::request(broker.http(), ("guest", "guest"), "GET", &path, "").expect("an answer")
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while ask("health/checks/alarms").status == 200 && std::time::Instant::now() < deadline {
        std::thread::park_timeout(std::time::Duration::from_millis(50));
    }
    for (path, reason) in [
        (
            "health/checks/alarms",
            "There are alarms in effect in the cluster",
        ),
        (
            "health/checks/local-alarms",
            "There are alarms in effect on the node",
        ),
        (
            "healthchecks/node",
            "There are alarms in effect on the node",
        ),
    ] {
        let answer = ask(path);
        assert_eq!(answer.status, 503, "{path}");
        assert_eq!(answer.json()["status"], "failed");
        assert_eq!(answer.json()["reason"], reason);
        assert_eq!(answer.json()["alarms"][0]["resource"], "memory");
    }
    assert_eq!(ask("nodes").json()[0]["mem_alarm"], true);
}
