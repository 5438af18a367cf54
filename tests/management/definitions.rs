//! `/definitions`, and `--definitions` at start.

use std::path::Path;

use serde_json::{Value, json};

use crate::stage::{Stage, column};
use crate::support::broker::Broker;
use crate::support::http::{self, Response, basic};

/// A broker of its own: definitions are about all of it.
struct Alone {
    broker: Broker,
    _folder: tempfile::TempDir,
}

impl Alone {
    fn start(arguments: &[&str]) -> Result<Alone, String> {
        let folder = tempfile::tempdir().expect("a folder");
        Ok(Alone {
            broker: Broker::start_in(folder.path(), arguments)?,
            _folder: folder,
        })
    }

    fn call(&self, method: &str, path: &str, body: &str) -> Response {
        let path = format!("/api/{path}");
        let guest = ("guest", "guest");
        http::request(self.broker.http(), guest, method, &path, body).expect("an answer")
    }

    fn get(&self, path: &str) -> Value {
        self.call("GET", path, "").json()
    }

    fn import(&self, file: &Value) -> Response {
        self.call("POST", "definitions", &file.to_string())
    }
}

/// What a RabbitMQ of 3.10 to 4.x writes, with everything that this broker takes.
fn file() -> Value {
    json!({
        "rabbit_version": "3.10.8",
        "rabbitmq_version": "3.10.8",
        "product_name": "RabbitMQ",
        "rabbitmq_definition_format": "cluster",
        "users": [{
            "name": "orders-svc",
            "password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR",
            "hashing_algorithm": "rabbit_password_hashing_sha256",
            "tags": ["management"],
            "limits": {},
        }],
        "vhosts": [
            {"name": "/"},
            {"name": "orders", "limits": [], "metadata": {"description": "Orders", "tags": ["eu"], "default_queue_type": "classic"}},
        ],
        "permissions": [
            {"user": "orders-svc", "vhost": "orders", "configure": "^$", "write": "^orders\\.", "read": ".*"},
        ],
        "topic_permissions": [],
        "parameters": [],
        "global_parameters": [
            {"name": "cluster_name", "value": "research"},
            {"name": "internal_cluster_id", "value": "rabbitmq-cluster-id-x"},
        ],
        "policies": [],
        "exchanges": [
            {"name": "orders.topic", "vhost": "orders", "type": "topic", "durable": true, "auto_delete": false, "internal": false, "arguments": {"alternate-exchange": "orders.lost"}},
            {"name": "orders.lost", "vhost": "orders", "type": "fanout", "durable": true, "auto_delete": false, "arguments": {}},
        ],
        "queues": [
            {"name": "orders.created", "vhost": "orders", "type": "classic", "durable": true, "auto_delete": false, "arguments": {"x-queue-type": "classic", "x-message-ttl": 60000}},
            {"name": "orders.lost", "vhost": "orders", "durable": true, "auto_delete": false, "arguments": {}},
        ],
        "bindings": [
            {"source": "orders.topic", "vhost": "orders", "destination": "orders.created", "destination_type": "queue", "routing_key": "order.*", "arguments": {}},
            {"source": "orders.topic", "vhost": "orders", "destination": "orders.lost", "destination_type": "exchange", "routing_key": "#", "arguments": {"n": 1}},
            {"source": "orders.lost", "vhost": "orders", "destination": "orders.lost", "destination_type": "queue", "routing_key": "", "arguments": {}},
        ],
    })
}

#[track_caller]
fn assert_imported(broker: &Alone) {
    let login = ("orders-svc", "test12");
    let whoami = http::request(broker.broker.http(), login, "GET", "/api/whoami", "");
    assert_eq!(whoami.expect("an answer").status, 200);
    assert_eq!(broker.get("vhosts/orders")["description"], "Orders");
    assert_eq!(
        broker.get("permissions/orders/orders-svc")["write"],
        "^orders\\."
    );
    let queue = broker.get("queues/orders/orders.created");
    assert_eq!(queue["arguments"]["x-message-ttl"], 60_000);
    let bindings = broker.get("bindings/orders/e/orders.topic/e/orders.lost");
    assert_eq!(bindings[0]["arguments"], json!({"n": 1}));
    assert_eq!(broker.get("exchanges/orders/orders.topic")["type"], "topic");
}

