//! Where options come from, which source counts, and what is said of a bad one.

use crate::stage::{Stage, refused};
use crate::support::broker::Broker;
use crate::support::client::{PROTOCOL_HEADER, Peer};
use crate::support::method::Field;

/// The heartbeat that the broker offers.
fn offered(broker: &Broker) -> u64 {
    let mut peer = Peer::connect(broker.amqp()).expect("a socket");
    peer.write(PROTOCOL_HEADER).expect("sent");
    peer.expect(0, "connection.start").expect("a start");
    let start_ok = "connection.start-ok mechanism=PLAIN response=\"\\0guest\\0guest\" locale=en_US";
    peer.send(0, start_ok).expect("sent");
    let tune = peer.expect(0, "connection.tune").expect("a tune");
    match tune.field("heartbeat") {
        Some(Field::Int(seconds)) => *seconds,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let stage = Stage::new();
    let file = stage.write("leveret.conf", "# comment\nheartbeat = 31\n");
    let with = |file_at: &[&str], variable: Option<&str>, flag: &[&str]| {
        let mut command = stage.serve();
        command.args(file_at).args(flag);
        if let Some(value) = variable {
            command.env("LEVERET_HEARTBEAT", value);
        }
        let broker = Broker::run(command).expect("the broker starts");
        let seconds = offered(&broker);
        assert!(broker.stop().expect("stopped").success());
        seconds
    };
    let config = ["--config", file.to_str().expect("UTF-8")];
    assert_eq!(with(&[], None, &[]), 60);
    assert_eq!(with(&config, None, &[]), 31);
    assert_eq!(with(&config, Some("32"), &[]), 32);
    assert_eq!(with(&config, Some("32"), &["--heartbeat", "33"]), 33);
    assert_eq!(with(&config, None, &["--heartbeat", "33"]), 33);
}

#[test]
fn the_environment_names_the_file_too() {
    let stage = Stage::new();
    let file = stage.write("leveret.conf", "heartbeat = 31\n");
    let mut command = stage.serve();
    command.env("LEVERET_CONFIG", file);
    let broker = Broker::run(command).expect("the broker starts");
    assert_eq!(offered(&broker), 31);
}

#[test]
fn the_default_user_comes_from_the_options_of_the_first_start() {
    let stage = Stage::new();
    for pass in ["first", "second"] {
        let mut command = stage.serve();
        command
            .args(["--default-user", "admin", "--default-vhost", "main"])
            .env("LEVERET_DEFAULT_PASS", pass);
        let broker = Broker::run(command).expect("the broker starts");
        let login = |password: &str| {
            let login = crate::support::client::Login {
                user: "admin".to_owned(),
                password: password.to_owned(),
                ..crate::support::client::Login::guest("main")
            };
            Peer::log_in(broker.amqp(), &login).is_ok()
        };
        assert!(login("first"));
        assert!(!login("second"));
        assert!(Peer::open(broker.amqp(), "/").is_err(), "there is no guest");
        assert!(broker.stop().expect("stopped").success());
    }
}

#[test]
fn a_bad_value_is_named_with_its_option_and_place() {
    let stage = Stage::new();
    let mut command = stage.serve();
    command.args(["--heartbeat", "often"]);
    let said = refused(command, 2).stderr;
    assert!(
        said.contains("error: --heartbeat: bad value \"often\" for heartbeat: "),
        "{said}"
    );
    let mut command = stage.serve();
    command.env("LEVERET_FRAME_MAX", "12");
    let said = refused(command, 2).stderr;
    assert!(
        said.contains("error: LEVERET_FRAME_MAX: bad value \"12\" for frame_max: "),
        "{said}"
    );
    assert!(!stage.data().exists(), "nothing was begun");
}

#[test]
fn every_fault_of_a_file_is_named_with_its_line() {
    let stage = Stage::new();
    let file = stage.write(
        "leveret.conf",
        "heartbeat = often\nchannel_max = 5\nhartbeat = 5\n",
    );
    let mut command = stage.serve();
    command.arg("--config").arg(&file);
    let said = refused(command, 2).stderr;
    let file = file.display();
    let value = format!("error: {file}:1: bad value \"often\" for heartbeat: ");
    let key = format!("error: {file}:3: unknown key hartbeat; the nearest known key is heartbeat");
    assert!(said.contains(&value) && said.contains(&key), "{said}");
}

#[test]
fn a_missing_file_is_named() {
    let stage = Stage::new();
    let file = stage.path("none.conf");
    let mut command = stage.serve();
    command.arg("--config").arg(&file);
    let said = refused(command, 2).stderr;
    let error = format!(
        "error: cannot read the configuration file {}: ",
        file.display()
    );
    assert!(said.contains(&error), "{said}");
}

#[test]
fn a_password_is_never_repeated() {
    let stage = Stage::new();
    let file = stage.write(
        "leveret.conf",
        "default_pass = very-secret\nheartbeat = x\n",
    );
    let mut command = stage.serve();
    command.arg("--config").arg(&file);
    let said = refused(command, 2).stderr;
    assert!(!said.contains("very-secret"), "{said}");
}
