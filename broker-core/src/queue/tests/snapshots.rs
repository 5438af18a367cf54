//! What the management API is told.

use super::*;

#[test]
fn counts_tell_messages_and_bytes() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    client.consume_as(
        &bed,
        ConsumerSpec {
            prefetch: 1,
            ..client.spec(1)
        },
    );
    let persistent = |body| Message {
        persistent: true,
        ..message(body)
    };
    bed.publish_all([persistent("12345"), message("123"), persistent("12")]);
    let expected = Counts {
        ready: 2,
        unacked: 1,
        dead: 0,
        ready_bytes: 5,
        unacked_bytes: 5,
        ready_persistent: 1,
        unacked_persistent: 1,
        persistent_bytes: 7,
        consumers: 1,
    };
    assert_eq!(bed.queue.counts(), expected);
}

#[test]
fn consumers_are_listed_as_they_were_declared() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    let spec = ConsumerSpec {
        no_ack: true,
        priority: 4,
        ..client.spec(2)
    };
    client.consume_as(&bed, spec);
    client.consume_as(
        &bed,
        ConsumerSpec {
            prefetch: 5,
            ..client.spec(1)
        },
    );
    let consumers = bed.queue.snapshot().consumers;
    let [first, second] = &consumers[..] else {
        panic!("two: {consumers:?}");
    };
    assert_eq!(
        (first.id, &*first.tag, first.ack_required),
        (ConsumerId(1), "tag1", true)
    );
    assert_eq!(
        (first.prefetch, first.priority, first.exclusive),
        (5, 0, false)
    );
    assert_eq!((second.priority, second.ack_required), (4, false));
    assert!(first.active && second.active);
    assert!(Arc::ptr_eq(&first.inbox, &client.inbox));
}

#[test]
fn the_head_shows_its_timestamp_property() {
    let bed = Bed::new(Settings::default());
    assert_eq!(bed.queue.snapshot().head_timestamp, None);
    let mut properties = Vec::new();
    let timestamp = amqp_codec::Properties {
        content_type: Some("text/plain"),
        timestamp: Some(1_234_567),
        ..Default::default()
    };
    timestamp.encode(&mut properties).unwrap();
    bed.publish_all([Message {
        properties: &properties,
        ..message("a")
    }]);
    assert_eq!(bed.queue.snapshot().head_timestamp, Some(1_234_567));
}

#[test]
fn idle_since_is_the_last_use_by_a_client() {
    let mut bed = Bed::new(Settings::default());
    assert_eq!(bed.queue.snapshot().idle_since, None);
    bed.publish(&["a"]);
    let published = bed.now;
    bed.advance(5_000);
    bed.submit(Command::Tick);
    assert_eq!(bed.queue.snapshot().idle_since, Some(published));
}
