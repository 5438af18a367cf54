//! What holds for every path: encoding, methods, headers, bodies.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use crate::stage::{ALL, Stage, assert_status};
use crate::support::broker::Broker;
use crate::support::http::basic;

/// HTTP connections that are served at the same time.
const CONNECTIONS_MAX: usize = 256;

#[test]
fn names_are_decoded_segment_by_segment() {
    let stage = Stage::new("odd-names");
    stage.must("PUT", "vhosts/odd%20names", "{}", 201);
    stage.must("PUT", "permissions/odd%20names/guest", ALL, 201);
    let name = "a%2Fb%20c%2Bd%25%C3%BC+e";
    let path = format!("queues/odd%20names/{name}");
    stage.must("PUT", &path, "{}", 201);
    assert_eq!(stage.get(&path)["name"], "a/b c+d%ü+e");
    assert_eq!(stage.get(&format!("{path}/"))["name"], "a/b c+d%ü+e");
    stage.must("DELETE", &path, "", 204);
    stage.not_found("GET", &path, "");
}

#[test]
fn the_vhost_of_a_new_broker_is_spelled_in_both_cases() {
    let stage = Stage::new("slash");
    for vhost in ["%2F", "%2f"] {
        assert_eq!(stage.get(&format!("vhosts/{vhost}"))["name"], "/");
    }
}

#[test]
fn paths_that_mean_nothing_are_not_found() {
    let stage = Stage::new("no-paths");
    for path in [
        "nope",
        "queues//q",
        "",
        "queues/{v}/q/nope",
        "policies",
        "queues/%ff/x",
    ] {
        stage.not_found("GET", path, "");
    }
    assert_eq!(stage.send(&[], "GET", "/elsewhere").status, 404);
}

#[test]
fn other_methods_are_named() {
    let stage = Stage::new("methods");
    let answer = stage.must("POST", "overview", "{}", 405);
    assert_eq!(answer.header("allow"), Some("HEAD, GET, OPTIONS"));
    assert!(answer.body.is_empty());
    let answer = stage.must("GET", "queues/{v}/q/contents", "", 405);
    assert_eq!(answer.header("allow"), Some("DELETE, OPTIONS"));
    let options = stage.send(
        &[("origin", "http://example.org")],
        "OPTIONS",
        "/api/queues/{v}/q",
    );
    assert_eq!(options.status, 200);
    assert_eq!(
        options.header("allow"),
        Some("HEAD, GET, PUT, DELETE, OPTIONS")
    );
    assert_eq!(options.header("access-control-allow-origin"), None);
}

#[test]
fn head_is_a_get_without_the_body() {
    let stage = Stage::new("head");
    let get = stage.must("GET", "whoami", "", 200);
    let head = stage.must("HEAD", "whoami", "", 200);
    assert!(head.body.is_empty());
    assert_eq!(head.header("content-length"), get.header("content-length"));
    stage.must("HEAD", "queues/{v}/nope", "", 404);
}

#[test]
fn answers_are_json_that_is_not_kept() {
    let stage = Stage::new("headers");
    let answer = stage.must("GET", "overview", "", 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    let guest = basic("guest", "guest");
    let accepted = |accept: &str| {
        let headers = [("authorization", guest.as_str()), ("accept", accept)];
        stage.send(&headers, "GET", "/api/whoami").status
    };
    assert_eq!(accepted("text/html"), 406);
    assert_eq!(accepted("text/html, application/json;q=0.5"), 200);
    assert_eq!(accepted("*/*"), 200);
}

#[test]
fn bodies_are_read_leniently() {
    let stage = Stage::new("bodies");
    for (number, body) in ["", "null", "undefined", " {} ", r#"{"unknown": 1}"#]
        .iter()
        .enumerate()
    {
        stage.must("PUT", &format!("queues/{{v}}/q{number}"), body, 201);
    }
    let flags = r#"{"durable": "true", "auto_delete": "false", "arguments": []}"#;
    stage.must("PUT", "queues/{v}/flags", flags, 201);
    let shown = stage.get("queues/{v}/flags");
    assert_eq!(
        (&shown["durable"], &shown["auto_delete"]),
        (&json!(true), &json!(false))
    );
}

#[test]
fn bodies_that_cannot_be_taken_are_told_apart() {
    let stage = Stage::new("bad-bodies");
    let refused = |body: &str, reason: &str| {
        stage.refused("PUT", "queues/{v}/q", body, (400, "bad_request", reason));
    };
    refused("{not json", "not_json");
    refused("[]", "not_json");
    refused(
        r#""{}""#,
        "invalid payload: the request body JSON-decoded to a string. Is the input \
         doubly-JSON-encoded?",
    );
    refused(r#"{"durable": "maybe"}"#, r#"["not_boolean", "maybe"]"#);
    refused(r#"{"arguments": 5}"#, "arguments must be a JSON object");
    refused(
        &format!(
            r#"{{"arguments": {}1{}}}"#,
            "[".repeat(500),
            "]".repeat(500)
        ),
        "not_json",
    );
    stage.not_found("GET", "queues/{v}/q", "");
}

#[test]
fn a_body_above_the_limit_is_not_read() {
    let stage = Stage::new("large-body");
    let guest = basic("guest", "guest");
    let headers = [
        ("authorization", guest.as_str()),
        ("content-length", "30000000"),
    ];
    let answer = stage.send(&headers, "PUT", "/api/queues/{v}/q");
    assert_status(&answer, 413, "PUT", "queue");
    assert_eq!(
        answer.json()["reason"],
        "Exceeded HTTP request body size limit"
    );
}

#[test]
fn who_finds_all_connections_taken_is_served_when_one_is_closed() {
    let broker = Broker::start().expect("a broker");
    let connect = || TcpStream::connect(broker.http()).expect("a connection");
    let mut idle: Vec<TcpStream> = (0..CONNECTIONS_MAX).map(|_| connect()).collect();
    let mut late = connect();
    late.write_all(b"GET /api/whoami HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .expect("written");
    late.set_read_timeout(Some(Duration::from_millis(300)))
        .expect("a timeout");
    let mut answer = [0; 12];
    assert!(
        late.read_exact(&mut answer).is_err(),
        "there was no room for it"
    );
    drop(idle.pop());
    late.set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a timeout");
    late.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 401");
}
