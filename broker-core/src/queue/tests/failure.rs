//! A panic in the machine.

use super::*;
use crate::queue::chunks::Place;

/// Breaks the tables of the queue so that the next ack panics.
fn break_it(bed: &Bed) {
    let mut queue = bed.queue.queue_for_tests();
    let mut records = Records::new();
    records.push(message("never stored"));
    let record = records.iter().next().unwrap();
    queue
        .unacked
        .insert(PLACE_OUTSIDE, record, 0, ConsumerId(1));
}

const PLACE_OUTSIDE: Place = Place::outside_for_tests();

#[test]
fn a_panic_fails_the_queue_and_nothing_else() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    client.consume(&bed, 3);
    bed.publish(&["a"]);
    assert_eq!(client.deliveries().len(), 1);
    break_it(&bed);
    bed.submit(Command::Ack { ordinals: vec![0] });
    assert_eq!(bed.host.failed.lock().len(), 1);
    assert!(bed.queue.snapshot().failed);
    assert_eq!(client.credit.used(), 0);
    assert!(matches!(
        client.read()[..],
        [Seen::Event(Event::ConsumerCancelled {
            consumer: ConsumerId(3),
            ..
        })]
    ));
    let other = Bed::new(Settings::default());
    other.publish(&["fine"]);
    other.assert_counts(1, 0);
}

#[test]
fn a_failed_queue_refuses_everything() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    break_it(&bed);
    bed.submit(Command::Ack { ordinals: vec![0] });
    client.consume(&bed, 1);
    let Answer::Refused(error) = client.answer() else {
        panic!("refused");
    };
    assert_eq!(
        error.to_string(),
        "INTERNAL_ERROR - queue 'q' in vhost 'v' has crashed"
    );
    let mut batch = Batch::default();
    batch.records.push(message("a"));
    batch.confirms.push(ConfirmRun {
        channel: 1,
        first: 4,
        count: 1,
    });
    batch.origin = Some(client.inbox.clone());
    bed.queue.publish(bed.now, &mut batch);
    let seen = client.read();
    let Seen::Event(Event::Published { rejected, .. }) = &seen[0] else {
        panic!("published: {seen:?}");
    };
    assert_eq!(rejected[..], [(1, 4)]);
}

#[test]
fn whoever_asked_is_refused_when_the_answer_panics() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    bed.publish(&["a"]);
    bed.queue.queue_for_tests().chunks = Default::default();
    let reply = client.reply(6);
    bed.submit(Command::Get {
        no_ack: true,
        reply,
        consumer: ConsumerId(1),
    });
    assert!(matches!(client.answer(), Answer::Refused(_)));
}

#[test]
fn publishes_into_a_panic_are_refused() {
    let bed = Bed::new(Settings {
        message_ttl: Some(5),
        ..Settings::default()
    });
    let client = Client::new();
    bed.publish(&["a"]);
    bed.queue.queue_for_tests().chunks = Default::default();
    let mut batch = Batch::default();
    batch.records.push(message("b"));
    batch.confirms.push(ConfirmRun {
        channel: 2,
        first: 9,
        count: 1,
    });
    batch.origin = Some(client.inbox.clone());
    bed.queue.publish(bed.now, &mut batch);
    assert!(bed.queue.snapshot().failed);
    let seen = client.read();
    assert!(
        matches!(&seen[..], [Seen::Event(Event::Published { rejected, .. })] if rejected[..] == [(2, 9)]),
        "{seen:?}"
    );
}

#[test]
fn a_failed_queue_can_be_deleted() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    break_it(&bed);
    bed.submit(Command::Ack { ordinals: vec![0] });
    assert!(!bed.queue.is_closed());
    bed.submit(Command::Delete {
        if_unused: true,
        if_empty: true,
        reply: Some(client.reply(1)),
        reason: Deletion::Requested,
    });
    assert!(matches!(client.answer(), Answer::Deleted(0)));
    assert!(bed.queue.is_closed());
    assert_eq!(*bed.host.deleted.lock(), [Deletion::Requested]);
}
