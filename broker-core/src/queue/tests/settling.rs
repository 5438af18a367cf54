//! Acks, rejects, and messages that come back to their places.

use super::*;
use crate::inbox::RecordList;

fn together(list: &RecordList) -> Records {
    let mut records = Records::new();
    for record in list.iter() {
        records.push_record(record);
    }
    records
}

fn delivered(bed: &Bed, client: &Client, bodies: &[&str]) -> Vec<u64> {
    bed.publish(bodies);
    ordinals(&client.deliveries())
}

#[test]
fn requeue_keeps_the_original_position_and_marks_redelivered() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    let spec = ConsumerSpec {
        prefetch: 3,
        ..client.spec(1)
    };
    client.consume_as(&bed, spec);
    let taken = delivered(&bed, &client, &["a", "b", "c", "d"]);
    assert_eq!(taken.len(), 3);
    bed.submit(Command::Cancel {
        consumer: ConsumerId(1),
        reply: None,
    });
    bed.submit(Command::Requeue {
        ordinals: vec![taken[1], taken[0]],
    });
    bed.assert_counts(3, 1);
    let next = Client::new();
    next.consume(&bed, 2);
    let seen: Vec<_> = next
        .deliveries()
        .into_iter()
        .map(|d| (d.body, d.redelivered))
        .collect();
    let expected = [("a", true), ("b", true), ("d", false)];
    assert_eq!(
        seen,
        expected.map(|(body, redelivered)| (body.to_owned(), redelivered))
    );
}

#[test]
fn requeue_in_a_priority_queue_keeps_the_place_in_its_priority() {
    let bed = Bed::new(Settings {
        max_priority: Some(9),
        ..Settings::default()
    });
    let of = |body, priority| Message {
        priority,
        ..message(body)
    };
    bed.publish_all([of("low", 1), of("high1", 5), of("high2", 5)]);
    let client = Client::new();
    client.consume(&bed, 1);
    let taken = client.deliveries();
    bed.submit(Command::Cancel {
        consumer: ConsumerId(1),
        reply: None,
    });
    bed.submit(Command::Requeue {
        ordinals: ordinals(&taken),
    });
    bed.publish_all([of("high3", 5)]);
    client.consume(&bed, 2);
    assert_eq!(client.bodies(), ["high1", "high2", "high3", "low"]);
}

#[test]
fn returned_deliveries_are_not_redelivered() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    client.consume_as(
        &bed,
        ConsumerSpec {
            prefetch: 2,
            ..client.spec(1)
        },
    );
    let taken = delivered(&bed, &client, &["a", "b", "c"]);
    bed.submit(Command::Cancel {
        consumer: ConsumerId(1),
        reply: None,
    });
    bed.submit(Command::Return {
        ordinals: taken,
        records: Records::new(),
    });
    bed.assert_counts(3, 0);
    client.consume(&bed, 2);
    let again = client.deliveries();
    assert!(again.iter().all(|delivery| !delivery.redelivered));
    assert_eq!(ordinals(&again), [1, 2, 3]);
}

#[test]
fn unseen_deliveries_without_ack_return_by_their_records() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    client.consume_no_ack(&bed, 1);
    client.read();
    bed.publish(&["a", "b"]);
    bed.publish(&["c"]);
    let mail = client.close();
    bed.submit(Command::Cancel {
        consumer: ConsumerId(1),
        reply: None,
    });
    bed.publish(&["d"]);
    bed.submit(Command::Return {
        ordinals: Vec::new(),
        records: together(&mail.records),
    });
    bed.assert_counts(4, 0);
    let next = Client::new();
    next.consume(&bed, 2);
    let again = next.deliveries();
    assert_eq!(ordinals(&again), [1, 2, 3, 4]);
    assert_eq!(again[0].body, "a");
    assert!(again.iter().all(|delivery| !delivery.redelivered));
}

#[test]
fn a_reject_without_dead_letter_exchange_drops() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    client.consume(&bed, 1);
    let taken = delivered(&bed, &client, &["a", "b"]);
    bed.submit(Command::Reject { ordinals: taken });
    bed.assert_counts(0, 0);
    assert_eq!(bed.totals().dropped, 2);
    assert!(bed.queue.take_dead_letters(10).is_empty());
}

#[test]
fn unknown_and_repeated_ordinals_are_ignored() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    client.consume(&bed, 1);
    let taken = delivered(&bed, &client, &["a", "b", "c"]);
    bed.submit(Command::Ack {
        ordinals: vec![taken[1], taken[1], 0, 77, u64::MAX],
    });
    bed.submit(Command::Requeue {
        ordinals: vec![taken[1], 4],
    });
    bed.submit(Command::Reject {
        ordinals: vec![taken[1]],
    });
    bed.assert_counts(0, 2);
    assert_eq!(bed.totals().ack, 1);
}

#[test]
fn ready_messages_cannot_be_acked() {
    let bed = Bed::new(Settings::default());
    bed.publish(&["a"]);
    bed.submit(Command::Ack { ordinals: vec![1] });
    bed.assert_counts(1, 0);
}

#[test]
fn acks_in_any_order_find_their_messages() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    client.consume(&bed, 1);
    let bodies = vec!["x"; 1000];
    let taken = delivered(&bed, &client, &bodies);
    for ordinal in taken.iter().rev().step_by(2).chain(taken.iter().step_by(2)) {
        bed.submit(Command::Ack {
            ordinals: vec![*ordinal],
        });
    }
    bed.assert_counts(0, 0);
    assert_eq!(bed.totals().ack, 1000);
}

#[test]
fn a_message_can_come_back_again_and_again() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    client.consume(&bed, 1);
    bed.publish(&["a", "b", "c"]);
    for _ in 0..20 {
        let taken = client.deliveries();
        assert_eq!(ordinals(&taken), [1, 2, 3]);
        bed.submit(Command::Requeue {
            ordinals: ordinals(&taken),
        });
    }
    let mut mail = Mail::default();
    client.inbox.take(&mut mail, None);
    assert!(
        mail.records
            .iter()
            .all(|record| record.delivery_count() == 20)
    );
}

#[test]
fn settling_after_the_consumer_is_cancelled_still_works() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    client.consume(&bed, 1);
    let taken = delivered(&bed, &client, &["a", "b"]);
    bed.submit(Command::Cancel {
        consumer: ConsumerId(1),
        reply: None,
    });
    bed.assert_counts(0, 2);
    bed.submit(Command::Ack {
        ordinals: vec![taken[0]],
    });
    bed.submit(Command::Requeue {
        ordinals: vec![taken[1]],
    });
    bed.assert_counts(1, 0);
}
