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
