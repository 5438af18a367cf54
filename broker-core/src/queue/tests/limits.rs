//! max-length and max-length-bytes with each overflow.

use super::*;

fn all_ready(bed: &Bed) -> Vec<String> {
    let client = Client::new();
    client.consume_no_ack(bed, 1000);
    client.bodies()
}

fn limited(max_length: u64, overflow: Overflow) -> Settings {
    Settings {
        max_length: Some(max_length),
        overflow,
        ..Settings::default()
    }
}

#[test]
fn drop_head_keeps_the_newest() {
    for (count, expected) in [
        (2, &["0", "1"][..]),
        (3, &["0", "1", "2"]),
        (4, &["1", "2", "3"]),
    ] {
        let bed = Bed::new(limited(3, Overflow::DropHead));
        bed.publish(&["0", "1", "2", "3"][..count]);
        assert_eq!(all_ready(&bed), expected);
    }
}

#[test]
fn unacked_messages_do_not_count() {
    let bed = Bed::new(limited(2, Overflow::DropHead));
    let client = Client::new();
    client.consume_as(
        &bed,
        ConsumerSpec {
            prefetch: 2,
            ..client.spec(1)
        },
    );
    bed.publish(&["a", "b", "c", "d"]);
    bed.assert_counts(2, 2);
    bed.publish(&["e"]);
    bed.assert_counts(2, 2);
    assert_eq!(bed.totals().dropped, 1);
}

#[test]
fn a_requeue_into_a_full_queue_drops_the_head() {
    let bed = Bed::new(limited(2, Overflow::DropHead));
    let client = Client::new();
    client.consume_as(
        &bed,
        ConsumerSpec {
            prefetch: 1,
            ..client.spec(1)
        },
    );
    bed.publish(&["a", "b", "c"]);
    let taken = ordinals(&client.deliveries());
    bed.submit(Command::Cancel {
        consumer: ConsumerId(1),
        reply: None,
    });
    bed.submit(Command::Requeue { ordinals: taken });
    assert_eq!(all_ready(&bed), ["b", "c"]);
}

#[test]
fn a_priority_queue_drops_from_its_own_head() {
    let settings = Settings {
        max_priority: Some(9),
        ..limited(2, Overflow::DropHead)
    };
    let bed = Bed::new(settings);
    let of = |body, priority| Message {
        priority,
        ..message(body)
    };
    bed.publish_all([of("high", 9), of("low1", 1), of("low2", 1)]);
    assert_eq!(all_ready(&bed), ["low1", "low2"]);
}

#[test]
fn only_bytes_of_bodies_count() {
    for (last, expected) in [("44", 4), ("333", 4), ("4444", 3)] {
        let bed = Bed::new(Settings {
            max_length_bytes: Some(12),
            ..Settings::default()
        });
        bed.publish(&["111", "222", "333", last]);
        assert_eq!(bed.queue.counts().ready, expected, "{last}");
        assert!(bed.queue.counts().ready_bytes <= 12);
    }
}

#[test]
fn a_body_larger_than_the_limit_drops_everything_and_itself() {
    let bed = Bed::new(Settings {
        max_length_bytes: Some(5),
        ..Settings::default()
    });
    bed.publish(&["a", "b", "too large"]);
    bed.assert_counts(0, 0);
    assert_eq!(bed.totals().dropped, 3);
}

#[test]
fn reject_publish_refuses_the_newest() {
    for (count, refused) in [(2, 0), (3, 0), (4, 1)] {
        let bed = Bed::new(limited(3, Overflow::RejectPublish));
        bed.publish(&["0", "1", "2", "3"][..count]);
        assert_eq!(bed.totals().refused, refused);
        assert_eq!(all_ready(&bed), &["0", "1", "2"][..count.min(3)]);
    }
}

#[test]
fn reject_publish_refuses_by_bytes_too() {
    let bed = Bed::new(Settings {
        max_length_bytes: Some(6),
        overflow: Overflow::RejectPublish,
        ..Settings::default()
    });
    bed.publish(&["111", "22", "3", "4"]);
    assert_eq!(all_ready(&bed), ["111", "22", "3"]);
}

#[test]
fn reject_publish_dlx_makes_dead_letters_of_the_refused() {
    let bed = Bed::new(with_dead_letters(limited(1, Overflow::RejectPublishDlx)));
    bed.publish(&["a", "b", "c"]);
    bed.assert_counts(1, 0);
    let dead = [
        ("b".to_owned(), Reason::MaxLen),
        ("c".to_owned(), Reason::MaxLen),
    ];
    assert_eq!(bury(&bed), dead);
    assert_eq!(bed.totals().refused, 2);
    assert_eq!(all_ready(&bed), ["a"]);
}

#[test]
fn drop_head_dead_letters_what_it_drops() {
    let bed = Bed::new(with_dead_letters(limited(1, Overflow::DropHead)));
    bed.publish(&["a", "b"]);
    assert_eq!(bury(&bed), [("a".to_owned(), Reason::MaxLen)]);
}

#[test]
fn a_queue_of_length_0_passes_only_what_a_consumer_takes_now() {
    let bed = Bed::new(limited(0, Overflow::DropHead));
    bed.publish(&["nobody"]);
    bed.assert_counts(0, 0);
    let client = Client::new();
    client.consume_as(
        &bed,
        ConsumerSpec {
            prefetch: 1,
            ..client.spec(1)
        },
    );
    bed.publish(&["now", "too many"]);
    assert_eq!(client.bodies(), ["now"]);
    bed.assert_counts(0, 1);
    assert_eq!(bed.totals().dropped, 2);
}

#[test]
fn a_queue_of_length_0_that_rejects_refuses_everything() {
    let bed = Bed::new(limited(0, Overflow::RejectPublish));
    let client = Client::new();
    client.consume(&bed, 1);
    bed.publish(&["a"]);
    assert_eq!(client.deliveries(), []);
    assert_eq!(bed.totals().refused, 1);
}

#[test]
fn a_lowered_limit_holds_at_once() {
    let bed = Bed::new(Settings::default());
    bed.publish(&["a", "b", "c"]);
    bed.submit(Command::Configure(limited(1, Overflow::DropHead)));
    assert_eq!(all_ready(&bed), ["c"]);
}

#[test]
fn a_lowered_limit_that_rejects_leaves_what_is_there() {
    let bed = Bed::new(Settings::default());
    bed.publish(&["a", "b", "c"]);
    bed.submit(Command::Configure(limited(1, Overflow::RejectPublish)));
    bed.publish(&["d"]);
    assert_eq!(all_ready(&bed), ["a", "b", "c"]);
}
