//! Who is paced, who never is, and who lets a paced publisher go on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use super::*;
use crate::inbox::INBOX_BYTES_MAX;

/// A body of which two that wait are enough to pace, and one is not.
const HALF: usize = 64 * 1024;
/// A backlog, with what lies in an inbox.
const BACKLOG: usize = 64 * 1024 * 1024 + 2 * INBOX_BYTES_MAX;

#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn publish(bed: &Bed, publisher: &Client, bytes: usize) {
    let mut batch = Batch {
        origin: Some(publisher.inbox.clone()),
        ..Batch::default()
    };
    batch.records.push(message(&"m".repeat(bytes)));
    bed.queue.publish(bed.now, &mut batch);
}

/// A queue whose consumer has no room, and a publisher that is paced.
fn paced() -> (Bed, Client, Client) {
    let bed = Bed::new(Settings::default());
    let (publisher, consumer) = (Client::new(), Client::new());
    consumer.consume_no_ack(&bed, 1);
    while consumer.inbox.is_ready() {
        assert!(!publisher.inbox.is_paced());
        publish(&bed, &publisher, HALF);
    }
    bed.assert_counts(0, 0);
    assert!(publisher.inbox.is_paced());
    (bed, publisher, consumer)
}

#[test]
fn a_paced_publisher_goes_on_when_the_consumer_has_caught_up() {
    let (bed, publisher, consumer) = paced();
    let wakes = Arc::new(Counter::default());
    publisher.inbox.look_up(&Waker::from(wakes.clone()));
    consumer.read();
    consumer.resume(bed.now);
    bed.assert_counts(0, 0);
    assert!(!publisher.inbox.is_paced());
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
}

#[test]
fn the_tick_alone_lets_a_paced_publisher_go_on_and_its_next_batch_paces_it_again() {
    let (bed, publisher, _consumer) = paced();
    let wakes = Arc::new(Counter::default());
    publisher.inbox.look_up(&Waker::from(wakes.clone()));
    assert!(publisher.inbox.join_tick());
    publisher.inbox.tick();
    assert!(!publisher.inbox.is_paced());
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    publish(&bed, &publisher, 1);
    assert!(publisher.inbox.is_paced());
}

#[test]
fn while_anything_waits_for_room_nobody_goes_on() {
    let (bed, publisher, consumer) = paced();
    // The tick lets it go, and more than the connection has room for comes to lie in the queue.
    for _ in 0..2 * INBOX_BYTES_MAX / HALF {
        publish(&bed, &publisher, HALF);
    }
    consumer.read();
    consumer.resume(bed.now);
    assert!(bed.queue.counts().ready > 0);
    assert!(publisher.inbox.is_paced());
    consumer.read();
    consumer.resume(bed.now);
    bed.assert_counts(0, 0);
    assert!(publisher.inbox.is_paced(), "the connection is full again");
    consumer.read();
    consumer.resume(bed.now);
    assert!(!publisher.inbox.is_paced());
}

#[test]
fn behind_a_prefetch_some_messages_may_wait() {
    let bed = Bed::new(Settings::default());
    let (publisher, consumer) = (Client::new(), Client::new());
    let spec = ConsumerSpec {
        prefetch: 1,
        ..consumer.spec(1)
    };
    consumer.consume_as(&bed, spec);
    for (ready, is_paced) in [(0, false), (1, false), (2, true)] {
        publish(&bed, &publisher, HALF);
        assert_eq!(bed.queue.counts().ready, ready);
        assert_eq!(publisher.inbox.is_paced(), is_paced);
    }
    for (ordinal, is_paced) in [(1, true), (2, false)] {
        bed.submit(Command::Ack {
            ordinals: vec![ordinal],
        });
        assert_eq!(publisher.inbox.is_paced(), is_paced);
    }
}

#[test]
fn whoever_consumes_from_the_queue_is_never_paced_by_it() {
    let (bed, _publisher, consumer) = paced();
    publish(&bed, &consumer, HALF);
    assert!(!consumer.inbox.is_paced());
}

#[test]
fn a_queue_without_consumers_never_paces() {
    let bed = Bed::new(Settings::default());
    let publisher = Client::new();
    for _ in 0..8 {
        publish(&bed, &publisher, HALF);
    }
    assert!(!publisher.inbox.is_paced());
}

#[test]
fn the_end_of_the_last_consumer_lets_publishers_go_on() {
    let (bed, publisher, _consumer) = paced();
    let consumer = ConsumerId(1);
    bed.submit(Command::Cancel {
        consumer,
        reply: None,
    });
    assert!(!publisher.inbox.is_paced());
    publish(&bed, &publisher, HALF);
    assert!(!publisher.inbox.is_paced());
}

#[test]
fn a_consumer_that_took_nothing_for_a_while_paces_nobody() {
    let (mut bed, publisher, _consumer) = paced();
    publisher.inbox.unpace();
    bed.advance(51);
    publish(&bed, &publisher, HALF);
    assert!(!publisher.inbox.is_paced());
}

#[test]
fn a_consumer_whose_prefetch_is_used_up_paces_nobody_after_a_while() {
    let mut bed = Bed::new(Settings::default());
    let (publisher, consumer) = (Client::new(), Client::new());
    let spec = ConsumerSpec {
        prefetch: 1,
        ..consumer.spec(1)
    };
    consumer.consume_as(&bed, spec);
    for _ in 0..3 {
        publish(&bed, &publisher, HALF);
    }
    assert!(publisher.inbox.is_paced(), "it may ack at once");
    publisher.inbox.unpace();
    bed.advance(51);
    publish(&bed, &publisher, HALF);
    assert!(!publisher.inbox.is_paced());
}

#[test]
fn a_backlog_lets_publishers_go_on() {
    let (bed, publisher, _consumer) = paced();
    publish(&bed, &Client::new(), BACKLOG);
    assert!(!publisher.inbox.is_paced());
    publish(&bed, &publisher, HALF);
    assert!(!publisher.inbox.is_paced());
}

#[test]
fn all_publishers_of_a_queue_are_paced_and_go_on_together() {
    let (bed, first, consumer) = paced();
    let others = [Client::new(), Client::new(), Client::new()];
    for publisher in &others {
        publish(&bed, publisher, 1);
    }
    let publishers = || others.iter().chain([&first]);
    assert!(publishers().all(|publisher| publisher.inbox.is_paced()));
    consumer.read();
    consumer.resume(bed.now);
    assert!(publishers().all(|publisher| !publisher.inbox.is_paced()));
}

#[test]
fn the_end_of_the_queue_lets_publishers_go_on() {
    let (bed, publisher, _consumer) = paced();
    bed.submit(Command::Delete {
        if_unused: false,
        if_empty: false,
        reply: None,
        reason: Deletion::Requested,
    });
    assert!(!publisher.inbox.is_paced());
}
