//! The alarms of memory and disk: who publishes is blocked, who consumes goes on.

use std::time::{Duration, Instant};

use crate::stage::{PATIENCE, Stage, assert_silent, call, eventually, get, open};
use crate::support::broker::Broker;
use crate::support::client::{Arrival, Login, Peer};
use crate::support::value::Table;

const BLOCKED: &str = "connection.blocked reason=\"low on memory\"";
const PUBLISH: &str = "basic.publish routing-key=q | content body=m";

/// A broker whose alarm is on from the start.
fn alarmed(stage: &Stage) -> Broker {
    let mut command = stage.serve();
    command.env("LEVERET_MEMORY_HIGH_WATERMARK", "1MiB");
    let broker = Broker::run(command).expect("the broker starts");
    eventually("the alarm is on", || is_alarmed(&broker));
    broker
}

fn is_alarmed(broker: &Broker) -> bool {
    call(broker, "GET", "health/checks/local-alarms", "").status == 503
}

fn messages(broker: &Broker) -> serde_json::Value {
    get(broker, "queues/%2F/q")["messages"].clone()
}

/// `guest` as a client that has not named this capability.
fn without_capabilities(heartbeat: u64) -> Login {
    Login {
        properties: Table::new(),
        heartbeat,
        ..Login::guest("/")
    }
}

#[test]
fn a_publisher_is_told_and_its_message_is_not_taken() {
    let stage = Stage::new();
    let broker = alarmed(&stage);
    let mut peer = open(&broker);
    peer.call(1, "queue.declare queue=q", "queue.declare-ok")
        .expect("a queue");
    assert_silent(&mut peer, 0);
    peer.send(1, PUBLISH).expect("sent");
    peer.expect(0, BLOCKED).expect("the notice");
    peer.send(1, PUBLISH).expect("sent");
    peer.send(1, "queue.declare queue=q passive=true")
        .expect("sent");
    assert_silent(&mut peer, 0);
    assert_silent(&mut peer, 1);
    assert_eq!(messages(&broker), 0);
    let alarm = "memory alarm: publishers are blocked";
    let log = broker.log_with(alarm);
    assert!(log.contains(alarm), "{log}");
}

#[test]
fn a_publisher_that_cannot_be_told_is_not_told_and_not_read() {
    let stage = Stage::new();
    let broker = alarmed(&stage);
    let mut peer = Peer::log_in(broker.amqp(), &without_capabilities(0)).expect("a connection");
    peer.call(1, "channel.open", "channel.open-ok")
        .expect("a channel");
    peer.call(1, "queue.declare queue=q", "queue.declare-ok")
        .expect("a queue");
    peer.send(1, PUBLISH).expect("sent");
    peer.send(1, "queue.declare queue=q passive=true")
        .expect("sent");
    assert_silent(&mut peer, 0);
    assert_silent(&mut peer, 1);
    assert_eq!(messages(&broker), 0);
}

#[test]
fn a_disk_with_too_little_space_blocks_publishers_too() {
    let stage = Stage::new();
    let mut command = stage.serve();
    command.args(["--disk-free-limit", &(u64::MAX >> 1).to_string()]);
    let broker = Broker::run(command).expect("the broker starts");
    eventually("the alarm is on", || {
        get(&broker, "nodes")[0]["disk_free_alarm"] == true
    });
    let mut peer = open(&broker);
    peer.call(1, "queue.declare queue=q durable=true", "queue.declare-ok")
        .expect("a queue");
    peer.send(1, PUBLISH).expect("sent");
    peer.expect(0, "connection.blocked reason=\"low on disk\"")
        .expect("the notice");
    assert_silent(&mut peer, 1);
    assert_eq!(messages(&broker), 0);
    let alarm = "disk alarm: publishers are blocked";
    let log = broker.log_with(alarm);
    assert!(log.contains(alarm), "{log}");
}

#[test]
fn who_does_not_publish_works_on() {
    let stage = Stage::new();
    let broker = alarmed(&stage);
    let mut blocked = open(&broker);
    blocked.send(1, PUBLISH).expect("sent");
    blocked.expect(0, BLOCKED).expect("the notice");
    let mut peer = open(&broker);
    for (question, answer) in [
        ("queue.declare queue=q durable=true", "queue.declare-ok"),
        ("queue.bind queue=q exchange=amq.fanout", "queue.bind-ok"),
        ("basic.get queue=q", "basic.get-empty"),
        ("basic.consume queue=q consumer-tag=c", "basic.consume-ok"),
        ("basic.cancel consumer-tag=c", "basic.cancel-ok"),
        ("queue.delete queue=q", "queue.delete-ok"),
    ] {
        peer.call(1, question, answer).expect(question);
    }
    assert_silent(&mut peer, 0);
}

