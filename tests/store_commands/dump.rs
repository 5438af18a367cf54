//! `store dump`: what clients did, as the log has it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::check::{SMALL, filled};
use super::stage::{Stage, ask, connect, dump, publish, publisher, store, text};

/// A part of each line: those fields that tell what was done.
fn told(line: &Value, fields: &[&str]) -> Value {
    let kept = fields.iter().filter(|name| !line[**name].is_null());
    kept.map(|name| ((*name).to_owned(), line[*name].clone()))
        .collect()
}

#[test]
fn what_clients_did_is_there_in_order() {
    let stage = Stage::new();
    let broker = stage.start(&[]);
    let mut peer = publisher(&broker);
    ask(&mut peer, &["queue.declare queue=q durable=true"]);
    let bodies = ["one".to_owned(), "two".to_owned()];
    publish(&mut peer, "routing-key=q", &bodies[..1], &mut 0).expect("confirmed");
    publish(&mut peer, "routing-key=q", &bodies[1..], &mut 1).expect("confirmed");
    let mut other = connect(&broker);
    let get = |peer: &mut crate::support::client::Peer| {
        peer.call(1, "basic.get queue=q", "basic.get-ok")
            .expect("a message");
        let deadline = std::time::Instant::now() + super::stage::PATIENCE;
        peer.content(1, deadline).expect("its content");
    };
    get(&mut other);
    other.send(1, "basic.ack delivery-tag=1").expect("sent");
    get(&mut other);
    other
        .send(1, "basic.nack delivery-tag=2 requeue=true")
        .expect("sent");
    ask(&mut other, &["queue.purge queue=q", "queue.delete queue=q"]);
    broker.kill().expect("killed");

    let lines = dump(&stage.data(), &["--bodies"]);
    let lsns: Vec<u64> = lines
        .iter()
        .filter_map(|line| line["lsn"].as_u64())
        .collect();
    assert_eq!(lsns, (1..=lines.len() as u64).collect::<Vec<_>>());
    let fields = ["kind", "queue_name", "vhost", "ordinals"];
    let entries = lines.iter().filter(|line| line["kind"] != "changes");
    let entries: Vec<Value> = entries.map(|line| told(line, &fields)).collect();
    let entry = |kind: &str, more: Value| {
        let mut entry = json!({"kind": kind, "queue_name": "q", "vhost": "/"});
        for (name, value) in more.as_object().expect("fields") {
            entry[name] = value.clone();
        }
        entry
    };
    let expected = [
        entry("batch", json!({})),
        entry("batch", json!({})),
        entry("settled", json!({"ordinals": "1"})),
        entry("returned", json!({})),
    ];
    assert_eq!(entries[..4], expected, "{lines:#?}");
    // The purge, and whatever the deletion finds it should say besides.
    let is_settled = |entry: &Value| entry["kind"] == "settled";
    assert!(entries.len() > 4 && entries[4..].iter().all(is_settled));
    let batch = lines.iter().find(|line| line["kind"] == "batch");
    let message = &batch.expect("a batch")["messages"][0];
    assert_eq!(message["ordinal"], 1);
    assert_eq!(message["routing_key"], "q");
    assert_eq!(message["persistent"], true);
    assert_eq!(message["body_bytes"], 3);
    assert_eq!(message["body"], STANDARD.encode("one"));
    let changes = lines.iter().filter(|line| line["kind"] == "changes");
    let changes: Vec<&Value> = changes.map(|line| &line["changes"][0]).collect();
    let put = json!({"kind": "queue", "vhost": "/", "name": "q", "id": 1,
        "auto_delete": false, "arguments": {}});
    assert_eq!(changes[1], &json!({ "put": put }));
    let deleted = json!({"kind": "queue", "key": ["/", "q"]});
    assert_eq!(changes.last(), Some(&&json!({ "delete": deleted })));
}

#[test]
fn bodies_and_the_map_are_printed_where_they_are_asked_for() {
    let stage = Stage::new();
    filled(&stage);
    let plain = dump(&stage.data(), &[]);
    assert!(!plain.is_empty());
    let all = plain.iter().map(Value::to_string).collect::<String>();
    assert!(!all.contains("\"body\":") && !all.contains("\"map\":"));
    let with_map = dump(&stage.data(), &["--map"]);
    let (records, map) = with_map.split_at(plain.len());
    assert!(records == plain);
    let kinds = map.iter().map(|line| line["map"]["kind"].as_str());
    let mut kinds: Vec<&str> = kinds.map(|kind| kind.expect("a kind")).collect();
    kinds.dedup();
    assert_eq!(
        kinds,
        [
            "page",
            "permission",
            "user",
            "vhost",
            "exchange",
            "queue",
            "binding"
        ]
    );
    let secret = map
        .iter()
        .any(|line| line.to_string().contains("\"password_hash\""));
    assert!(!secret, "nothing that helps to find out a password");
    let page = &map[0]["map"];
    assert_eq!(
        (&page["queue"], &page["count"].is_u64()),
        (&json!(1), &true)
    );
}

#[test]
fn a_reader_may_stop_early_and_damage_is_told() {
    let stage = Stage::new();
    let broker = stage.start(&SMALL);
    ask(
        &mut connect(&broker),
        &["queue.declare queue=q durable=true"],
    );
    broker.kill().expect("killed");
    super::stage::flip(
        &stage.data().join("log/00000000000000000001.log"),
        4096 + 100,
    );
    let ran = store(&["dump", &text(&stage.data())]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let error = "00000000000000000001.log, offset 4160: record 1 is damaged";
    assert!(ran.stderr.contains(error), "{}", ran.stderr);
    assert!(
        ran.stdout.contains("\"name\":\"q\""),
        "the rest is printed: {}",
        ran.stdout
    );
}
