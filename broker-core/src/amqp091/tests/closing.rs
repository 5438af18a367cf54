//! Errors, their scope, and what is left of a channel or connection after them.

use amqp_codec::{FrameKind, basic, channel, put_frame, queue};

use super::support::{Client, broker, frame};
use crate::amqp091::connection::{Ending, State};

#[test]
fn a_failed_channel_ignores_everything_until_close_ok() {
    let (broker, _) = broker();
    let mut client = Client::with_channels(&broker, &[1]);
    client.declare("q");
    client.send(
        1,
        basic::Ack {
            delivery_tag: 1,
            multiple: false,
        },
    );
    client.publish(1, "q", b"lost");
    client.send(
        1,
        basic::Get {
            queue: "q",
            ..Default::default()
        },
    );
    assert_eq!(
        client.received(),
        ["1 channel.close PRECONDITION_FAILED - unknown delivery tag 1"]
    );
    client.send(1, channel::CloseOk {});
    client.send(1, channel::Open::default());
    client.send(
        1,
        basic::Get {
            queue: "q",
            ..Default::default()
        },
    );
    assert_eq!(
        client.received(),
        ["1 channel.open-ok", "1 basic.get-empty"]
    );
}

#[test]
fn both_sides_closing_a_channel_at_once_ends_it() {
    let (broker, _) = broker();
    let mut client = Client::with_channels(&broker, &[1]);
    client.send(
        1,
        basic::Ack {
            delivery_tag: 1,
            multiple: false,
        },
    );
    client.send(1, channel::Close::default());
    assert_eq!(
        client.received(),
        [
            "1 channel.close PRECONDITION_FAILED - unknown delivery tag 1",
            "1 channel.close-ok"
        ]
    );
    client.send(1, channel::CloseOk {});
    client.send(1, channel::Open::default());
    assert_eq!(client.received(), ["1 channel.open-ok"]);
}

#[test]
fn a_channel_fails_once_whatever_its_queues_refuse_afterwards() {
    let (broker, _) = broker();
    let mut other = Client::with_channels(&broker, &[1]);
    let mut client = Client::with_channels(&broker, &[1]);
    other.declare("q");
    other.send(
        1,
        basic::Consume {
            queue: "q",
            exclusive: true,
            ..Default::default()
        },
    );
    let mut bytes = frame(
        1,
        basic::Consume {
            queue: "q",
            ..Default::default()
        },
    );
    bytes.extend(frame(
        1,
        basic::Ack {
            delivery_tag: 1,
            multiple: false,
        },
    ));
    client.bytes(&bytes);
    let received = client.received();
    let closes = received
        .iter()
        .filter(|word| word.starts_with("1 channel.close"));
    assert_eq!(closes.count(), 1, "{received:?}");
    client.send(1, channel::CloseOk {});
    client.send(1, channel::CloseOk {});
    client.send(1, channel::Open::default());
    assert_eq!(client.received(), ["1 channel.open-ok"]);
}

#[test]
fn a_hard_error_closes_the_connection_and_waits_for_close_ok() {
    let (broker, _) = broker();
    let mut client = Client::with_channels(&broker, &[1]);
    client.send(7, basic::Qos::default());
    assert_eq!(
        client.received(),
        ["0 connection.close CHANNEL_ERROR - expected 'channel.open'"]
    );
    assert_eq!(client.machine.state(), State::Closing);
    client.send(1, basic::Qos::default());
    assert_eq!(client.received(), [""; 0]);
    client.send(0, amqp_codec::connection::CloseOk {});
    assert_eq!(client.machine.ending(), Some(Ending::Now));
}

#[test]
fn exclusive_queues_are_gone_before_close_ok() {
    let (broker, _) = broker();
    let mut client = Client::with_channels(&broker, &[1]);
    let exclusive = queue::Declare {
        queue: "mine",
        exclusive: true,
        ..Default::default()
    };
    client.send(1, exclusive);
    client.received();
    client.send(0, amqp_codec::connection::Close::default());
    assert_eq!(client.received(), ["0 connection.close-ok"]);
    let vhost = broker.vhost("/").expect("the default vhost");
    assert!(vhost.queue("mine").is_none());
    assert_eq!(broker.connection_count(), 0);
}

#[test]
fn content_frames_out_of_place_end_the_connection() {
    let mut header = Vec::new();
    put_frame(
        &mut header,
        FrameKind::Header,
        1,
        &[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0],
    );
    let mut body = Vec::new();
    put_frame(&mut body, FrameKind::Body, 1, b"x");
    let publish = frame(1, basic::Publish::default());
    let cases: [(&[&[u8]], &str); 4] = [
        (&[&header], "UNEXPECTED_FRAME"),
        (&[&body], "UNEXPECTED_FRAME"),
        (&[&publish, &body], "UNEXPECTED_FRAME"),
        (&[&publish, &header, &body, &body], "UNEXPECTED_FRAME"),
    ];
    for (frames, code) in cases {
        let (broker, _) = broker();
        let mut client = Client::with_channels(&broker, &[1]);
        for bytes in frames {
            client.offer(bytes);
        }
        let received = client.received().join(" ");
        assert!(
            received.contains("connection.close") && received.contains(code),
            "{received}"
        );
    }
}

#[test]
fn a_remark_is_one_line_whatever_the_client_calls_itself() {
    let (broker, _) = broker();
    let mut client = Client::with_channels(&broker, &[1]);
    client.send(
        1,
        queue::Declare {
            queue: "a\nERROR b",
            passive: true,
            ..Default::default()
        },
    );
    client.send(
        1,
        basic::Consume {
            queue: "a\nERROR b",
            ..Default::default()
        },
    );
    let remark = client
        .machine
        .take_remark()
        .expect("the channel was closed");
    assert!(!remark.contains('\n'), "{remark}");
}

#[test]
fn long_reply_texts_are_cut_and_say_so() {
    let (broker, _) = broker();
    let mut client = Client::with_channels(&broker, &[1]);
    let name = "q".repeat(255);
    client.send(
        1,
        basic::Consume {
            queue: &name,
            ..Default::default()
        },
    );
    let received = client.received().concat();
    assert!(received.ends_with("qqq..."), "{received}");
}

#[test]
fn an_operators_close_is_heard_apart_from_the_mail() {
    let (broker, _) = broker();
    let mut client = Client::with_channels(&broker, &[1]);
    let session = client
        .machine
        .session()
        .cloned()
        .expect("an open connection");
    broker.close_connection(&session, "because");
    assert_eq!(
        client.end_with_what_is_said(),
        ["0 connection.close CONNECTION_FORCED - because"]
    );
}

#[test]
fn a_body_larger_than_announced_is_a_frame_error() {
    let (broker, _) = broker();
    let mut client = Client::with_channels(&broker, &[1]);
    let mut bytes = frame(1, basic::Publish::default());
    put_frame(
        &mut bytes,
        FrameKind::Header,
        1,
        &[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0],
    );
    put_frame(&mut bytes, FrameKind::Body, 1, b"xyz");
    client.offer(&bytes);
    assert_eq!(
        client.received(),
        ["0 connection.close FRAME_ERROR - content body frame exceeds remaining content size"]
    );
}