#[test]
fn what_is_exported_and_imported_is_exported_again() {
    let first = Alone::start(&[]).expect("a broker");
    assert_eq!(first.import(&file()).status, 204);
    assert_imported(&first);
    let exported = first.get("definitions");
    let second = Alone::start(&[]).expect("a broker");
    assert_eq!(second.import(&exported).status, 204);
    assert_imported(&second);
    assert_eq!(second.get("definitions"), exported);
    assert_eq!(second.import(&exported).status, 204);
    assert_eq!(second.get("all-configuration"), exported);
}

#[test]
fn a_file_is_imported_at_start_and_again_at_the_next_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("definitions.json");
    std::fs::write(&path, file().to_string()).expect("written");
    let arguments = ["--definitions", path.to_str().expect("UTF-8")];
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("a folder");
    for _ in 0..2 {
        let broker = Broker::start_in(&data, &arguments).expect("a broker");
        let alone = Alone {
            broker,
            _folder: tempfile::tempdir().expect("a folder"),
        };
        assert_imported(&alone);
    }
}

/// A broker refuses to start with this file and says why.
#[track_caller]
fn assert_not_started(data: &Path, text: &str, why: &str) {
    let path = data.join("definitions.json");
    std::fs::write(&path, text).expect("written");
    let arguments = ["--definitions", path.to_str().expect("UTF-8")];
    let said = match Broker::start_in(&data.join("data"), &arguments) {
        Ok(_) => panic!("it started with {text}"),
        Err(said) => said,
    };
    assert!(said.contains(why), "{why:?} expected in {said}");
}

#[test]
fn a_bad_file_stops_the_start_and_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("a folder");
    assert_not_started(folder.path(), "{\n\"users\": [}", "line 2 column 11");
    let mut bad = file();
    bad["queues"][1]["arguments"]["x-max-length"] = json!(-1);
    let why = "queue 'orders.lost' in vhost 'orders': invalid arg 'x-max-length'";
    assert_not_started(folder.path(), &bad.to_string(), why);
    let broker = Broker::start_in(&data, &[]).expect("a broker");
    let guest = ("guest", "guest");
    let vhosts = http::request(broker.http(), guest, "GET", "/api/vhosts", "");
    assert_eq!(column(&vhosts.expect("an answer").json(), "name"), ["/"]);
}

