//! Deliveries between the inbox and the client: what was sent and what was not.

use amqp_codec::{basic, channel, queue};

use super::support::{Client, broker};

fn consume<'a>(queue: &'a str, no_ack: bool) -> basic::Consume<'a> {
    basic::Consume {
        queue,
        consumer_tag: "c",
        no_ack,
        ..Default::default()
    }
}

fn get(queue: &str) -> basic::Get<'_> {
    basic::Get {
        queue,
        no_ack: true,
        ..Default::default()
    }
}

#[test]
fn consume_ok_comes_before_the_first_delivery() {
    let (broker, _) = broker();
    let mut client = Client::with_channels(&broker, &[1]);
    client.declare("q");
    client.publish(1, "q", b"a");
    client.publish(1, "q", b"b");
    client.send(1, consume("q", false));
    assert_eq!(
        client.received(),
        [
            "1 basic.consume-ok",
            "1 basic.deliver c 1",
            "1 body a",
            "1 basic.deliver c 2",
            "1 body b"
        ]
    );
}

#[test]
fn what_was_not_sent_goes_back_without_the_redelivered_flag() {
    for no_ack in [false, true] {
        let (broker, _) = broker();
        let mut other = Client::with_channels(&broker, &[1]);
        let mut client = Client::with_channels(&broker, &[1]);
        other.declare("q");
        client.send(1, consume("q", no_ack));
        client.received();
        other.publish(1, "q", b"a");
        other.publish(1, "q", b"b");
        // The messages lie in the client's inbox; it never gets to send them.
        client.hang_up();
        other.send(1, consume("q", false));
        assert_eq!(
            other.received(),
            [
                "1 basic.consume-ok",
                "1 basic.deliver c 1",
                "1 body a",
                "1 basic.deliver c 2",
                "1 body b"
            ],
            "no_ack={no_ack}"
        );
    }
}

#[test]
fn what_was_sent_and_not_acked_comes_back_redelivered_when_the_channel_closes() {
    let (broker, _) = broker();
    let mut client = Client::with_channels(&broker, &[1, 2]);
    client.declare("q");
    client.publish(1, "q", b"a");
    client.send(1, consume("q", false));
    client.received();
    client.send(1, channel::Close::default());
    assert_eq!(client.received(), ["1 channel.close-ok"]);
    client.send(2, consume("q", false));
    assert_eq!(
        client.received(),
        [
            "2 basic.consume-ok",
            "2 basic.deliver c 1 redelivered",
            "2 body a"
        ]
    );
}

#[test]
fn deliveries_of_a_closed_channel_that_lie_in_the_inbox_go_back() {
    for no_ack in [false, true] {
        let (broker, _) = broker();
        let mut other = Client::with_channels(&broker, &[1]);
        let mut client = Client::with_channels(&broker, &[1]);
        other.declare("q");
        client.send(1, consume("q", no_ack));
        client.received();
        other.publish(1, "q", b"a");
        client.send(1, channel::Close::default());
        assert_eq!(client.received(), ["1 channel.close-ok"], "no_ack={no_ack}");
        other.send(1, get("q"));
        assert_eq!(
            other.received(),
            ["1 basic.get-ok 1", "1 body a"],
            "no_ack={no_ack}"
        );
    }
}

#[test]
fn cancel_ok_comes_after_the_last_delivery() {
    let (broker, _) = broker();
    let mut other = Client::with_channels(&broker, &[1]);
    let mut client = Client::with_channels(&broker, &[1]);
    other.declare("q");
    client.send(1, consume("q", false));
    client.received();
    other.publish(1, "q", b"a");
    client.send(
        1,
        basic::Cancel {
            consumer_tag: "c",
            nowait: false,
        },
    );
    other.publish(1, "q", b"b");
    assert_eq!(
        client.received(),
        ["1 basic.deliver c 1", "1 body a", "1 basic.cancel-ok"]
    );
}

#[test]
fn inbox_bytes_are_all_released_again() {
    let (broker, _) = broker();
    let mut client = Client::with_channels(&broker, &[1]);
    client.declare("q");
    client.send(1, consume("q", true));
    client.received();
    let body = vec![b'x'; 100_000];
    for _ in 0..20 {
        let mut bytes = Vec::new();
        bytes.extend(super::support::publish(1, "q", &body));
        client.bytes(&bytes);
        client.publish(1, "q", b"small");
        client.received();
    }
    assert_eq!(client.machine.inbox().bytes(), 0);
}

#[test]
fn a_consumer_that_does_not_read_stops_the_deliveries_and_goes_on_later() {
    let (broker, _) = broker();
    let mut other = Client::with_channels(&broker, &[1]);
    let mut client = Client::with_channels(&broker, &[1]);
    other.declare("q");
    client.send(1, consume("q", true));
    client.received();
    let body = vec![b'x'; 3_000];
    for _ in 0..1_000 {
        other.publish(1, "q", &body);
        other.turn();
    }
    let waiting = client.machine.inbox().bytes();
    assert!(
        waiting < 2 * crate::inbox::INBOX_BYTES_MAX,
        "{waiting} bytes wait"
    );
    let bodies = client
        .received()
        .iter()
        .filter(|word| word.starts_with("1 body"))
        .count();
    assert_eq!(bodies, 1_000);
}

#[test]
fn a_deleted_queue_cancels_its_consumers_only_for_clients_that_can_hear_it() {
    let (broker, _) = broker();
    let mut client = Client::with_channels(&broker, &[1]);
    client.declare("q");
    client.send(1, consume("q", false));
    client.received();
    client.send(
        1,
        queue::Delete {
            queue: "q",
            ..Default::default()
        },
    );
    assert_eq!(client.received(), ["1 queue.delete-ok"]);
    client.send(
        1,
        basic::Cancel {
            consumer_tag: "c",
            nowait: false,
        },
    );
    assert_eq!(client.received(), ["1 basic.cancel-ok"]);
}

#[test]
fn a_tag_is_free_as_soon_as_its_consumer_is_cancelled() {
    let (broker, _) = broker();
    let mut client = Client::with_channels(&broker, &[1]);
    client.declare("q");
    client.send(1, consume("q", false));
    client.received();
    let mut bytes = super::support::frame(
        1,
        basic::Cancel {
            consumer_tag: "c",
            nowait: true,
        },
    );
    bytes.extend(super::support::frame(1, consume("q", false)));
    client.bytes(&bytes);
    assert_eq!(client.received(), ["1 basic.consume-ok"]);
    client.publish(1, "q", b"m");
    assert_eq!(client.received(), ["1 basic.deliver c 1", "1 body m"]);
}
