//! How the broker ends.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::stage::{Stage, call, eventually, get, open};
use crate::support::broker::Broker;
use crate::support::client::{Arrival, Peer};

const CLOSE: &str = "connection.close reply-code=320 \
    reply-text=\"CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'\" \
    class-id=0 method-id=0";

/// Takes the broker's close, answers it, and sees the socket end.
#[track_caller]
fn assert_closed(peer: &mut Peer) {
    peer.expect(0, CLOSE).expect("a close");
    peer.send(0, "connection.close-ok").expect("sent");
    let came = peer.next(0, Instant::now() + Duration::from_secs(5));
    assert_eq!(came, Arrival::Eof);
}

#[track_caller]
fn assert_stops_cleanly(signal: Signal, name: &str) {
    let stage = Stage::new();
    let mut broker = stage.start();
    let mut peers = [open(&broker), open(&broker)];
    peers[0]
        .call(1, "queue.declare queue=q durable=true", "queue.declare-ok")
        .expect("a queue");
    peers[1]
        .call(1, "basic.consume queue=q", "basic.consume-ok")
        .expect("a consumer");
    broker.signal(signal).expect("signalled");
    peers.iter_mut().for_each(assert_closed);
    let status = broker.wait().expect("an end");
    assert_eq!(status.code(), Some(0), "{}", broker.log());
    let log = broker.log();
    assert!(
        log.contains(&format!("stopping signal=\"{name}\"")),
        "{log}"
    );
    assert!(log.ends_with("stopped\n"), "{log}");
    let again = stage.start();
    let log = again.start_log();
    let opened = log
        .lines()
        .find(|line| line.contains("store opened"))
        .unwrap_or_default();
    assert!(
        opened.contains("records=0 ") && opened.contains("clean=true"),
        "{log}"
    );
    assert_eq!(get(&again, "queues/%2F/q")["name"], "q");
}

#[test]
fn sigterm_closes_connections_and_leaves_nothing_to_replay() {
    assert_stops_cleanly(Signal::TERM, "SIGTERM");
}

#[test]
fn sigint_does_the_same() {
    assert_stops_cleanly(Signal::INT, "SIGINT");
}

#[test]
fn sighup_is_ignored() {
    let stage = Stage::new();
    let mut broker = stage.start();
    let mut peer = open(&broker);
    broker.signal(Signal::HUP).expect("signalled");
    eventually("the log says so", || {
        broker.log().contains("SIGHUP ignored")
    });
    peer.call(1, "queue.declare queue=q", "queue.declare-ok")
        .expect("a queue");
    assert!(broker.end(Signal::TERM).expect("stopped").success());
}

#[test]
fn a_kill_is_not_taken_for_a_clean_stop() {
    let stage = Stage::new();
    let broker = stage.start();
    broker.kill().expect("killed");
    let log = stage.start().start_log();
    let opened = log
        .lines()
        .find(|line| line.contains("store opened"))
        .unwrap_or_default();
    assert!(opened.contains("clean=false"), "{log}");
}

/// Stops a broker that has such a client, and says how long that took.
fn time_to_stop(prepare: impl FnOnce(&Broker) -> Peer) -> (Duration, String) {
    let stage = Stage::new();
    let mut broker = stage.start();
    let mut peer = prepare(&broker);
    let began = Instant::now();
    let status = broker.end(Signal::TERM).expect("an end");
    let took = began.elapsed();
    assert_eq!(status.code(), Some(0), "{}", broker.log());
    peer.hang_up();
    (took, broker.log())
}

#[test]
fn a_client_that_never_answers_its_close_holds_the_stop_up_for_six_seconds_at_most() {
    let (took, log) = time_to_stop(open);
    assert!(took <= Duration::from_secs(6), "{took:?}");
    assert!(log.contains("without close-ok"), "{log}");
}

#[test]
fn a_signal_that_comes_with_the_address_line_is_a_stop_like_any_other() {
    for _ in 0..5 {
        let stage = Stage::new();
        let file = stage.path("ready");
        let mut command = stage.serve();
        command.arg("--ready-file").arg(&file);
        let mut broker = Broker::run(command).expect("the broker starts");
        let status = broker.end(Signal::TERM).expect("an end");
        assert_eq!(status.code(), Some(0), "{}", broker.log());
        assert!(!file.exists(), "{}", broker.log());
    }
}

/// More than fits at once into the buffers of both sockets stands in front of the close.
#[test]
fn a_client_that_reads_late_still_gets_everything_up_to_its_close() {
    let stage = Stage::new();
    let mut broker = stage.start();
    let mut peer = open(&broker);
    backlog(&broker, &mut peer);
    broker.signal(Signal::TERM).expect("signalled");
    eventually("it is stopping", || {
        broker.log().contains("stopping signal")
    });
    let deadline = Instant::now() + Duration::from_secs(10);
    let came = loop {
        match peer.next(1, deadline) {
            Arrival::Frame(_) => {}
            other => break other,
        }
    };
    assert!(
        matches!(came, Arrival::Closing(_)),
        "{came:?}\n{}",
        broker.log()
    );
    peer.send(0, "connection.close-ok").expect("sent");
    assert_eq!(broker.wait().expect("an end").code(), Some(0));
}

/// Makes the client a consumer of 12 MB that it has not read.
fn backlog(broker: &Broker, peer: &mut Peer) {
    peer.call(1, "queue.declare queue=q", "queue.declare-ok")
        .expect("a queue");
    for _ in 0..64 {
        let publish = "basic.publish routing-key=q | content body=\"x\"*200000";
        peer.send(1, publish).expect("sent");
    }
    peer.send(1, "basic.consume queue=q no-ack=true")
        .expect("sent");
    eventually("it is a consumer", || {
        let consumers = get(broker, "consumers");
        consumers.as_array().is_some_and(|all| all.len() == 1)
    });
}

#[test]
fn a_client_that_has_not_logged_in_does_not_hold_the_stop_up() {
    let (took, _) = time_to_stop(|broker| Peer::connect(broker.amqp()).expect("a socket"));
    assert!(took <= Duration::from_secs(3), "{took:?}");
}

#[test]
fn a_client_that_does_not_read_does_not_hold_the_stop_up_for_longer() {
    let (took, _) = time_to_stop(|broker| {
        let mut peer = open(broker);
        backlog(broker, &mut peer);
        peer
    });
    assert!(took <= Duration::from_secs(6), "{took:?}");
}

#[test]
fn a_listening_http_client_does_not_hold_the_stop_up() {
    let stage = Stage::new();
    let mut broker = stage.start();
    let idle = std::net::TcpStream::connect(broker.http()).expect("a socket");
    assert_eq!(call(&broker, "GET", "overview", "").status, 200);
    let began = Instant::now();
    assert_eq!(broker.end(Signal::TERM).expect("an end").code(), Some(0));
    assert!(
        began.elapsed() <= Duration::from_secs(6),
        "{:?}",
        began.elapsed()
    );
    drop(idle);
}