/// Where in [`file`] something is put that cannot be taken, and a part of what is said of it.
#[rustfmt::skip]
const BAD: [(&str, &str, &str); 19] = [
    ("/policies", r#"[{"name": "ttl", "vhost": "/"}]"#, "policy 'ttl': policies are not available"),
    ("/parameters", r#"[{"name": "s"}]"#, "parameter 's': parameters are not available"),
    ("/global_parameters/0/name", r#""cluster_labels""#, "global parameter 'cluster_labels'"),
    ("/topic_permissions", r#"[{"user": "guest"}]"#, "topic permission user 'guest'"),
    ("/users/0/limits", r#"{"max-channels": 5}"#, "user 'orders-svc': limits are not available"),
    ("/users/0/tags", "null", "user 'orders-svc': tags_not_present"),
    ("/vhosts/1/limits", r#"[{"name": "max-queues"}]"#, "vhost 'orders': limits are not available"),
    ("/vhosts/1/metadata/default_queue_type", r#""quorum""#, "vhost 'orders': queue type 'quorum'"),
    ("/queues/0/type", r#""stream""#, "queue 'orders.created': queue type 'stream'"),
    ("/queues/0/durable", "null", "queue 'orders.created': \"durable\" is missing"),
    ("/queues/0/vhost", "null", "queue 'orders.created': \"vhost\" is missing"),
    ("/queues/0/vhost", r#""nope""#, "there is no vhost 'nope'"),
    ("/queues/0", "5", "queues[0]: an object is expected"),
    ("/queues", "{}", "\"queues\": a list is expected"),
    ("/exchanges/1/type", r#""x-random""#, "unknown exchange type 'x-random'"),
    ("/permissions/0/user", r#""nobody""#, "there is no user 'nobody'"),
    ("/permissions/0/read", r#""(""#, "permission of user 'orders-svc'"),
    ("/bindings/0/destination", r#""nope""#, "binding 'orders.topic' -> 'nope' in vhost 'orders': no queue 'nope'"),
    ("/bindings/0/destination_type", r#""x""#, "unknown destination type 'x'"),
];

#[test]
fn what_cannot_be_honoured_is_named_and_nothing_is_changed() {
    let alone = Alone::start(&[]).expect("a broker");
    let before = alone.get("definitions");
    for (place, value, why) in BAD {
        let mut bad = file();
        let value = serde_json::from_str(value).expect("JSON");
        *bad.pointer_mut(place).expect("a place") = value;
        let answer = alone.import(&bad);
        assert_eq!(answer.status, 400, "{why}");
        let json = answer.json();
        let reason = json["reason"].as_str().expect("a reason");
        assert!(reason.contains(why), "{why:?} expected in {reason}");
        assert_eq!(alone.get("definitions"), before, "{why}");
    }
    assert_eq!(alone.call("POST", "definitions", "[1]").status, 400);
}

#[test]
fn what_exists_is_kept() {
    let alone = Alone::start(&[]).expect("a broker");
    assert_eq!(alone.import(&file()).status, 204);
    let mut other = file();
    other["queues"][0]["arguments"] = json!({});
    other["exchanges"][0]["type"] = "fanout".into();
    other["permissions"][0]["read"] = "^x".into();
    assert_eq!(alone.import(&other).status, 204);
    let queue = alone.get("queues/orders/orders.created");
    assert_eq!(queue["arguments"]["x-message-ttl"], 60_000);
    assert_eq!(alone.get("exchanges/orders/orders.topic")["type"], "topic");
    assert_eq!(alone.get("permissions/orders/orders-svc")["read"], "^x");
}

#[test]
fn a_vhost_is_exported_without_its_name_and_imported_under_another() {
    let stage = Stage::new("definitions-vhost");
    stage.must(
        "PUT",
        "exchanges/{v}/x",
        r#"{"type": "fanout", "durable": true}"#,
        201,
    );
    stage.must("PUT", "queues/{v}/q", r#"{"durable": true}"#, 201);
    stage.must("PUT", "queues/{v}/transient", "{}", 201);
    stage.must("POST", "bindings/{v}/e/x/q/q", "{}", 201);
    stage.must("POST", "bindings/{v}/e/x/q/transient", "{}", 201);
    let exported = stage.get("definitions/{v}");
    let expected = json!({
        "name": "q", "type": "classic", "durable": true, "auto_delete": false, "arguments": {},
    });
    assert_eq!(exported["queues"], json!([expected]));
    assert_eq!(exported["bindings"].as_array().map(Vec::len), Some(1));
    assert_eq!(column(&exported["exchanges"], "name"), ["x"]);
    stage.must("PUT", "vhosts/{v}-2", "{}", 201);
    stage.must("POST", "definitions/{v}-2", &exported.to_string(), 204);
    let mut again = stage.get("definitions/{v}-2");
    again["original_vhost_name"] = exported["original_vhost_name"].clone();
    assert_eq!(again, exported);
}

#[test]
fn definitions_are_taken_as_json_and_given_as_a_file() {
    let stage = Stage::new("definitions-http");
    let answer = stage.must("GET", "definitions?download=broker%201%0d%0a.json", "", 200);
    let disposition = Some("attachment; filename=broker1.json");
    assert_eq!(answer.header("content-disposition"), disposition);
    let guest = basic("guest", "guest");
    for (content_type, status) in [
        ("application/json; charset=utf-8", 204),
        ("text/plain", 415),
        ("multipart/form-data; boundary=x", 415),
    ] {
        let headers = [
            ("authorization", guest.as_str()),
            ("content-type", content_type),
        ];
        let path = "/api/definitions";
        let answer = http::send(stage.broker.http(), &headers, "POST", path, "{}");
        assert_eq!(answer.expect("an answer").status, status, "{content_type}");
    }
}
