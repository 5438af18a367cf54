//! `store backup`: copies of serving brokers, and brokers started on them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::check::SMALL;
use super::history::{Held, History};
use super::load::Load;
use super::stage::{
    Stage, ask, assert_clean, back_up, bodies, check, connect, drain, dump, numbered, publish,
    publisher, show, start, stop, store, text, uri,
};
use crate::support::broker::{Broker, serve_on_free_ports};

/// Everything a broker holds.
#[track_caller]
fn held(broker: &Broker) -> Held {
    let queues = show(broker, "queues");
    let queues = queues.as_array().expect("a list").iter();
    let names = queues.map(|queue| queue["name"].as_str().expect("a name").to_owned());
    let mut peer = connect(broker);
    names
        .map(|name| {
            let messages = drain(&mut peer, &name);
            (name, bodies(&messages))
        })
        .collect()
}

/// Shows where two states differ without all of their bodies.
#[track_caller]
fn assert_same(found: &Held, expected: &Held) {
    let counts = |held: &Held| -> BTreeMap<String, usize> {
        let count = |(name, bodies): (&String, &Vec<String>)| (name.clone(), bodies.len());
        held.iter().map(count).collect()
    };
    assert_eq!(counts(found), counts(expected));
    for (name, expected) in expected {
        let differs = found[name].iter().zip(expected).position(|(a, b)| a != b);
        assert_eq!(differs, None, "queue {name}");
    }
}

#[test]
fn copies_made_under_load_are_what_there_was_at_their_records() {
    let stage = Stage::new();
    let broker = stage.start(&SMALL);
    let load = Load::begin(&broker, 0);
    let mut copies = Vec::new();
    for number in 0..4 {
        load.wait_for(500);
        let target = stage.path(&format!("copy-{number}"));
        let made = back_up(&broker, &target);
        assert_eq!(made["lost_pages"], 0);
        copies.push((target, made["lsn"].as_u64().expect("a record")));
    }
    load.wait_for(200);
    broker.kill().expect("killed");
    load.end();
    let records = dump(&stage.data(), &["--bodies"]);
    for (target, lsn) in copies {
        let report = assert_clean(&target);
        assert_eq!(report["warnings"], 0, "{report:#}");
        let expected = History::upto(lsn, &records).held();
        let copy = start(&target, &SMALL);
        assert_same(&held(&copy), &expected);
        stop(copy);
        assert_clean(&target);
    }
}

#[test]
fn a_backlog_on_pages_is_in_the_copy_also_when_it_goes_meanwhile() {
    let stage = Stage::new();
    let broker = stage.start(&SMALL);
    let mut peer = publisher(&broker);
    ask(&mut peer, &["queue.declare queue=q durable=true"]);
    let all = numbered("m", 6000, 1000);
    publish(&mut peer, "routing-key=q", &all, &mut 0).expect("confirmed");
    let target = stage.path("copy");
    let made = back_up(&broker, &target);
    assert!(made["pages"].as_u64() > Some(10), "{made}");
    ask(&mut connect(&broker), &["queue.purge queue=q"]);
    let report = assert_clean(&target);
    assert!(
        report["totals"]["messages_on_pages"].as_u64() > Some(3000),
        "{report:#}"
    );
    let copy = start(&target, &[]);
    let messages = drain(&mut connect(&copy), "q");
    assert!(bodies(&messages) == all, "{} messages", messages.len());
    stop(copy);
    stop(broker);
    assert_clean(&stage.data());
}

#[test]
fn a_copy_has_the_definitions_and_goes_on_by_itself() {
    let stage = Stage::new();
    let broker = stage.start(&[]);
    let mut peer = publisher(&broker);
    ask(
        &mut peer,
        &[
            "exchange.declare exchange=x type=topic durable=true",
            "queue.declare queue=q durable=true arguments={x-max-length: I 7}",
            "queue.bind queue=q exchange=x routing-key=a.#",
        ],
    );
    let one = ["one".to_owned()];
    publish(&mut peer, "exchange=x routing-key=a.b", &one, &mut 0).expect("confirmed");
    let target = stage.path("copy");
    back_up(&broker, &target);
    let before = show(&broker, "definitions");
    let copy = start(&target, &[]);
    assert_eq!(show(&copy, "definitions"), before);
    let two = ["two".to_owned()];
    let mut of_copy = publisher(&copy);
    publish(&mut of_copy, "exchange=x routing-key=a", &two, &mut 0).expect("confirmed");
    copy.kill().expect("killed");
    let copy = start(&target, &[]);
    let messages = drain(&mut connect(&copy), "q");
    assert_eq!(bodies(&messages), ["one", "two"]);
    let messages = drain(&mut connect(&broker), "q");
    assert_eq!(
        bodies(&messages),
        ["one"],
        "the broker itself has nothing of it"
    );
}

#[test]
fn a_copy_that_is_not_finished_does_not_open() {
    let stage = Stage::new();
    let broker = stage.start(&[]);
    ask(
        &mut connect(&broker),
        &["queue.declare queue=q durable=true"],
    );
    let target = stage.path("copy");
    back_up(&broker, &target);
    // As it is until the copy is complete.
    fs::write(target.join("node"), "").expect("written");
    let refusal = Broker::refuse(serve_on_free_ports(&target)).expect("an end");
    assert_eq!(refusal.code, Some(1), "{}", refusal.stderr);
    assert!(
        refusal.stderr.contains("copy/node is damaged"),
        "{}",
        refusal.stderr
    );
    assert_eq!(check(&target).0, Some(1));
}

/// A backup that is not made: exit code 2, and why.
#[track_caller]
fn refused(uri: &str, target: &Path, why: &str) {
    let ran = store(&["backup", "--uri", uri, &text(target)]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains(why), "{}", ran.stderr);
    assert!(!ran.stderr.contains("secret"), "{}", ran.stderr);
    assert_eq!(ran.stdout, "");
}

#[test]
fn where_a_copy_cannot_go_is_said() {
    let stage = Stage::new();
    let broker = stage.start(&[]);
    let guest = uri(&broker, "guest:guest");
    let full = stage.path("full");
    fs::create_dir(&full).expect("made");
    fs::write(full.join("file"), "").expect("written");
    refused(&guest, &full, "answered with 400: ");
    refused(&guest, &full, "full: exists and is not empty");
    refused(&guest, Path::new("copy"), "not an absolute path");
    refused(
        &guest,
        &stage.data().join("copy"),
        "inside the broker's data directory",
    );
    let wrong = uri(&broker, "guest:secret");
    refused(
        &wrong,
        &stage.path("copy"),
        "answered with 401: Login failed",
    );
    assert!(!stage.path("copy").exists());
    stop(broker);
    refused(
        &guest,
        &stage.path("copy"),
        "cannot ask http://guest@127.0.0.1:",
    );
}

#[test]
fn a_password_that_is_left_out_is_read_and_lines_are_for_people() {
    let stage = Stage::new();
    let broker = stage.start(&[]);
    let target = text(&stage.path("copy"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_leveret"));
    command.args(["store", "backup", "--uri", &uri(&broker, "guest"), &target]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("it runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut stdin, b"guest\n").expect("written");
    drop(stdin);
    let output = child.wait_with_output().expect("an end");
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).expect("text");
    let made = format!("{target}: the state at record 1; 1 log files, 0 pages, ");
    assert!(said.starts_with(&made), "{said}");
    let report: Value = assert_clean(&stage.path("copy"));
    assert_eq!(report["totals"]["users"], 1);
}
