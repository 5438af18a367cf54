//! `--definitions FILE`: imported before the listeners open, or nothing of it.

use std::fs;

use serde_json::{Value, json};

use crate::stage::{Stage, call, get, refused};
use crate::support::broker::Broker;
use crate::support::client::{Login, Peer};

/// A user, a vhost and what is in it.
fn file() -> Value {
    json!({
        "users": [{"name": "u", "password": "p", "tags": ["management"]}],
        "vhosts": [{"name": "v"}],
        "permissions": [{"user": "u", "vhost": "v", "configure": ".*", "write": ".*", "read": ".*"}],
        "exchanges": [{"name": "x", "vhost": "v", "type": "topic", "durable": true, "auto_delete": false, "internal": false, "arguments": {}}],
        "queues": [{"name": "q", "vhost": "v", "durable": true, "auto_delete": false, "arguments": {"x-max-length": 5}}],
        "bindings": [{"source": "x", "vhost": "v", "destination": "q", "destination_type": "queue", "routing_key": "a.#", "arguments": {}}],
    })
}

#[test]
fn a_good_file_is_there_with_the_first_connection_and_stays_without_it() {
    let stage = Stage::new();
    let path = stage.write("definitions.json", &file().to_string());
    for with_file in [true, false] {
        let mut command = stage.serve();
        if with_file {
            command.arg("--definitions").arg(&path);
        }
        let broker = Broker::run(command).expect("the broker starts");
        let login = Login {
            user: "u".to_owned(),
            password: "p".to_owned(),
            ..Login::guest("v")
        };
        let mut peer = Peer::log_in(broker.amqp(), &login).expect("the imported user");
        peer.call(1, "channel.open", "channel.open-ok")
            .expect("a channel");
        let publish = "confirm.select | basic.publish exchange=x routing-key=a.b | content body=m";
        peer.call(1, publish, "confirm.select-ok")
            .expect("confirms");
        peer.expect(1, "basic.ack").expect("a confirm");
        peer.call(
            1,
            "basic.get queue=q no-ack=true",
            "basic.get-ok exchange=x",
        )
        .expect("the message");
        drop(peer);
        assert!(broker.stop().expect("stopped").success());
    }
}

#[test]
fn a_bad_file_names_the_object_and_changes_nothing() {
    let stage = Stage::new();
    let broker = stage.start();
    let queue = r#"{"durable": true}"#;
    assert_eq!(call(&broker, "PUT", "queues/%2F/mine", queue).status, 201);
    let before = get(&broker, "definitions");
    assert!(broker.stop().expect("stopped").success());
    type Change = fn(&mut Value);
    let faults: [(Change, &str); 5] = [
        (
            |file| file["exchanges"][0]["type"] = json!("x-unheard-of"),
            "exchange 'x'",
        ),
        (
            |file| file["queues"][0]["arguments"]["x-max-length"] = json!(-1),
            "queue 'q' in vhost 'v': ",
        ),
        (
            |file| file["bindings"][0]["destination"] = json!("nowhere"),
            "binding ",
        ),
        (
            |file| file["permissions"][0]["configure"] = json!("("),
            "permission of user 'u'",
        ),
        (
            |file| file["users"][0]["password_hash"] = json!("not base64!"),
            "user 'u': ",
        ),
    ];
    for (change, what) in faults {
        let mut bad = file();
        change(&mut bad);
        let path = stage.write("bad.json", &bad.to_string());
        let mut command = stage.serve();
        command.arg("--definitions").arg(&path);
        let said = refused(command, 1).stderr;
        let error = format!("error: definitions {}: {what}", path.display());
        assert!(said.contains(&error), "{error:?} expected in {said}");
    }
    let broker = stage.start();
    assert_eq!(get(&broker, "definitions"), before);
}

#[test]
fn a_file_that_is_none_is_named() {
    let stage = Stage::new();
    for text in [None, Some("{\"queues\": ["), Some("[]")] {
        let path = stage.path("definitions.json");
        match text {
            Some(text) => fs::write(&path, text).expect("written"),
            None => assert!(!path.exists()),
        }
        let mut command = stage.serve();
        command.arg("--definitions").arg(&path);
        let said = refused(command, 1).stderr;
        let error = format!("error: definitions {}: ", path.display());
        assert!(said.contains(&error), "{said}");
    }
}
