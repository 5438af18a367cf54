//! Answers leave in the order of the commands, and durable ones when the log is durable.

use amqp_codec::{basic, channel, confirm, connection, put_content, queue};

use super::support::{Client, broker, frame};

fn durable(queue: &str) -> queue::Declare<'_> {
    queue::Declare {
        queue,
        durable: true,
        ..Default::default()
    }
}

#[test]
fn a_durable_declare_is_answered_when_the_log_is_durable() {
    let (broker, log) = broker();
    let mut client = Client::with_channels(&broker, &[1]);
    client.send(1, durable("q"));
    assert_eq!(client.received(), [""; 0]);
    log.sync();
    assert_eq!(client.received(), ["1 queue.declare-ok"]);
}

#[test]
fn later_answers_wait_behind_it_and_other_channels_do_not() {
    let (broker, log) = broker();
    let mut client = Client::with_channels(&broker, &[1, 2]);
    client.send(1, durable("q"));
    client.send(
        1,
        basic::Qos {
            prefetch_count: 5,
            ..Default::default()
        },
    );
    client.send(
        1,
        basic::Get {
            queue: "q",
            ..Default::default()
        },
    );
    client.send(
        2,
        basic::Qos {
            prefetch_count: 5,
            ..Default::default()
        },
    );
    assert_eq!(client.received(), ["2 basic.qos-ok"]);
    log.sync();
    assert_eq!(
        client.received(),
        ["1 queue.declare-ok", "1 basic.qos-ok", "1 basic.get-empty"]
    );
}

#[test]
fn deliveries_wait_behind_the_gate_and_confirms_do_not() {
    let (broker, log) = broker();
    let mut client = Client::with_channels(&broker, &[1]);
    client.declare("q");
    client.send(1, confirm::Select::default());
    let consume = basic::Consume {
        queue: "q",
        consumer_tag: "c",
        ..Default::default()
    };
    client.send(1, consume);
    assert_eq!(
        client.received(),
        ["1 confirm.select-ok", "1 basic.consume-ok"]
    );
    client.send(1, durable("other"));
    client.publish(1, "q", b"m");
    assert_eq!(client.received(), ["1 basic.ack 1 false"]);
    log.sync();
    assert_eq!(
        client.received(),
        ["1 queue.declare-ok", "1 basic.deliver c 1", "1 body m"]
    );
}

#[test]
fn a_message_that_nobody_acks_is_settled_in_the_turn_in_which_the_gate_lets_it_out() {
    let (broker, log) = broker();
    let mut client = Client::with_channels(&broker, &[1]);
    client.send(1, durable("q"));
    log.sync();
    let mut publish = frame(
        1,
        basic::Publish {
            routing_key: "q",
            ..Default::default()
        },
    );
    put_content(&mut publish, 1, &[0x10, 0, 2], b"m", 4096);
    client.bytes(&publish);
    client.send(1, durable("other"));
    let get = basic::Get {
        queue: "q",
        no_ack: true,
        ..Default::default()
    };
    client.send(1, get);
    assert_eq!(client.received(), ["1 queue.declare-ok"]);
    log.sync();
    assert_eq!(
        client.received().len(),
        3,
        "declare-ok, get-ok and the body"
    );
    let vhost = broker.vhost("/").unwrap();
    let queue = vhost.topology().queue("q").unwrap().handle.clone();
    assert_eq!(queue.counts().unacked, 0);
}

#[test]
fn an_error_closes_the_channel_after_the_answers_before_it() {
    let (broker, log) = broker();
    let mut client = Client::with_channels(&broker, &[1]);
    client.send(1, durable("q"));
    client.send(
        1,
        basic::Ack {
            delivery_tag: 9,
            multiple: false,
        },
    );
    assert_eq!(client.received(), [""; 0]);
    log.sync();
    assert_eq!(
        client.received(),
        [
            "1 queue.declare-ok",
            "1 channel.close PRECONDITION_FAILED - unknown delivery tag 9"
        ]
    );
}

#[test]
fn channel_close_ok_and_connection_close_ok_wait_for_what_was_asked_before() {
    let (broker, log) = broker();
    let mut client = Client::with_channels(&broker, &[1, 2]);
    client.send(1, durable("q"));
    client.send(1, channel::Close::default());
    client.send(2, durable("r"));
    client.send(0, connection::Close::default());
    assert_eq!(client.received(), [""; 0]);
    log.sync();
    assert_eq!(
        client.received(),
        [
            "1 queue.declare-ok",
            "1 channel.close-ok",
            "2 queue.declare-ok",
            "0 connection.close-ok"
        ]
    );
}

#[test]
fn a_connection_with_too_many_held_answers_is_not_read() {
    let (broker, log) = broker();
    let mut client = Client::with_channels(&broker, &[1]);
    client.send(1, durable("q"));
    let mut sent = 0;
    while client.machine.wants_input() {
        client.send(
            1,
            basic::Qos {
                prefetch_count: 5,
                ..Default::default()
            },
        );
        sent += 1;
        assert!(sent < 10_000, "the gate is bounded");
    }
    log.sync();
    assert_eq!(client.received().len(), sent + 1);
    assert!(client.machine.wants_input());
}

#[test]
fn deliveries_before_a_cancel_leave_before_its_answer_also_behind_the_log() {
    let (broker, log) = broker();
    let mut client = Client::with_channels(&broker, &[1]);
    client.declare("q");
    client.send(
        1,
        basic::Consume {
            queue: "q",
            consumer_tag: "c",
            ..Default::default()
        },
    );
    client.received();
    client.send(1, durable("other"));
    client.publish(1, "q", b"m");
    client.send(
        1,
        basic::Cancel {
            consumer_tag: "c",
            nowait: false,
        },
    );
    assert_eq!(client.received(), [""; 0]);
    log.sync();
    assert_eq!(
        client.received(),
        [
            "1 queue.declare-ok",
            "1 basic.deliver c 1",
            "1 body m",
            "1 basic.cancel-ok"
        ]
    );
}

#[test]
fn a_channel_closes_although_a_get_was_answered_behind_the_gate() {
    let (broker, log) = broker();
    let mut client = Client::with_channels(&broker, &[1]);
    client.send(1, durable("q"));
    client.send(
        1,
        basic::Get {
            queue: "q",
            ..Default::default()
        },
    );
    client.turn();
    client.send(1, channel::Close::default());
    client.turn();
    log.sync();
    assert_eq!(
        client.received(),
        [
            "1 queue.declare-ok",
            "1 basic.get-empty",
            "1 channel.close-ok"
        ]
    );
}

#[test]
fn a_message_got_behind_the_gate_of_a_failing_channel_goes_back() {
    let (broker, log) = broker();
    let mut other = Client::with_channels(&broker, &[1]);
    let mut client = Client::with_channels(&broker, &[1]);
    other.declare("q");
    other.publish(1, "q", b"m");
    client.send(1, durable("d"));
    client.send(
        1,
        basic::Get {
            queue: "q",
            ..Default::default()
        },
    );
    client.turn();
    client.send(
        1,
        basic::Ack {
            delivery_tag: 9,
            multiple: false,
        },
    );
    client.turn();
    log.sync();
    assert_eq!(
        client.received(),
        [
            "1 queue.declare-ok",
            "1 channel.close PRECONDITION_FAILED - unknown delivery tag 9"
        ]
    );
    other.send(
        1,
        basic::Get {
            queue: "q",
            no_ack: true,
            ..Default::default()
        },
    );
    assert_eq!(other.received(), ["1 basic.get-ok 1", "1 body m"]);
}
