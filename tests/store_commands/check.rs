//! `store check` on directories that brokers left in order, or have open.

use std::fs;

use super::load::Load;
use super::stage::{
    Stage, ask, assert_clean, connect, contents, drain, numbered, publish, publisher, stop, store,
    text,
};

/// Fewer bytes than the messages of a test take.
pub(crate) const SMALL: [&str; 2] = ["--resident-bytes", "1MiB"];

/// A directory with definitions, messages in memory and on pages, and settled ones.
pub(crate) fn filled(stage: &Stage) {
    let broker = stage.start(&SMALL);
    let mut peer = publisher(&broker);
    ask(
        &mut peer,
        &[
            "exchange.declare exchange=fan type=fanout durable=true",
            "queue.declare queue=a durable=true",
            "queue.declare queue=b durable=true",
            "queue.declare queue=gone durable=true",
            "queue.bind queue=a exchange=fan",
            "queue.bind queue=b exchange=fan",
        ],
    );
    let mut done = 0;
    let bodies = numbered("m", 1500, 1000);
    publish(&mut peer, "exchange=fan", &bodies, &mut done).expect("confirmed");
    publish(&mut peer, "routing-key=gone", &bodies[..200], &mut done).expect("confirmed");
    let mut other = connect(&broker);
    ask(&mut other, &["queue.delete queue=gone"]);
    assert_eq!(drain(&mut other, "b").len(), 1500);
    stop(broker);
}

#[test]
fn a_stopped_brokers_directory_is_in_order_and_every_file_is_told() {
    let stage = Stage::new();
    filled(&stage);
    let before = contents(&stage.data());
    let report = assert_clean(&stage.data());
    assert!(before == contents(&stage.data()), "something was changed");
    assert_eq!(report["findings"], serde_json::json!([]));
    let files = report["files"].as_array().expect("a list");
    let kind = |wanted: &str| files.iter().any(|file| file["kind"] == wanted);
    for wanted in ["node", "log", "catalogue", "snapshot", "segment"] {
        assert!(kind(wanted), "{wanted}: {report:#}");
    }
    assert_eq!(report["totals"]["queues"], 2);
    assert_eq!(report["totals"]["messages_on_pages"], 1500);
    let lines = store(&["check", &text(&stage.data())]);
    assert_eq!(lines.code, Some(0));
    for file in files {
        let name = file["file"].as_str().expect("a name");
        let line = lines.stdout.lines().find(|line| line.starts_with(name));
        assert!(line.is_some(), "{name}: {}", lines.stdout);
    }
}

#[test]
fn a_killed_brokers_directory_is_in_order_at_whatever_moment() {
    let stage = Stage::new();
    for round in 0..3 {
        let broker = stage.start(&SMALL);
        let load = Load::begin(&broker, round);
        load.wait_for(400);
        broker.kill().expect("killed");
        load.end();
        assert_clean(&stage.data());
    }
}

#[test]
fn a_directory_in_use_is_refused() {
    let stage = Stage::new();
    let broker = stage.start(&[]);
    for command in ["check", "dump"] {
        let ran = store(&[command, &text(&stage.data())]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        let error = format!(
            "error: data directory {} is in use by another process\n",
            text(&stage.data())
        );
        assert_eq!(ran.stderr, error);
        assert_eq!(ran.stdout, "");
    }
    let ran = store(&["check", "--json", &text(&stage.data())]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stdout.contains("not_checked"), "{}", ran.stdout);
    ask(
        &mut connect(&broker),
        &["queue.declare queue=q durable=true"],
    );
    stop(broker);
    assert_clean(&stage.data());
}

#[test]
fn what_is_no_data_directory_is_refused() {
    let stage = Stage::new();
    fs::create_dir(stage.data()).expect("made");
    for (path, why) in [("data", "is not a data directory"), ("no", "No such file")] {
        for command in ["check", "dump"] {
            let ran = store(&[command, &text(&stage.path(path))]);
            assert_eq!(ran.code, Some(2), "{ran:?}");
            assert!(ran.stderr.contains(why), "{ran:?}");
        }
    }
    assert_eq!(fs::read_dir(stage.data()).expect("there").count(), 0);
}
