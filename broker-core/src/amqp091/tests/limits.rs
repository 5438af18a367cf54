//! Limits at their bounds.

use amqp_codec::{FrameKind, basic, channel, put_frame};

use super::support::{Client, broker, broker_with, frame, limits};
use crate::broker::Limits;

#[test]
fn channels_are_counted_up_to_channel_max() {
    let (broker, _) = broker();
    let mut client = Client::connect(&broker);
    for number in 1..=2046_u16 {
        client.send(number, channel::Open::default());
    }
    client.send(60_000, channel::Open::default());
    assert_eq!(client.received().len(), 2047);
    client.send(2047, channel::Open::default());
    assert_eq!(
        client.received(),
        [
            "0 connection.close NOT_ALLOWED - number of channels opened (2047) has reached the \
          negotiated channel_max (2047)"
        ]
    );
}

#[test]
fn consumers_are_counted_up_to_their_maximum() {
    let (broker, _) = broker_with(Limits {
        consumer_max_per_channel: Some(2),
        ..limits()
    });
    let mut client = Client::with_channels(&broker, &[1]);
    client.declare("q");
    for _ in 0..2 {
        client.send(
            1,
            basic::Consume {
                queue: "q",
                ..Default::default()
            },
        );
    }
    assert_eq!(
        client.received(),
        ["1 basic.consume-ok", "1 basic.consume-ok"]
    );
    client.send(
        1,
        basic::Consume {
            queue: "q",
            ..Default::default()
        },
    );
    assert_eq!(
        client.received(),
        ["0 connection.close NOT_ALLOWED - reached maximum (2) of consumers per channel"]
    );
}

/// Publishes a body of `size` bytes in frames of 4 KiB.
fn publish_of(client: &mut Client, size: usize) -> Vec<String> {
    let mut bytes = frame(
        1,
        basic::Publish {
            routing_key: "none",
            ..Default::default()
        },
    );
    amqp_codec::put_content(&mut bytes, 1, &[0, 0], &vec![0; size], 4096);
    client.bytes(&bytes);
    client.send(1, basic::Qos::default());
    client.received()
}

#[test]
fn a_message_may_be_as_large_as_max_message_size() {
    let (broker, _) = broker_with(Limits {
        max_message_size: 10_000,
        ..limits()
    });
    for size in [9_999, 10_000] {
        let mut client = Client::with_channels(&broker, &[1]);
        assert_eq!(
            publish_of(&mut client, size),
            ["1 basic.qos-ok"],
            "{size} bytes"
        );
    }
    let mut client = Client::with_channels(&broker, &[1]);
    assert_eq!(
        publish_of(&mut client, 10_001),
        [
            "1 channel.close PRECONDITION_FAILED - message size 10001 is larger than configured \
          max size 10000"
        ]
    );
}

#[test]
fn a_payload_may_have_frame_max_bytes_and_no_more() {
    for (size, accepted) in [(4095, true), (4096, true), (4097, false)] {
        let (broker, _) = broker();
        let mut client = Client::with_channels(&broker, &[1]);
        let mut bytes = frame(1, basic::Publish::default());
        let size_bytes = (size as u64).to_be_bytes();
        let mut header = vec![0, 60, 0, 0];
        header.extend_from_slice(&size_bytes);
        header.extend_from_slice(&[0, 0]);
        put_frame(&mut bytes, FrameKind::Header, 1, &header);
        put_frame(&mut bytes, FrameKind::Body, 1, &vec![0; size]);
        client.offer(&bytes);
        let received = client.received();
        assert_eq!(received.is_empty(), accepted, "{size}: {received:?}");
    }
}

#[test]
fn connections_are_counted_up_to_their_maximum() {
    let (broker, _) = broker_with(Limits {
        max_connections: Some(1),
        ..limits()
    });
    let mut first = Client::connect(&broker);
    let mut second = Client::raw(&broker);
    assert_eq!(
        second.handshake().last().map(String::as_str),
        Some(
            "0 connection.close NOT_ALLOWED - connection refused: node connection limit (1) is reached"
        )
    );
    first.hang_up();
    Client::connect(&broker);
}

#[test]
fn a_small_max_message_size_holds_for_messages_in_one_piece() {
    let (broker, _) = broker_with(Limits {
        max_message_size: 100,
        ..limits()
    });
    for (size, refused) in [(99, false), (100, false), (101, true)] {
        let mut client = Client::with_channels(&broker, &[1]);
        let received = publish_of(&mut client, size).concat();
        assert_eq!(
            received.contains("channel.close"),
            refused,
            "{size}: {received}"
        );
    }
}
