//! A broker that starts on a damaged directory: it says what is damaged and where, and serves the
//! rest.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::check::{SMALL, filled};
use super::stage::{
    PATIENCE, Stage, ask, bodies, check, connect, drain, flip, numbered, publish, publisher, show,
    stop, text,
};
use crate::support::broker::Broker;
use crate::support::http;

/// Messages that are published at a time, and confirmed before the next.
const AT_ONCE: usize = 10;

fn alarms(broker: &Broker) -> http::Response {
    let path = "/api/health/checks/local-alarms";
    http::request(broker.http(), ("guest", "guest"), "GET", path, "").expect("an answer")
}

/// The alarm is off, and nothing was logged that would raise it.
#[track_caller]
fn assert_calm(broker: &Broker) {
    assert_eq!(alarms(broker).status, 200);
    let node = &show(broker, "nodes")[0];
    assert_eq!(
        (
            &node["damage_alarm"],
            &node["damage_count"],
            &node["damage"]
        ),
        (&json!(false), &json!(0), &json!([]))
    );
    assert!(!broker.start_log().contains("damage: "), "{}", broker.log());
}

/// The one place that the broker names, over HTTP and in its log: file and offset.
#[track_caller]
fn alarmed(broker: &Broker) -> (PathBuf, u64) {
    let deadline = Instant::now() + PATIENCE;
    while alarms(broker).status == 200 {
        assert!(Instant::now() < deadline, "no alarm: {}", broker.log());
        std::thread::park_timeout(Duration::from_millis(10));
    }
    let answer = alarms(broker);
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["alarms"][0]["resource"], "damage");
    let node = &show(broker, "nodes")[0];
    assert_eq!(
        (&node["damage_alarm"], &node["damage_count"]),
        (&json!(true), &json!(1)),
        "{node:#}"
    );
    let place = &node["damage"][0];
    let file = place["file"].as_str().expect("a file");
    let offset = place["offset"].as_u64().expect("an offset");
    let log = broker.log_with("damage: ");
    let line = log.lines().find(|line| line.contains("damage: "));
    let line = line.expect("a line");
    assert!(line.contains("ERROR") && line.contains(file), "{line}");
    assert!(line.contains(&format!("offset={offset}")), "{line}");
    (file.into(), offset)
}

/// Where a text stands in a file of the log.
#[track_caller]
fn find(dir: &Path, wanted: &str) -> (PathBuf, usize) {
    for entry in fs::read_dir(dir.join("log")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let bytes = fs::read(&path).expect("read");
        let mut windows = bytes.windows(wanted.len());
        if let Some(at) = windows.position(|window| window == wanted.as_bytes()) {
            return (path, at);
        }
    }
    panic!("{wanted} is nowhere in the log");
}

#[test]
fn a_damaged_record_of_the_log_is_named_and_the_others_are_served() {
    let stage = Stage::new();
    let broker = stage.start(&[]);
    let mut peer = publisher(&broker);
    ask(&mut peer, &["queue.declare queue=q durable=true"]);
    let sent = numbered("m", 60, 100);
    let mut done = 0;
    for some in sent.chunks(AT_ONCE) {
        publish(&mut peer, "routing-key=q", some, &mut done).expect("confirmed");
    }
    assert_calm(&broker);
    broker.kill().expect("killed");
    let (path, at) = find(&stage.data(), "m-25 ");
    flip(&path, at + 3);

    let (code, report) = check(&stage.data());
    assert_eq!(code, Some(1), "{report:#}");
    let broker = stage.start(&[]);
    let (file, offset) = alarmed(&broker);
    assert_eq!(file, path);
    let at = at as u64;
    assert!(offset < at && at - offset < 4096, "{offset} for {at}");
    assert_eq!(report["findings"][0]["offset"], offset);
    let served = bodies(&drain(&mut connect(&broker), "q"));
    let lost: Vec<&String> = sent.iter().filter(|body| !served.contains(body)).collect();
    assert!(lost.contains(&&sent[25]), "{lost:?}");
    assert!(lost.len() <= AT_ONCE, "{lost:?}");
    let rest: Vec<&String> = sent.iter().filter(|body| !lost.contains(body)).collect();
    assert_eq!(
        served.iter().collect::<Vec<_>>(),
        rest,
        "in order, and nothing else"
    );
    stop(broker);
    let broker = stage.start(&[]);
    assert_calm(&broker);
    stop(broker);
}

#[test]
fn a_damaged_page_is_named_when_it_is_read_and_the_others_are_served() {
    let stage = Stage::new();
    filled(&stage);
    let (_, report) = check(&stage.data());
    let files = report["files"].as_array().expect("a list");
    let used = |file: &&Value| file["kind"] == "segment" && file["pages"].as_u64() > Some(0);
    let segment = files.iter().find(used).expect("a segment");
    let path = stage.data().join(segment["file"].as_str().expect("a name"));
    let bytes = fs::read(&path).expect("read");
    let mut pages = (4096..bytes.len()).filter(|at| bytes[*at..].starts_with(b"LVPG"));
    let page = pages.next_back().expect("a page");
    flip(&path, page + 100);
    let (_, report) = check(&stage.data());
    let what = report["findings"][0]["what"].as_str().expect("text");

    let broker = stage.start(&SMALL);
    assert_calm(&broker);
    let served = bodies(&drain(&mut connect(&broker), "a"));
    let (file, offset) = alarmed(&broker);
    assert_eq!(text(&file), text(&path));
    assert_eq!(offset, page as u64);
    let lost = 1500 - served.len();
    assert!(
        lost > 0 && what.contains(&format!("{lost} messages")),
        "{lost}: {what}"
    );
    let sent = numbered("m", 1500, 1000);
    let rest: Vec<&String> = sent.iter().filter(|body| served.contains(body)).collect();
    assert_eq!(served.len(), rest.len(), "nothing else");
    assert!(served.iter().eq(rest), "in order");
    stop(broker);
    let broker = stage.start(&SMALL);
    assert_calm(&broker);
    stop(broker);
}