/// How many messages of a MiB are more than the watermark of the test allows.
const TOO_MANY: usize = 100;
const LARGE: &str = "basic.publish routing-key=large | content body=\"x\"*1048576";

/// Publishes until it is told that it is blocked; returns how many messages were confirmed. One
/// more waits.
fn publish_until_blocked(broker: &Broker, publisher: &mut Peer) -> usize {
    for confirmed in 0..=TOO_MANY {
        if confirmed == TOO_MANY {
            eventually("the alarm is on", || is_alarmed(broker));
        }
        publisher.send(1, LARGE).expect("sent");
        match publisher.next_anywhere(Instant::now() + PATIENCE) {
            Arrival::Frame(frame) if frame.channel == 1 => {}
            Arrival::Frame(frame) => {
                publisher.put_back(frame);
                publisher.expect(0, BLOCKED).expect("the notice");
                return confirmed;
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("{TOO_MANY} MiB and one more were taken");
}

fn take_large(consumer: &mut Peer) {
    consumer.expect(1, "basic.deliver").expect("a delivery");
    let content = consumer
        .content(1, Instant::now() + PATIENCE)
        .expect("its content");
    assert_eq!(content.body.len(), 1 << 20);
}

#[test]
fn consumers_get_their_deliveries_and_publishers_go_on_when_memory_is_back() {
    let stage = Stage::new();
    let mut command = stage.serve();
    command.args([
        "--memory-high-watermark",
        "96MiB",
        "--resident-bytes",
        "1GiB",
    ]);
    let broker = Broker::run(command).expect("the broker starts");
    let mut publisher = open(&broker);
    for (question, answer) in [
        ("queue.declare queue=large", "queue.declare-ok"),
        ("confirm.select", "confirm.select-ok"),
    ] {
        publisher.call(1, question, answer).expect(question);
    }
    let confirmed = publish_until_blocked(&broker, &mut publisher);
    let mut consumer = open(&broker);
    consumer
        .call(
            1,
            "basic.consume queue=large no-ack=true",
            "basic.consume-ok",
        )
        .expect("a consumer");
    (0..confirmed).for_each(|_| take_large(&mut consumer));
    publisher
        .expect(0, "connection.unblocked within 20s")
        .expect("the end of it");
    publisher
        .expect(1, "basic.ack")
        .expect("the confirm of what waited");
    take_large(&mut consumer);
}

#[test]
fn a_blocked_connection_may_be_silent_and_still_gets_heartbeats() {
    let stage = Stage::new();
    let broker = alarmed(&stage);
    let login = Login {
        heartbeat: 1,
        ..Login::guest("/")
    };
    let mut peer = Peer::log_in(broker.amqp(), &login).expect("a connection");
    peer.call(1, "channel.open", "channel.open-ok")
        .expect("a channel");
    peer.send(1, PUBLISH).expect("sent");
    let until = Instant::now() + Duration::from_secs(4);
    let (mut heartbeats, mut notices) = (0, 0);
    loop {
        match peer.next(0, until) {
            Arrival::Frame(frame) if frame.kind == 8 => heartbeats += 1,
            Arrival::Frame(_) => notices += 1,
            Arrival::Silence => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(notices, 1, "connection.blocked, and nothing else");
    assert!(heartbeats >= 3, "{heartbeats}");
}

#[test]
fn the_alarm_is_shown_and_a_stop_reaches_blocked_connections() {
    let stage = Stage::new();
    let mut broker = alarmed(&stage);
    let mut peer = open(&broker);
    peer.send(1, PUBLISH).expect("sent");
    peer.expect(0, BLOCKED).expect("the notice");
    assert_eq!(get(&broker, "nodes")[0]["mem_alarm"], true);
    eventually("the connection is shown as blocked", || {
        get(&broker, "connections")[0]["state"] == "blocked"
    });
    broker
        .signal(rustix::process::Signal::TERM)
        .expect("signalled");
    peer.expect(0, "connection.close reply-code=320")
        .expect("a close");
    peer.hang_up();
    let began = Instant::now();
    assert_eq!(broker.wait().expect("an end").code(), Some(0));
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
}
