//! Where the broker listens, and how it says so.

use std::fs;
use std::net::{SocketAddr, TcpListener};

use serde_json::{Value, json};

use crate::stage::{Stage, get, open, refused};
use crate::support::broker::{Broker, serve};

#[test]
fn one_line_on_standard_output_names_the_addresses() {
    let stage = Stage::new();
    let mut broker = stage.start();
    let line: Value = serde_json::from_str(broker.line()).expect("JSON");
    assert!(broker.line().ends_with('\n'));
    assert_eq!(line["amqp"], json!(broker.amqp()));
    assert_eq!(line["amqp_listeners"], json!([broker.amqp()]));
    assert_eq!(line["http"], json!(broker.http()));
    assert_eq!(line["pid"], broker.pid());
    assert_eq!(line["version"], env!("CARGO_PKG_VERSION"));
    assert_ne!(broker.amqp().port(), 0);
    assert_ne!(broker.http().port(), 0);
    open(&broker);
    assert_eq!(get(&broker, "overview")["node"], line["node"]);
    assert!(
        broker
            .end(rustix::process::Signal::TERM)
            .expect("stopped")
            .success()
    );
    assert_eq!(
        broker.more_lines(),
        "",
        "nothing else is on standard output"
    );
}

#[test]
fn the_ready_file_has_the_same_line_and_goes_with_the_broker() {
    let stage = Stage::new();
    let file = stage.path("ready");
    let mut command = stage.serve();
    command.arg("--ready-file").arg(&file);
    let broker = Broker::run(command).expect("the broker starts");
    let mut said = String::new();
    crate::stage::eventually("the ready file is written", || {
        said = fs::read_to_string(&file).unwrap_or_default();
        said.ends_with('\n')
    });
    assert_eq!(said, broker.line());
    assert!(broker.stop().expect("stopped").success());
    assert!(!file.exists());
}

#[test]
fn a_ready_file_that_cannot_be_written_stops_the_start_and_is_named() {
    let stage = Stage::new();
    let file = stage.path("no/such/folder");
    let mut command = stage.serve();
    command.arg("--ready-file").arg(&file);
    let refusal = refused(command, 1);
    let error = format!("error: cannot write {}: ", file.display());
    assert!(refusal.stderr.contains(&error), "{}", refusal.stderr);
}

#[test]
fn several_listeners_all_take_connections() {
    let stage = Stage::new();
    let mut command = serve();
    command
        .args([
            "--amqp-bind",
            "127.0.0.1:0,127.0.0.1:0",
            "--http-bind",
            "off",
        ])
        .arg("--data-dir")
        .arg(stage.data());
    let broker = Broker::run(command).expect("the broker starts");
    let line: Value = serde_json::from_str(broker.line()).expect("JSON");
    let listeners: Vec<SocketAddr> = line["amqp_listeners"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|address| address.as_str().expect("text").parse().expect("an address"))
        .collect();
    assert_eq!(listeners.len(), 2);
    assert_ne!(listeners[0], listeners[1]);
    for address in listeners {
        crate::support::client::Peer::open(address, "/").expect("a connection");
    }
}

#[test]
fn the_management_api_can_be_turned_off() {
    let stage = Stage::new();
    let mut command = serve();
    command
        .args(["--amqp-bind", "127.0.0.1:0", "--http-bind", "off"])
        .arg("--data-dir")
        .arg(stage.data());
    let broker = Broker::run(command).expect("the broker starts");
    let line: Value = serde_json::from_str(broker.line()).expect("JSON");
    assert_eq!(line["http"], Value::Null);
    open(&broker);
    assert!(broker.stop().expect("stopped").success());
}

#[test]
fn an_address_in_use_is_named_with_its_option() {
    for (flag, option, other) in [
        ("--amqp-bind", "amqp_bind", "--http-bind"),
        ("--http-bind", "http_bind", "--amqp-bind"),
    ] {
        let stage = Stage::new();
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("its address").to_string();
        let mut command = serve();
        command
            .args([flag, &address, other, "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(stage.data());
        let refusal = refused(command, 1);
        let error = format!("error: cannot listen on {address} ({option}): ");
        let last = refusal.stderr.lines().last().unwrap_or_default();
        assert!(
            last.starts_with(&error) && last.contains("in use"),
            "{last}"
        );
    }
}
